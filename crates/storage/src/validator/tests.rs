use super::*;
use whimbrel_model::record::{Attributes, Header, RecordError, offsets_of};
use whimbrel_model::{ErrorCode, ProducerEpoch, ProducerId};

const NOW: i64 = 1_700_000_000_000;

type Row = (i64, Option<&'static [u8]>);

fn batch(options: BatchOptions, rows: &[Row]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for (timestamp, key) in rows {
        builder.append(*timestamp, *key, Some(b"value"), [Header { key: b"h", value: None }]).unwrap();
    }
    builder.build().unwrap()
}

fn plain(rows: &[Row]) -> Bytes {
    batch(BatchOptions::default(), rows)
}

fn compressed(codec: Codec, rows: &[Row]) -> Bytes {
    batch(BatchOptions { compression: Compression::new(codec), ..BatchOptions::default() }, rows)
}

const ROWS: &[Row] = &[(NOW, Some(b"a")), (NOW + 5, Some(b"b")), (NOW - 9, Some(b"c"))];

/// The batch with some header fields changed and a checksum that fits.
fn altered(bytes: &Bytes, change: impl FnOnce(&mut BatchHeader)) -> Bytes {
    let mut header = RecordBatch::parse(bytes).unwrap().header;
    change(&mut header);
    reseal(&header, &bytes[HEADER_BYTES..])
}

fn reseal(header: &BatchHeader, body: &[u8]) -> Bytes {
    let mut header = *header;
    header.batch_length = (HEADER_BYTES - 12 + body.len()) as i32;
    let mut bytes = [&header.encode()[..], body].concat();
    let crc = crc32c::crc32c(&bytes[offsets_of::ATTRIBUTES..]);
    bytes[offsets_of::CRC..][..4].copy_from_slice(&crc.to_be_bytes());
    Bytes::from(bytes)
}

fn client(records: &Bytes, rules: &AppendRules) -> Result<ValidatedBatch, ValidationError> {
    validate(records, AppendOrigin::Client, NOW, rules)
}

fn code(records: &Bytes, rules: &AppendRules) -> ErrorCode {
    client(records, rules).unwrap_err().error_code()
}

/// What a reader of the log would see.
fn written(validated: &ValidatedBatch) -> Bytes {
    let bytes = Bytes::from([&validated.header_bytes()[..], validated.body()].concat());
    RecordBatch::parse(&bytes).unwrap().verify_crc().unwrap();
    bytes
}

fn read(bytes: &Bytes) -> Vec<(i64, i64, Option<Vec<u8>>)> {
    let batch = RecordBatch::parse(bytes).unwrap();
    let body = batch.decompressed_from(bytes, 1 << 20).unwrap();
    let record = |record: whimbrel_model::record::Record<'_>| {
        assert_eq!(record.headers.len(), 1);
        (record.offset.0, record.timestamp, record.key.map(<[u8]>::to_vec))
    };
    batch.records(&body).map(|r| record(r.unwrap())).collect()
}

#[test]
fn batch_of_the_right_codec_is_patched_and_not_copied() {
    for codec in Codec::ALL {
        let records = compressed(codec, ROWS);
        let mut validated = client(&records, &AppendRules::default()).unwrap();
        validated.assign(Offset(100), LeaderEpoch(3));
        assert!(!validated.is_rebuilt());
        assert_eq!(validated.body().as_ptr(), records[HEADER_BYTES..].as_ptr());
        assert_eq!(validated.max_timestamp(), Some((NOW + 5, Offset(102))));
        assert_eq!(validated.header().partition_leader_epoch, LeaderEpoch(3));
        let expected: Vec<_> = (100..).zip(ROWS).map(|(o, (t, k))| (o, *t, k.map(<[u8]>::to_vec))).collect();
        assert_eq!(read(&written(&validated)), expected, "{codec}");
    }
}

#[test]
fn wrong_max_timestamp_of_a_client_is_put_right() {
    let records = altered(&plain(ROWS), |header| header.max_timestamp = 1);
    let validated = client(&records, &AppendRules::default()).unwrap();
    assert_eq!(validated.header().max_timestamp, NOW + 5);
    written(&validated);
}

#[test]
fn log_append_time_replaces_every_timestamp_and_lifts_the_bounds() {
    let rules = AppendRules {
        timestamp_type: TimestampType::LogAppendTime,
        timestamp_before_max_ms: 0,
        timestamp_after_max_ms: 0,
        ..AppendRules::default()
    };
    for codec in Codec::ALL {
        let mut validated = client(&compressed(codec, ROWS), &rules).unwrap();
        validated.assign(Offset(7), LeaderEpoch(0));
        assert!(!validated.is_rebuilt());
        assert_eq!(validated.max_timestamp(), Some((NOW, Offset(9))));
        assert!(read(&written(&validated)).iter().all(|record| record.1 == NOW), "{codec}");
    }
}

#[test]
fn topic_codec_recompresses_and_keeps_the_producer() {
    let options = BatchOptions {
        producer_id: ProducerId(5),
        producer_epoch: ProducerEpoch(2),
        base_sequence: 40,
        is_transactional: true,
        ..BatchOptions::default()
    };
    for source in Codec::ALL {
        let records = batch(BatchOptions { compression: Compression::new(source), ..options }, ROWS);
        for target in Codec::ALL {
            let compression = TargetCompression::Fixed(Compression::new(target));
            let mut validated = client(&records, &AppendRules { compression, ..AppendRules::default() }).unwrap();
            assert_eq!(validated.is_rebuilt(), source != target);
            validated.assign(Offset(1), LeaderEpoch(1));
            let header = validated.header();
            assert_eq!(header.attributes, Attributes::new(target, TimestampType::CreateTime, true, false));
            assert_eq!((header.producer_id, header.producer_epoch.0, header.base_sequence), (ProducerId(5), 2, 40));
            assert_eq!((header.record_count, header.last_offset_delta, header.max_timestamp), (3, 2, NOW + 5));
            assert_eq!(read(&written(&validated)).len(), 3, "{source} to {target}");
        }
    }
}

#[test]
fn recompression_stamps_log_append_time() {
    let rules = AppendRules {
        compression: TargetCompression::Fixed(Compression::new(Codec::Zstd)),
        timestamp_type: TimestampType::LogAppendTime,
        ..AppendRules::default()
    };
    let validated = client(&plain(ROWS), &rules).unwrap();
    assert!(validated.is_rebuilt());
    assert!(read(&written(&validated)).iter().all(|record| record.1 == NOW));
}

#[test]
fn record_set_must_be_one_whole_intact_batch() {
    let rules = AppendRules::default();
    let good = plain(ROWS);
    assert!(matches!(client(&Bytes::new(), &rules), Err(ValidationError::NoBatch)));
    assert!(matches!(client(&good.slice(..good.len() - 1), &rules), Err(ValidationError::NoBatch)));
    let twice = Bytes::from(good.repeat(2));
    assert!(matches!(client(&twice, &rules), Err(ValidationError::SeveralBatches)));
    let torn = twice.slice(..good.len() + 70);
    assert_eq!(client(&torn, &rules).unwrap().size_in_bytes(), good.len(), "a torn tail is dropped");
    let mut flipped = good.to_vec();
    flipped[80] ^= 1;
    assert_eq!(code(&Bytes::from(flipped), &rules), ErrorCode::CorruptMessage);
    let mut legacy = good.to_vec();
    legacy[offsets_of::MAGIC] = 1;
    assert_eq!(code(&Bytes::from(legacy), &rules), ErrorCode::InvalidRecord);
    assert_eq!(code(&altered(&good, |header| header.base_offset = Offset(1)), &rules), ErrorCode::InvalidRecord);
}

#[test]
fn headers_that_contradict_themselves_are_refused() {
    let rules = AppendRules::default();
    let good = plain(ROWS);
    let refused = |change: fn(&mut BatchHeader)| client(&altered(&good, change), &rules).unwrap_err();
    assert!(matches!(refused(|h| h.last_offset_delta = -1), ValidationError::OffsetRange { .. }));
    assert!(matches!(refused(|h| h.record_count = 0), ValidationError::RecordCount(0)));
    assert!(matches!(refused(|h| h.record_count = 2), ValidationError::OffsetsAndCount { .. }));
    assert!(matches!(refused(|h| h.attributes.0 |= 0x20), ValidationError::ControlBatch));
    assert!(matches!(refused(|h| h.producer_id = ProducerId(1)), ValidationError::Sequence { sequence: -1, .. }));
    let unknown = refused(|h| h.attributes.0 |= 0x07);
    assert_eq!(unknown.error_code(), ErrorCode::UnsupportedCompressionType);
    let fewer = refused(|h| (h.record_count, h.last_offset_delta) = (2, 1));
    assert!(matches!(fewer, ValidationError::Malformed(RecordError::TrailingBytes(_))));
    assert_eq!(fewer.error_code(), ErrorCode::InvalidRecord);
    let more = refused(|h| (h.record_count, h.last_offset_delta) = (4, 3));
    assert!(matches!(more, ValidationError::Malformed(RecordError::Truncated)));
    let not_gzip = refused(|h| h.attributes.0 |= 0x01);
    assert_eq!(not_gzip.error_code(), ErrorCode::InvalidRecord);
}

#[test]
fn sizes_are_bounded_before_and_after_rewriting() {
    let rows: Vec<Row> = (0..200).map(|_| (NOW, Some(&b"the same key"[..]))).collect();
    let records = compressed(Codec::Zstd, &rows);
    let rules = AppendRules { message_bytes_max: records.len(), ..AppendRules::default() };
    assert!(client(&records, &rules).is_ok());
    let tight = AppendRules { message_bytes_max: records.len() - 1, ..rules };
    assert_eq!(code(&records, &tight), ErrorCode::MessageTooLarge);
    let plain = AppendRules { compression: TargetCompression::Fixed(Compression::NONE), ..rules };
    assert_eq!(code(&records, &plain), ErrorCode::MessageTooLarge);
    let small_segment = AppendRules { segment_bytes: records.len() - 1, ..rules };
    assert_eq!(code(&records, &small_segment), ErrorCode::RecordListTooLarge);
}

#[test]
fn compacted_topic_names_each_record_without_key() {
    let rules = AppendRules { is_compacted: true, ..AppendRules::default() };
    for codec in Codec::ALL {
        let records = compressed(codec, &[(NOW, None), (NOW, Some(b"k")), (NOW, None)]);
        let error = client(&records, &rules).unwrap_err();
        assert_eq!(error.error_code(), ErrorCode::InvalidRecord);
        assert_eq!(error.rejections().iter().map(|r| r.index).collect::<Vec<_>>(), [0, 2]);
        assert!(error.rejections().iter().all(|r| r.fault == RecordFault::MissingKey), "{codec}");
        assert!(client(&records, &AppendRules::default()).is_ok());
    }
    assert!(client(&plain(ROWS), &rules).is_ok());
}

#[test]
fn create_times_are_bounded_on_both_sides_inclusively() {
    let rules = AppendRules { timestamp_before_max_ms: 100, timestamp_after_max_ms: 10, ..AppendRules::default() };
    let at = |timestamps: &[i64]| plain(&timestamps.iter().map(|&t| (t, Some(&b"k"[..]))).collect::<Vec<_>>());
    assert!(client(&at(&[NOW - 100, NOW + 10, NO_TIMESTAMP]), &rules).is_ok());
    let error = client(&at(&[NOW - 101, NOW, NOW + 11]), &rules).unwrap_err();
    assert_eq!(error.error_code(), ErrorCode::InvalidTimestamp);
    assert_eq!(error.rejections().iter().map(|r| r.index).collect::<Vec<_>>(), [0, 2]);
    let wide = AppendRules { timestamp_after_max_ms: i64::MAX, ..AppendRules::default() };
    assert!(client(&at(&[-5, i64::MAX]), &wide).is_ok());
    assert_eq!(client(&at(&[NO_TIMESTAMP]), &rules).unwrap().max_timestamp(), None);
}

#[test]
fn timestamp_fault_decides_the_code_of_a_mixed_batch() {
    let rules = AppendRules { is_compacted: true, timestamp_before_max_ms: 0, ..AppendRules::default() };
    let error = client(&plain(&[(NOW, None), (NOW - 1, Some(b"k"))]), &rules).unwrap_err();
    assert_eq!((error.error_code(), error.rejections().len()), (ErrorCode::InvalidTimestamp, 2));
}

#[test]
fn producer_that_claims_log_append_time_is_refused_where_kafka_refuses_it() {
    let claimed = batch(BatchOptions { log_append_time: Some(NOW), ..BatchOptions::default() }, ROWS);
    let broker_stamps = AppendRules { timestamp_type: TimestampType::LogAppendTime, ..AppendRules::default() };
    assert_eq!(code(&claimed, &broker_stamps), ErrorCode::InvalidTimestamp);
    // With CreateTime Kafka takes the claimed time for that of each record, and clears the bit.
    let validated = client(&claimed, &AppendRules::default()).unwrap();
    assert_eq!(validated.header().attributes.timestamp_type(), TimestampType::CreateTime);
    assert_eq!(validated.max_timestamp(), Some((NOW, Offset(2))));
}

#[test]
fn listed_rejections_are_bounded() {
    let rows: Vec<Row> = (0..REJECTIONS_LISTED_MAX + 50).map(|_| (NOW, None)).collect();
    let rules = AppendRules { is_compacted: true, ..AppendRules::default() };
    let error = client(&plain(&rows), &rules).unwrap_err();
    assert_eq!(error.rejections().len(), REJECTIONS_LISTED_MAX);
    assert!(error.to_string().contains(&rows.len().to_string()));
}

#[test]
fn offset_deltas_of_odd_clients_are_put_right() {
    let good = plain(ROWS);
    let header = RecordBatch::parse(&good).unwrap().header;
    let mut body = good[HEADER_BYTES..].to_vec();
    // The first record: length, attributes, timestamp delta 0, offset delta.
    assert_eq!(&body[1..4], &[0, 0, 0]);
    body[3] = 2;
    let mut validated = client(&reseal(&header, &body), &AppendRules::default()).unwrap();
    assert!(validated.is_rebuilt());
    validated.assign(Offset(50), LeaderEpoch(0));
    assert_eq!(read(&written(&validated)).iter().map(|record| record.0).collect::<Vec<_>>(), [50, 51, 52]);
}

#[test]
fn coordinators_write_markers_that_stay_uncompressed() {
    let marker = EndTxnMarker { is_commit: true, coordinator_epoch: 4, timestamp: NOW };
    let records = marker.to_batch(ProducerId(3), ProducerEpoch(0)).unwrap();
    let compression = TargetCompression::Fixed(Compression::new(Codec::Lz4));
    let rules = AppendRules { compression, is_compacted: true, ..AppendRules::default() };
    assert_eq!(code(&records, &rules), ErrorCode::InvalidRecord);
    let validated = validate(&records, AppendOrigin::Coordinator, NOW, &rules).unwrap();
    assert!(!validated.is_rebuilt());
    assert_eq!(validated.end_txn_marker().unwrap(), Some(marker));
    assert_eq!(client(&plain(ROWS), &AppendRules::default()).unwrap().end_txn_marker().unwrap(), None);
}

#[test]
fn follower_takes_growing_offsets_above_its_log_end() {
    let at = |offset: i64| batch(BatchOptions { base_offset: Offset(offset), ..BatchOptions::default() }, ROWS);
    let two = [&at(10)[..], &at(20)[..], &at(30)[..40]].concat();
    let seen = check_replicated(&two, Offset(10)).unwrap().unwrap();
    assert_eq!((seen.first_offset, seen.last_offset), (Offset(10), Offset(22)));
    assert_eq!(seen.valid_bytes, at(10).len() * 2);
    assert_eq!(seen.max_timestamp, Some((NOW + 5, Offset(12))));
    let below = check_replicated(&two, Offset(11));
    assert!(matches!(below, Err(ReplicationError::BelowLogEnd { .. })));
    let overlapping = [&at(10)[..], &at(12)[..]].concat();
    assert!(matches!(check_replicated(&overlapping, Offset(0)), Err(ReplicationError::OutOfOrder { .. })));
    let mut damaged = two;
    damaged[100] ^= 1;
    assert!(matches!(check_replicated(&damaged, Offset(0)), Err(ReplicationError::Batch(_))));
    assert_eq!(check_replicated(&[], Offset(0)).unwrap(), None);
}

mod properties {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn mutated_batches_do_not_panic_and_what_passes_can_be_read(
            codec in prop::sample::select(Codec::ALL.to_vec()),
            target in prop::sample::select(Codec::ALL.to_vec()),
            flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            fixed in any::<bool>(), is_compacted in any::<bool>(), stamps in any::<bool>(),
        ) {
            let good = compressed(codec, &[(NOW, Some(b"a")), (NOW, None), (NOW - 3, Some(b"ccc"))]);
            let mut bytes = good.to_vec();
            for (at, byte) in flips {
                // Beyond the checksum, which is then made to fit: what a client with a defect would send.
                let position = offsets_of::ATTRIBUTES + at.index(bytes.len() - offsets_of::ATTRIBUTES);
                bytes[position] = byte;
            }
            let crc = crc32c::crc32c(&bytes[offsets_of::ATTRIBUTES..]);
            bytes[offsets_of::CRC..][..4].copy_from_slice(&crc.to_be_bytes());
            let rules = AppendRules {
                compression: if fixed {
                    TargetCompression::Fixed(Compression::new(target))
                } else {
                    TargetCompression::Producer
                },
                is_compacted,
                timestamp_type: if stamps { TimestampType::LogAppendTime } else { TimestampType::CreateTime },
                ..AppendRules::default()
            };
            for origin in [AppendOrigin::Client, AppendOrigin::Coordinator] {
                let Ok(mut validated) = validate(&Bytes::from(bytes.clone()), origin, NOW, &rules) else { continue };
                validated.assign(Offset(1_000), LeaderEpoch(1));
                let written = written(&validated);
                let batch = RecordBatch::parse(&written).unwrap();
                let body = batch.decompressed_from(&written, 1 << 24).unwrap();
                let offsets: Vec<_> = batch.records(&body).map(|record| record.unwrap().offset.0).collect();
                let expected: Vec<_> = (1_000..1_000 + offsets.len() as i64).collect();
                prop_assert_eq!(offsets, expected);
            }
        }
    }
}
