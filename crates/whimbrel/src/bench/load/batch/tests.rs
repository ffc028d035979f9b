use super::*;

const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

fn kind(codec: Codec) -> BatchKind {
    BatchKind { compression: Compression::new(codec), producer: Some((ProducerId(7), ProducerEpoch(3))) }
}

fn name(number: u64) -> Name {
    Name { producer: 65_535, number: (1 << 47) + number, intended_ns: u64::MAX - number }
}

/// Payload sizes around the places where a varint grows.
fn payload(index: usize) -> Vec<u8> {
    vec![index as u8; [0, 46, 47, 48, 100, 8170, 8176, 70_000][index % 8]]
}

#[test]
fn the_model_reads_what_was_written() {
    for codec in ALL {
        for key in [None, Some(*b"key-0123")] {
            let mut open = OpenBatch::with_capacity(10);
            for index in 0..200 {
                open.push(name(index as u64), key, &payload(index));
            }
            let bytes = open.seal(kind(codec), 55, 1_700_000_000_000).unwrap();
            let batch = RecordBatch::parse(&bytes).unwrap();
            batch.verify_crc().unwrap();
            assert_eq!(batch.bytes().len(), bytes.len());
            let header = batch.header;
            assert_eq!((header.base_sequence, header.record_count, header.last_offset_delta), (55, 200, 199));
            assert_eq!((header.producer_id, header.producer_epoch), (ProducerId(7), ProducerEpoch(3)));
            let mut buffer = DecompressionBuffer::default();
            let body = batch.decompressed(BODY_BYTES_MAX, &mut buffer).unwrap();
            let mut count = 0;
            for (index, record) in batch.records(body).enumerate() {
                let record = record.unwrap();
                assert_eq!(record.key, key.as_ref().map(|key| &key[..]));
                assert_eq!(record.timestamp, 1_700_000_000_000);
                let expected = [&name(index as u64).encode()[..], &payload(index)].concat();
                assert_eq!(record.value, Some(&expected[..]));
                count += 1;
            }
            assert_eq!(count, 200, "{codec}");
        }
    }
}

#[test]
fn names_are_read_back_from_an_offset_on() {
    for codec in ALL {
        let mut open = OpenBatch::with_capacity(10);
        for index in 0..50 {
            open.push(name(index), Some([1; KEY_BYTES]), &payload(index as usize));
        }
        let bytes = open.seal(kind(codec), -1, 0).unwrap();
        let batch = RecordBatch::parse(&bytes).unwrap();
        let mut read = Vec::new();
        let mut buffer = DecompressionBuffer::default();
        read_names(&batch, Offset(10), &mut buffer, |name, bytes| read.push((name, bytes))).unwrap();
        let expected: Vec<_> =
            (10..50).map(|index| (name(index), KEY_BYTES + NAME_BYTES + payload(index as usize).len())).collect();
        assert_eq!(read, expected);
    }
}

#[test]
fn bytes_that_are_no_records_are_an_error() {
    let mut open = OpenBatch::with_capacity(10);
    open.push(name(0), None, b"");
    let mut bytes = open.seal(kind(Codec::None), -1, 0).unwrap().to_vec();
    let last = bytes.len() - 5;
    bytes.truncate(last);
    let length = (bytes.len() - LOG_OVERHEAD_BYTES) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let batch = RecordBatch::parse(&bytes).unwrap();
    let mut buffer = DecompressionBuffer::default();
    assert!(read_names(&batch, Offset(0), &mut buffer, |_, _| {}).is_err());
}
