//! One partition at a time: what is next for it, and what became of it.
//!
//! [`Controller::settle`] is where all decisions about a partition come together: the change that the facts call for,
//! the steps of a reassignment, telling its replicas, and what was asked for, in this order. It ends with a write in
//! flight or with nothing left to do; the result of the write comes back here, and it goes on.

use std::sync::Arc;

use whimbrel_model::{ErrorCode, NodeId, PartitionEpoch, TopicPartition};

use super::control::{AlterPartitionError, LeaderAndIsrResponse};
use super::election::{Circumstances, PartitionState, first_state, next_state};
use super::facts::{Partition, Topic};
use super::rules::{self, Rule};
use super::tasks::{Flight, Task};
use super::{Controller, Write, Written};

impl Controller {
    /// Tells a broker its role in every partition that it holds a replica of. Where a change of the state is under way,
    /// it is told of the result.
    pub(super) fn tell_all_roles(&mut self, broker: NodeId) {
        for name in self.facts.partitions_on(broker) {
            let Some(partition) = self.facts.partition_mut(&name) else { continue };
            if partition.in_flight.is_some() && rules::holds(Rule::TellSettled) {
                partition.is_untold = true;
            } else {
                let is_new = partition.is_new;
                self.outbox.tell(broker, name, is_new);
            }
        }
    }

    /// Publishes the partitions of which no change is under way; the others are published with their result.
    pub(super) fn publish_settled(&mut self, partitions: Vec<TopicPartition>) {
        let settled = partitions.into_iter().filter(|name| !self.is_in_flight(name));
        let settled: Vec<_> = settled.collect();
        self.outbox.publish(settled);
    }

    pub(super) fn add_task(&mut self, name: &TopicPartition, task: Task) {
        if let Some(partition) = self.facts.partition_mut(name) {
            partition.tasks.push_back(task);
        }
        self.settle(name);
    }

    pub(super) fn settle_all(&mut self, partitions: &[TopicPartition]) {
        for name in partitions {
            self.settle(name);
        }
    }

    /// Does whatever is next for a partition: the change that the facts call for, else telling its replicas, else what
    /// was asked for. Ends with a write in flight or with nothing left to do.
    pub(super) fn settle(&mut self, name: &TopicPartition) {
        loop {
            if self.facts.partition(name).is_none_or(|partition| partition.in_flight.is_some()) {
                return;
            }
            if !rules::holds(Rule::TellSettled) {
                self.tell_replicas(name);
            }
            if let Some(write) = self.write_for(name) {
                return self.hand_out(name, write, Flight::Facts);
            }
            if let Some((state, flight)) = self.reassignment_state(name) {
                return self.hand_out(name, Write::SetState { partition: name.clone(), state }, flight);
            }
            self.tell_replicas(name);
            if let Some(write) = self.last_assignment(name) {
                return self.hand_out(name, write, Flight::Facts);
            }
            let Some(task) = self.facts.partition_mut(name).and_then(|partition| partition.tasks.pop_front()) else {
                return;
            };
            let judged = match &task {
                Task::Alter(alteration) => match self.judge_alteration(name, alteration) {
                    Ok(Some(state)) => Some(state),
                    Ok(None) => {
                        let state = self.partition_state(name).cloned();
                        self.altered(alteration, state.as_ref().ok_or(AlterPartitionError::UnknownPartition));
                        None
                    }
                    Err(error) => {
                        self.altered(alteration, Err(error));
                        None
                    }
                },
                Task::Elect { election, kind } => match self.judge_election(name, *kind) {
                    Ok(state) => Some(state),
                    Err(refusal) => {
                        self.elected(*election, name, Err(refusal));
                        None
                    }
                },
                Task::Reassign { asker, target } => {
                    if let Some(write) = self.start_reassignment(name, *asker, target.as_deref()) {
                        return self.hand_out(name, write, Flight::Task(task));
                    }
                    None
                }
            };
            if let Some(state) = judged {
                return self.hand_out(name, Write::SetState { partition: name.clone(), state }, Flight::Task(task));
            }
        }
    }

    pub(super) fn hand_out(&mut self, name: &TopicPartition, write: Write, flight: Flight) {
        if let Some(partition) = self.facts.partition_mut(name) {
            partition.in_flight = Some(flight);
            if !rules::holds(Rule::WrittenFirst)
                && let Write::SetState { state, .. } = &write
            {
                let partition_epoch = PartitionEpoch(state.partition_epoch.0 + 1);
                partition.state = Some(PartitionState { partition_epoch, ..state.clone() });
                partition.is_untold = true;
                self.tell_replicas(name);
            }
            self.outbox.write(write);
        }
    }

    /// Tells the replicas of a partition their roles, if they have yet to be told.
    pub(super) fn tell_replicas(&mut self, name: &TopicPartition) {
        let Some(partition) = self.facts.partition_mut(name).filter(|partition| partition.is_untold) else { return };
        partition.is_untold = false;
        let is_new = std::mem::take(&mut partition.is_new);
        let are_adding_new = std::mem::take(&mut partition.are_adding_new);
        for &replica in &partition.replicas {
            let is_added = are_adding_new && partition.adding_replicas.contains(&replica);
            self.outbox.tell(replica, name.clone(), is_new || is_added);
        }
    }

    pub(super) fn write_for(&self, name: &TopicPartition) -> Option<Write> {
        let topic = self.facts.topic(&name.topic).filter(|topic| topic.deletion.is_none())?;
        let partition = topic.partitions.get(&name.partition)?;
        self.with_circumstances(topic, name, partition, |circumstances| match &partition.state {
            None => first_state(circumstances).map(|state| Write::CreatePartition { partition: name.clone(), state }),
            Some(current) => {
                let state = next_state(current, circumstances)?;
                Some(Write::SetState { partition: name.clone(), state })
            }
        })
    }

    pub(super) fn with_circumstances<T>(
        &self,
        topic: &Topic,
        name: &TopicPartition,
        partition: &Partition,
        decide: impl FnOnce(&Circumstances<'_>) -> T,
    ) -> T {
        let (own, defaults) = (&topic.settings, &self.options.defaults);
        decide(&Circumstances {
            replicas: &partition.replicas,
            standing: &|replica| self.facts.standing(replica, name),
            unclean: own.unclean_leader_election.unwrap_or(defaults.unclean_leader_election),
            min_insync_replicas: own.min_insync_replicas.unwrap_or(defaults.min_insync_replicas),
            controller_epoch: self.options.epoch,
        })
    }

    pub(super) fn written(&mut self, results: Vec<Written>) {
        let mut settling = Vec::with_capacity(results.len());
        for result in results {
            match result {
                Written::State { partition, state } => {
                    self.state_written(&partition, &state);
                    settling.push(partition);
                }
                Written::Conflict { partition, current } => {
                    self.write_lost(&partition, current);
                    settling.push(partition);
                }
                Written::Assignment { partition, assignment } => {
                    self.assignment_written(&partition, assignment);
                    settling.push(partition);
                }
                Written::AssignmentLost { partition } => {
                    self.assignment_lost(&partition);
                    settling.push(partition);
                }
                Written::TopicDeleted { topic, id } => self.topic_deleted(&topic, id),
            }
        }
        self.settle_all(&settling);
        self.start_deletions();
    }

    /// Coordination holds the state that we wrote.
    pub(super) fn state_written(&mut self, name: &TopicPartition, state: &PartitionState) {
        let Some(partition) = self.facts.partition_mut(name) else { return };
        // The first state is the only one whose replicas were never told of the partition before.
        partition.is_new |= partition.state.is_none();
        let flight = partition.in_flight.take();
        partition.state = Some(state.clone());
        self.outbox.publish([name.clone()]);
        match flight {
            Some(Flight::Task(Task::Alter(alteration))) => self.altered(&alteration, Ok(state)),
            flight => {
                partition.is_untold = true;
                partition.are_adding_new |= std::mem::take(&mut partition.is_assignment_untold);
                match flight {
                    Some(Flight::Task(Task::Elect { election, .. })) => self.elected(election, name, Ok(state.leader)),
                    Some(Flight::Move) => self.end_reassignment(name),
                    _ => {}
                }
            }
        }
    }

    /// Coordination holds a state that somebody else wrote: that one counts, and replicas are told of it.
    pub(super) fn write_lost(&mut self, name: &TopicPartition, current: Option<PartitionState>) {
        let current = current.map(|state| self.facts.with_epochs(state));
        let Some(partition) = self.facts.partition_mut(name) else { return };
        partition.is_new |= partition.state.is_none();
        partition.is_untold = true;
        partition.state = current;
        self.outbox.publish([name.clone()]);
        match partition.in_flight.take() {
            Some(Flight::Task(Task::Alter(alteration))) => {
                self.altered(&alteration, Err(AlterPartitionError::StalePartitionEpoch));
            }
            Some(Flight::Task(task @ (Task::Elect { .. } | Task::Reassign { .. }))) => {
                partition.tasks.push_front(task);
            }
            Some(Flight::Facts | Flight::Move) | None => {}
        }
    }

    /// Leaders that write states themselves did so, and said it. A write of ours that is under way meets it by itself.
    pub(super) fn states_changed(&mut self, states: Vec<(TopicPartition, PartitionState)>) {
        for (name, state) in states {
            let state = self.facts.with_epochs(state);
            let Some(partition) = self.facts.partition_mut(&name) else { continue };
            let is_newer = |known: &PartitionState| known.partition_epoch < state.partition_epoch;
            if partition.in_flight.is_none() && partition.state.as_ref().is_none_or(is_newer) {
                partition.state = Some(state);
                self.outbox.publish([name.clone()]);
                self.settle(&name);
            }
        }
    }

    /// A replica that answers with a storage error is on a failed directory: offline although its broker is alive.
    pub(super) fn leader_and_isr_done(&mut self, broker: NodeId, response: &LeaderAndIsrResponse) {
        if response.error != ErrorCode::None {
            return;
        }
        let mut changed = Vec::new();
        for topic in &response.topics {
            let (Some(topic_name), _) = self.resolve(&topic.name, topic.id) else { continue };
            for result in &topic.partitions {
                let name = TopicPartition { topic: Arc::clone(&topic_name), partition: result.index };
                let moved = match result.error {
                    ErrorCode::KafkaStorageError => self.facts.set_replica_offline(broker, &name),
                    ErrorCode::None => self.facts.set_replica_online(broker, &name),
                    _ => false,
                };
                if moved {
                    changed.push(name);
                }
            }
        }
        self.settle_all(&changed);
        self.publish_settled(changed);
    }
}
