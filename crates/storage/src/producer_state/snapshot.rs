//! The `.snapshot` file: the producers of a log at one offset, which the file's name says.
//!
//! ```text
//! version i16 = 1 · crc u32 (CRC-32C of all that follows) · count i32 · count × 46 bytes:
//!   producerId i64 · epoch i16 · lastSequence i32 · lastOffset i64 · offsetDelta i32 · timestamp i64
//!   · coordinatorEpoch i32 · currentTxnFirstOffset i64
//! ```
//! Big-endian; -1 stands for none. Source: Kafka's `ProducerStateManager.writeSnapshot` and `ProducerSnapshot.json`.

use super::entry::{BatchMetadata, ProducerEntry};
use whimbrel_model::record::NO_SEQUENCE;
use whimbrel_model::{Offset, ProducerEpoch, ProducerId};

const VERSION: i16 = 1;
const CRC_END: usize = 6;
const HEADER_BYTES: usize = 10;
const ENTRY_BYTES: usize = 46;

/// Why a snapshot cannot be used. The log can be replayed instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    #[error("producer snapshot has {0} bytes, less than its header")]
    TooShort(usize),
    #[error("producer snapshot has version {0}")]
    Version(i16),
    #[error("producer snapshot has crc {computed:#010x}, {stored:#010x} is stored")]
    Crc { stored: u32, computed: u32 },
    #[error("producer snapshot declares {count} producers in {bytes} bytes")]
    Count { count: i32, bytes: usize },
}

/// One producer in a snapshot: of its batches only the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotEntry {
    pub producer_id: ProducerId,
    pub epoch: ProducerEpoch,
    /// -1 for none.
    pub last_sequence: i32,
    /// -1 if no batch is known.
    pub last_offset: i64,
    pub offset_delta: i32,
    pub timestamp: i64,
    pub coordinator_epoch: i32,
    /// -1 for none.
    pub current_txn_first_offset: i64,
}

impl SnapshotEntry {
    pub(super) fn new(producer_id: ProducerId, entry: &ProducerEntry) -> Self {
        let last = entry.last_batch();
        Self {
            producer_id,
            epoch: entry.epoch,
            last_sequence: last.map_or(NO_SEQUENCE, |batch| batch.last_sequence),
            last_offset: last.map_or(-1, |batch| batch.last_offset.0),
            offset_delta: last.map_or(0, |batch| batch.offset_delta),
            timestamp: entry.last_timestamp,
            coordinator_epoch: entry.coordinator_epoch,
            current_txn_first_offset: entry.current_txn_first_offset.map_or(-1, |offset| offset.0),
        }
    }

    pub(super) fn to_entry(self) -> ProducerEntry {
        let mut entry = ProducerEntry::default();
        if 0 <= self.last_offset {
            let batch = BatchMetadata {
                last_offset: Offset(self.last_offset),
                timestamp: self.timestamp,
                last_sequence: self.last_sequence,
                offset_delta: self.offset_delta,
            };
            entry.add_batch(self.epoch, batch);
        }
        entry.epoch = self.epoch;
        entry.coordinator_epoch = self.coordinator_epoch;
        entry.last_timestamp = self.timestamp;
        entry.current_txn_first_offset =
            (0 <= self.current_txn_first_offset).then_some(Offset(self.current_txn_first_offset));
        entry
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.producer_id.0.to_be_bytes());
        out.extend_from_slice(&self.epoch.0.to_be_bytes());
        out.extend_from_slice(&self.last_sequence.to_be_bytes());
        out.extend_from_slice(&self.last_offset.to_be_bytes());
        out.extend_from_slice(&self.offset_delta.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.coordinator_epoch.to_be_bytes());
        out.extend_from_slice(&self.current_txn_first_offset.to_be_bytes());
    }

    /// `None` if `fields` is not exactly one entry.
    fn decode(mut fields: &[u8]) -> Option<Self> {
        let entry = Self {
            producer_id: ProducerId(i64::from_be_bytes(take(&mut fields)?)),
            epoch: ProducerEpoch(i16::from_be_bytes(take(&mut fields)?)),
            last_sequence: i32::from_be_bytes(take(&mut fields)?),
            last_offset: i64::from_be_bytes(take(&mut fields)?),
            offset_delta: i32::from_be_bytes(take(&mut fields)?),
            timestamp: i64::from_be_bytes(take(&mut fields)?),
            coordinator_epoch: i32::from_be_bytes(take(&mut fields)?),
            current_txn_first_offset: i64::from_be_bytes(take(&mut fields)?),
        };
        fields.is_empty().then_some(entry)
    }
}

pub(super) fn encode_snapshot(entries: &[SnapshotEntry]) -> Vec<u8> {
    let mut body = Vec::with_capacity(4 + ENTRY_BYTES * entries.len());
    // A log with 2³¹ producers would need 90 GB for them.
    body.extend_from_slice(&i32::try_from(entries.len()).unwrap_or(i32::MAX).to_be_bytes());
    for entry in entries {
        entry.encode(&mut body);
    }
    let mut bytes = Vec::with_capacity(CRC_END + body.len());
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

/// Reads a `.snapshot` file.
///
/// # Errors
/// Every kind of damage: cut short, extended, altered, of another version.
pub fn decode_snapshot(bytes: &[u8]) -> Result<Vec<SnapshotEntry>, SnapshotError> {
    let Some((header, entries)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(SnapshotError::TooShort(bytes.len()));
    };
    let &[v0, v1, c0, c1, c2, c3, n0, n1, n2, n3] = header;
    let version = i16::from_be_bytes([v0, v1]);
    if version != VERSION {
        return Err(SnapshotError::Version(version));
    }
    let stored = u32::from_be_bytes([c0, c1, c2, c3]);
    let computed = crc32c::crc32c(bytes.get(CRC_END..).unwrap_or_default());
    if stored != computed {
        return Err(SnapshotError::Crc { stored, computed });
    }
    let count = i32::from_be_bytes([n0, n1, n2, n3]);
    let mismatch = SnapshotError::Count { count, bytes: bytes.len() };
    if usize::try_from(count).ok().and_then(|count| count.checked_mul(ENTRY_BYTES)) != Some(entries.len()) {
        return Err(mismatch);
    }
    entries.chunks_exact(ENTRY_BYTES).map(|entry| SnapshotEntry::decode(entry).ok_or(mismatch)).collect()
}

fn take<const N: usize>(fields: &mut &[u8]) -> Option<[u8; N]> {
    let (field, rest) = fields.split_first_chunk::<N>()?;
    *fields = rest;
    Some(*field)
}
