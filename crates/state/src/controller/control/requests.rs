//! What a controller is asked, by brokers and by clients, and what it answers.
//!
//! Source: Kafka 3.9 `AlterPartitionRequest.json`, `ControlledShutdownRequest.json`,
//! `AlterPartitionReassignmentsRequest.json`, `ListPartitionReassignmentsRequest.json`, `ElectLeadersRequest.json`.

use std::sync::Arc;

use whimbrel_model::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, PartitionEpoch, TopicPartition, Uuid};

use super::LeaderRecoveryState;

/// Names a request until it is answered. The driver gives them out; one is never used twice in a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A request for the active controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControllerRequest {
    AlterPartition(AlterPartitionRequest),
    ControlledShutdown(ControlledShutdownRequest),
    AlterReassignments(AlterReassignmentsRequest),
    ListReassignments(ListReassignmentsRequest),
    ElectLeaders(ElectLeadersRequest),
}

/// The answer to a [`ControllerRequest`], of the variant with the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControllerResponse {
    AlterPartition(AlterPartitionResponse),
    ControlledShutdown(ControlledShutdownResponse),
    AlterReassignments(AlterReassignmentsResponse),
    ListReassignments(ListReassignmentsResponse),
    ElectLeaders(ElectLeadersResponse),
}

/// One incarnation of a broker as a member of an ISR (KIP-903).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IsrMember {
    pub broker: NodeId,
    /// -1 where it is not known: a leader that cannot tell, or a state that a controller without KIP-903 wrote.
    pub epoch: BrokerEpoch,
}

/// A leader asks for another ISR or recovery state of partitions that it leads (KIP-497).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterPartitionRequest {
    /// The sender.
    pub broker: NodeId,
    pub broker_epoch: BrokerEpoch,
    pub topics: Vec<AlterPartitionTopic>,
}

/// The partitions of one topic in an [`AlterPartitionRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterPartitionTopic {
    /// Empty where the request named the topic by id only (version 2 and newer).
    pub name: Arc<str>,
    /// [`Uuid::ZERO`] where the request named it by name only.
    pub id: Uuid,
    pub partitions: Vec<AlterPartitionData>,
}

/// What one partition is to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterPartitionData {
    pub index: i32,
    /// The epoch in which the sender leads.
    pub leader_epoch: LeaderEpoch,
    pub new_isr: Vec<IsrMember>,
    pub recovery_state: LeaderRecoveryState,
    /// The version of the state that the change is based on.
    pub partition_epoch: PartitionEpoch,
}

/// The answer to an [`AlterPartitionRequest`], given once coordination holds the result.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AlterPartitionResponse {
    /// For the request as a whole; when it is not `None` there are no topics.
    pub error: ErrorCode,
    /// In the order of the request, every partition of it answered.
    pub topics: Vec<AlterPartitionTopicResult>,
}

/// The results of one topic. Name and id are both set where the topic is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterPartitionTopicResult {
    pub name: Arc<str>,
    pub id: Uuid,
    pub partitions: Vec<AlterPartitionResult>,
}

/// What became of one partition of an [`AlterPartitionRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterPartitionResult {
    pub index: i32,
    /// The state as it now is, or why it was not changed.
    pub result: Result<AlteredPartition, AlterPartitionError>,
}

/// The committed state of a partition, as its leader needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlteredPartition {
    pub leader: NodeId,
    pub leader_epoch: LeaderEpoch,
    pub isr: Vec<NodeId>,
    pub recovery_state: LeaderRecoveryState,
    pub partition_epoch: PartitionEpoch,
}

/// Why a partition was not altered. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AlterPartitionError {
    #[error("no topic has this id")]
    UnknownTopicId,
    #[error("no such partition")]
    UnknownPartition,
    #[error("this controller knows older epochs than the sender: another one has been elected")]
    StaleController,
    #[error("the sender's leadership is over")]
    FencedLeaderEpoch,
    #[error("the state has changed since the sender last heard of it")]
    StalePartitionEpoch,
    #[error("the request contradicts the partition's state")]
    InvalidRequest,
    #[error("a proposed member is not alive, is shutting down, or is another incarnation")]
    IneligibleReplica,
}

/// A broker is about to stop and asks for its leaderships to be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlledShutdownRequest {
    pub broker: NodeId,
    /// -1 from brokers that do not send it.
    pub broker_epoch: BrokerEpoch,
}

/// The answer to a [`ControlledShutdownRequest`], given once every move that is possible has been made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ControlledShutdownResponse {
    pub error: ErrorCode,
    /// The replicated partitions that it still leads, because nobody else can.
    pub remaining: Vec<TopicPartition>,
}

/// Starts, replaces or cancels reassignments (KIP-455).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AlterReassignmentsRequest {
    pub partitions: Vec<Reassignment>,
}

/// Where the replicas of one partition are to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reassignment {
    pub partition: TopicPartition,
    /// The whole target, preferred leader first; `None` cancels what is under way.
    pub replicas: Option<Vec<NodeId>>,
}

/// The answer to an [`AlterReassignmentsRequest`]: a reassignment that is accepted is recorded, not done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AlterReassignmentsResponse {
    pub error: ErrorCode,
    pub message: Option<String>,
    /// In the order of the request.
    pub partitions: Vec<PartitionOutcome>,
}

/// An error, or none, for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionOutcome {
    pub partition: TopicPartition,
    pub error: ErrorCode,
    pub message: Option<String>,
}

/// Asks which reassignments are under way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListReassignmentsRequest {
    /// `None` asks for all.
    pub partitions: Option<Vec<TopicPartition>>,
}

/// The answer to a [`ListReassignmentsRequest`]. Partitions that are unknown or not being reassigned are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListReassignmentsResponse {
    /// Sorted by name.
    pub partitions: Vec<OngoingReassignment>,
}

/// A reassignment under way: `replicas` is old and new together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OngoingReassignment {
    pub partition: TopicPartition,
    pub replicas: Vec<NodeId>,
    pub adding_replicas: Vec<NodeId>,
    pub removing_replicas: Vec<NodeId>,
}

/// Which leader an operator asks for (KIP-460).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ElectionKind {
    /// The first assigned replica, where it is in sync (0).
    Preferred,
    /// Any live replica, where no eligible one lives; committed records may be lost (1).
    Unclean,
}

impl ElectionKind {
    /// The kind with this number on the wire; `None` for a number that Kafka does not define.
    #[must_use]
    pub const fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Preferred),
            1 => Some(Self::Unclean),
            _ => None,
        }
    }
}

/// Asks for elections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElectLeadersRequest {
    pub kind: ElectionKind,
    /// `None` asks for every partition that needs one.
    pub partitions: Option<Vec<TopicPartition>>,
}

/// The answer to an [`ElectLeadersRequest`], given once coordination holds the new leaders.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ElectLeadersResponse {
    pub error: ErrorCode,
    /// In the order of the request; when all were asked for, those that needed an election, sorted by name.
    pub partitions: Vec<PartitionOutcome>,
    /// The leaders elected, so that the caller can wait until clients are told of them.
    pub elected: Vec<(TopicPartition, NodeId)>,
}
