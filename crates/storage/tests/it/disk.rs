//! Full and failing disks.

use std::sync::Arc;

use whimbrel_model::Offset;
use whimbrel_storage::{AppendError, LogConfig, LogManager, LogManagerConfig, ReadMode, StorageError};

use crate::helpers::*;

#[test]
fn the_reserve_is_kept_and_reads_go_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    append(&create(&manager, 0, &LogConfig::default()), &batch(3, 10, NOW_MS));
    manager.close();
    drop(manager);
    let config = LogManagerConfig { reserved_bytes: u64::MAX, ..LogManagerConfig::new(vec![dir.path().into()]) };
    let (manager, _) = LogManager::open(config, NOW_MS).expect("opened");
    let log = manager.get(&tp(0)).expect("the log");
    let refused = log.append_as_leader(&batch(1, 1, NOW_MS), leader());
    assert!(matches!(refused, Err(AppendError::Storage(StorageError::Full { .. }))), "{refused:?}");
    assert_eq!(log.log_end_offset(), Offset(3));
    assert!(!log.read(Offset(0), Offset(3), 100, true, ReadMode::MayBlock).expect("read").records.is_empty());
    assert!(manager.dirs()[0].offline.is_none());
}

#[test]
fn a_directory_that_fails_takes_only_its_own_logs_with_it() {
    let (a, b) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let (manager, _) = open_with(&[a.path(), b.path()], &LogConfig::default());
    let flushes = Arc::new(Flushes::default());
    manager.set_listener(flushes.clone());
    let logs = [create(&manager, 0, &LogConfig::default()), create(&manager, 1, &LogConfig::default())];
    let (bad, good) = if logs[0].parent_dir() == a.path() { (&logs[0], &logs[1]) } else { (&logs[1], &logs[0]) };
    append(bad, &batch(3, 10, NOW_MS));
    append(good, &batch(3, 10, NOW_MS));
    // Its directory vanishes: the flush cannot sync it.
    std::fs::rename(bad.path(), a.path().join("elsewhere")).expect("renamed");
    bad.request_flush();
    let reason = flushes.wait_offline();
    assert!(reason.contains("topic-"), "{reason}");
    assert!(matches!(
        bad.append_as_leader(&batch(1, 1, NOW_MS), leader()),
        Err(AppendError::Storage(StorageError::Offline { .. }))
    ));
    assert!(bad.read(Offset(0), Offset(3), 100, true, ReadMode::MayBlock).is_err());
    good.request_flush();
    flushes.wait_for(good.topic_partition(), Offset(3));
    append(good, &batch(3, 10, NOW_MS));
}

#[test]
fn open_files_stay_within_their_bound() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = LogManagerConfig { open_files_max: 10, ..LogManagerConfig::new(vec![dir.path().into()]) };
    let (manager, _) = LogManager::open(config, NOW_MS).expect("opened");
    let logs: Vec<_> = (0..50).map(|i| create(&manager, i, &small_segments(500))).collect();
    for round in 0..20 {
        for log in &logs {
            append(log, &batch(3, 40, NOW_MS));
            assert!(manager.open_files() <= 10, "{} open in round {round}", manager.open_files());
        }
    }
    for log in &logs {
        assert_eq!(read_all(log, 0).len(), 20);
        assert_eq!(log.offset_for_timestamp(NOW_MS).expect("looked up").expect("found").offset, Offset(0));
    }
    assert!(manager.open_files() <= 10);
}

#[test]
fn retention_opens_no_file_of_a_log_that_is_empty() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let logs: Vec<_> = (0..5).map(|i| create(&manager, i, &LogConfig::default())).collect();
    manager.retention_pass(NOW_MS);
    assert_eq!(manager.open_files(), 0);
    append(&logs[0], &batch(3, 10, NOW_MS));
    manager.retention_pass(NOW_MS);
    assert_ne!(manager.open_files(), 0, "a log with records has files, and they would be counted");
}
