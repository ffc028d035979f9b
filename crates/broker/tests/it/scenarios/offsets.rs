//! ListOffsets, OffsetForLeaderEpoch, DeleteRecords.

use whimbrel_wire::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use whimbrel_wire::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use whimbrel_wire::offset_for_leader_epoch::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use whimbrel_wire::{DeleteRecordsRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest};

use super::records::{THEN, Topic, batch, produce};
use crate::session::Session;
use crate::transcript::Deliberate;

pub const DELIBERATE: &[Deliberate] = &[
    Deliberate {
        case: "ListOffsets: -6 in partition",
        versions: 11..=99,
        reason: "newer than Kafka 3.9: nothing waits to be uploaded",
    },
    Deliberate {
        case: "ListOffsets: -1 offsets at",
        versions: 0..=0,
        reason: "Kafka fails with UNKNOWN_SERVER_ERROR; here a negative number of offsets is none",
    },
    Deliberate {
        case: "ListOffsets: isolation level",
        versions: 2..=99,
        reason: "Kafka fails with UNKNOWN_SERVER_ERROR; here what is not read_committed is read_uncommitted",
    },
    Deliberate {
        case: "OffsetForLeaderEpoch: epoch -5",
        versions: 0..=99,
        reason: "Kafka answers with the start of the log; here a negative epoch is unknown",
    },
];

pub fn run(session: &mut Session) {
    let name = session.name("offsets");
    let id = session.create(&name, 3, &[("segment.bytes", "1000")]);
    let topic = Topic { name, id };
    // Partition 0 has several segments, 1 one batch, 2 nothing.
    for _ in 0..12 {
        session.client.call(7, &produce(&topic, -1, &[(0, Some(batch(20)))]));
    }
    session.client.call(7, &produce(&topic, -1, &[(1, Some(batch(20)))]));
    list(session, &topic);
    epochs(session, &topic);
    delete(session, &topic);
}

fn list(session: &mut Session, topic: &Topic) {
    let asked = |partitions: &[(i32, i32, i64)]| {
        let one = |(partition_index, current_leader_epoch, timestamp): &(i32, i32, i64)| ListOffsetsPartition {
            partition_index: *partition_index,
            current_leader_epoch: *current_leader_epoch,
            timestamp: *timestamp,
            max_num_offsets: 1,
        };
        let partitions = partitions.iter().map(one).collect();
        let topics = vec![ListOffsetsTopic { name: topic.name.as_str().into(), partitions }];
        ListOffsetsRequest { replica_id: -1, topics, timeout_ms: 5000, ..Default::default() }
    };
    for timestamp in [-1, -2, -3, -4, -5, -6, -7, i64::MIN, 0, THEN, THEN + 7, THEN + 19, THEN + 20, i64::MAX] {
        for partition in 0..3 {
            session.ask_all(&format!("{timestamp} in partition {partition}"), |_, _| {
                Some(asked(&[(partition, -1, timestamp)]))
            });
        }
    }
    session.ask_all("an unknown epoch", |_, _| Some(asked(&[(0, 7, -1)])));
    session.ask_all("the current epoch", |_, _| Some(asked(&[(0, 0, -1)])));
    session.ask_all("unknown partitions", |_, _| Some(asked(&[(9, -1, -1), (-1, -1, -1)])));
    session.ask_all("a partition twice", |_, _| Some(asked(&[(0, -1, -1), (0, -1, -2), (1, -1, -1)])));
    session.ask_all("no partitions", |_, _| Some(asked(&[])));
    session.ask_all("no topics", |_, _| Some(ListOffsetsRequest { replica_id: -1, ..Default::default() }));
    for name in ["nobody", "", "a b"] {
        session.ask_all(&format!("the unknown topic {name:?}"), |_, _| {
            let mut request = asked(&[(0, -1, -1)]);
            request.topics[0].name = name.into();
            Some(request)
        });
    }
    for replica_id in [-2, 0, 7] {
        session.ask_all(&format!("as replica {replica_id}"), |_, _| {
            Some(ListOffsetsRequest { replica_id, ..asked(&[(0, -1, -1), (0, -1, -2)]) })
        });
        session.ask_all(&format!("one as replica {replica_id}"), |_, _| {
            Some(ListOffsetsRequest { replica_id, ..asked(&[(0, -1, -1)]) })
        });
    }
    for isolation_level in [1, 2, -1] {
        session.ask_all(&format!("isolation level {isolation_level}"), |v, _| {
            (2 <= v).then(|| ListOffsetsRequest { isolation_level, ..asked(&[(1, -1, -1)]) })
        });
    }
    for max_num_offsets in [0, 2, 100, -1, i32::MAX] {
        for timestamp in [-1, -2, 0, THEN, i64::MAX] {
            let mut request = asked(&[(0, -1, timestamp)]);
            request.topics[0].partitions[0].max_num_offsets = max_num_offsets;
            session.ask(&format!("{max_num_offsets} offsets at {timestamp}"), 0, &request);
        }
    }
}

fn epochs(session: &mut Session, topic: &Topic) {
    let asked = |name: &str, partitions: &[(i32, i32, i32)]| {
        let one = |(partition, current_leader_epoch, leader_epoch): &(i32, i32, i32)| OffsetForLeaderPartition {
            partition: *partition,
            current_leader_epoch: *current_leader_epoch,
            leader_epoch: *leader_epoch,
        };
        let partitions = partitions.iter().map(one).collect();
        let topics = vec![OffsetForLeaderTopic { topic: name.into(), partitions }];
        OffsetForLeaderEpochRequest { replica_id: -1, topics }
    };
    for (current, wanted) in [(-1, 0), (0, 0), (1, 0), (-1, 1), (-1, -1), (-1, -5), (-1, i32::MAX), (0, 9)] {
        let partitions = [0, 1, 2].map(|partition| (partition, current, wanted));
        session.ask_all(&format!("epoch {wanted}, current {current}"), |_, _| Some(asked(&topic.name, &partitions)));
    }
    session.ask_all("unknown partitions", |_, _| Some(asked(&topic.name, &[(9, -1, 0), (-1, -1, 0)])));
    session.ask_all("no partitions", |_, _| Some(asked(&topic.name, &[])));
    for name in ["nobody", "", "a b"] {
        session.ask_all(&format!("the unknown topic {name:?}"), |_, _| Some(asked(name, &[(0, -1, 0)])));
    }
}

fn delete(session: &mut Session, topic: &Topic) {
    let asked = |name: &str, partitions: &[(i32, i64)]| {
        let one = |(partition_index, offset): &(i32, i64)| DeleteRecordsPartition {
            partition_index: *partition_index,
            offset: *offset,
        };
        let topics = vec![DeleteRecordsTopic { name: name.into(), partitions: partitions.iter().map(one).collect() }];
        DeleteRecordsRequest { topics, timeout_ms: 5000 }
    };
    for offset in [0, 5, 5, 3, -2, i64::MIN, 241, i64::MAX, 100] {
        session.ask_all(&format!("to {offset}"), |_, _| Some(asked(&topic.name, &[(0, offset)])));
    }
    session.ask_all("to the end", |_, _| Some(asked(&topic.name, &[(1, -1), (2, -1)])));
    session.ask_all("unknown partitions", |_, _| Some(asked(&topic.name, &[(9, 0), (-1, 0)])));
    session.ask_all("no partitions", |_, _| Some(asked(&topic.name, &[])));
    session.ask_all("no topics", |_, _| Some(DeleteRecordsRequest::default()));
    for name in ["nobody", "", "a b", "__consumer_offsets"] {
        session.ask_all(&format!("the topic {name:?}"), |_, _| Some(asked(name, &[(0, 0)])));
    }
    let compacted = session.name("kept");
    session.create(&compacted, 1, &[("cleanup.policy", "compact")]);
    session.ask_all("a compacted topic", |_, _| Some(asked(&compacted, &[(0, 0)])));
}
