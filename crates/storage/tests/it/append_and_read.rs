//! Appends, reads and look-ups.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use whimbrel_model::record::{BatchOptions, Batches, EndTxnMarker};
use whimbrel_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use whimbrel_storage::{
    AppendError, AppendOrigin, LeaderAppend, Log, LogConfig, LogManager, ReadError, ReadMode, ReadResult, Sendable,
    StorageError,
};

use crate::helpers::*;

#[test]
fn records_get_consecutive_offsets_and_the_leaders_epoch() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let log = create(&manager, 0, &LogConfig::default());
    let first = append(&log, &batch(3, 10, NOW_MS));
    let second = append(&log, &batch(2, 10, NOW_MS));
    assert_eq!((first.first_offset, first.last_offset), (Offset(0), Offset(2)));
    assert_eq!((second.first_offset, second.last_offset), (Offset(3), Offset(4)));
    assert_eq!(log.log_end_offset(), Offset(5));
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(0)));
    let result = log.read(Offset(4), Offset(5), 10_000, true, ReadMode::MayBlock).expect("read");
    let bases: Vec<_> =
        Batches::new(&result.records.into_bytes()).map(|b| b.expect("a batch").header.base_offset.0).collect();
    assert_eq!((bases, result.next_offset), (vec![3], Offset(5)));
}

#[test]
fn reads_stop_at_the_upper_bound_and_give_at_least_one_batch() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let log = create(&manager, 0, &LogConfig::default());
    for _ in 0..4 {
        append(&log, &batch(10, 100, NOW_MS));
    }
    let read = |from, upper, max, min_one| {
        log.read(Offset(from), Offset(upper), max, min_one, ReadMode::MayBlock)
            .map(|r| (r.records.len(), r.next_offset.0))
    };
    let size = log.size_bytes() as usize / 4;
    assert_eq!(read(0, 20, 1 << 20, true).expect("read"), (2 * size, 20));
    assert_eq!(read(0, 40, 1, true).expect("read"), (size, 10));
    assert_eq!(read(0, 40, 1, false).expect("read"), (0, 0));
    assert_eq!(read(0, 40, 3 * size - 1, false).expect("read"), (2 * size, 20));
    assert_eq!(read(20, 20, 1 << 20, true).expect("read"), (0, 20));
    assert_eq!(read(40, 40, 1 << 20, true).expect("read"), (0, 40));
    assert!(matches!(read(41, 41, 1, true), Err(ReadError::OffsetOutOfRange { .. })));
    assert!(matches!(read(-1, 40, 1, true), Err(ReadError::OffsetOutOfRange { .. })));
}

#[test]
fn segments_roll_by_size_and_every_offset_stays_readable() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let log = create(&manager, 0, &small_segments(1000));
    for i in 0..50 {
        append(&log, &batch(3, 20, NOW_MS + i));
    }
    assert!(5 < log.segment_count());
    let all: Vec<_> = (0..50).map(|i| (3 * i, 3 * i + 2)).collect();
    assert_eq!(read_all(&log, 0), all);
    for from in 0..150 {
        let result = log.read(Offset(from), Offset(150), 1, true, ReadMode::MayBlock).expect("read");
        let base =
            Batches::new(&result.records.into_bytes()).next().expect("one").expect("a batch").header.base_offset.0;
        assert_eq!(base, from / 3 * 3);
    }
}

#[test]
fn offsets_are_found_by_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let log = create(&manager, 0, &small_segments(1000));
    for i in 0..60 {
        append(&log, &batch(2, 30, NOW_MS - 1000 + 10 * i));
    }
    for i in 0..60 {
        let found = log.offset_for_timestamp(NOW_MS - 1000 + 10 * i - 5).expect("looked up").expect("found");
        assert_eq!((found.timestamp, found.offset), (NOW_MS - 1000 + 10 * i, Offset(2 * i)), "{i}");
        assert_eq!(found.leader_epoch, Some(LeaderEpoch(0)));
    }
    assert_eq!(log.offset_for_timestamp(NOW_MS).expect("looked up"), None);
    append(&log, &batch(2, 30, NOW_MS - 5000));
    let max = log.offset_of_max_timestamp().expect("looked up").expect("found");
    assert_eq!((max.timestamp, max.offset), (NOW_MS - 1000 + 590, Offset(118)));
    assert_eq!(log.earliest().offset, Offset(0));
    assert_eq!(log.latest().offset, Offset(122));
}

#[test]
fn a_repeated_batch_of_an_idempotent_producer_is_answered_with_its_offsets() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let log = create(&manager, 0, &LogConfig::default());
    append(&log, &batch(5, 1, NOW_MS));
    let first = append(&log, &producer_batch(7, 0, 0, 3));
    append(&log, &producer_batch(7, 0, 3, 2));
    let again = append(&log, &producer_batch(7, 0, 0, 3));
    assert!(again.is_duplicate && !first.is_duplicate);
    assert_eq!((again.first_offset, again.last_offset), (Offset(5), Offset(7)));
    assert_eq!(log.log_end_offset(), Offset(10));
    let gap = log.append_as_leader(&producer_batch(7, 0, 9, 1), leader());
    assert!(matches!(gap, Err(AppendError::Producer(_))));
}

#[test]
fn damaged_and_misplaced_batches_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let log = create(&manager, 0, &LogConfig::default());
    let mut damaged = batch(3, 10, NOW_MS).to_vec();
    *damaged.last_mut().expect("a byte") ^= 1;
    assert!(matches!(log.append_as_leader(&damaged.into(), leader()), Err(AppendError::Validation(_))));
    let log = create(&manager, 1, &LogConfig::default());
    log.append_as_follower(&replica_batch(5, 2, 3), NOW_MS).expect("appended").expect("a batch");
    assert_eq!((log.log_end_offset(), log.latest_epoch()), (Offset(8), Some(LeaderEpoch(2))));
    let low = log.append_as_follower(&replica_batch(7, 2, 3), NOW_MS);
    assert!(matches!(low, Err(AppendError::Replication(_))));
    assert_eq!(log.log_end_offset(), Offset(8));
}

#[test]
fn concurrent_readers_see_whole_batches_only() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let log = create(&manager, 0, &small_segments(20_000));
    std::thread::scope(|scope| {
        let writer = Arc::clone(&log);
        scope.spawn(move || {
            for i in 0..500 {
                append(&writer, &batch(1 + i % 5, 50, NOW_MS));
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut next = 0;
                while next < 1500 {
                    for (base, last) in read_all(&log, next) {
                        assert_eq!(base, next);
                        next = last + 1;
                    }
                }
            });
        }
    });
}

#[test]
fn aborted_transactions_hold_the_stable_offset_and_are_listed_afterwards() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let log = create(&manager, 0, &LogConfig::default());
    append(&log, &batch(2, 10, NOW_MS));
    let options = BatchOptions {
        producer_id: ProducerId(4),
        producer_epoch: ProducerEpoch(0),
        base_sequence: 0,
        is_transactional: true,
        ..BatchOptions::default()
    };
    append(&log, &batch_with(options, 3, 10, NOW_MS));
    append(&log, &batch(1, 10, NOW_MS));
    log.set_high_watermark(log.log_end_offset());
    assert_eq!(log.last_stable_offset(), Offset(2));
    let marker = EndTxnMarker { is_commit: false, coordinator_epoch: 1, timestamp: NOW_MS };
    let marker = marker.to_batch(options.producer_id, options.producer_epoch).expect("a marker");
    let coordinator = LeaderAppend { origin: AppendOrigin::Coordinator, ..leader() };
    log.append_as_leader(&marker, coordinator).expect("appended");
    assert_eq!(log.last_stable_offset(), Offset(2), "the marker is not replicated");
    log.set_high_watermark(log.log_end_offset());
    assert_eq!(log.last_stable_offset(), Offset(7));
    let aborted = |from, upper| log.aborted_transactions(Offset(from), Offset(upper)).expect("read");
    let all = aborted(0, 7);
    assert_eq!(all, [(ProducerId(4), Offset(2))]);
    assert_eq!((all.len(), aborted(0, 2).len(), aborted(7, 7).len()), (1, 0, 0));
}

/// What is sent, and whether it is lent from the file.
fn sent(read: ReadResult<Sendable>) -> (Vec<u8>, bool) {
    match read.records {
        Sendable::Memory(slices) => (slices.into_bytes().to_vec(), false),
        Sendable::File(slice) => {
            let mut bytes = vec![0; slice.len()];
            slice.source().file().read_exact_at(&mut bytes, slice.position()).expect("what is lent is there");
            assert!(slice.source().is_intact());
            (bytes, true)
        }
    }
}

/// Only Linux from 6.5 on tells what the page cache holds; elsewhere nothing is lent.
fn kernel_tells_what_is_cached() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse::<u32>().unwrap_or(0));
    cfg!(target_os = "linux") && (6, 5) <= (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[test]
fn long_runs_are_lent_to_be_sent_and_are_what_a_read_gives() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let log = create(&manager, 0, &LogConfig::default());
    for _ in 0..8 {
        append(&log, &batch(100, 200, NOW_MS));
    }
    let size = log.size_bytes() as usize / 8;
    assert!((16_384..32_768).contains(&size), "a batch has {size} bytes");
    for (from, upper, max, is_lent) in [
        (0, 800, 1 << 20, true),
        (150, 800, 3 * size, true),
        (0, 300, 1 << 20, true),
        (0, 250, 3 * size - 1, true),
        // Too little to be worth it, less than a batch, nothing.
        (0, 100, 1 << 20, false),
        (700, 800, 1 << 20, false),
        (0, 800, 1, false),
        (300, 300, 1 << 20, false),
    ] {
        let (from, upper) = (Offset(from), Offset(upper));
        let read = log.read(from, upper, max, true, ReadMode::NoWait).expect("read");
        let lent = log.read_for_sending(from, upper, max, true).expect("read");
        assert_eq!(lent.next_offset, read.next_offset);
        assert_eq!(
            sent(lent),
            (read.records.into_bytes().to_vec(), is_lent && kernel_tells_what_is_cached()),
            "{from} {upper} {max}"
        );
    }
}

#[test]
fn small_batches_are_read_to_be_sent_unless_the_index_spares_looking_at_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let log = create(&manager, 0, &LogConfig::default());
    for _ in 0..200 {
        append(&log, &batch(10, 100, NOW_MS));
    }
    for (max, is_lent) in [(100 << 10, false), (1 << 20, true)] {
        let read = log.read(Offset(0), Offset(2000), max, true, ReadMode::NoWait).expect("read");
        let lent = log.read_for_sending(Offset(0), Offset(2000), max, true).expect("read");
        assert_eq!(lent.next_offset, read.next_offset);
        let expected = (read.records.into_bytes().to_vec(), is_lent && kernel_tells_what_is_cached());
        assert_eq!(sent(lent), expected, "{max}");
    }
}

/// Batches of one to 200 records in 120 sizes, a few MiB.
fn log_of_many_sizes(manager: &LogManager) -> (Arc<Log>, i64) {
    let log = create(manager, 0, &LogConfig::default());
    for size in 0..400 {
        append(&log, &batch(1 + size * 37 % 200, 40 + size * 53 % 120, NOW_MS));
    }
    let end = log.log_end_offset().0;
    (log, end)
}

#[test]
fn what_the_index_leads_to_is_what_a_read_gives() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let (log, end) = log_of_many_sizes(&manager);
    for case in 0..300 {
        let from = case * 7919 % end;
        let upper = (from + case * 104_729 % (end - from)).max(from + 1);
        let max = (20 << 10) + case as usize * 65_537 % (1 << 20);
        let read = log.read(Offset(from), Offset(upper), max, true, ReadMode::NoWait).expect("read");
        let lent = log.read_for_sending(Offset(from), Offset(upper), max, true).expect("read");
        assert_eq!(lent.next_offset, read.next_offset, "{from} {upper} {max}");
        assert!(sent(lent).0 == read.records.into_bytes(), "{from} {upper} {max}");
    }
}

#[test]
fn an_index_that_leads_astray_is_not_followed() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let (log, end) = log_of_many_sizes(&manager);
    let expected = log.read(Offset(0), Offset(end), 1 << 20, true, ReadMode::NoWait).expect("read");
    assert!(1 << 19 < expected.records.len());
    let expected = (expected.records.into_bytes().to_vec(), expected.next_offset);
    let index = log.path().join("00000000000000000000.index");
    // Looked up once, so that all entries are in the file.
    log.read_for_sending(Offset(0), Offset(end), 1 << 20, true).expect("read");
    let entries = std::fs::read(&index).expect("an index");
    assert!(100 * 8 < entries.len());
    let damaged = |change: fn(u32) -> u32| {
        let mut bytes = entries.clone();
        for entry in bytes.chunks_exact_mut(8) {
            let position = u32::from_be_bytes(entry[4..].try_into().expect("four bytes"));
            entry[4..].copy_from_slice(&change(position).to_be_bytes());
        }
        bytes
    };
    let (shifted, zero, halved) = (damaged(|at| at + 7), damaged(|_| 0), damaged(|at| at / 2));
    for bytes in [shifted, zero, halved, vec![0xff; 4096], entries[..80].to_vec(), Vec::new()] {
        std::fs::write(&index, &bytes).expect("written");
        let lent = log.read_for_sending(Offset(0), Offset(end), 1 << 20, true).expect("read");
        let next_offset = lent.next_offset;
        assert!((sent(lent).0, next_offset) == expected);
    }
}

#[test]
fn damage_at_the_place_that_is_asked_for_is_not_lent() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let (log, end) = log_of_many_sizes(&manager);
    let segment = log.path().join("00000000000000000000.log");
    let whole = std::fs::read(&segment).expect("a segment");
    let read = |from| log.read_for_sending(Offset(from), Offset(end), 1 << 20, true);
    // Two batches that a long run begins with: of the first the place is known, of the other it has to be found.
    let second = i64::from(i32::from_be_bytes(whole[23..27].try_into().expect("four bytes"))) + 1;
    let at = 12 + i32::from_be_bytes(whole[8..12].try_into().expect("four bytes")) as usize;
    for (from, position) in [(0, 0), (second, at)] {
        // The length, the format, the offset.
        for (field, wrong) in [(8, 0x80), (16, 0x77), (0, 0x80)] {
            assert!(1 << 19 < read(from).expect("read").records.len());
            let mut damaged = whole.clone();
            damaged[position + field] = wrong;
            std::fs::write(&segment, &damaged).expect("written");
            match read(from).map(|result| result.records.len()) {
                Err(ReadError::Storage(StorageError::Damaged { position: told, .. })) => {
                    assert_eq!(told, position as u64, "{from} {field}");
                }
                other => panic!("{from} {field}: {other:?}"),
            }
            std::fs::write(&segment, &whole).expect("written");
        }
    }
}

#[test]
fn what_is_lent_is_known_to_be_gone_after_a_truncation_and_outlives_the_name_of_its_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let (manager, _) = open(dir.path());
    let log = create(&manager, 0, &LogConfig::default());
    for _ in 0..4 {
        append(&log, &batch(100, 200, NOW_MS));
    }
    let lent = || match log.read_for_sending(Offset(0), Offset(300), 1 << 20, true).expect("read").records {
        Sendable::File(slice) => Some(slice),
        Sendable::Memory(_) => {
            assert!(!kernel_tells_what_is_cached(), "was read");
            None
        }
    };
    let Some(slice) = lent() else { return };
    assert!(slice.source().is_intact());
    log.truncate_to(Offset(100), NOW_MS).expect("truncated");
    assert!(!slice.source().is_intact());

    append(&log, &batch(200, 200, NOW_MS));
    let slice = lent().expect("as before");
    log.truncate_fully_and_start_at(Offset(1000)).expect("truncated");
    let (bytes, _) =
        sent(ReadResult { records: Sendable::File(slice), next_offset: Offset(300), first_batch_is_too_large: false });
    let bases: Vec<_> = Batches::new(&Bytes::from(bytes)).map(|b| b.expect("a batch").header.base_offset.0).collect();
    assert_eq!(bases, [0, 100]);
}
