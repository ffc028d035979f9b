//! CreateTopics, CreatePartitions, DeleteTopics.

use whimbrel_model::Uuid;
use whimbrel_wire::create_partitions::{CreatePartitionsAssignment, CreatePartitionsTopic};
use whimbrel_wire::create_topics::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
use whimbrel_wire::delete_topics::DeleteTopicState;
use whimbrel_wire::{CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, Str};

use crate::session::Session;
use crate::text::NOBODYS_ID;
use crate::transcript::Deliberate;

pub const DELIBERATE: &[Deliberate] = &[
    Deliberate {
        case: "CreateTopics: assignment a partition twice",
        versions: 0..=99,
        reason: "Kafka takes the last assignment and drops the first in silence; here the request is refused",
    },
    Deliberate {
        case: "CreateTopics: config with blanks",
        versions: 5..=99,
        reason: "Kafka shows the value without its blanks; here it is shown as it was given",
    },
    Deliberate {
        case: "CreatePartitions: an unknown topic",
        versions: 0..=99,
        reason: "Kafka fails with UNKNOWN_SERVER_ERROR when the name is empty; here no such topic is known",
    },
    Deliberate {
        case: "DeleteTopics: neither name nor id",
        versions: 6..=99,
        reason: "Kafka answers TOPIC_AUTHORIZATION_FAILED; here the zero id is an unknown one",
    },
    Deliberate {
        case: "DeleteTopics: an id again",
        versions: 6..=99,
        reason: "Kafka's controller still knows the id of a topic that is being deleted",
    },
    Deliberate {
        case: "CreateTopics: without waiting",
        versions: 7..=99,
        reason: "Kafka gives the id of a topic whose creation timed out",
    },
    Deliberate {
        case: "CreateTopics: a negative timeout",
        versions: 7..=99,
        reason: "Kafka gives the id of a topic whose creation timed out",
    },
];

/// A partition and the brokers of its replicas.
type Assigned = (i32, &'static [i32]);
/// The brokers of the replicas of each new partition.
type Brokers = &'static [&'static [i32]];
/// A setting and its value.
type Value = (&'static str, Option<&'static str>);

pub fn run(session: &mut Session) {
    create(session);
    grow(session);
    delete(session);
}

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic { name: name.into(), num_partitions, replication_factor, ..Default::default() }
}

fn request(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest { topics, timeout_ms: 20_000, validate_only: false }
}

fn assigned(partitions: &[(i32, &[i32])]) -> Vec<CreatableReplicaAssignment> {
    let one = |(index, brokers): &(i32, &[i32])| CreatableReplicaAssignment {
        partition_index: *index,
        broker_ids: brokers.to_vec(),
    };
    partitions.iter().map(one).collect()
}

fn configured(name: &str, configs: &[(&str, Option<&str>)]) -> CreatableTopic {
    let one = |(name, value): &(&str, Option<&str>)| CreatableTopicConfig {
        name: (*name).into(),
        value: value.map(Into::into),
    };
    CreatableTopic { configs: configs.iter().map(one).collect(), ..topic(name, 1, 1) }
}

fn create(session: &mut Session) {
    session.ask_all("no topics", |_, _| Some(request(Vec::new())));
    session.ask_all("plain, then again", |v, s| Some(request(vec![topic(&s.name(&format!("plain-v{v}")), 2, 1)])));
    session.ask_all("plain, then again", |v, s| Some(request(vec![topic(&s.name(&format!("plain-v{v}")), 2, 1)])));
    session.ask_all("defaults", |v, s| Some(request(vec![topic(&s.name(&format!("defaults-v{v}")), -1, -1)])));
    let counts = [(0, 1), (-2, 1), (1, 0), (1, -2), (1, 2), (i32::MIN, i16::MIN), (-1, 1), (1, -1)];
    for (partitions, factor) in counts {
        let case = format!("{partitions} partitions, {factor} replicas");
        session.ask_all(&case, |v, s| {
            Some(request(vec![topic(&s.name(&format!("counts-{partitions}-{factor}-v{v}")), partitions, factor)]))
        });
    }
    let long = "n".repeat(250);
    let names = ["", ".", "..", "a b", "a/b", "a,b", "ä", long.as_str(), "a\0b"];
    for name in names {
        session
            .ask_all(&format!("the name {:.20}", format!("{name:?}")), |_, _| Some(request(vec![topic(name, 1, 1)])));
    }
    session.ask_all("a name that collides with another", |v, s| {
        let dots = s.name(&format!("co.lli.de-v{v}"));
        Some(request(vec![topic(&dots, 1, 1)]))
    });
    session.ask_all("the name that it collides with", |v, s| {
        Some(request(vec![topic(&s.name(&format!("co_lli_de-v{v}")), 1, 1)]))
    });
    session.ask_all("the same name twice", |v, s| {
        let name = s.name(&format!("twice-v{v}"));
        Some(request(vec![topic(&name, 1, 1), topic(&name, 2, 1), topic(&s.name(&format!("once-v{v}")), 1, 1)]))
    });
    session.ask_all("validate only", |v, s| {
        let topics = vec![topic(&s.name(&format!("checked-v{v}")), 3, 1), topic(&s.name("plain-v0"), 1, 1)];
        (1 <= v).then(|| CreateTopicsRequest { validate_only: true, ..request(topics) })
    });
    session.ask_all("without waiting", |v, s| {
        let request = request(vec![topic(&s.name(&format!("hasty-v{v}")), 1, 1)]);
        Some(CreateTopicsRequest { timeout_ms: 0, ..request })
    });
    session.ask_all("a negative timeout", |v, s| {
        let request = request(vec![topic(&s.name(&format!("haste-v{v}")), 1, 1)]);
        Some(CreateTopicsRequest { timeout_ms: -1, ..request })
    });
    assignments(session);
    configs(session);
}

/// A partition without replicas or on unknown brokers is not asked for: Kafka accepts it, and waits for a leader that
/// cannot be.
fn assignments(session: &mut Session) {
    let cases: [(&str, i32, i16, &[Assigned]); 6] = [
        ("good", -1, -1, &[(0, &[0]), (1, &[0])]),
        ("with counts", 2, 1, &[(0, &[0]), (1, &[0])]),
        ("with a hole", -1, -1, &[(0, &[0]), (2, &[0])]),
        ("not from 0", -1, -1, &[(1, &[0])]),
        ("a partition twice", -1, -1, &[(0, &[0]), (0, &[0])]),
        ("a broker twice", -1, -1, &[(0, &[0, 0])]),
    ];
    for (case, partitions, factor, given) in cases {
        session.ask_all(&format!("assignment {case}"), |v, s| {
            let name = s.name(&format!("{}-v{v}", case.replace(' ', ".")));
            let topic = CreatableTopic { assignments: assigned(given), ..topic(&name, partitions, factor) };
            Some(request(vec![topic]))
        });
    }
}

fn configs(session: &mut Session) {
    let cases: [(&str, &[Value]); 9] = [
        ("good", &[("retention.ms", Some("1000")), ("cleanup.policy", Some("compact,delete"))]),
        ("unknown", &[("no.such.config", Some("1"))]),
        ("not a number", &[("retention.ms", Some("soon"))]),
        ("out of bounds", &[("retention.ms", Some("-2"))]),
        ("null", &[("retention.ms", None)]),
        ("twice", &[("retention.ms", Some("1")), ("retention.ms", Some("2"))]),
        ("not a policy", &[("cleanup.policy", Some("burn"))]),
        ("empty", &[("cleanup.policy", Some(""))]),
        ("with blanks", &[("retention.ms", Some(" 1000 "))]),
    ];
    for (case, given) in cases {
        session.ask_all(&format!("config {case}"), |v, s| {
            let name = s.name(&format!("config.{}-v{v}", case.replace(' ', ".")));
            Some(request(vec![configured(&name, given)]))
        });
    }
}

fn grow(session: &mut Session) {
    let grown = |name: &str, count: i32, assignments: Option<&[&[i32]]>| {
        let one = |brokers: &&[i32]| CreatePartitionsAssignment { broker_ids: brokers.to_vec() };
        let assignments = assignments.map(|given| given.iter().map(one).collect());
        CreatePartitionsTopic { name: name.into(), count, assignments }
    };
    let asked = |topics: Vec<CreatePartitionsTopic>, validate_only: bool| CreatePartitionsRequest {
        topics,
        timeout_ms: 20_000,
        validate_only,
    };
    for version in session.versions(whimbrel_wire::ApiKey::CreatePartitions) {
        let name = session.name(&format!("grow-v{version}"));
        session.create(&name, 2, &[]);
        let cases: [(&str, i32, Option<Brokers>, bool); 12] = [
            ("fewer", 1, None, false),
            ("as many", 2, None, false),
            ("none", 0, None, false),
            ("negative", -1, None, false),
            ("validate only", 3, None, true),
            ("one more", 3, None, false),
            ("assigned", 4, Some(&[&[0]]), false),
            ("assigned to too few", 6, Some(&[&[0]]), false),
            ("assigned to too many", 5, Some(&[&[0], &[0]]), false),
            ("assigned to unknown", 5, Some(&[&[9]]), false),
            ("assigned to one twice", 5, Some(&[&[0, 0]]), false),
            ("assigned to an empty list", 5, Some(&[]), false),
        ];
        for (case, count, assignments, validate_only) in cases {
            session.ask(case, version, &asked(vec![grown(&name, count, assignments)], validate_only));
        }
        session.ask("the same twice", version, &asked(vec![grown(&name, 8, None), grown(&name, 9, None)], false));
        session.ask("no topics", version, &asked(Vec::new(), false));
        let unknown = ["nobody's", "", "a b"].map(|name| grown(name, 8, None));
        for unknown in unknown {
            session.ask("an unknown topic", version, &asked(vec![unknown], false));
        }
        let hasty = CreatePartitionsRequest { timeout_ms: 0, ..asked(vec![grown(&name, 7, None)], false) };
        session.ask("without waiting", version, &hasty);
    }
}

fn delete(session: &mut Session) {
    let named = |version: i16, names: &[String]| {
        let mut request = DeleteTopicsRequest { timeout_ms: 20_000, ..Default::default() };
        if version < 6 {
            request.topic_names = names.iter().map(|name| Str::from(name.as_str())).collect();
        } else {
            let one = |name: &String| DeleteTopicState { name: Some(name.as_str().into()), topic_id: Uuid::ZERO };
            request.topics = names.iter().map(one).collect();
        }
        request
    };
    session.ask_all("no topics", |v, _| Some(named(v, &[])));
    session.ask_all("unknown topics", |v, _| Some(named(v, &["nobody's".into(), String::new(), "a b".into()])));
    session.ask_all("a topic that is there", |v, s| Some(named(v, &[s.name(&format!("plain-v{}", v.min(5)))])));
    session.ask_all("a topic that was there", |v, s| Some(named(v, &[s.name(&format!("plain-v{}", v.min(5)))])));
    session.ask_all("the same twice", |v, s| {
        let name = s.name(&format!("defaults-v{v}"));
        Some(named(v, &[name.clone(), name]))
    });
    let id = session.learn(&session.name("grow-v0"));
    let nobody: Uuid = NOBODYS_ID.parse().unwrap();
    let by_id = |name: Option<&str>, topic_id: Uuid| DeleteTopicState { name: name.map(Into::into), topic_id };
    let cases = [
        ("an unknown id", vec![by_id(None, nobody)]),
        ("neither name nor id", vec![by_id(None, Uuid::ZERO)]),
        ("name and id", vec![by_id(Some("x"), id)]),
        ("name and unknown id", vec![by_id(Some("x"), nobody)]),
        ("an id", vec![by_id(None, id)]),
        ("an id again", vec![by_id(None, id)]),
    ];
    for (case, topics) in cases {
        session.ask(case, 6, &DeleteTopicsRequest { topics, timeout_ms: 20_000, ..Default::default() });
    }
}
