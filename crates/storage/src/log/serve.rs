//! What a leader asks of its log beside records: how far it is committed, how much there is to read, which transactions
//! were aborted.

use std::fmt;
use std::sync::atomic::Ordering;

use whimbrel_model::{Offset, ProducerId};

use super::Log;
use crate::error::StorageError;
use crate::files::read::ReadMode;
use crate::txn_index;

impl Log {
    /// Moves the high watermark forward to `to`, clamped to the log end; returns whether it moved. It never goes back:
    /// of two callers at the same time the further one wins.
    pub fn advance_high_watermark(&self, to: Offset) -> bool {
        let to = to.0.min(self.log_end.load(Ordering::Acquire));
        // SeqCst: a reader that registers for the next move, and then looks, must not miss this one.
        let moved = self.high_watermark.fetch_max(to, Ordering::SeqCst) < to;
        if moved {
            self.dir.high_watermarks_changed.store(true, Ordering::Relaxed);
        }
        moved
    }

    /// About how many bytes a reader at `from` has before `to`: whole batches, counted to the log's end if `to` is near
    /// it. Never blocks; 0 if there is nothing.
    #[must_use]
    pub fn bytes_between(&self, from: Offset, to: Offset) -> u64 {
        if to <= from {
            return 0;
        }
        let state = self.state.lock();
        if let Some(bytes) = state.tail.as_ref().and_then(|tail| tail.bytes_from(from.0)) {
            return bytes;
        }
        let Some(first) = state.segment_index(from.0) else { return 0 };
        let last = state.segment_index(to.0 - 1).unwrap_or(first);
        let mut bytes: u64 = state.segments.get(first..=last).unwrap_or_default().iter().map(|s| s.size()).sum();
        if let Some(segment) = state.segments.get(first) {
            let known = if from.0 <= segment.base { Some(0) } else { state.hints.find(from.0, segment.base) };
            let position = known.or_else(|| {
                let found = segment.find(from.0, segment.size(), ReadMode::NoWait).ok().flatten();
                found.map(|(position, _)| position)
            });
            bytes -= position.unwrap_or(0).min(bytes);
        }
        bytes
    }

    /// The aborted transactions that have records in `[from, to)`, by producer and first offset (KIP-98). May block.
    ///
    /// # Errors
    /// A transaction index cannot be read.
    pub fn aborted_transactions(&self, from: Offset, to: Offset) -> Result<Vec<(ProducerId, Offset)>, StorageError> {
        let paths = {
            let state = self.usable()?;
            let first = state.segment_index(from.0).unwrap_or(0);
            let segments = state.segments.get(first..).unwrap_or_default();
            segments.iter().map(|segment| segment.txn_index_path()).collect::<Vec<_>>()
        };
        let mut aborted = Vec::new();
        for path in paths {
            for entry in txn_index::read(&path)? {
                if from <= entry.last_offset && entry.first_offset < to {
                    aborted.push((entry.producer_id, entry.first_offset));
                }
                // Nothing that ended later can have begun before the last stable offset of that time.
                if to <= entry.last_stable_offset {
                    return Ok(aborted);
                }
            }
        }
        Ok(aborted)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("partition", &self.partition).field("log_end", &self.log_end_offset()).finish()
    }
}
