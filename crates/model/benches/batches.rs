//! What a record batch costs: to build, to checksum, to walk over.

#[path = "support/records.rs"]
mod records;

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use records::{BATCHES_BYTES, CODECS, batch, name, values};
use whimbrel_model::record::{Codec, DecompressionBuffer, RecordBatch, summarize};

const DECOMPRESSED_BYTES_MAX: usize = 1024 * 1024;

fn build(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch/build");
    for batch_bytes in BATCHES_BYTES {
        let values = values(batch_bytes);
        group.throughput(Throughput::Elements(values.len() as u64));
        for codec in CODECS {
            group.bench_function(name(batch_bytes, codec), |bencher| {
                bencher.iter(|| batch(black_box(&values), codec).expect("the batch is small"));
            });
        }
    }
}

fn checksum(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch/checksum");
    for batch_bytes in BATCHES_BYTES {
        let bytes = built(batch_bytes, Codec::None);
        let batch = RecordBatch::parse(&bytes).expect("it was just built");
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name(batch_bytes, Codec::None), |bencher| {
            bencher.iter(|| black_box(&batch).verify_crc().expect("the checksum is right"));
        });
    }
}

/// Decompresses if need be and looks at every record, as validation does.
fn walk(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch/walk");
    for batch_bytes in BATCHES_BYTES {
        for codec in CODECS {
            let bytes = built(batch_bytes, codec);
            let batch = RecordBatch::parse(&bytes).expect("it was just built");
            let mut buffer = DecompressionBuffer::default();
            group.throughput(Throughput::Elements(batch.header.record_count as u64));
            group.bench_function(name(batch_bytes, codec), |bencher| {
                bencher.iter(|| {
                    let body = batch.decompressed(DECOMPRESSED_BYTES_MAX, &mut buffer).expect("it was just built");
                    summarize(&batch.header, body, |record| {
                        black_box(record);
                    })
                    .expect("it was just built");
                });
            });
        }
    }
}

fn built(batch_bytes: usize, codec: Codec) -> Bytes {
    batch(&values(batch_bytes), codec).expect("the batch is small")
}

/// Short: what is close is told apart by repeating whole runs, not by a longer one.
fn quick() -> Criterion {
    Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = batches; config = quick(); targets = build, checksum, walk }
criterion_main!(batches);
