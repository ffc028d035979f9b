use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use whimbrel_model::ErrorCode;
use whimbrel_state::group::{
    CommitRequest, GroupState, JoinRequest, LeavingMember, Protocol, SyncRequest, TopicOffsets,
};

use super::bench::{Bench, in_time};
use super::{offset, offset_of};
use crate::group_coordinator::{EmptyGroupId, GroupCoordinator};
use crate::metadata_cache::DeletedPartition;

const NOBODY: CommitRequest<'static> = CommitRequest { member_id: "", instance_id: None, generation: -1 };

fn offsets(topic: &str, value: i64) -> Vec<TopicOffsets> {
    vec![TopicOffsets { topic: topic.into(), partitions: vec![(0, offset(value))] }]
}

fn join(fresh: &str) -> JoinRequest {
    JoinRequest {
        member_id: "".into(),
        fresh_member_id: fresh.into(),
        instance_id: None,
        requires_known_member_id: false,
        supports_skipping_assignment: true,
        client_id: "c".into(),
        client_host: "/h".into(),
        session_timeout: Duration::from_secs(30),
        rebalance_timeout: Duration::from_secs(30),
        protocol_type: "consumer".into(),
        protocols: vec![Protocol { name: "range".into(), metadata: Bytes::from_static(&[0, 0, 0, 0, 0, 0]) }],
    }
}

fn rejoin(id: &str) -> JoinRequest {
    JoinRequest { member_id: id.into(), ..join("") }
}

fn sync(member: &str, generation: i32, assignments: &[(&str, &'static [u8])]) -> SyncRequest {
    SyncRequest {
        member_id: member.into(),
        instance_id: None,
        generation,
        protocol_type: None,
        protocol_name: None,
        assignments: assignments.iter().map(|(id, bytes)| (Arc::from(*id), Bytes::from_static(bytes))).collect(),
    }
}

fn committed(groups: &GroupCoordinator, group: &str, topic: &str) -> Option<i64> {
    groups.read_group(group, EmptyGroupId::Refused, |group| offset_of(group?, topic, 0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_survive_a_change_of_coordinator() {
    let bench = Bench::leading(&[]).await;
    in_time(bench.groups.commit_offsets("g", NOBODY, offsets("t", 5))).await.unwrap();
    in_time(bench.groups.commit_offsets("g", NOBODY, offsets("t", 6))).await.unwrap();
    assert_eq!(committed(&bench.groups, "g", "t"), Some(6));
    bench.fail_over(2).await;
    assert_eq!(committed(&bench.groups, "g", "t"), Some(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_connection_ends_takes_effect_all_the_same() {
    let bench = Bench::leading(&[]).await;
    {
        let commit = bench.groups.commit_offsets("g", NOBODY, offsets("t", 5));
        tokio::pin!(commit);
        // Once is enough to append; then the connection is gone.
        let _ = futures_poll_once(commit.as_mut()).await;
    }
    in_time(async {
        while committed(&bench.groups, "g", "t") != Some(5) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let pending = bench.groups.read_group("g", EmptyGroupId::Refused, |group| {
        group.map(|group| group.committed_offset("t", 0, true) == whimbrel_state::group::OffsetLookup::Unstable)
    });
    assert_eq!(pending, Ok(Some(false)));
}

async fn futures_poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut future).poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_share_a_generation_which_outlives_the_coordinator() {
    let bench = Bench::leading(&[]).await;
    let groups = bench.groups.clone();
    let first = in_time(groups.join("g", join("m1"))).await.unwrap();
    assert_eq!((first.generation, first.error), (1, ErrorCode::None));
    let (second, again) = in_time(async {
        tokio::join!(groups.join("g", join("m2")), async {
            // The second has to be in first, so that the leader finds the rebalance begun.
            while groups.heartbeat("g", "m1", None, 1) != Err(ErrorCode::RebalanceInProgress) {
                tokio::task::yield_now().await;
            }
            groups.join("g", rejoin("m1")).await
        })
    })
    .await;
    assert_eq!((second.unwrap().generation, again.unwrap().members.len()), (2, 2));
    let (follower, leader) = in_time(async {
        tokio::join!(
            groups.sync("g", sync("m2", 2, &[])),
            groups.sync("g", sync("m1", 2, &[("m1", b"one"), ("m2", b"two")]))
        )
    })
    .await;
    assert_eq!((leader.unwrap().assignment, follower.unwrap().assignment), ("one".into(), "two".into()));
    bench.fail_over(2).await;
    assert_eq!(groups.heartbeat("g", "m2", None, 2), Ok(()));
    let synced = in_time(groups.sync("g", sync("m2", 2, &[]))).await.unwrap();
    assert_eq!(synced.assignment, Bytes::from_static(b"two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_are_sent_away_when_the_coordinator_moves() {
    let bench = Bench::leading(&["group.initial.rebalance.delay.ms=600000"]).await;
    let groups = bench.groups.clone();
    let waiting = tokio::spawn(async move { groups.join("g", join("m1")).await });
    in_time(async {
        while !matches!(bench.groups.list(), Ok((_, groups)) if groups.iter().any(|g| g.state == GroupState::PreparingRebalance))
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    bench.groups.on_resign(0, Some(whimbrel_model::LeaderEpoch(2)));
    assert_eq!(in_time(waiting).await.unwrap().unwrap().error, ErrorCode::NotCoordinator);
    assert_eq!(bench.groups.heartbeat("g", "m1", None, 1), Err(ErrorCode::NotCoordinator));
    // A notice of an election before that comes late.
    bench.lead(1);
    assert_eq!(bench.groups.heartbeat("g", "m1", None, 1), Err(ErrorCode::NotCoordinator));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_member_is_removed_and_its_group_written_as_empty() {
    let bench = Bench::leading(&["group.min.session.timeout.ms=1"]).await;
    let request = JoinRequest { session_timeout: Duration::from_millis(50), ..join("m1") };
    assert_eq!(in_time(bench.groups.join("g", request)).await.unwrap().generation, 1);
    in_time(async {
        while bench.groups.heartbeat("g", "nobody", None, 1).is_ok()
            || bench.groups.list().unwrap().1[0].state != GroupState::Empty
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(bench.groups.heartbeat("g", "m1", None, 1), Err(ErrorCode::UnknownMemberId));
    bench.fail_over(2).await;
    let generation = bench.groups.read_group("g", EmptyGroupId::Refused, |group| group.map(|g| g.generation()));
    assert_eq!(generation, Ok(Some(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_deleted_only_without_members_and_stays_deleted() {
    let bench = Bench::leading(&[]).await;
    let groups = &bench.groups;
    assert_eq!(in_time(groups.delete_group("g")).await, Err(ErrorCode::GroupIdNotFound));
    in_time(groups.commit_offsets("g", NOBODY, offsets("t", 5))).await.unwrap();
    in_time(groups.join("g", join("m1"))).await.unwrap();
    assert_eq!(in_time(groups.delete_group("g")).await, Err(ErrorCode::NonEmptyGroup));
    let leaving = [LeavingMember { member_id: "m1".into(), instance_id: None }];
    assert_eq!(groups.leave("g", &leaving), Ok(vec![ErrorCode::None]));
    assert_eq!(in_time(groups.delete_group("g")).await, Ok(()));
    assert!(groups.list().unwrap().1.is_empty());
    bench.fail_over(2).await;
    assert!(groups.list().unwrap().1.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_forgotten_by_request_and_with_their_topic() {
    let bench = Bench::leading(&[]).await;
    let groups = &bench.groups;
    for topic in ["asked", "deleted", "kept"] {
        in_time(groups.commit_offsets("g", NOBODY, offsets(topic, 5))).await.unwrap();
    }
    let asked = [(Arc::from("asked"), 0), (Arc::from("asked"), 9)];
    assert_eq!(in_time(groups.delete_offsets("g", &asked)).await, Ok(vec![ErrorCode::None; 2]));
    groups.on_partitions_deleted(vec![DeletedPartition { topic: "deleted".into(), partition: 0 }]);
    in_time(async {
        while committed(groups, "g", "deleted").is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    bench.fail_over(2).await;
    let left = ["asked", "deleted", "kept"].map(|topic| committed(groups, "g", topic));
    assert_eq!(left, [None, None, Some(5)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_reads_a_topic_keeps_its_offsets() {
    let bench = Bench::leading(&[]).await;
    let mut request = join("m1");
    request.protocols[0].metadata = Bytes::from_static(&[0, 0, 0, 0, 0, 1, 0, 1, b't']);
    in_time(bench.groups.join("g", request)).await.unwrap();
    let partitions = [(Arc::from("t"), 0), (Arc::from("u"), 0)];
    let results = in_time(bench.groups.delete_offsets("g", &partitions)).await;
    assert_eq!(results, Ok(vec![ErrorCode::GroupSubscribedToTopic, ErrorCode::None]));
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_offsets_and_abandoned_groups_are_removed() {
    let bench = Bench::leading(&["offsets.retention.minutes=1"]).await;
    let groups = &bench.groups;
    in_time(groups.commit_offsets("old", NOBODY, offsets("t", 5))).await.unwrap();
    let fresh = whimbrel_state::group::CommittedOffset { commit_timestamp_ms: i64::MAX, ..offset(5) };
    let fresh = vec![TopicOffsets { topic: "t".into(), partitions: vec![(0, fresh)] }];
    in_time(groups.commit_offsets("fresh", NOBODY, fresh)).await.unwrap();
    assert_eq!(groups.expire_offsets(), 1);
    let ids = |groups: &GroupCoordinator| -> Vec<String> {
        groups.list().unwrap().1.into_iter().map(|group| group.group_id.to_string()).collect()
    };
    assert_eq!(ids(groups), ["fresh"]);
    bench.fail_over(2).await;
    assert_eq!(ids(groups), ["fresh"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_against_a_request_is_said_in_kafkas_order() {
    let bench = Bench::leading(&[]).await;
    let groups = &bench.groups;
    assert_eq!(in_time(groups.join("", join("m"))).await, Err(ErrorCode::InvalidGroupId));
    let short = JoinRequest { session_timeout: Duration::ZERO, ..rejoin("stranger") };
    assert_eq!(in_time(groups.join("g", short)).await, Err(ErrorCode::InvalidSessionTimeout));
    assert_eq!(in_time(groups.join("g", rejoin("stranger"))).await, Err(ErrorCode::UnknownMemberId));
    assert_eq!(in_time(groups.sync("g", sync("m", 1, &[]))).await, Err(ErrorCode::UnknownMemberId));
    assert_eq!(groups.heartbeat("g", "m", None, 1), Err(ErrorCode::UnknownMemberId));
    let by_member = CommitRequest { member_id: "m", instance_id: None, generation: 1 };
    let late = in_time(groups.commit_offsets("g", by_member, offsets("t", 1))).await;
    assert_eq!(late, Err(ErrorCode::IllegalGeneration));
    // The empty group id may store offsets.
    assert_eq!(in_time(groups.commit_offsets("", NOBODY, offsets("t", 1))).await, Ok(()));
    groups.stop();
    assert_eq!(groups.heartbeat("g", "m", None, 1), Err(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(groups.heartbeat("", "m", None, 1), Err(ErrorCode::InvalidGroupId));
}
