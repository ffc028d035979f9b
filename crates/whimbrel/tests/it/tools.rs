//! The tools against a broker.

use crate::harness::{Broker, stderr, whimbrel};

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn topics_are_created_grown_changed_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    assert_eq!(
        broker.ok(&["topic", "create", "t", "-p", "2", "-c", "retention.ms=1000"]),
        "topic t created, 2 partitions\n"
    );
    let again = broker.tool(&["topic", "create", "t"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("TOPIC_ALREADY_EXISTS") && stderr(&again).contains("--if-not-exists"));
    assert_eq!(broker.ok(&["topic", "create", "t", "--if-not-exists"]), "topic t exists\n");
    broker.ok(&["topic", "alter", "t", "-p", "3", "-c", "max.message.bytes=2000", "--delete-config", "retention.ms"]);
    let described = json(&broker.ok(&["topic", "describe", "t", "--format", "json"]));
    assert_eq!(described[0]["partitions"].as_array().unwrap().len(), 3);
    assert_eq!(described[0]["configs"], serde_json::json!({"max.message.bytes": "2000"}));
    assert_eq!(words(&broker.ok(&["topic", "list"])), "TOPIC PARTITIONS REPLICAS t 3 1");
    let too_many = broker.tool(&["topic", "create", "u", "-r", "2"]);
    assert!(stderr(&too_many).contains("INVALID_REPLICATION_FACTOR"), "{}", stderr(&too_many));
    let checked = json(&broker.ok(&["topic", "create", "u", "--validate-only", "--format", "json"]));
    assert_eq!(checked["created"], false);
    assert_eq!(broker.ok(&["topic", "delete", "t"]), "topic t deleted\n");
    let missing = broker.tool(&["topic", "delete", "t"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("whimbrel topic list"));
    assert_eq!(broker.ok(&["topic", "delete", "t", "--if-exists"]), "topic t does not exist\n");
}

#[test]
fn records_keep_keys_headers_and_nulls_in_every_codec() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("t-{codec}");
        let args = ["produce", &topic, "-z", codec, "-k", ":", "-H", "h=1", "--null-marker", "NIL", "--acks", "1"];
        broker.ok_with_input(&args, "a:1\nno key\nb:NIL\n");
        let printed = broker.ok(&["consume", &topic, "-t", r"{offset} {key} {value} {headers}\n"]);
        assert_eq!(printed, "0 a 1 h=1\n1 null no key h=1\n2 b null h=1\n", "{codec}");
    }
    broker.ok_with_input(&["produce", "t-none", "--acks", "0"], "unasked\n");
    let records = broker.ok(&["consume", "t-none", "--format", "json", "--from", "0"]);
    let first = json(records.lines().next().unwrap());
    assert_eq!(first["key"], "a");
    assert_eq!(first["headers"], serde_json::json!([{"key": "h", "value": "1"}]));
    assert_eq!(json(records.lines().nth(2).unwrap())["value"], serde_json::Value::Null);
}

#[test]
fn reading_begins_where_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    broker.ok_with_input(&["produce", "t"], "0\n1\n2\n3\n");
    let from =
        |place: &str| broker.ok(&["consume", "t", "--from", place]).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(from("beginning"), "0 1 2 3");
    assert_eq!(from("2"), "2 3");
    assert_eq!(from("-1"), "3");
    assert_eq!(from("end"), "");
    assert_eq!(from("2020-01-01T00:00:00Z"), "0 1 2 3");
    assert_eq!(from("2999-01-01T00:00:00Z"), "");
    assert_eq!(broker.ok(&["consume", "t", "-n", "1"]), "0\n");
    assert_eq!(broker.ok(&["consume", "t", "--follow", "-n", "4"]).lines().count(), 4);
    let missing = broker.tool(&["consume", "t", "--partition", "7"]);
    assert!(stderr(&missing).contains("has no partition 7"), "{}", stderr(&missing));
}

#[test]
fn a_group_goes_on_where_it_stopped_and_can_be_moved() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    broker.ok_with_input(&["produce", "t"], "0\n1\n2\n3\n");
    let read = || broker.ok(&["consume", "t", "--group", "g"]).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(broker.ok(&["consume", "t", "--group", "g", "-n", "2"]), "0\n1\n");
    assert_eq!(read(), "2 3");
    assert_eq!(read(), "");
    let described = json(&broker.ok(&["group", "describe", "g", "--format", "json"]));
    assert_eq!(described[0]["state"], "Empty");
    assert_eq!(described[0]["offsets"][0]["committed"], 4);
    assert_eq!(described[0]["offsets"][0]["lag"], 0);
    let reset = ["group", "reset-offsets", "g", "--topic", "t:0"];
    broker.ok(&[&reset[..], &["--shift-by", "-1"]].concat());
    assert_eq!(read(), "", "without --execute nothing moves");
    for (mode, left) in [
        (&["--shift-by", "-1"][..], "3"),
        (&["--to-earliest"], "0 1 2 3"),
        (&["--to-offset", "2"], "2 3"),
        (&["--to-latest"], ""),
        (&["--by-duration", "PT1H"], "0 1 2 3"),
        (&["--to-datetime", "2999-01-01T00:00:00Z"], ""),
        (&["--to-current"], ""),
    ] {
        broker.ok(&[&reset[..], mode, &["--execute"]].concat());
        assert_eq!(read(), left, "{mode:?}");
    }
    assert!(words(&broker.ok(&["group", "list"])).contains("COORDINATOR g Empty consumer"));
    assert_eq!(broker.ok(&["group", "delete", "g"]), "group g deleted\n");
    let gone = broker.tool(&["group", "describe", "g"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(stderr(&gone).contains("whimbrel group list"), "{}", stderr(&gone));
}

#[test]
fn settings_are_shown_set_and_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), &["--set", "broker.id=3"]);
    broker.ok(&["topic", "create", "t"]);
    broker.ok(&["config", "set", "topic", "t", "retention.ms=5000", "cleanup.policy=compact"]);
    broker.ok(&["config", "delete", "topic", "t", "cleanup.policy"]);
    let shown = json(&broker.ok(&["config", "get", "topic", "t", "--format", "json"]));
    assert_eq!(shown.as_array().unwrap().len(), 1, "{shown}");
    assert_eq!(shown[0]["value"], "5000");
    assert_eq!(shown[0]["source"], "topic");
    let wrong = broker.tool(&["config", "set", "topic", "t", "retention.mss=1"]);
    assert!(stderr(&wrong).contains("INVALID_CONFIG"), "{}", stderr(&wrong));
    broker.ok(&["config", "set", "broker", "default", "message.max.bytes=2000000"]);
    let value = json(&broker.ok(&["config", "get", "broker", "default", "--format", "json"]));
    assert_eq!(value[0]["value"], "2000000");
    let read_only = broker.tool(&["config", "set", "broker", "3", "num.partitions=9"]);
    assert_eq!(read_only.status.code(), Some(1));
    let unknown = broker.tool(&["config", "get", "broker", "3", "no.such.key"]);
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn nobody_there_is_said_with_what_to_do() {
    let output = whimbrel().args(["topic", "list", "-b", "127.0.0.1:1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("cannot connect to 127.0.0.1:1") && text.contains("whimbrel start"), "{text}");
}
