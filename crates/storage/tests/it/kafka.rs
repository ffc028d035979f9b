//! Logs that Apache Kafka 3.9.2 wrote (`fixtures/README.md`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use whimbrel_model::record::Batches;
use whimbrel_model::{LeaderEpoch, Offset, ProducerId, TopicPartition};
use whimbrel_storage::{EpochEntry, Log, LogConfig};

use crate::helpers::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn config() -> LogConfig {
    LogConfig { segment_index_bytes: 2048, index_interval_bytes: 512, ..small_segments(4096) }
}

fn partition() -> TopicPartition {
    TopicPartition::new("kafka", 0)
}

fn check(log: &std::sync::Arc<Log>) {
    let batches = read_all(log, 0);
    assert_eq!((batches.len(), log.log_end_offset(), log.segment_count()), (160, Offset(319), 5));
    assert!(batches.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0));
    let epoch = |epoch, start| EpochEntry { epoch: LeaderEpoch(epoch), start: Offset(start) };
    assert_eq!(log.epoch_entries(), [epoch(0, 0), epoch(1, 120), epoch(2, 240)]);
    assert!(log.topic_id().is_some());
    let last = log.producer(ProducerId(55), |entry| entry.last_batch().map(|batch| batch.last_sequence));
    assert_eq!(last, Some(Some(78)));
    for (i, (base, _)) in batches.iter().enumerate() {
        let found = log.offset_for_timestamp(NOW_MS + i as i64).expect("looked up").expect("found");
        assert_eq!((found.timestamp, found.offset), (NOW_MS + i as i64, Offset(*base)));
    }
    let latest = log.offset_of_max_timestamp().expect("looked up").expect("found");
    assert_eq!((latest.timestamp, latest.offset), (NOW_MS + 159, Offset(318)));
}

#[test]
fn a_log_that_kafka_closed_is_opened_without_a_scan() {
    let dir = tempfile::tempdir().expect("a directory");
    copy_tree(&fixture("kafka-clean"), dir.path());
    let (manager, report) = open_with(&[dir.path()], &config());
    assert!(report.dirs[0].was_clean && report.dirs[0].scanned_bytes == 0 && report.dirs[0].remarkable.is_empty());
    let log = manager.get(&partition()).expect("the log");
    check(&log);
    assert_eq!(append(&log, &batch(1, 10, NOW_MS)).first_offset, Offset(319));
}

#[test]
fn a_log_that_kafka_left_in_a_crash_is_recovered() {
    let dir = tempfile::tempdir().expect("a directory");
    copy_tree(&fixture("kafka-crash"), dir.path());
    let (manager, report) = open_with(&[dir.path()], &config());
    assert!(!report.dirs[0].was_clean && report.dirs[0].failed.is_empty() && report.dirs[0].remarkable.is_empty());
    let log = manager.get(&partition()).expect("the log");
    check(&log);
    assert_eq!(append(&log, &batch(1, 10, NOW_MS)).first_offset, Offset(319));
}

#[test]
fn the_same_batches_give_the_same_files_as_kafka_writes() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open_with(&[dir.path()], &config());
    let log = manager.get_or_create(&partition(), std::sync::Arc::new(config()), creation()).expect("created");
    let original = fixture("kafka-clean").join("kafka-0");
    for (name, bytes) in contents(&original).iter().filter(|(name, _)| name.ends_with(".log")) {
        let bytes = Bytes::from(bytes.clone());
        for batch in Batches::new(&bytes) {
            let batch = bytes.slice_ref(batch.unwrap_or_else(|error| panic!("{name}: {error}")).bytes());
            log.append_as_follower(&batch, NOW_MS).expect("appended");
        }
    }
    manager.close();
    let (ours, kafkas) = (contents(&log.path()), contents(&original));
    assert_eq!(ours.keys().collect::<Vec<_>>(), kafkas.keys().collect::<Vec<_>>());
    for (name, bytes) in kafkas.iter().filter(|(name, _)| *name != "partition.metadata") {
        assert!(ours.get(name) == Some(bytes), "{name} differs");
    }
}

fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).expect("listed").flatten();
    entries.map(|e| (e.file_name().into_string().expect("a name"), fs::read(e.path()).expect("read"))).collect()
}
