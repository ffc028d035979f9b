//! The transaction index: aborted transactions of a segment (`TransactionIndex`, `AbortedTxn`).
//!
//! Entries of 34 bytes, big-endian: version i16 = 0 · producerId i64 · firstOffset i64 · lastOffset i64 ·
//! lastStableOffset i64, in the order of their last offsets. The file appears with its first entry.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use whimbrel_model::{Offset, ProducerId};

use crate::error::StorageError;
use crate::files::small;
use crate::producer_state::CompletedTxn;

const ENTRY_BYTES: usize = 34;
const VERSION: i16 = 0;

/// A transaction that was aborted: readers of committed data skip its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AbortedTxn {
    pub(crate) producer_id: ProducerId,
    pub(crate) first_offset: Offset,
    /// Offset of the abort marker.
    pub(crate) last_offset: Offset,
    /// Readers of committed data could read up to here when the transaction ended.
    pub(crate) last_stable_offset: Offset,
}

fn encode(entry: &AbortedTxn) -> [u8; ENTRY_BYTES] {
    let mut bytes = [0; ENTRY_BYTES];
    let (version, fields) = bytes.split_at_mut(2);
    version.copy_from_slice(&VERSION.to_be_bytes());
    let values = [entry.producer_id.0, entry.first_offset.0, entry.last_offset.0, entry.last_stable_offset.0];
    for (field, value) in fields.chunks_exact_mut(8).zip(values) {
        field.copy_from_slice(&value.to_be_bytes());
    }
    bytes
}

fn decode(bytes: &[u8]) -> Option<AbortedTxn> {
    let (version, fields) = bytes.split_first_chunk::<2>()?;
    if i16::from_be_bytes(*version) != VERSION {
        return None;
    }
    let mut values = fields.chunks_exact(8).filter_map(|field| Some(i64::from_be_bytes(field.try_into().ok()?)));
    Some(AbortedTxn {
        producer_id: ProducerId(values.next()?),
        first_offset: Offset(values.next()?),
        last_offset: Offset(values.next()?),
        last_stable_offset: Offset(values.next()?),
    })
}

/// Adds an aborted transaction. Opened each time: aborts are rare and the file is not worth a descriptor.
pub(crate) fn append(path: &Path, completed: &CompletedTxn) -> Result<(), StorageError> {
    let entry = AbortedTxn {
        producer_id: completed.producer_id,
        first_offset: completed.first_offset,
        last_offset: completed.last_offset,
        last_stable_offset: completed.last_stable_offset,
    };
    let written =
        OpenOptions::new().append(true).create(true).open(path).and_then(|mut f| f.write_all(&encode(&entry)));
    written.map_err(|e| StorageError::io("write", path, e))
}

/// All entries; no file means none.
pub(crate) fn read(path: &Path) -> Result<Vec<AbortedTxn>, StorageError> {
    let content = small::read_if_present(path).map_err(|e| StorageError::io("read", path, e))?;
    let content = content.unwrap_or_default();
    let mut entries = Vec::with_capacity(content.len() / ENTRY_BYTES);
    for (i, bytes) in content.chunks(ENTRY_BYTES).enumerate() {
        let entry = decode(bytes).ok_or_else(|| StorageError::Damaged {
            path: path.to_owned(),
            position: (i * ENTRY_BYTES) as u64,
            what: "the transaction index entry is not readable",
        })?;
        entries.push(entry);
    }
    Ok(entries)
}

/// Removes the transactions that ended at or above `offset`.
pub(crate) fn truncate(path: &Path, offset: i64) -> Result<(), StorageError> {
    let entries = read(path)?;
    let keep = entries.partition_point(|entry| entry.last_offset.0 < offset);
    if keep == entries.len() {
        return Ok(());
    }
    let cut = OpenOptions::new().write(true).open(path).and_then(|file| file.set_len((keep * ENTRY_BYTES) as u64));
    cut.map_err(|e| StorageError::io("truncate", path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_round_trip_and_are_cut_by_offset() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x.txnindex");
        assert_eq!(read(&path).expect("read"), []);
        for i in 0..3 {
            let completed = CompletedTxn {
                producer_id: ProducerId(i),
                first_offset: Offset(10 * i),
                last_offset: Offset(10 * i + 5),
                is_aborted: true,
                last_stable_offset: Offset(10 * i + 6),
            };
            append(&path, &completed).expect("written");
        }
        assert_eq!(read(&path).expect("read").len(), 3);
        truncate(&path, 15).expect("truncated");
        let left = read(&path).expect("read");
        assert_eq!(left.iter().map(|e| e.last_offset.0).collect::<Vec<_>>(), [5]);
        std::fs::write(&path, [0; 40]).expect("written");
        assert!(matches!(read(&path), Err(StorageError::Damaged { position: 34, .. })));
    }
}
