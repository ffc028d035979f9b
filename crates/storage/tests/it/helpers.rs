//! Batches, managers and listeners for the tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use whimbrel_model::record::{BatchBuilder, BatchOptions, Batches, Header};
use whimbrel_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicPartition, Uuid};
use whimbrel_storage::{
    AppendInfo, AppendOrigin, Creation, LeaderAppend, LoadReport, Log, LogConfig, LogManager, LogManagerConfig,
    ReadMode, StorageListener,
};

pub const NOW_MS: i64 = 1_700_000_000_000;
pub const ID: Uuid = Uuid([9; 16]);

pub fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("topic", partition)
}

/// A batch of `count` records of about `size` bytes each, all with `timestamp`.
pub fn batch(count: usize, size: usize, timestamp: i64) -> Bytes {
    batch_with(BatchOptions::default(), count, size, timestamp)
}

pub fn batch_with(options: BatchOptions, count: usize, size: usize, timestamp: i64) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for i in 0..count {
        let value = vec![i as u8; size];
        builder.append(timestamp, None, Some(&value), std::iter::empty::<Header<'_>>()).expect("room");
    }
    builder.build().expect("a batch")
}

pub fn producer_batch(producer: i64, epoch: i16, sequence: i32, count: usize) -> Bytes {
    let options = BatchOptions {
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: sequence,
        ..BatchOptions::default()
    };
    batch_with(options, count, 10, NOW_MS)
}

pub fn replica_batch(base: i64, epoch: i32, count: usize) -> Bytes {
    let options = BatchOptions {
        base_offset: Offset(base),
        partition_leader_epoch: LeaderEpoch(epoch),
        ..BatchOptions::default()
    };
    batch_with(options, count, 10, NOW_MS)
}

pub fn small_segments(bytes: u32) -> LogConfig {
    let mut config = LogConfig { segment_bytes: bytes, index_interval_bytes: 200, ..LogConfig::default() };
    config.rules.segment_bytes = bytes as usize;
    config
}

pub fn open_with(dirs: &[&Path], log: &LogConfig) -> (Arc<LogManager>, LoadReport) {
    let dirs: Vec<PathBuf> = dirs.iter().map(|dir| dir.to_path_buf()).collect();
    let config = LogManagerConfig { default_log: log.clone(), ..LogManagerConfig::new(dirs) };
    LogManager::open(config, NOW_MS).expect("opened")
}

pub fn open(dir: &Path) -> (Arc<LogManager>, LoadReport) {
    open_with(&[dir], &LogConfig::default())
}

pub fn creation() -> Creation {
    Creation { topic_id: Some(ID), is_new: true, now_ms: NOW_MS }
}

pub fn create(manager: &LogManager, partition: i32, config: &LogConfig) -> Arc<Log> {
    manager.get_or_create(&tp(partition), Arc::new(config.clone()), creation()).expect("created")
}

pub fn leader() -> LeaderAppend {
    LeaderAppend { leader_epoch: LeaderEpoch(0), origin: AppendOrigin::Client, now_ms: NOW_MS }
}

pub fn append(log: &Arc<Log>, records: &Bytes) -> AppendInfo {
    log.append_as_leader(records, leader()).expect("appended")
}

/// All batches from `from` to the end as (base, last) offsets, read in chunks.
pub fn read_all(log: &Arc<Log>, from: i64) -> Vec<(i64, i64)> {
    let mut offsets = Vec::new();
    let mut next = Offset(from);
    loop {
        let result = log.read(next, log.log_end_offset(), 1000, true, ReadMode::MayBlock).expect("read");
        if result.records.is_empty() {
            return offsets;
        }
        for batch in Batches::new(&result.records.into_bytes()) {
            let batch = batch.expect("a batch");
            batch.verify_crc().expect("intact");
            offsets.push((batch.header.base_offset.0, batch.header.last_offset().0));
        }
        assert!(next < result.next_offset, "no progress at {next}");
        next = result.next_offset;
    }
}

/// Flushed offsets, and why directories went offline.
type Seen = (Vec<(TopicPartition, Offset)>, Vec<String>);

/// Waits for flushes; remembers failures.
#[derive(Default)]
pub struct Flushes {
    seen: Mutex<Seen>,
    changed: Condvar,
}

impl Flushes {
    pub fn wait_for(&self, partition: &TopicPartition, offset: Offset) {
        self.wait(|seen| seen.0.iter().any(|(p, o)| p == partition && offset <= *o));
    }

    pub fn wait_offline(&self) -> String {
        self.wait(|seen| !seen.1.is_empty());
        self.seen.lock().1[0].clone()
    }

    fn wait(&self, done: impl Fn(&Seen) -> bool) {
        let mut seen = self.seen.lock();
        while !done(&seen) {
            let timed_out = self.changed.wait_for(&mut seen, Duration::from_secs(30)).timed_out();
            assert!(!timed_out, "nothing was heard for 30 s");
        }
    }
}

impl StorageListener for Flushes {
    fn flushed(&self, partition: &TopicPartition, flushed: Offset) {
        self.seen.lock().0.push((partition.clone(), flushed));
        self.changed.notify_all();
    }

    fn dir_offline(&self, _dir: &Path, reason: &str) {
        self.seen.lock().1.push(reason.to_owned());
        self.changed.notify_all();
    }
}

/// Copies a directory tree, as a crash would leave it.
pub fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("created");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}
