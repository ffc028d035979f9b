use super::super::compression::{CompressionError, compress};
use super::*;

fn compressed(codec: Codec, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress(Compression::new(codec), body, &mut out).unwrap();
    out
}

fn decompressed(codec: Codec, body: &[u8], bytes_max: usize) -> Result<Vec<u8>, CompressionError> {
    DecompressionBuffer::default().decompress(codec, body, bytes_max).map(<[u8]>::to_vec)
}

#[test]
fn every_codec_round_trips_at_every_size_and_level() {
    let mut noise = 1u32;
    let body: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if noise & 0x8000_0000 == 0 { b'a' } else { (noise >> 16) as u8 }
    })
    .take(300_000)
    .collect();
    for codec in Codec::ALL {
        for size in [0, 1, 100, 32 * 1024, 64 * 1024, 64 * 1024 + 1, body.len()] {
            let bytes = compressed(codec, &body[..size]);
            assert_eq!(decompressed(codec, &bytes, size).unwrap(), &body[..size], "{codec} {size}");
        }
        for level in codec.levels().into_iter().flat_map(|levels| [*levels.start(), 5, *levels.end()]) {
            let mut out = Vec::new();
            compress(Compression::with_level(codec, level).unwrap(), &body[..5_000], &mut out).unwrap();
            assert_eq!(decompressed(codec, &out, 5_000).unwrap(), &body[..5_000], "{codec} level {level}");
        }
    }
}

#[test]
fn batches_of_every_codec_hold_the_same_records() {
    let plain = sample(BatchOptions::default(), 500);
    let plain = RecordBatch::parse(&plain).unwrap();
    let expected = read_all(&plain, plain.body());
    for codec in Codec::ALL {
        let bytes = sample(BatchOptions { compression: Compression::new(codec), ..BatchOptions::default() }, 500);
        let batch = RecordBatch::parse(&bytes).unwrap();
        batch.verify_crc().unwrap();
        assert_eq!(batch.header.attributes.codec(), Ok(codec));
        let mut buffer = DecompressionBuffer::default();
        assert_eq!(read_all(&batch, batch.decompressed(1 << 20, &mut buffer).unwrap()), expected, "{codec}");
        assert_eq!(read_all(&batch, &batch.decompressed_from(&bytes, 1 << 20).unwrap()), expected, "{codec}");
    }
}

#[test]
fn output_beyond_the_bound_is_refused_and_never_held() {
    let body = vec![7; 8 << 20];
    for codec in Codec::ALL {
        let bytes = compressed(codec, &body);
        for bytes_max in [0, 1, 100_000, body.len() - 1] {
            let mut buffer = DecompressionBuffer::default();
            let error = buffer.decompress(codec, &bytes, bytes_max).unwrap_err();
            assert_eq!(error, CompressionError::TooLarge { bytes_max }, "{codec}");
            assert!(buffer.into_bytes().len() <= bytes_max, "{codec}");
        }
        assert_eq!(decompressed(codec, &bytes, body.len()).unwrap().len(), body.len(), "{codec}");
    }
}

#[test]
fn cut_stream_is_an_error_at_every_length() {
    let body: Vec<u8> = (0..3_000u32).flat_map(u32::to_le_bytes).collect();
    for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd] {
        let bytes = compressed(codec, &body);
        for cut in 0..bytes.len() {
            assert!(decompressed(codec, &bytes[..cut], 1 << 20).is_err(), "{codec} cut at {cut}");
        }
    }
    // A snappy stream has no end mark: what is missing shows in the count of records.
    let bytes = compressed(Codec::Snappy, &body);
    assert!(decompressed(Codec::Snappy, &bytes[..bytes.len() - 1], 1 << 20).is_err());
    assert!(decompressed(Codec::Snappy, &[], 1 << 20).is_err());
}

#[test]
fn raw_snappy_and_joined_streams_are_read() {
    let body = b"abcabcabcabcabcabc".repeat(40);
    let raw = snap::raw::Encoder::new().compress_vec(&body).unwrap();
    assert_eq!(decompressed(Codec::Snappy, &raw, 1 << 20).unwrap(), body);
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Zstd] {
        let once = compressed(codec, &body);
        assert_eq!(decompressed(codec, &once.repeat(2), 1 << 20).unwrap(), body.repeat(2), "{codec}");
    }
}

#[test]
fn snappy_size_that_cannot_come_out_is_not_allocated() {
    // Declares 1 GiB in front of three bytes.
    let error = decompressed(Codec::Snappy, &[0x80, 0x80, 0x80, 0x80, 0x04, 0, 0, 0], usize::MAX).unwrap_err();
    assert!(matches!(error, CompressionError::Malformed { codec: Codec::Snappy, .. }));
}

#[test]
fn lz4_frames_that_kafka_refuses_are_refused() {
    let good = compressed(Codec::Lz4, b"some text, some text, some text");
    assert_eq!(&good[..7], &[0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82], "Kafka's own frame header");
    let with = |position: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[position] = byte;
        decompressed(Codec::Lz4, &bytes, 1 << 20)
    };
    assert!(with(0, 0).is_err(), "magic");
    assert!(with(4, 0x40).is_err(), "dependent blocks");
    assert!(with(4, 0x61).is_err(), "dictionary");
    assert!(with(5, 0x30).is_err(), "block size");
    assert!(with(6, 0).is_err(), "header checksum");
}

#[test]
fn unknown_codec_ids_are_named() {
    assert_eq!(Attributes(5).codec(), Err(CompressionError::UnknownCodec(5)));
    assert_eq!(Codec::from_name("lz4"), Some(Codec::Lz4));
    assert_eq!(Codec::from_name("LZ4"), None);
    assert_eq!(Compression::with_level(Codec::Gzip, 10), None);
    assert_eq!(Compression::with_level(Codec::Gzip, -1), Some(Compression::new(Codec::Gzip)));
}
