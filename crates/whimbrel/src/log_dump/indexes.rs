//! The files beside a segment. All numbers are big-endian; offsets are relative to the base offset in the file's name.

use std::path::Path;

use serde::Serialize;
use whimbrel_storage::producer_state::decode_snapshot;

use super::{Lines, base_offset};
use crate::times;

#[derive(Serialize)]
struct OffsetEntry {
    offset: i64,
    position: i32,
}

/// An offset index: relative offset i32, position i32. It ends with the first entry of zeros behind another one, because
/// files of an active segment are preallocated.
pub(super) fn offsets(path: &Path, lines: &mut Lines) -> anyhow::Result<usize> {
    let base = base_offset(path)?;
    let bytes = std::fs::read(path)?;
    let mut previous: Option<OffsetEntry> = None;
    let mut damaged = trailing::<8>(&bytes, lines)?;
    for entry in bytes.as_chunks::<8>().0 {
        let [relative, position] = [0, 4].map(|at| field::<4>(entry, at).map_or(0, i32::from_be_bytes));
        if previous.is_some() && relative == 0 && position == 0 {
            break;
        }
        let entry = OffsetEntry { offset: base + i64::from(relative), position };
        let ascends =
            previous.as_ref().is_none_or(|before| before.offset < entry.offset && before.position < entry.position);
        lines.line(&entry, |entry| format!("offset {} position {}", entry.offset, entry.position))?;
        damaged += usize::from(!ascends);
        if !ascends {
            lines.heading("damaged: the entry is not above the one before")?;
        }
        previous = Some(entry);
    }
    Ok(damaged)
}

#[derive(Serialize)]
struct TimeEntry {
    timestamp: i64,
    offset: i64,
}

/// A time index: timestamp i64, relative offset i32.
pub(super) fn times(path: &Path, lines: &mut Lines) -> anyhow::Result<usize> {
    let base = base_offset(path)?;
    let bytes = std::fs::read(path)?;
    let mut previous: Option<TimeEntry> = None;
    let mut damaged = trailing::<12>(&bytes, lines)?;
    for entry in bytes.as_chunks::<12>().0 {
        let timestamp = field::<8>(entry, 0).map_or(0, i64::from_be_bytes);
        let relative = field::<4>(entry, 8).map_or(0, i32::from_be_bytes);
        if previous.is_some() && timestamp == 0 && relative == 0 {
            break;
        }
        let entry = TimeEntry { timestamp, offset: base + i64::from(relative) };
        let ascends =
            previous.as_ref().is_none_or(|before| before.timestamp <= entry.timestamp && before.offset <= entry.offset);
        lines.line(&entry, |entry| {
            format!("timestamp {} ({}) offset {}", entry.timestamp, times::show(entry.timestamp), entry.offset)
        })?;
        damaged += usize::from(!ascends);
        if !ascends {
            lines.heading("damaged: the entry is below the one before")?;
        }
        previous = Some(entry);
    }
    Ok(damaged)
}

#[derive(Serialize)]
struct TxnEntry {
    version: i16,
    producer_id: i64,
    first_offset: i64,
    last_offset: i64,
    last_stable_offset: i64,
}

/// A transaction index: version i16, producer id, first and last offset, last stable offset, each i64.
pub(super) fn transactions(path: &Path, lines: &mut Lines) -> anyhow::Result<usize> {
    let bytes = std::fs::read(path)?;
    let damaged = trailing::<34>(&bytes, lines)?;
    for entry in bytes.as_chunks::<34>().0 {
        let version = field::<2>(entry, 0).map_or(0, i16::from_be_bytes);
        let [producer_id, first_offset, last_offset, last_stable_offset] =
            [2, 10, 18, 26].map(|at| field::<8>(entry, at).map_or(0, i64::from_be_bytes));
        let entry = TxnEntry { version, producer_id, first_offset, last_offset, last_stable_offset };
        lines.line(&entry, |entry| {
            let TxnEntry { producer_id, first_offset, last_offset, last_stable_offset, .. } = entry;
            format!(
                "producer {producer_id} aborted {first_offset}..{last_offset} last stable offset {last_stable_offset}"
            )
        })?;
    }
    Ok(damaged)
}

#[derive(Serialize)]
struct ProducerLine {
    producer_id: i64,
    producer_epoch: i16,
    last_sequence: i32,
    last_offset: i64,
    offset_delta: i32,
    timestamp: i64,
    coordinator_epoch: i32,
    transaction_first_offset: i64,
}

/// A snapshot of the idempotent producers.
pub(super) fn producers(path: &Path, lines: &mut Lines) -> anyhow::Result<usize> {
    for entry in decode_snapshot(&std::fs::read(path)?)? {
        let line = ProducerLine {
            producer_id: entry.producer_id.0,
            producer_epoch: entry.epoch.0,
            last_sequence: entry.last_sequence,
            last_offset: entry.last_offset,
            offset_delta: entry.offset_delta,
            timestamp: entry.timestamp,
            coordinator_epoch: entry.coordinator_epoch,
            transaction_first_offset: entry.current_txn_first_offset,
        };
        lines.line(&line, |line| {
            format!(
                "producer {} epoch {} last sequence {} last offset {} delta {} {} coordinator epoch {} transaction from {}",
                line.producer_id,
                line.producer_epoch,
                line.last_sequence,
                line.last_offset,
                line.offset_delta,
                times::show(line.timestamp),
                line.coordinator_epoch,
                line.transaction_first_offset
            )
        })?;
    }
    Ok(0)
}

fn field<const N: usize>(entry: &[u8], at: usize) -> Option<[u8; N]> {
    entry.get(at..)?.first_chunk::<N>().copied()
}

/// Says when the file is not a whole number of entries.
fn trailing<const N: usize>(bytes: &[u8], lines: &mut Lines) -> std::io::Result<usize> {
    let rest = bytes.len() % N;
    if rest != 0 {
        lines.heading(&format!("damaged: {rest} bytes are behind the last entry"))?;
    }
    Ok(usize::from(rest != 0))
}
