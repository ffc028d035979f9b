//! What the messages of the hot path cost: a Produce request to decode, a Fetch response to encode.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use whimbrel_wire::fetch::{FetchableTopicResponse, PartitionData};
use whimbrel_wire::produce::{PartitionProduceData, TopicProduceData};
use whimbrel_wire::{FetchRequest, FetchResponse, Frame, Message, ProduceRequest, Reader, RequestHeader, Str};

/// The last version that names topics by name, as most clients ask.
const PRODUCE_VERSION: i16 = 12;
const FETCH_VERSION: i16 = 12;
const PARTITIONS: [i32; 2] = [1, 10];
const BATCH_BYTES: usize = 16 * 1024;
/// Of the size in front of each frame, which the reader of frames takes off.
const SIZE_BYTES: usize = 4;

fn decode_produce(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wire/decode produce request");
    for partitions in PARTITIONS {
        let frame = produce_frame(partitions);
        group.throughput(Throughput::Elements(partitions as u64));
        group.bench_function(format!("{partitions} partitions"), |bencher| {
            bencher.iter(|| {
                let mut reader = Reader::new(black_box(&frame));
                let header = RequestHeader::decode(&mut reader).expect("it was just encoded");
                ProduceRequest::decode(&mut reader, header.api_version).expect("it was just encoded")
            });
        });
    }
}

fn produce_frame(partitions: i32) -> Bytes {
    let partition = |index| PartitionProduceData { index, records: Some(records()) };
    let topic = TopicProduceData {
        name: Str::from("orders"),
        partition_data: (0..partitions).map(partition).collect(),
        ..TopicProduceData::default()
    };
    let request = ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic], ..ProduceRequest::default() };
    let frame = Frame::request(&request, PRODUCE_VERSION, 7, Some("producer-1")).expect("the version has all fields");
    frame.into_bytes().slice(SIZE_BYTES..)
}

fn encode_fetch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wire/encode fetch response");
    for partitions in PARTITIONS {
        let response = fetch_response(partitions);
        group.throughput(Throughput::Elements(partitions as u64));
        group.bench_function(format!("{partitions} partitions"), |bencher| {
            bencher.iter(|| {
                Frame::response::<FetchRequest>(black_box(&response), FETCH_VERSION, 7)
                    .expect("the version has all fields")
            });
        });
    }
}

fn fetch_response(partitions: i32) -> FetchResponse {
    let partition = |partition_index| PartitionData {
        partition_index,
        high_watermark: 1_000_000,
        last_stable_offset: 1_000_000,
        log_start_offset: 0,
        records: Some(records()),
        ..PartitionData::default()
    };
    let topic = FetchableTopicResponse {
        topic: Str::from("orders"),
        partitions: (0..partitions).map(partition).collect(),
        ..FetchableTopicResponse::default()
    };
    FetchResponse { session_id: 5, responses: vec![topic], ..FetchResponse::default() }
}

/// Messages do not look into them.
fn records() -> whimbrel_wire::Records {
    Bytes::from(vec![7; BATCH_BYTES]).into()
}

/// Short: what is close is told apart by repeating whole runs, not by a longer one.
fn quick() -> Criterion {
    Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = messages; config = quick(); targets = decode_produce, encode_fetch }
criterion_main!(messages);
