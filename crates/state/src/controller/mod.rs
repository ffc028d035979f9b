//! The controller: who leads which partition, as a state machine without I/O or clock.
//!
//! One [`Controller`] lives from an election to a resignation. It holds facts (which broker incarnations are alive,
//! which topics are assigned where, what each partition's state node holds) and compares, after each input, the state
//! that a partition has with the one that the facts call for (`election`). A difference becomes a [`Write`]; only when
//! coordination has taken it are brokers told.
//!
//! ```text
//! topic appears ──▶ New ──Write::CreatePartition──▶ has state ──LeaderAndIsr to replicas, UpdateMetadata to all
//!                                                     │  ▲
//!              broker gone, directory failed, … ──────┘  └── Write::SetState, guarded by the partition epoch
//! deletion asked ──▶ UpdateMetadata(leader -2), StopReplica(delete) ──all replicas gone──▶ Write::DeleteTopic
//! ```
//!
//! Requests for single partitions (AlterPartition, elections) wait in the partition's queue (`tasks`) until nothing else
//! of it is under way, and are answered when coordination holds the result.
//!
//! Invariants:
//! - A partition has at most one write in flight. What happens meanwhile is judged when its result is in.
//! - Brokers never hear of a state that coordination does not hold, nor of one that the facts already contradict: a
//!   broker that came back without its tail is never told that it leads as before.
//! - Every write is made under the controller's epoch by the driver; when that check fails the driver drops the machine
//!   (the controller has moved), so no result of such a write ever arrives here.
//! - Within one input, requests to a broker leave in the order LeaderAndIsr, UpdateMetadata, StopReplica.
//! - Nothing of a topic is removed from coordination before every replica of it is gone from its broker.
//!
//! Source: Kafka 3.9 `KafkaController.scala`, `PartitionStateMachine.scala`, `ReplicaStateMachine.scala`,
//! `TopicDeletionManager.scala`. Kafka steps through per-replica states and writes between them; here the same outcome
//! is computed from the facts, in one write per partition.

mod alter_partition;
pub mod assignment;
pub mod control;
mod deletion;
mod elect_leaders;
pub mod election;
mod facts;
mod messages;
mod outbox;
mod reassignment;
mod rules;
mod settle;
mod shutdown;
mod tasks;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use whimbrel_model::{BrokerEpoch, ControllerEpoch, ErrorCode, NodeId, TopicPartition};

use self::alter_partition::Altering;
use self::control::{AlterPartitionError, ControllerRequest, RequestId};
pub use self::deletion::WaitingDeletion;
use self::elect_leaders::Electing;
use self::election::PartitionState;
use self::facts::{Facts, Topic};
pub use self::messages::{
    Action, Broker, ControllerOptions, DefaultSettings, Input, LeaderBalance, PartitionAssignment, Snapshot,
    TopicAssignment, TopicSettings, Write, Written,
};
use self::outbox::Outbox;
use self::reassignment::Reassigning;
use self::shutdown::ShuttingDown;
use self::tasks::{ElectionId, Flight, Task};

/// The active controller. See the module's documentation.
#[derive(Debug)]
pub struct Controller {
    options: ControllerOptions,
    facts: Facts,
    outbox: Outbox,
    altering: BTreeMap<RequestId, Altering>,
    electing: BTreeMap<ElectionId, Electing>,
    reassigning: BTreeMap<RequestId, Reassigning>,
    /// What is left in the legacy znode for reassignments.
    legacy_reassignments: BTreeMap<TopicPartition, Vec<NodeId>>,
    next_election: u64,
    shutting_down: Vec<ShuttingDown>,
    /// When to look for imbalance next; unset until the first tick.
    next_balance: Option<Duration>,
}

impl Controller {
    /// A controller that was just elected and has read `snapshot`; `actions` receives what it does first.
    #[must_use]
    pub fn start(options: ControllerOptions, snapshot: Snapshot, actions: &mut Vec<Action>) -> Self {
        let mut controller = Self {
            options,
            facts: Facts::default(),
            outbox: Outbox::default(),
            altering: BTreeMap::new(),
            electing: BTreeMap::new(),
            reassigning: BTreeMap::new(),
            legacy_reassignments: BTreeMap::new(),
            next_election: 0,
            shutting_down: Vec::new(),
            next_balance: None,
        };
        controller.facts.load(&snapshot);
        actions.extend(snapshot.brokers.iter().cloned().map(Action::OpenChannel));
        // Brokers must know each other before the first LeaderAndIsr: followers look up their leader among the live ones.
        controller.outbox.announce_brokers(controller.facts.broker_ids());
        controller.flush(actions);

        // First, so that nothing is created for a topic that is about to go.
        controller.request_deletions(snapshot.deletions);
        let all = controller.facts.all_partitions();
        controller.settle_all(&all);
        for broker in controller.facts.broker_ids() {
            controller.tell_all_roles(broker);
        }
        // All of them, those with a change under way too: a broker that has just started knows nothing yet, and a client
        // that is shown a part of a topic's partitions takes the rest for gone.
        controller.outbox.publish(all);
        controller.reassignments_requested(snapshot.reassignments);
        if let Some(partitions) = snapshot.preferred_elections {
            controller.preferred_election_requested(&partitions);
        }
        controller.flush(actions);
        controller
    }

    /// Takes in one input; `actions` receives what follows from it.
    pub fn handle(&mut self, input: Input, actions: &mut Vec<Action>) {
        match input {
            Input::Brokers(brokers) => self.brokers_changed(brokers, actions),
            Input::TopicsChanged(topics) => self.topics_changed(topics),
            Input::TopicsListed(names) => self.topics_listed(&names),
            Input::DeletionsRequested(topics) => self.request_deletions(topics),
            Input::Written(results) => self.written(results),
            Input::LeaderAndIsrDone { broker, response } => self.leader_and_isr_done(broker, &response),
            Input::StopReplicaDone { broker, deleted, response } => {
                self.stop_replica_done(broker, &deleted, &response);
            }
            // The answers to LeaderAndIsr name the replicas that are on the failed directory.
            Input::LogDirFailed { broker } => self.tell_all_roles(broker),
            Input::StatesChanged(states) => self.states_changed(states),
            Input::Request { id, request } => self.requested(id, request),
            Input::BrokerSuspected { broker, epoch } => self.broker_suspected(broker, epoch),
            Input::BrokerCleared { broker } => self.broker_cleared(broker),
            Input::ReassignmentsRequested(asked) => self.reassignments_requested(asked),
            Input::PreferredElectionRequested(partitions) => self.preferred_election_requested(&partitions),
            Input::TopicSettings { topic, settings } => {
                let partitions = self.facts.set_topic_settings(&topic, settings);
                self.settle_all(&partitions);
            }
            Input::DefaultSettings(defaults) => {
                self.options.defaults = defaults;
                let all = self.facts.all_partitions();
                self.settle_all(&all);
            }
            Input::Tick { now } => self.tick(now),
        }
        self.finish_shutdowns();
        self.flush(actions);
    }

    /// This controller's epoch.
    #[must_use]
    pub fn epoch(&self) -> ControllerEpoch {
        self.options.epoch
    }

    /// Whether the topic is known and not being deleted.
    #[must_use]
    pub fn serves_topic(&self, topic: &str) -> bool {
        self.facts.topic(topic).is_some_and(|topic| topic.deletion.is_none())
    }

    /// The committed state of a partition.
    #[must_use]
    pub fn partition_state(&self, partition: &TopicPartition) -> Option<&PartitionState> {
        self.facts.partition(partition)?.state.as_ref()
    }

    fn flush(&mut self, actions: &mut Vec<Action>) {
        self.outbox.flush(&self.options, &self.facts, actions);
    }

    fn requested(&mut self, id: RequestId, request: ControllerRequest) {
        match request {
            ControllerRequest::AlterPartition(request) => self.alter_partition(id, request),
            ControllerRequest::ControlledShutdown(request) => self.controlled_shutdown(id, request),
            ControllerRequest::ElectLeaders(request) => self.elect_leaders(id, request),
            ControllerRequest::AlterReassignments(request) => self.alter_reassignments(id, request),
            ControllerRequest::ListReassignments(request) => self.list_reassignments(id, request),
        }
    }

    /// New, lost, bounced and moved brokers. Channels first, then who is alive, then elections, then roles.
    fn brokers_changed(&mut self, brokers: Vec<Broker>, actions: &mut Vec<Action>) {
        let change = self.facts.replace_brokers(brokers);
        actions.extend(change.lost.iter().map(|&id| Action::CloseChannel(id)));
        let now = |ids: &[NodeId]| ids.iter().filter_map(|id| self.facts.broker(*id)).cloned().collect::<Vec<_>>();
        actions.extend(now(&change.started).into_iter().map(Action::OpenChannel));
        actions.extend(now(&change.updated).into_iter().map(Action::MoveChannel));
        if change.is_empty() {
            return;
        }
        // The brokers that stay learn of the change before any role that depends on it.
        self.outbox.announce_brokers(self.facts.broker_ids());
        self.flush(actions);
        if !change.started.is_empty() {
            self.outbox.publish_to(&change.started, self.facts.partitions_with_state());
        }
        let affected: BTreeSet<NodeId> = change.lost.iter().chain(&change.started).copied().collect();
        let partitions = self.facts.assigned_to(&affected);
        self.settle_all(&partitions);
        for &broker in &change.started {
            self.tell_all_roles(broker);
        }
        // Whether or not their state changes, the replicas on these brokers went offline or came back.
        self.publish_settled(partitions);
        for &broker in &change.lost {
            self.stop_moved_replicas_again(broker);
            self.suspend_deletions(broker);
        }
        if !change.started.is_empty() {
            self.resume_deletions();
        }
    }

    fn broker_suspected(&mut self, broker: NodeId, epoch: BrokerEpoch) {
        if self.facts.suspect(broker, epoch) {
            self.presence_changed(broker);
        }
    }

    fn broker_cleared(&mut self, broker: NodeId) {
        if self.facts.clear(broker) {
            self.presence_changed(broker);
            self.tell_all_roles(broker);
            self.resume_deletions();
        }
    }

    fn presence_changed(&mut self, broker: NodeId) {
        let partitions = self.facts.assigned_to(&BTreeSet::from([broker]));
        self.settle_all(&partitions);
        self.publish_settled(partitions);
    }

    fn topics_changed(&mut self, topics: Vec<TopicAssignment>) {
        let mut touched = Vec::new();
        for topic in topics {
            // Deleted and created again between two looks: all that is known belongs to the old one.
            let replaced = self.facts.topic(&topic.name).is_some_and(|known| known.id != topic.id);
            if replaced && let Some(old) = self.facts.forget_topic(&topic.name) {
                self.forgotten(old);
            }
            touched.extend(self.facts.upsert_topic(topic));
        }
        self.settle_all(&touched);
    }

    fn topics_listed(&mut self, names: &[Arc<str>]) {
        for topic in self.facts.forget_all_topics_but(names) {
            self.forgotten(topic);
        }
    }

    /// A topic is gone: brokers forget it, and whoever waits for something of it is answered.
    fn forgotten(&mut self, mut topic: Topic) {
        for (&index, partition) in &mut topic.partitions {
            let name = TopicPartition { topic: Arc::clone(&topic.name), partition: index };
            let in_flight = partition.in_flight.take();
            let flying = in_flight.into_iter().filter_map(|flight| match flight {
                Flight::Facts | Flight::Move => None,
                Flight::Task(task) => Some(task),
            });
            for task in flying.chain(std::mem::take(&mut partition.tasks)) {
                match task {
                    Task::Alter(alteration) => {
                        self.altered(&alteration, Err(AlterPartitionError::UnknownPartition));
                    }
                    Task::Elect { election, .. } => {
                        let refusal = (ErrorCode::UnknownTopicOrPartition, None);
                        self.elected(election, &name, Err(refusal));
                    }
                    Task::Reassign { asker, .. } => {
                        self.reassigned(asker, &name, Err((ErrorCode::UnknownTopicOrPartition, None)));
                    }
                }
            }
            self.forget_legacy(&name);
        }
        self.outbox.publish_deleted(topic);
    }
}
