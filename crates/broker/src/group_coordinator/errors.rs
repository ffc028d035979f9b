//! What members see when the coordinator's own write to `__consumer_offsets` fails (`GroupMetadataManager.scala`).

use whimbrel_model::ErrorCode;

/// The write of a group's snapshot ended with `append`.
///
/// Members take `COORDINATOR_NOT_AVAILABLE` and `NOT_COORDINATOR` as a reason to look for the coordinator again, and
/// `REBALANCE_IN_PROGRESS` as one to rejoin: nothing was decided in any of these cases, or it is decided again.
pub(super) fn of_group_write(append: ErrorCode) -> ErrorCode {
    match append {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas | ErrorCode::NotEnoughReplicasAfterAppend => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::RequestTimedOut => ErrorCode::RebalanceInProgress,
        // A group whose members together say more than a batch may hold: no client can do anything about it.
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::UnknownServerError
        }
        other => other,
    }
}

/// The write of offsets ended with `append`. A retry of the commit is safe after every retriable code.
pub(super) fn of_offset_write(append: ErrorCode) -> ErrorCode {
    match append {
        ErrorCode::NetworkException => ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas | ErrorCode::NotEnoughReplicasAfterAppend => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::InvalidCommitOffsetSize
        }
        other => other,
    }
}
