//! The records of `__consumer_offsets`: keys and values with a version in front, as every Kafka since 0.9 reads them.
//!
//! Written: offset key 1, offset value 3 (1 if the offset has an expiry of its own), group key 2, group value 3. Read:
//! all versions. Source: `GroupMetadataManager.scala`, `OffsetCommitValue.json`, `GroupMetadataValue.json`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use whimbrel_model::record::{BatchBuilder, BatchOptions, BuildError, Compression};
use whimbrel_model::{LeaderEpoch, Offset};
use whimbrel_state::group::{CommittedOffset, GroupSnapshot, MemberSnapshot, TopicOffsets};
use whimbrel_wire::group_records::{
    GroupMetadataKey, GroupMetadataValue, MemberMetadata, OffsetCommitKey, OffsetCommitValue,
};
use whimbrel_wire::{DecodeError, EncodeError, Str, decode_versioned, encode_versioned, stored_version};

const OFFSET_KEY_VERSION: i16 = 1;
const GROUP_KEY_VERSION: i16 = 2;
const GROUP_VALUE_VERSION: i16 = 3;
/// Version 4 is the same in the flexible encoding, which older brokers cannot read.
const OFFSET_VALUE_VERSION: i16 = 3;
/// The only version that can say when the offset expires.
const OFFSET_VALUE_VERSION_WITH_EXPIRY: i16 = 1;

/// Stands for "none" in values.
const NO_TIMESTAMP: i64 = -1;

/// What a record is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Offset {
        group: Str,
        topic: Str,
        partition: i32,
    },
    Group {
        group: Str,
    },
    /// Of another coordinator, or of a later Kafka: skipped.
    Unknown {
        version: i16,
    },
}

/// Why a key or value is not what it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadRecordError {
    #[error("the version is missing")]
    NoVersion,
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// Why records cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteRecordError {
    /// A text is longer than its field allows.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Build(#[from] BuildError),
}

pub(super) fn read_key(key: &Bytes) -> Result<Key, ReadRecordError> {
    Ok(match stored_version(key).ok_or(ReadRecordError::NoVersion)? {
        0 | 1 => {
            let (_, OffsetCommitKey { group, topic, partition }) = decode_versioned(key)?;
            Key::Offset { group, topic, partition }
        }
        GROUP_KEY_VERSION => {
            let (_, GroupMetadataKey { group }) = decode_versioned(key)?;
            Key::Group { group }
        }
        version => Key::Unknown { version },
    })
}

pub(super) fn read_offset(value: &Bytes) -> Result<CommittedOffset, ReadRecordError> {
    let (_, value): (_, OffsetCommitValue) = decode_versioned(value)?;
    Ok(CommittedOffset {
        offset: Offset(value.offset),
        leader_epoch: LeaderEpoch(value.leader_epoch),
        metadata: value.metadata.as_str().into(),
        commit_timestamp_ms: value.commit_timestamp,
        expire_timestamp_ms: (value.expire_timestamp != NO_TIMESTAMP).then_some(value.expire_timestamp),
    })
}

pub(super) fn read_group(value: &Bytes) -> Result<GroupSnapshot, ReadRecordError> {
    let (_, value): (_, GroupMetadataValue) = decode_versioned(value)?;
    Ok(GroupSnapshot {
        protocol_type: (!value.protocol_type.is_empty()).then(|| value.protocol_type.as_str().into()),
        generation: value.generation,
        protocol_name: owned(value.protocol.as_ref()),
        leader: owned(value.leader.as_ref()),
        state_timestamp_ms: (value.current_state_timestamp != NO_TIMESTAMP).then_some(value.current_state_timestamp),
        members: value.members.into_iter().map(read_member).collect(),
    })
}

fn read_member(member: MemberMetadata) -> MemberSnapshot {
    // Version 0 is from when a rebalance could take as long as a session.
    let rebalance_timeout =
        if member.rebalance_timeout < 0 { member.session_timeout } else { member.rebalance_timeout };
    MemberSnapshot {
        member_id: member.member_id.into(),
        instance_id: owned(member.group_instance_id.as_ref()),
        client_id: member.client_id.into(),
        client_host: member.client_host.into(),
        rebalance_timeout: duration(rebalance_timeout),
        session_timeout: duration(member.session_timeout),
        // Copied, so that a member does not keep the whole batch in memory that it was read from.
        subscription: Bytes::copy_from_slice(&member.subscription),
        assignment: Bytes::copy_from_slice(&member.assignment),
    }
}

/// One batch with an offset commit of a group.
pub(super) fn offsets_batch(
    group: &str,
    topics: &[TopicOffsets],
    now_ms: i64,
    compression: Compression,
) -> Result<Bytes, WriteRecordError> {
    let mut builder = builder(compression);
    let group = Str::from(group);
    for TopicOffsets { topic, partitions } in topics {
        let topic = Str::from(topic);
        for (partition, offset) in partitions {
            let key = offset_key(&group, &topic, *partition)?;
            builder.append(now_ms, Some(&key), Some(&offset_value(offset)?), [])?;
        }
    }
    Ok(builder.build()?)
}

/// One batch with a group's snapshot.
pub(super) fn group_batch(
    group: &str,
    snapshot: &GroupSnapshot,
    now_ms: i64,
    compression: Compression,
) -> Result<Bytes, WriteRecordError> {
    let mut builder = builder(compression);
    builder.append(now_ms, Some(&group_key(group)?), Some(&group_value(snapshot)?), [])?;
    Ok(builder.build()?)
}

/// Tombstones of offsets, and at the end of the group if `with_group`: as many batches as it takes to keep each below
/// `batch_bytes_max`.
pub(super) fn tombstone_batches(
    group: &str,
    offsets: &[(Arc<str>, i32)],
    with_group: bool,
    now_ms: i64,
    compression: Compression,
    batch_bytes_max: usize,
) -> Result<Vec<Bytes>, WriteRecordError> {
    let mut batches = Vec::new();
    let mut current = builder(compression);
    let group_text = Str::from(group);
    let offset_keys = offsets.iter().map(|(topic, partition)| offset_key(&group_text, &Str::from(topic), *partition));
    for key in offset_keys.chain(with_group.then(|| group_key(group))) {
        if batch_bytes_max <= current.uncompressed_bytes() {
            batches.push(std::mem::replace(&mut current, builder(compression)).build()?);
        }
        current.append(now_ms, Some(&key?), None, [])?;
    }
    if !current.is_empty() {
        batches.push(current.build()?);
    }
    Ok(batches)
}

fn builder(compression: Compression) -> BatchBuilder {
    BatchBuilder::new(BatchOptions { compression, ..BatchOptions::default() })
}

fn offset_key(group: &Str, topic: &Str, partition: i32) -> Result<Bytes, EncodeError> {
    let key = OffsetCommitKey { group: group.clone(), topic: topic.clone(), partition };
    encode_versioned(&key, OFFSET_KEY_VERSION)
}

fn offset_value(offset: &CommittedOffset) -> Result<Bytes, EncodeError> {
    let value = OffsetCommitValue {
        offset: offset.offset.0,
        leader_epoch: offset.leader_epoch.0,
        metadata: Str::from(&*offset.metadata),
        commit_timestamp: offset.commit_timestamp_ms,
        expire_timestamp: offset.expire_timestamp_ms.unwrap_or(NO_TIMESTAMP),
    };
    let has_expiry = offset.expire_timestamp_ms.is_some();
    encode_versioned(&value, if has_expiry { OFFSET_VALUE_VERSION_WITH_EXPIRY } else { OFFSET_VALUE_VERSION })
}

fn group_key(group: &str) -> Result<Bytes, EncodeError> {
    encode_versioned(&GroupMetadataKey { group: Str::from(group) }, GROUP_KEY_VERSION)
}

fn group_value(snapshot: &GroupSnapshot) -> Result<Bytes, EncodeError> {
    let members = snapshot.members.iter().map(|member| MemberMetadata {
        member_id: Str::from(&member.member_id),
        group_instance_id: member.instance_id.as_ref().map(Str::from),
        client_id: Str::from(&member.client_id),
        client_host: Str::from(&member.client_host),
        rebalance_timeout: millis(member.rebalance_timeout),
        session_timeout: millis(member.session_timeout),
        subscription: member.subscription.clone(),
        assignment: member.assignment.clone(),
    });
    let value = GroupMetadataValue {
        protocol_type: snapshot.protocol_type.as_ref().map(Str::from).unwrap_or_default(),
        generation: snapshot.generation,
        protocol: snapshot.protocol_name.as_ref().map(Str::from),
        leader: snapshot.leader.as_ref().map(Str::from),
        current_state_timestamp: snapshot.state_timestamp_ms.unwrap_or(NO_TIMESTAMP),
        members: members.collect(),
    };
    encode_versioned(&value, GROUP_VALUE_VERSION)
}

fn owned(text: Option<&Str>) -> Option<Arc<str>> {
    text.map(|text| text.as_str().into())
}

fn duration(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
