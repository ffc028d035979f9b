//! The fixed header of a batch: 61 bytes, big-endian.

use super::compression::{Codec, CompressionError};
use super::{BatchError, MAGIC_V2, NO_SEQUENCE};
use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

/// Size of the header; the records follow it.
pub const HEADER_BYTES: usize = 61;
/// The base offset and the length, which the length does not count.
pub const LOG_OVERHEAD_BYTES: usize = 12;

/// Where each field of the header starts.
pub mod offsets_of {
    pub const BASE_OFFSET: usize = 0;
    pub const BATCH_LENGTH: usize = 8;
    pub const PARTITION_LEADER_EPOCH: usize = 12;
    pub const MAGIC: usize = 16;
    pub const CRC: usize = 17;
    /// The checksum covers everything from here on.
    pub const ATTRIBUTES: usize = 21;
    pub const LAST_OFFSET_DELTA: usize = 23;
    pub const BASE_TIMESTAMP: usize = 27;
    pub const MAX_TIMESTAMP: usize = 35;
    pub const PRODUCER_ID: usize = 43;
    pub const PRODUCER_EPOCH: usize = 51;
    pub const BASE_SEQUENCE: usize = 53;
    pub const RECORD_COUNT: usize = 57;
}
use offsets_of as at;

/// The smallest length field of any message format (a v0 message without key and value).
const LENGTH_MIN: i32 = 14;

/// What the timestamps of a topic or batch mean (`message.timestamp.type`, KIP-32).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// When the producer created the record.
    #[default]
    CreateTime,
    /// When the broker appended the batch: every record has the batch's `max_timestamp`.
    LogAppendTime,
}

/// The attribute bits of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    const CODEC_MASK: i16 = 0x07;
    const LOG_APPEND_TIME: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    const DELETE_HORIZON: i16 = 0x40;

    #[must_use]
    pub fn new(codec: Codec, timestamp_type: TimestampType, transactional: bool, control: bool) -> Self {
        let mut bits = i16::from(codec.id());
        if timestamp_type == TimestampType::LogAppendTime {
            bits |= Self::LOG_APPEND_TIME;
        }
        if transactional {
            bits |= Self::TRANSACTIONAL;
        }
        if control {
            bits |= Self::CONTROL;
        }
        Self(bits)
    }

    /// How the records are compressed.
    ///
    /// # Errors
    /// `UnknownCodec` for the three ids that stand for nothing.
    pub fn codec(self) -> Result<Codec, CompressionError> {
        Codec::from_id((self.0 & Self::CODEC_MASK) as u8)
    }

    #[must_use]
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 { TimestampType::CreateTime } else { TimestampType::LogAppendTime }
    }

    #[must_use]
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    #[must_use]
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// The base timestamp holds when the log cleaner may drop the batch's tombstones (KIP-534).
    #[must_use]
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// Drops the bits without a meaning, as Kafka does when it rewrites a batch.
    fn with_timestamp_type(self, timestamp_type: TimestampType) -> Self {
        let kept = self.0 & (Self::CODEC_MASK | Self::TRANSACTIONAL | Self::CONTROL | Self::DELETE_HORIZON);
        match timestamp_type {
            TimestampType::CreateTime => Self(kept),
            TimestampType::LogAppendTime => Self(kept | Self::LOG_APPEND_TIME),
        }
    }
}

/// The header of one batch, decoded. Only the size and the magic are checked here: the rest is what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: Offset,
    /// Bytes of the batch after this field: see [`Self::size_in_bytes`].
    pub batch_length: i32,
    /// Set by the leader; outside the checksum.
    pub partition_leader_epoch: LeaderEpoch,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    pub attributes: Attributes,
    /// Of the last record that was ever in the batch: compaction keeps it.
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    /// With [`TimestampType::LogAppendTime`] the timestamp of every record; -1 for none.
    pub max_timestamp: i64,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    /// -1 for none.
    pub base_sequence: i32,
    /// Records in the body; less than `last_offset_delta + 1` after compaction.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the front of `bytes`, which may end anywhere after it.
    ///
    /// # Errors
    /// `Incomplete` if the header itself is not all there, `LegacyFormat` for magic 0 and 1, `InvalidMagic`,
    /// `InvalidSize`. The checks come in Kafka's order: size, magic, size of a v2 header.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let size = batch_size(bytes)?;
        if size < HEADER_BYTES {
            return Err(BatchError::InvalidSize(size as i64));
        }
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(BatchError::Incomplete { needed: HEADER_BYTES, available: bytes.len() });
        };
        Ok(Self::decode(header))
    }

    /// The fields of a header that is known to be one.
    #[must_use]
    pub fn decode(header: &[u8; HEADER_BYTES]) -> Self {
        Self {
            base_offset: Offset(i64::from_be_bytes(field(header, at::BASE_OFFSET))),
            batch_length: i32::from_be_bytes(field(header, at::BATCH_LENGTH)),
            partition_leader_epoch: LeaderEpoch(i32::from_be_bytes(field(header, at::PARTITION_LEADER_EPOCH))),
            crc: u32::from_be_bytes(field(header, at::CRC)),
            attributes: Attributes(i16::from_be_bytes(field(header, at::ATTRIBUTES))),
            last_offset_delta: i32::from_be_bytes(field(header, at::LAST_OFFSET_DELTA)),
            base_timestamp: i64::from_be_bytes(field(header, at::BASE_TIMESTAMP)),
            max_timestamp: i64::from_be_bytes(field(header, at::MAX_TIMESTAMP)),
            producer_id: ProducerId(i64::from_be_bytes(field(header, at::PRODUCER_ID))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(field(header, at::PRODUCER_EPOCH))),
            base_sequence: i32::from_be_bytes(field(header, at::BASE_SEQUENCE)),
            record_count: i32::from_be_bytes(field(header, at::RECORD_COUNT)),
        }
    }

    /// The bytes of the header, with the stored `crc` as it is.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        put(&mut header, at::BASE_OFFSET, &self.base_offset.0.to_be_bytes());
        put(&mut header, at::BATCH_LENGTH, &self.batch_length.to_be_bytes());
        put(&mut header, at::PARTITION_LEADER_EPOCH, &self.partition_leader_epoch.0.to_be_bytes());
        put(&mut header, at::MAGIC, &MAGIC_V2.to_be_bytes());
        put(&mut header, at::CRC, &self.crc.to_be_bytes());
        put(&mut header, at::ATTRIBUTES, &self.attributes.0.to_be_bytes());
        put(&mut header, at::LAST_OFFSET_DELTA, &self.last_offset_delta.to_be_bytes());
        put(&mut header, at::BASE_TIMESTAMP, &self.base_timestamp.to_be_bytes());
        put(&mut header, at::MAX_TIMESTAMP, &self.max_timestamp.to_be_bytes());
        put(&mut header, at::PRODUCER_ID, &self.producer_id.0.to_be_bytes());
        put(&mut header, at::PRODUCER_EPOCH, &self.producer_epoch.0.to_be_bytes());
        put(&mut header, at::BASE_SEQUENCE, &self.base_sequence.to_be_bytes());
        put(&mut header, at::RECORD_COUNT, &self.record_count.to_be_bytes());
        header
    }

    /// Size of the whole batch, header included.
    #[must_use]
    pub fn size_in_bytes(&self) -> usize {
        LOG_OVERHEAD_BYTES + usize::try_from(self.batch_length).unwrap_or(0)
    }

    /// Offset of the last record that was ever in the batch.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        Offset(self.base_offset.0.saturating_add(i64::from(self.last_offset_delta)))
    }

    /// Where the next batch of the partition may start.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        Offset(self.last_offset().0.saturating_add(1))
    }

    /// Sequence of the last record, after 2³¹-1 comes 0; -1 if the batch has no sequence.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence == NO_SEQUENCE {
            return NO_SEQUENCE;
        }
        increment_sequence(self.base_sequence, self.last_offset_delta)
    }

    #[must_use]
    pub fn has_producer_id(&self) -> bool {
        ProducerId::NONE < self.producer_id
    }

    /// Timestamp of a record whose delta is `delta`.
    #[inline]
    #[must_use]
    pub fn timestamp_of(&self, delta: i64) -> i64 {
        match self.attributes.timestamp_type() {
            TimestampType::CreateTime => self.base_timestamp.wrapping_add(delta),
            TimestampType::LogAppendTime => self.max_timestamp,
        }
    }
}

/// Size of the batch at the front of `bytes`, of whatever supported format, once its magic is there to be read.
///
/// # Errors
/// As [`BatchHeader::parse`], without the check for a whole v2 header.
pub(super) fn batch_size(bytes: &[u8]) -> Result<usize, BatchError> {
    let incomplete = |needed| BatchError::Incomplete { needed, available: bytes.len() };
    let length = bytes.get(at::BATCH_LENGTH..).and_then(<[u8]>::first_chunk::<4>);
    let length = i32::from_be_bytes(*length.ok_or_else(|| incomplete(LOG_OVERHEAD_BYTES))?);
    if length < LENGTH_MIN {
        return Err(BatchError::InvalidSize(i64::from(length)));
    }
    match bytes.get(at::MAGIC).map(|&magic| magic as i8) {
        Some(MAGIC_V2) => Ok(LOG_OVERHEAD_BYTES + usize::try_from(length).unwrap_or(0)),
        Some(magic @ (0 | 1)) => Err(BatchError::LegacyFormat(magic)),
        Some(magic) => Err(BatchError::InvalidMagic(magic)),
        None => Err(incomplete(at::MAGIC + 1)),
    }
}

/// Writes what the leader assigns. The checksum does not cover either field.
pub fn assign_offset(header: &mut [u8; HEADER_BYTES], base_offset: Offset, leader_epoch: LeaderEpoch) {
    put(header, at::BASE_OFFSET, &base_offset.0.to_be_bytes());
    put(header, at::PARTITION_LEADER_EPOCH, &leader_epoch.0.to_be_bytes());
}

/// Writes the timestamp type and the largest timestamp, and the checksum that follows from them over `body`.
/// Does nothing if both are in place already.
pub fn set_max_timestamp(
    header: &mut [u8; HEADER_BYTES],
    body: &[u8],
    timestamp_type: TimestampType,
    max_timestamp: i64,
) {
    let before = BatchHeader::decode(header);
    if before.attributes.timestamp_type() == timestamp_type && before.max_timestamp == max_timestamp {
        return;
    }
    put(header, at::ATTRIBUTES, &before.attributes.with_timestamp_type(timestamp_type).0.to_be_bytes());
    put(header, at::MAX_TIMESTAMP, &max_timestamp.to_be_bytes());
    write_crc(header, body);
}

/// Computes the checksum of a header and its body and stores it in the header.
pub(super) fn write_crc(header: &mut [u8; HEADER_BYTES], body: &[u8]) {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[at::ATTRIBUTES..]), body);
    put(header, at::CRC, &crc.to_be_bytes());
}

/// `sequence` advanced by `increment`; after 2³¹-1 comes 0.
#[must_use]
pub fn increment_sequence(sequence: i32, increment: i32) -> i32 {
    (i64::from(sequence) + i64::from(increment)).rem_euclid(SEQUENCES) as i32
}

/// `sequence` set back by `decrement`; before 0 comes 2³¹-1.
#[must_use]
pub fn decrement_sequence(sequence: i32, decrement: i32) -> i32 {
    (i64::from(sequence) - i64::from(decrement)).rem_euclid(SEQUENCES) as i32
}

/// Sequences count from 0 to 2³¹-1.
const SEQUENCES: i64 = 1 << 31;

/// The `N` bytes at a constant position of the header.
#[inline]
fn field<const N: usize>(header: &[u8; HEADER_BYTES], position: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[position..position + N]);
    bytes
}

#[inline]
fn put(header: &mut [u8; HEADER_BYTES], position: usize, bytes: &[u8]) {
    header[position..position + bytes.len()].copy_from_slice(bytes);
}
