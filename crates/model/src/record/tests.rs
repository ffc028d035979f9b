mod codecs;
mod properties;

use super::*;
use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use bytes::Bytes;

/// A batch of `count` records with keys, nulls and headers in turn.
fn sample(options: BatchOptions, count: usize) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for index in 0..count {
        let text = format!("value of record number {index}");
        let key = (index % 3 != 0).then_some(&text.as_bytes()[..5]);
        let value = (index % 4 != 3).then_some(text.as_bytes());
        let headers = [Header { key: b"trace", value: Some(b"1") }, Header { key: b"", value: None }];
        builder.append(1_000 + index as i64, key, value, headers.into_iter().take(index % 3)).unwrap();
    }
    builder.build().unwrap()
}

/// The records of a batch as text.
fn read_all(batch: &RecordBatch<'_>, body: &[u8]) -> Vec<String> {
    batch.records(body).map(|record| format!("{:?}", record.unwrap())).collect()
}

#[test]
fn header_round_trips_and_knows_its_last_offset_and_sequence() {
    let options = BatchOptions {
        base_offset: Offset(40),
        partition_leader_epoch: LeaderEpoch(7),
        producer_id: ProducerId(9),
        producer_epoch: ProducerEpoch(2),
        base_sequence: i32::MAX - 1,
        is_transactional: true,
        ..BatchOptions::default()
    };
    let bytes = sample(options, 4);
    let batch = RecordBatch::parse(&bytes).unwrap();
    batch.verify_crc().unwrap();
    let header = batch.header;
    assert_eq!(&header.encode()[..], &bytes[..HEADER_BYTES]);
    assert_eq!((header.base_offset, header.last_offset(), header.next_offset()), (Offset(40), Offset(43), Offset(44)));
    assert_eq!(header.last_sequence(), 1, "the sequence wraps after 2^31-1");
    assert_eq!(header.size_in_bytes(), bytes.len());
    assert!(header.attributes.is_transactional() && !header.attributes.is_control());
    assert_eq!((header.base_timestamp, header.max_timestamp), (1_000, 1_003));
}

#[test]
fn sequences_wrap_in_both_directions() {
    assert_eq!(increment_sequence(i32::MAX, 1), 0);
    assert_eq!(increment_sequence(5, 3), 8);
    assert_eq!(decrement_sequence(0, 1), i32::MAX);
    assert_eq!(decrement_sequence(2, 5), i32::MAX - 2);
    assert_eq!(decrement_sequence(8, 3), 5);
}

#[test]
fn assigning_an_offset_keeps_the_checksum_valid() {
    let bytes = sample(BatchOptions::default(), 3);
    let mut header = RecordBatch::parse(&bytes).unwrap().header_bytes();
    assign_offset(&mut header, Offset(1 << 40), LeaderEpoch(12));
    let patched = [&header[..], &bytes[HEADER_BYTES..]].concat();
    let batch = RecordBatch::parse(&patched).unwrap();
    batch.verify_crc().unwrap();
    assert_eq!((batch.header.base_offset, batch.header.partition_leader_epoch), (Offset(1 << 40), LeaderEpoch(12)));
}

#[test]
fn log_append_time_becomes_the_timestamp_of_every_record() {
    let bytes = sample(BatchOptions::default(), 3);
    let mut header = RecordBatch::parse(&bytes).unwrap().header_bytes();
    set_max_timestamp(&mut header, &bytes[HEADER_BYTES..], TimestampType::LogAppendTime, 77);
    let patched = [&header[..], &bytes[HEADER_BYTES..]].concat();
    let batch = RecordBatch::parse(&patched).unwrap();
    batch.verify_crc().unwrap();
    assert!(batch.records(batch.body()).all(|record| record.unwrap().timestamp == 77));
}

#[test]
fn walk_over_batches_stops_cleanly_at_a_torn_tail() {
    let one = sample(BatchOptions::default(), 2);
    let two = sample(BatchOptions { base_offset: Offset(2), ..BatchOptions::default() }, 5);
    let all = [&one[..], &two[..]].concat();
    for cut in one.len()..all.len() {
        let mut batches = Batches::new(&all[..cut]);
        assert_eq!(batches.by_ref().map(|batch| batch.unwrap().header.base_offset).collect::<Vec<_>>(), [Offset(0)]);
        assert_eq!(batches.position(), one.len());
    }
    assert_eq!(Batches::new(&all).count(), 2);
    assert_eq!(Batches::new(&[]).count(), 0);
}

#[test]
fn foreign_bytes_are_told_apart() {
    let mut bytes = sample(BatchOptions::default(), 1).to_vec();
    let parse = |bytes: &[u8]| RecordBatch::parse(bytes).map(|_| ()).unwrap_err();
    bytes[offsets_of::MAGIC] = 1;
    assert_eq!(parse(&bytes), BatchError::LegacyFormat(1));
    bytes[offsets_of::MAGIC] = 0xff;
    assert_eq!(parse(&bytes), BatchError::InvalidMagic(-1));
    bytes[offsets_of::MAGIC] = 2;
    bytes[offsets_of::BATCH_LENGTH..][..4].copy_from_slice(&20i32.to_be_bytes());
    assert_eq!(parse(&bytes), BatchError::InvalidSize(32));
    bytes[offsets_of::BATCH_LENGTH..][..4].copy_from_slice(&(-1i32).to_be_bytes());
    assert_eq!(parse(&bytes), BatchError::InvalidSize(-1));
    assert_eq!(Batches::new(&bytes).map(|batch| batch.is_err()).collect::<Vec<_>>(), [true]);
}

#[test]
fn flipped_bit_fails_the_checksum() {
    let mut bytes = sample(BatchOptions::default(), 1).to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let error = RecordBatch::parse(&bytes).unwrap().verify_crc().unwrap_err();
    assert!(matches!(error, BatchError::CrcMismatch { stored, computed } if stored != computed));
}

#[test]
fn count_that_disagrees_with_the_body_is_an_error() {
    let bytes = sample(BatchOptions::default(), 3);
    let batch = RecordBatch::parse(&bytes).unwrap();
    let last = |count| {
        let header = BatchHeader { record_count: count, ..batch.header };
        let records = RecordIter::new(header, batch.body()).last();
        (records.map(|record| record.map(|_| ())), summarize(&header, batch.body(), |_| ()))
    };
    assert_eq!(last(3), (Some(Ok(())), Ok(())));
    assert!(matches!(last(2), (Some(Err(RecordError::TrailingBytes(_))), Err(RecordError::TrailingBytes(_)))));
    assert_eq!(last(4), (Some(Err(RecordError::Truncated)), Err(RecordError::Truncated)));
    assert_eq!(last(0), (None, Ok(())));
    let negative = RecordError::InvalidRecordCount(-1);
    assert_eq!(last(-1), (Some(Err(negative)), Err(negative)));
}

#[test]
fn end_marker_round_trips_and_other_control_records_are_passed_over() {
    let marker = EndTxnMarker { is_commit: false, coordinator_epoch: 31, timestamp: 5 };
    let bytes = marker.to_batch(ProducerId(4), ProducerEpoch(1)).unwrap();
    let batch = RecordBatch::parse(&bytes).unwrap();
    assert!(batch.header.attributes.is_control() && batch.header.attributes.is_transactional());
    assert_eq!((batch.header.base_sequence, batch.header.last_sequence()), (-1, -1));
    assert_eq!(EndTxnMarker::from_batch(&batch).unwrap(), Some(marker));

    let control = |key: &'static [u8], value: &'static [u8]| {
        let record = Record {
            attributes: 0,
            offset: Offset(0),
            timestamp: 0,
            key: Some(key),
            value: Some(value),
            headers: Headers::NONE,
        };
        EndTxnMarker::from_record(&record)
    };
    assert!(matches!(control(&[0, 0, 0, 2], &[]), Ok(None)));
    assert!(matches!(control(&[0, 0, 0], &[]), Err(ControlError::InvalidSize { field: "key", size: 3 })));
    assert!(matches!(control(&[0, 0, 0, 1], &[0, 0, 1]), Err(ControlError::InvalidSize { field: "value", .. })));
    assert!(matches!(control(&[0xff, 0, 0, 1], &[]), Err(ControlError::InvalidVersion { version: -256, .. })));
    assert_eq!(control(&[0, 1, 0, 1, 9], &[0, 3, 0, 0, 0, 7, 9]).unwrap().unwrap().coordinator_epoch, 7);
}
