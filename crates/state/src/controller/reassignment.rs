//! Moving partitions to other brokers (KIP-455). Source: Kafka 3.9 `KafkaController.scala`, `onPartitionReassignment`.
//!
//! ```text
//! asked ──Write::SetAssignment: target, then the rest of the original──▶ Moving ──every target replica in sync──▶ Moved
//!   a state with the next leader epoch: all replicas are told                 │     a state led by a target replica,
//!                                                                             │     with an ISR of target replicas
//!   Write::SetAssignment: the target alone ◀──StopReplica(delete) to the rest─┘
//! ```
//!
//! The assignment in coordination keeps the original replicas until the very end, so that the next controller can go on
//! from any step: it finds the lists of replicas that are added and removed, and either moves on or, with all targets in
//! sync, repeats the last steps. It forgets the replicas that go only when live brokers have answered that they are deleted;
//! a broker that is away then keeps a stray log, as with Kafka. A deletion of the topic ends its reassignments: all replicas, old and new, are deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use whimbrel_model::{ErrorCode, LeaderEpoch, NodeId, TopicPartition};

use super::control::{
    AlterReassignmentsRequest, AlterReassignmentsResponse, ControllerResponse, ListReassignmentsRequest,
    ListReassignmentsResponse, OngoingReassignment, PartitionOutcome, RequestId,
};
use super::election::{PartitionState, moved_state};
use super::facts::Partition;
use super::tasks::{Flight, Task};
use super::{Controller, PartitionAssignment, Write};

/// A request some of whose partitions have no result yet.
#[derive(Debug)]
pub(super) struct Reassigning {
    response: AlterReassignmentsResponse,
    left: usize,
}

/// Who asked for the reassignment of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// The position in the response.
    Request(RequestId, usize),
    /// `/admin/reassign_partitions`
    Node,
}

/// An error and its text.
pub(super) type Refusal = (ErrorCode, Option<String>);

impl Partition {
    pub(super) fn is_being_reassigned(&self) -> bool {
        !self.adding_replicas.is_empty() || !self.removing_replicas.is_empty()
    }

    /// The replicas that there will be.
    pub(super) fn target(&self) -> Vec<NodeId> {
        without(&self.replicas, &self.removing_replicas)
    }

    /// The replicas that there were, as far as their order can be told.
    fn original(&self) -> Vec<NodeId> {
        without(&self.replicas, &self.adding_replicas)
    }

    fn is_assigned(&self, assignment: &PartitionAssignment) -> bool {
        self.replicas == assignment.replicas
            && self.adding_replicas == assignment.adding_replicas
            && self.removing_replicas == assignment.removing_replicas
    }
}

fn without(replicas: &[NodeId], others: &[NodeId]) -> Vec<NodeId> {
    replicas.iter().copied().filter(|replica| !others.contains(replica)).collect()
}

impl Controller {
    pub(super) fn alter_reassignments(&mut self, id: RequestId, request: AlterReassignmentsRequest) {
        let pending = |partition: TopicPartition| PartitionOutcome {
            partition,
            error: ErrorCode::UnknownTopicOrPartition,
            message: Some("The partition does not exist.".into()),
        };
        let names: Vec<TopicPartition> = request.partitions.iter().map(|one| one.partition.clone()).collect();
        let left = names.iter().filter(|name| self.facts.partition(name).is_some()).count();
        let partitions = names.into_iter().map(pending).collect();
        let response = AlterReassignmentsResponse { partitions, ..AlterReassignmentsResponse::default() };
        if left == 0 {
            self.outbox.answer(id, ControllerResponse::AlterReassignments(response));
            return;
        }
        self.reassigning.insert(id, Reassigning { response, left });
        for (position, one) in request.partitions.into_iter().enumerate() {
            let task = Task::Reassign { asker: Asker::Request(id, position), target: one.replicas };
            self.add_task(&one.partition, task);
        }
    }

    pub(super) fn list_reassignments(&mut self, id: RequestId, request: ListReassignmentsRequest) {
        let names = request.partitions.unwrap_or_else(|| self.facts.all_partitions());
        let ongoing = names.into_iter().filter_map(|partition| {
            let one = self.facts.partition(&partition).filter(|one| one.is_being_reassigned())?;
            Some(OngoingReassignment {
                partition,
                replicas: one.replicas.clone(),
                adding_replicas: one.adding_replicas.clone(),
                removing_replicas: one.removing_replicas.clone(),
            })
        });
        let mut partitions: Vec<_> = ongoing.collect();
        partitions.sort_by(|one, other| one.partition.cmp(&other.partition));
        self.outbox.answer(id, ControllerResponse::ListReassignments(ListReassignmentsResponse { partitions }));
    }

    /// The legacy znode asks for these; what it held before and no longer does is left alone.
    pub(super) fn reassignments_requested(&mut self, asked: Vec<(TopicPartition, Vec<NodeId>)>) {
        let asked: BTreeMap<TopicPartition, Vec<NodeId>> = asked.into_iter().collect();
        let new: Vec<_> =
            asked.iter().filter(|(name, _)| !self.legacy_reassignments.contains_key(*name)).map(clone_pair).collect();
        self.legacy_reassignments = asked;
        for (name, target) in new {
            let is_there = |one: &Partition| !one.is_being_reassigned() && one.replicas == target;
            match self.facts.partition(&name) {
                Some(one) if !is_there(one) => {
                    self.add_task(&name, Task::Reassign { asker: Asker::Node, target: Some(target) });
                }
                _ => self.forget_legacy(&name),
            }
        }
    }

    /// Takes a partition out of the legacy znode, if it is in there.
    pub(super) fn forget_legacy(&mut self, name: &TopicPartition) {
        if self.legacy_reassignments.remove(name).is_some() {
            self.outbox.keep_legacy_reassignments(self.legacy_reassignments.iter().map(clone_pair).collect());
        }
    }

    /// The assignment that a request leads to, or why it is refused.
    pub(super) fn judge_reassignment(
        &self,
        name: &TopicPartition,
        target: Option<&[NodeId]>,
    ) -> Result<PartitionAssignment, Refusal> {
        let topic = self.facts.topic(&name.topic).filter(|topic| topic.deletion.is_none());
        let unknown = || (ErrorCode::UnknownTopicOrPartition, Some("The partition does not exist.".to_owned()));
        let partition = topic.and_then(|topic| topic.partitions.get(&name.partition)).ok_or_else(unknown)?;
        let original = partition.original();
        let target = match target {
            Some(target) => target.to_vec(),
            None if partition.is_being_reassigned() => original.clone(),
            None => return Err((ErrorCode::NoReassignmentInProgress, None)),
        };
        let invalid = |text: String| (ErrorCode::InvalidReplicaAssignment, Some(text));
        check_replicas(&target).map_err(invalid)?;
        let mut replicas = target.clone();
        replicas.extend(without(&original, &target));
        let assignment = PartitionAssignment {
            index: name.partition,
            adding_replicas: without(&replicas, &original),
            removing_replicas: without(&replicas, &target),
            replicas,
        };
        if assignment.adding_replicas.iter().any(|&added| !self.facts.is_live(added)) {
            return Err(invalid(format!(
                "Replica assignment has brokers that are not alive. Replica list: {}, live broker list: {}",
                list(&assignment.adding_replicas),
                list(&self.facts.live_brokers().map(|broker| broker.id).collect::<Vec<_>>())
            )));
        }
        // Replicas that were being added and are no longer wanted may be all that is in sync.
        let is_kept = |state: &PartitionState| state.isr.iter().any(|one| assignment.replicas.contains(&one.broker));
        if !partition.state.as_ref().is_none_or(is_kept) {
            let text =
                "This would leave the partition without an in-sync replica and require an unclean leader election.";
            return Err(invalid(text.into()));
        }
        Ok(assignment)
    }

    /// Notes the result for one partition, and answers the request when it was the last.
    pub(super) fn reassigned(&mut self, asker: Asker, name: &TopicPartition, result: Result<(), Refusal>) {
        let Asker::Request(id, position) = asker else {
            // Another order of the same replicas is done at once: no step follows.
            let goes_on = self.facts.partition(name).is_some_and(Partition::is_being_reassigned);
            if result.is_err() || !goes_on {
                self.forget_legacy(name);
            }
            return;
        };
        if result.is_ok() {
            // The latest reassignment counts.
            self.forget_legacy(name);
        }
        let Some(reassigning) = self.reassigning.get_mut(&id) else { return };
        if let Some(outcome) = reassigning.response.partitions.get_mut(position) {
            (outcome.error, outcome.message) = result.err().unwrap_or((ErrorCode::None, None));
        }
        reassigning.left -= 1;
        if reassigning.left == 0
            && let Some(Reassigning { response, .. }) = self.reassigning.remove(&id)
        {
            self.outbox.answer(id, ControllerResponse::AlterReassignments(response));
        }
    }

    /// Starts the reassignment that a task asks for: the write, or `None` when there is nothing to write.
    pub(super) fn start_reassignment(
        &mut self,
        name: &TopicPartition,
        asker: Asker,
        target: Option<&[NodeId]>,
    ) -> Option<Write> {
        let assignment = match self.judge_reassignment(name, target) {
            Ok(assignment) => assignment,
            Err(refusal) => {
                self.reassigned(asker, name, Err(refusal));
                return None;
            }
        };
        if self.facts.partition(name).is_some_and(|partition| partition.is_assigned(&assignment)) {
            self.reassigned(asker, name, Ok(()));
            return None;
        }
        let id = self.facts.topic(&name.topic)?.id;
        Some(Write::SetAssignment { topic: Arc::clone(&name.topic), id, assignment })
    }

    /// Coordination holds the assignment that we wrote.
    pub(super) fn assignment_written(&mut self, name: &TopicPartition, assignment: PartitionAssignment) {
        let Some(partition) = self.facts.partition_mut(name) else { return };
        let flight = partition.in_flight.take();
        let dropped = without(&partition.replicas, &assignment.replicas);
        let was_known = partition.is_assigned(&assignment);
        partition.replicas = assignment.replicas;
        partition.adding_replicas = assignment.adding_replicas;
        partition.removing_replicas = assignment.removing_replicas;
        partition.owes_assignment = false;
        if !was_known {
            partition.is_assignment_untold = true;
            self.outbox.publish([name.clone()]);
        }
        let epoch = partition.state.as_ref().map_or(LeaderEpoch::NONE, |state| state.leader_epoch);
        for replica in dropped {
            self.outbox.stop(replica, name.clone(), epoch, true);
        }
        match flight {
            Some(Flight::Task(Task::Reassign { asker, .. })) => self.reassigned(asker, name, Ok(())),
            // The last step: the target alone is assigned.
            _ => self.forget_legacy(name),
        }
    }

    /// The topic is gone or is another one: there is nothing to assign.
    pub(super) fn assignment_lost(&mut self, name: &TopicPartition) {
        let Some(partition) = self.facts.partition_mut(name) else { return };
        partition.owes_assignment = false;
        if let Some(Flight::Task(Task::Reassign { asker, .. })) = partition.in_flight.take() {
            let refusal = (ErrorCode::UnknownTopicOrPartition, Some("The partition does not exist.".to_owned()));
            self.reassigned(asker, name, Err(refusal));
        }
    }

    /// The state that a reassignment calls for, when no other change of the partition is called for.
    pub(super) fn reassignment_state(&self, name: &TopicPartition) -> Option<(PartitionState, Flight)> {
        let topic = self.facts.topic(&name.topic).filter(|topic| topic.deletion.is_none())?;
        let partition = topic.partitions.get(&name.partition)?;
        let current = partition.state.as_ref()?;
        if partition.is_being_reassigned() {
            let target = partition.target();
            let moved = self.with_circumstances(topic, name, partition, |all| moved_state(current, &target, all));
            if let Some(state) = moved {
                return Some((state, Flight::Move));
            }
        }
        partition.is_assignment_untold.then(|| {
            let state = self.with_circumstances(topic, name, partition, |all| current.repeated(all));
            (state, Flight::Facts)
        })
    }

    /// The last write of a reassignment, once its replicas have been told.
    pub(super) fn last_assignment(&self, name: &TopicPartition) -> Option<Write> {
        let topic = self.facts.topic(&name.topic).filter(|topic| topic.deletion.is_none())?;
        let partition = topic.partitions.get(&name.partition).filter(|partition| partition.owes_assignment)?;
        if !partition.stopping.is_empty() {
            return None;
        }
        let assignment = PartitionAssignment {
            index: name.partition,
            replicas: partition.replicas.clone(),
            adding_replicas: Vec::new(),
            removing_replicas: Vec::new(),
        };
        Some(Write::SetAssignment { topic: Arc::clone(&name.topic), id: topic.id, assignment })
    }

    /// The state that ends a reassignment is written: the replicas that are not in the target go.
    pub(super) fn end_reassignment(&mut self, name: &TopicPartition) {
        let Some(partition) = self.facts.partition_mut(name) else { return };
        let Some(state) = partition.state.as_ref() else { return };
        let (epoch, target) = (state.leader_epoch, partition.target());
        let removed = without(&partition.replicas, &target);
        partition.replicas = target;
        partition.adding_replicas.clear();
        partition.removing_replicas.clear();
        partition.owes_assignment = true;
        // Those that are away are not waited for: they may never come back.
        let alive: Vec<NodeId> = removed.into_iter().filter(|&one| self.facts.broker(one).is_some()).collect();
        for &replica in &alive {
            self.outbox.stop(replica, name.clone(), epoch, true);
        }
        if let Some(partition) = self.facts.partition_mut(name) {
            partition.stopping = alive.into_iter().collect();
        }
    }

    /// A broker has answered that it deleted these, or could not: either way it is not asked again.
    pub(super) fn moved_replicas_stopped(&mut self, broker: NodeId, stopped: &[TopicPartition]) {
        for name in stopped {
            if self.facts.partition_mut(name).is_some_and(|partition| partition.stopping.remove(&broker)) {
                self.settle(name);
            }
        }
    }

    /// A broker is gone, and what it was asked with it. If it has come back it is asked again.
    pub(super) fn stop_moved_replicas_again(&mut self, broker: NodeId) {
        let is_back = self.facts.broker(broker).is_some();
        for name in self.facts.stopping_on(broker) {
            let Some(partition) = self.facts.partition_mut(&name) else { continue };
            let epoch = partition.state.as_ref().map_or(LeaderEpoch::NONE, |state| state.leader_epoch);
            if is_back {
                self.outbox.stop(broker, name, epoch, true);
            } else {
                partition.stopping.remove(&broker);
                self.settle(&name);
            }
        }
    }
}

fn clone_pair((name, target): (&TopicPartition, &Vec<NodeId>)) -> (TopicPartition, Vec<NodeId>) {
    (name.clone(), target.clone())
}

fn list(ids: &[NodeId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What Kafka checks of a target by itself, with its texts.
fn check_replicas(target: &[NodeId]) -> Result<(), String> {
    let mut distinct = target.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    if target.is_empty() {
        Err("Empty replica list specified in partition reassignment.".into())
    } else if distinct.len() < target.len() {
        Err(format!("Duplicate replica ids in partition reassignment replica list: {}", list(target)))
    } else if target.iter().any(|replica| replica.0 < 0) {
        Err(format!("Invalid broker id in replica list: {}", list(target)))
    } else {
        Ok(())
    }
}
