//! OffsetCommit, versions 0 to 10: stores a group's offsets.
//!
//! Version 0 stores them in coordination, for consumers from before 0.9; the others in `__consumer_offsets`. Version 1
//! brings commit times of its own, 2 to 4 a retention time, 6 leader epochs (KIP-320), 7 static members (KIP-345), 10
//! topic ids (KIP-848).

use std::sync::Arc;

use whimbrel_model::{ErrorCode, LeaderEpoch, Offset};
use whimbrel_state::group::{CommitRequest, CommittedOffset, TopicOffsets};
use whimbrel_wire::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use whimbrel_wire::{OffsetCommitRequest, OffsetCommitResponse};

use super::RequestContext;
use crate::metadata_cache::MetadataImage;
use crate::time;

/// "Now" as a commit time, "the broker's" as a retention time.
const NOT_GIVEN: i64 = -1;

pub async fn handle(context: &RequestContext, mut request: OffsetCommitRequest, version: i16) -> OffsetCommitResponse {
    let mut topics = std::mem::take(&mut request.topics);
    // Kafka's answer is made of partitions: a topic of which none is named is not in it.
    topics.retain(|topic| !topic.partitions.is_empty());
    let mut commit = Commit::check(context, &request, topics, version);
    if version == 0 {
        commit.store_in_coordination(context, &request.group_id).await;
    } else if !commit.offsets.is_empty() {
        let by = CommitRequest {
            member_id: &request.member_id,
            instance_id: request.group_instance_id.as_deref(),
            generation: request.generation_id_or_member_epoch,
        };
        let offsets = std::mem::take(&mut commit.offsets);
        if let Err(error) = context.broker().groups.commit_offsets(&request.group_id, by, offsets).await {
            commit.fail(error);
        }
    }
    OffsetCommitResponse { throttle_time_ms: 0, topics: commit.response }
}

/// The response as it will be if all goes well, and what has to be stored for that.
struct Commit {
    response: Vec<OffsetCommitResponseTopic>,
    offsets: Vec<TopicOffsets>,
}

impl Commit {
    /// Sorts out partitions that do not exist, and metadata that is too long.
    fn check(
        context: &RequestContext,
        request: &OffsetCommitRequest,
        topics: Vec<OffsetCommitRequestTopic>,
        version: i16,
    ) -> Self {
        let broker = context.broker();
        let metadata_length_max = broker.config().offsets.metadata_bytes_max;
        let now_ms = time::wall_clock_ms();
        let expire_timestamp_ms =
            (request.retention_time_ms != NOT_GIVEN).then(|| now_ms.saturating_add(request.retention_time_ms));
        let image = broker.metadata.image();
        let mut commit = Self { response: Vec::with_capacity(topics.len()), offsets: Vec::with_capacity(topics.len()) };
        for topic in topics {
            let (known, unknown) = find(&image, &topic, version);
            let mut results = Vec::with_capacity(topic.partitions.len());
            let mut offsets = Vec::with_capacity(topic.partitions.len());
            for partition in topic.partitions {
                let partition_index = partition.partition_index;
                let exists = known.is_some_and(|topic| topic.partitions.contains_key(&partition_index));
                let code = if !exists {
                    unknown
                } else if is_longer(partition.committed_metadata.as_deref(), metadata_length_max) {
                    ErrorCode::OffsetMetadataTooLarge
                } else {
                    offsets.push((partition_index, to_state(&partition, now_ms, expire_timestamp_ms)));
                    ErrorCode::None
                };
                results.push(OffsetCommitResponsePartition { partition_index, error_code: code.code() });
            }
            if let Some(known) = known.filter(|_| !offsets.is_empty()) {
                commit.offsets.push(TopicOffsets { topic: known.name.clone(), partitions: offsets });
            }
            let (name, topic_id) = (topic.name, topic.topic_id);
            commit.response.push(OffsetCommitResponseTopic { name, topic_id, partitions: results });
        }
        commit
    }

    /// One by one, as Kafka does; these clients are few.
    async fn store_in_coordination(&mut self, context: &RequestContext, group_id: &str) {
        let coordination = &context.broker().coordination;
        let mut outcomes = Vec::new();
        for TopicOffsets { topic, partitions } in std::mem::take(&mut self.offsets) {
            for (partition, value) in partitions {
                let stored = coordination.set_consumer_offset(group_id, &topic, partition, value.offset.0).await;
                outcomes.push(match stored {
                    Ok(()) => ErrorCode::None,
                    Err(error) => {
                        tracing::warn!(group = group_id, %topic, partition, "the offset is not stored: {error}");
                        ErrorCode::UnknownServerError
                    }
                });
            }
        }
        for (result, code) in self.stored_results().zip(outcomes) {
            result.error_code = code.code();
        }
    }

    fn fail(&mut self, error: ErrorCode) {
        self.stored_results().for_each(|result| result.error_code = error.code());
    }

    /// The results of the partitions that had something to store, in their order.
    fn stored_results(&mut self) -> impl Iterator<Item = &mut OffsetCommitResponsePartition> {
        self.response
            .iter_mut()
            .flat_map(|topic| &mut topic.partitions)
            .filter(|result| result.error_code == ErrorCode::None.code())
    }
}

type Known<'a> = Option<&'a Arc<crate::metadata_cache::TopicMetadata>>;

/// The topic, and the code if it, or one of its partitions, does not exist.
fn find<'a>(image: &'a MetadataImage, topic: &OffsetCommitRequestTopic, version: i16) -> (Known<'a>, ErrorCode) {
    if version < 10 {
        return (image.topic(&topic.name), ErrorCode::UnknownTopicOrPartition);
    }
    match image.topic_by_id(topic.topic_id) {
        Some(known) => (Some(known), ErrorCode::UnknownTopicOrPartition),
        None => (None, ErrorCode::UnknownTopicId),
    }
}

fn to_state(
    partition: &OffsetCommitRequestPartition,
    now_ms: i64,
    expire_timestamp_ms: Option<i64>,
) -> CommittedOffset {
    let is_given = partition.commit_timestamp != NOT_GIVEN;
    CommittedOffset {
        offset: Offset(partition.committed_offset),
        leader_epoch: LeaderEpoch(partition.committed_leader_epoch),
        metadata: partition.committed_metadata.as_deref().unwrap_or_default().into(),
        commit_timestamp_ms: if is_given { partition.commit_timestamp } else { now_ms },
        expire_timestamp_ms,
    }
}

/// Whether the text has more than `max` UTF-16 code units, which is how Kafka counts.
fn is_longer(text: Option<&str>, max: usize) -> bool {
    text.is_some_and(|text| max < text.len() && max < text.encode_utf16().count())
}
