//! OffsetForLeaderEpoch, versions 0 to 4: where a leader epoch ended, so that logs can be compared (KIP-101, KIP-320).

use whimbrel_model::{ErrorCode, LeaderEpoch};
use whimbrel_wire::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderPartition, OffsetForLeaderTopic, OffsetForLeaderTopicResult,
};
use whimbrel_wire::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::errors::ToErrorCode;
use super::{RequestContext, known_epoch};

pub async fn handle(
    context: &RequestContext,
    request: OffsetForLeaderEpochRequest,
    _version: i16,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|OffsetForLeaderTopic { topic, partitions }| {
        let partitions = partitions.iter().map(|wanted| end_offset(context, &topic, wanted)).collect();
        OffsetForLeaderTopicResult { topic, partitions }
    });
    OffsetForLeaderEpochResponse { topics: topics.collect(), throttle_time_ms: 0 }
}

fn end_offset(context: &RequestContext, topic: &str, wanted: &OffsetForLeaderPartition) -> EpochEndOffset {
    let answer = EpochEndOffset { partition: wanted.partition, ..Default::default() };
    let found = || -> Result<_, ErrorCode> {
        let partition =
            context.broker().replicas.partition(topic, wanted.partition).map_err(|error| error.error_code())?;
        partition.check_leader(known_epoch(wanted.current_leader_epoch)).map_err(|error| error.error_code())?;
        Ok(partition.log.offset_for_leader_epoch(LeaderEpoch(wanted.leader_epoch)))
    };
    match found() {
        Ok(Some((epoch, end))) => EpochEndOffset { leader_epoch: epoch.0, end_offset: end.0, ..answer },
        // The epoch is not known here: -1 in both fields.
        Ok(None) => answer,
        Err(code) => EpochEndOffset { error_code: code.code(), ..answer },
    }
}
