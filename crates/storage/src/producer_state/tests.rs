use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use whimbrel_model::record::{Attributes, Codec, HEADER_BYTES, TimestampType};

const PID: ProducerId = ProducerId(7);

/// A data batch of `count` records at `offset`.
fn data(epoch: i16, sequence: i32, offset: i64, count: i32) -> BatchHeader {
    BatchHeader {
        base_offset: Offset(offset),
        last_offset_delta: count - 1,
        max_timestamp: 1_000 + offset,
        producer_id: PID,
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: sequence,
        record_count: count,
        ..BatchHeader::decode(&[0; HEADER_BYTES])
    }
}

fn transactional(header: BatchHeader) -> BatchHeader {
    let attributes = Attributes::new(Codec::None, TimestampType::CreateTime, true, false);
    BatchHeader { attributes, ..header }
}

fn of(producer: i64, header: BatchHeader) -> BatchHeader {
    BatchHeader { producer_id: ProducerId(producer), ..header }
}

fn marker_header(epoch: i16, offset: i64) -> BatchHeader {
    let attributes = Attributes::new(Codec::None, TimestampType::CreateTime, true, true);
    BatchHeader { attributes, ..data(epoch, -1, offset, 1) }
}

fn marker(is_commit: bool, coordinator_epoch: i32) -> EndTxnMarker {
    EndTxnMarker { is_commit, coordinator_epoch, timestamp: 5_000 }
}

fn append(states: &mut ProducerStates, header: &BatchHeader) -> Result<(), ProducerError> {
    match states.check(header, None, AppendOrigin::Client)? {
        Verdict::Append(update) => assert_eq!(states.apply(&update), None),
        other => panic!("not to be appended: {other:?}"),
    }
    Ok(())
}

fn end(
    states: &mut ProducerStates,
    header: &BatchHeader,
    marker: &EndTxnMarker,
) -> Result<Option<CompletedTxn>, ProducerError> {
    match states.check(header, Some(marker), AppendOrigin::Coordinator)? {
        Verdict::Append(update) => Ok(states.apply(&update)),
        other => panic!("not to be appended: {other:?}"),
    }
}

#[test]
fn batches_without_producer_leave_no_trace() {
    let mut states = ProducerStates::new();
    append(&mut states, &of(-1, data(-1, -1, 0, 5))).unwrap();
    assert!(states.is_empty() && states.inner.is_none());
    assert_eq!(size_of::<ProducerStates>(), size_of::<usize>());
}

#[test]
fn sequences_must_follow_each_other() {
    let mut states = ProducerStates::new();
    append(&mut states, &data(0, 0, 0, 3)).unwrap();
    append(&mut states, &data(0, 3, 3, 2)).unwrap();
    for wrong in [4, 6, 0] {
        let error = append(&mut states, &data(0, wrong, 5, 1)).unwrap_err();
        assert_eq!(error, ProducerError::OutOfOrderSequence { producer_id: PID, sequence: wrong, last_sequence: 4 });
        assert_eq!(error.error_code(), ErrorCode::OutOfOrderSequenceNumber);
    }
    append(&mut states, &data(0, 5, 5, 1)).unwrap();
}

#[test]
fn last_five_batches_are_remembered_and_older_ones_known_by_their_sequences() {
    let mut states = ProducerStates::new();
    for index in 0..7 {
        append(&mut states, &data(0, index * 2, i64::from(index) * 2 + 100, 2)).unwrap();
    }
    for index in 2..7i64 {
        let again = data(0, index as i32 * 2, 500, 2);
        let Ok(Verdict::Duplicate(found)) = states.check(&again, None, AppendOrigin::Client) else {
            panic!("batch {index} is not recognised");
        };
        assert_eq!((found.base_offset(), found.last_offset), (Offset(index * 2 + 100), Offset(index * 2 + 101)));
        assert_eq!(found.timestamp, 1_100 + index * 2);
    }
    for sequence in [0, 2] {
        let again = states.check(&data(0, sequence, 500, 2), None, AppendOrigin::Client);
        assert_eq!(again, Ok(Verdict::Forgotten { before: Offset(104) }));
    }
    // A part of a known batch is no duplicate of it.
    assert!(states.check(&data(0, 12, 500, 1), None, AppendOrigin::Client).is_err());
    // A follower copies what the leader has.
    let copied = states.check(&data(0, 12, 500, 2), None, AppendOrigin::Replication);
    assert!(matches!(copied, Ok(Verdict::Append(_))));
}

/// What nobody saw may not be in the log: a retry of it must not be taken for done.
#[test]
fn batches_before_the_first_that_was_seen_are_out_of_order() {
    let mut states = ProducerStates::new();
    let is_forgotten = |states: &ProducerStates, header: &BatchHeader| {
        matches!(states.check(header, None, AppendOrigin::Client), Ok(Verdict::Forgotten { .. }))
    };
    for index in 0..10 {
        append(&mut states, &data(0, 100 + index, i64::from(index), 1)).unwrap();
    }
    assert!(is_forgotten(&states, &data(0, 100, 500, 1)));
    assert!(is_forgotten(&states, &data(0, 102, 500, 3)));
    for (sequence, count) in [(99, 1), (99, 2), (0, 1), (104, 2), (100, 20), (110 + (1 << 30), 1)] {
        assert!(states.check(&data(0, sequence, 500, count), None, AppendOrigin::Client).is_err(), "{sequence}");
    }
    // What a leader let in with a gap, a follower knows from the gap on.
    states.replay(&data(0, 200, 10, 1), None).unwrap();
    for index in 1..10 {
        append(&mut states, &data(0, 200 + index, 10 + i64::from(index), 1)).unwrap();
    }
    assert!(is_forgotten(&states, &data(0, 200, 500, 1)));
    assert!(!is_forgotten(&states, &data(0, 199, 500, 1)) && !is_forgotten(&states, &data(0, 105, 500, 1)));
    // Another epoch's sequences are others.
    append(&mut states, &data(1, 0, 20, 1)).unwrap();
    assert!(!is_forgotten(&states, &data(1, 205, 500, 1)));
}

#[test]
fn old_batches_are_known_across_the_wrap() {
    let mut states = ProducerStates::new();
    let first = i32::MAX - 4;
    for index in 0..12 {
        let sequence = whimbrel_model::record::increment_sequence(first, index);
        append(&mut states, &data(0, sequence, i64::from(index), 1)).unwrap();
    }
    let check = |sequence| states.check(&data(0, sequence, 500, 1), None, AppendOrigin::Client);
    assert_eq!(check(first), Ok(Verdict::Forgotten { before: Offset(7) }));
    assert!(check(first - 1).is_err() && check(i32::MAX / 2).is_err() && check(8).is_err());
}

/// After a snapshot and the batches before it, only what came in a row at the end is known by its sequence.
#[test]
fn recalled_batches_do_not_count_twice() {
    let mut states = ProducerStates::new();
    for index in 0..20 {
        append(&mut states, &data(0, index, i64::from(index), 1)).unwrap();
    }
    states.load(&decode_snapshot(&states.snapshot()).unwrap(), 0, i64::MAX);
    for index in 10..19 {
        states.recall(&data(0, index, i64::from(index), 1));
    }
    for index in 20..30 {
        append(&mut states, &data(0, index, i64::from(index), 1)).unwrap();
    }
    let check = |sequence| states.check(&data(0, sequence, 500, 1), None, AppendOrigin::Client);
    assert!(matches!(check(19), Ok(Verdict::Forgotten { .. })));
    assert!(check(9).is_err(), "nobody saw it");
}

#[test]
fn sequences_wrap_to_zero() {
    let mut states = ProducerStates::new();
    append(&mut states, &data(0, i32::MAX - 1, 0, 2)).unwrap();
    append(&mut states, &data(0, 0, 2, 1)).unwrap();
    let mut states = ProducerStates::new();
    append(&mut states, &data(0, i32::MAX, 0, 3)).unwrap();
    let again = states.check(&data(0, i32::MAX, 9, 3), None, AppendOrigin::Client);
    assert!(matches!(again, Ok(Verdict::Duplicate(batch)) if batch.last_sequence == 1));
    append(&mut states, &data(0, 2, 3, 1)).unwrap();
}

#[test]
fn unknown_producer_may_start_with_any_sequence() {
    append(&mut ProducerStates::new(), &data(4, 1_234, 0, 1)).unwrap();
}

#[test]
fn new_epoch_starts_at_zero_and_fences_the_old_one() {
    let mut states = ProducerStates::new();
    append(&mut states, &data(1, 0, 0, 1)).unwrap();
    let error = append(&mut states, &data(2, 1, 1, 1)).unwrap_err();
    assert_eq!(error, ProducerError::NewEpochSequence { producer_id: PID, epoch: ProducerEpoch(2), sequence: 1 });
    append(&mut states, &data(2, 0, 1, 1)).unwrap();
    let error = append(&mut states, &data(1, 1, 2, 1)).unwrap_err();
    assert_eq!(error.error_code(), ErrorCode::InvalidProducerEpoch);
    // Not a duplicate either: the batch of the old epoch is forgotten.
    assert!(append(&mut states, &data(1, 0, 2, 1)).is_err());
    assert_eq!(states.get(PID).unwrap().batches().len(), 1);
}

#[test]
fn coordinators_are_checked_for_epochs_only() {
    let mut states = ProducerStates::new();
    append(&mut states, &data(1, 0, 0, 1)).unwrap();
    assert!(states.check(&data(1, 9, 1, 1), None, AppendOrigin::Coordinator).is_ok());
    assert!(states.check(&data(0, 9, 1, 1), None, AppendOrigin::Coordinator).is_err());
    assert!(states.check(&data(0, 9, 1, 1), None, AppendOrigin::Replication).is_ok());
}

#[test]
fn transactions_hold_the_stable_offset_until_their_marker_is_replicated() {
    let mut states = ProducerStates::new();
    append(&mut states, &transactional(data(0, 0, 10, 2))).unwrap();
    append(&mut states, &of(8, transactional(data(0, 0, 12, 1)))).unwrap();
    append(&mut states, &transactional(data(0, 2, 13, 1))).unwrap();
    assert_eq!(states.first_undecided_offset(), Some(Offset(10)));
    assert_eq!(states.oldest_txn_last_timestamp(), Some(1_013));

    let aborted = end(&mut states, &marker_header(0, 14), &marker(false, 1)).unwrap();
    let expected = CompletedTxn {
        producer_id: PID,
        first_offset: Offset(10),
        last_offset: Offset(14),
        is_aborted: true,
        last_stable_offset: Offset(12),
    };
    assert_eq!(aborted, Some(expected));
    assert_eq!((states.first_undecided_offset(), states.first_unstable_offset()), (Some(Offset(12)), Some(Offset(10))));
    let committed = end(&mut states, &of(8, marker_header(0, 15)), &marker(true, 1)).unwrap().unwrap();
    assert_eq!((committed.is_aborted, committed.last_stable_offset), (false, Offset(16)));
    states.settle_below(Offset(14));
    assert_eq!(states.first_unstable_offset(), Some(Offset(10)), "the marker itself is not below yet");
    states.settle_below(Offset(15));
    assert_eq!(states.first_unstable_offset(), Some(Offset(12)));
    states.settle_below(Offset(16));
    assert_eq!(states.first_unstable_offset(), None);
}

#[test]
fn marker_without_data_completes_nothing_and_keeps_the_sequence() {
    let mut states = ProducerStates::new();
    append(&mut states, &transactional(data(0, 0, 0, 1))).unwrap();
    end(&mut states, &marker_header(0, 1), &marker(true, 1)).unwrap();
    assert_eq!(end(&mut states, &marker_header(0, 2), &marker(true, 1)).unwrap(), None);
    append(&mut states, &transactional(data(0, 1, 3, 1))).unwrap();
    assert_eq!(states.first_undecided_offset(), Some(Offset(3)));
}

#[test]
fn marker_of_a_higher_epoch_restarts_the_sequences() {
    let mut states = ProducerStates::new();
    append(&mut states, &transactional(data(0, 0, 0, 4))).unwrap();
    end(&mut states, &marker_header(1, 4), &marker(false, 1)).unwrap();
    assert!(append(&mut states, &transactional(data(0, 4, 5, 1))).is_err());
    assert!(append(&mut states, &transactional(data(1, 4, 5, 1))).is_err());
    append(&mut states, &transactional(data(1, 0, 5, 1))).unwrap();
}

#[test]
fn stale_markers_are_fenced() {
    let mut states = ProducerStates::new();
    append(&mut states, &transactional(data(1, 0, 0, 1))).unwrap();
    end(&mut states, &marker_header(1, 1), &marker(true, 6)).unwrap();
    let error = end(&mut states, &marker_header(0, 2), &marker(true, 6)).unwrap_err();
    assert_eq!(error.error_code(), ErrorCode::InvalidProducerEpoch);
    let error = end(&mut states, &marker_header(1, 2), &marker(true, 5)).unwrap_err();
    assert_eq!(error.error_code(), ErrorCode::TransactionCoordinatorFenced);
    assert_eq!(states.replay(&marker_header(0, 2), Some(&marker(true, 5))), Ok(None), "a follower copies the leader");
}

#[test]
fn plain_write_inside_a_transaction_is_refused() {
    let mut states = ProducerStates::new();
    append(&mut states, &transactional(data(0, 0, 0, 1))).unwrap();
    let error = append(&mut states, &data(0, 1, 1, 1)).unwrap_err();
    assert_eq!(error, ProducerError::NotTransactional { producer_id: PID });
    assert_eq!(error.error_code(), ErrorCode::InvalidTxnState);
    assert_eq!(states.get(PID).unwrap().last_sequence(), 0);
}

#[test]
fn producers_expire_unless_a_transaction_is_open() {
    let mut states = ProducerStates::new();
    append(&mut states, &data(0, 0, 0, 1)).unwrap();
    append(&mut states, &of(8, transactional(data(0, 0, 1, 1)))).unwrap();
    states.remove_expired(1_099, 100);
    assert_eq!(states.len(), 2);
    states.remove_expired(1_101, 100);
    assert_eq!(states.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [8]);
    end(&mut states, &of(8, marker_header(0, 2)), &marker(true, 0)).unwrap();
    states.settle_below(Offset(3));
    states.remove_expired(10_000, 100);
    assert!(states.inner.is_none(), "the memory is given back");
}

#[test]
fn snapshot_brings_back_the_last_batch_and_the_open_transactions() {
    let mut states = ProducerStates::new();
    append(&mut states, &data(3, 0, 0, 4)).unwrap();
    append(&mut states, &data(3, 4, 4, 2)).unwrap();
    append(&mut states, &of(8, transactional(data(0, 5, 6, 1)))).unwrap();
    end(&mut states, &of(9, marker_header(2, 7)), &marker(true, 11)).unwrap();
    let entries = decode_snapshot(&states.snapshot()).unwrap();
    assert_eq!(entries.len(), 3);

    let mut loaded = ProducerStates::new();
    loaded.load(&entries, 2_000, 1_000_000);
    assert_eq!(loaded.snapshot(), states.snapshot());
    assert_eq!(loaded.first_undecided_offset(), Some(Offset(6)));
    let again = loaded.check(&data(3, 4, 9, 2), None, AppendOrigin::Client);
    assert!(matches!(again, Ok(Verdict::Duplicate(batch)) if batch.base_offset() == Offset(4)));
    append(&mut loaded, &data(3, 6, 8, 1)).unwrap();
    assert_eq!(loaded.get(ProducerId(9)).unwrap().coordinator_epoch, 11);

    loaded.load(&entries, 1_100, 96);
    assert_eq!(loaded.len(), 2, "a producer that expired meanwhile is not loaded");
}

#[test]
fn snapshot_of_kafka_is_read_and_written_byte_for_byte() {
    let theirs = include_bytes!("../../fixtures/kafka.snapshot");
    let entries = decode_snapshot(theirs).unwrap();
    let mut states = ProducerStates::new();
    states.load(&entries, 1_700_000_001_000, 86_400_000);
    assert_eq!(states.snapshot(), theirs);

    let plain = states.get(ProducerId(1000)).unwrap();
    let batch = plain.last_batch().unwrap();
    assert_eq!((plain.epoch, batch.base_sequence(), batch.last_sequence), (ProducerEpoch(3), 32, 41));
    assert_eq!((batch.base_offset(), batch.last_offset), (Offset(132), Offset(141)));
    let in_txn = states.get(ProducerId(1001)).unwrap();
    assert_eq!((in_txn.current_txn_first_offset, in_txn.coordinator_epoch), (Some(Offset(120)), 5));
    assert_eq!(in_txn.last_batch().unwrap().base_sequence(), i32::MAX - 1, "the sequence wrapped in this batch");
    let ended = states.get(ProducerId(4_000_000_002)).unwrap();
    assert_eq!((ended.epoch.0, ended.last_batch(), ended.coordinator_epoch), (i16::MAX, None, 7));
    assert_eq!(states.first_undecided_offset(), Some(Offset(120)));
}

#[test]
fn every_damage_to_a_snapshot_is_noticed() {
    let mut states = ProducerStates::new();
    append(&mut states, &data(3, 0, 0, 4)).unwrap();
    append(&mut states, &of(8, data(0, 5, 6, 1))).unwrap();
    let good = states.snapshot();
    assert_eq!(good.len(), 10 + 2 * 46);
    for position in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[position] ^= 1 << bit;
            assert!(decode_snapshot(&bytes).is_err(), "bit {bit} of byte {position}");
        }
        assert!(decode_snapshot(&good[..position]).is_err(), "cut at {position}");
    }
    assert!(decode_snapshot(&[&good[..], &[0]].concat()).is_err());
    assert_eq!(decode_snapshot(&ProducerStates::new().snapshot()), Ok(vec![]));
    let mut wrong_count = good;
    wrong_count[9] = 3;
    let crc = crc32c::crc32c(&wrong_count[6..]);
    wrong_count[2..6].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(decode_snapshot(&wrong_count), Err(SnapshotError::Count { count: 3, bytes: 102 }));
}

proptest! {
    #[test]
    fn snapshots_of_any_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = decode_snapshot(&bytes);
    }

    /// Whatever is appended, sequences of an accepted stream follow each other, and a reload changes no decision.
    #[test]
    fn accepted_batches_are_gapless_and_decisions_survive_a_reload(
        attempts in vec((0i16..3, 0i32..12, 1i32..4), 1..60),
    ) {
        let mut states = ProducerStates::new();
        let mut offset = 0;
        let mut last: Option<(i16, i32)> = None;
        for (epoch, sequence, count) in attempts {
            let header = data(epoch, sequence, offset, count);
            let decision = states.check(&header, None, AppendOrigin::Client);
            let mut reloaded = ProducerStates::new();
            reloaded.load(&decode_snapshot(&states.snapshot()).unwrap(), 0, i64::MAX);
            match (&decision, reloaded.check(&header, None, AppendOrigin::Client)) {
                // Only the last batch survives: an older duplicate is then out of order.
                (
                    Ok(Verdict::Duplicate(_) | Verdict::Forgotten { .. }),
                    Err(ProducerError::OutOfOrderSequence { .. }),
                ) => {}
                (before, after) => prop_assert_eq!(before, &after),
            }
            if let Ok(Verdict::Append(update)) = decision {
                if let Some((last_epoch, last_sequence)) = last {
                    let follows = if epoch == last_epoch { last_sequence + 1 } else { 0 };
                    prop_assert_eq!(sequence, follows);
                    prop_assert!(last_epoch <= epoch);
                }
                states.apply(&update);
                last = Some((epoch, sequence + count - 1));
                offset += i64::from(count);
            }
        }
    }
}
