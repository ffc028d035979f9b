//! What a controller tells brokers: LeaderAndIsr, UpdateMetadata and StopReplica, and what they answer.
//!
//! The other direction, requests that a controller answers, is in [`requests`].
//!
//! These are the meanings of the requests, free of any version of their wire form. A batch is delivered to a
//! broker in the order LeaderAndIsr, UpdateMetadata, StopReplica, one request at a time, each repeated until the broker
//! answers or leaves the cluster. Source: Kafka 3.9 `ControllerChannelManager.scala` and the three JSON schemas.

mod requests;

use std::sync::Arc;

pub use self::requests::{
    AlterPartitionData, AlterPartitionError, AlterPartitionRequest, AlterPartitionResponse, AlterPartitionResult,
    AlterPartitionTopic, AlterPartitionTopicResult, AlterReassignmentsRequest, AlterReassignmentsResponse,
    AlteredPartition, ControlledShutdownRequest, ControlledShutdownResponse, ControllerRequest, ControllerResponse,
    ElectLeadersRequest, ElectLeadersResponse, ElectionKind, IsrMember, ListReassignmentsRequest,
    ListReassignmentsResponse, OngoingReassignment, PartitionOutcome, Reassignment, RequestId,
};
use whimbrel_model::{BrokerEpoch, ControllerEpoch, ErrorCode, LeaderEpoch, NodeId, PartitionEpoch, Uuid};

/// The leader of a partition that is being deleted, in UpdateMetadata only: the receiver forgets the partition.
pub const LEADER_DURING_DELETE: NodeId = NodeId(-2);

/// The leader epoch of StopReplica for a topic that is being deleted: always accepted (KIP-570).
pub const EPOCH_DURING_DELETE: LeaderEpoch = LeaderEpoch(-2);

/// Whether the leader was elected from outside the ISR and has yet to recover (KIP-704).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LeaderRecoveryState {
    /// The normal state (0).
    #[default]
    Recovered,
    /// Elected uncleanly and not yet recovered (1). Only the leader may be in the ISR.
    Recovering,
}

impl LeaderRecoveryState {
    /// The number in the state node and on the wire.
    #[must_use]
    pub const fn code(self) -> i8 {
        match self {
            Self::Recovered => 0,
            Self::Recovering => 1,
        }
    }

    /// The state with this number; `None` for a number that Kafka does not define.
    #[must_use]
    pub const fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Recovered),
            1 => Some(Self::Recovering),
            _ => None,
        }
    }
}

/// Who sends a control request, and to which incarnation of the receiver.
///
/// The receiver answers `StaleBrokerEpoch` when `broker_epoch` is below its own (-1 and larger ones pass: the
/// controller may have seen a new registration first), and `StaleControllerEpoch` when `controller_epoch` is below the
/// highest it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlHeader {
    pub controller_id: NodeId,
    pub controller_epoch: ControllerEpoch,
    pub broker_epoch: BrokerEpoch,
}

/// Makes the receiver leader or follower of each listed partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderAndIsrRequest {
    pub header: ControlHeader,
    pub topics: Vec<LeaderAndIsrTopic>,
    /// Where the leaders of this request are reached on the inter-broker listener, sorted by id.
    pub live_leaders: Vec<LiveLeader>,
}

/// The partitions of one topic in a [`LeaderAndIsrRequest`], sorted by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderAndIsrTopic {
    pub name: Arc<str>,
    /// [`Uuid::ZERO`] when the topic has none.
    pub id: Uuid,
    pub partitions: Vec<LeaderAndIsrPartition>,
}

/// One partition: its committed state and its assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderAndIsrPartition {
    pub index: i32,
    /// The epoch of the controller that wrote the state, which may be an earlier one than the sender's.
    pub controller_epoch: ControllerEpoch,
    /// [`NodeId::NONE`] when the partition has no leader.
    pub leader: NodeId,
    pub leader_epoch: LeaderEpoch,
    pub isr: Vec<NodeId>,
    pub partition_epoch: PartitionEpoch,
    /// All assigned replicas; the first is the preferred leader.
    pub replicas: Vec<NodeId>,
    /// The part of `replicas` that a reassignment adds.
    pub adding_replicas: Vec<NodeId>,
    /// The part of `replicas` that a reassignment removes.
    pub removing_replicas: Vec<NodeId>,
    /// The receiver has never held this replica: it may create the log even while one of its directories is offline.
    pub is_new: bool,
    pub recovery_state: LeaderRecoveryState,
}

/// Where a leader is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveLeader {
    pub id: NodeId,
    pub host: Arc<str>,
    pub port: i32,
}

/// The answer to a [`LeaderAndIsrRequest`]: an error for the whole of it, or one code for each partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaderAndIsrResponse {
    pub error: ErrorCode,
    pub topics: Vec<LeaderAndIsrTopicResult>,
}

/// The results of one topic. Keyed by the topic's id, as the newest wire versions are; `name` is there for topics
/// without an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderAndIsrTopicResult {
    pub name: Arc<str>,
    pub id: Uuid,
    pub partitions: Vec<PartitionResult>,
}

/// What became of one partition of a control request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionResult {
    pub index: i32,
    pub error: ErrorCode,
}

/// Tells the receiver who is alive and who leads. Brokers are replaced wholesale, partitions one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateMetadataRequest {
    pub header: ControlHeader,
    /// Only the partitions that changed; shared between the requests to all brokers.
    pub topics: Arc<[UpdateMetadataTopic]>,
    /// *All* live brokers, sorted by id.
    pub live_brokers: Arc<[LiveBroker]>,
}

/// The changed partitions of one topic, sorted by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateMetadataTopic {
    pub name: Arc<str>,
    /// [`Uuid::ZERO`] when the topic has none; it then loses the id it had in the receiver's cache.
    pub id: Uuid,
    pub partitions: Vec<UpdateMetadataPartition>,
}

/// One partition as clients are to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateMetadataPartition {
    pub index: i32,
    pub controller_epoch: ControllerEpoch,
    /// [`LEADER_DURING_DELETE`] removes the partition from the cache.
    pub leader: NodeId,
    pub leader_epoch: LeaderEpoch,
    pub isr: Vec<NodeId>,
    pub partition_epoch: PartitionEpoch,
    pub replicas: Vec<NodeId>,
    /// The assigned replicas that are on no live broker, or on a failed directory of one.
    pub offline_replicas: Vec<NodeId>,
}

/// One live broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveBroker {
    pub id: NodeId,
    pub endpoints: Vec<Endpoint>,
    pub rack: Option<Arc<str>>,
}

impl LiveBroker {
    /// Its endpoint of the listener with this name (upper case).
    #[must_use]
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| &*endpoint.listener == listener)
    }
}

/// One advertised listener of a broker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The listener's name, upper case.
    pub listener: Arc<str>,
    pub protocol: SecurityProtocol,
    /// A host name or address; IPv6 without brackets.
    pub host: Arc<str>,
    pub port: i32,
}

/// How connections of a listener are secured and authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecurityProtocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl SecurityProtocol {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::Plaintext => 0,
            Self::Ssl => 1,
            Self::SaslPlaintext => 2,
            Self::SaslSsl => 3,
        }
    }

    /// The protocol with this number; `None` for a number that Kafka does not define.
    #[must_use]
    pub const fn from_code(code: i16) -> Option<Self> {
        match code {
            0 => Some(Self::Plaintext),
            1 => Some(Self::Ssl),
            2 => Some(Self::SaslPlaintext),
            3 => Some(Self::SaslSsl),
            _ => None,
        }
    }

    /// Kafka's name, as it stands in configuration and in registrations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    /// The protocol with this name, whatever its case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl]
            .into_iter()
            .find(|protocol| protocol.name().eq_ignore_ascii_case(name))
    }
}

/// The answer to an [`UpdateMetadataRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpdateMetadataResponse {
    pub error: ErrorCode,
}

/// Makes the receiver stop replicas, and delete those that say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReplicaRequest {
    pub header: ControlHeader,
    pub topics: Vec<StopReplicaTopic>,
}

/// The partitions of one topic in a [`StopReplicaRequest`], sorted by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReplicaTopic {
    pub name: Arc<str>,
    pub partitions: Vec<StopReplicaPartition>,
}

/// One replica to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopReplicaPartition {
    pub index: i32,
    /// [`EPOCH_DURING_DELETE`] and -1 (no leader known) always pass; otherwise an epoch below the receiver's is
    /// refused with `FencedLeaderEpoch`.
    pub leader_epoch: LeaderEpoch,
    /// Also delete the log, even if the replica is not hosted but its directory is on disk.
    pub delete: bool,
}

/// The answer to a [`StopReplicaRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StopReplicaResponse {
    pub error: ErrorCode,
    pub topics: Vec<StopReplicaTopicResult>,
}

/// The results of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReplicaTopicResult {
    pub name: Arc<str>,
    pub partitions: Vec<PartitionResult>,
}
