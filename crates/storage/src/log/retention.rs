//! Removal of old segments (`UnifiedLog.deleteOldSegments`).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Log, State};
use crate::error::StorageError;
use crate::names;
use crate::segment::{Kind, Segment};

/// What one pass removed.
#[derive(Debug, Clone, Default)]
pub struct RetentionOutcome {
    pub segments: usize,
    pub bytes: u64,
    /// Files renamed to `….deleted`, to be removed after `file.delete.delay.ms`.
    pub(crate) files: Vec<PathBuf>,
}

impl Log {
    /// Takes segments out of the log that are below the log start, too old, or too much. Never beyond the high
    /// watermark; if all segments go, an empty one takes their place.
    ///
    /// # Errors
    /// The files cannot be renamed.
    pub(crate) fn apply_retention(self: &Arc<Self>, now_ms: i64) -> Result<RetentionOutcome, StorageError> {
        self.dir.check_online()?;
        let config = self.config.load_full();
        let mut outcome = RetentionOutcome::default();
        // Reading timestamps may touch files: done before the lock is taken.
        let by_time = if config.delete && 0 <= config.retention_ms {
            self.segments_older_than(now_ms, config.retention_ms)?
        } else {
            None
        };
        let mut state = self.usable()?;
        let log_start = self.log_start_offset().0;
        let mut count = state.segments.iter().skip(1).take_while(|next| next.base <= log_start).count();
        if config.delete {
            count = count.max(state.over_size(count, config.retention_bytes));
            count = count.max(by_time.map_or(0, |base| state.segments.iter().take_while(|s| s.base <= base).count()));
        }
        let count = self.cap_at_high_watermark(&state, count);
        if count == 0 {
            return Ok(outcome);
        }
        if count == state.segments.len() {
            let end = self.log_end_offset().0;
            self.roll(&mut state, end, now_ms, &config)?;
        }
        self.remove_first(&mut state, count, &mut outcome)?;
        Ok(outcome)
    }

    /// The base of the last segment of the oldest ones whose records are all older than `retention_ms`.
    fn segments_older_than(&self, now_ms: i64, retention_ms: i64) -> Result<Option<i64>, StorageError> {
        let mut oldest_kept = None;
        for (segment, timestamp) in self.segments_with_timestamps()? {
            let timestamp = if 0 <= timestamp { timestamp } else { segment.last_modified_ms()? };
            if now_ms.saturating_sub(timestamp) <= retention_ms {
                break;
            }
            oldest_kept = Some(segment.base);
        }
        Ok(oldest_kept)
    }

    /// Of the first `count` segments, those that end at or below the high watermark; an empty last one stays.
    fn cap_at_high_watermark(&self, state: &State, count: usize) -> usize {
        let high_watermark = self.high_watermark().0;
        let bases = state.segments.iter().map(|segment| segment.base).skip(1).chain([self.log_end_offset().0]);
        let below = bases.take(count).take_while(|end| *end <= high_watermark).count();
        let last_is_empty = state.segments.last().is_none_or(|last| last.size() == 0);
        if below == state.segments.len() && last_is_empty { below - 1 } else { below }
    }

    /// The log start moves first: a reader never finds a segment missing that should be there.
    fn remove_first(
        self: &Arc<Self>,
        state: &mut State,
        count: usize,
        outcome: &mut RetentionOutcome,
    ) -> Result<(), StorageError> {
        if let Some(next) = state.segments.get(count).map(|segment| segment.base) {
            self.raise_log_start(state, next)?;
        }
        let removed: Vec<_> = state.segments.drain(..count).collect();
        for segment in &removed {
            tracing::info!(partition = %self.partition, base = segment.base, bytes = segment.size(), "deleting a segment");
            outcome.segments += 1;
            outcome.bytes += segment.size();
            mark_deleted(segment, &mut outcome.files).map_err(|e| self.dir.write_failed(e))?;
            state.snapshots.remove(&self.home.path(), segment.base)?;
        }
        state.needs_dir_sync = true;
        self.flushed.fetch_max(self.log_start.load(Ordering::Acquire), Ordering::AcqRel);
        Ok(())
    }
}

impl State {
    /// How many segments must go so that what remains is not below `retention_bytes`; the first `gone` count as gone.
    fn over_size(&self, gone: usize, retention_bytes: i64) -> usize {
        let Ok(limit) = u64::try_from(retention_bytes) else { return 0 };
        let sizes = || self.segments.iter().skip(gone).map(|segment| segment.size());
        let Some(mut excess) = sizes().sum::<u64>().checked_sub(limit) else { return 0 };
        let mut count = gone;
        for size in sizes() {
            match excess.checked_sub(size) {
                Some(left) => excess = left,
                None => break,
            }
            count += 1;
        }
        count
    }
}

/// Renames the segment's files to `….deleted`. Readers that have them open go on reading.
fn mark_deleted(segment: &Arc<Segment>, files: &mut Vec<PathBuf>) -> Result<(), StorageError> {
    for path in Kind::ALL.map(|kind| segment.path(kind)).into_iter().chain([segment.txn_index_path()]) {
        let mut to = path.clone().into_os_string();
        to.push(".");
        to.push(names::DELETED);
        match std::fs::rename(&path, &to) {
            Ok(()) => files.push(to.into()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(StorageError::io("rename", &path, error)),
        }
    }
    Ok(())
}
