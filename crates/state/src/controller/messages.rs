//! What goes into the machine and what comes out.

use std::sync::Arc;
use std::time::Duration;

use whimbrel_model::{BrokerEpoch, ControllerEpoch, NodeId, TopicPartition, Uuid};

use super::control::{
    ControllerRequest, ControllerResponse, Endpoint, LeaderAndIsrRequest, LeaderAndIsrResponse, LiveBroker, RequestId,
    StopReplicaRequest, StopReplicaResponse, UpdateMetadataRequest,
};
use super::election::PartitionState;

/// A registered broker incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    pub id: NodeId,
    pub epoch: BrokerEpoch,
    pub endpoints: Vec<Endpoint>,
    pub rack: Option<Arc<str>>,
    /// Nothing is lost of what its incarnations from this epoch on had appended; `epoch` where it proves nothing.
    pub intact_since: BrokerEpoch,
    /// It has been the same process since the registration with this epoch; `epoch` where it does not say.
    pub running_since: BrokerEpoch,
}

impl Broker {
    pub(super) fn as_live(&self) -> LiveBroker {
        LiveBroker { id: self.id, endpoints: self.endpoints.clone(), rack: self.rack.clone() }
    }
}

/// A topic as its node in coordination describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicAssignment {
    pub name: Arc<str>,
    pub id: Uuid,
    pub partitions: Vec<PartitionAssignment>,
    pub settings: TopicSettings,
}

/// The settings of a topic that the controller goes by; `None` where the topic has none of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TopicSettings {
    /// `unclean.leader.election.enable`
    pub unclean_leader_election: Option<bool>,
    /// `min.insync.replicas`
    pub min_insync_replicas: Option<usize>,
}

/// The same settings of topics that do not set them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultSettings {
    /// `unclean.leader.election.enable`
    pub unclean_leader_election: bool,
    /// `min.insync.replicas`
    pub min_insync_replicas: usize,
}

impl Default for DefaultSettings {
    /// Kafka's defaults.
    fn default() -> Self {
        Self { unclean_leader_election: false, min_insync_replicas: 1 }
    }
}

/// Where the replicas of a partition are to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionAssignment {
    pub index: i32,
    /// During a reassignment the target first, then the rest of the original replicas.
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
    /// What the legacy znode for reassignments asks for.
    pub reassignments: Vec<(TopicPartition, Vec<NodeId>)>,
    /// What the legacy znode for preferred leaders asks for; `None` when there is no such node.
    pub preferred_elections: Option<Vec<TopicPartition>>,
}

/// What a controller is, from its election to its resignation.
#[derive(Debug, Clone)]
pub struct ControllerOptions {
    pub id: NodeId,
    pub epoch: ControllerEpoch,
    /// The listener on which this controller reaches brokers, for the addresses of leaders in LeaderAndIsr.
    pub control_listener: Arc<str>,
    pub defaults: DefaultSettings,
    /// `delete.topic.enable`: when false, requests to delete topics are removed and nothing is deleted.
    pub delete_topics: bool,
    /// `auto.leader.rebalance.enable`; `None` when it is off.
    pub leader_balance: Option<LeaderBalance>,
}

/// When leadership goes back to preferred leaders by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaderBalance {
    /// `leader.imbalance.check.interval.seconds`
    pub interval: Duration,
    /// `leader.imbalance.per.broker.percentage`: above this share of a broker's preferred partitions.
    pub percentage: u32,
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
    /// States that somebody else wrote: leaders of brokers before 2.7 do.
    StatesChanged(Vec<(TopicPartition, PartitionState)>),
    /// A broker reported that a log directory failed, without saying which replicas were on it.
    LogDirFailed { broker: NodeId },
    /// Somebody asks the controller for something; an [`Action::Answer`] with this id follows, now or later.
    Request { id: RequestId, request: ControllerRequest },
    /// This incarnation gives no sign of life. Until it is cleared or replaced it counts as offline for leadership and
    /// ISR, but its channel stays open and it is told everything.
    BrokerSuspected { broker: NodeId, epoch: BrokerEpoch },
    /// The suspected incarnation answers again; it is told all its roles.
    BrokerCleared { broker: NodeId },
    /// The legacy znode asks for these reassignments.
    ReassignmentsRequested(Vec<(TopicPartition, Vec<NodeId>)>),
    /// The legacy znode asks for preferred leaders of these partitions.
    PreferredElectionRequested(Vec<TopicPartition>),
    /// A topic's settings changed.
    TopicSettings { topic: Arc<str>, settings: TopicSettings },
    /// The settings of topics that do not set them changed.
    DefaultSettings(DefaultSettings),
    /// Time has passed. `now` is measured from any fixed point.
    Tick { now: Duration },
}

/// What the driver must do, in order. Requests to one broker are sent one at a time and repeated until it answers or
/// its channel is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Requests to this broker will follow.
    OpenChannel(Broker),
    /// The same incarnation is at other endpoints: what waits for it and what follows goes there.
    MoveChannel(Broker),
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
    /// Replace the assignment of one partition in the topic's node, if the topic still has this id.
    SetAssignment { topic: Arc<str>, id: Uuid, assignment: PartitionAssignment },
    /// Leave these in the legacy request for reassignments; none: remove it.
    KeepReassignments(Vec<(TopicPartition, Vec<NodeId>)>),
    /// Remove the legacy request for preferred leaders.
    ForgetPreferredElection,
}

/// What became of a [`Write`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// A state write took effect; `state` as written, with the resulting partition epoch.
    State { partition: TopicPartition, state: PartitionState },
    /// Another write was there before: the state as it now is, or `None` if its node does not exist.
    Conflict { partition: TopicPartition, current: Option<PartitionState> },
    /// The topic's node has this assignment.
    Assignment { partition: TopicPartition, assignment: PartitionAssignment },
    /// The topic is gone, or another has its name.
    AssignmentLost { partition: TopicPartition },
    /// Nothing of the topic is left in coordination.
    TopicDeleted { topic: Arc<str>, id: Uuid },
}
