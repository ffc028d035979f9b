//! Record batches of message format v2 (KIP-98): a checked view, record iteration, building, control records.
//!
//! ```text
//! bytes ──Batches──▶ RecordBatch { header: BatchHeader, bytes } ──decompress──▶ body ──RecordIter──▶ Record
//! ```
//! Nothing here trusts its input: a malformed byte gives an error, never a panic, and no allocation follows from a
//! length that was only read, not received. Message formats v0 and v1 are recognised by [`BatchError::LegacyFormat`]
//! and not read further.
//!
//! Source: Kafka's `DefaultRecordBatch`, `DefaultRecord`, `EndTransactionMarker`.

mod batch;
mod builder;
pub mod compression;
mod control;
mod header;
mod records;
pub mod varint;

#[cfg(test)]
mod tests;

pub use batch::{Batches, RecordBatch};
pub use builder::{BatchBuilder, BatchOptions, BuildError};
pub use compression::{Codec, Compression, CompressionError, DecompressionBuffer};
pub use control::{CONTROL_RECORD_ABORT, CONTROL_RECORD_COMMIT, ControlError, EndTxnMarker};
pub use header::{
    Attributes, BatchHeader, HEADER_BYTES, LOG_OVERHEAD_BYTES, TimestampType, assign_offset, decrement_sequence,
    increment_sequence, offsets_of, set_max_timestamp,
};
pub use records::{Header, Headers, Record, RecordIter, RecordSummary, summarize};

/// The timestamp of a record that has none.
pub const NO_TIMESTAMP: i64 = -1;
/// The base sequence of a batch that has none.
pub const NO_SEQUENCE: i32 = -1;
/// The message format this module reads and writes.
pub const MAGIC_V2: i8 = 2;

/// Why bytes are not a record batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end before the batch does: the torn tail of a log or of a fetched set.
    #[error("batch needs {needed} bytes, {available} are there")]
    Incomplete { needed: usize, available: usize },
    /// Less than the smallest batch of any format, or less than a v2 header.
    #[error("batch size {0} is less than a batch header")]
    InvalidSize(i64),
    /// Message format v0 or v1: a message set of old clients.
    #[error("message format v{0} is not supported")]
    LegacyFormat(i8),
    #[error("invalid magic {0}")]
    InvalidMagic(i8),
    #[error("stored crc {stored:#010x}, computed crc {computed:#010x}")]
    CrcMismatch { stored: u32, computed: u32 },
}

/// Why the body of a batch is not the records that its header promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("record ends beyond its batch")]
    Truncated,
    #[error("variable-length integer is too long")]
    VarintTooLong,
    #[error("record size {0} is invalid")]
    InvalidSize(i32),
    #[error("record declares {declared} bytes and its fields take {read}")]
    SizeMismatch { declared: usize, read: usize },
    #[error("number of record headers {0} is invalid")]
    InvalidHeaderCount(i32),
    #[error("record header key size {0} is invalid")]
    InvalidHeaderKeySize(i32),
    #[error("record count {0} is invalid")]
    InvalidRecordCount(i32),
    #[error("{0} bytes follow the last record")]
    TrailingBytes(usize),
}
