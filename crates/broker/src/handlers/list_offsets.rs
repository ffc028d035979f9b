//! ListOffsets, versions 0 to 11: offsets by time, and the special ones (KIP-79, KIP-734, KIP-405).

use foldhash::HashMap;
use whimbrel_model::{ErrorCode, LeaderEpoch};
use whimbrel_wire::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopic, ListOffsetsTopicResponse,
};
use whimbrel_wire::{ListOffsetsRequest, ListOffsetsResponse};

use super::errors::ToErrorCode;
use super::{RequestContext, known_epoch};
use crate::replica_manager::{Isolation, TimestampQuery};
use crate::time;

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
        let mut counts: HashMap<i32, usize> = HashMap::default();
        for partition in &partitions {
            *counts.entry(partition.partition_index).or_default() += 1;
        }
        for partition in &partitions {
            let twice = counts.get(&partition.partition_index).is_some_and(|count| 1 < *count);
            let result = if version == 0 {
                segments(context, &name, partition, request.replica_id).await
            } else if twice {
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

/// What version 0 knows: the offsets at which segments begin and the log ends, newest first, of those that are no
/// younger than the timestamp. Consumers are not told of what is not committed.
async fn segments(
    context: &RequestContext,
    topic: &str,
    wanted: &ListOffsetsPartition,
    replica_id: i32,
) -> Result<ListOffsetsPartitionResponse, ErrorCode> {
    let replicas = &context.broker().replicas;
    let partition = replicas.partition(topic, wanted.partition_index).map_err(|error| error.error_code())?;
    if !is_known_to(0, wanted.timestamp) {
        return Err(ErrorCode::UnsupportedVersion);
    }
    if replica_id != DEBUGGING_REPLICA {
        partition.check_leader(None).map_err(|error| error.error_code())?;
    }
    let (timestamp, now_ms) = (wanted.timestamp, time::wall_clock_ms());
    let log = partition.log.clone();
    // Asks the file system when segments were written.
    let starts = tokio::task::spawn_blocking(move || log.segment_starts(now_ms)).await;
    let starts = starts.map_err(|_| ErrorCode::UnknownServerError)?.map_err(|error| error.error_code())?;
    let offsets = match timestamp {
        special::LATEST => starts.as_slice(),
        special::EARLIEST => starts.get(..1).unwrap_or_default(),
        _ => {
            let known = starts.iter().rposition(|(_, modified_ms)| *modified_ms <= timestamp);
            starts.get(..known.map_or(0, |last| last + 1)).unwrap_or_default()
        }
    };
    let count = usize::try_from(wanted.max_num_offsets).unwrap_or(0);
    let newest = offsets.iter().rev().take(count).map(|(offset, _)| offset.0);
    let mut newest: Vec<i64> = newest.collect();
    if replica_id < 0 && replica_id != DEBUGGING_REPLICA {
        let high_watermark = partition.log.high_watermark().0;
        if newest.iter().any(|offset| high_watermark < *offset) {
            newest.retain(|offset| *offset < high_watermark);
            newest.insert(0, high_watermark);
        }
    }
    Ok(ListOffsetsPartitionResponse {
        partition_index: wanted.partition_index,
        old_style_offsets: newest,
        ..Default::default()
    })
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
    let is_consumer = replica_id < 0 && replica_id != DEBUGGING_REPLICA;
    let latest = if is_consumer { offsets.upper() } else { offsets.log_end };
    if is_consumer && wanted.timestamp != special::EARLIEST && partition.is_catching_up_with_its_predecessor() {
        // An answer now could lie below one that the former leader gave (KIP-207).
        let code = if version < 5 { ErrorCode::LeaderNotAvailable } else { ErrorCode::OffsetNotAvailable };
        return Err(code);
    }
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
