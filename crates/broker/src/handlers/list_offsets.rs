//! ListOffsets, versions 0 to 11: offsets by time, and the special ones (KIP-79, KIP-734, KIP-405).

use whimbrel_model::{ErrorCode, LeaderEpoch};
use whimbrel_wire::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopic, ListOffsetsTopicResponse,
};
use whimbrel_wire::{ListOffsetsRequest, ListOffsetsResponse};

use super::errors::ToErrorCode;
use super::{RequestContext, known_epoch};
use crate::replica_manager::{Isolation, TimestampQuery};

/// Special timestamps.
mod special {
    /// The high watermark, or the last stable offset for `read_committed`.
    pub const LATEST: i64 = -1;
    /// The log start offset.
    pub const EARLIEST: i64 = -2;
    /// The record with the highest timestamp (KIP-734).
    pub const MAX_TIMESTAMP: i64 = -3;
    /// The first offset on this broker's own disk (KIP-405).
    pub const EARLIEST_LOCAL: i64 = -4;
    /// The last offset in tiered storage (KIP-1005).
    pub const LATEST_TIERED: i64 = -5;
    /// The first offset that is not yet in tiered storage (KIP-1023).
    pub const EARLIEST_PENDING_UPLOAD: i64 = -6;
}

/// The replica id of a client that debugs: it may ask any replica. Ordinary consumers send -1.
const DEBUGGING_REPLICA: i32 = -2;

pub async fn handle(context: &RequestContext, request: ListOffsetsRequest, version: i16) -> ListOffsetsResponse {
    let isolation = if request.isolation_level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
    let mut topics = Vec::with_capacity(request.topics.len());
    for ListOffsetsTopic { name, partitions } in request.topics {
        let mut results = Vec::with_capacity(partitions.len());
        for (index, partition) in partitions.iter().enumerate() {
            let twice = partitions[..index].iter().any(|other| other.partition_index == partition.partition_index);
            let result = if twice {
                Err(ErrorCode::InvalidRequest)
            } else {
                look_up(context, &name, partition, isolation, request.replica_id, version).await
            };
            results.push(result.unwrap_or_else(|code| ListOffsetsPartitionResponse {
                partition_index: partition.partition_index,
                error_code: code.code(),
                ..Default::default()
            }));
        }
        topics.push(ListOffsetsTopicResponse { name, partitions: results });
    }
    ListOffsetsResponse { topics, throttle_time_ms: 0 }
}

async fn look_up(
    context: &RequestContext,
    topic: &str,
    wanted: &ListOffsetsPartition,
    isolation: Isolation,
    replica_id: i32,
    version: i16,
) -> Result<ListOffsetsPartitionResponse, ErrorCode> {
    let replicas = &context.broker().replicas;
    let partition = replicas.partition(topic, wanted.partition_index).map_err(|error| error.error_code())?;
    if !is_known_to(version, wanted.timestamp) {
        return Err(ErrorCode::UnsupportedVersion);
    }
    if replica_id != DEBUGGING_REPLICA {
        partition.check_leader(known_epoch(wanted.current_leader_epoch)).map_err(|error| error.error_code())?;
    }
    let offsets = partition.offsets(isolation);
    let latest = if replica_id == DEBUGGING_REPLICA { offsets.log_end } else { offsets.upper() };
    let mut response = ListOffsetsPartitionResponse { partition_index: wanted.partition_index, ..Default::default() };
    let found = match wanted.timestamp {
        special::LATEST => Some((-1, latest, partition.latest_epoch())),
        special::EARLIEST | special::EARLIEST_LOCAL => {
            Some((-1, offsets.log_start, partition.log.earliest().leader_epoch))
        }
        // There is no tiered storage: nothing is in it, and nothing waits to be uploaded.
        special::LATEST_TIERED | special::EARLIEST_PENDING_UPLOAD => None,
        special::MAX_TIMESTAMP => {
            partition.find_timestamp(TimestampQuery::Max).await.map_err(|error| error.error_code())?
        }
        timestamp => {
            partition.find_timestamp(TimestampQuery::AtOrAfter(timestamp)).await.map_err(|error| error.error_code())?
        }
    };
    // A record at or above `latest` is not committed yet, so that it is not there for a consumer.
    let found = found.filter(|(_, offset, _)| {
        wanted.timestamp < 0 && wanted.timestamp != special::MAX_TIMESTAMP || *offset < latest
    });
    if let Some((timestamp, offset, epoch)) = found {
        response.timestamp = timestamp;
        response.offset = offset.0;
        if 4 <= version {
            response.leader_epoch = epoch.unwrap_or(LeaderEpoch::NONE).0;
        }
    }
    if version == 0 {
        response.old_style_offsets = found.iter().map(|(_, offset, _)| offset.0).collect();
    }
    Ok(response)
}

/// Whether a client of this version knows what it asks for with a negative timestamp.
fn is_known_to(version: i16, timestamp: i64) -> bool {
    match timestamp {
        special::LATEST | special::EARLIEST | 0.. => true,
        special::MAX_TIMESTAMP => version >= 7,
        special::EARLIEST_LOCAL => version >= 8,
        special::LATEST_TIERED => version >= 9,
        special::EARLIEST_PENDING_UPLOAD => version >= 11,
        _ => false,
    }
}
