//! Truncation, DeleteRecords, retention.

use whimbrel_model::{LeaderEpoch, Offset};
use whimbrel_storage::{LogConfig, ReadError, ReadMode, StorageError};

use crate::helpers::*;

fn filled(
    dir: &std::path::Path,
    config: &LogConfig,
) -> (std::sync::Arc<whimbrel_storage::LogManager>, std::sync::Arc<whimbrel_storage::Log>) {
    let (manager, _) = open_with(&[dir], config);
    let log = create(&manager, 0, config);
    for i in 0..40 {
        let how = whimbrel_storage::LeaderAppend { leader_epoch: LeaderEpoch(i / 10), ..leader() };
        log.append_as_leader(&batch(3, 40, NOW_MS + i64::from(i)), how).expect("appended");
    }
    log.set_high_watermark(Offset(120));
    (manager, log)
}

#[test]
fn every_truncation_leaves_a_log_that_goes_on_from_there() {
    for target in [0, 1, 2, 3, 40, 60, 61, 62, 63, 119, 120, 500] {
        let dir = tempfile::tempdir().expect("a directory");
        let config = small_segments(1500);
        let (manager, log) = filled(dir.path(), &config);
        assert_eq!(log.truncate_to(Offset(target), NOW_MS).expect("truncated"), target < 120);
        let end = target.min(120);
        assert_eq!((log.log_end_offset(), log.high_watermark()), (Offset(end), Offset(end)));
        assert!(log.flushed_offset() <= Offset(end));
        let whole: Vec<_> = (0..end / 3).map(|i| (3 * i, 3 * i + 2)).collect();
        assert_eq!(read_all(&log, 0), whole, "after truncating to {target}");
        let epoch = (end - 1).max(0) / 30;
        assert_eq!(log.latest_epoch(), (0 < end).then_some(LeaderEpoch(epoch as i32)));
        append_at_epoch(&log, 9);
        assert_eq!(read_all(&log, 0).last(), Some(&(end, end + 2)));
        assert_eq!(log.offset_for_leader_epoch(LeaderEpoch(9)), Some((LeaderEpoch(9), Offset(end + 3))));
        let before = read_all(&log, 0);
        manager.close();
        drop((log, manager));
        let (manager, report) = open_with(&[dir.path()], &config);
        assert!(report.dirs[0].failed.is_empty() && report.dirs[0].remarkable.is_empty(), "{report:?}");
        assert_eq!(read_all(&manager.get(&tp(0)).expect("the log"), 0), before);
    }
}

fn append_at_epoch(log: &std::sync::Arc<whimbrel_storage::Log>, epoch: i32) {
    let how = whimbrel_storage::LeaderAppend { leader_epoch: LeaderEpoch(epoch), ..leader() };
    log.append_as_leader(&batch(3, 40, NOW_MS), how).expect("appended");
}

/// A clean start leaves a snapshot that holds one batch of the producer; a truncation behind it goes back to it.
#[test]
fn the_last_five_batches_of_a_producer_are_duplicates_after_a_truncation() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let log = create(&manager, 0, &LogConfig::default());
    for sequence in 0..20 {
        append(&log, &producer_batch(7, 0, sequence, 1));
    }
    manager.close();
    drop((log, manager));
    let (manager, _) = open(dir.path());
    let log = manager.get(&tp(0)).expect("the log");
    append(&log, &producer_batch(7, 0, 20, 1));
    append(&log, &producer_batch(7, 0, 21, 1));
    log.truncate_to(Offset(21), NOW_MS).expect("truncated");
    for sequence in 16..21 {
        let again = append(&log, &producer_batch(7, 0, sequence, 1));
        assert_eq!((again.first_offset, again.is_duplicate), (Offset(i64::from(sequence)), true));
    }
    assert!(log.append_as_leader(&producer_batch(7, 0, 15, 1), leader()).is_err());
    assert_eq!(append(&log, &producer_batch(7, 0, 21, 1)).first_offset, Offset(21));
}

#[test]
fn producers_are_as_they_were_at_the_truncation_point() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = small_segments(600);
    let (manager, _) = open_with(&[dir.path()], &config);
    let log = create(&manager, 0, &config);
    for i in 0..20 {
        append(&log, &producer_batch(7, 0, 3 * i, 3));
    }
    log.truncate_to(Offset(30), NOW_MS).expect("truncated");
    assert!(append(&log, &producer_batch(7, 0, 27, 3)).is_duplicate);
    assert!(log.append_as_leader(&producer_batch(7, 0, 33, 3), leader()).is_err());
    assert_eq!(append(&log, &producer_batch(7, 0, 30, 3)).first_offset, Offset(30));
}

#[test]
fn a_full_truncation_starts_anew_anywhere() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_manager, log) = filled(dir.path(), &small_segments(1500));
    for target in [1000, 5, 5, 0] {
        log.truncate_fully_and_start_at(Offset(target)).expect("truncated");
        assert_eq!(
            (log.log_start_offset(), log.log_end_offset(), log.high_watermark()),
            (Offset(target), Offset(target), Offset(target))
        );
        assert_eq!((log.segment_count(), log.latest_epoch()), (1, None));
        assert_eq!(append(&log, &batch(2, 10, NOW_MS)).first_offset, Offset(target));
        assert_eq!(read_all(&log, target), [(target, target + 1)]);
    }
}

#[test]
fn deleted_records_cannot_be_read_and_their_segments_go() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = small_segments(1500);
    let (manager, log) = filled(dir.path(), &config);
    log.set_high_watermark(Offset(100));
    assert!(matches!(log.delete_records_before(Offset(101)), Err(StorageError::Invalid { .. })));
    assert_eq!(log.delete_records_before(Offset(50)).expect("deleted"), Offset(50));
    assert_eq!(log.delete_records_before(Offset(20)).expect("no effect"), Offset(50));
    assert!(matches!(
        log.read(Offset(49), Offset(100), 100, true, ReadMode::MayBlock),
        Err(ReadError::OffsetOutOfRange { .. })
    ));
    assert_eq!(log.earliest().leader_epoch, Some(LeaderEpoch(1)));
    let segments = log.segment_count();
    let totals = manager.retention_pass(NOW_MS);
    assert!(0 < totals.segments && log.segment_count() == segments - totals.segments);
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(50), Offset(120)));
    assert_eq!(read_all(&log, 50).first(), Some(&(48, 50)));
    let deleted = || {
        std::fs::read_dir(log.path())
            .expect("listed")
            .filter(|e| e.as_ref().is_ok_and(|e| e.path().extension().is_some_and(|x| x == "deleted")))
            .count()
    };
    assert_eq!(deleted(), 3 * totals.segments);
    assert_eq!(manager.next_deletion_ms(), Some(NOW_MS + 60_000));
    manager.deletion_pass(NOW_MS + 60_000);
    assert_eq!(deleted(), 0);
    manager.checkpoint_log_starts();
    manager.close();
    drop((log, manager));
    let (manager, _) = open_with(&[dir.path()], &config);
    assert_eq!(manager.get(&tp(0)).expect("the log").log_start_offset(), Offset(50));
}

#[test]
fn retention_by_size_keeps_at_least_the_limit_and_never_passes_the_high_watermark() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = LogConfig { retention_bytes: 4000, retention_ms: -1, ..small_segments(1500) };
    let (manager, log) = filled(dir.path(), &config);
    let before = log.size_bytes();
    log.set_high_watermark(Offset(0));
    assert_eq!(manager.retention_pass(NOW_MS).segments, 0);
    log.set_high_watermark(Offset(120));
    assert!(0 < manager.retention_pass(NOW_MS).segments);
    assert!(4000 <= log.size_bytes() && log.size_bytes() < 4000 + 1500 && log.size_bytes() < before);
    assert_eq!(read_all(&log, log.log_start_offset().0).last(), Some(&(117, 119)));
}

#[test]
fn retention_by_time_empties_an_old_log_and_it_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = LogConfig { retention_ms: 1000, ..small_segments(1500) };
    let (manager, log) = filled(dir.path(), &config);
    assert_eq!(manager.retention_pass(NOW_MS + 1000).segments, 0);
    let all = log.segment_count();
    assert_eq!(manager.retention_pass(NOW_MS + 1040).segments, all);
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.segment_count()), (Offset(120), Offset(120), 1));
    assert_eq!(manager.retention_pass(NOW_MS + 10_000_000).segments, 0, "an empty segment stays");
    assert_eq!(append(&log, &batch(3, 40, NOW_MS)).first_offset, Offset(120));
    let compacted = LogConfig { delete: false, compact: true, ..config };
    log.set_config(std::sync::Arc::new(compacted));
    log.set_high_watermark(Offset(123));
    assert_eq!(manager.retention_pass(NOW_MS + 10_000_000).segments, 0);
}

#[test]
fn segments_roll_by_time_and_by_index_fullness() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let config = LogConfig { segment_ms: 1000, ..LogConfig::default() };
    let log = create(&manager, 0, &config);
    append(&log, &batch(1, 10, NOW_MS));
    append(&log, &batch(1, 10, NOW_MS + 1000));
    assert_eq!(log.segment_count(), 1);
    append(&log, &batch(1, 10, NOW_MS + 1001));
    assert_eq!(log.segment_count(), 2);
    let config = LogConfig { segment_index_bytes: 10 * 8, index_interval_bytes: 0, ..LogConfig::default() };
    let log = create(&manager, 1, &config);
    for i in 0..30 {
        append(&log, &batch(1, 10, NOW_MS + i));
    }
    assert!(3 < log.segment_count());
    assert_eq!(read_all(&log, 0).len(), 30);
    for index in std::fs::read_dir(log.path()).expect("listed").flatten() {
        if index.path().extension().is_some_and(|e| e == "index" || e == "timeindex") {
            assert!(index.metadata().expect("a size").len() <= 80);
        }
    }
}

#[test]
fn gaps_of_compaction_are_read_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = small_segments(400);
    let (manager, _) = open_with(&[dir.path()], &config);
    let log = create(&manager, 0, &config);
    for base in [0, 10, 500, 3_000_000_000, 3_000_000_010] {
        log.append_as_follower(&replica_batch(base, 1, 3), NOW_MS).expect("appended");
    }
    assert_eq!(read_all(&log, 5).iter().map(|b| b.0).collect::<Vec<_>>(), [10, 500, 3_000_000_000, 3_000_000_010]);
    assert_eq!(read_all(&log, 2_000_000_000).len(), 2);
    assert_eq!(log.log_end_offset(), Offset(3_000_000_013));
}

#[test]
fn a_truncation_through_the_manager_lowers_the_recovery_point_on_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = small_segments(1500);
    let (manager, log) = filled(dir.path(), &config);
    let flushes = std::sync::Arc::new(Flushes::default());
    manager.set_listener(flushes.clone());
    if !log.flush_up_to(Offset(120)) {
        flushes.wait_for(&tp(0), Offset(120));
    }
    manager.checkpoint_recovery_points();
    manager.truncate(&[(tp(0), Offset(30)), (tp(7), Offset(1))], NOW_MS).expect("truncated");
    assert_eq!((log.log_end_offset(), log.flushed_offset()), (Offset(30), Offset(30)));
    let text = std::fs::read_to_string(dir.path().join("recovery-point-offset-checkpoint")).expect("read");
    assert_eq!(text, "0\n1\ntopic 0 30\n");
}

/// As the fetchers of several leaders do when a broker comes back.
#[test]
fn truncations_of_several_threads_write_one_checkpoint_after_the_other() {
    const ROUNDS: i64 = 40;
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let truncate_again_and_again = &|partition: i32| {
        let log = create(&manager, partition, &LogConfig::default());
        for round in 0..ROUNDS {
            append(&log, &batch(2, 10, NOW_MS));
            if !log.flush_up_to(log.log_end_offset()) {
                while log.flushed_offset() < log.log_end_offset() {
                    std::thread::yield_now();
                }
            }
            manager.truncate(&[(tp(partition), Offset(round))], NOW_MS).expect("the directory stays in use");
            append(&log, &batch(1, 10, NOW_MS));
        }
    };
    std::thread::scope(|scope| {
        for partition in 0..4 {
            scope.spawn(move || truncate_again_and_again(partition));
        }
    });
    assert_eq!(manager.all().len(), 4);
}

#[test]
fn retention_and_flushes_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = LogConfig { retention_bytes: 1000, retention_ms: -1, ..small_segments(400) };
    let manager_config = whimbrel_storage::LogManagerConfig {
        open_files_max: 1,
        ..whimbrel_storage::LogManagerConfig::new(vec![dir.path().into()])
    };
    let (manager, _) = whimbrel_storage::LogManager::open(manager_config, NOW_MS).expect("opened");
    let log = create(&manager, 0, &config);
    for _ in 0..300 {
        append(&log, &batch(3, 40, NOW_MS));
        log.request_flush();
        log.set_high_watermark(log.log_end_offset());
        manager.retention_pass(NOW_MS);
    }
    assert_eq!(manager.dirs()[0].offline, None);
    assert_eq!(read_all(&log, log.log_start_offset().0).last(), Some(&(897, 899)));
}
