//! Batches of message format v2 as the load makes them: each record a copied payload with a name in front of it.
//!
//! The encoder is specialised because it is most of what the generator costs: no allocation for a record, what is the
//! same in all records is computed once, the checksum goes over the batch in one piece. The tests read it with the
//! model's own decoder.

use bytes::Bytes;
use whimbrel_model::record::compression::{Codec, Compression, CompressionError, compress};
use whimbrel_model::record::varint::take_varint;
use whimbrel_model::record::{
    Attributes, BatchHeader, DecompressionBuffer, HEADER_BYTES, LOG_OVERHEAD_BYTES, RecordBatch, RecordError,
    TimestampType, offsets_of,
};
use whimbrel_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

/// The first bytes of each value.
pub const NAME_BYTES: usize = 16;
/// Producers that a name can tell apart.
pub const PRODUCERS_MAX: usize = 1 << 16;
/// Keys are the eight bytes of their number.
pub const KEY_BYTES: usize = 8;
/// What a record takes besides key and value, at least: length, attributes, deltas, lengths and headers. Batches are
/// filled by this estimate.
pub const HEADER_ALLOWANCE: usize = 10;
/// The longest varint of 32 bits.
const VARINT_BYTES_MAX: usize = 5;
/// What stands in front of a record's payload, at most: length, attributes, two deltas, the key, the value's length.
const PREFIX_BYTES_MAX: usize = 3 * VARINT_BYTES_MAX + 3 + KEY_BYTES + NAME_BYTES;
/// The largest body that is decompressed.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Which record it is, and when it was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    pub producer: u16,
    /// Counts from 0 for each producer in each partition; 48 bits are kept.
    pub number: u64,
    pub intended_ns: u64,
}

impl Name {
    const NUMBER_BITS: u32 = 48;

    #[inline]
    fn encode(self) -> [u8; NAME_BYTES] {
        let who = u128::from(self.producer) << Self::NUMBER_BITS | u128::from(self.number);
        (who << 64 | u128::from(self.intended_ns)).to_be_bytes()
    }

    #[inline]
    pub fn decode(bytes: &[u8; NAME_BYTES]) -> Self {
        let all = u128::from_be_bytes(*bytes);
        let who = (all >> 64) as u64;
        Self {
            producer: (who >> Self::NUMBER_BITS) as u16,
            number: who & ((1 << Self::NUMBER_BITS) - 1),
            intended_ns: all as u64,
        }
    }
}

/// What a batch is besides its records.
#[derive(Debug, Clone, Copy)]
pub struct BatchKind {
    pub compression: Compression,
    /// Id and epoch of an idempotent producer.
    pub producer: Option<(ProducerId, ProducerEpoch)>,
}

/// A batch that records are put into.
pub struct OpenBatch {
    /// Room for the header, then the records, not compressed.
    bytes: Vec<u8>,
    records: u32,
}

impl OpenBatch {
    /// Has room for `bytes` of records without growing.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut all = Vec::with_capacity(HEADER_BYTES + bytes);
        all.resize(HEADER_BYTES, 0);
        Self { bytes: all, records: 0 }
    }

    /// Bytes that it has before compression.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Adds the record with this name, the payload behind it, and perhaps a key.
    #[inline]
    pub fn push(&mut self, name: Name, key: Option<[u8; KEY_BYTES]>, payload: &[u8]) {
        let value_bytes = (NAME_BYTES + payload.len()) as u32;
        let mut prefix = [0; PREFIX_BYTES_MAX];
        // Attributes and the delta of the timestamp, one byte each, are 0; the number of headers at the end too.
        let mut at = VARINT_BYTES_MAX + 2;
        at = put_varint(&mut prefix, at, self.records);
        match key {
            // -1: no key.
            None => {
                prefix[at] = 1;
                at += 1;
            }
            Some(key) => {
                at = put_varint(&mut prefix, at, KEY_BYTES as u32);
                prefix[at..at + KEY_BYTES].copy_from_slice(&key);
                at += KEY_BYTES;
            }
        }
        at = put_varint(&mut prefix, at, value_bytes);
        prefix[at..at + NAME_BYTES].copy_from_slice(&name.encode());
        at += NAME_BYTES;
        // The length is known last and stands first, right before what it counts.
        let size = at - VARINT_BYTES_MAX + payload.len() + 1;
        let mut length = [0; VARINT_BYTES_MAX];
        let length_bytes = put_varint(&mut length, 0, size as u32);
        let begin = VARINT_BYTES_MAX - length_bytes;
        prefix[begin..VARINT_BYTES_MAX].copy_from_slice(&length[..length_bytes]);
        self.bytes.extend_from_slice(&prefix[begin..at]);
        self.bytes.extend_from_slice(payload);
        self.bytes.push(0);
        self.records += 1;
    }

    /// Compresses the records and writes the header. `timestamp` is that of all records, in milliseconds since 1970;
    /// `base_sequence` is -1 without idempotence.
    ///
    /// # Errors
    /// What the codec says.
    pub fn seal(self, kind: BatchKind, base_sequence: i32, timestamp: i64) -> Result<Bytes, CompressionError> {
        let Self { bytes, records } = self;
        let mut batch = match kind.compression.codec {
            Codec::None => bytes,
            _ => {
                let mut compressed = Vec::with_capacity(bytes.len() / 2);
                compressed.resize(HEADER_BYTES, 0);
                compress(kind.compression, &bytes[HEADER_BYTES..], &mut compressed)?;
                compressed
            }
        };
        let (producer_id, producer_epoch) = kind.producer.unwrap_or((ProducerId::NONE, ProducerEpoch::NONE));
        let header = BatchHeader {
            base_offset: Offset(0),
            batch_length: (batch.len() - LOG_OVERHEAD_BYTES) as i32,
            partition_leader_epoch: LeaderEpoch::NONE,
            crc: 0,
            attributes: Attributes::new(kind.compression.codec, TimestampType::CreateTime, false, false),
            last_offset_delta: records as i32 - 1,
            base_timestamp: timestamp,
            max_timestamp: timestamp,
            producer_id,
            producer_epoch,
            base_sequence,
            record_count: records as i32,
        };
        batch[..HEADER_BYTES].copy_from_slice(&header.encode());
        let crc = crc32c::crc32c(&batch[offsets_of::ATTRIBUTES..]);
        batch[offsets_of::CRC..offsets_of::ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
        Ok(Bytes::from(batch))
    }
}

/// Writes `value`, which is not negative, in zigzag at `at` and returns where the next one begins.
#[inline]
fn put_varint(to: &mut [u8], mut at: usize, value: u32) -> usize {
    let mut rest = value << 1;
    while 0x80 <= rest {
        to[at] = rest as u8 | 0x80;
        rest >>= 7;
        at += 1;
    }
    to[at] = rest as u8;
    at + 1
}

/// Calls `each` with the name of every record of a batch from `from` on, and with the bytes of its key and value.
///
/// # Errors
/// The bytes are not records, or cannot be decompressed.
pub fn read_names(
    batch: &RecordBatch<'_>,
    from: Offset,
    buffer: &mut DecompressionBuffer,
    mut each: impl FnMut(Name, usize),
) -> Result<(), ReadError> {
    let body = batch.decompressed(BODY_BYTES_MAX, buffer)?;
    let mut rest = body;
    for _ in 0..batch.header.record_count {
        let size = take_length(&mut rest)?;
        let (mut record, behind) = rest.split_at_checked(size).ok_or(RecordError::Truncated)?;
        rest = behind;
        // Attributes, then a delta that this load always writes as 0 in one byte.
        record = record.get(2..).ok_or(RecordError::Truncated)?;
        let offset = batch.header.base_offset.0 + i64::from(take_varint(&mut record)?);
        let key_bytes = take_varint(&mut record)?.max(0) as usize;
        record = record.get(key_bytes..).ok_or(RecordError::Truncated)?;
        let value_bytes = take_length(&mut record)?;
        let name = record.first_chunk::<NAME_BYTES>().ok_or(RecordError::Truncated)?;
        if from.0 <= offset {
            each(Name::decode(name), key_bytes + value_bytes);
        }
    }
    Ok(())
}

fn take_length(input: &mut &[u8]) -> Result<usize, RecordError> {
    let length = take_varint(input)?;
    usize::try_from(length).map_err(|_| RecordError::InvalidSize(length))
}

/// Why a fetched batch is not one of the load's.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Compression(#[from] CompressionError),
    #[error(transparent)]
    Record(#[from] RecordError),
}

#[cfg(test)]
mod tests;
