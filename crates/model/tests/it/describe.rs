//! What a batch holds, as text in the form of the fixtures.

use std::fmt::Write;
use whimbrel_model::record::{
    BatchBuilder, BatchOptions, Compression, DecompressionBuffer, RecordBatch, TimestampType,
};

const BYTES_MAX: usize = 1 << 20;

pub fn describe(bytes: &[u8]) -> String {
    let batch = RecordBatch::parse(bytes).unwrap();
    batch.verify_crc().unwrap();
    let header = batch.header;
    let attributes = header.attributes;
    let timestamp_type = match attributes.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    let mut out = format!(
        "batch base={} last={} epoch={} count={} codec={} type={} max={} pid={} pepoch={} seq={}..{} txn={} control={}\n",
        header.base_offset,
        header.last_offset(),
        header.partition_leader_epoch,
        header.record_count,
        attributes.codec().unwrap(),
        timestamp_type,
        header.max_timestamp,
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        header.last_sequence(),
        attributes.is_transactional(),
        attributes.is_control(),
    );
    let mut buffer = DecompressionBuffer::default();
    for record in batch.records(batch.decompressed(BYTES_MAX, &mut buffer).unwrap()) {
        let record = record.unwrap();
        let (key, value) = (text(record.key), text(record.value));
        write!(out, "record {} {} {key} {value}", record.offset, record.timestamp).unwrap();
        for header in record.headers {
            write!(out, " {}={}", text(Some(header.key)), text(header.value)).unwrap();
        }
        out.push('\n');
    }
    out
}

/// The batch built anew from its records and header fields.
pub fn rebuild(bytes: &[u8], compression: Compression) -> Vec<u8> {
    let batch = RecordBatch::parse(bytes).unwrap();
    let header = batch.header;
    let is_stamped = header.attributes.timestamp_type() == TimestampType::LogAppendTime;
    let mut builder = BatchBuilder::new(BatchOptions {
        compression,
        base_offset: header.base_offset,
        partition_leader_epoch: header.partition_leader_epoch,
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        is_transactional: header.attributes.is_transactional(),
        is_control: header.attributes.is_control(),
        log_append_time: is_stamped.then_some(header.max_timestamp),
    });
    let mut buffer = DecompressionBuffer::default();
    let body = batch.decompressed(BYTES_MAX, &mut buffer).unwrap();
    // The records keep their create times under a log append time.
    let mut as_created = header;
    if is_stamped {
        as_created.attributes.0 &= !0x08;
    }
    for record in whimbrel_model::record::RecordIter::new(as_created, body) {
        builder.append_record(&record.unwrap()).unwrap();
    }
    builder.build().unwrap().to_vec()
}

fn text(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "null".into() };
    if 40 < bytes.len() {
        return format!("{}-bytes-crc32c-{:08x}", bytes.len(), crc32c::crc32c(bytes));
    }
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
