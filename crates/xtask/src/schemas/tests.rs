//! The check itself is checked: it accepts a declaration that agrees, and names each planted difference.

use whimbrel_wire::spec::{FieldSpec, Kind, MessageSpec, StructSpec, Versions};

use super::compare::{Ends, compare};
use super::kafka::{Schema, snake_case};

const SCHEMA: &str = r#"
// A comment.
{
  "apiKey": 7, "type": "request", "name": "PingRequest",
  "validVersions": "0-4", "flexibleVersions": "3+",
  "fields": [
    { "name": "Host", "type": "string", "versions": "0+", "nullableVersions": "2+", "default": "null" },
    { "name": "RetryMs", "type": "int32", "versions": "1+", "default": "0x10", "ignorable": true }, // "quoted" // twice
    { "name": "Targets", "type": "[]Target", "versions": "0+", "about": "see http://nowhere" },
    { "name": "Note", "type": "string", "versions": "3+", "tag": 0, "taggedVersions": "3+", "ignorable": true }
  ],
  "commonStructs": [
    { "name": "Target", "versions": "0+", "fields": [
      { "name": "ISRNode", "type": "int32", "versions": "0+" },
      { "name": "Epoch", "type": "int64", "versions": "2+", "default": "-1" }
    ]}
  ]
}"#;

const FIELD: FieldSpec = FieldSpec {
    name: "",
    kind: Kind::Int32,
    versions: Versions::parse("0+"),
    nullable: Versions::NONE,
    tag: None,
    default: None,
    ignorable: false,
};
const ISR_NODE: FieldSpec = FieldSpec { name: "isr_node", ..FIELD };
const EPOCH: FieldSpec =
    FieldSpec { name: "epoch", kind: Kind::Int64, versions: Versions::parse("2+"), default: Some("-1"), ..FIELD };
const HOST: FieldSpec =
    FieldSpec { name: "host", kind: Kind::String, nullable: Versions::parse("2+"), default: Some("None"), ..FIELD };
const RETRY: FieldSpec =
    FieldSpec { name: "retry_ms", versions: Versions::parse("1+"), default: Some("16"), ignorable: true, ..FIELD };
const NOTE: FieldSpec = FieldSpec {
    name: "note",
    kind: Kind::String,
    versions: Versions::parse("3+"),
    tag: Some((0, Versions::parse("3+"))),
    ignorable: true,
    ..FIELD
};

/// Declarations are constants; those built here live as long as the test process.
fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn targets(fields: Vec<FieldSpec>) -> FieldSpec {
    let target = StructSpec { name: "Target", fields: leak(fields) };
    FieldSpec { name: "targets", kind: Kind::Array(leak(Kind::Struct(leak(target)))), ..FIELD }
}

fn agreeing() -> Vec<FieldSpec> {
    vec![HOST, RETRY, targets(vec![ISR_NODE, EPOCH]), NOTE]
}

fn message(fields: Vec<FieldSpec>) -> MessageSpec {
    MessageSpec {
        body: StructSpec { name: "PingRequest", fields: leak(fields) },
        valid: Versions::parse("0-4"),
        flexible: Versions::parse("3+"),
    }
}

fn differences(spec: &MessageSpec) -> Vec<String> {
    compare(spec, Some(7), &Schema::parse(SCHEMA).expect("schema"), Ends::Both)
}

/// The only difference when `host` is declared like this.
fn host(host: FieldSpec) -> String {
    let [only] = differences(&message(vec![host, RETRY, targets(vec![ISR_NODE, EPOCH]), NOTE]))
        .try_into()
        .expect("one difference");
    only
}

#[test]
fn declaration_that_agrees_passes() {
    assert_eq!(differences(&message(agreeing())), [""; 0]);
}

#[test]
fn wrong_type_is_named() {
    let found = host(FieldSpec { kind: Kind::Bytes, ..HOST });
    assert_eq!(found, r#"PingRequest.host: type is declared as "bytes" and is "string""#);
}

#[test]
fn wrong_versions_are_named() {
    let found = host(FieldSpec { nullable: Versions::parse("3+"), ..HOST });
    assert_eq!(found, "PingRequest.host: nullable versions are declared as 3+ and are 2+, which differs in version 2");
    let found = differences(&message(vec![
        HOST,
        RETRY,
        targets(vec![ISR_NODE, EPOCH]),
        FieldSpec { versions: Versions::parse("4+"), ..NOTE },
    ]));
    assert_eq!(found, ["PingRequest.note: versions are declared as 4+ and are 3+, which differs in version 3"]);
}

#[test]
fn wrong_default_is_named() {
    let found = host(FieldSpec { default: None, ..HOST });
    assert_eq!(found, r#"PingRequest.host: default is declared as Text("") and is Null"#);
}

#[test]
fn wrong_tag_is_named() {
    let note = FieldSpec { tag: Some((1, Versions::parse("4+"))), ..NOTE };
    let found = differences(&message(vec![HOST, RETRY, targets(vec![ISR_NODE, EPOCH]), note]));
    assert_eq!(
        found,
        [
            "PingRequest.note: tag is declared as Some(1) and is Some(0)",
            "PingRequest.note: tagged versions are declared as 4+ and are 3+, which differs in version 3",
            "PingRequest: fields of version 3 are declared as [host, retry_ms, targets, note] and are \
         [host, retry_ms, targets]",
        ]
    );
}

#[test]
fn wrong_ignorable_is_named() {
    let retry = FieldSpec { ignorable: false, ..RETRY };
    let found = differences(&message(vec![HOST, retry, targets(vec![ISR_NODE, EPOCH]), NOTE]));
    assert_eq!(found, ["PingRequest.retry_ms: ignorable is declared as false and is true"]);
}

#[test]
fn wrong_order_is_named() {
    let found = differences(&message(vec![HOST, RETRY, targets(vec![EPOCH, ISR_NODE]), NOTE]));
    assert_eq!(
        found,
        ["PingRequest.targets: fields of version 2 are declared as [epoch, isr_node] and are [isr_node, epoch]"]
    );
}

#[test]
fn missing_and_invented_fields_are_named() {
    let invented = FieldSpec { name: "invented", ..FIELD };
    let found = differences(&message(vec![HOST, RETRY, targets(vec![invented, EPOCH]), NOTE]));
    assert_eq!(
        found[..2],
        [
            "PingRequest.targets.invented: Kafka has no such field",
            "PingRequest.targets.isr_node: not declared, and is of type int32 in versions 0+",
        ]
    );
}

#[test]
fn wrong_message_versions_are_named() {
    let spec = MessageSpec { valid: Versions::parse("1-3"), flexible: Versions::parse("2+"), ..message(agreeing()) };
    let schema = Schema::parse(SCHEMA).expect("schema");
    assert_eq!(
        compare(&spec, Some(8), &schema, Ends::Both),
        [
            "PingRequest: api key is declared as Some(8) and is Some(7)",
            "PingRequest: lowest version is declared as 1 and is 0",
            "PingRequest: highest version is declared as 3 and is 4",
            "PingRequest: flexible versions are declared as 2+ and are 3+, which differs in version 2",
        ]
    );
    // A release that dropped old versions does not decide the lowest one.
    let found = compare(&spec, Some(7), &schema, Ends::High);
    assert_eq!(found[0], "PingRequest: highest version is declared as 3 and is 4");
}

#[test]
fn unstable_version_is_not_expected() {
    let mut schema = Schema::parse(SCHEMA).expect("schema");
    schema.latest_unstable = true;
    let found = compare(&message(agreeing()), Some(7), &schema, Ends::Both);
    assert_eq!(found, ["PingRequest: highest version is declared as 4 and is 3"]);
}

#[test]
fn names_become_snake_case() {
    for (kafka, rust) in [
        ("TopicId", "topic_id"),
        ("LastKnownElr", "last_known_elr"),
        ("ISRNodes", "isr_nodes"),
        ("commitTimestamp", "commit_timestamp"),
        ("Acks", "acks"),
    ] {
        assert_eq!(snake_case(kafka), rust);
    }
}
