//! DescribeProducers, version 0: the idempotent producers that a partition remembers (KIP-664).

use whimbrel_model::ErrorCode;
use whimbrel_wire::describe_producers::{PartitionResponse, ProducerState, TopicRequest, TopicResponse};
use whimbrel_wire::{DescribeProducersRequest, DescribeProducersResponse};

use super::RequestContext;
use super::errors::ToErrorCode;
use crate::topics;

pub async fn handle(
    context: &RequestContext,
    request: DescribeProducersRequest,
    _version: i16,
) -> DescribeProducersResponse {
    let topics = request.topics.into_iter().map(|TopicRequest { name, partition_indexes }| {
        let partitions = partition_indexes.into_iter().map(|index| describe(context, &name, index)).collect();
        TopicResponse { name, partitions }
    });
    DescribeProducersResponse { topics: topics.collect(), throttle_time_ms: 0 }
}

fn describe(context: &RequestContext, topic: &str, partition_index: i32) -> PartitionResponse {
    let answer = PartitionResponse { partition_index, ..Default::default() };
    let producers = || -> Result<_, ErrorCode> {
        topics::validate_name(topic).map_err(|_| ErrorCode::InvalidTopicException)?;
        let partition =
            context.broker().replicas.partition(topic, partition_index).map_err(|error| error.error_code())?;
        partition.check_leader(None).map_err(|error| error.error_code())?;
        let mut producers = Vec::new();
        partition.log.for_each_producer(|id, entry| {
            producers.push(ProducerState {
                producer_id: id.0,
                producer_epoch: i32::from(entry.epoch.0),
                last_sequence: entry.batches().last().map_or(-1, |batch| batch.last_sequence),
                last_timestamp: entry.last_timestamp,
                coordinator_epoch: entry.coordinator_epoch,
                current_txn_start_offset: entry.current_txn_first_offset.map_or(-1, |offset| offset.0),
            });
        });
        Ok(producers)
    };
    match producers() {
        Err(code) => PartitionResponse { error_code: code.code(), ..answer },
        Ok(active_producers) => PartitionResponse { active_producers, ..answer },
    }
}
