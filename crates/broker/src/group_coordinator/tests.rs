mod bench;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use whimbrel_model::record::{BatchBuilder, BatchOptions, Compression};
use whimbrel_model::{LeaderEpoch, Offset};
use whimbrel_state::group::{
    CommittedOffset, Group, GroupSnapshot, GroupState, MemberSnapshot, Now, OffsetLookup, TopicOffsets,
};

use super::loader::Loader;
use super::{partition_of, records};

const NOW: Now = Now { elapsed: Duration::ZERO, wall_ms: 1_700_000_000_000 };

/// See `fixtures/README.md`.
const WRITTEN_BY_KAFKA: &[u8] = include_bytes!("../../fixtures/consumer-offsets-kafka-3.9.2.log");

fn load(batches: &[Bytes]) -> (Vec<Group>, usize) {
    let mut loader = Loader::new(NOW);
    for batch in batches {
        loader.apply(batch);
    }
    let (mut groups, skipped_count) = loader.finish();
    groups.sort_by(|a, b| a.id().cmp(b.id()));
    (groups, skipped_count)
}

fn offset_of(group: &Group, topic: &str, partition: i32) -> Option<i64> {
    match group.committed_offset(topic, partition, true) {
        OffsetLookup::Committed(value) => Some(value.offset.0),
        OffsetLookup::Absent | OffsetLookup::Unstable => None,
    }
}

fn offset(offset: i64) -> CommittedOffset {
    CommittedOffset {
        offset: Offset(offset),
        leader_epoch: LeaderEpoch(4),
        metadata: "m".into(),
        commit_timestamp_ms: 1_699_999_999_999,
        expire_timestamp_ms: None,
    }
}

fn commit(group: &str, offsets: &[(&str, i32, CommittedOffset)]) -> Bytes {
    let topics = offsets.iter().map(|(topic, partition, value)| TopicOffsets {
        topic: (*topic).into(),
        partitions: vec![(*partition, value.clone())],
    });
    records::offsets_batch(group, &topics.collect::<Vec<_>>(), NOW.wall_ms, Compression::NONE).unwrap()
}

#[test]
fn groups_are_found_where_java_puts_them() {
    // The second column is |"…".hashCode()| % 50 as Java computes it.
    let known = [("", 0), ("g1", 42), ("g2", 43), ("console-consumer-12345", 6), ("gruppe-ä", 48), ("群𝄞", 30)];
    for (group, partition) in known {
        assert_eq!(partition_of(group, 50), partition, "{group}");
    }
    // The hash of this one is Integer.MIN_VALUE, which has no absolute value.
    assert_eq!(partition_of("polygenelubricants", 50), 0);
}

#[test]
fn the_groups_that_kafka_wrote_are_read() {
    let (groups, skipped_count) = load(&[Bytes::from_static(WRITTEN_BY_KAFKA)]);
    let ids: Vec<&str> = groups.iter().map(|group| &**group.id()).collect();
    assert_eq!(ids, ["dynamic-group", "simple-group", "static-group", "topic-group", "tx-group"]);
    assert_eq!(skipped_count, 0);
    let [dynamic, simple, with_static, topic, tx] = groups.as_slice() else { panic!("five groups") };

    assert_eq!((dynamic.state(), dynamic.generation()), (GroupState::Empty, 2));
    assert_eq!((offset_of(dynamic, "t", 0), offset_of(dynamic, "t", 1)), (Some(1), Some(2)));
    assert_eq!((simple.generation(), offset_of(simple, "t", 1)), (0, Some(7)));

    assert_eq!((with_static.state(), with_static.generation()), (GroupState::Stable, 1));
    let described = with_static.describe();
    assert_eq!((&*described.protocol_type, &*described.protocol_name), ("consumer", "range"));
    let [member] = described.members.as_slice() else { panic!("one member") };
    assert_eq!(member.instance_id.as_deref(), Some("instance-1"));
    assert_eq!((&*member.client_id, &*member.client_host), ("client", "/127.0.0.1"));
    assert!(with_static.is_subscribed_to("t") && !with_static.is_subscribed_to("other"));
    let OffsetLookup::Committed(noted) = with_static.committed_offset("t", 0, true) else { panic!("an offset") };
    assert_eq!((noted.offset, noted.leader_epoch, &*noted.metadata), (Offset(2), LeaderEpoch(0), "note"));

    assert_eq!((offset_of(topic, "t", 0), offset_of(topic, "gone", 0)), (Some(3), None));
    // Committed transactions count; an aborted and an open one do not.
    assert_eq!((offset_of(tx, "t", 0), offset_of(tx, "t", 1)), (Some(11), None));
}

#[test]
fn a_snapshot_comes_back_as_it_was_written() {
    let member = MemberSnapshot {
        member_id: "c-1".into(),
        instance_id: Some("i".into()),
        client_id: "c".into(),
        client_host: "/10.0.0.1".into(),
        rebalance_timeout: Duration::from_secs(300),
        session_timeout: Duration::from_secs(45),
        subscription: Bytes::from_static(b"subscription"),
        assignment: Bytes::from_static(&[7; 2000]),
    };
    let snapshot = GroupSnapshot {
        protocol_type: Some("connect".into()),
        generation: 7,
        protocol_name: Some("sessioned".into()),
        leader: Some("c-1".into()),
        state_timestamp_ms: Some(5),
        members: vec![member.clone(), MemberSnapshot { member_id: "d-1".into(), instance_id: None, ..member }],
    };
    let batch = records::group_batch("g", &snapshot, NOW.wall_ms, Compression::NONE).unwrap();
    let (groups, _) = load(&[batch]);
    let [group] = groups.as_slice() else { panic!("one group") };
    assert_eq!((group.state(), group.generation(), group.member_count()), (GroupState::Stable, 7, 2));
    let described = group.describe();
    assert_eq!(described.members[0].assignment, [7; 2000][..]);
    assert_eq!(described.members[1].instance_id, None);
    assert_eq!(described.members[1].metadata, b"subscription"[..]);
}

#[test]
fn the_last_record_of_an_offset_counts_and_a_tombstone_ends_it() {
    let tombstones =
        records::tombstone_batches("g", &[("t".into(), 1)], false, NOW.wall_ms, Compression::NONE, 1 << 20).unwrap();
    let mut batches =
        vec![commit("g", &[("t", 0, offset(1)), ("t", 1, offset(1))]), commit("g", &[("t", 0, offset(2))])];
    batches.extend(tombstones);
    let (groups, _) = load(&batches);
    assert_eq!((offset_of(&groups[0], "t", 0), offset_of(&groups[0], "t", 1)), (Some(2), None));
}

#[test]
fn a_group_with_nothing_left_does_not_come_back() {
    let offsets = commit("g", &[("t", 0, offset(1))]);
    let end = records::tombstone_batches("g", &[("t".into(), 0)], true, NOW.wall_ms, Compression::NONE, 1 << 20);
    let mut batches = vec![offsets];
    batches.extend(end.unwrap());
    assert!(load(&batches).0.is_empty());
}

#[test]
fn an_expiry_of_its_own_is_written_in_the_version_that_can_say_it() {
    let value = CommittedOffset { expire_timestamp_ms: Some(77), ..offset(5) };
    let (groups, _) = load(&[commit("g", &[("t", 0, value.clone())])]);
    let OffsetLookup::Committed(read) = groups[0].committed_offset("t", 0, true) else { panic!("an offset") };
    // Version 1 has no leader epoch.
    assert_eq!(read, CommittedOffset { leader_epoch: LeaderEpoch::NONE, ..value });
}

#[test]
fn many_tombstones_are_spread_over_batches() {
    let doomed: Vec<(Arc<str>, i32)> = (0..1000).map(|partition| ("topic".into(), partition)).collect();
    let batches = records::tombstone_batches("g", &doomed, true, NOW.wall_ms, Compression::NONE, 4096).unwrap();
    assert!(batches.len() > 5 && batches.iter().all(|batch| batch.len() < 5000));
    let all: Vec<(&str, i32, CommittedOffset)> = (0..1000).map(|partition| ("topic", partition, offset(1))).collect();
    let mut log = vec![commit("g", &all)];
    assert_eq!(load(&log).0[0].committed_offset_count(), 1000);
    log.extend(batches);
    assert!(load(&log).0.is_empty());
}

#[test]
fn records_that_cannot_be_read_are_left_out_and_the_rest_is_kept() {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for (key, value) in [
        (&[0, 9, 1, 2][..], &[][..]),
        (&[0, 1, 0, 90][..], &[0, 3][..]),
        (&[][..], &[][..]),
        (&[0, 2, 0, 1, b'h'][..], &[0, 9][..]),
    ] {
        builder.append(0, Some(key), Some(value), []).unwrap();
    }
    let (groups, skipped_count) = load(&[builder.build().unwrap(), commit("g", &[("t", 0, offset(1))])]);
    assert_eq!((groups.len(), skipped_count), (1, 4));
    assert_eq!(offset_of(&groups[0], "t", 0), Some(1));
}
