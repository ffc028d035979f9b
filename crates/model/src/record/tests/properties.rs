use super::super::varint::*;
use super::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

type OwnedHeader = (Vec<u8>, Option<Vec<u8>>);
type OwnedRecord = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<OwnedHeader>);

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..90)
}

fn record() -> impl Strategy<Value = OwnedRecord> {
    let headers = vec((bytes(), option::of(bytes())), 0..4);
    (any::<i64>(), option::of(bytes()), option::of(bytes()), headers)
}

fn codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(Codec::ALL.to_vec())
}

fn build(codec: Codec, records: &[OwnedRecord]) -> Bytes {
    let mut builder =
        BatchBuilder::new(BatchOptions { compression: Compression::new(codec), ..BatchOptions::default() });
    for (timestamp, key, value, headers) in records {
        let headers = headers.iter().map(|(key, value)| Header { key, value: value.as_deref() });
        builder.append(*timestamp, key.as_deref(), value.as_deref(), headers).unwrap();
    }
    builder.build().unwrap()
}

/// Drives every parser over `bytes`; what they say does not matter, that they return does.
fn read_everything(bytes: &[u8]) {
    for batch in Batches::new(bytes) {
        let Ok(batch) = batch else { continue };
        let _ = batch.verify_crc();
        let _ = EndTxnMarker::from_batch(&batch);
        let mut buffer = DecompressionBuffer::default();
        if let Ok(body) = batch.decompressed(1 << 20, &mut buffer) {
            let _ = summarize(&batch.header, body, |_| ());
            for record in batch.records(body).flatten() {
                assert_eq!(record.headers.len(), record.headers.count());
                let _ = EndTxnMarker::from_record(&record);
            }
        }
    }
}

proptest! {
    #[test]
    fn varints_round_trip(int in any::<i32>(), long in any::<i64>(), shift in 0u32..64) {
        for (int, long) in [(int, long), (int >> (shift / 2), long >> shift)] {
            let mut out = Vec::new();
            put_varint(&mut out, int);
            prop_assert_eq!(out.len(), varint_len(int));
            put_varlong(&mut out, long);
            prop_assert_eq!(out.len(), varint_len(int) + varlong_len(long));
            let mut rest = &out[..];
            prop_assert_eq!(take_varint(&mut rest), Ok(int));
            prop_assert_eq!(take_varlong(&mut rest), Ok(long));
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn varints_of_any_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..12)) {
        let _ = take_varint(&mut &bytes[..]);
        let _ = take_varlong(&mut &bytes[..]);
    }

    #[test]
    fn records_round_trip(codec in codec(), records in vec(record(), 1..20)) {
        let bytes = build(codec, &records);
        let batch = RecordBatch::parse(&bytes).unwrap();
        batch.verify_crc().unwrap();
        let body = batch.decompressed_from(&bytes, 1 << 20).unwrap();
        let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let mut read = Vec::new();
        for (index, record) in batch.records(&body).enumerate() {
            let record = record.unwrap();
            prop_assert_eq!(record.offset, Offset(index as i64));
            let headers = record.headers.map(|header| (header.key.to_vec(), own(header.value))).collect();
            read.push((record.timestamp, own(record.key), own(record.value), headers));
        }
        prop_assert_eq!(&read, &records);
        let mut summaries = Vec::new();
        summarize(&batch.header, &body, |record| summaries.push((record.offset_delta, record.timestamp, record.has_key)))
            .unwrap();
        let expected: Vec<_> =
            records.iter().enumerate().map(|(index, record)| (index as i32, record.0, record.1.is_some())).collect();
        prop_assert_eq!(summaries, expected);
        prop_assert_eq!(batch.header.max_timestamp, records.iter().map(|record| record.0).max().unwrap().max(-1));
    }

    /// The two walks agree on what is well-formed.
    #[test]
    fn mutated_bodies_are_judged_alike(
        records in vec(record(), 1..6), at in any::<prop::sample::Index>(), byte in any::<u8>(), count in -1i32..8,
    ) {
        let mut bytes = build(Codec::None, &records).to_vec();
        let body = &mut bytes[HEADER_BYTES..];
        let position = at.index(body.len());
        body[position] = byte;
        let header = BatchHeader { record_count: count, ..RecordBatch::parse(&bytes).unwrap().header };
        let body = &bytes[HEADER_BYTES..];
        let walked = RecordIter::new(header, body).try_fold(0, |count, record| record.map(|_| count + 1));
        let mut visited = 0;
        let summarized = summarize(&header, body, |_| visited += 1).map(|()| visited);
        prop_assert_eq!(walked, summarized);
    }

    #[test]
    fn mutated_batches_do_not_panic(
        codec in codec(), records in vec(record(), 1..8), flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = build(codec, &records).to_vec();
        bytes.extend_from_within(..);
        for (at, byte) in flips {
            let position = at.index(bytes.len());
            bytes[position] = byte;
        }
        read_everything(&bytes);
    }

    #[test]
    fn any_bytes_behind_a_plausible_header_do_not_panic(
        body in vec(any::<u8>(), 0..300), attributes in any::<i16>(), count in any::<i32>(),
    ) {
        let header = BatchHeader {
            batch_length: (HEADER_BYTES - LOG_OVERHEAD_BYTES + body.len()) as i32,
            attributes: Attributes(attributes),
            record_count: count,
            ..BatchHeader::decode(&[0; HEADER_BYTES])
        };
        read_everything(&[&header.encode()[..], &body].concat());
    }

    #[test]
    fn any_bytes_given_to_a_codec_stay_within_the_bound(
        codec in codec(), bytes in vec(any::<u8>(), 0..300), prefixed in any::<bool>(),
    ) {
        let magic: &[u8] = match codec {
            _ if !prefixed => &[],
            Codec::None => &[],
            Codec::Gzip => &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0],
            Codec::Snappy => &[0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1],
            Codec::Lz4 => &[0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82],
            Codec::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
        };
        let mut buffer = DecompressionBuffer::default();
        let _ = buffer.decompress(codec, &[magic, &bytes].concat(), 4_096);
        prop_assert!(buffer.into_bytes().len() <= 4_096);
    }
}
