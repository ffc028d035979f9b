//! Control records: what a transaction coordinator writes to end a transaction on a partition (KIP-98).
//!
//! Key: version i16 = 0, type i16. Value of an end marker: version i16 = 0, coordinator epoch i32. Later versions may
//! append fields, so longer keys and values and higher versions are read as version 0, as Kafka reads them.

use super::{
    BatchBuilder, BatchHeader, BatchOptions, BuildError, Codec, CompressionError, DecompressionBuffer, Record,
    RecordBatch, RecordError, RecordIter,
};
use crate::{ProducerEpoch, ProducerId};
use bytes::Bytes;

/// Control record type: the transaction was aborted.
pub const CONTROL_RECORD_ABORT: i16 = 0;
/// Control record type: the transaction was committed.
pub const CONTROL_RECORD_COMMIT: i16 = 1;

/// A control batch holds one record of a few bytes; this bounds what a compressed one may hide.
const CONTROL_BODY_BYTES_MAX: usize = 64 * 1024;

/// Why a control record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("control record has a {field} of {size} bytes")]
    InvalidSize { field: &'static str, size: usize },
    #[error("control record has a {field} of version {version}")]
    InvalidVersion { field: &'static str, version: i16 },
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Compression(#[from] CompressionError),
}

/// The end of a producer's transaction on one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTxnMarker {
    pub is_commit: bool,
    pub coordinator_epoch: i32,
    /// When the coordinator wrote it.
    pub timestamp: i64,
}

impl EndTxnMarker {
    /// The marker in `record`, `None` if it is a control record of another type.
    ///
    /// # Errors
    /// Sizes and versions that no Kafka writes.
    pub fn from_record(record: &Record<'_>) -> Result<Option<Self>, ControlError> {
        let is_commit = match i16::from_be_bytes(versioned_field("key", record.key)?) {
            CONTROL_RECORD_ABORT => false,
            CONTROL_RECORD_COMMIT => true,
            _ => return Ok(None),
        };
        let coordinator_epoch = i32::from_be_bytes(versioned_field("value", record.value)?);
        Ok(Some(Self { is_commit, coordinator_epoch, timestamp: record.timestamp }))
    }

    /// The marker in a control batch; `None` if the cleaner emptied the batch or the record is of another type.
    ///
    /// # Errors
    /// As [`Self::from_record`], and when the batch itself cannot be read.
    pub fn from_batch(batch: &RecordBatch<'_>) -> Result<Option<Self>, ControlError> {
        Self::from_parts(&batch.header, batch.body())
    }

    /// As [`Self::from_batch`], for a batch whose header and body are apart.
    ///
    /// # Errors
    /// As [`Self::from_batch`].
    pub fn from_parts(header: &BatchHeader, body: &[u8]) -> Result<Option<Self>, ControlError> {
        let mut buffer = DecompressionBuffer::default();
        let body = match header.attributes.codec()? {
            Codec::None => body,
            codec => buffer.decompress(codec, body, CONTROL_BODY_BYTES_MAX)?,
        };
        match RecordIter::new(*header, body).next() {
            Some(record) => Self::from_record(&record?),
            None => Ok(None),
        }
    }

    /// The control batch that carries this marker.
    ///
    /// # Errors
    /// None that a caller could cause: the batch is of fixed size.
    pub fn to_batch(&self, producer_id: ProducerId, producer_epoch: ProducerEpoch) -> Result<Bytes, BuildError> {
        let kind = if self.is_commit { CONTROL_RECORD_COMMIT } else { CONTROL_RECORD_ABORT };
        let [kind_0, kind_1] = kind.to_be_bytes();
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        let mut builder = BatchBuilder::new(BatchOptions {
            producer_id,
            producer_epoch,
            is_transactional: true,
            is_control: true,
            ..BatchOptions::default()
        });
        builder.append(self.timestamp, Some(&[0, 0, kind_0, kind_1]), Some(&value), [])?;
        builder.build()
    }
}

/// The `N` bytes after the version at the front of a key or value.
fn versioned_field<const N: usize>(field: &'static str, bytes: Option<&[u8]>) -> Result<[u8; N], ControlError> {
    let bytes = bytes.unwrap_or_default();
    let size = ControlError::InvalidSize { field, size: bytes.len() };
    let Some((version, rest)) = bytes.split_first_chunk::<2>() else { return Err(size) };
    let version = i16::from_be_bytes(*version);
    if version < 0 {
        return Err(ControlError::InvalidVersion { field, version });
    }
    rest.first_chunk::<N>().copied().ok_or(size)
}
