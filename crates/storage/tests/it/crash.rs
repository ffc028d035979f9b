//! What a start makes of files that a crash left in every state.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use whimbrel_model::Offset;
use whimbrel_storage::{Log, LogConfig, LogManager, ReadMode, StorageError};

use crate::helpers::*;

fn config() -> LogConfig {
    small_segments(1500)
}

/// A crashed directory with several segments; flushed up to `flushed` of 20 batches of 3 records.
fn crashed(flushed: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let copy = tempfile::tempdir().expect("a directory");
    let (manager, _) = open_with(&[dir.path()], &config());
    let flushes = Arc::new(Flushes::default());
    manager.set_listener(flushes.clone());
    let log = create(&manager, 0, &config());
    for i in 0..20 {
        if i == flushed && 0 < flushed {
            flush(&log, &flushes);
            manager.checkpoint_recovery_points();
        }
        append(&log, &batch(3, 40, NOW_MS + i as i64));
    }
    // Rolling flushes too: only the checkpoint says what may be relied on.
    copy_tree(dir.path(), copy.path());
    manager.close();
    copy
}

fn flush(log: &Arc<Log>, flushes: &Flushes) {
    let end = log.log_end_offset();
    if !log.flush_up_to(end) {
        flushes.wait_for(log.topic_partition(), end);
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir).expect("listed").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn start(dir: &Path) -> Result<(Arc<LogManager>, Arc<Log>), String> {
    let (manager, report) = open_with(&[dir], &config());
    if let Some((_, error)) = report.dirs[0].failed.first() {
        assert!(manager.get(&tp(0)).is_none() && manager.broken_reason(&tp(0)).is_some());
        return Err(error.to_string());
    }
    let log = manager.get(&tp(0)).expect("the log");
    Ok((manager, log))
}

/// The log works: what is there is a prefix, and more can be appended and read.
fn check_prefix(log: &Arc<Log>) -> usize {
    let batches = read_all(log, 0);
    let expected: Vec<_> = (0..batches.len() as i64).map(|i| (3 * i, 3 * i + 2)).collect();
    assert_eq!(batches, expected);
    assert_eq!(log.log_end_offset(), Offset(3 * batches.len() as i64));
    for i in 0..batches.len() as i64 {
        let found = log.offset_for_timestamp(NOW_MS + i).expect("looked up").expect("found");
        assert_eq!(found.offset, Offset(3 * i));
    }
    append(log, &batch(3, 40, NOW_MS + 1000));
    assert_eq!(read_all(log, 0).len(), batches.len() + 1);
    batches.len()
}

#[test]
fn a_file_cut_anywhere_gives_the_longest_intact_prefix_above_the_recovery_point() {
    let original = crashed(0);
    // Nothing was flushed as far as the checkpoint says, so anything may be missing.
    fs::remove_file(original.path().join("recovery-point-offset-checkpoint")).unwrap_or_default();
    let partition = original.path().join("topic-0");
    let last_log = files(&partition).into_iter().rfind(|f| f.extension().is_some_and(|e| e == "log"));
    let batch_bytes = batch(3, 40, NOW_MS).len() as u64;
    for file in files(&partition) {
        let length = fs::metadata(&file).expect("a file").len();
        let is_inner_log = file.extension().is_some_and(|e| e == "log") && Some(&file) != last_log.as_ref();
        for cut in (0..=length).step_by(if file.extension().is_some_and(|e| e == "log") { 7 } else { 3 }) {
            // Between two batches of an inner segment a lost end looks like the gap that a compaction leaves.
            if is_inner_log && 0 < cut && cut < length && cut % batch_bytes == 0 {
                continue;
            }
            let copy = tempfile::tempdir().expect("a directory");
            copy_tree(original.path(), copy.path());
            let target = copy.path().join("topic-0").join(file.file_name().expect("a name"));
            fs::OpenOptions::new().write(true).open(&target).and_then(|f| f.set_len(cut)).expect("cut");
            let name = target.file_name().and_then(|n| n.to_str()).expect("a name").to_owned();
            match start(copy.path()) {
                Ok((_manager, log)) => {
                    let batches = check_prefix(&log);
                    if !name.ends_with(".log") {
                        assert_eq!(batches, 20, "{name} cut to {cut} lost records");
                    }
                }
                // A topic id that cannot be read must not become another one.
                Err(error) => assert!(name == "partition.metadata", "{name} cut to {cut}: {error}"),
            }
        }
    }
}

#[test]
fn damage_below_the_recovery_point_is_reported_and_nothing_is_cut() {
    let original = crashed(15);
    let logs: Vec<_> = files(&original.path().join("topic-0"))
        .into_iter()
        .filter(|f| f.extension().is_some_and(|e| e == "log"))
        .collect();
    // The segment with the recovery point, in its header chain.
    let (mut reported, mut harmless) = (0, 0);
    for file in &logs {
        let bytes = fs::read(file).expect("read");
        for at in (8..bytes.len()).step_by(61) {
            let copy = tempfile::tempdir().expect("a directory");
            copy_tree(original.path(), copy.path());
            let target = copy.path().join("topic-0").join(file.file_name().expect("a name"));
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x80;
            fs::write(&target, &damaged).expect("written");
            match start(copy.path()) {
                Ok((_manager, log)) => {
                    harmless += 1;
                    assert!(Offset(45) <= log.log_end_offset(), "flushed records are gone");
                    assert!(45 / 3 <= fs::read_dir(copy.path().join("topic-0")).expect("listed").count() as i64 * 10);
                }
                Err(_) => {
                    reported += 1;
                    assert_eq!(fs::read(&target).expect("read"), damaged, "the damaged file was changed");
                }
            }
        }
    }
    assert!(0 < reported && 0 < harmless, "{reported} {harmless}");
}

#[test]
fn a_torn_tail_is_cut_and_the_report_says_so() {
    let original = crashed(15);
    let last = files(&original.path().join("topic-0")).into_iter().rfind(|f| f.extension().is_some_and(|e| e == "log"));
    let last = last.expect("a segment");
    let length = fs::metadata(&last).expect("a file").len();
    fs::OpenOptions::new().write(true).open(&last).and_then(|f| f.set_len(length - 5)).expect("cut");
    let (manager, report) = open_with(&[original.path()], &config());
    let (partition, load) = &report.dirs[0].remarkable[0];
    let cut = load.truncated.as_ref().expect("a cut tail");
    assert_eq!((partition, cut.offset, &cut.path), (&tp(0), Offset(57), &last));
    assert_eq!(check_prefix(&manager.get(&tp(0)).expect("the log")), 19);
}

#[test]
fn indexes_padded_with_zeros_as_kafka_leaves_them_are_understood() {
    for is_clean in [true, false] {
        let original = crashed(15);
        if is_clean {
            let (manager, _) = open_with(&[original.path()], &config());
            manager.close();
        }
        for file in files(&original.path().join("topic-0")) {
            let entry = match file.extension().and_then(|e| e.to_str()) {
                Some("index") => 8,
                Some("timeindex") => 12,
                _ => continue,
            };
            let length = fs::metadata(&file).expect("a file").len();
            fs::OpenOptions::new()
                .write(true)
                .open(&file)
                .and_then(|f| f.set_len(length + 500 * entry))
                .expect("padded");
        }
        let (_manager, log) = start(original.path()).expect("started");
        assert_eq!(check_prefix(&log), 20);
    }
}

#[test]
fn missing_indexes_are_rebuilt_after_a_clean_stop_and_after_a_crash() {
    for is_clean in [true, false] {
        let original = crashed(15);
        if is_clean {
            let (manager, _) = open_with(&[original.path()], &config());
            manager.close();
        }
        for file in files(&original.path().join("topic-0")) {
            if file.extension().is_some_and(|e| e == "index" || e == "timeindex") {
                fs::remove_file(file).expect("removed");
            }
        }
        let (_manager, log) = start(original.path()).expect("started");
        assert_eq!(check_prefix(&log), 20);
    }
}

#[test]
fn leftovers_of_deletions_and_compactions_are_settled() {
    let original = crashed(0);
    let partition = original.path().join("topic-0");
    let first = partition.join("00000000000000000000.log");
    fs::write(partition.join("00000000000000000000.log.deleted"), b"x").expect("written");
    fs::write(partition.join("00000000000000000999.index.cleaned"), b"x").expect("written");
    // A finished compaction of the first segment, not yet in its place.
    fs::copy(&first, partition.join("00000000000000000000.log.swap")).expect("copied");
    fs::write(&first, b"the old one").expect("written");
    let (_manager, log) = start(original.path()).expect("started");
    assert_eq!(check_prefix(&log), 20);
    assert!(
        files(&partition).iter().all(|f| f.extension().is_none_or(|e| e != "swap" && e != "deleted" && e != "cleaned"))
    );
}

#[test]
fn unreadable_checkpoints_and_epochs_are_rebuilt_from_the_batches() {
    let original = crashed(15);
    for name in ["recovery-point-offset-checkpoint", "replication-offset-checkpoint", "log-start-offset-checkpoint"] {
        fs::write(original.path().join(name), b"\x00\x01garbage").expect("written");
    }
    fs::write(original.path().join("topic-0/leader-epoch-checkpoint"), b"0\n5\n").expect("written");
    let (manager, report) = open_with(&[original.path()], &config());
    assert_eq!(report.dirs[0].bad_checkpoints.len(), 3);
    assert!(report.dirs[0].remarkable[0].1.epochs_were_rebuilt);
    let log = manager.get(&tp(0)).expect("the log");
    assert_eq!(log.latest_epoch(), Some(whimbrel_model::LeaderEpoch(0)));
    assert_eq!(check_prefix(&log), 20);
}

#[test]
fn a_log_below_its_start_offset_starts_there_empty() {
    let original = crashed(15);
    fs::write(original.path().join("log-start-offset-checkpoint"), "0\n1\ntopic 0 500\n").expect("written");
    let (manager, report) = open_with(&[original.path()], &config());
    assert!(report.dirs[0].remarkable[0].1.was_below_log_start);
    let log = manager.get(&tp(0)).expect("the log");
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.segment_count()), (Offset(500), Offset(500), 1));
    assert_eq!(append(&log, &batch(3, 40, NOW_MS)).first_offset, Offset(500));
}

#[test]
fn one_damaged_partition_does_not_stop_the_others() {
    let original = crashed(15);
    let (manager, _) = open_with(&[original.path()], &config());
    append(&create(&manager, 1, &config()), &batch(3, 40, NOW_MS));
    manager.checkpoint_recovery_points();
    manager.close();
    drop(manager);
    fs::write(original.path().join("topic-0/partition.metadata"), "nonsense").expect("written");
    let (manager, report) = open_with(&[original.path()], &config());
    assert_eq!(report.dirs[0].failed.len(), 1);
    assert!(matches!(report.dirs[0].failed[0].1, StorageError::Damaged { .. }));
    assert_eq!(manager.get(&tp(1)).expect("the other log").log_end_offset(), Offset(3));
    // It must not be created anew over what may be repaired.
    assert!(manager.get_or_create(&tp(0), Arc::new(config()), creation()).is_err());
    manager.checkpoint_recovery_points();
    manager.close();
    let checkpoint = fs::read_to_string(original.path().join("recovery-point-offset-checkpoint")).expect("read");
    assert!(checkpoint.contains("topic 0 60"), "{checkpoint}");
}

#[test]
fn the_last_five_batches_of_a_producer_are_duplicates_after_two_crashes_in_a_row() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let log = create(&manager, 0, &LogConfig::default());
    for sequence in 0..200 {
        append(&log, &producer_batch(7, 0, sequence, 1));
        append(&log, &producer_batch(8, 0, sequence, 1));
    }
    let mut crashed = tempfile::tempdir().expect("a directory");
    copy_tree(dir.path(), crashed.path());
    manager.close();
    for _ in 0..2 {
        let copy = tempfile::tempdir().expect("a directory");
        let (manager, _) = open(crashed.path());
        let log = manager.get(&tp(0)).expect("the log");
        for sequence in 195..200 {
            let again = append(&log, &producer_batch(7, 0, sequence, 1));
            assert!(again.is_duplicate, "sequence {sequence}");
            assert_eq!(again.first_offset, Offset(2 * i64::from(sequence)));
        }
        // Older ones may be out of order, or known by their sequences; they are not stored again.
        let older = log.append_as_leader(&producer_batch(7, 0, 194, 1), leader());
        assert!(older.map_or(true, |info| info.is_duplicate && info.first_offset == Offset(-1)));
        copy_tree(crashed.path(), copy.path());
        manager.close();
        crashed = copy;
    }
}

#[test]
fn epochs_behind_the_end_count_for_nothing_and_leave_the_file_before_anything_is_appended() {
    let original = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(original.path());
    append(&create(&manager, 0, &LogConfig::default()), &batch(3, 40, NOW_MS));
    let file = |dir: &Path| fs::read_to_string(dir.join("topic-0/leader-epoch-checkpoint")).expect("read");
    let known = |log: &Log| -> Vec<_> { log.epoch_entries().iter().map(|e| (e.epoch.0, e.start.0)).collect() };
    fs::write(original.path().join("topic-0/leader-epoch-checkpoint"), "0\n2\n0 0\n1 5\n").expect("written");

    let crashed = tempfile::tempdir().expect("a directory");
    copy_tree(original.path(), crashed.path());
    let (manager, _) = open(crashed.path());
    let log = manager.get(&tp(0)).expect("the log");
    assert_eq!((known(&log), log.log_end_offset()), (vec![(0, 0)], Offset(3)));
    // Of the epoch that is known already: nothing is noted, yet with these records the file would be wrong.
    append(&log, &batch(3, 40, NOW_MS));
    assert_eq!(file(crashed.path()), "0\n1\n0 0\n");
    let again = tempfile::tempdir().expect("a directory");
    copy_tree(crashed.path(), again.path());
    let (manager, _) = open(again.path());
    let log = manager.get(&tp(0)).expect("the log");
    assert_eq!((known(&log), log.log_end_offset()), (vec![(0, 0)], Offset(6)));
}

#[test]
fn a_leader_of_an_empty_log_finds_its_epoch_in_the_file_after_a_crash() {
    use std::os::unix::fs::MetadataExt;
    let original = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(original.path());
    let lead =
        |log: &Log, epoch| log.assign_epoch_start(whimbrel_model::LeaderEpoch(epoch), Offset(0)).expect("written");
    lead(&create(&manager, 0, &LogConfig::default()), 4);

    let crashed = tempfile::tempdir().expect("a directory");
    copy_tree(original.path(), crashed.path());
    let file = crashed.path().join("topic-0/leader-epoch-checkpoint");
    let inode = || fs::metadata(&file).expect("there").ino();
    let before = inode();
    let (manager, _) = open(crashed.path());
    let log = manager.get(&tp(0)).expect("the log");
    assert_eq!(log.epoch_entries(), []);
    lead(&log, 4);
    assert_eq!((log.epoch_entries().len(), inode()), (1, before));
    // With another epoch it is another file.
    lead(&log, 5);
    assert_eq!(fs::read_to_string(&file).expect("read"), "0\n1\n5 0\n");
    assert_ne!(inode(), before);
}

/// The value of a record in a batch that is large enough to be lent, in bytes.
const LARGE: usize = 20_000;

/// A log of six batches of one record each, the third of which has a wrong checksum.
fn with_a_wrong_checksum(is_large: bool) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open_with(&[dir.path()], &LogConfig::default());
    let log = create(&manager, 0, &LogConfig::default());
    for _ in 0..6 {
        append(&log, &batch(1, if is_large { LARGE } else { 50 }, NOW_MS));
    }
    manager.close();
    let path = dir.path().join("topic-0/00000000000000000000.log");
    let mut bytes = fs::read(&path).expect("read");
    let at = bytes.len() / 6 * 3 - 10;
    bytes[at] ^= 1;
    fs::write(&path, bytes).expect("written");
    dir
}

#[test]
fn a_wrong_checksum_is_met_by_the_first_who_reads_it_and_by_nobody_in_what_is_sent() {
    for is_large in [false, true] {
        let dir = with_a_wrong_checksum(is_large);
        let (_manager, log) = {
            let (manager, _) = open_with(&[dir.path()], &LogConfig::default());
            let log = manager.get(&tp(0)).expect("the log");
            (manager, log)
        };
        let end = log.log_end_offset();
        for mode in [ReadMode::NoWait, ReadMode::MayBlock] {
            // Twice: what was not verified stays so.
            for _ in 0..2 {
                let read = |from| log.read(Offset(from), end, 1 << 20, true, mode);
                assert_eq!(read(0).expect("what comes before").next_offset, Offset(2));
                let error = read(2).expect_err("it is damaged").to_string();
                assert!(error.contains("0.log is damaged at byte") && error.contains("checksum"), "{error}");
                assert_eq!(read(3).expect("what comes after").next_offset, Offset(6));
                let send = |from| log.read_for_sending(Offset(from), end, 1 << 20, true);
                assert_eq!(send(0).expect("what comes before").next_offset, Offset(2));
                assert!(send(2).is_err());
            }
        }
    }
}

#[test]
fn what_was_verified_or_written_by_this_process_is_not_verified_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open_with(&[dir.path()], &LogConfig::default());
    let log = create(&manager, 0, &LogConfig::default());
    let append_three = |log: &Arc<Log>| {
        for _ in 0..3 {
            append(log, &batch(1, LARGE, NOW_MS));
        }
    };
    append_three(&log);
    manager.close();
    let (manager, _) = open_with(&[dir.path()], &LogConfig::default());
    let log = manager.get(&tp(0)).expect("the log");
    append_three(&log);
    let path = dir.path().join("topic-0/00000000000000000000.log");
    let intact = fs::read(&path).expect("read");
    let batch_bytes = intact.len() / 6;
    let damage = |which: usize| {
        let mut bytes = intact.clone();
        bytes[batch_bytes * (which + 1) - 10] ^= 1;
        fs::write(&path, bytes).expect("written");
    };
    let end = log.log_end_offset();
    let read = |from| log.read(Offset(from), end, 1 << 20, true, ReadMode::NoWait).map(|read| read.next_offset.0).ok();
    damage(4);
    assert_eq!(read(3), Some(6), "what was written a moment ago");
    assert_eq!(read(0), Some(4), "with what was not, all of it is looked at");
    damage(1);
    assert_eq!(read(0), Some(6), "it was read before");
    // Who reads from the disk finds it all the same.
    assert!(log.read(Offset(1), end, 1 << 20, true, ReadMode::MayBlock).is_err());
    manager.close();
    let (manager, _) = open_with(&[dir.path()], &LogConfig::default());
    let log = manager.get(&tp(0)).expect("the log");
    assert!(log.read(Offset(1), end, 1 << 20, true, ReadMode::NoWait).is_err());
}
