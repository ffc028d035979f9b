//! What can go wrong with the partitions of this broker.

use whimbrel_model::{Offset, TopicPartition};
use whimbrel_state::partition::{LeadershipError, StaleFetch};
use whimbrel_storage::{self as storage, StorageError};

use super::Offsets;

/// Why a partition cannot be found here.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    #[error("{topic_partition} does not exist")]
    UnknownTopicOrPartition { topic_partition: TopicPartition },
    #[error("{topic_partition} is not on this broker")]
    NotHosted { topic_partition: TopicPartition },
    #[error("the log directory of {topic_partition} is offline")]
    Offline { topic_partition: TopicPartition },
}

/// Why records were not appended, or not committed.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error(transparent)]
    Leadership(#[from] LeadershipError),
    #[error("{in_sync} replicas are in sync, min.insync.replicas asks for {required}")]
    NotEnoughReplicas { in_sync: usize, required: usize },
    /// The records are in the log, and may be committed later.
    #[error("{in_sync} replicas are still in sync, min.insync.replicas asks for {required}")]
    NotEnoughReplicasAfterAppend { in_sync: usize, required: usize },
    #[error(transparent)]
    Log(#[from] storage::AppendError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl AppendError {
    /// The records to blame, by their index in the batch, with the text for the producer's application.
    pub fn record_errors(&self) -> Vec<(i32, String)> {
        match self {
            Self::Log(storage::AppendError::Validation(error)) => {
                error.rejections().iter().map(|rejected| (rejected.index, rejected.fault.to_string())).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether the disk is to blame, which the operator has to hear of.
    pub fn is_storage(&self) -> bool {
        match self {
            Self::Storage(error) | Self::Log(storage::AppendError::Storage(error)) => is_disk_to_blame(error),
            _ => false,
        }
    }
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Leadership(#[from] LeadershipError),
    #[error(transparent)]
    StaleFetch(#[from] StaleFetch),
    #[error("offset {requested} is outside {log_start} to {upper}")]
    OffsetOutOfRange { requested: Offset, log_start: Offset, upper: Offset },
    #[error(transparent)]
    Storage(StorageError),
    #[error("the broker is stopping")]
    Stopped,
}

impl ReadError {
    pub(super) fn from_storage(error: storage::ReadError, offsets: Offsets) -> Self {
        match error {
            storage::ReadError::OffsetOutOfRange { offset, .. } => {
                Self::OffsetOutOfRange { requested: offset, log_start: offsets.log_start, upper: offsets.log_end }
            }
            // Only asked for on threads that may not block, and then repeated on one that may.
            storage::ReadError::WouldBlock => Self::Stopped,
            storage::ReadError::Storage(error) => Self::Storage(error),
        }
    }

    /// Whether the disk is to blame, which the operator has to hear of.
    pub fn is_storage(&self) -> bool {
        matches!(self, Self::Storage(error) if is_disk_to_blame(error))
    }
}

/// Not where the replica left this broker meanwhile: a deleted topic is nobody's trouble.
fn is_disk_to_blame(error: &StorageError) -> bool {
    !matches!(error, StorageError::Closed { .. })
}

/// The epochs do not fit: the request is from an earlier controller, or for an earlier life of this broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    #[error("controller epoch is behind the newest one seen")]
    StaleControllerEpoch,
    #[error("the request is for an earlier registration of this broker")]
    StaleBrokerEpoch,
}
