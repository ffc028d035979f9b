mod proptests;
mod scenario;

use super::*;

fn now(wall_ms: i64) -> Now {
    Now { elapsed: Duration::from_millis(wall_ms.unsigned_abs()), wall_ms }
}

/// A consumer's subscription, version 0, without user data.
pub(super) fn subscription(topics: &[&str]) -> bytes::Bytes {
    let mut bytes = vec![0, 0];
    bytes.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1i32).to_be_bytes());
    bytes.into()
}

pub(super) fn offset(offset: i64, commit_timestamp_ms: i64) -> CommittedOffset {
    CommittedOffset {
        offset: whimbrel_model::Offset(offset),
        leader_epoch: whimbrel_model::LeaderEpoch(3),
        metadata: "".into(),
        commit_timestamp_ms,
        expire_timestamp_ms: None,
    }
}

fn one(topic: &str, partition: i32, value: CommittedOffset) -> Vec<TopicOffsets> {
    vec![TopicOffsets { topic: topic.into(), partitions: vec![(partition, value)] }]
}

const NOBODY: CommitRequest<'static> = CommitRequest { member_id: "", instance_id: None, generation: -1 };

fn commit(group: &mut Group, topics: Vec<TopicOffsets>, position: i64) {
    group.begin_commit(now(0), NOBODY, &topics, &mut Vec::new()).unwrap();
    group.commit_written(topics, whimbrel_model::Offset(position));
}

fn committed(group: &Group, topic: &str, partition: i32) -> Option<i64> {
    match group.committed_offset(topic, partition, false) {
        OffsetLookup::Committed(value) => Some(value.offset.0),
        OffsetLookup::Absent | OffsetLookup::Unstable => None,
    }
}

#[test]
fn an_offset_is_visible_only_after_it_is_written_and_unstable_until_then() {
    let mut group = Group::new("g".into(), now(0));
    let topics = one("t", 0, offset(5, 0));
    group.begin_commit(now(0), NOBODY, &topics, &mut Vec::new()).unwrap();
    assert_eq!(group.committed_offset("t", 0, false), OffsetLookup::Absent);
    assert_eq!(group.committed_offset("t", 0, true), OffsetLookup::Unstable);
    assert!(!group.is_abandoned());
    group.commit_written(topics, whimbrel_model::Offset(10));
    assert_eq!(committed(&group, "t", 0), Some(5));
    assert!(matches!(group.committed_offset("t", 0, true), OffsetLookup::Committed(_)));
}

#[test]
fn a_failed_commit_leaves_no_trace() {
    let mut group = Group::new("g".into(), now(0));
    let topics = one("t", 0, offset(5, 0));
    group.begin_commit(now(0), NOBODY, &topics, &mut Vec::new()).unwrap();
    group.commit_failed(&topics);
    assert!(group.is_abandoned());
}

#[test]
fn the_commit_that_is_later_in_the_log_wins_whatever_the_order_of_confirmation() {
    let mut group = Group::new("g".into(), now(0));
    let (first, second) = (one("t", 0, offset(1, 0)), one("t", 0, offset(2, 0)));
    group.begin_commit(now(0), NOBODY, &first, &mut Vec::new()).unwrap();
    group.begin_commit(now(0), NOBODY, &second, &mut Vec::new()).unwrap();
    group.commit_written(second, whimbrel_model::Offset(11));
    group.commit_written(first, whimbrel_model::Offset(10));
    assert_eq!(committed(&group, "t", 0), Some(2));
}

#[test]
fn a_commit_to_a_topic_deleted_meanwhile_does_not_bring_it_back() {
    let mut group = Group::new("g".into(), now(0));
    let topics = one("t", 0, offset(5, 0));
    group.begin_commit(now(0), NOBODY, &topics, &mut Vec::new()).unwrap();
    let doomed = group.offset_partitions_of("t");
    group.remove_offsets(doomed.iter().map(|(topic, partition)| (&**topic, *partition)));
    group.commit_written(topics, whimbrel_model::Offset(10));
    assert_eq!(committed(&group, "t", 0), None);
    assert!(group.is_abandoned());
}

#[test]
fn offsets_of_a_group_without_members_ever_expire_after_their_commit() {
    let mut group = Group::new("g".into(), now(0));
    commit(&mut group, one("t", 0, offset(1, 1000)), 1);
    commit(&mut group, one("t", 1, offset(1, 2000)), 2);
    assert_eq!(group.expired_offsets(1999, 1000), []);
    assert_eq!(group.expired_offsets(2000, 1000), [("t".into(), 0)]);
}

#[test]
fn an_explicit_expiry_replaces_the_retention() {
    let mut group = Group::new("g".into(), now(0));
    let value = CommittedOffset { expire_timestamp_ms: Some(5000), ..offset(1, 1000) };
    commit(&mut group, one("t", 0, value), 1);
    assert_eq!(group.expired_offsets(4999, 10), []);
    assert_eq!(group.expired_offsets(5000, 10).len(), 1);
}

#[test]
fn a_pending_commit_keeps_an_offset_from_expiring() {
    let mut group = Group::new("g".into(), now(0));
    commit(&mut group, one("t", 0, offset(1, 0)), 1);
    group.begin_commit(now(0), NOBODY, &one("t", 0, offset(2, 0)), &mut Vec::new()).unwrap();
    assert_eq!(group.expired_offsets(i64::MAX, 1), []);
}

fn consumer_group(state_timestamp_ms: Option<i64>, topics: Option<&[&str]>) -> Group {
    let member = topics.map(|topics| MemberSnapshot {
        member_id: "m".into(),
        instance_id: None,
        client_id: "c".into(),
        client_host: "/h".into(),
        rebalance_timeout: Duration::from_secs(60),
        session_timeout: Duration::from_secs(10),
        subscription: subscription(topics),
        assignment: bytes::Bytes::new(),
    });
    let snapshot = GroupSnapshot {
        protocol_type: Some("consumer".into()),
        generation: 3,
        protocol_name: member.is_some().then(|| "range".into()),
        leader: member.is_some().then(|| "m".into()),
        state_timestamp_ms,
        members: member.into_iter().collect(),
    };
    Group::restore("g".into(), snapshot, now(0))
}

#[test]
fn offsets_of_an_empty_consumer_group_expire_together_after_its_last_member_left() {
    let mut group = consumer_group(Some(10_000), None);
    commit(&mut group, one("t", 0, offset(1, 0)), 1);
    assert_eq!(group.expired_offsets(10_999, 1000), []);
    assert_eq!(group.expired_offsets(11_000, 1000).len(), 1);
}

#[test]
fn an_empty_group_from_before_state_timestamps_expires_by_commit_time() {
    let mut group = consumer_group(None, None);
    commit(&mut group, one("t", 0, offset(1, 500)), 1);
    assert_eq!(group.expired_offsets(1499, 1000), []);
    assert_eq!(group.expired_offsets(1500, 1000).len(), 1);
}

#[test]
fn in_a_stable_consumer_group_only_topics_nobody_reads_expire() {
    let mut group = consumer_group(Some(0), Some(&["read"]));
    for (topic, position) in [("read", 1), ("left", 2)] {
        group.load_offset(&topic.into(), 0, offset(1, 0), whimbrel_model::Offset(position));
    }
    assert_eq!(group.expired_offsets(i64::MAX, 1000), [("left".into(), 0)]);
    assert_eq!(group.check_topic_offset_delete("read"), Err(whimbrel_model::ErrorCode::GroupSubscribedToTopic));
    assert_eq!(group.check_topic_offset_delete("left"), Ok(()));
}

#[test]
fn a_subscription_that_cannot_be_read_protects_every_topic() {
    let mut snapshot = consumer_group(Some(0), Some(&["a"])).snapshot(|_| bytes::Bytes::new());
    snapshot.members[0].subscription = bytes::Bytes::from_static(&[0, 0, 0, 0, 0, 9]);
    let group = Group::restore("g".into(), snapshot, now(0));
    assert!(group.is_subscribed_to("anything"));
    assert_eq!(group.expired_offsets(i64::MAX, 1), []);
}

#[test]
fn a_group_of_another_protocol_type_with_members_keeps_its_offsets() {
    let mut snapshot = consumer_group(Some(0), Some(&["a"])).snapshot(|_| bytes::Bytes::new());
    snapshot.protocol_type = Some("connect".into());
    let mut group = Group::restore("g".into(), snapshot, now(0));
    group.load_offset(&"t".into(), 0, offset(1, 0), whimbrel_model::Offset(1));
    assert_eq!(group.expired_offsets(i64::MAX, 1), []);
    assert_eq!(group.check_offset_delete(), Err(whimbrel_model::ErrorCode::NonEmptyGroup));
}

#[test]
fn the_first_commit_of_a_partition_repeated_in_one_request_gives_way_to_the_last() {
    let mut group = Group::new("g".into(), now(0));
    let partitions = vec![(0, offset(1, 0)), (0, offset(2, 0))];
    commit(&mut group, vec![TopicOffsets { topic: "t".into(), partitions }], 7);
    assert_eq!(committed(&group, "t", 0), Some(2));
    assert!(matches!(group.committed_offset("t", 0, true), OffsetLookup::Committed(_)));
}

#[test]
fn a_snapshot_survives_the_log() {
    let group = consumer_group(Some(5), Some(&["a", "b"]));
    let snapshot = group.snapshot(|m| m.assignment.clone());
    let again = Group::restore("g".into(), snapshot.clone(), now(9));
    assert_eq!(again.snapshot(|m| m.assignment.clone()), snapshot);
    assert_eq!(again.state(), GroupState::Stable);
}
