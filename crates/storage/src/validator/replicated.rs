//! The checks on a follower's append: the leader has accepted the bytes, so only damage on the way is looked for.

use whimbrel_model::record::{BatchError, Batches, NO_TIMESTAMP};
use whimbrel_model::{LeaderEpoch, Offset};

/// Why fetched batches are not appended.
#[derive(Debug, thiserror::Error)]
pub enum ReplicationError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("batch at offset {base_offset} follows or ends at offset {last_offset}")]
    OutOfOrder { base_offset: Offset, last_offset: Offset },
    #[error("first offset {first_offset} is below the log end offset {log_end}")]
    BelowLogEnd { first_offset: Offset, log_end: Offset },
}

/// What the whole batches of a fetched set say. What follows `valid_bytes` is a batch that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicatedBatches {
    pub valid_bytes: usize,
    pub first_offset: Offset,
    pub last_offset: Offset,
    pub last_leader_epoch: LeaderEpoch,
    /// The largest timestamp and the last offset of the first batch that has it; `None` if there is none.
    pub max_timestamp: Option<(i64, Offset)>,
}

/// Checks every batch of `records` for its size and checksum, and that offsets grow and start at or above `log_end`.
///
/// `None` if there is no whole batch. Source: Kafka's `UnifiedLog.appendAsFollower`.
///
/// # Errors
/// The first fault; nothing may be appended then.
pub fn check_replicated(records: &[u8], log_end: Offset) -> Result<Option<ReplicatedBatches>, ReplicationError> {
    let mut seen: Option<ReplicatedBatches> = None;
    let mut batches = Batches::new(records);
    while let Some(batch) = batches.next() {
        let batch = batch?;
        batch.verify_crc()?;
        let header = batch.header;
        let last_offset = header.last_offset();
        let first_offset = header.base_offset;
        match seen {
            None if first_offset < log_end => return Err(ReplicationError::BelowLogEnd { first_offset, log_end }),
            Some(ReplicatedBatches { last_offset, .. }) if first_offset <= last_offset => {
                return Err(ReplicationError::OutOfOrder { base_offset: first_offset, last_offset });
            }
            _ if last_offset < first_offset => {
                return Err(ReplicationError::OutOfOrder { base_offset: first_offset, last_offset });
            }
            _ => {}
        }
        let max_before = seen.and_then(|before| before.max_timestamp);
        let is_later = max_before.map_or(NO_TIMESTAMP, |(timestamp, _)| timestamp) < header.max_timestamp;
        seen = Some(ReplicatedBatches {
            valid_bytes: batches.position(),
            first_offset: seen.map_or(first_offset, |before| before.first_offset),
            last_offset,
            last_leader_epoch: header.partition_leader_epoch,
            max_timestamp: if is_later { Some((header.max_timestamp, last_offset)) } else { max_before },
        });
    }
    Ok(seen)
}
