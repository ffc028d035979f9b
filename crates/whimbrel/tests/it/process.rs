//! Starting, stopping, refusing.

use std::process::Command;

use crate::harness::{Broker, stderr, whimbrel};

#[test]
fn five_lines_say_what_is_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    let heads: Vec<&str> = broker.banner.iter().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(heads, ["listens", "data", "durability", "coordination", "http"]);
    assert!(broker.banner[1].ends_with(&dir.path().display().to_string()));
    assert!(broker.banner[2].contains("a flush to disk where there is one replica"), "{:?}", broker.banner);
    assert!(broker.banner[3].contains("embedded keeper 127.0.0.1:"), "{:?}", broker.banner);
    assert!(broker.http("/health/live").contains("200 OK"));
    assert!(broker.http("/health/ready").contains("200 OK"));
}

#[test]
fn metrics_tell_of_requests_errors_logs_groups_and_the_keeper() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    broker.ok_with_input(&["produce", "t"], "x\ny\n");
    broker.ok(&["consume", "t", "--group", "g"]);
    broker.tool(&["topic", "create", "t"]);
    let metrics = broker.http("/metrics");
    let value = |name: &str| {
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_else(|| panic!("{name} is missing in\n{metrics}"));
        line.trim().parse::<f64>().unwrap()
    };
    assert_eq!(value("whimbrel_active_controller "), 1.0);
    assert_eq!(value("whimbrel_zookeeper_connected "), 1.0);
    assert_eq!(value("whimbrel_topic_messages_in_total "), 2.0);
    assert_eq!(value("whimbrel_partitions "), 4.0, "one of t, three of __consumer_offsets");
    assert_eq!(value("whimbrel_leaders "), 4.0);
    assert_eq!(value("whimbrel_groups{state=\"Empty\"} "), 1.0);
    assert_eq!(value("whimbrel_request_errors_total{api=\"CreateTopics\",error=\"TOPIC_ALREADY_EXISTS\"} "), 1.0);
    let dir = dir.path().display();
    assert!(0.0 < value(&format!("whimbrel_log_size_bytes{{dir=\"{dir}\"}} ")));
    assert!(0.0 < value(&format!("whimbrel_log_flushes_total{{dir=\"{dir}\"}} ")));
    assert!(0.0 < value("whimbrel_requests_total{api=\"Produce\"} "));
    assert!(0.0 < value("whimbrel_keeper_nodes "));
    assert!(0.0 < value("whimbrel_process_resident_memory_bytes "));
}

#[test]
fn both_signals_stop_it_cleanly_and_the_data_stays() {
    let dir = tempfile::tempdir().unwrap();
    for (signal, seen) in [("-TERM", 1), ("-INT", 2)] {
        let broker = Broker::start(dir.path(), &[]);
        broker.ok_with_input(&["produce", "t"], "x\n");
        assert_eq!(broker.ok(&["consume", "t"]).lines().count(), seen);
        assert_eq!(broker.stop(signal), Some(0));
        assert!(dir.path().join(".kafka_cleanshutdown").exists());
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        let broker = Broker::start(dir.path(), &[]);
        broker.ok_with_input(&["produce", "t", "--idempotent"], "x\n");
        assert_eq!(broker.stop("-KILL"), None);
        let broker = Broker::start(dir.path(), &[]);
        assert_eq!(broker.ok(&["consume", "t"]).lines().count(), round);
    }
}

#[test]
fn a_second_broker_on_the_directory_is_refused_by_naming_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let first = Broker::start(dir.path(), &[]);
    let refused = Broker::try_start(dir.path(), &[]).err().expect("the directory is taken");
    assert_eq!(refused.status.code(), Some(1));
    let text = stderr(&refused);
    assert!(text.contains(&dir.path().display().to_string()), "{text}");
    assert!(text.contains(&first.pid().to_string()), "{text}");
}

#[test]
fn a_second_broker_on_the_port_is_refused_by_naming_the_first() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Broker::start(one.path(), &[]);
    let listeners = format!("listeners=PLAINTEXT://{}", first.address);
    let refused = Broker::try_start(two.path(), &["--set", &listeners]).err().expect("the port is taken");
    assert_eq!(refused.status.code(), Some(1));
    let text = stderr(&refused);
    assert!(text.contains(&format!("process {}", first.pid())), "{text}");
    assert!(text.contains("choose another port"), "{text}");
}

#[test]
fn a_wrong_configuration_ends_with_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("server.properties");
    std::fs::write(&file, "num.partitions=none\n").unwrap();
    let output = whimbrel().arg("start").arg("--config").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let expected = format!("num.partitions=none ({}:1): must be 1 or more", file.display());
    assert!(stderr(&output).contains(&expected), "{}", stderr(&output));
    assert_eq!(whimbrel().arg("tpoic").output().unwrap().status.code(), Some(2));
}

#[test]
fn keys_without_effect_are_named_in_json_too() {
    let dir = tempfile::tempdir().unwrap();
    let more = [
        "--set",
        "log.retention.hour=1",
        "--set",
        "num.io.threads=8",
        "--log-format",
        "json",
        "--set",
        "listeners=PLAINTEXT://192.0.2.1:1",
    ];
    // The address is not of this machine, so that the broker ends after it has said so.
    let output = Broker::try_start(dir.path(), &more).err().expect("nobody can listen there");
    let log = stderr(&output);
    let fields = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let messages: Vec<String> =
        fields.map(|line| line["fields"]["message"].as_str().unwrap_or_default().to_owned()).collect();
    assert!(
        messages
            .iter()
            .any(|text| text.contains("log.retention.hour ") && text.ends_with("did you mean log.retention.hours?")),
        "{messages:?}"
    );
    assert!(messages.iter().any(|text| text.starts_with("num.io.threads")), "{messages:?}");
}

#[test]
fn settings_come_from_file_environment_and_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("server.properties");
    std::fs::write(&file, "num.partitions=2\nbroker.id=7\n").unwrap();
    let file = file.display().to_string();
    let broker = Broker::start(&dir.path().join("data"), &["--config", &file, "--set", "num.partitions=4"]);
    broker.ok(&["topic", "create", "t"]);
    let described = broker.ok(&["topic", "describe", "t", "--format", "json"]);
    let described: serde_json::Value = serde_json::from_str(&described).unwrap();
    assert_eq!(described[0]["partitions"].as_array().unwrap().len(), 4);
    assert_eq!(described[0]["partitions"][0]["leader"], 7);
}

#[test]
fn completions_and_help_are_printed() {
    for args in [&["completions", "bash"][..], &["--help"], &["group", "reset-offsets", "--help"]] {
        let output = whimbrel().args(args).output().unwrap();
        assert!(output.status.success() && !output.stdout.is_empty(), "{args:?}");
    }
    let version = Command::new(env!("CARGO_BIN_EXE_whimbrel")).arg("--version").output().unwrap();
    assert!(String::from_utf8(version.stdout).unwrap().starts_with("whimbrel "));
}
