//! Metadata, DescribeCluster, FindCoordinator, DescribeLogDirs, DescribeProducers, InitProducerId.

use whimbrel_model::Uuid;
use whimbrel_wire::describe_log_dirs::DescribableLogDirTopic;
use whimbrel_wire::describe_producers::TopicRequest;
use whimbrel_wire::metadata::MetadataRequestTopic;
use whimbrel_wire::{
    DescribeClusterRequest, DescribeLogDirsRequest, DescribeProducersRequest, FindCoordinatorRequest,
    InitProducerIdRequest, MetadataRequest, Str,
};

use crate::session::Session;
use crate::text::NOBODYS_ID;
use crate::transcript::Deliberate;

pub const DELIBERATE: &[Deliberate] = &[
    Deliberate {
        case: "Metadata: a topic that is created by being asked for",
        versions: 0..=99,
        reason: "Kafka answers at once and has the client ask again; here the answer waits for the topic's leaders",
    },
    Deliberate {
        case: "Metadata: neither name nor id",
        versions: 12..=99,
        reason: "Kafka fails with UNKNOWN_SERVER_ERROR for the whole request; here that topic has an unknown id",
    },
    Deliberate {
        case: "FindCoordinator: key \"x\" of type 2",
        versions: 6..=99,
        reason: "there are no share groups: asking again, as Kafka suggests, would not help",
    },
];

pub fn run(session: &mut Session) {
    metadata(session);
    session.ask_all("the cluster", |_, _| Some(DescribeClusterRequest { endpoint_type: 1, ..Default::default() }));
    session.ask_all("the cluster with what one may do", |_, _| {
        let include_cluster_authorized_operations = true;
        Some(DescribeClusterRequest { endpoint_type: 1, include_cluster_authorized_operations, ..Default::default() })
    });
    for endpoint_type in [0, 2, 9, -1] {
        session.ask_all(&format!("endpoints of type {endpoint_type}"), |v, _| {
            (1 <= v).then(|| DescribeClusterRequest { endpoint_type, ..Default::default() })
        });
    }
    coordinators(session);
    log_dirs(session);
    producers(session);
}

fn named(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic { name: Some(name.into()), topic_id: Uuid::ZERO }
}

fn metadata(session: &mut Session) {
    let name = session.name("known");
    let id = session.create(&name, 3, &[]);
    let asked = |topics: Vec<MetadataRequestTopic>| MetadataRequest {
        topics: Some(topics),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    // Below 4 a request always allows creation.
    let since_4 = |v: i16, topics: Vec<MetadataRequestTopic>| (4 <= v).then(|| asked(topics));
    session.ask_all("no topics", |v, _| {
        (1 <= v).then(|| MetadataRequest { allow_auto_topic_creation: 4 > v, ..asked(Vec::new()) })
    });
    session.ask_all("a known topic", |v, _| {
        Some(MetadataRequest { allow_auto_topic_creation: 4 > v, ..asked(vec![named(&name)]) })
    });
    session.ask_all("the same twice", |v, _| since_4(v, vec![named(&name), named(&name)]));
    session.ask_all("an unknown topic", |v, s| since_4(v, vec![named(&s.name("unknown"))]));
    for bad in ["", ".", "a b", "ä"] {
        session.ask_all(&format!("the bad name {bad:?}"), |v, _| since_4(v, vec![named(bad)]));
        session.ask_all(&format!("the bad name {bad:?}, to be created"), |_, _| {
            Some(MetadataRequest { allow_auto_topic_creation: true, ..asked(vec![named(bad)]) })
        });
    }
    session.ask_all("what one may do", |v, _| {
        let cluster = (8..=10).contains(&v);
        (8 <= v).then(|| MetadataRequest {
            include_cluster_authorized_operations: cluster,
            include_topic_authorized_operations: true,
            ..asked(vec![named(&name)])
        })
    });
    let nobody: Uuid = NOBODYS_ID.parse().unwrap();
    let ids = [
        ("an id", vec![(None, id)]),
        ("an unknown id", vec![(None, nobody)]),
        ("neither name nor id", vec![(None, Uuid::ZERO)]),
        ("id and name", vec![(Some(name.as_str()), id)]),
        ("id and another name", vec![(Some("other"), id)]),
        ("an id and a name apart", vec![(None, id), (Some(name.as_str()), Uuid::ZERO)]),
    ];
    for (case, topics) in ids {
        session.ask_all(case, |v, _| {
            let one = |(name, topic_id): &(Option<&str>, Uuid)| MetadataRequestTopic {
                name: name.map(Into::into),
                topic_id: *topic_id,
            };
            (10 <= v).then(|| asked(topics.iter().map(one).collect()))
        });
    }
    session.ask_all("a topic that is created by being asked for", |v, s| {
        let name = s.name(&format!("auto-v{v}"));
        Some(MetadataRequest { allow_auto_topic_creation: true, ..asked(vec![named(&name)]) })
    });
}

fn coordinators(session: &mut Session) {
    for (key_type, key) in [(0, "group"), (0, ""), (2, "x"), (3, "x"), (-1, "x"), (9, "x")] {
        session.ask_all(&format!("key {key:?} of type {key_type}"), |v, _| match v {
            0 if key_type != 0 => None,
            ..4 => Some(FindCoordinatorRequest { key: key.into(), key_type, coordinator_keys: Vec::new() }),
            _ => Some(FindCoordinatorRequest { key: Str::default(), key_type, coordinator_keys: vec![key.into()] }),
        });
    }
    session.ask_all("several keys", |v, _| {
        let coordinator_keys = ["a", "b", "a", ""].map(Str::from).to_vec();
        (4 <= v).then(|| FindCoordinatorRequest { coordinator_keys, ..Default::default() })
    });
    session.ask_all("no keys", |v, _| (4 <= v).then(FindCoordinatorRequest::default));
}

fn log_dirs(session: &mut Session) {
    let name = session.name("known");
    let one = |topic: &str, partitions: &[i32]| DescribableLogDirTopic {
        topic: topic.into(),
        partitions: partitions.to_vec(),
    };
    let cases = [
        ("one topic", vec![one(&name, &[0])]),
        ("all of a topic", vec![one(&name, &[2, 0, 1])]),
        ("a partition that is not there", vec![one(&name, &[7, -1])]),
        ("an unknown topic", vec![one("nobody's", &[0]), one("", &[0])]),
        ("no partitions", vec![one(&name, &[])]),
        ("no topics", vec![]),
        ("the same twice", vec![one(&name, &[0, 0]), one(&name, &[0])]),
    ];
    for (case, topics) in cases {
        session.ask_all(case, |_, _| Some(DescribeLogDirsRequest { topics: Some(topics.clone()) }));
    }
}

fn producers(session: &mut Session) {
    let name = session.name("known");
    let cases = [
        ("a partition without producers", vec![(name.as_str(), vec![0])]),
        ("unknown partitions", vec![(name.as_str(), vec![9, -1])]),
        ("unknown topics", vec![("nobody's", vec![0]), ("", vec![0]), ("a b", vec![0])]),
        ("no partitions", vec![(name.as_str(), vec![])]),
        ("no topics", vec![]),
    ];
    for (case, topics) in cases {
        let one = |(name, partition_indexes): &(&str, Vec<i32>)| TopicRequest {
            name: (*name).into(),
            partition_indexes: partition_indexes.clone(),
        };
        session.ask_all(case, |_, _| Some(DescribeProducersRequest { topics: topics.iter().map(one).collect() }));
    }
    session
        .ask_all("an id", |_, _| Some(InitProducerIdRequest { transaction_timeout_ms: 60_000, ..Default::default() }));
    session.ask_all("an id without a timeout", |_, _| Some(InitProducerIdRequest::default()));
    session.ask_all("an empty transactional id", |_, _| {
        Some(InitProducerIdRequest { transactional_id: Some(Str::default()), ..Default::default() })
    });
    for (producer_id, producer_epoch) in [(5, 1), (5, -1), (-1, 1), (5, i16::MAX), (-2, 0), (5, -2)] {
        session.ask_all(&format!("id {producer_id} epoch {producer_epoch} again"), |v, _| {
            let request = InitProducerIdRequest { transaction_timeout_ms: 60_000, ..Default::default() };
            (3 <= v).then(|| InitProducerIdRequest { producer_id, producer_epoch, ..request })
        });
    }
}
