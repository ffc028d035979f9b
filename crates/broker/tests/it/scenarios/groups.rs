//! The group APIs: one member's life, and every request that a coordinator refuses.

use whimbrel_wire::join_group::JoinGroupRequestProtocol;
use whimbrel_wire::leave_group::MemberIdentity;
use whimbrel_wire::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use whimbrel_wire::offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use whimbrel_wire::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics};
use whimbrel_wire::sync_group::SyncGroupRequestAssignment;
use whimbrel_wire::{
    ApiKey, DeleteGroupsRequest, DescribeGroupsRequest, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, Str, SyncGroupRequest,
};

use super::records::Topic;
use crate::session::Session;
use crate::transcript::Deliberate;

const EACH: &str = "Kafka answers a partition that is listed twice once; here each is answered";

pub const DELIBERATE: &[Deliberate] = &[
    Deliberate {
        case: "DescribeGroups: the group",
        versions: 6..=99,
        reason: "newer than Kafka 3.9: an unknown group is GROUP_ID_NOT_FOUND (KIP-1043)",
    },
    Deliberate { case: "OffsetCommit: a partition twice", versions: 0..=99, reason: EACH },
    Deliberate { case: "OffsetDelete: a partition", versions: 0..=99, reason: EACH },
];

pub fn run(session: &mut Session) {
    let name = session.name("consumed");
    let id = session.create(&name, 2, &[]);
    let topic = Topic { name, id };
    refused(session, &topic);
    life(session, &topic);
    offsets(session, &topic);
    deleted(session, &topic);
}

fn join(group: &str, member: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), metadata: vec![1, 2].into() }],
        ..Default::default()
    }
}

fn leave(version: i16, group: &str, members: &[&str]) -> LeaveGroupRequest {
    if version < 3 {
        return LeaveGroupRequest { group_id: group.into(), member_id: members[0].into(), members: Vec::new() };
    }
    let one = |member: &&str| MemberIdentity { member_id: (*member).into(), ..Default::default() };
    LeaveGroupRequest { group_id: group.into(), members: members.iter().map(one).collect(), ..Default::default() }
}

fn commit(topic: &Topic, group: &str, generation: i32, member: &str, partitions: &[(i32, i64)]) -> OffsetCommitRequest {
    let one = |(partition_index, committed_offset): &(i32, i64)| OffsetCommitRequestPartition {
        partition_index: *partition_index,
        committed_offset: *committed_offset,
        committed_metadata: Some("m".into()),
        ..Default::default()
    };
    let partitions = partitions.iter().map(one).collect();
    let topics = vec![OffsetCommitRequestTopic { name: topic.name.as_str().into(), topic_id: topic.id, partitions }];
    OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: generation,
        member_id: member.into(),
        topics,
        ..Default::default()
    }
}

/// Of all partitions with `None`.
fn fetch_offsets(version: i16, topic: &Topic, group: &str, partitions: Option<&[i32]>) -> OffsetFetchRequest {
    if version < 8 {
        let topics = partitions.map(|partitions| {
            vec![OffsetFetchRequestTopic { name: topic.name.as_str().into(), partition_indexes: partitions.to_vec() }]
        });
        return OffsetFetchRequest { group_id: group.into(), topics, ..Default::default() };
    }
    let topics = partitions.map(|partitions| {
        let partition_indexes = partitions.to_vec();
        vec![OffsetFetchRequestTopics { name: topic.name.as_str().into(), topic_id: topic.id, partition_indexes }]
    });
    let group = OffsetFetchRequestGroup { group_id: group.into(), topics, ..Default::default() };
    OffsetFetchRequest { topics: Some(Vec::new()), groups: vec![group], ..Default::default() }
}

fn refused(session: &mut Session, topic: &Topic) {
    session.ask_all("no group id", |_, _| Some(join("", "")));
    session.ask_all("an unknown member", |v, s| Some(join(&s.name(&format!("nobody-v{v}")), "nobody")));
    for timeout in [0, 999, i32::MAX] {
        session.ask_all(&format!("a session of {timeout} ms"), |v, s| {
            Some(JoinGroupRequest { session_timeout_ms: timeout, ..join(&s.name(&format!("timeout-v{v}")), "") })
        });
    }
    session.ask_all("no protocol type", |v, s| {
        Some(JoinGroupRequest { protocol_type: Str::default(), ..join(&s.name(&format!("type-v{v}")), "") })
    });
    session.ask_all("no protocols", |v, s| {
        Some(JoinGroupRequest { protocols: Vec::new(), ..join(&s.name(&format!("protocols-v{v}")), "") })
    });
    for group in ["", "nobody"] {
        session.ask_all(&format!("the group {group:?}"), |_, _| {
            Some(SyncGroupRequest {
                group_id: group.into(),
                generation_id: 1,
                member_id: "x".into(),
                ..Default::default()
            })
        });
        session.ask_all(&format!("the group {group:?}"), |_, _| {
            Some(HeartbeatRequest {
                group_id: group.into(),
                generation_id: 1,
                member_id: "x".into(),
                ..Default::default()
            })
        });
        session.ask_all(&format!("the group {group:?}"), |v, _| Some(leave(v, group, &["x"])));
        session.ask_all(&format!("a generation of the group {group:?}"), |v, _| {
            (1 <= v).then(|| commit(topic, group, 1, "x", &[(0, 5)]))
        });
        session.ask_all(&format!("the group {group:?}"), |v, _| Some(fetch_offsets(v, topic, group, Some(&[0, 9]))));
        session.ask_all(&format!("all of the group {group:?}"), |v, _| {
            (2 <= v).then(|| fetch_offsets(v, topic, group, None))
        });
        session.ask_all(&format!("the group {group:?}"), |_, _| {
            Some(DescribeGroupsRequest { groups: vec![group.into()], ..Default::default() })
        });
        session.ask_all(&format!("the group {group:?}"), |_, _| {
            Some(DeleteGroupsRequest { groups_names: vec![group.into()] })
        });
        session.ask_all(&format!("the group {group:?}"), |_, _| Some(delete_offsets(topic, group, &[0])));
    }
    session.ask_all("no groups", |_, _| Some(DescribeGroupsRequest::default()));
    session.ask_all("no groups", |_, _| Some(DeleteGroupsRequest::default()));
}

fn delete_offsets(topic: &Topic, group: &str, partitions: &[i32]) -> OffsetDeleteRequest {
    let one = |partition_index: &i32| OffsetDeleteRequestPartition { partition_index: *partition_index };
    let topics = vec![OffsetDeleteRequestTopic {
        name: topic.name.as_str().into(),
        partitions: partitions.iter().map(one).collect(),
    }];
    OffsetDeleteRequest { group_id: group.into(), topics }
}

/// A member joins, is given its partitions, commits and leaves, in each version of JoinGroup.
fn life(session: &mut Session, topic: &Topic) {
    for version in session.versions(ApiKey::JoinGroup) {
        let group = session.name(&format!("life-v{version}"));
        let mut joined = session.ask("joins", version, &join(&group, "")).expect("an answer");
        if joined.error_code != 0 {
            joined = session.ask("joins with its id", version, &join(&group, &joined.member_id)).expect("an answer");
        }
        let (member, generation) = (joined.member_id.to_string(), joined.generation_id);
        let sync = |version: i16, generation_id: i32, member_id: &str| SyncGroupRequest {
            group_id: group.as_str().into(),
            generation_id,
            member_id: member_id.into(),
            protocol_type: (5 <= version).then(|| "consumer".into()),
            protocol_name: (5 <= version).then(|| "range".into()),
            assignments: vec![SyncGroupRequestAssignment {
                member_id: member.as_str().into(),
                assignment: vec![7].into(),
            }],
            ..Default::default()
        };
        let beat = |generation_id: i32, member_id: &str| HeartbeatRequest {
            group_id: group.as_str().into(),
            generation_id,
            member_id: member_id.into(),
            ..Default::default()
        };
        let describe = DescribeGroupsRequest { groups: vec![group.as_str().into()], ..Default::default() };
        let at = version.min(4);
        session.ask("before the assignment", at, &beat(generation, &member));
        session.ask("another generation", version.min(5), &sync(version.min(5), generation + 1, &member));
        session.ask("another member", version.min(5), &sync(version.min(5), generation, "x"));
        session.ask("the leader's assignment", version.min(5), &sync(version.min(5), generation, &member));
        session.ask("the assignment again", version.min(5), &sync(version.min(5), generation, &member));
        session.ask("a live member", at, &beat(generation, &member));
        session.ask("another generation", at, &beat(generation + 1, &member));
        session.ask("another member", at, &beat(generation, "x"));
        session.ask("a stable group", version.min(5), &describe);
        let commits = version.min(9);
        session.ask("a member's commit", commits.max(1), &commit(topic, &group, generation, &member, &[(0, 3)]));
        session.ask(
            "another generation's commit",
            commits.max(1),
            &commit(topic, &group, generation + 1, &member, &[(0, 3)]),
        );
        session.ask("another member's commit", commits.max(1), &commit(topic, &group, generation, "x", &[(0, 3)]));
        session.ask("nobody's commit", commits.max(1), &commit(topic, &group, -1, "", &[(0, 3)]));
        session.ask(
            "a group with members",
            version.min(2),
            &DeleteGroupsRequest { groups_names: vec![group.as_str().into()] },
        );
        session.ask("a subscribed topic", 0, &delete_offsets(topic, &group, &[0]));
        let leaves = version.min(5);
        session.ask("an unknown member", leaves, &leave(leaves, &group, &["x"]));
        session.ask("leaves", leaves, &leave(leaves, &group, &[&member]));
        session.ask("leaves again", leaves, &leave(leaves, &group, &[&member]));
        session.ask("an empty group", version.min(5), &describe);
        session.ask("after leaving", at, &beat(generation, &member));
    }
}

fn offsets(session: &mut Session, topic: &Topic) {
    for version in session.versions(ApiKey::OffsetCommit) {
        let group = session.name(&format!("offsets-v{version}"));
        let cases: [(&str, &[(i32, i64)]); 6] = [
            ("commits", &[(0, 5), (1, 0)]),
            ("commits backwards", &[(0, 2)]),
            ("a negative offset", &[(0, -1)]),
            ("unknown partitions", &[(9, 1), (-1, 1), (0, 4)]),
            ("no partitions", &[]),
            ("a partition twice", &[(0, 7), (0, 8)]),
        ];
        for (case, partitions) in cases {
            session.ask(case, version, &commit(topic, &group, -1, "", partitions));
        }
        if version < 10 {
            let unknown = Topic { name: "nobody".into(), id: topic.id };
            session.ask("an unknown topic", version, &commit(&unknown, &group, -1, "", &[(0, 1)]));
        }
        let mut long = commit(topic, &group, -1, "", &[(0, 1)]);
        long.topics[0].partitions[0].committed_metadata = Some("m".repeat(5000).into());
        session.ask("metadata too long", version, &long);
        long.topics[0].partitions[0].committed_metadata = None;
        session.ask("no metadata", version, &long);
        session.ask("no topics", version, &OffsetCommitRequest { topics: Vec::new(), ..long });
    }
    let group = session.name("offsets-v2");
    for version in session.versions(ApiKey::OffsetFetch) {
        session.ask("what was committed", version, &fetch_offsets(version, topic, &group, Some(&[0, 1, 9, -1])));
        session.ask("no partitions", version, &fetch_offsets(version, topic, &group, Some(&[])));
        if 2 <= version {
            session.ask("all that was committed", version, &fetch_offsets(version, topic, &group, None));
        }
        if 7 <= version {
            let stable =
                OffsetFetchRequest { require_stable: true, ..fetch_offsets(version, topic, &group, Some(&[0])) };
            session.ask("only stable ones", version, &stable);
        }
    }
}

fn deleted(session: &mut Session, topic: &Topic) {
    let group = session.name("offsets-v5");
    session.ask("a partition", 0, &delete_offsets(topic, &group, &[0, 0, 9]));
    session.ask("nothing", 0, &delete_offsets(topic, &group, &[]));
    session.ask_all("a group without members", |v, s| {
        let name = s.name(&format!("offsets-v{v}"));
        Some(DeleteGroupsRequest { groups_names: vec![name.as_str().into(), "nobody".into(), name.as_str().into()] })
    });
    session.ask_all("a group that was deleted", |v, s| {
        Some(DeleteGroupsRequest { groups_names: vec![s.name(&format!("offsets-v{v}")).into()] })
    });
}
