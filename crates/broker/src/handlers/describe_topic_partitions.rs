//! DescribeTopicPartitions, version 0: topics page by page (KIP-966).

use std::collections::BTreeSet;

use whimbrel_model::{ErrorCode, NodeId};
use whimbrel_wire::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use whimbrel_wire::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, Str};

use super::{RequestContext, authorized_operations, metadata};
use crate::metadata_cache::{MetadataImage, TopicMetadata};
use crate::topics;

pub async fn handle(
    context: &RequestContext,
    request: DescribeTopicPartitionsRequest,
    _version: i16,
) -> DescribeTopicPartitionsResponse {
    let image = context.broker().metadata.image();
    let Ok(names) = names(&image, &request) else { return invalid(&request) };
    let limit = context.broker().config().network.request_partitions_max;
    let page = Page {
        image: &image,
        listener: &context.connection.listener,
        left: usize::try_from(request.response_partition_limit).unwrap_or(0).min(limit).max(1),
        lists_all: request.topics.is_empty(),
    };
    page.fill(names, request.cursor.as_ref())
}

/// The topics to list, in order, from the cursor on. An error if the cursor does not belong to the request.
fn names(image: &MetadataImage, request: &DescribeTopicPartitionsRequest) -> Result<BTreeSet<Str>, ()> {
    let start = request.cursor.as_ref().map(|cursor| cursor.topic_name.clone()).unwrap_or_default();
    let names: BTreeSet<Str> = if request.topics.is_empty() {
        image.topics().map(|topic| Str::from(topic.name.clone())).filter(|name| start <= *name).collect()
    } else {
        request.topics.iter().map(|topic| topic.name.clone()).filter(|name| start <= *name).collect()
    };
    match &request.cursor {
        Some(cursor) if cursor.partition_index < 0 => Err(()),
        Some(cursor) if !request.topics.is_empty() && !names.contains(&cursor.topic_name) => Err(()),
        _ => Ok(names),
    }
}

/// The response has no error of its own: every topic asked for says it.
fn invalid(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.iter().map(|topic| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::InvalidRequest.code(),
        name: Some(topic.name.clone()),
        ..Default::default()
    });
    DescribeTopicPartitionsResponse { topics: topics.collect(), ..Default::default() }
}

struct Page<'a> {
    image: &'a MetadataImage,
    listener: &'a str,
    /// Partitions that still fit.
    left: usize,
    lists_all: bool,
}

impl Page<'_> {
    fn fill(mut self, names: BTreeSet<Str>, cursor: Option<&Cursor>) -> DescribeTopicPartitionsResponse {
        let mut response = DescribeTopicPartitionsResponse::default();
        for name in names {
            if self.left == 0 {
                response.next_cursor = Some(Cursor { topic_name: name, partition_index: 0 });
                break;
            }
            let first = cursor.filter(|cursor| cursor.topic_name == name).map_or(0, |cursor| cursor.partition_index);
            match self.image.topic(&name) {
                Some(topic) => {
                    let next = self.add(&mut response, topic, first);
                    if let Some(partition_index) = next {
                        response.next_cursor = Some(Cursor { topic_name: name, partition_index });
                        break;
                    }
                }
                // It went away since it was listed.
                None if self.lists_all => {}
                None => response.topics.push(unknown(name)),
            }
        }
        response
    }

    /// Adds what fits of a topic; returns the partition to go on with, if not all fitted.
    fn add(
        &mut self,
        response: &mut DescribeTopicPartitionsResponse,
        topic: &TopicMetadata,
        first: i32,
    ) -> Option<i32> {
        let mut rest = topic.partitions.range(first..);
        let partitions: Vec<_> = rest
            .by_ref()
            .take(self.left)
            .map(|(_, state)| {
                let known = metadata::partition(self.image, self.listener, state, metadata::NEWEST_ERRORS);
                let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect::<Vec<_>>();
                DescribeTopicPartitionsResponsePartition {
                    error_code: known.error_code,
                    partition_index: state.index,
                    leader_id: known.leader_id,
                    leader_epoch: state.leader_epoch.0,
                    replica_nodes: ids(&state.replicas),
                    isr_nodes: ids(&state.isr),
                    eligible_leader_replicas: Some(Vec::new()),
                    last_known_elr: Some(Vec::new()),
                    offline_replicas: ids(&state.offline_replicas),
                }
            })
            .collect();
        self.left -= partitions.len();
        response.topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(Str::from(topic.name.clone())),
            topic_id: topic.id,
            is_internal: topics::is_internal(&topic.name),
            partitions,
            topic_authorized_operations: authorized_operations::TOPIC,
            ..Default::default()
        });
        rest.next().map(|(index, _)| *index)
    }
}

fn unknown(name: Str) -> DescribeTopicPartitionsResponseTopic {
    let code = match topics::validate_name(&name) {
        Ok(()) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    };
    let is_internal = topics::is_internal(&name);
    DescribeTopicPartitionsResponseTopic {
        error_code: code.code(),
        name: Some(name),
        is_internal,
        ..Default::default()
    }
}
