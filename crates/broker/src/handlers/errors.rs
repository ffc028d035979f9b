//! The one place that knows both our errors and Kafka's codes.
//!
//! A code is chosen by what the client may do next: a retriable one promises that the request had no effect, or that
//! repeating it is safe. Every match is exhaustive, so that a new error stops the build until someone decides.

use whimbrel_model::{ErrorCode, LeaderEpoch, NodeId};
use whimbrel_state::controller::control::UpdateMetadataPartition;
use whimbrel_state::partition::LeadershipError;
use whimbrel_storage::{self as storage, StorageError};
use whimbrel_wire::Str;

use crate::coordination::BlockRefusal;
use crate::metadata_cache::MetadataImage;
use crate::replica_manager::{AppendError, ControlError, Partition, PartitionError, ReadError};

/// Kafka's code for an error of ours.
pub trait ToErrorCode {
    fn error_code(&self) -> ErrorCode;
}

impl ToErrorCode for PartitionError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::UnknownTopicOrPartition { .. } => ErrorCode::UnknownTopicOrPartition,
            Self::NotHosted { .. } => ErrorCode::NotLeaderOrFollower,
            Self::Offline { .. } => ErrorCode::KafkaStorageError,
        }
    }
}

impl ToErrorCode for BlockRefusal {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::NotRegistered => ErrorCode::BrokerIdNotRegistered,
            Self::OtherIncarnation => ErrorCode::StaleBrokerEpoch,
        }
    }
}

impl ToErrorCode for LeadershipError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::NotLeader { .. } => ErrorCode::NotLeaderOrFollower,
            Self::Fenced { .. } => ErrorCode::FencedLeaderEpoch,
            Self::Unknown { .. } => ErrorCode::UnknownLeaderEpoch,
        }
    }
}

impl ToErrorCode for AppendError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::Leadership(error) => error.error_code(),
            Self::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
            Self::NotEnoughReplicasAfterAppend { .. } => ErrorCode::NotEnoughReplicasAfterAppend,
            Self::Log(error) => error.error_code(),
            Self::Storage(error) => error.error_code(),
        }
    }
}

impl ToErrorCode for storage::AppendError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::Validation(error) => error.error_code(),
            Self::Control(_) => ErrorCode::InvalidRecord,
            Self::Producer(error) => error.error_code(),
            // Only followers meet it, and they answer no client.
            Self::Replication(_) => ErrorCode::UnknownServerError,
            Self::Storage(error) => error.error_code(),
        }
    }
}

impl ToErrorCode for StorageError {
    fn error_code(&self) -> ErrorCode {
        match self {
            // All retriable: nothing was kept. Another replica, a restart or more room makes it work.
            Self::Offline { .. }
            | Self::Unusable { .. }
            | Self::Full { .. }
            | Self::Io { .. }
            | Self::Damaged { .. } => ErrorCode::KafkaStorageError,
            // The replica has left this broker while the request was under way: the client asks who has it now.
            Self::Closed { .. } => ErrorCode::NotLeaderOrFollower,
            Self::Invalid { .. } => ErrorCode::OffsetOutOfRange,
        }
    }
}

impl ToErrorCode for ReadError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::Leadership(error) => error.error_code(),
            Self::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            // As Kafka: the earlier life of a broker has no say in what is committed.
            Self::StaleFetch(_) => ErrorCode::NotLeaderOrFollower,
            Self::Storage(error) => error.error_code(),
            Self::Stopped => ErrorCode::KafkaStorageError,
        }
    }
}

impl ToErrorCode for ControlError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::StaleControllerEpoch => ErrorCode::StaleControllerEpoch,
            Self::StaleBrokerEpoch => ErrorCode::StaleBrokerEpoch,
        }
    }
}

/// A broker as a client of one listener reaches it.
pub struct Node {
    pub id: i32,
    pub host: Str,
    pub port: i32,
    pub rack: Option<Str>,
}

/// Who leads a partition, for a client that asked here in vain (KIP-951): what this broker's replica was told last, which
/// is there before the metadata; else the metadata.
pub fn current_leader(
    hosted: Option<&Partition>,
    known: Option<&UpdateMetadataPartition>,
) -> Option<(NodeId, LeaderEpoch)> {
    let told = hosted.map(Partition::leader_and_epoch).filter(|(leader, _)| *leader != NodeId::NONE);
    let known = known.map(|state| (state.leader, state.leader_epoch));
    match (told, known) {
        (Some(told), Some(known)) => Some(if told.1 < known.1 { known } else { told }),
        (told, known) => told.or(known),
    }
}

/// Where the named leaders are reached, each once (KIP-951).
pub fn leader_hint<'a>(
    image: &'a MetadataImage,
    listener: &'a str,
    mut leaders: Vec<NodeId>,
) -> impl Iterator<Item = Node> + use<'a> {
    leaders.sort_unstable();
    leaders.dedup();
    leaders.into_iter().filter_map(move |id| {
        let broker = image.brokers.get(&id)?;
        let endpoint = broker.endpoint(listener)?;
        Some(Node {
            id: id.0,
            host: Str::from(endpoint.host.clone()),
            port: endpoint.port,
            rack: broker.rack.clone().map(Str::from),
        })
    })
}
