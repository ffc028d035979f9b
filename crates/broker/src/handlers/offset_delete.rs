//! OffsetDelete, version 0: forgets offsets of a group in topics that it does not read (KIP-496).

use std::sync::Arc;

use whimbrel_model::ErrorCode;
use whimbrel_wire::offset_delete::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use whimbrel_wire::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::RequestContext;

pub async fn handle(context: &RequestContext, request: OffsetDeleteRequest, _version: i16) -> OffsetDeleteResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    // Where in `topics` the result of each partition that exists belongs.
    let mut places = Vec::new();
    let mut existing: Vec<(Arc<str>, i32)> = Vec::new();
    {
        let image = context.broker().metadata.image();
        // Kafka's answer is made of partitions: a topic of which none is named is not in it.
        for topic in request.topics.into_iter().filter(|topic| !topic.partitions.is_empty()) {
            let known = image.topic(&topic.name);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in topic.partitions {
                let index = partition.partition_index;
                let mut code = ErrorCode::UnknownTopicOrPartition;
                if let Some(known) = known.filter(|known| known.partitions.contains_key(&index)) {
                    places.push((topics.len(), partitions.len()));
                    existing.push((known.name.clone(), index));
                    code = ErrorCode::None;
                }
                partitions.push(OffsetDeleteResponsePartition { partition_index: index, error_code: code.code() });
            }
            topics.push(OffsetDeleteResponseTopic { name: topic.name, partitions });
        }
    }
    match context.broker().groups.delete_offsets(&request.group_id, &existing).await {
        Ok(results) => {
            for ((topic, partition), result) in places.into_iter().zip(results) {
                topics[topic].partitions[partition].error_code = result.code();
            }
            OffsetDeleteResponse { error_code: 0, throttle_time_ms: 0, topics }
        }
        // The error concerns the group, and the response then has no topics.
        Err(error) => OffsetDeleteResponse { error_code: error.code(), ..Default::default() },
    }
}
