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
//! Invariants:
//! - A partition has at most one write in flight. What happens meanwhile is judged when its result is in.
//! - Brokers never hear of a state that coordination does not hold.
//! - Every write is made under the controller's epoch by the driver; when that check fails the driver drops the machine
//!   (the controller has moved), so no result of such a write ever arrives here.
//! - Within one input, requests to a broker leave in the order LeaderAndIsr, UpdateMetadata, StopReplica.
//! - Nothing of a topic is removed from coordination before every replica of it is gone from its broker.
//!
//! Source: Kafka 3.9 `KafkaController.scala`, `PartitionStateMachine.scala`, `ReplicaStateMachine.scala`,
//! `TopicDeletionManager.scala`. Kafka steps through per-replica states and writes between them; here the same outcome
//! is computed from the facts, in one write per partition.

pub mod assignment;
pub mod control;
mod deletion;
pub mod election;
mod facts;
mod outbox;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use whimbrel_model::{BrokerEpoch, ControllerEpoch, ErrorCode, NodeId, TopicPartition, Uuid};

use self::control::{
    AlterPartitionResponse, AlterReassignmentsResponse, ControlledShutdownResponse, ControllerRequest,
    ControllerResponse, ElectLeadersResponse, Endpoint, LeaderAndIsrRequest, LeaderAndIsrResponse,
    ListReassignmentsResponse, LiveBroker, RequestId, StopReplicaRequest, StopReplicaResponse, UpdateMetadataRequest,
};
use self::election::{PartitionState, first_state, next_state};
use self::facts::Facts;
use self::outbox::Outbox;

/// A registered broker incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    pub id: NodeId,
    pub epoch: BrokerEpoch,
    pub endpoints: Vec<Endpoint>,
    pub rack: Option<Arc<str>>,
}

impl Broker {
    fn as_live(&self) -> LiveBroker {
        LiveBroker { id: self.id, endpoints: self.endpoints.clone(), rack: self.rack.clone() }
    }
}

/// A topic as its node in coordination describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicAssignment {
    pub name: Arc<str>,
    pub id: Uuid,
    pub partitions: Vec<PartitionAssignment>,
    /// The topic's `unclean.leader.election.enable`; `None` when it has none of its own.
    pub unclean_leader_election: Option<bool>,
}

/// Where the replicas of a partition are to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionAssignment {
    pub index: i32,
    pub replicas: Vec<NodeId>,
    pub adding_replicas: Vec<NodeId>,
    pub removing_replicas: Vec<NodeId>,
}

/// All that a new controller reads before it acts.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub brokers: Vec<Broker>,
    pub topics: Vec<TopicAssignment>,
    /// The state nodes that exist.
    pub states: Vec<(TopicPartition, PartitionState)>,
    /// Topics whose deletion is asked for.
    pub deletions: Vec<Arc<str>>,
}

/// What a controller is, from its election to its resignation.
#[derive(Debug, Clone)]
pub struct ControllerOptions {
    pub id: NodeId,
    pub epoch: ControllerEpoch,
    /// The listener on which this controller reaches brokers, for the addresses of leaders in LeaderAndIsr.
    pub control_listener: Arc<str>,
    /// The broker's `unclean.leader.election.enable`.
    pub unclean_leader_election: bool,
    /// `delete.topic.enable`: when false, requests to delete topics are removed and nothing is deleted.
    pub delete_topics: bool,
}

/// Something happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// The registered brokers, all of them.
    Brokers(Vec<Broker>),
    /// Topics that are new, or whose assignment changed.
    TopicsChanged(Vec<TopicAssignment>),
    /// The topics that exist; others are forgotten. Topics that are listed and not yet known stay unknown.
    TopicsListed(Vec<Arc<str>>),
    /// The topics whose deletion is asked for, all of them.
    DeletionsRequested(Vec<Arc<str>>),
    /// Results of writes, in any order.
    Written(Vec<Written>),
    /// A broker answered a LeaderAndIsr request.
    LeaderAndIsrDone { broker: NodeId, response: LeaderAndIsrResponse },
    /// A broker answered a StopReplica request; partitions that had `delete` set are named in `deleted`.
    StopReplicaDone { broker: NodeId, deleted: Vec<TopicPartition>, response: StopReplicaResponse },
    /// A broker reported that a log directory failed, without saying which replicas were on it.
    LogDirFailed { broker: NodeId },
    /// Somebody asks the controller for something; an [`Action::Answer`] with this id follows, now or later.
    Request { id: RequestId, request: ControllerRequest },
    /// This incarnation gives no sign of life. Until it is cleared or replaced it counts as offline for leadership and
    /// ISR, but its channel stays open and it is told everything.
    BrokerSuspected { broker: NodeId, epoch: BrokerEpoch },
    /// The suspected incarnation answers again; it is told all its roles.
    BrokerCleared { broker: NodeId },
    /// `unclean.leader.election.enable` of a topic changed.
    UncleanElectionOfTopic { topic: Arc<str>, allowed: Option<bool> },
    /// The broker-wide `unclean.leader.election.enable` changed.
    UncleanElectionDefault(bool),
}

/// What the driver must do, in order. Requests to one broker are sent one at a time and repeated until it answers or
/// its channel is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Requests to this broker will follow.
    OpenChannel(Broker),
    /// Drop what waits for this broker.
    CloseChannel(NodeId),
    /// Make these writes, in one batch; feed the results back.
    Write(Vec<Write>),
    LeaderAndIsr(NodeId, LeaderAndIsrRequest),
    UpdateMetadata(NodeId, UpdateMetadataRequest),
    StopReplica(NodeId, StopReplicaRequest),
    /// The answer to [`Input::Request`].
    Answer {
        id: RequestId,
        response: ControllerResponse,
    },
}

/// One change of coordination's state, to be made under the controller's epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Create a partition's nodes, parents included.
    CreatePartition { partition: TopicPartition, state: PartitionState },
    /// Replace a state whose node has the version `state.partition_epoch`.
    SetState { partition: TopicPartition, state: PartitionState },
    /// Remove the topic's node with all below it, its configuration, and the request to delete it, in this order. The id
    /// comes back with the result: a new topic may have the name by then.
    DeleteTopic { topic: Arc<str>, id: Uuid },
    /// Remove a request to delete a topic, nothing else.
    ForgetDeletion { topic: Arc<str> },
}

/// What became of a [`Write`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// A state write took effect; `state` as written, with the resulting partition epoch.
    State { partition: TopicPartition, state: PartitionState },
    /// Another write was there before: the state as it now is, or `None` if its node does not exist.
    Conflict { partition: TopicPartition, current: Option<PartitionState> },
    /// Nothing of the topic is left in coordination.
    TopicDeleted { topic: Arc<str>, id: Uuid },
}

/// The active controller. See the module's documentation.
#[derive(Debug)]
pub struct Controller {
    options: ControllerOptions,
    facts: Facts,
    outbox: Outbox,
}

impl Controller {
    /// A controller that was just elected and has read `snapshot`; `actions` receives what it does first.
    #[must_use]
    pub fn start(options: ControllerOptions, snapshot: Snapshot, actions: &mut Vec<Action>) -> Self {
        let mut controller = Self { options, facts: Facts::default(), outbox: Outbox::default() };
        controller.facts.load(&snapshot);
        actions.extend(snapshot.brokers.iter().cloned().map(Action::OpenChannel));
        // Brokers must know each other before the first LeaderAndIsr: followers look up their leader among the live ones.
        controller.outbox.announce_brokers(controller.facts.broker_ids());
        controller.flush(actions);

        for broker in controller.facts.broker_ids() {
            controller.tell_all_roles(broker);
        }
        let all = controller.facts.all_partitions();
        controller.outbox.publish(all.iter().cloned());
        // First, so that nothing is created for a topic that is about to go.
        controller.request_deletions(snapshot.deletions);
        controller.reconcile(all);
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
            Input::Request { id, request } => {
                let response = refuse(&request, ErrorCode::UnsupportedVersion);
                actions.push(Action::Answer { id, response });
            }
            Input::BrokerSuspected { .. } | Input::BrokerCleared { .. } => {}
            Input::UncleanElectionOfTopic { topic, allowed } => {
                let partitions = self.facts.set_unclean_election(&topic, allowed);
                self.reconcile(partitions);
            }
            Input::UncleanElectionDefault(allowed) => {
                self.options.unclean_leader_election = allowed;
                let all = self.facts.all_partitions();
                self.reconcile(all);
            }
        }
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

    /// New, lost, bounced and moved brokers. Channels first, then who is alive, then roles, then elections.
    fn brokers_changed(&mut self, brokers: Vec<Broker>, actions: &mut Vec<Action>) {
        let change = self.facts.replace_brokers(brokers);
        actions.extend(change.lost.iter().map(|&id| Action::CloseChannel(id)));
        actions.extend(change.started.iter().filter_map(|id| self.facts.broker(*id)).cloned().map(Action::OpenChannel));
        if change.is_empty() {
            return;
        }
        // The brokers that stay learn of the change before any role that depends on it.
        self.outbox.announce_brokers(self.facts.broker_ids());
        self.flush(actions);
        if !change.started.is_empty() {
            self.outbox.publish_to(&change.started, self.facts.partitions_with_state());
        }
        for &broker in &change.started {
            self.tell_all_roles(broker);
        }
        // Whether or not their state changes, the replicas on these brokers went offline or came back.
        for &broker in change.lost.iter().chain(&change.started) {
            self.outbox.publish(self.facts.partitions_on(broker));
        }
        let all = self.facts.all_partitions();
        self.reconcile(all);
        for &broker in &change.lost {
            self.suspend_deletions(broker);
        }
        if !change.started.is_empty() {
            self.resume_deletions();
        }
    }

    fn topics_changed(&mut self, topics: Vec<TopicAssignment>) {
        let mut touched = Vec::new();
        for topic in topics {
            // Deleted and created again between two looks: all that is known belongs to the old one.
            let replaced = self.facts.topic(&topic.name).is_some_and(|known| known.id != topic.id);
            if replaced && let Some(old) = self.facts.forget_topic(&topic.name) {
                self.outbox.publish_deleted(old);
            }
            touched.extend(self.facts.upsert_topic(topic));
        }
        self.reconcile(touched);
    }

    fn topics_listed(&mut self, names: &[Arc<str>]) {
        for topic in self.facts.forget_all_topics_but(names) {
            self.outbox.publish_deleted(topic);
        }
    }

    /// Tells a broker its role in every partition that it holds a replica of.
    fn tell_all_roles(&mut self, broker: NodeId) {
        for partition in self.facts.partitions_on(broker) {
            self.outbox.tell(broker, partition, false);
        }
    }

    /// Compares each partition with what the facts call for and queues the write that closes the gap.
    fn reconcile(&mut self, partitions: Vec<TopicPartition>) {
        for name in partitions {
            if let Some(write) = self.write_for(&name) {
                if let Some(partition) = self.facts.partition_mut(&name) {
                    partition.in_flight = true;
                }
                self.outbox.write(write);
            }
        }
    }

    fn write_for(&self, name: &TopicPartition) -> Option<Write> {
        let topic = self.facts.topic(&name.topic)?;
        let partition = topic.partitions.get(&name.partition)?;
        if partition.in_flight || topic.deletion.is_some() {
            return None;
        }
        let online = |replica| self.facts.is_online(replica, name);
        let Some(current) = &partition.state else {
            let state = first_state(&partition.replicas, online, self.options.epoch)?;
            return Some(Write::CreatePartition { partition: name.clone(), state });
        };
        let unclean = topic.unclean_leader_election.unwrap_or(self.options.unclean_leader_election);
        let state = next_state(current, &partition.replicas, online, unclean, self.options.epoch)?;
        Some(Write::SetState { partition: name.clone(), state })
    }

    fn written(&mut self, results: Vec<Written>) {
        let mut again = Vec::new();
        for result in results {
            match result {
                Written::State { partition, state } => self.state_written(partition, Some(state), &mut again),
                Written::Conflict { partition, current } => self.state_written(partition, current, &mut again),
                Written::TopicDeleted { topic, id } => self.topic_deleted(&topic, id),
            }
        }
        self.reconcile(again);
        self.start_deletions();
    }

    /// Takes over the state that coordination holds, ours or another's, and tells its replicas and everyone.
    fn state_written(&mut self, name: TopicPartition, state: Option<PartitionState>, again: &mut Vec<TopicPartition>) {
        let Some(partition) = self.facts.partition_mut(&name) else { return };
        // The first state is the only one whose replicas were never told of the partition before.
        let is_new = partition.state.is_none();
        partition.in_flight = false;
        partition.state = state;
        let replicas = partition.replicas.clone();
        for replica in replicas {
            self.outbox.tell(replica, name.clone(), is_new);
        }
        self.outbox.publish([name.clone()]);
        again.push(name);
    }

    /// A replica that answers with a storage error is on a failed directory: offline although its broker is alive.
    fn leader_and_isr_done(&mut self, broker: NodeId, response: &LeaderAndIsrResponse) {
        if response.error != ErrorCode::None {
            return;
        }
        let mut changed = Vec::new();
        for topic in &response.topics {
            for result in &topic.partitions {
                let name = TopicPartition { topic: Arc::clone(&topic.name), partition: result.index };
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
        self.outbox.publish(changed.iter().cloned());
        self.reconcile(changed);
    }
}

/// The answer that refuses a request as a whole. A list of reassignments has no error: it is empty.
fn refuse(request: &ControllerRequest, error: ErrorCode) -> ControllerResponse {
    match request {
        ControllerRequest::AlterPartition(_) => {
            ControllerResponse::AlterPartition(AlterPartitionResponse { error, ..AlterPartitionResponse::default() })
        }
        ControllerRequest::ControlledShutdown(_) => {
            ControllerResponse::ControlledShutdown(ControlledShutdownResponse {
                error,
                ..ControlledShutdownResponse::default()
            })
        }
        ControllerRequest::AlterReassignments(_) => {
            ControllerResponse::AlterReassignments(AlterReassignmentsResponse {
                error,
                ..AlterReassignmentsResponse::default()
            })
        }
        ControllerRequest::ListReassignments(_) => {
            ControllerResponse::ListReassignments(ListReassignmentsResponse::default())
        }
        ControllerRequest::ElectLeaders(_) => {
            ControllerResponse::ElectLeaders(ElectLeadersResponse { error, ..ElectLeadersResponse::default() })
        }
    }
}
