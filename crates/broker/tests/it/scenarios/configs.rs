//! DescribeConfigs, AlterConfigs, IncrementalAlterConfigs.

use whimbrel_wire::describe_configs::DescribeConfigsResource;
use whimbrel_wire::{
    AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest, Str, alter_configs,
    incremental_alter_configs as incremental,
};

use crate::session::Session;
use crate::transcript::Deliberate;

const NO_DEFAULTS: &str = "Kafka 3.9 no longer tells version 0 which values are defaults; here it is told";

pub const DELIBERATE: &[Deliberate] = &[
    Deliberate { case: "DescribeConfigs: all of a topic", versions: 0..=0, reason: NO_DEFAULTS },
    Deliberate { case: "DescribeConfigs: some of a topic", versions: 0..=0, reason: NO_DEFAULTS },
    Deliberate { case: "DescribeConfigs: the same twice", versions: 0..=0, reason: NO_DEFAULTS },
    Deliberate { case: "DescribeConfigs: none of a topic", versions: 0..=0, reason: NO_DEFAULTS },
    Deliberate { case: "DescribeConfigs: a broker", versions: 0..=0, reason: NO_DEFAULTS },
    Deliberate {
        case: "DescribeConfigs: all of a topic with synonyms",
        versions: 1..=99,
        reason: "the broker's setting behind flush.ms is named with its default, which Kafka leaves out",
    },
    Deliberate {
        case: "DescribeConfigs: a broker with synonyms",
        versions: 1..=99,
        reason: "the default in force of log.retention.ms is that of log.retention.hours, which Kafka leaves out",
    },
    Deliberate {
        case: "IncrementalAlterConfigs: an unknown operation",
        versions: 0..=99,
        reason: "Kafka fails with UNKNOWN_SERVER_ERROR; here the request is invalid",
    },
    Deliberate {
        case: "IncrementalAlterConfigs: a negative operation",
        versions: 0..=99,
        reason: "Kafka fails with UNKNOWN_SERVER_ERROR; here the request is invalid",
    },
];

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;

/// A setting and its new value.
type Value = (&'static str, Option<&'static str>);

pub fn run(session: &mut Session) {
    let name = session.name("configured");
    session.create(&name, 1, &[("segment.bytes", "1048576")]);
    describe(session, &name);
    alter(session);
    incrementally(session);
}

fn resource(resource_type: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResource {
    DescribeConfigsResource {
        resource_type,
        resource_name: name.into(),
        configuration_keys: keys.map(|keys| keys.iter().map(|key| Str::from(*key)).collect()),
    }
}

fn describe(session: &mut Session, topic: &str) {
    let asked = |resources: Vec<DescribeConfigsResource>| DescribeConfigsRequest { resources, ..Default::default() };
    session.ask_all("all of a topic", |_, _| Some(asked(vec![resource(TOPIC, topic, None)])));
    session.ask_all("all of a topic with synonyms", |v, _| {
        let request = asked(vec![resource(TOPIC, topic, None)]);
        (1 <= v).then(|| DescribeConfigsRequest { include_synonyms: true, include_documentation: 3 <= v, ..request })
    });
    let some: &[&str] = &["retention.ms", "no.such.config", "cleanup.policy"];
    let cases = [
        ("some of a topic", vec![resource(TOPIC, topic, Some(some))]),
        ("the same twice", vec![resource(TOPIC, topic, Some(some)), resource(TOPIC, topic, Some(&["retention.ms"]))]),
        ("none of a topic", vec![resource(TOPIC, topic, Some(&[]))]),
        (
            "unknown topics",
            ["nobody's", "", "a b", "."].map(|name| resource(TOPIC, name, Some(&["retention.ms"]))).to_vec(),
        ),
        ("a broker", vec![resource(BROKER, "0", Some(&["log.retention.ms", "broker.id", "no.such"]))]),
        ("all brokers", vec![resource(BROKER, "", Some(&["log.retention.ms"]))]),
        ("other brokers", ["1", "x", "-1", " 0"].map(|name| resource(BROKER, name, Some(&["broker.id"]))).to_vec()),
        ("loggers of another broker", vec![resource(BROKER_LOGGER, "1", Some(&["root"]))]),
        ("unknown types", [0, 1, 3, 5, 77, -1].map(|kind| resource(kind, "x", Some(&["y"]))).to_vec()),
        ("nothing", vec![]),
    ];
    for (case, resources) in cases {
        session.ask_all(case, |_, _| Some(asked(resources.clone())));
    }
    let keys: &[&str] =
        &["log.retention.ms", "num.io.threads", "message.max.bytes", "min.insync.replicas", "log.retention.hours"];
    session.ask_all("a broker with synonyms", |v, _| {
        let request = asked(vec![resource(BROKER, "0", Some(keys))]);
        (1 <= v).then(|| DescribeConfigsRequest { include_synonyms: true, ..request })
    });
}

fn alter(session: &mut Session) {
    let asked = |resource_type: i8, name: &str, configs: &[(&str, Option<&str>)], validate_only: bool| {
        let one = |(name, value): &(&str, Option<&str>)| alter_configs::AlterableConfig {
            name: (*name).into(),
            value: value.map(Into::into),
        };
        let configs = configs.iter().map(one).collect();
        let resource = alter_configs::AlterConfigsResource { resource_type, resource_name: name.into(), configs };
        AlterConfigsRequest { resources: vec![resource], validate_only }
    };
    for version in session.versions(whimbrel_wire::ApiKey::AlterConfigs) {
        let topic = session.name(&format!("altered-v{version}"));
        session.create(&topic, 1, &[("segment.bytes", "1048576")]);
        let cases: [(&str, i8, &str, &[Value], bool); 17] = [
            ("validate only", TOPIC, &topic, &[("retention.ms", Some("5"))], true),
            ("a topic", TOPIC, &topic, &[("retention.ms", Some("7"))], false),
            ("to the defaults", TOPIC, &topic, &[], false),
            ("an unknown config", TOPIC, &topic, &[("no.such", Some("7"))], false),
            ("a bad value", TOPIC, &topic, &[("retention.ms", Some("x"))], false),
            ("a null value", TOPIC, &topic, &[("retention.ms", None)], false),
            ("one twice", TOPIC, &topic, &[("retention.ms", Some("1")), ("retention.ms", Some("2"))], false),
            ("an unknown topic", TOPIC, "nobody's", &[("retention.ms", Some("1"))], false),
            ("a bad topic", TOPIC, "a b", &[("retention.ms", Some("1"))], false),
            ("an empty topic", TOPIC, "", &[("retention.ms", Some("1"))], false),
            ("another broker", BROKER, "7", &[("log.retention.ms", Some("1"))], false),
            ("no broker", BROKER, "x", &[("log.retention.ms", Some("1"))], false),
            ("read only of a broker", BROKER, "0", &[("broker.id", Some("7"))], false),
            ("a bad value of a broker", BROKER, "0", &[("log.retention.ms", Some("x"))], false),
            ("an unknown type", 0, "x", &[("y", Some("1"))], false),
            ("another unknown type", 99, "x", &[("y", Some("1"))], false),
            ("loggers", BROKER_LOGGER, "0", &[("root", Some("INFO"))], false),
        ];
        for (case, kind, name, configs, validate_only) in cases {
            session.ask(case, version, &asked(kind, name, configs, validate_only));
            if kind == TOPIC && name == topic {
                let described = vec![resource(TOPIC, &topic, Some(&["retention.ms", "segment.bytes"]))];
                session.ask(
                    &format!("after {case}"),
                    1,
                    &DescribeConfigsRequest { resources: described, ..Default::default() },
                );
            }
        }
        // The same resource twice is not asked for: Kafka fails while it makes its answer, and never sends one.
        session.ask("nothing", version, &AlterConfigsRequest::default());
    }
}

fn incrementally(session: &mut Session) {
    const SET: i8 = 0;
    const DELETE: i8 = 1;
    const APPEND: i8 = 2;
    const SUBTRACT: i8 = 3;
    type Change = (&'static str, i8, Option<&'static str>);
    let asked = |resource_type: i8, name: &str, configs: &[Change], validate_only: bool| {
        let one = |(name, operation, value): &Change| incremental::AlterableConfig {
            name: (*name).into(),
            config_operation: *operation,
            value: value.map(Into::into),
        };
        let configs = configs.iter().map(one).collect();
        let resource = incremental::AlterConfigsResource { resource_type, resource_name: name.into(), configs };
        IncrementalAlterConfigsRequest { resources: vec![resource], validate_only }
    };
    for version in session.versions(whimbrel_wire::ApiKey::IncrementalAlterConfigs) {
        let topic = session.name(&format!("stepwise-v{version}"));
        session.create(&topic, 1, &[("segment.bytes", "1048576")]);
        let cases: [(&str, i8, &str, &[Change], bool); 24] = [
            ("validate only", TOPIC, &topic, &[("retention.bytes", SET, Some("5"))], true),
            ("set", TOPIC, &topic, &[("retention.bytes", SET, Some("7"))], false),
            ("append", TOPIC, &topic, &[("cleanup.policy", APPEND, Some("compact"))], false),
            ("append what is there", TOPIC, &topic, &[("cleanup.policy", APPEND, Some("compact"))], false),
            ("subtract", TOPIC, &topic, &[("cleanup.policy", SUBTRACT, Some("compact"))], false),
            ("subtract what is not there", TOPIC, &topic, &[("cleanup.policy", SUBTRACT, Some("compact"))], false),
            ("append to a number", TOPIC, &topic, &[("retention.bytes", APPEND, Some("1"))], false),
            ("delete", TOPIC, &topic, &[("retention.bytes", DELETE, None)], false),
            ("delete what is not set", TOPIC, &topic, &[("retention.bytes", DELETE, None)], false),
            ("delete with a value", TOPIC, &topic, &[("segment.bytes", DELETE, Some("1"))], false),
            ("delete an unknown one", TOPIC, &topic, &[("no.such", DELETE, None)], false),
            ("set an unknown one", TOPIC, &topic, &[("no.such", SET, Some("1"))], false),
            ("set null", TOPIC, &topic, &[("retention.bytes", SET, None)], false),
            ("append null", TOPIC, &topic, &[("cleanup.policy", APPEND, None)], false),
            ("a bad value", TOPIC, &topic, &[("retention.bytes", SET, Some("x"))], false),
            ("an unknown operation", TOPIC, &topic, &[("retention.bytes", 4, Some("1"))], false),
            ("a negative operation", TOPIC, &topic, &[("retention.bytes", -1, Some("1"))], false),
            (
                "one twice",
                TOPIC,
                &topic,
                &[("retention.bytes", SET, Some("1")), ("retention.bytes", DELETE, None)],
                false,
            ),
            ("nothing of a topic", TOPIC, &topic, &[], false),
            ("an unknown topic", TOPIC, "nobody's", &[("retention.bytes", SET, Some("1"))], false),
            ("a bad topic", TOPIC, "a b", &[("retention.bytes", SET, Some("1"))], false),
            ("an empty topic", TOPIC, "", &[("retention.bytes", SET, Some("1"))], false),
            ("another broker", BROKER, "7", &[("log.retention.ms", SET, Some("1"))], false),
            ("an unknown type", 77, "x", &[("y", SET, Some("1"))], false),
        ];
        for (case, kind, name, configs, validate_only) in cases {
            session.ask(case, version, &asked(kind, name, configs, validate_only));
            if kind == TOPIC && name == topic {
                let keys: &[&str] = &["retention.bytes", "cleanup.policy", "segment.bytes"];
                let described = vec![resource(TOPIC, &topic, Some(keys))];
                session.ask(
                    &format!("after {case}"),
                    1,
                    &DescribeConfigsRequest { resources: described, ..Default::default() },
                );
            }
        }
        let mut twice = asked(TOPIC, &topic, &[("retention.bytes", SET, Some("1"))], false);
        twice.resources.extend(asked(TOPIC, &topic, &[("retention.bytes", SET, Some("2"))], false).resources);
        session.ask("a resource twice", version, &twice);
        session.ask("nothing", version, &IncrementalAlterConfigsRequest::default());
    }
}
