//! A segment: its batches, and their records.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::Serialize;
use whimbrel_model::record::{
    BatchHeader, Codec, DecompressionBuffer, EndTxnMarker, HEADER_BYTES, LOG_OVERHEAD_BYTES, Record, RecordBatch,
    TimestampType,
};

use super::Lines;
use crate::output::text_or_base64;
use crate::progress::Progress;
use crate::times;

/// The most that one batch may decompress to.
const DECOMPRESSED_BYTES_MAX: usize = 1 << 30;

#[derive(Serialize)]
struct BatchLine {
    position: u64,
    size: usize,
    base_offset: i64,
    last_offset: i64,
    records: i32,
    leader_epoch: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    timestamp_type: &'static str,
    compression: &'static str,
    transactional: bool,
    control: bool,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    crc: u32,
    valid: bool,
}

#[derive(Serialize)]
struct RecordLine<'a> {
    offset: i64,
    timestamp: i64,
    key_size: i64,
    value_size: i64,
    headers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    control: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

#[derive(Serialize)]
struct DamageLine {
    position: u64,
    damage: String,
}

/// Prints a segment and tells how many damaged places it has. Damage of a batch's frame ends the walk: what follows
/// cannot be found.
pub(super) fn dump(path: &Path, deep: bool, data: bool, lines: &mut Lines) -> anyhow::Result<usize> {
    let file = File::open(path)?;
    let file_bytes = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut progress = Progress::new(Some(file_bytes), "bytes");
    let (mut position, mut damaged) = (0u64, 0);
    let mut bytes = Vec::new();
    let mut buffer = DecompressionBuffer::default();
    while position < file_bytes {
        match read_batch(&mut reader, file_bytes - position, &mut bytes)? {
            Err(damage) => {
                let line = DamageLine { position, damage };
                lines.line(&line, |line| format!("damaged at position {}: {}", line.position, line.damage))?;
                return Ok(damaged + 1);
            }
            Ok(batch) => {
                let line = batch_line(position, &batch);
                damaged += usize::from(!line.valid);
                lines.line(&line, batch_text)?;
                if deep && let Err(damage) = dump_records(&batch, data, &mut buffer, lines)? {
                    damaged += 1;
                    let line = DamageLine { position, damage };
                    lines.line(&line, |line| format!("  damaged records: {}", line.damage))?;
                }
                position += batch.bytes().len() as u64;
                progress.add(batch.bytes().len() as u64);
            }
        }
    }
    Ok(damaged)
}

/// Reads the next batch into `bytes`; what is wrong with its frame is the inner error.
fn read_batch<'a>(
    reader: &mut impl Read,
    left: u64,
    bytes: &'a mut Vec<u8>,
) -> std::io::Result<Result<RecordBatch<'a>, String>> {
    bytes.clear();
    reader.by_ref().take(LOG_OVERHEAD_BYTES as u64).read_to_end(bytes)?;
    let Some(length) = bytes.get(8..12).and_then(|length| length.first_chunk::<4>()) else {
        return Ok(Err(format!("{left} bytes are left, less than a batch header")));
    };
    let length = i32::from_be_bytes(*length);
    let body = u64::try_from(length).ok().filter(|length| length + LOG_OVERHEAD_BYTES as u64 <= left);
    let Some(body) = body.filter(|_| HEADER_BYTES - LOG_OVERHEAD_BYTES <= length.unsigned_abs() as usize) else {
        let zeros = if bytes.iter().all(|byte| *byte == 0) { " (zeros: preallocated, or lost in a crash)" } else { "" };
        return Ok(Err(format!("a batch of {length} bytes where {left} are left{zeros}")));
    };
    reader.by_ref().take(body).read_to_end(bytes)?;
    Ok(RecordBatch::parse(bytes).map_err(|error| error.to_string()))
}

fn batch_line(position: u64, batch: &RecordBatch<'_>) -> BatchLine {
    let BatchHeader { attributes, .. } = batch.header;
    let timestamp_type = match attributes.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    BatchLine {
        position,
        size: batch.bytes().len(),
        base_offset: batch.header.base_offset.0,
        last_offset: batch.header.last_offset().0,
        records: batch.header.record_count,
        leader_epoch: batch.header.partition_leader_epoch.0,
        base_timestamp: batch.header.base_timestamp,
        max_timestamp: batch.header.max_timestamp,
        timestamp_type,
        compression: attributes.codec().map_or("unknown", Codec::name),
        transactional: attributes.is_transactional(),
        control: attributes.is_control(),
        producer_id: batch.header.producer_id.0,
        producer_epoch: batch.header.producer_epoch.0,
        base_sequence: batch.header.base_sequence,
        crc: batch.header.crc,
        valid: batch.verify_crc().is_ok(),
    }
}

fn batch_text(line: &BatchLine) -> String {
    let producer = if line.producer_id < 0 {
        String::new()
    } else {
        format!(" producer {} epoch {} sequence {}", line.producer_id, line.producer_epoch, line.base_sequence)
    };
    let flags = [(line.transactional, " transactional"), (line.control, " control"), (!line.valid, " WRONG CRC")];
    let flags: String = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| *flag).collect();
    format!(
        "batch at {} offsets {}..{} records {} size {} epoch {} {} {} {}{producer}{flags}",
        line.position,
        line.base_offset,
        line.last_offset,
        line.records,
        line.size,
        line.leader_epoch,
        line.compression,
        line.timestamp_type,
        times::show(line.max_timestamp),
    )
}

fn dump_records(
    batch: &RecordBatch<'_>,
    data: bool,
    buffer: &mut DecompressionBuffer,
    lines: &mut Lines,
) -> std::io::Result<Result<(), String>> {
    let body = match batch.decompressed(DECOMPRESSED_BYTES_MAX, buffer) {
        Ok(body) => body,
        Err(error) => return Ok(Err(error.to_string())),
    };
    for record in batch.records(body) {
        match record {
            Err(error) => return Ok(Err(error.to_string())),
            Ok(record) => lines.line(&record_line(batch, &record, data), record_text)?,
        }
    }
    Ok(Ok(()))
}

fn record_line<'a>(batch: &RecordBatch<'_>, record: &Record<'a>, data: bool) -> RecordLine<'a> {
    let size = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| bytes.len() as i64);
    let shown = |bytes: Option<&'a [u8]>| bytes.filter(|_| data).map(text_or_base64).unwrap_or_default();
    let control = batch.header.attributes.is_control().then(|| match EndTxnMarker::from_record(record) {
        Ok(Some(marker)) if marker.is_commit => "commit",
        Ok(Some(_)) => "abort",
        _ => "other",
    });
    let (key, key_base64) = shown(record.key);
    let (value, value_base64) = shown(record.value);
    RecordLine {
        offset: record.offset.0,
        timestamp: record.timestamp,
        key_size: size(record.key),
        value_size: size(record.value),
        headers: record.headers.map(|header| String::from_utf8_lossy(header.key).into_owned()).collect(),
        control,
        key,
        key_base64,
        value,
        value_base64,
    }
}

fn record_text(line: &RecordLine<'_>) -> String {
    let mut text = format!("  record {} {}", line.offset, times::show(line.timestamp));
    text += &format!(" key {} value {}", line.key_size, line.value_size);
    if !line.headers.is_empty() {
        text += &format!(" headers {}", line.headers.join(","));
    }
    if let Some(control) = line.control {
        text += &format!(" {control}");
    }
    let parts = [("key", line.key, &line.key_base64), ("value", line.value, &line.value_base64)];
    for (name, plain, base64) in parts {
        match (plain, base64) {
            (Some(plain), _) => text += &format!(" {name}={plain}"),
            (None, Some(base64)) => text += &format!(" {name}=base64:{base64}"),
            (None, None) => {}
        }
    }
    text
}
