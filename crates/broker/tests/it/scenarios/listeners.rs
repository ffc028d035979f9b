//! AlterConfigs and IncrementalAlterConfigs of the listeners of a running broker (KIP-226).

use whimbrel_wire::describe_configs::DescribeConfigsResource;
use whimbrel_wire::{
    AlterConfigsRequest, ApiKey, DescribeConfigsRequest, IncrementalAlterConfigsRequest, alter_configs,
    incremental_alter_configs as incremental,
};

use crate::session::Session;
use crate::transcript::Deliberate;

pub const DELIBERATE: &[Deliberate] = &[];

const BROKER: i8 = 4;
/// Kafka's number of `DYNAMIC_BROKER_CONFIG`.
const DYNAMIC_BROKER: i8 = 2;

const LISTENERS: &str = "listeners";
const ADVERTISED: &str = "advertised.listeners";
const MAP: &str = "listener.security.protocol.map";
const WITH_OUT: &str = "PLAINTEXT:PLAINTEXT,OUT:PLAINTEXT";

pub fn run(session: &mut Session) {
    let here = format!("PLAINTEXT://{}", session.address);
    let both = format!("{here},OUT://127.0.0.1:0");
    stepwise(session, &here, &both);
    replaced(session, &here, &both);
}

/// Keys and values: a value that is missing takes the setting away.
type Change<'a> = (&'a str, Option<&'a str>);

fn stepwise(session: &mut Session, here: &str, both: &str) {
    let asked = |name: &str, changes: &[Change<'_>], validate_only: bool| {
        let one = |(name, value): &Change<'_>| incremental::AlterableConfig {
            name: (*name).into(),
            config_operation: i8::from(value.is_none()),
            value: value.map(Into::into),
        };
        let configs = changes.iter().map(one).collect();
        let resource = incremental::AlterConfigsResource { resource_type: BROKER, resource_name: name.into(), configs };
        IncrementalAlterConfigsRequest { resources: vec![resource], validate_only }
    };
    let twice = format!("{here},{here}");
    let same_port = format!("{here},{}", here.replace("PLAINTEXT", "OUT"));
    let secure = "PLAINTEXT:SASL_PLAINTEXT,OUT:PLAINTEXT";
    let cases: [(&str, &str, &[Change<'_>], bool); 21] = [
        ("a listener more, validate only", "0", &[(LISTENERS, Some(both)), (MAP, Some(WITH_OUT))], true),
        ("a listener without a protocol", "0", &[(LISTENERS, Some(both))], false),
        ("another listener alone", "0", &[(LISTENERS, Some("OUT://127.0.0.1:0")), (MAP, Some(WITH_OUT))], false),
        ("no listener", "0", &[(LISTENERS, Some(""))], false),
        ("no endpoint", "0", &[(LISTENERS, Some("x"))], false),
        ("a name twice", "0", &[(LISTENERS, Some(&twice))], false),
        ("a port twice", "0", &[(LISTENERS, Some(&same_port)), (MAP, Some(WITH_OUT))], false),
        ("advertised and not listening", "0", &[(ADVERTISED, Some("OUT://a:1")), (MAP, Some(WITH_OUT))], false),
        ("advertised on every interface", "0", &[(ADVERTISED, Some("PLAINTEXT://0.0.0.0:1"))], false),
        ("nothing advertised", "0", &[(ADVERTISED, Some(""))], true),
        ("a name advertised twice", "0", &[(ADVERTISED, Some("PLAINTEXT://a:1,PLAINTEXT://b:2"))], false),
        ("another protocol", "0", &[(MAP, Some(secure))], false),
        ("a map without the listener", "0", &[(MAP, Some("OUT:PLAINTEXT"))], false),
        ("an unknown protocol", "0", &[(MAP, Some("PLAINTEXT:PLAIN"))], false),
        ("no map", "0", &[(MAP, Some("x"))], false),
        ("listeners of all brokers", "", &[(LISTENERS, Some(both))], false),
        ("advertised listeners of all brokers", "", &[(ADVERTISED, Some(here))], false),
        ("the map of all brokers", "", &[(MAP, Some(WITH_OUT))], false),
        ("the listener between brokers", "0", &[("inter.broker.listener.name", Some("OUT"))], false),
        ("the control plane", "0", &[("control.plane.listener.name", Some("OUT"))], false),
        ("a listener more", "0", &[(LISTENERS, Some(both)), (MAP, Some(WITH_OUT))], false),
    ];
    for version in session.versions(ApiKey::IncrementalAlterConfigs) {
        for (case, name, changes, validate_only) in cases {
            session.ask(case, version, &asked(name, changes, validate_only));
        }
        let mut append = asked("0", &[(LISTENERS, Some("OUT://127.0.0.1:0"))], false);
        append.resources[0].configs[0].config_operation = 2;
        session.ask("a listener appended", version, &append);
        described(session, true, "a map that was changed");
        session.ask("the listener no more", version, &asked("0", &[(LISTENERS, None), (MAP, None)], false));
        described(session, false, "a map that was changed back");
    }
}

fn replaced(session: &mut Session, here: &str, both: &str) {
    let asked = |name: &str, changes: &[Change<'_>]| {
        let one = |(name, value): &Change<'_>| alter_configs::AlterableConfig {
            name: (*name).into(),
            value: value.map(Into::into),
        };
        let configs = changes.iter().map(one).collect();
        let resource =
            alter_configs::AlterConfigsResource { resource_type: BROKER, resource_name: name.into(), configs };
        AlterConfigsRequest { resources: vec![resource], validate_only: false }
    };
    for version in session.versions(ApiKey::AlterConfigs) {
        let cases: [(&str, &str, &[Change<'_>]); 5] = [
            ("a listener without a protocol", "0", &[(LISTENERS, Some(both))]),
            ("another protocol", "0", &[(MAP, Some("PLAINTEXT:SSL"))]),
            ("listeners of all brokers", "", &[(LISTENERS, Some(here))]),
            ("a listener more", "0", &[(LISTENERS, Some(both)), (MAP, Some(WITH_OUT))]),
            ("the listener no more", "0", &[]),
        ];
        for (case, name, changes) in cases {
            session.ask(case, version, &asked(name, changes));
        }
    }
    described(session, false, "a map that was replaced");
}

/// Describes the map once the broker has heard of the change, which comes after the answer.
fn described(session: &mut Session, is_dynamic: bool, case: &str) {
    let asked = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: BROKER,
            resource_name: "0".into(),
            configuration_keys: Some(vec![MAP.into()]),
        }],
        ..Default::default()
    };
    loop {
        let answer = session.client.call(4, &asked);
        if (answer.results[0].configs[0].config_source == DYNAMIC_BROKER) == is_dynamic {
            break;
        }
        std::thread::yield_now();
    }
    session.ask_all(case, |version, _| (1 <= version).then(|| asked.clone()));
}
