//! Batches that Apache Kafka wrote: see fixtures/README.md.

mod describe;

use describe::describe;
use std::fs;
use std::path::{Path, PathBuf};
use whimbrel_model::record::{BatchError, Codec, Compression, RecordBatch, compression};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

#[test]
fn every_batch_of_kafka_reads_as_kafka_reads_it() {
    let mut count = 0;
    for entry in fs::read_dir(fixtures()).unwrap() {
        let text_path = entry.unwrap().path();
        if text_path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let bytes = fs::read(text_path.with_extension("batch")).unwrap();
        let text = fs::read_to_string(&text_path).unwrap();
        assert_eq!(describe(&bytes), text, "{}", text_path.display());
        count += 1;
    }
    assert_eq!(count, 18);
}

#[test]
fn old_message_formats_of_kafka_are_recognised() {
    for magic in [0, 1] {
        let bytes = fs::read(fixtures().join(format!("legacy-v{magic}.batch"))).unwrap();
        assert_eq!(RecordBatch::parse(&bytes).map(|_| ()), Err(BatchError::LegacyFormat(magic)));
    }
}

/// Records built from those of a fixture give the very bytes that Kafka wrote, where there is no codec to differ.
#[test]
fn builder_writes_the_bytes_that_kafka_writes() {
    for name in ["none", "idempotent", "log-append-time", "commit", "abort"] {
        let bytes = fs::read(fixtures().join(name).with_extension("batch")).unwrap();
        assert_eq!(describe::rebuild(&bytes, Compression::NONE), bytes, "{name}");
    }
}

#[test]
fn snappy_and_lz4_framing_start_as_kafka_starts_them() {
    for (codec, framing_bytes) in [(Codec::Snappy, 16), (Codec::Lz4, 7), (Codec::Gzip, 4)] {
        let theirs = fs::read(fixtures().join(codec.name()).with_extension("batch")).unwrap();
        let mut ours = Vec::new();
        compression::compress(Compression::new(codec), b"some text", &mut ours).unwrap();
        assert_eq!(ours[..framing_bytes], theirs[61..61 + framing_bytes], "{codec}");
    }
}
