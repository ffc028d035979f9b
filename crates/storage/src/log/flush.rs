//! Making records survive a power cut.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use whimbrel_model::Offset;

use super::Log;
use crate::error::StorageError;
use crate::files::small;
use crate::names;
use crate::segment::{Kind, Segment};

/// What one flush has to sync, taken under the lock.
pub(crate) struct FlushWork {
    segments: Vec<Arc<Segment>>,
    end: i64,
    generation: u32,
    sync_dir: bool,
    sync_epochs: bool,
}

impl Log {
    /// Asks the directory's flusher to make everything appended so far survive a power cut. Returns at once; the
    /// [`crate::StorageListener`] hears of it. A request that is waiting covers this one.
    pub fn request_flush(self: &Arc<Self>) {
        if !self.flush_is_queued.swap(true, Ordering::AcqRel) {
            self.dir.flushes.push(self.clone());
        }
    }

    /// Requests a flush unless records below `offset` are flushed already; returns whether they are.
    pub fn flush_up_to(self: &Arc<Self>, offset: Offset) -> bool {
        let is_flushed = offset <= self.flushed_offset();
        if !is_flushed {
            self.request_flush();
        }
        is_flushed
    }

    /// The flush that was requested is about to begin: later appends ask again.
    pub(crate) fn unmark_queued(&self) {
        self.flush_is_queued.store(false, Ordering::Release);
    }

    /// Whether a flusher has the log; set and read under the lock of the queue.
    pub(crate) fn is_flushing(&self) -> bool {
        self.is_flushing.load(Ordering::Relaxed)
    }

    pub(crate) fn set_flushing(&self, is_flushing: bool) {
        self.is_flushing.store(is_flushing, Ordering::Relaxed);
    }

    /// Whether the partition's directory must be synced into its parent; the caller does it.
    pub(crate) fn take_needs_parent_sync(&self) -> bool {
        self.needs_parent_sync.load(Ordering::Relaxed) && self.needs_parent_sync.swap(false, Ordering::AcqRel)
    }

    /// Syncs each file that a flush covers; in place of it the whole file system may be synced. An error must take the
    /// directory offline: never call it again.
    pub(crate) fn sync(&self, work: &FlushWork) -> Result<(), StorageError> {
        let home = self.home.path();
        if work.sync_epochs {
            // The file in place is whole and at least as new as what is flushed: only appends under the lock replace it.
            let path = home.join(names::LEADER_EPOCH_CHECKPOINT);
            let synced = File::open(&path).and_then(|file| file.sync_all());
            synced.map_err(|e| StorageError::io("sync", &path, e)).or_else(|error| self.unless_gone(error, None))?;
        }
        let active = work.segments.last().map(|segment| segment.base);
        for segment in work.segments.iter().filter(|segment| self.holds(segment)) {
            // The indexes of the active segment are rebuilt after a crash, those of the others are not.
            let kinds: &[Kind] = if Some(segment.base) == active { &[Kind::Log] } else { &Kind::ALL };
            for &kind in kinds {
                let synced =
                    segment.file(kind).and_then(|file| file.sync_data().map_err(|e| segment.io_error("sync", kind, e)));
                synced.or_else(|error| self.unless_gone(error, Some(segment)))?;
            }
        }
        if work.sync_dir || work.sync_epochs {
            let synced = small::sync_dir(&home).map_err(|e| StorageError::io("sync", &home, e));
            synced.or_else(|error| self.unless_gone(error, None))?;
        }
        Ok(())
    }

    /// What to sync; `None` if there is nothing.
    pub(crate) fn begin_flush(&self) -> Result<Option<FlushWork>, StorageError> {
        let mut state = self.usable()?;
        let end = self.log_end.load(Ordering::Acquire);
        let flushed = self.flushed.load(Ordering::Acquire);
        if end <= flushed && !state.needs_dir_sync {
            return Ok(None);
        }
        let first = state.segment_index(flushed).unwrap_or(0);
        Ok(Some(FlushWork {
            segments: state.segments.get(first..).unwrap_or_default().to_vec(),
            end,
            generation: state.generation,
            sync_dir: std::mem::take(&mut state.needs_dir_sync),
            sync_epochs: std::mem::take(&mut state.epochs_need_sync),
        }))
    }

    /// Whether the segment is still one of the log's.
    fn holds(&self, segment: &Arc<Segment>) -> bool {
        self.state.lock().segments.iter().any(|known| Arc::ptr_eq(known, segment))
    }

    /// A file needs no sync if it is gone because retention or a truncation took its segment, or the log was deleted
    /// (which is the error then).
    fn unless_gone(&self, error: StorageError, segment: Option<&Arc<Segment>>) -> Result<(), StorageError> {
        let is_gone = matches!(&error, StorageError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound);
        drop(self.usable()?);
        let was_removed = segment.is_some_and(|segment| !self.holds(segment));
        if is_gone && was_removed { Ok(()) } else { Err(error) }
    }

    /// What `work` covers is on disk.
    pub(crate) fn end_flush(&self, work: &FlushWork) {
        let state = self.state.lock();
        // After a truncation `work.end` may count bytes that are no longer what was synced.
        if state.generation == work.generation {
            self.flushed.fetch_max(work.end, Ordering::AcqRel);
            self.last_flush_ms.store(self.last_append_ms.load(Ordering::Relaxed), Ordering::Relaxed);
            self.dir.recovery_points_changed.store(true, Ordering::Relaxed);
        }
    }

    /// Requests a flush if the oldest record that is not flushed has waited for `flush.ms`.
    pub(crate) fn flush_if_due(self: &Arc<Self>, now_ms: i64) {
        if self.log_end_offset() <= self.flushed_offset() {
            return;
        }
        let flush_ms = self.config.load().flush_ms;
        if flush_ms != i64::MAX && flush_ms <= now_ms.saturating_sub(self.last_flush_ms.load(Ordering::Relaxed)) {
            self.last_flush_ms.store(now_ms, Ordering::Relaxed);
            self.request_flush();
        }
    }
}
