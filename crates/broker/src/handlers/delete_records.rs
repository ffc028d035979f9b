//! DeleteRecords, versions 0 to 2: moves the log start offset (KIP-107).
//!
//! Answered once every live replica has moved it: a replica that becomes leader would otherwise show the records again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use whimbrel_model::{ErrorCode, Offset};
use whimbrel_wire::delete_records::{DeleteRecordsPartitionResult, DeleteRecordsTopic, DeleteRecordsTopicResult};
use whimbrel_wire::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::RequestContext;
use super::errors::ToErrorCode;
use crate::purgatory::{Event, Waiter};
use crate::replica_manager::{Partition, Registration};
use crate::topics;

/// A follower that dies is not waited for any more; nobody is woken by that, so it is looked at this often.
const LIVENESS_INTERVAL: Duration = Duration::from_millis(500);

/// Stands for the high watermark.
const TO_HIGH_WATERMARK: i64 = -1;

pub async fn handle(context: &RequestContext, request: DeleteRecordsRequest, _version: i16) -> DeleteRecordsResponse {
    let deadline = Instant::now() + Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let mut deleted = Vec::with_capacity(request.topics.len());
    for DeleteRecordsTopic { name, partitions } in request.topics {
        let mut results = Vec::with_capacity(partitions.len());
        for wanted in partitions {
            let result = delete(context, &name, wanted.partition_index, wanted.offset).await;
            results.push((wanted.partition_index, result));
        }
        // A topic without partitions has no results, and is left out.
        if !results.is_empty() {
            deleted.push((name, results));
        }
    }
    // What is answered as deleted stays so after a crash. One checkpoint covers the whole request.
    let logs = context.broker().replicas.logs().clone();
    if tokio::task::spawn_blocking(move || logs.checkpoint_log_starts()).await.is_err() {
        tracing::error!("noting the log start offsets panicked");
    }
    let mut topics = Vec::with_capacity(deleted.len());
    for (name, results) in deleted {
        let mut partitions = Vec::with_capacity(results.len());
        for (partition_index, result) in results {
            let (low_watermark, code) = match result {
                Ok(deleted) => deleted.everywhere(deadline).await,
                Err(code) => (-1, code),
            };
            partitions.push(DeleteRecordsPartitionResult { partition_index, low_watermark, error_code: code.code() });
        }
        topics.push(DeleteRecordsTopicResult { name, partitions });
    }
    DeleteRecordsResponse { topics, throttle_time_ms: 0 }
}

/// Records that are deleted here.
struct Deleted {
    partition: Arc<Partition>,
    before: Offset,
}

impl Deleted {
    /// Waits until the live followers have deleted them too. The low watermark, and whether it is as far.
    async fn everywhere(self, deadline: Instant) -> (i64, ErrorCode) {
        let waiter = Waiter::new();
        let _watch: Registration = self.partition.watch(&waiter, Event::LowWatermark, self.before);
        loop {
            match self.partition.low_watermark() {
                Ok(low) if self.before <= low => return (low.0, ErrorCode::None),
                Ok(low) if deadline <= Instant::now() => return (low.0, ErrorCode::RequestTimedOut),
                Ok(_) => {}
                Err(error) => return (-1, error.error_code()),
            }
            waiter.woken_before(deadline.min(Instant::now() + LIVENESS_INTERVAL)).await;
        }
    }
}

async fn delete(context: &RequestContext, topic: &str, index: i32, before: i64) -> Result<Deleted, ErrorCode> {
    if topics::is_internal(topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let partition = context.broker().replicas.partition(topic, index).map_err(|error| error.error_code())?;
    partition.check_leader(None).map_err(|error| error.error_code())?;
    if !partition.log.config().delete {
        return Err(ErrorCode::PolicyViolation);
    }
    let high_watermark = partition.log.high_watermark();
    let before = if before == TO_HIGH_WATERMARK { high_watermark } else { Offset(before) };
    if before.0 < 0 || high_watermark < before {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    // May write the leader epoch checkpoint.
    let moved = tokio::task::spawn_blocking(move || {
        partition.log.delete_records_before(before).map_err(|error| {
            tracing::warn!(partition = %partition.topic_partition, "records cannot be deleted: {error}");
            ErrorCode::KafkaStorageError
        })?;
        Ok(Deleted { partition, before })
    });
    moved.await.map_err(|_| ErrorCode::KafkaStorageError)?
}
