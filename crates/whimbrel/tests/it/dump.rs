//! `whimbrel log dump` on what a broker wrote.

use std::path::Path;

use crate::harness::{Broker, stderr, whimbrel};

fn dump(path: &Path, more: &[&str]) -> std::process::Output {
    whimbrel().args(["log", "dump"]).arg(path).args(more).output().unwrap()
}

#[test]
fn every_kind_of_file_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    broker.ok_with_input(&["produce", "t", "-k", ":", "-z", "lz4", "--idempotent"], "a:1\nb:2\n");
    assert_eq!(broker.stop("-TERM"), Some(0));
    let partition = dir.path().join("t-0");
    let segment = dump(&partition.join("00000000000000000000.log"), &["--deep", "--data"]);
    let text = String::from_utf8(segment.stdout).unwrap();
    assert!(text.contains("batch at 0 offsets 0..1 records 2") && text.contains("lz4"), "{text}");
    assert!(text.contains("key=b value=2") && text.contains("producer "), "{text}");
    for entry in std::fs::read_dir(&partition).unwrap().chain(std::fs::read_dir(dir.path()).unwrap()) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let known = [".log", "index", ".snapshot", "checkpoint", ".metadata", ".properties"];
        if path.is_file() && known.iter().any(|suffix| name.ends_with(suffix)) {
            let output = dump(&path, &["--format", "json"]);
            assert!(output.status.success(), "{name}: {}", stderr(&output));
        }
    }
}

#[test]
fn damage_is_found_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), &[]);
    broker.ok_with_input(&["produce", "t"], "some value\n");
    assert_eq!(broker.stop("-TERM"), Some(0));
    let path = dir.path().join("t-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    bytes.extend_from_slice(&[0; 20]);
    std::fs::write(&path, bytes).unwrap();
    let output = dump(&path, &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("WRONG CRC") && text.contains("damaged at position"), "{text}");
    assert_eq!(dump(dir.path(), &[]).status.code(), Some(2));
}
