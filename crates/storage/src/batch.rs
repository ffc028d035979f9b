//! The fields of a record batch's header that the log goes by, for every message format that may be on disk.
//!
//! `DefaultRecordBatch` (v2), `LegacyRecord` (v0, v1). A log may hold old formats that Kafka wrote; new appends are v2.

use whimbrel_model::record::{BatchHeader, LOG_OVERHEAD_BYTES, RecordBatch};

/// A v2 header; also enough of an old one.
pub(crate) use whimbrel_model::record::HEADER_BYTES;

/// The least that tells the format: up to and including the magic byte.
const MAGIC_END: usize = 17;
const V0_BYTES_MIN: usize = 14;
const NO_TIMESTAMP: i64 = -1;

/// Where one batch lies in the offsets and how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchMeta {
    /// First offset. For the old formats the one in the header, which is the last of a compressed set.
    pub base: i64,
    pub last: i64,
    /// All bytes of the batch, header included.
    pub size: u32,
    pub max_timestamp: i64,
    /// -1 if unknown or an old format.
    pub leader_epoch: i32,
    pub magic: i8,
    /// -1 if none.
    pub producer_id: i64,
}

/// Why no header was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// The bytes end inside the header.
    Incomplete,
    Damaged(&'static str),
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn i64_at(bytes: &[u8], at: usize) -> Result<i64, HeaderError> {
    field(bytes, at).map(i64::from_be_bytes).ok_or(HeaderError::Incomplete)
}

fn i32_at(bytes: &[u8], at: usize) -> Result<i32, HeaderError> {
    field(bytes, at).map(i32::from_be_bytes).ok_or(HeaderError::Incomplete)
}

impl BatchMeta {
    /// Reads the header at the start of `bytes`; the rest of the batch need not be there.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let base = i64_at(bytes, 0)?;
        let length = i32_at(bytes, 8)?;
        let counted = usize::try_from(length).map_err(|_| HeaderError::Damaged("the batch length is negative"))?;
        if counted < V0_BYTES_MIN {
            return Err(HeaderError::Damaged("the batch length is too small"));
        }
        if base < 0 {
            return Err(HeaderError::Damaged("the base offset is negative"));
        }
        let magic = bytes.get(MAGIC_END - 1).copied().ok_or(HeaderError::Incomplete)?;
        let size = (counted + LOG_OVERHEAD_BYTES) as u32;
        match magic {
            2 => Self::parse_v2(bytes, base, size),
            0 | 1 => {
                let max_timestamp = if magic == 1 { i64_at(bytes, 18)? } else { NO_TIMESTAMP };
                let magic = magic as i8;
                Ok(Self { base, last: base, size, max_timestamp, leader_epoch: -1, magic, producer_id: -1 })
            }
            _ => Err(HeaderError::Damaged("the message format is unknown")),
        }
    }

    /// Of a v2 batch whose header is known.
    pub(crate) fn of(header: &BatchHeader) -> Self {
        Self {
            base: header.base_offset.0,
            last: header.last_offset().0,
            size: header.size_in_bytes() as u32,
            max_timestamp: header.max_timestamp,
            leader_epoch: header.partition_leader_epoch.0,
            magic: 2,
            producer_id: header.producer_id.0,
        }
    }

    fn parse_v2(bytes: &[u8], base: i64, size: u32) -> Result<Self, HeaderError> {
        if (size as usize) < HEADER_BYTES {
            return Err(HeaderError::Damaged("the batch length is too small"));
        }
        let delta = i32_at(bytes, 23)?;
        if delta < 0 {
            return Err(HeaderError::Damaged("the last offset delta is negative"));
        }
        Ok(Self {
            base,
            last: base.checked_add(i64::from(delta)).ok_or(HeaderError::Damaged("the offset is too large"))?,
            size,
            max_timestamp: i64_at(bytes, 35)?,
            leader_epoch: i32_at(bytes, 12)?,
            magic: 2,
            producer_id: i64_at(bytes, 43)?,
        })
    }
}

/// Whether the checksum of the whole batch in `bytes` is right. Old formats are taken as they are: their checksum is
/// another one, and Whimbrel never writes them.
pub(crate) fn checksum_is_right(bytes: &[u8], magic: i8) -> bool {
    magic != 2 || RecordBatch::parse(bytes).is_ok_and(|batch| batch.verify_crc().is_ok())
}
