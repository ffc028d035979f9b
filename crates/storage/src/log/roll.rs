//! Rolling: the active segment is closed for appends and an empty one follows it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Active, Log, State};
use crate::config::LogConfig;
use crate::error::StorageError;
use crate::files::read::ReadMode;
use crate::index;
use crate::segment::Segment;

impl Log {
    /// Rolls if the records to come do not belong into the active segment any more (`LogSegment.shouldRoll`).
    #[expect(
        clippy::too_many_arguments,
        reason = "the facts about one append; a struct would be built for this call only"
    )]
    pub(super) fn roll_if_needed(
        self: &Arc<Self>,
        state: &mut State,
        first: i64,
        last: i64,
        max_timestamp: i64,
        bytes: u64,
        now_ms: i64,
        config: &LogConfig,
    ) -> Result<(), StorageError> {
        let segment = state.last_segment()?.clone();
        let active = state.active(now_ms, config)?;
        let size = segment.size();
        let waited_ms = match active.first_timestamp {
            Some(first) if 0 <= first => max_timestamp.saturating_sub(first),
            _ => now_ms.saturating_sub(active.created_ms),
        };
        let is_full = u64::from(config.segment_bytes) < size + bytes;
        let is_old = 0 < size && config.segment_ms - active.jitter_ms < waited_ms;
        if is_full || is_old || indexes_are_full(&segment, config)? || !segment.fits(last) {
            self.roll(state, first, now_ms, config)?;
        }
        Ok(())
    }

    /// Starts a segment at `base` or the log end, whichever is higher.
    pub(super) fn roll(
        self: &Arc<Self>,
        state: &mut State,
        base: i64,
        now_ms: i64,
        config: &LogConfig,
    ) -> Result<(), StorageError> {
        let base = base.max(self.log_end.load(Ordering::Acquire));
        let old = state.last_segment()?.clone();
        if old.base == base && old.size() == 0 {
            // Empty already: its age or its indexes asked for the roll, and both start anew.
            old.truncate_indexes(0, 0).map_err(|e| self.dir.write_failed(e))?;
            state.active = Some(Box::new(Active::new(base, now_ms, config)));
            return Ok(());
        }
        if base <= old.base {
            return Err(self.invalid("cannot roll at", whimbrel_model::Offset(base)));
        }
        let segment =
            Segment::create(self.home.clone(), self.cache.clone(), base).map_err(|e| self.dir.write_failed(e))?;
        // Kafka deletes a segment by the time in this last entry.
        let closed = state.active(now_ms, config)?.add_time_entry(&old).and_then(|()| old.write_all_entries());
        if let Err(error) = closed {
            tracing::warn!(error = %crate::dir::describe(&error), "the last index entries were not written");
        }
        old.forget_largest_timestamp();
        state.segments.push(segment);
        state.active = Some(Box::new(Active::new(base, now_ms, config)));
        state.needs_dir_sync = true;
        self.take_snapshot(state, base);
        tracing::debug!(partition = %self.partition, base, "rolled a segment");
        self.request_flush();
        Ok(())
    }
}

fn indexes_are_full(segment: &Arc<Segment>, config: &LogConfig) -> Result<bool, StorageError> {
    let entries = u64::from(segment.index_entries(ReadMode::MayBlock)?);
    let times = u64::from(segment.time_entries(ReadMode::MayBlock)?);
    let most = u64::from(config.segment_index_bytes);
    // The last slot of the time index is for the closing entry.
    Ok(most / index::OFFSET_BYTES <= entries || (most / index::TIME_BYTES).saturating_sub(1) <= times)
}
