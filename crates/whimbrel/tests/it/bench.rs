//! `whimbrel bench run` against a broker, and against brokers that it starts itself.

use serde_json::Value;

use crate::harness::{Broker, stderr, whimbrel};

fn points(lines: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
    let lines: Vec<Value> = lines.lines().map(parse).collect();
    assert_eq!(lines[0]["kind"], "run");
    lines.into_iter().skip(1).collect()
}

/// Everything that was acknowledged was read, once and in order.
fn assert_verified(point: &Value) {
    let found = &point["verification"];
    assert_eq!(found["is_complete"], true, "{found}");
    let acknowledged = found["acknowledged"].as_u64().unwrap();
    assert!(0 < acknowledged && found["read"] == acknowledged, "{found}");
    for trouble in ["lost", "duplicated", "reordered"] {
        assert_eq!(found[trouble], 0, "{found}");
    }
    assert_eq!(point["errors"], serde_json::json!({}));
}

#[test]
fn what_a_load_was_told_is_read_by_every_group() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    let load = "--rate 2000 --producers 2 --consumers 2 --groups 2 --topics 2 --seconds 2 --warmup 0.5 --format json";
    let args: Vec<&str> = ["bench", "run"].into_iter().chain(load.split(' ')).collect();
    let points = points(&broker.ok(&args));
    let [point] = &points[..] else { panic!("{} points", points.len()) };
    assert_verified(point);
    let rate = |flow: &str| point[flow]["records_per_s"].as_f64().unwrap();
    assert!((1000.0..3000.0).contains(&rate("produced")), "{}", point["produced"]);
    assert!((2000.0..6000.0).contains(&rate("consumed")), "{}", point["consumed"]);
    assert_eq!(point["ack_latency"]["count"], 4000, "each record of the measured part, and no other");
    assert_eq!(point["end_to_end_latency"]["count"], 8000);
    let series = point["series"].as_array().unwrap();
    assert_eq!((series.len(), &series[0]["at_ms"]), (25, &serde_json::json!(-500)));
    assert_eq!(broker.ok(&["topic", "list", "--format", "json"]).trim(), "[]", "its topics are deleted");
}

#[test]
fn every_codec_and_kind_of_key_is_read_back_where_nobody_consumes() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    let load = "--rate max --consumers 0 --acks all --idempotent --codec none,gzip,snappy,lz4,zstd --seconds 0.3 \
                --warmup 0 --keys none,skewed:50:1 --payload compressible:3 --linger-ms 1 --format json";
    let args: Vec<&str> = ["bench", "run"].into_iter().chain(load.split_whitespace()).collect();
    let points = points(&broker.ok(&args));
    assert_eq!(points.len(), 10);
    points.iter().for_each(assert_verified);
}

#[test]
fn as_fast_as_possible_keeps_as_many_requests_in_flight_as_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    for (allowed, expected) in [("1", 0.5..2.0), ("32", 16.0..34.0)] {
        // One record makes a batch, and one batch a request.
        let load = "--rate max --record-bytes 1024 --batch-bytes 1024 --partitions 1 --consumers 0 --seconds 2 \
                    --warmup 0.5 --format json --in-flight";
        let args: Vec<&str> = ["bench", "run"].into_iter().chain(load.split_whitespace()).chain([allowed]).collect();
        let point = &points(&broker.ok(&args))[0];
        assert_verified(point);
        // Little's law: what is in flight is the rate times the time that each takes, however fast the machine is.
        let in_flight = point["produced"]["records_per_s"].as_f64().unwrap()
            * point["ack_latency"]["mean_us"].as_f64().unwrap()
            / 1e6;
        assert!(expected.contains(&in_flight), "{in_flight} of {allowed} requests in flight");
    }
}

#[test]
fn a_broker_is_started_harmed_and_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let results = dir.path().join("results");
    let load = "--rate 500 --acks all --idempotent --replicas 3 --brokers 3 --seconds 6 --warmup 0.5";
    let mut command = whimbrel();
    command.args(["bench", "run", "--target", "whimbrel", "--fault", "kill leader at 1s for 2s"]);
    command.args(load.split(' ')).arg("--data").arg(dir.path()).arg("--output").arg(&results);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.starts_with("POINT") && table.contains("whimbrel"), "{table}");
    let lines = std::fs::read_to_string(results.join("results.jsonl")).unwrap();
    let point = &points(&lines)[0];
    let found = &point["verification"];
    assert_eq!((&found["lost"], &found["is_complete"]), (&serde_json::json!(0), &serde_json::json!(true)), "{found}");
    let harm = point["faults"][0]["what"].as_str().unwrap();
    assert!(harm.contains("killed"), "{}", point["faults"]);
    assert_eq!(point["uptime"]["partitions"].as_array().unwrap().len(), 3);
    assert_eq!(point["system"]["brokers"], 3);
    assert!(0.0 < point["cost"][0]["cpu_seconds"].as_f64().unwrap(), "{}", point["cost"]);
    let names = std::fs::read_dir(&results).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = names.collect();
    assert!(names.iter().any(|name| name.ends_with("ack.hgrm")), "{names:?}");
    assert!(names.contains(&"report.html".to_owned()), "{names:?}");
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 1, "data and logs are removed, results stay");
}

#[test]
fn a_cluster_has_other_work_meanwhile_and_is_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    let load = "--rate 500 --consumers 0 --seconds 4 --warmup 0 --format json";
    let disturb = ["create 5 topics at 200ms", "read 3 MB back at 100ms", "delete 2 MB at 300ms"];
    let disturb = disturb.into_iter().flat_map(|what| ["--disturb", what]);
    let args: Vec<&str> = ["bench", "run"].into_iter().chain(load.split(' ')).chain(disturb).collect();
    let points = points(&broker.ok(&args));
    assert_verified(&points[0]);
    let done: Vec<&str> =
        points[0]["faults"].as_array().unwrap().iter().map(|done| done["what"].as_str().unwrap()).collect();
    assert_eq!(done, ["3 MB read back", "5 topics created", "2 MB deleted"]);
    assert_eq!(broker.ok(&["topic", "list", "--format", "json"]).trim(), "[]", "its topics are deleted");
}

#[test]
fn a_wrong_workload_is_refused_before_anything_starts() {
    for (args, said) in [
        (&["--record-bytes", "8"][..], "16 bytes"),
        (&["--idempotent", "--acks", "1"], "acks=all"),
        (&["--rate", "0"], "\"max\""),
        (&["--scenario", "nothing"], "quick"),
        (&["--fault", "tickle broker 1 at 5s"], "tickle"),
        (&["--disturb", "read everything back at 5s"], "BYTES"),
        (&["--target", "kafka-of-old"], "kafka-VERSION"),
    ] {
        let output = whimbrel().args(["bench", "run"]).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
}

#[test]
fn scenarios_are_listed() {
    let output = whimbrel().args(["bench", "scenarios"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for name in ["quick", "paper", "failover", "partitions", "soak"] {
        assert!(text.contains(name), "{text}");
    }
}
