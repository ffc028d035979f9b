//! Why a batch is not appended.

use super::REJECTIONS_LISTED_MAX;
use std::fmt;
use whimbrel_model::record::{BatchError, BuildError, CompressionError, RecordError};
use whimbrel_model::{ErrorCode, Offset, ProducerId};

/// Why [`super::validate`] refuses a batch. Nothing of it was appended.
#[derive(Debug, thiserror::Error)]
pub enum ValidationError {
    #[error("there is no whole record batch")]
    NoBatch,
    #[error("there is more than one record batch")]
    SeveralBatches,
    #[error("base offset is {0} instead of 0")]
    BaseOffset(Offset),
    #[error("record batch of {size} bytes exceeds max.message.bytes {size_max}")]
    MessageTooLarge { size: usize, size_max: usize },
    #[error("record batch of {size} bytes exceeds segment.bytes {size_max}")]
    SetTooLarge { size: usize, size_max: usize },
    /// Size, magic or checksum.
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Compression(#[from] CompressionError),
    #[error("last offset delta {last_offset_delta} is negative")]
    OffsetRange { last_offset_delta: i32 },
    #[error("record count {0} is not positive")]
    RecordCount(i32),
    #[error("last offset delta {last_offset_delta} and record count {record_count} disagree")]
    OffsetsAndCount { last_offset_delta: i32, record_count: i32 },
    #[error("clients may not write control records")]
    ControlBatch,
    #[error("producer {producer_id} sent sequence {sequence}")]
    Sequence { sequence: i32, producer_id: ProducerId },
    /// The body is not what the header promises.
    #[error(transparent)]
    Malformed(#[from] RecordError),
    #[error("{0}")]
    Rejected(RejectedRecords),
    #[error("rewriting the record batch")]
    Rebuild(#[source] BuildError),
}

impl ValidationError {
    /// What a producer is told.
    #[must_use]
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::NoBatch
            | Self::SeveralBatches
            | Self::BaseOffset(_)
            | Self::OffsetRange { .. }
            | Self::RecordCount(_)
            | Self::OffsetsAndCount { .. }
            | Self::ControlBatch
            | Self::Sequence { .. }
            | Self::Malformed(_) => ErrorCode::InvalidRecord,
            Self::MessageTooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::SetTooLarge { .. } => ErrorCode::RecordListTooLarge,
            Self::Batch(error) => match error {
                // Not "corrupt": that is retriable, and the client would send the same bytes for ever.
                BatchError::LegacyFormat(_) => ErrorCode::InvalidRecord,
                BatchError::Incomplete { .. }
                | BatchError::InvalidSize(_)
                | BatchError::InvalidMagic(_)
                | BatchError::CrcMismatch { .. } => ErrorCode::CorruptMessage,
            },
            Self::Compression(error) => compression_code(error),
            Self::Rejected(rejected) if rejected.has_timestamp_fault => ErrorCode::InvalidTimestamp,
            Self::Rejected(_) => ErrorCode::InvalidRecord,
            Self::Rebuild(error) => match error {
                BuildError::TooLarge => ErrorCode::MessageTooLarge,
                BuildError::Empty => ErrorCode::InvalidRecord,
                BuildError::Compression(error) => compression_code(error),
            },
        }
    }

    /// The records to name in the answer (`record_errors` of Produce version 8 and later), if the fault is theirs.
    #[must_use]
    pub fn rejections(&self) -> &[RecordRejection] {
        match self {
            Self::Rejected(rejected) => &rejected.listed,
            _ => &[],
        }
    }
}

impl From<BuildError> for ValidationError {
    fn from(error: BuildError) -> Self {
        Self::Rebuild(error)
    }
}

fn compression_code(error: &CompressionError) -> ErrorCode {
    match error {
        CompressionError::UnknownCodec(_) => ErrorCode::UnsupportedCompressionType,
        // Java producers split a batch that is too large and send the parts.
        CompressionError::TooLarge { .. } => ErrorCode::MessageTooLarge,
        // The checksum was right, so the producer compressed it wrongly: sending it again does not help.
        CompressionError::Truncated { .. } | CompressionError::Malformed { .. } => ErrorCode::InvalidRecord,
        CompressionError::Encode { .. } => ErrorCode::UnknownServerError,
    }
}

/// What is wrong with a single record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordFault {
    MissingKey,
    Timestamp { timestamp: i64, earliest: i64, latest: i64 },
    LogAppendTime,
}

/// The text that the producer's application sees for the record.
impl fmt::Display for RecordFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingKey => f.write_str("a compacted topic cannot accept a record without key"),
            Self::Timestamp { timestamp, earliest, latest } => {
                write!(f, "timestamp {timestamp} is out of range [{earliest}, {latest}]")
            }
            Self::LogAppendTime => f.write_str("producers may not set the timestamp type to LogAppendTime"),
        }
    }
}

/// A record that may not be appended, by its position in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRejection {
    pub index: i32,
    pub fault: RecordFault,
}

/// All records of a batch that may not be appended: at least one when it is in an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RejectedRecords {
    /// The first [`REJECTIONS_LISTED_MAX`] of them, in order.
    listed: Vec<RecordRejection>,
    count: usize,
    has_timestamp_fault: bool,
}

impl RejectedRecords {
    pub(super) fn push(&mut self, index: i32, fault: RecordFault) {
        self.count += 1;
        self.has_timestamp_fault |= !matches!(fault, RecordFault::MissingKey);
        if self.listed.len() < REJECTIONS_LISTED_MAX {
            self.listed.push(RecordRejection { index, fault });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl fmt::Display for RejectedRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} record(s) were rejected", self.count)?;
        match self.listed.first() {
            Some(first) => write!(f, ", the first at index {}: {}", first.index, first.fault),
            None => Ok(()),
        }
    }
}
