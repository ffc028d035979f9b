//! DeleteRecords, versions 0 to 2: moves the log start offset (KIP-107).

use whimbrel_model::{ErrorCode, Offset};
use whimbrel_wire::delete_records::{DeleteRecordsPartitionResult, DeleteRecordsTopic, DeleteRecordsTopicResult};
use whimbrel_wire::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::RequestContext;
use super::errors::ToErrorCode;
use crate::topics;

/// Stands for the high watermark.
const TO_HIGH_WATERMARK: i64 = -1;

pub async fn handle(context: &RequestContext, request: DeleteRecordsRequest, _version: i16) -> DeleteRecordsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for DeleteRecordsTopic { name, partitions } in request.topics {
        let mut results = Vec::with_capacity(partitions.len());
        for wanted in partitions {
            let (low_watermark, code) = match delete(context, &name, wanted.partition_index, wanted.offset).await {
                Ok(low_watermark) => (low_watermark.0, ErrorCode::None),
                Err(code) => (-1, code),
            };
            results.push(DeleteRecordsPartitionResult {
                partition_index: wanted.partition_index,
                low_watermark,
                error_code: code.code(),
            });
        }
        // A topic without partitions has no results, and is left out.
        if !results.is_empty() {
            topics.push(DeleteRecordsTopicResult { name, partitions: results });
        }
    }
    // What is answered as deleted stays so after a crash. One checkpoint covers the whole request.
    let logs = context.broker().replicas.logs().clone();
    if tokio::task::spawn_blocking(move || logs.checkpoint_log_starts()).await.is_err() {
        tracing::error!("noting the log start offsets panicked");
    }
    DeleteRecordsResponse { topics, throttle_time_ms: 0 }
}

async fn delete(context: &RequestContext, topic: &str, index: i32, before: i64) -> Result<Offset, ErrorCode> {
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
        let log = &partition.log;
        log.delete_records_before(before).map(|_| log.log_start_offset()).map_err(|error| {
            tracing::warn!(partition = %partition.topic_partition, "records cannot be deleted: {error}");
            ErrorCode::KafkaStorageError
        })
    });
    moved.await.map_err(|_| ErrorCode::KafkaStorageError)?
}
