//! Produce: acknowledgements, the validation of batches, idempotent producers.

use bytes::Bytes;
use whimbrel_model::Uuid;
use whimbrel_model::record::{BatchOptions, Codec, Compression};
use whimbrel_wire::describe_producers::TopicRequest;
use whimbrel_wire::{ApiKey, DescribeProducersRequest, ProduceRequest};

use super::records::{self, Topic, batch, batch_with, changed, produce, sequenced};
use crate::session::Session;
use crate::text::NOBODYS_ID;
use crate::transcript::Deliberate;

pub const DELIBERATE: &[Deliberate] = &[
    Deliberate {
        case: "Produce: a partition twice",
        versions: 0..=99,
        reason: "Kafka drops the first batch in silence; here both are appended, and both answered",
    },
    Deliberate {
        case: "Produce: a negative timeout",
        versions: 0..=99,
        reason: "the only replica flushes before it acknowledges acks=all, which takes longer than no time at all",
    },
    Deliberate {
        case: "Produce: an unknown codec",
        versions: 0..=99,
        reason: "Kafka fails with UNKNOWN_SERVER_ERROR; here the codec is not supported",
    },
    Deliberate {
        case: "Produce: a codec that was not used",
        versions: 0..=99,
        reason: "Kafka fails with UNKNOWN_SERVER_ERROR; here the records are invalid",
    },
    Deliberate {
        case: "Produce: a batch out of the window",
        versions: 0..=99,
        reason: "Kafka takes the repetition for a gap, which Java's producer repeats without end; here it is known",
    },
];

pub fn run(session: &mut Session) {
    whereto(session);
    batches(session);
    topics_with_rules(session);
    idempotence(session);
}

fn topic(session: &mut Session, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Topic {
    let name = session.name(name);
    let id = session.create(&name, partitions, configs);
    Topic { name, id }
}

fn whereto(session: &mut Session) {
    for version in session.versions(ApiKey::Produce) {
        let known = topic(session, &format!("whereto-v{version}"), 2, &[]);
        let two = [(0, Some(batch(2))), (1, Some(batch(1)))];
        for acks in [1, -1, 2, -2, i16::MAX] {
            session.ask(&format!("acks {acks}"), version, &produce(&known, acks, &two));
        }
        let nobody = Topic { name: session.name("unknown"), id: NOBODYS_ID.parse().unwrap() };
        // From 13 on there is another code for an id than for a name.
        let unknown = if version < 13 { "an unknown topic" } else { "an unknown id" };
        if version < 13 {
            session.ask(unknown, version, &produce(&nobody, 1, &[(0, Some(batch(1)))]));
            for name in ["", "a b"] {
                let bad = Topic { name: name.into(), id: Uuid::ZERO };
                session.ask(&format!("the bad name {name:?}"), version, &produce(&bad, 1, &[(0, Some(batch(1)))]));
            }
        }
        session.ask("unknown partitions", version, &produce(&known, 1, &[(2, Some(batch(1))), (-1, Some(batch(1)))]));
        session.ask("no partitions", version, &produce(&known, 1, &[]));
        session.ask("no topics", version, &ProduceRequest { topic_data: Vec::new(), ..produce(&known, 1, &[]) });
        session.ask("empty records", version, &produce(&known, 1, &[(0, Some(Bytes::new()))]));
        session.ask("a negative timeout", version, &ProduceRequest { timeout_ms: -1, ..produce(&known, -1, &two) });
        session.ask("no timeout", version, &ProduceRequest { timeout_ms: 0, ..produce(&known, 1, &two) });
        let internal = Topic { name: "__consumer_offsets".into(), id: Uuid::ZERO };
        if version < 13 {
            session.ask("an internal topic", version, &produce(&internal, 1, &[(99, Some(batch(1)))]));
        }
        session.ask("a partition twice", version, &produce(&known, 1, &[(0, Some(batch(1))), (0, Some(batch(2)))]));
    }
}

/// The versions between which answers about batches differ: each has its own topic, which takes a while.
const ASKED: [i16; 7] = [3, 5, 7, 8, 11, 12, 13];

/// Asks each version of [`ASKED`] with a topic of its own.
fn ask_fresh(
    session: &mut Session,
    case: &str,
    name: &str,
    configs: &[(&str, &str)],
    ask: impl Fn(&Topic) -> ProduceRequest,
) {
    for version in session.versions(ApiKey::Produce).filter(|version| ASKED.contains(version)) {
        let known = topic(session, &format!("{name}-v{version}"), 1, configs);
        session.ask(case, version, &ask(&known));
    }
}

/// Where the fields of a batch are.
mod at {
    pub const BASE_OFFSET: usize = 0;
    pub const LENGTH: usize = 8;
    pub const MAGIC: usize = 16;
    pub const CRC: usize = 17;
    pub const ATTRIBUTES: usize = 21;
    pub const LAST_OFFSET_DELTA: usize = 23;
    pub const BASE_TIMESTAMP: usize = 27;
    pub const MAX_TIMESTAMP: usize = 35;
    pub const PRODUCER_ID: usize = 43;
    pub const BASE_SEQUENCE: usize = 53;
    pub const COUNT: usize = 57;
    pub const RECORDS: usize = 61;
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn batches(session: &mut Session) {
    let good = batch(3);
    let with = |at: usize, value: &[u8]| changed(&good, |bytes| put(bytes, at, value));
    let raw = |at: usize, value: &[u8]| {
        let mut bytes = good.to_vec();
        put(&mut bytes, at, value);
        Bytes::from(bytes)
    };
    let length = |by: i32| raw(at::LENGTH, &(i32::try_from(good.len()).unwrap() - 12 + by).to_be_bytes());
    let cases: Vec<(&str, Bytes)> = vec![
        ("a good batch", good.clone()),
        ("a wrong checksum", raw(at::CRC, &[1, 2, 3, 4])),
        ("a base offset", with(at::BASE_OFFSET, &7i64.to_be_bytes())),
        ("a negative base offset", with(at::BASE_OFFSET, &(-7i64).to_be_bytes())),
        ("a length beyond the end", length(1)),
        ("a length too short", length(-1)),
        ("a length shorter than a header", raw(at::LENGTH, &5i32.to_be_bytes())),
        ("a negative length", raw(at::LENGTH, &(-5i32).to_be_bytes())),
        ("half a batch", good.slice(..good.len() / 2)),
        ("a batch and a half", [&good[..], &good[..good.len() / 2]].concat().into()),
        ("two batches", [&good[..], &good[..]].concat().into()),
        ("bytes after the batch", [&good[..], b"xyz"].concat().into()),
        ("eleven bytes", good.slice(..11)),
        ("magic 3", with(at::MAGIC, &[3])),
        ("magic -1", with(at::MAGIC, &[0xff])),
        ("an unknown codec", with(at::ATTRIBUTES, &[0, 7])),
        ("a codec that was not used", with(at::ATTRIBUTES, &[0, 1])),
        ("append time", with(at::ATTRIBUTES, &[0, 8])),
        ("a transaction without a producer", with(at::ATTRIBUTES, &[0, 16])),
        ("a control batch", with(at::ATTRIBUTES, &[0, 32])),
        ("a delete horizon", with(at::ATTRIBUTES, &[0, 64])),
        ("unknown attributes", with(at::ATTRIBUTES, &[0xff, 0x80])),
        ("a last offset delta too high", with(at::LAST_OFFSET_DELTA, &9i32.to_be_bytes())),
        ("a last offset delta too low", with(at::LAST_OFFSET_DELTA, &1i32.to_be_bytes())),
        ("a negative last offset delta", with(at::LAST_OFFSET_DELTA, &(-1i32).to_be_bytes())),
        ("a count too high", with(at::COUNT, &4i32.to_be_bytes())),
        ("a count too low", with(at::COUNT, &2i32.to_be_bytes())),
        ("a count of 0", with(at::COUNT, &0i32.to_be_bytes())),
        ("a negative count", with(at::COUNT, &(-1i32).to_be_bytes())),
        ("no timestamp", with(at::BASE_TIMESTAMP, &(-1i64).to_be_bytes())),
        ("no largest timestamp", with(at::MAX_TIMESTAMP, &(-1i64).to_be_bytes())),
        ("a sequence without a producer", with(at::BASE_SEQUENCE, &5i32.to_be_bytes())),
        ("a producer without a sequence", with(at::PRODUCER_ID, &5i64.to_be_bytes())),
        ("records cut short", with(at::RECORDS, &[0x7e])),
        ("a record of a negative size", with(at::RECORDS, &[1])),
        (
            "an empty batch",
            changed(&good.slice(..at::RECORDS), |bytes| {
                put(bytes, at::LENGTH, &49i32.to_be_bytes());
                put(bytes, at::COUNT, &0i32.to_be_bytes());
            }),
        ),
    ];
    // A log of its own for each: what a batch that should not have been taken does to the next must not be seen.
    for (index, (case, bytes)) in cases.iter().enumerate() {
        for version in session.versions(ApiKey::Produce).filter(|version| ASKED.contains(version)) {
            let known = topic(session, &format!("batches.{index}-v{version}"), 1, &[]);
            session.ask(case, version, &produce(&known, 1, &[(0, Some(bytes.clone()))]));
        }
    }
    let packed = |codec: Codec| {
        let options = BatchOptions { compression: Compression::new(codec), ..BatchOptions::default() };
        batch_with(options, &records::vec_of(9))
    };
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let ask = |known: &Topic| produce(known, 1, &[(0, Some(packed(codec)))]);
        ask_fresh(session, &format!("{codec:?}"), &format!("codec.{codec:?}"), &[], ask);
    }
}

fn topics_with_rules(session: &mut Session) {
    let keyless = batch_with(
        BatchOptions::default(),
        &[(0, Some("a"), Some("1")), (0, None, Some("2")), (0, Some("b"), None), (0, None, None)],
    );
    let future = batch_with(BatchOptions::default(), &[(0, None, Some("1")), (1 << 40, None, Some("2"))]);
    let cases: [(&str, &str, &str, Bytes); 10] = [
        ("records without keys", "cleanup.policy", "compact", keyless.clone()),
        ("records with keys", "cleanup.policy", "compact", batch(2)),
        ("records without keys beside deletion", "cleanup.policy", "compact,delete", keyless),
        ("a batch too large", "max.message.bytes", "200", batch(20)),
        ("a batch small enough", "max.message.bytes", "200", batch(2)),
        ("a batch larger than a segment", "segment.bytes", "1000", batch(100)),
        ("append time given by the broker", "message.timestamp.type", "LogAppendTime", batch(2)),
        ("records too old", "message.timestamp.before.max.ms", "1000", batch(2)),
        ("records too new", "message.timestamp.after.max.ms", "1000", future),
        ("more replicas wanted than there are", "min.insync.replicas", "2", batch(2)),
    ];
    for (index, (case, config, value, bytes)) in cases.iter().enumerate() {
        let ask = |known: &Topic| produce(known, -1, &[(0, Some(bytes.clone()))]);
        ask_fresh(session, case, &format!("rule.{index}"), &[(config, value)], ask);
    }
    for compression in ["gzip", "snappy", "lz4", "zstd", "uncompressed", "producer"] {
        let ask = |known: &Topic| produce(known, 1, &[(0, Some(batch(5)))]);
        let case = format!("compressed again as {compression}");
        ask_fresh(session, &case, &format!("repacked.{compression}"), &[("compression.type", compression)], ask);
    }
}

fn idempotence(session: &mut Session) {
    for version in session.versions(ApiKey::Produce) {
        let known = topic(session, &format!("sequences-v{version}"), 3, &[]);
        // Producer id, epoch, first sequence, records; partition 1 is for producers that nobody knows.
        let cases: [(&str, i32, i64, i16, i32, usize); 22] = [
            ("sequence 0", 0, 70, 0, 0, 2),
            ("sequence 0 again", 0, 70, 0, 0, 2),
            ("sequence 2", 0, 70, 0, 2, 1),
            ("a gap", 0, 70, 0, 4, 1),
            ("a part of a known batch", 0, 70, 0, 0, 1),
            ("more than a known batch", 0, 70, 0, 0, 3),
            ("sequence 3", 0, 70, 0, 3, 1),
            ("sequence 4", 0, 70, 0, 4, 1),
            ("sequence 5", 0, 70, 0, 5, 1),
            ("sequence 6", 0, 70, 0, 6, 1),
            ("a batch out of the window", 0, 70, 0, 0, 2),
            ("a new epoch not from 0", 0, 70, 1, 7, 1),
            ("a new epoch", 0, 70, 1, 0, 1),
            ("an old epoch", 0, 70, 0, 7, 1),
            ("an epoch skipped", 0, 70, 9, 0, 1),
            ("an unknown producer not from 0", 1, 71, 0, 5, 1),
            ("an unknown producer goes on", 1, 71, 0, 6, 1),
            ("an unknown producer leaves a gap", 1, 71, 0, 9, 1),
            ("the largest sequence", 2, 72, 0, i32::MAX, 1),
            ("after the largest sequence", 2, 72, 0, 0, 1),
            ("a negative epoch", 1, 73, -1, 0, 1),
            ("a negative sequence", 1, 74, 0, -2, 1),
        ];
        for (case, partition, producer, epoch, sequence, count) in cases {
            let bytes = sequenced(producer, epoch, sequence, count);
            session.ask(case, version, &produce(&known, -1, &[(partition, Some(bytes))]));
        }
        let two: Bytes = [&sequenced(75, 0, 0, 1)[..], &sequenced(75, 0, 1, 1)[..]].concat().into();
        session.ask("two batches of a producer", version, &produce(&known, -1, &[(1, Some(two))]));
        let topics = vec![TopicRequest { name: known.name.as_str().into(), partition_indexes: vec![0, 2] }];
        if version == 3 {
            session.ask("what is remembered", 0, &DescribeProducersRequest { topics });
        }
    }
}
