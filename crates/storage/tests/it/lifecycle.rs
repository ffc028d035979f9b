//! Starts, stops, deletion, flushes.

use std::sync::Arc;

use whimbrel_model::{LeaderEpoch, Offset};
use whimbrel_storage::{LogConfig, LogManager, LogManagerConfig, OpenError, ReadMode, StorageError};

use crate::helpers::*;

#[test]
fn a_clean_stop_leaves_everything_for_the_next_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = small_segments(2000);
    let (manager, _) = open(dir.path());
    let log = create(&manager, 0, &config);
    for _ in 0..20 {
        append(&log, &batch(3, 40, NOW_MS));
    }
    append(&log, &producer_batch(7, 0, 0, 3));
    log.set_high_watermark(Offset(60));
    manager.close();
    assert!(dir.path().join(".kafka_cleanshutdown").exists());
    drop((log, manager));
    let (manager, report) = open_with(&[dir.path()], &config);
    assert!(report.dirs[0].was_clean && report.dirs[0].failed.is_empty(), "{report:?}");
    assert_eq!(report.dirs[0].scanned_bytes, 0);
    assert!(!dir.path().join(".kafka_cleanshutdown").exists());
    let log = manager.get(&tp(0)).expect("the log");
    assert_eq!(
        (log.log_end_offset(), log.high_watermark(), log.flushed_offset()),
        (Offset(63), Offset(60), Offset(63))
    );
    assert_eq!(log.topic_id(), Some(ID));
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(0)));
    assert_eq!(read_all(&log, 0).len(), 21);
    assert!(append(&log, &producer_batch(7, 0, 0, 3)).is_duplicate);
    assert_eq!(append(&log, &producer_batch(7, 0, 3, 1)).first_offset, Offset(63));
    assert_eq!(log.offset_for_timestamp(NOW_MS).expect("found").expect("found").offset, Offset(0));
}

#[test]
fn a_crash_loses_nothing_that_reached_the_page_cache() {
    let dir = tempfile::tempdir().expect("a directory");
    let copy = tempfile::tempdir().expect("a directory");
    let config = small_segments(2000);
    let (manager, _) = open(dir.path());
    let log = create(&manager, 0, &config);
    for _ in 0..30 {
        append(&log, &batch(3, 40, NOW_MS));
    }
    append(&log, &producer_batch(7, 0, 0, 3));
    manager.checkpoint_recovery_points();
    copy_tree(dir.path(), copy.path());
    let (manager, report) = open_with(&[copy.path()], &config);
    assert!(!report.dirs[0].was_clean && report.dirs[0].failed.is_empty(), "{report:?}");
    let log = manager.get(&tp(0)).expect("the log");
    assert_eq!(log.log_end_offset(), Offset(93));
    assert_eq!(read_all(&log, 0).len(), 31);
    assert!(append(&log, &producer_batch(7, 0, 0, 3)).is_duplicate);
}

#[test]
fn a_flush_is_heard_of_and_covers_what_was_appended() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let flushes = Arc::new(Flushes::default());
    manager.set_listener(flushes.clone());
    let log = create(&manager, 0, &LogConfig::default());
    append(&log, &batch(3, 40, NOW_MS));
    assert!(!log.flush_up_to(Offset(3)));
    flushes.wait_for(&tp(0), Offset(3));
    assert!(log.flush_up_to(Offset(3)));
    let every = LogConfig { flush_messages: 1, ..LogConfig::default() };
    log.set_config(Arc::new(every));
    append(&log, &batch(3, 40, NOW_MS));
    flushes.wait_for(&tp(0), Offset(6));
    assert!(1 <= manager.dirs()[0].flushes);
}

/// More logs than threads that sync, and each is asked for again while it is synced.
#[test]
fn flushes_of_many_logs_at_a_time_are_all_heard_of() {
    const ROUNDS: i64 = 30;
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let flushes = Arc::new(Flushes::default());
    manager.set_listener(flushes.clone());
    let logs: Vec<_> = (0..9).map(|i| create(&manager, i, &LogConfig::default())).collect();
    std::thread::scope(|scope| {
        for logs in logs.chunks(3) {
            let flushes = &flushes;
            scope.spawn(move || {
                for round in 1..=ROUNDS {
                    for log in logs {
                        append(log, &batch(1, 40, NOW_MS));
                        log.request_flush();
                        append(log, &batch(1, 40, NOW_MS));
                        log.request_flush();
                    }
                    for log in logs {
                        flushes.wait_for(log.topic_partition(), Offset(2 * round));
                        assert_eq!(log.flushed_offset(), Offset(2 * round));
                    }
                }
            });
        }
    });
    manager.close();
}

#[test]
fn a_directory_in_use_is_refused_by_name_of_its_holder() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = LogManagerConfig { holder: "127.0.0.1:9092".into(), ..LogManagerConfig::new(vec![dir.path().into()]) };
    let (manager, _) = LogManager::open(config.clone(), NOW_MS).expect("opened");
    match LogManager::open(config.clone(), NOW_MS) {
        Err(OpenError::Locked { holder, .. }) => {
            assert!(holder.contains("127.0.0.1:9092") && holder.contains(&std::process::id().to_string()), "{holder}");
        }
        other => panic!("{:?}", other.map(|(_, report)| report)),
    }
    manager.close();
    drop(manager);
    LogManager::open(config, NOW_MS).expect("the lock is free again");
}

#[test]
fn a_deleted_log_is_gone_and_its_files_follow_later() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let log = create(&manager, 0, &LogConfig::default());
    append(&log, &batch(3, 40, NOW_MS));
    manager.delete(&[tp(0), tp(5)], NOW_MS).expect("deleted");
    assert!(manager.get(&tp(0)).is_none());
    let closed = log.append_as_leader(&batch(1, 1, NOW_MS), leader());
    assert!(closed.is_err() && log.read(Offset(0), Offset(3), 100, true, ReadMode::MayBlock).is_err());
    // Also at the log's end, where followers wait: who finds nothing there asks again.
    assert!(log.read(Offset(3), Offset(3), 100, true, ReadMode::MayBlock).is_err());
    let again = create(&manager, 0, &LogConfig::default());
    assert_eq!(again.log_end_offset(), Offset(0));
    let dirs = || {
        std::fs::read_dir(dir.path()).expect("listed").filter(|e| e.as_ref().is_ok_and(|e| e.path().is_dir())).count()
    };
    assert_eq!((dirs(), manager.deletion_pass(NOW_MS)), (2, 0));
    assert_eq!((manager.deletion_pass(NOW_MS + 60_000), dirs()), (1, 1));
}

#[test]
fn new_replicas_go_to_the_emptiest_directory() {
    let (a, b) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let (manager, _) = open_with(&[a.path(), b.path()], &LogConfig::default());
    for partition in 0..6 {
        create(&manager, partition, &LogConfig::default());
    }
    let in_a = manager.all().iter().filter(|log| log.parent_dir() == a.path()).count();
    assert_eq!(in_a, 3);
    manager.take_offline(a.path(), "for a test");
    assert!(matches!(
        manager.get_or_create(&tp(9), Arc::default(), whimbrel_storage::Creation { is_new: false, ..creation() }),
        Err(StorageError::Offline { .. })
    ));
    assert_eq!(create(&manager, 10, &LogConfig::default()).parent_dir(), b.path());
}
