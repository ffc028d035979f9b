//! Requests about records, short enough to be listed.

use bytes::Bytes;
use whimbrel_model::record::{BatchBuilder, BatchOptions};
use whimbrel_model::{ProducerEpoch, ProducerId, Uuid};
use whimbrel_wire::fetch::{FetchPartition, FetchTopic};
use whimbrel_wire::produce::{PartitionProduceData, TopicProduceData};
use whimbrel_wire::{FetchRequest, ProduceRequest, Records};

/// When the records were made, so that both brokers have the same.
pub const THEN: i64 = 1_700_000_000_000;

/// A batch of these records: time after [`THEN`], key, value.
pub fn batch_with(options: BatchOptions, records: &[(i64, Option<&str>, Option<&str>)]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for (after, key, value) in records {
        builder.append(THEN + after, key.map(str::as_bytes), value.map(str::as_bytes), []).unwrap();
    }
    builder.build().unwrap()
}

/// `count` records, a millisecond apart.
pub fn batch(count: usize) -> Bytes {
    batch_with(BatchOptions::default(), &vec_of(count))
}

pub fn vec_of(count: usize) -> Vec<(i64, Option<&'static str>, Option<&'static str>)> {
    (0..count).map(|index| (i64::try_from(index).unwrap(), Some("key"), Some("value"))).collect()
}

/// A batch of an idempotent producer.
pub fn sequenced(producer_id: i64, epoch: i16, base_sequence: i32, count: usize) -> Bytes {
    let options = BatchOptions {
        producer_id: ProducerId(producer_id),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence,
        ..BatchOptions::default()
    };
    batch_with(options, &vec_of(count))
}

/// `bytes` changed by `change`, with the checksum that it then needs.
pub fn changed(bytes: &Bytes, change: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    const CRC_AT: usize = 17;
    const CHECKED_FROM: usize = 21;
    let mut bytes = bytes.to_vec();
    change(&mut bytes);
    let crc = crc32c(&bytes[CHECKED_FROM..]);
    bytes[CRC_AT..CHECKED_FROM].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

/// CRC-32C, bit by bit: no dependency for a few hundred bytes.
fn crc32c(bytes: &[u8]) -> u32 {
    let shifted = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), shifted))
}

/// A topic under both of its names.
#[derive(Clone)]
pub struct Topic {
    pub name: String,
    pub id: Uuid,
}

pub fn produce(topic: &Topic, acks: i16, partitions: &[(i32, Option<Bytes>)]) -> ProduceRequest {
    let one = |(index, records): &(i32, Option<Bytes>)| PartitionProduceData {
        index: *index,
        records: records.clone().map(Records::from),
    };
    let partition_data = partitions.iter().map(one).collect();
    ProduceRequest {
        transactional_id: None,
        acks,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData { name: topic.name.as_str().into(), topic_id: topic.id, partition_data }],
    }
}

/// Reads at once what is there.
pub fn fetch(topic: &Topic, partitions: &[(i32, i64)]) -> FetchRequest {
    let one = |(partition, fetch_offset): &(i32, i64)| FetchPartition {
        partition: *partition,
        fetch_offset: *fetch_offset,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    let partitions = partitions.iter().map(one).collect();
    FetchRequest {
        topics: vec![FetchTopic { topic: topic.name.as_str().into(), topic_id: topic.id, partitions }],
        max_wait_ms: 0,
        min_bytes: 0,
        ..Default::default()
    }
}
