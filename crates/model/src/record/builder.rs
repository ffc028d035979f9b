//! Writes a batch.

use super::batch::seal;
use super::compression::{self, Compression, CompressionError};
use super::varint::{put_varint, put_varlong, varint_len, varlong_len};
use super::{
    Attributes, BatchHeader, HEADER_BYTES, Header, LOG_OVERHEAD_BYTES, NO_SEQUENCE, NO_TIMESTAMP, Record, TimestampType,
};
use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use bytes::Bytes;

/// Why a batch cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("batch would exceed {} bytes", i32::MAX)]
    TooLarge,
    #[error("batch has no record")]
    Empty,
    #[error(transparent)]
    Compression(#[from] CompressionError),
}

/// What a batch is besides its records. The default is a plain, uncompressed batch of a client.
#[derive(Debug, Clone, Copy)]
pub struct BatchOptions {
    pub compression: Compression,
    pub base_offset: Offset,
    pub partition_leader_epoch: LeaderEpoch,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    /// -1 for none.
    pub base_sequence: i32,
    pub is_transactional: bool,
    pub is_control: bool,
    /// When the broker appends the batch, if that is what its timestamps are to say.
    pub log_append_time: Option<i64>,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            compression: Compression::NONE,
            base_offset: Offset(0),
            partition_leader_epoch: LeaderEpoch::NONE,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: NO_SEQUENCE,
            is_transactional: false,
            is_control: false,
            log_append_time: None,
        }
    }
}

/// Collects records, offsets counting from the base, and seals them into one batch.
#[derive(Debug)]
pub struct BatchBuilder {
    options: BatchOptions,
    /// Room for the header, then the records, not compressed.
    bytes: Vec<u8>,
    record_count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    #[must_use]
    pub fn new(options: BatchOptions) -> Self {
        Self::with_capacity(options, 0)
    }

    /// As [`Self::new`], with room for `body_bytes` of records.
    #[must_use]
    pub fn with_capacity(options: BatchOptions, body_bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body_bytes);
        bytes.resize(HEADER_BYTES, 0);
        Self { options, bytes, record_count: 0, base_timestamp: NO_TIMESTAMP, max_timestamp: NO_TIMESTAMP }
    }

    /// Appends a record. `timestamp` is in milliseconds since 1970, -1 for none.
    ///
    /// # Errors
    /// `TooLarge` if the uncompressed batch would not fit its 31-bit length; the builder is then as it was.
    pub fn append<'h, H>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: H,
    ) -> Result<(), BuildError>
    where
        H: IntoIterator<Item = Header<'h>>,
        H::IntoIter: Clone,
    {
        let headers = headers.into_iter();
        let mut size = 0usize;
        let mut count = 0usize;
        for header in headers.clone() {
            size = size.saturating_add(field_len(Some(header.key))).saturating_add(field_len(header.value));
            count += 1;
        }
        self.append_raw(timestamp, key, value, count, size, |out| {
            for header in headers {
                put_field(out, Some(header.key));
                put_field(out, header.value);
            }
        })
    }

    /// Appends a record as another batch had it, except for its offset.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_record(&mut self, record: &Record<'_>) -> Result<(), BuildError> {
        let (headers, count) = record.headers.encoded();
        self.append_raw(record.timestamp, record.key, record.value, count, headers.len(), |out| {
            out.extend_from_slice(headers);
        })
    }

    fn append_raw(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        header_count: usize,
        headers_len: usize,
        put_headers: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), BuildError> {
        let base_timestamp = if self.record_count == 0 { timestamp } else { self.base_timestamp };
        let timestamp_delta = timestamp.wrapping_sub(base_timestamp);
        let offset_delta = self.record_count;
        let header_count = i32::try_from(header_count).map_err(|_| BuildError::TooLarge)?;
        // One byte of attributes comes first.
        let size = (1 + varlong_len(timestamp_delta) + varint_len(offset_delta) + varint_len(header_count))
            .saturating_add(field_len(key))
            .saturating_add(field_len(value))
            .saturating_add(headers_len);
        if i32::MAX as usize - 2 * HEADER_BYTES < self.bytes.len().saturating_add(size) {
            return Err(BuildError::TooLarge);
        }
        let out = &mut self.bytes;
        put_varint(out, size as i32);
        out.push(0);
        put_varlong(out, timestamp_delta);
        put_varint(out, offset_delta);
        put_field(out, key);
        put_field(out, value);
        put_varint(out, header_count);
        put_headers(out);
        self.base_timestamp = base_timestamp;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.record_count += 1;
        Ok(())
    }

    #[must_use]
    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Size that the batch has so far without compression, header included.
    #[must_use]
    pub fn uncompressed_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Seals the batch.
    ///
    /// # Errors
    /// `Empty` without a record, or what the codec says.
    pub fn build(self) -> Result<Bytes, BuildError> {
        if self.record_count == 0 {
            return Err(BuildError::Empty);
        }
        let Self { options, bytes, record_count, base_timestamp, max_timestamp } = self;
        let mut batch = match options.compression.codec {
            compression::Codec::None => bytes,
            _ => {
                let mut compressed = vec![0; HEADER_BYTES];
                let body = bytes.get(HEADER_BYTES..).unwrap_or_default();
                compression::compress(options.compression, body, &mut compressed)?;
                compressed
            }
        };
        let (timestamp_type, max_timestamp) = match options.log_append_time {
            Some(now) => (TimestampType::LogAppendTime, now),
            None => (TimestampType::CreateTime, max_timestamp),
        };
        let batch_length = i32::try_from(batch.len() - LOG_OVERHEAD_BYTES).map_err(|_| BuildError::TooLarge)?;
        let codec = options.compression.codec;
        let header = BatchHeader {
            base_offset: options.base_offset,
            batch_length,
            partition_leader_epoch: options.partition_leader_epoch,
            crc: 0,
            attributes: Attributes::new(codec, timestamp_type, options.is_transactional, options.is_control),
            last_offset_delta: record_count - 1,
            base_timestamp,
            max_timestamp,
            producer_id: options.producer_id,
            producer_epoch: options.producer_epoch,
            base_sequence: options.base_sequence,
            record_count,
        };
        seal(header, &mut batch);
        Ok(Bytes::from(batch))
    }
}

/// Size of a nullable field with its length.
fn field_len(field: Option<&[u8]>) -> usize {
    let Some(field) = field else { return varint_len(-1) };
    // A length above 2³¹-1 is refused by the check on the whole.
    let length = i32::try_from(field.len()).unwrap_or(i32::MAX);
    varint_len(length) + field.len()
}

fn put_field(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => put_varint(out, -1),
        Some(field) => {
            put_varint(out, field.len() as i32);
            out.extend_from_slice(field);
        }
    }
}
