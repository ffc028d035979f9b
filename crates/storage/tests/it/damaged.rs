//! Logs that are damaged below the recovery point: set aside, deleted, found again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use whimbrel_model::Offset;
use whimbrel_storage::{Log, LogConfig, LogManager, LogManagerConfig, SetAsideError, StorageError};

use crate::helpers::*;

const BATCHES: usize = 10;

/// A directory after a crash: partition 0 with ten batches, all flushed, the fourth of them without a length; and
/// partition 1, which is whole.
fn damaged() -> tempfile::TempDir {
    let (dir, copy) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let (manager, _) = open(dir.path());
    let flushes = Arc::new(Flushes::default());
    manager.set_listener(flushes.clone());
    for partition in [0, 1] {
        let log = create(&manager, partition, &LogConfig::default());
        for i in 0..BATCHES {
            append(&log, &batch(3, 40, NOW_MS + i as i64));
        }
        log.advance_high_watermark(log.log_end_offset());
        log.delete_records_before(Offset(1)).expect("the start moves");
        if !log.flush_up_to(log.log_end_offset()) {
            flushes.wait_for(log.topic_partition(), log.log_end_offset());
        }
    }
    manager.checkpoint_recovery_points();
    manager.checkpoint_log_starts();
    manager.checkpoint_high_watermarks();
    copy_tree(dir.path(), copy.path());
    manager.close();
    damage(copy.path());
    copy
}

fn damage(dir: &Path) {
    let file = dir.join("topic-0/00000000000000000000.log");
    let mut bytes = fs::read(&file).expect("read");
    let at = 3 * batch(3, 40, NOW_MS).len() + 8;
    bytes[at] ^= 0x80;
    fs::write(&file, bytes).expect("written");
}

/// The names of the copies that were set aside.
fn copies(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).expect("listed").map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.to_string_lossy().ends_with("-stray")).collect()
}

fn set_aside(manager: &LogManager) -> Result<Arc<Log>, SetAsideError> {
    manager.set_aside(&tp(0), Arc::new(LogConfig::default()), Some(ID), NOW_MS)
}

fn lines(dir: &Path, checkpoint: &str) -> Vec<String> {
    fs::read_to_string(dir.join(checkpoint)).expect("a checkpoint").lines().map(str::to_owned).collect()
}

#[test]
fn a_damaged_log_is_set_aside_whole_and_an_empty_one_takes_its_place() {
    let dir = damaged();
    let bytes = fs::read(dir.path().join("topic-0/00000000000000000000.log")).expect("read");
    let (manager, report) = open(dir.path());
    assert!(matches!(report.dirs[0].failed[0].1, StorageError::Damaged { .. }));
    assert!(manager.is_damaged(&tp(0)) && !manager.is_damaged(&tp(1)) && manager.damaged_count() == 1);
    assert!(matches!(
        manager.set_aside(&tp(1), Arc::new(LogConfig::default()), Some(ID), NOW_MS),
        Err(SetAsideError::NotDamaged { .. })
    ));

    let log = set_aside(&manager).expect("set aside");
    assert!(!manager.is_damaged(&tp(0)) && manager.damaged_count() == 0);
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(0), Offset(0)));
    assert_eq!((log.topic_id(), log.high_watermark()), (Some(ID), Offset(0)));
    let [copy] = &copies(dir.path())[..] else { panic!("one copy") };
    assert_eq!(fs::read(copy.join("00000000000000000000.log")).expect("read"), bytes, "the copy was changed");
    for checkpoint in ["recovery-point-offset-checkpoint", "replication-offset-checkpoint"] {
        assert!(!lines(dir.path(), checkpoint).iter().any(|line| line.starts_with("topic 0 3")), "{checkpoint}");
    }
    append(&log, &batch(3, 40, NOW_MS));
    manager.close();

    let (manager, report) = open(dir.path());
    assert!(report.dirs[0].was_clean && report.dirs[0].failed.is_empty());
    assert_eq!(read_all(&manager.get(&tp(0)).expect("the log"), 0), [(0, 2)]);
    assert_eq!(manager.get(&tp(1)).expect("the other").log_end_offset(), Offset(3 * BATCHES as i64));
    manager.deletion_pass(i64::MAX);
    assert_eq!(copies(dir.path()).len(), 1, "nothing removes a copy");
}

#[test]
fn a_second_copy_waits_until_the_first_is_removed() {
    let dir = damaged();
    let aside = dir.path().join("topic-0.0123456789abcdef-stray");
    fs::create_dir(&aside).expect("created");
    fs::create_dir(dir.path().join("topic-1.0123456789abcdef-stray")).expect("created");
    let (manager, _) = open(dir.path());
    match set_aside(&manager) {
        Err(SetAsideError::CopyExists { path }) => assert_eq!(path, aside),
        other => panic!("{other:?}"),
    }
    assert!(manager.is_damaged(&tp(0)) && dir.path().join("topic-0").is_dir());
    fs::remove_dir(&aside).expect("removed");
    set_aside(&manager).expect("set aside");
}

#[test]
fn without_room_for_another_copy_nothing_is_set_aside() {
    let dir = damaged();
    let config = LogManagerConfig { reserved_bytes: u64::MAX, ..LogManagerConfig::new(vec![dir.path().to_owned()]) };
    let (manager, _) = LogManager::open(config, NOW_MS).expect("opened");
    assert!(matches!(set_aside(&manager), Err(SetAsideError::NoRoom { .. })));
    assert!(manager.is_damaged(&tp(0)) && copies(dir.path()).is_empty());
}

#[test]
fn damage_is_found_again_after_a_stop_in_order() {
    let dir = damaged();
    for _ in 0..2 {
        let (manager, report) = open(dir.path());
        assert!(!report.dirs[0].was_clean);
        assert!(manager.is_damaged(&tp(0)));
        assert_eq!(manager.get(&tp(1)).expect("the other").log_end_offset(), Offset(3 * BATCHES as i64));
        manager.close();
    }
    let (manager, _) = open(dir.path());
    set_aside(&manager).expect("set aside");
    manager.close();
    assert!(open(dir.path()).1.dirs[0].was_clean);
}

#[test]
fn a_crash_between_the_new_name_and_the_new_log_leaves_no_old_checkpoints() {
    let dir = damaged();
    fs::rename(dir.path().join("topic-0"), dir.path().join("topic-0.0123456789abcdef-stray")).expect("renamed");
    let (manager, report) = open(dir.path());
    assert!(report.dirs[0].failed.is_empty() && manager.get(&tp(0)).is_none());
    let log = create(&manager, 0, &LogConfig::default());
    append(&log, &batch(3, 40, NOW_MS));
    // Another crash, before any checkpoint is due.
    let copy = tempfile::tempdir().expect("a directory");
    copy_tree(dir.path(), copy.path());
    manager.close();
    let (manager, report) = open(copy.path());
    assert!(report.dirs[0].failed.is_empty() && report.dirs[0].remarkable.is_empty());
    assert_eq!(read_all(&manager.get(&tp(0)).expect("the log"), 0), [(0, 2)]);
}

#[test]
fn a_damaged_copy_beside_one_in_use_is_left_alone() {
    for is_first in [true, false] {
        let (dir, other) = (damaged(), tempfile::tempdir().expect("a directory"));
        let (manager, _) = open(other.path());
        append(&create(&manager, 0, &LogConfig::default()), &batch(3, 40, NOW_MS));
        manager.close();
        let dirs = if is_first { [dir.path(), other.path()] } else { [other.path(), dir.path()] };
        let (manager, report) = open_with(&dirs, &LogConfig::default());
        assert_eq!(report.dirs.iter().map(|dir| dir.failed.len()).sum::<usize>(), 1);
        assert!(manager.get(&tp(0)).is_some() && !manager.is_damaged(&tp(0)));
        assert!(matches!(set_aside(&manager), Err(SetAsideError::NotDamaged { .. })));
        assert!(copies(dir.path()).is_empty());
        manager.close();
    }
}

#[test]
fn a_damaged_log_of_a_deleted_topic_is_removed() {
    let dir = damaged();
    let (manager, _) = open(dir.path());
    manager.delete(&[tp(0)], NOW_MS).expect("deleted");
    assert!(!manager.is_damaged(&tp(0)) && !dir.path().join("topic-0").exists());
    create(&manager, 0, &LogConfig::default());
    manager.deletion_pass(i64::MAX);
    assert!(copies(dir.path()).is_empty());
    let left =
        fs::read_dir(dir.path()).expect("listed").filter(|e| e.as_ref().is_ok_and(|e| e.path().is_dir())).count();
    assert_eq!(left, 2, "topic-0, which is new, and topic-1");
}

#[test]
fn a_log_that_is_found_damaged_while_it_is_used_is_taken_out_of_use() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let log = create(&manager, 0, &LogConfig::default());
    append(&log, &batch(3, 40, NOW_MS));
    assert!(manager.take_out(&tp(0), "a bad batch") && !manager.take_out(&tp(0), "a bad batch"));
    assert!(log.check_usable().is_err() && manager.get(&tp(0)).is_none() && manager.is_damaged(&tp(0)));
    assert!(manager.get_or_create(&tp(0), Arc::new(LogConfig::default()), creation()).is_err());
    let log = set_aside(&manager).expect("set aside");
    assert_eq!(log.log_end_offset(), Offset(0));
    assert_eq!(copies(dir.path()).len(), 1);
}
