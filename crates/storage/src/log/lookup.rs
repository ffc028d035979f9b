//! Offsets by time (ListOffsets).

use std::sync::Arc;

use whimbrel_model::record::compression::DECOMPRESSED_BYTES_MAX;
use whimbrel_model::record::{DecompressionBuffer, RecordBatch};
use whimbrel_model::{LeaderEpoch, Offset};

use super::Log;
use crate::batch::BatchMeta;
use crate::error::StorageError;
use crate::files::read::{ReadMode, read_exact_at};
use crate::scan::{Scanner, Step};
use crate::segment::{Kind, Segment};

/// A record's place in time. `timestamp` is -1 for the answers to "earliest" and "latest".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset {
    pub timestamp: i64,
    pub offset: Offset,
    pub leader_epoch: Option<LeaderEpoch>,
}

/// One record inside a batch: its timestamp and its offset.
type RecordAt = (i64, i64);

impl Log {
    /// The log start offset and its leader epoch (ListOffsets -2).
    #[must_use]
    pub fn earliest(&self) -> TimestampOffset {
        let start = self.log_start_offset();
        let earliest = self.state.lock().epochs.earliest().filter(|entry| entry.start <= start);
        TimestampOffset { timestamp: -1, offset: start, leader_epoch: earliest.map(|entry| entry.epoch) }
    }

    /// The log end offset and the latest leader epoch (ListOffsets -1, before the caller's bound).
    #[must_use]
    pub fn latest(&self) -> TimestampOffset {
        let state = self.state.lock();
        let leader_epoch = state.epochs.latest().map(|entry| entry.epoch);
        TimestampOffset { timestamp: -1, offset: self.log_end_offset(), leader_epoch }
    }

    /// The first record at or after the log start with a timestamp of at least `timestamp`. May block.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<TimestampOffset>, StorageError> {
        self.dir.check_online()?;
        let start = self.log_start_offset().0;
        for (segment, max_timestamp) in self.segments_with_timestamps()? {
            let largest = if 0 <= max_timestamp { max_timestamp } else { segment.last_modified_ms()? };
            if timestamp <= largest {
                return find_by_timestamp(&segment, timestamp, start);
            }
        }
        Ok(None)
    }

    /// The first record that has the largest timestamp of the log (ListOffsets -3, KIP-734). May block.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn offset_of_max_timestamp(&self) -> Result<Option<TimestampOffset>, StorageError> {
        self.dir.check_online()?;
        let mut largest: Option<(Arc<Segment>, i64)> = None;
        for (segment, timestamp) in self.segments_with_timestamps()? {
            if largest.as_ref().is_none_or(|(_, known)| *known < timestamp) {
                largest = Some((segment, timestamp));
            }
        }
        let Some((segment, timestamp)) = largest.filter(|(_, timestamp)| 0 <= *timestamp) else { return Ok(None) };
        find_by_timestamp(&segment, timestamp, i64::MIN)
    }

    /// Where each segment begins, at least the log start, with when its file was last written; then the log end, as of
    /// `now_ms`, unless the last segment is empty. What ListOffsets 0 knows of time. May block.
    ///
    /// # Errors
    /// The file system cannot tell.
    pub fn segment_starts(&self, now_ms: i64) -> Result<Vec<(Offset, i64)>, StorageError> {
        self.dir.check_online()?;
        let segments = self.usable()?.segments.clone();
        let (log_start, log_end) = (self.log_start_offset(), self.log_end_offset());
        let mut starts = Vec::with_capacity(segments.len() + 1);
        for segment in &segments {
            starts.push((Offset(segment.base).max(log_start), segment.last_modified_ms()?));
        }
        if segments.last().is_some_and(|last| 0 < last.size()) {
            starts.push((log_end, now_ms));
        }
        Ok(starts)
    }

    /// All segments with their largest timestamps (-1: none has one).
    pub(super) fn segments_with_timestamps(&self) -> Result<Vec<(Arc<Segment>, i64)>, StorageError> {
        let (segments, active) = {
            let state = self.usable()?;
            (state.segments.clone(), state.active.as_ref().map(|active| active.max_timestamp.0))
        };
        let last = segments.len().saturating_sub(1);
        let mut timestamps = Vec::with_capacity(segments.len());
        for (i, segment) in segments.into_iter().enumerate() {
            let timestamp = match active {
                Some(timestamp) if i == last => timestamp,
                _ if i == last => segment.max_timestamp(segment.size(), ReadMode::MayBlock)?.0,
                _ => segment.largest_timestamp(ReadMode::MayBlock)?,
            };
            timestamps.push((segment, timestamp));
        }
        Ok(timestamps)
    }
}

/// The first record in the segment with at least this timestamp and offset.
fn find_by_timestamp(
    segment: &Arc<Segment>,
    timestamp: i64,
    start: i64,
) -> Result<Option<TimestampOffset>, StorageError> {
    let floor = segment.time_floor(timestamp, ReadMode::MayBlock)?;
    let from = segment.index_floor(floor.max(start), ReadMode::MayBlock)?;
    let file = segment.file(Kind::Log)?;
    let mut scanner = Scanner::new(&file, from, segment.size(), ReadMode::MayBlock);
    loop {
        match scanner.step().map_err(|e| segment.io_error("read", Kind::Log, e))? {
            Step::Batch { position, meta } if timestamp <= meta.max_timestamp => {
                let mut bytes = vec![0; meta.size as usize];
                read_exact_at(&file, &mut bytes, position, ReadMode::MayBlock)
                    .map_err(|e| segment.io_error("read", Kind::Log, e))?;
                let damaged = |what| StorageError::Damaged { path: segment.path(Kind::Log), position, what };
                if let Some((timestamp, offset)) = first_record(&bytes, &meta, timestamp, start).map_err(damaged)? {
                    let leader_epoch = (0 <= meta.leader_epoch).then_some(LeaderEpoch(meta.leader_epoch));
                    return Ok(Some(TimestampOffset { timestamp, offset: Offset(offset), leader_epoch }));
                }
            }
            Step::Batch { .. } => {}
            Step::End => return Ok(None),
            Step::Broken { position, what } => {
                return Err(StorageError::Damaged { path: segment.path(Kind::Log), position, what });
            }
        }
    }
}

/// The first record of the batch with at least this timestamp and offset.
fn first_record(bytes: &[u8], meta: &BatchMeta, timestamp: i64, start: i64) -> Result<Option<RecordAt>, &'static str> {
    if meta.magic != 2 {
        // Old formats are not taken apart: the first offset is at most a batch too early.
        return Ok((start <= meta.last).then_some((meta.max_timestamp, meta.base.max(start))));
    }
    let batch = RecordBatch::parse(bytes).map_err(|_| "the batch is not readable")?;
    let mut buffer = DecompressionBuffer::default();
    let body = batch.decompressed(DECOMPRESSED_BYTES_MAX, &mut buffer).map_err(|_| "the records do not decompress")?;
    for record in batch.records(body) {
        let record = record.map_err(|_| "a record is not readable")?;
        if timestamp <= record.timestamp && start <= record.offset.0 {
            return Ok(Some((record.timestamp, record.offset.0)));
        }
    }
    Ok(None)
}
