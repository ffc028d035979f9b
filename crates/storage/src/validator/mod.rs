//! Checks what is about to be appended to a leader's log, and brings it into the form the log keeps.
//!
//! ```text
//! Bytes of one partition ──validate──▶ ValidatedBatch ──assign(offset, epoch)──▶ header + body to write
//! ```
//! [`validate`] needs neither the log nor its lock: offsets come in only with [`ValidatedBatch::assign`]. A batch that
//! keeps its codec is not copied: the header is patched in a copy of 61 bytes and the body stays a slice of the
//! request. Nothing is allocated per record.
//!
//! Source: Kafka 3.9's `UnifiedLog.analyzeAndValidateRecords` and `LogValidator`, with these differences:
//! - A record whose size does not match its fields is refused under every codec. Kafka looks only at uncompressed ones.
//! - Offset deltas other than 0, 1, 2… are put right under every codec. Kafka does so only for compressed batches and
//!   would hand out the wrong offsets of the others for ever.
//! - At most [`REJECTIONS_LISTED_MAX`] record errors are listed.

mod error;
mod replicated;
mod walk;

#[cfg(test)]
mod tests;

pub use error::{RecordFault, RecordRejection, RejectedRecords, ValidationError};
pub use replicated::{ReplicatedBatches, ReplicationError, check_replicated};

use bytes::Bytes;
use std::cell::RefCell;
use whimbrel_model::record::compression::DECOMPRESSED_BYTES_MAX;
use whimbrel_model::record::{
    BatchBuilder, BatchHeader, BatchOptions, Batches, Codec, Compression, ControlError, DecompressionBuffer,
    EndTxnMarker, HEADER_BYTES, NO_TIMESTAMP, RecordBatch, TimestampType, assign_offset, set_max_timestamp,
};
use whimbrel_model::{LeaderEpoch, Offset};

/// Record errors listed in one answer. A batch of one megabyte can hold 150,000 records; a client that gets a thousand
/// of them named knows what to look for.
pub const REJECTIONS_LISTED_MAX: usize = 1_000;

/// Who appends. Coordinators and replication may write what clients may not: control batches, offsets other than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A Produce request.
    Client,
    /// A group or transaction coordinator on this broker: its own records, or transaction markers.
    Coordinator,
    /// A copy of what the leader has accepted.
    Replication,
}

/// `compression.type` of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetCompression {
    /// `producer`: as the producer compressed it.
    #[default]
    Producer,
    /// Always this one; `uncompressed` is [`Compression::NONE`].
    Fixed(Compression),
}

/// The topic's settings that decide what may be appended, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendRules {
    pub compression: TargetCompression,
    /// `cleanup.policy` includes `compact`: every record needs a key.
    pub is_compacted: bool,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far behind the broker's clock a create time may be.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far ahead of the broker's clock a create time may be.
    pub timestamp_after_max_ms: i64,
    /// `max.message.bytes`: bound of one batch, as received and as rewritten.
    pub message_bytes_max: usize,
    /// `segment.bytes`: a batch must fit a segment.
    pub segment_bytes: usize,
}

impl Default for AppendRules {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            compression: TargetCompression::Producer,
            is_compacted: false,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 60 * 60 * 1000,
            message_bytes_max: 1024 * 1024 + 12,
            segment_bytes: 1024 * 1024 * 1024,
        }
    }
}

/// One batch, checked and in its final form but for the offset.
#[derive(Debug, Clone)]
pub struct ValidatedBatch {
    header: [u8; HEADER_BYTES],
    body: Bytes,
    is_rebuilt: bool,
}

impl ValidatedBatch {
    /// Gives the batch its place in the log. May be called again with another.
    pub fn assign(&mut self, base_offset: Offset, leader_epoch: LeaderEpoch) {
        assign_offset(&mut self.header, base_offset, leader_epoch);
    }

    #[must_use]
    pub fn header(&self) -> BatchHeader {
        BatchHeader::decode(&self.header)
    }

    /// The first piece to write.
    #[must_use]
    pub fn header_bytes(&self) -> &[u8; HEADER_BYTES] {
        &self.header
    }

    /// The second piece to write.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    #[must_use]
    pub fn size_in_bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    /// The largest timestamp, and the offset by which the time index finds it: the batch's last, as in Kafka.
    /// `None` if no record has a timestamp.
    #[must_use]
    pub fn max_timestamp(&self) -> Option<(i64, Offset)> {
        let header = self.header();
        (header.max_timestamp != NO_TIMESTAMP).then(|| (header.max_timestamp, header.last_offset()))
    }

    /// What the batch says if it ends a transaction.
    ///
    /// # Errors
    /// A control record that cannot be read.
    pub fn end_txn_marker(&self) -> Result<Option<EndTxnMarker>, ControlError> {
        let header = self.header();
        if !header.attributes.is_control() {
            return Ok(None);
        }
        EndTxnMarker::from_parts(&header, &self.body)
    }

    /// The body is not the received one: recompressed, or with offset deltas put right.
    #[must_use]
    pub fn is_rebuilt(&self) -> bool {
        self.is_rebuilt
    }
}

thread_local! {
    static BUFFER: RefCell<DecompressionBuffer> = RefCell::new(DecompressionBuffer::default());
}

/// Checks the one batch in `records`, for a leader. `now_ms` is the broker's clock, in milliseconds since 1970.
///
/// What follows the batch and is not a whole batch itself is dropped, as Kafka does.
///
/// # Errors
/// The first that applies, in Kafka's order; each variant says its protocol code. Nothing was changed then.
pub fn validate(
    records: &Bytes,
    origin: AppendOrigin,
    now_ms: i64,
    rules: &AppendRules,
) -> Result<ValidatedBatch, ValidationError> {
    let batch = single_batch(records, origin, rules)?;
    let source = batch.header.attributes.codec()?;
    check_header(&batch.header, origin)?;
    let target = target_compression(&batch.header, source, rules);
    let validated = if source == Codec::None {
        validate_body(records, &batch, batch.body(), target, now_ms, rules)?
    } else {
        BUFFER.with_borrow_mut(|buffer| {
            let validated = batch
                .decompressed(DECOMPRESSED_BYTES_MAX, buffer)
                .map_err(ValidationError::from)
                .and_then(|body| validate_body(records, &batch, body, target, now_ms, rules));
            buffer.shrink();
            validated
        })?
    };
    check_size(validated.size_in_bytes(), rules)?;
    if rules.segment_bytes < validated.size_in_bytes() {
        return Err(ValidationError::SetTooLarge { size: validated.size_in_bytes(), size_max: rules.segment_bytes });
    }
    Ok(validated)
}

/// The batch in `records`, intact and of allowed size.
fn single_batch<'a>(
    records: &'a Bytes,
    origin: AppendOrigin,
    rules: &AppendRules,
) -> Result<RecordBatch<'a>, ValidationError> {
    let mut batches = Batches::new(records);
    let batch = batches.next().ok_or(ValidationError::NoBatch)??;
    if origin == AppendOrigin::Client && batch.header.base_offset != Offset(0) {
        return Err(ValidationError::BaseOffset(batch.header.base_offset));
    }
    check_size(batch.header.size_in_bytes(), rules)?;
    batch.verify_crc()?;
    match batches.next() {
        None => Ok(batch),
        Some(Ok(_)) => Err(ValidationError::SeveralBatches),
        Some(Err(error)) => Err(error.into()),
    }
}

fn check_size(size: usize, rules: &AppendRules) -> Result<(), ValidationError> {
    if rules.message_bytes_max < size {
        return Err(ValidationError::MessageTooLarge { size, size_max: rules.message_bytes_max });
    }
    Ok(())
}

/// What a client may not say in a header.
fn check_header(header: &BatchHeader, origin: AppendOrigin) -> Result<(), ValidationError> {
    if origin != AppendOrigin::Client {
        return Ok(());
    }
    if header.last_offset_delta < 0 {
        return Err(ValidationError::OffsetRange { last_offset_delta: header.last_offset_delta });
    }
    if header.record_count <= 0 {
        return Err(ValidationError::RecordCount(header.record_count));
    }
    if i64::from(header.last_offset_delta) + 1 != i64::from(header.record_count) {
        return Err(ValidationError::OffsetsAndCount {
            last_offset_delta: header.last_offset_delta,
            record_count: header.record_count,
        });
    }
    if header.attributes.is_control() {
        return Err(ValidationError::ControlBatch);
    }
    if header.has_producer_id() && header.base_sequence < 0 {
        return Err(ValidationError::Sequence { sequence: header.base_sequence, producer_id: header.producer_id });
    }
    Ok(())
}

/// How the batch is to be kept. A control batch is compressed only if it came so.
fn target_compression(header: &BatchHeader, source: Codec, rules: &AppendRules) -> Compression {
    match rules.compression {
        TargetCompression::Producer => Compression::new(source),
        TargetCompression::Fixed(_) if source == Codec::None && header.attributes.is_control() => Compression::NONE,
        TargetCompression::Fixed(compression) => compression,
    }
}

/// Checks the records in `body`, which is that of `batch`, decompressed.
fn validate_body(
    records: &Bytes,
    batch: &RecordBatch<'_>,
    body: &[u8],
    target: Compression,
    now_ms: i64,
    rules: &AppendRules,
) -> Result<ValidatedBatch, ValidationError> {
    let header = &batch.header;
    let walked = walk::walk(header, body, now_ms, rules)?;
    let log_append_time = (rules.timestamp_type == TimestampType::LogAppendTime).then_some(now_ms);
    let keeps_codec = header.attributes.codec() == Ok(target.codec);
    // A batch that the cleaner emptied has nothing to rebuild.
    if header.record_count == 0 || (keeps_codec && walked.offsets_are_consecutive) {
        let mut patched = batch.header_bytes();
        let max_timestamp = log_append_time.unwrap_or(walked.max_timestamp);
        set_max_timestamp(&mut patched, batch.body(), rules.timestamp_type, max_timestamp);
        return Ok(ValidatedBatch { header: patched, body: records.slice_ref(batch.body()), is_rebuilt: false });
    }
    rebuild(batch, body, target, log_append_time)
}

/// Writes the batch anew with the records of `body`, offsets counting from 0.
fn rebuild(
    batch: &RecordBatch<'_>,
    body: &[u8],
    target: Compression,
    log_append_time: Option<i64>,
) -> Result<ValidatedBatch, ValidationError> {
    let header = &batch.header;
    let options = BatchOptions {
        compression: target,
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        is_transactional: header.attributes.is_transactional(),
        is_control: header.attributes.is_control(),
        log_append_time,
        ..BatchOptions::default()
    };
    let mut builder = BatchBuilder::with_capacity(options, body.len());
    for record in batch.records(body) {
        builder.append_record(&record?)?;
    }
    let rebuilt = builder.build()?;
    let Some(header) = rebuilt.first_chunk::<HEADER_BYTES>() else { return Err(ValidationError::NoBatch) };
    Ok(ValidatedBatch { header: *header, body: rebuilt.slice(HEADER_BYTES..), is_rebuilt: true })
}
