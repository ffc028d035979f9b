//! Fetch: what is read, limits, sessions.

use whimbrel_wire::fetch::{FetchPartition, ForgottenTopic};
use whimbrel_wire::{ApiKey, FetchRequest};

use super::records::{Topic, batch, fetch, produce};
use crate::session::Session;
use crate::text::NOBODYS_ID;
use crate::transcript::Deliberate;

const NOT_NEGATIVE: &str = "Kafka fails with UNKNOWN_SERVER_ERROR; here a negative limit is a limit of nothing";

const WHOLE_BATCHES: &str = "Kafka fills the limit with a part of a batch, which clients drop; here batches are whole";

pub const DELIBERATE: &[Deliberate] = &[
    Deliberate { case: "Fetch: 200 bytes", versions: 0..=99, reason: WHOLE_BATCHES },
    Deliberate { case: "Fetch: 300 bytes", versions: 0..=99, reason: WHOLE_BATCHES },
    Deliberate {
        case: "Fetch: one twice",
        versions: 0..=99,
        reason: "Kafka answers the last of them only; here both are answered",
    },
    Deliberate { case: "Fetch: -1 bytes", versions: 0..=99, reason: NOT_NEGATIVE },
    Deliberate { case: "Fetch: -2147483648 bytes", versions: 0..=99, reason: NOT_NEGATIVE },
    Deliberate {
        case: "Fetch: isolation level 2",
        versions: 0..=99,
        reason: "Kafka fails with UNKNOWN_SERVER_ERROR; here what is not read_committed is read_uncommitted",
    },
    Deliberate {
        case: "Fetch: adds one out of range",
        versions: 0..=99,
        reason: "Kafka puts unknown partitions last; here partitions keep the order of the session",
    },
];

pub fn run(session: &mut Session) {
    let name = session.name("fetched");
    let id = session.create(&name, 3, &[]);
    let topic = Topic { name, id };
    for count in [3, 1, 10] {
        session.client.call(7, &produce(&topic, -1, &[(0, Some(batch(count))), (1, Some(batch(count)))]));
    }
    reads(session, &topic);
    limits(session, &topic);
    sessions(session, &topic);
}

fn reads(session: &mut Session, topic: &Topic) {
    for offset in [0, 1, 3, 4, 13, 14, 15, -1, i64::MAX, i64::MIN] {
        session.ask_all(&format!("from {offset}"), |_, _| Some(fetch(topic, &[(0, offset)])));
    }
    session.ask_all("an empty partition", |_, _| Some(fetch(topic, &[(2, 0)])));
    session.ask_all("several", |_, _| Some(fetch(topic, &[(1, 0), (2, 0), (0, 3)])));
    session.ask_all("unknown partitions", |_, _| Some(fetch(topic, &[(9, 0), (-1, 0)])));
    session.ask_all("one twice", |_, _| Some(fetch(topic, &[(0, 0), (0, 3)])));
    session.ask_all("no partitions", |_, _| Some(fetch(topic, &[])));
    session.ask_all("no topics", |_, _| Some(FetchRequest { topics: Vec::new(), ..fetch(topic, &[]) }));
    for name in ["nobody", "", "a b"] {
        let unknown = Topic { name: name.into(), id: NOBODYS_ID.parse().unwrap() };
        session.ask_all(&format!("the unknown topic {name:?}"), |v, _| (v < 13).then(|| fetch(&unknown, &[(0, 0)])));
    }
    let unknown = Topic { name: "nobody".into(), id: NOBODYS_ID.parse().unwrap() };
    session.ask_all("an unknown id", |v, _| (13 <= v).then(|| fetch(&unknown, &[(0, 0)])));
    session
        .ask_all("read committed", |_, _| Some(FetchRequest { isolation_level: 1, ..fetch(topic, &[(0, 0), (2, 0)]) }));
    session.ask_all("isolation level 2", |_, _| Some(FetchRequest { isolation_level: 2, ..fetch(topic, &[(0, 0)]) }));
    for epoch in [0, 1] {
        session.ask_all(&format!("epoch {epoch}"), |v, _| {
            (9 <= v).then(|| with(fetch(topic, &[(0, 0)]), |p| p.current_leader_epoch = epoch))
        });
    }
    for epoch in [0, 1, -2] {
        session.ask_all(&format!("last fetched epoch {epoch}"), |v, _| {
            (12 <= v).then(|| with(fetch(topic, &[(0, 4)]), |p| p.last_fetched_epoch = epoch))
        });
    }
    session.ask_all("last fetched epoch past the end", |v, _| {
        (12 <= v).then(|| with(fetch(topic, &[(0, 99)]), |p| p.last_fetched_epoch = 0))
    });
    for replica_id in [7, -2] {
        session.ask_all(&format!("as replica {replica_id}"), |v, _| {
            let mut request = fetch(topic, &[(0, 0)]);
            match v {
                ..15 => request.replica_id = replica_id,
                _ => request.replica_state.replica_id = replica_id,
            }
            Some(request)
        });
    }
}

fn with(mut request: FetchRequest, change: impl Fn(&mut FetchPartition)) -> FetchRequest {
    request.topics.iter_mut().flat_map(|topic| &mut topic.partitions).for_each(change);
    request
}

fn limits(session: &mut Session, topic: &Topic) {
    for bytes in [0, 1, 100, 200, 300, -1, i32::MIN] {
        session.ask_all(&format!("{bytes} bytes of a partition"), |_, _| {
            Some(with(fetch(topic, &[(0, 0), (1, 0)]), |p| p.partition_max_bytes = bytes))
        });
        session.ask_all(&format!("{bytes} bytes in all"), |_, _| {
            Some(FetchRequest { max_bytes: bytes, ..fetch(topic, &[(0, 0), (1, 0)]) })
        });
    }
    for (wait, bytes) in [(100, 1), (0, 1 << 20), (-1, 1), (100, -1)] {
        session.ask_all(&format!("waits {wait} for {bytes}"), |_, _| {
            Some(FetchRequest { max_wait_ms: wait, min_bytes: bytes, ..fetch(topic, &[(2, 0)]) })
        });
    }
}

fn sessions(session: &mut Session, topic: &Topic) {
    for version in session.versions(ApiKey::Fetch).filter(|version| 7 <= *version) {
        let request = |session_id: i32, session_epoch: i32, partitions: &[(i32, i64)]| {
            let mut request = FetchRequest { session_id, session_epoch, ..fetch(topic, partitions) };
            if partitions.is_empty() {
                request.topics.clear();
            }
            request
        };
        let opened = session.ask("opens a session", version, &request(0, 0, &[(0, 0), (1, 14), (2, 0)]));
        let id = opened.expect("Kafka answers").session_id;
        session.ask("goes on", version, &request(id, 1, &[(0, 14)]));
        session.ask("nothing new", version, &request(id, 2, &[]));
        session.ask("the same epoch again", version, &request(id, 2, &[]));
        session.ask("an epoch ahead", version, &request(id, 9, &[]));
        session.ask("another place", version, &request(id, 3, &[(1, 4)]));
        let partitions = vec![0, 1];
        let forgotten = ForgottenTopic { topic: topic.name.as_str().into(), topic_id: topic.id, partitions };
        let forgetting = FetchRequest { forgotten_topics_data: vec![forgotten], ..request(id, 4, &[]) };
        session.ask("forgets", version, &forgetting);
        session.ask("after forgetting", version, &request(id, 5, &[]));
        session.ask("adds an unknown partition", version, &request(id, 6, &[(9, 0)]));
        session.ask("still unknown", version, &request(id, 7, &[]));
        session.ask("adds one out of range", version, &request(id, 8, &[(0, 99)]));
        session.ask("closes", version, &request(id, -1, &[]));
        session.ask("after closing", version, &request(id, 9, &[]));
        session.ask("an unknown session", version, &request(12345, 1, &[]));
        session.ask("a negative session", version, &request(-5, 1, &[]));
        session.ask("no session, an epoch", version, &request(0, 3, &[(0, 0)]));
        session.ask("a session without partitions", version, &request(0, 0, &[]));
        session.ask("no session", version, &request(0, -1, &[(0, 3)]));
        let second = session.client.call(version, &request(0, 0, &[(0, 0)])).session_id;
        session.ask("opens another in its place", version, &request(second, 0, &[(1, 0)]));
        session.ask("the one that was replaced", version, &request(second, 1, &[]));
    }
}
