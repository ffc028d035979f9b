//! Dropping the end, the start, or all of a log.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use whimbrel_model::Offset;

use super::{Log, State};
use crate::error::StorageError;
use crate::files::read::ReadMode;
use crate::files::small;
use crate::index::{self, IndexEntry, TimeEntry};
use crate::segment::{Kind, Segment};
use crate::txn_index;

impl Log {
    /// The recovery point, lowered to `offset`; a truncation to there is about to follow.
    pub(crate) fn lower_recovery_point(&self, offset: Offset) {
        // Under the lock and with another generation: a flush that is running must not raise it again.
        let mut state = self.state.lock();
        if offset.0 < self.flushed.fetch_min(offset.0, Ordering::AcqRel) {
            state.generation = state.generation.wrapping_add(1);
            self.dir.recovery_points_changed.store(true, Ordering::Relaxed);
        }
    }

    /// Removes every record at or above `offset`; returns whether there was one. Offsets between the last record and
    /// `offset` do not count as records: the log then ends at `offset` (as in Kafka).
    ///
    /// Replicas are truncated through [`crate::LogManager::truncate`], which lowers the recovery points on disk before:
    /// what is written later below an old one would count as damaged if a power cut tears it.
    ///
    /// # Errors
    /// The files cannot be changed; the directory is then offline.
    pub fn truncate_to(self: &Arc<Self>, offset: Offset, now_ms: i64) -> Result<bool, StorageError> {
        self.dir.check_online()?;
        let mut state = self.usable()?;
        if self.log_end_offset() <= offset {
            if state.epochs.truncate_from_end(self.log_end_offset()) {
                self.write_epochs(&mut state)?;
            }
            return Ok(false);
        }
        if state.segments.first().is_none_or(|first| offset.0 < first.base) {
            self.restart_at(&mut state, offset.0, offset.0).map_err(|e| self.dir.write_failed(e))?;
            return Ok(true);
        }
        tracing::info!(partition = %self.partition, %offset, "truncating");
        self.cut_to(&mut state, offset.0).map_err(|e| self.dir.write_failed(e))?;
        self.reload_producers(&mut state, now_ms)?;
        Ok(true)
    }

    /// Removes all records; the log is empty and starts and ends at `offset`.
    ///
    /// # Errors
    /// As [`Self::truncate_to`].
    pub fn truncate_fully_and_start_at(self: &Arc<Self>, offset: Offset) -> Result<(), StorageError> {
        self.dir.check_online()?;
        let mut state = self.usable()?;
        tracing::info!(partition = %self.partition, %offset, "truncating fully");
        self.restart_at(&mut state, offset.0, offset.0).map_err(|e| self.dir.write_failed(e))
    }

    /// Makes records below `offset` unreadable (DeleteRecords); retention removes their segments later.
    /// Returns the log start offset, which never goes back.
    ///
    /// # Errors
    /// `Invalid` if `offset` is above the high watermark (Kafka's OFFSET_OUT_OF_RANGE).
    pub fn delete_records_before(self: &Arc<Self>, offset: Offset) -> Result<Offset, StorageError> {
        self.dir.check_online()?;
        let mut state = self.usable()?;
        if self.high_watermark() < offset {
            return Err(self.invalid("cannot delete up to", offset));
        }
        self.raise_log_start(&mut state, offset.0)?;
        Ok(self.log_start_offset())
    }

    pub(super) fn raise_log_start(&self, state: &mut State, offset: i64) -> Result<(), StorageError> {
        if offset <= self.log_start.load(Ordering::Acquire) {
            return Ok(());
        }
        self.log_start.store(offset, Ordering::Release);
        self.dir.log_starts_changed.store(true, Ordering::Relaxed);
        state.producers.settle_below(Offset(offset));
        if state.epochs.truncate_from_start(Offset(offset)) {
            match self.write_epochs(state) {
                // Retention is what makes room: it goes on, and the next epoch writes the file.
                Err(error) if error.is_full() => {}
                written => return written,
            }
        }
        Ok(())
    }

    /// `offset` lies between the first base and the log end.
    fn cut_to(self: &Arc<Self>, state: &mut State, offset: i64) -> Result<(), StorageError> {
        state.generation = state.generation.wrapping_add(1);
        state.hints.clear();
        state.tail = None;
        state.active = None;
        // Before any byte goes: a flush that runs meanwhile sees the new generation.
        self.flushed.fetch_min(offset, Ordering::AcqRel);
        self.dir.recovery_points_changed.store(true, Ordering::Relaxed);
        let keep = state.segment_index(offset).map_or(1, |i| i + 1);
        for segment in state.segments.split_off(keep.min(state.segments.len())) {
            self.remove_segment_files(&segment)?;
        }
        cut_segment(state.last_segment()?, offset)?;
        self.after_cut(state, offset)
    }

    fn after_cut(&self, state: &mut State, offset: i64) -> Result<(), StorageError> {
        self.store_log_end(offset);
        if self.log_start.fetch_min(offset, Ordering::AcqRel) != offset {
            self.dir.log_starts_changed.store(true, Ordering::Relaxed);
        }
        if offset < self.high_watermark.load(Ordering::Acquire) {
            self.set_high_watermark(Offset(offset));
        }
        state.needs_dir_sync = true;
        if state.epochs.truncate_from_end(Offset(offset)) {
            self.write_epochs(state)?;
        }
        Ok(())
    }

    /// One empty segment at `base`; the log starts at `log_start`.
    pub(super) fn restart_at(
        self: &Arc<Self>,
        state: &mut State,
        base: i64,
        log_start: i64,
    ) -> Result<(), StorageError> {
        state.generation = state.generation.wrapping_add(1);
        state.hints.clear();
        state.tail = None;
        state.active = None;
        self.flushed.store(base, Ordering::Release);
        for segment in std::mem::take(&mut state.segments) {
            self.remove_segment_files(&segment)?;
        }
        let segment = Segment::create(self.home.clone(), self.cache.clone(), base)?;
        state.segments.push(segment);
        state.epochs.clear();
        self.write_epochs(state)?;
        state.producers.clear();
        state.snapshots.remove_all(&self.home.path())?;
        self.store_log_end(base);
        self.log_start.store(log_start, Ordering::Release);
        self.set_high_watermark(Offset(base));
        state.needs_dir_sync = true;
        for changed in
            [&self.dir.log_starts_changed, &self.dir.recovery_points_changed, &self.dir.high_watermarks_changed]
        {
            changed.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// At once, not after `file.delete.delay.ms`: the names may be needed again by the next append.
    fn remove_segment_files(&self, segment: &Arc<Segment>) -> Result<(), StorageError> {
        for path in Kind::ALL.map(|kind| segment.path(kind)).into_iter().chain([segment.txn_index_path()]) {
            small::remove_if_present(&path).map_err(|e| StorageError::io("remove", &path, e))?;
        }
        segment.close_files();
        Ok(())
    }
}

/// Cuts the segment before the batch that holds `offset`, indexes first: an index may point to less than there is.
fn cut_segment(segment: &Arc<Segment>, offset: i64) -> Result<(), StorageError> {
    let size = segment.size();
    let found = segment.find(offset, size, ReadMode::MayBlock)?;
    let relative = u32::try_from((offset - segment.base).clamp(0, i64::from(i32::MAX))).unwrap_or(0);
    let entries = segment.index_entries(ReadMode::MayBlock)?;
    let file = segment.file(Kind::Index)?;
    let keep = index::floor::<IndexEntry, _>(&file, entries, ReadMode::MayBlock, |entry| entry.relative < relative)
        .map_err(|e| segment.io_error("read", Kind::Index, e))?;
    let times = segment.time_entries(ReadMode::MayBlock)?;
    let file = segment.file(Kind::TimeIndex)?;
    let keep_times = index::floor::<TimeEntry, _>(&file, times, ReadMode::MayBlock, |entry| entry.relative < relative)
        .map_err(|e| segment.io_error("read", Kind::TimeIndex, e))?;
    txn_index::truncate(&segment.txn_index_path(), offset)?;
    segment.truncate_indexes(keep.map_or(0, |(n, _)| n + 1), keep_times.map_or(0, |(n, _)| n + 1))?;
    if let Some((position, _)) = found {
        segment.cut_to(position)?;
    }
    Ok(())
}
