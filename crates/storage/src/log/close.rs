//! The end of a log's use: a clean stop, or its deletion.

use std::path::Path;
use std::sync::Arc;

use super::Log;
use crate::error::StorageError;
use crate::segment::Kind;

impl Log {
    /// Whether the log is in this log directory.
    pub(crate) fn is_in(&self, dir: &Path) -> bool {
        self.dir.path() == dir
    }

    /// The base offset of the first segment.
    pub(crate) fn first_base(&self) -> i64 {
        self.state.lock().segments.first().map_or(0, |first| first.base)
    }

    /// Writes what a start after a clean stop relies on; the caller syncs it. Returns whether the indexes of the active
    /// segment changed since the log was opened.
    pub(crate) fn finish(&self) -> Result<bool, StorageError> {
        let mut state = self.usable()?;
        let end = self.log_end_offset().0;
        self.take_snapshot(&mut state, end);
        let segment = state.last_segment()?.clone();
        // An untouched log is as its last stop left it.
        let Some(active) = state.active.as_deref_mut() else { return Ok(false) };
        active.add_time_entry(&segment)?;
        segment.write_all_entries()?;
        Ok(true)
    }

    /// Syncs the indexes of the active segment.
    pub(crate) fn sync_indexes(&self) -> Result<(), StorageError> {
        let segment = self.usable()?.last_segment()?.clone();
        for kind in [Kind::Index, Kind::TimeIndex] {
            segment.file(kind)?.sync_data().map_err(|e| segment.io_error("sync", kind, e))?;
        }
        Ok(())
    }

    /// No use of the log succeeds from here on.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.tail = None;
        for segment in &state.segments {
            segment.close_files();
        }
    }

    /// Closes the log and renames its directory.
    pub(crate) fn retire(self: &Arc<Self>, to: &Path) -> Result<(), StorageError> {
        let mut state = self.usable()?;
        state.is_closed = true;
        state.tail = None;
        state.generation = state.generation.wrapping_add(1);
        let from = self.home.path();
        std::fs::rename(&from, to).map_err(|e| self.dir.write_failed(StorageError::io("rename", &from, e)))?;
        self.home.moved_to(to);
        for segment in std::mem::take(&mut state.segments) {
            segment.close_files();
        }
        Ok(())
    }
}
