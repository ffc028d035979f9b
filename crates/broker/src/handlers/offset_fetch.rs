//! OffsetFetch, versions 0 to 10: the offsets that groups have committed.
//!
//! Version 0 reads those of consumers from before 0.9 from coordination. From 2 all offsets can be asked for, and errors
//! of the group have a place of their own; 7 asks for stable ones only (KIP-447); 8 for several groups (KIP-709); 9 brings
//! member ids and epochs, which mean nothing for classic groups; 10 topic ids (KIP-848).

use whimbrel_model::{ErrorCode, Uuid};
use whimbrel_state::group::{CommittedOffset, Group, OffsetLookup};
use whimbrel_wire::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics, OffsetFetchResponseGroup,
    OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use whimbrel_wire::{OffsetFetchRequest, OffsetFetchResponse, Str};

use super::RequestContext;
use crate::group_coordinator::EmptyGroupId;
use crate::metadata_cache::MetadataImage;

/// No offset is committed.
const NO_OFFSET: i64 = -1;

pub async fn handle(context: &RequestContext, request: OffsetFetchRequest, version: i16) -> OffsetFetchResponse {
    if version == 0 {
        return fetch_from_coordination(context, request).await;
    }
    let image = context.broker().metadata.image();
    if version >= 8 {
        let groups = request.groups.iter().map(|group| {
            fetch_group(context, &image, group, request.require_stable, version).unwrap_or_else(|code| {
                OffsetFetchResponseGroup {
                    group_id: group.group_id.clone(),
                    error_code: code.code(),
                    ..Default::default()
                }
            })
        });
        return OffsetFetchResponse { groups: groups.collect(), ..Default::default() };
    }
    let group = OffsetFetchRequestGroup {
        group_id: request.group_id,
        topics: request.topics.map(|topics| topics.into_iter().map(as_of_group).collect()),
        ..Default::default()
    };
    match fetch_group(context, &image, &group, request.require_stable, version) {
        Ok(found) => {
            OffsetFetchResponse { topics: found.topics.into_iter().map(as_single).collect(), ..Default::default() }
        }
        Err(code) => OffsetFetchResponse {
            error_code: code.code(),
            // Version 1 can only say it of each partition.
            topics: if version < 2 { failed_topics(group.topics.unwrap_or_default(), code) } else { Vec::new() },
            ..Default::default()
        },
    }
}

/// The offsets of one group.
///
/// # Errors
/// The group is not, or not yet, this broker's.
fn fetch_group(
    context: &RequestContext,
    image: &MetadataImage,
    wanted: &OffsetFetchRequestGroup,
    requires_stable: bool,
    version: i16,
) -> Result<OffsetFetchResponseGroup, ErrorCode> {
    let topics =
        context.broker().groups.read_group(&wanted.group_id, EmptyGroupId::Allowed, |group| match &wanted.topics {
            // Kafka's answer is made of partitions: a topic of which none is named is not in it.
            Some(topics) => topics
                .iter()
                .filter(|topic| !topic.partition_indexes.is_empty())
                .map(|topic| fetch_topic(group, image, topic, requires_stable, version))
                .collect(),
            None => group.map(|group| fetch_all(group, image, requires_stable, version)).unwrap_or_default(),
        })?;
    Ok(OffsetFetchResponseGroup { group_id: wanted.group_id.clone(), topics, error_code: 0 })
}

fn fetch_topic(
    group: Option<&Group>,
    image: &MetadataImage,
    wanted: &OffsetFetchRequestTopics,
    requires_stable: bool,
    version: i16,
) -> OffsetFetchResponseTopics {
    let (name, unknown) = match image.topic_by_id(wanted.topic_id).filter(|_| version >= 10) {
        Some(topic) => (&*topic.name, None),
        None if version >= 10 => ("", Some(ErrorCode::UnknownTopicId)),
        None => (wanted.name.as_str(), None),
    };
    let partitions = wanted.partition_indexes.iter().map(|&index| match (group, unknown) {
        (_, Some(code)) => absent(index, code),
        (Some(group), None) => found(index, group.committed_offset(name, index, requires_stable)),
        (None, None) => absent(index, ErrorCode::None),
    });
    OffsetFetchResponseTopics { partitions: partitions.collect(), name: wanted.name.clone(), topic_id: wanted.topic_id }
}

/// Everything that the group has committed. Where topics are named by id, those that have none are left out.
fn fetch_all(
    group: &Group,
    image: &MetadataImage,
    requires_stable: bool,
    version: i16,
) -> Vec<OffsetFetchResponseTopics> {
    let mut topics = Vec::new();
    for (name, partitions) in group.committed_offsets(requires_stable) {
        let topic_id = image.topic(name).map_or(Uuid::ZERO, |topic| topic.id);
        if version >= 10 && topic_id.is_zero() {
            continue;
        }
        topics.push(OffsetFetchResponseTopics {
            name: Str::from(name),
            topic_id,
            partitions: partitions.map(|(index, lookup)| found(index, lookup)).collect(),
        });
    }
    topics
}

fn found(index: i32, lookup: OffsetLookup) -> OffsetFetchResponsePartitions {
    match lookup {
        OffsetLookup::Absent => absent(index, ErrorCode::None),
        OffsetLookup::Unstable => absent(index, ErrorCode::UnstableOffsetCommit),
        OffsetLookup::Committed(CommittedOffset { offset, leader_epoch, metadata, .. }) => {
            OffsetFetchResponsePartitions {
                partition_index: index,
                committed_offset: offset.0,
                committed_leader_epoch: leader_epoch.0,
                metadata: Some(if metadata.is_empty() { Str::default() } else { Str::from(String::from(metadata)) }),
                error_code: 0,
            }
        }
    }
}

fn absent(index: i32, code: ErrorCode) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: NO_OFFSET,
        committed_leader_epoch: -1,
        metadata: Some(Str::default()),
        error_code: code.code(),
    }
}

async fn fetch_from_coordination(context: &RequestContext, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let mut topics = Vec::new();
    for OffsetFetchRequestTopic { name, partition_indexes } in request.topics.unwrap_or_default() {
        if partition_indexes.is_empty() {
            continue;
        }
        let mut partitions = Vec::with_capacity(partition_indexes.len());
        for index in partition_indexes {
            partitions.push(old_offset(context, &request.group_id, &name, index).await);
        }
        topics.push(OffsetFetchResponseTopic { name, partitions });
    }
    OffsetFetchResponse { topics, ..Default::default() }
}

/// An offset of a consumer from before 0.9; the code for "none" is also that for a partition that does not exist.
async fn old_offset(context: &RequestContext, group: &str, topic: &str, index: i32) -> OffsetFetchResponsePartition {
    let broker = context.broker();
    let exists = broker.metadata.image().partition(topic, index).is_some();
    let stored = if exists { broker.coordination.consumer_offset(group, topic, index).await } else { Ok(None) };
    let found = match stored {
        Ok(Some(offset)) => {
            OffsetFetchResponsePartitions { committed_offset: offset, ..absent(index, ErrorCode::None) }
        }
        Ok(None) => absent(index, ErrorCode::UnknownTopicOrPartition),
        Err(error) => {
            tracing::warn!(group, topic, partition = index, "the offset cannot be read: {error}");
            absent(index, ErrorCode::UnknownServerError)
        }
    };
    as_single_partition(found)
}

fn failed_topics(topics: Vec<OffsetFetchRequestTopics>, code: ErrorCode) -> Vec<OffsetFetchResponseTopic> {
    let failed = |topic: OffsetFetchRequestTopics| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partition_indexes.iter().map(|&i| as_single_partition(absent(i, code))).collect(),
    };
    topics.into_iter().map(failed).collect()
}

fn as_of_group(topic: OffsetFetchRequestTopic) -> OffsetFetchRequestTopics {
    OffsetFetchRequestTopics { name: topic.name, partition_indexes: topic.partition_indexes, ..Default::default() }
}

fn as_single(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(as_single_partition).collect(),
    }
}

fn as_single_partition(partition: OffsetFetchResponsePartitions) -> OffsetFetchResponsePartition {
    OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
    }
}
