//! Idempotent and transactional producers of a log, and their snapshots.
//!
//! A snapshot at offset N says what the producers had done below N. One is taken when a segment is rolled, on a clean
//! stop, and now and then with the recovery point, so that a start after a crash replays little. A snapshot that cannot
//! be read is removed and an older one used; without any the log is replayed from its start.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use whimbrel_model::record::{BatchHeader, EndTxnMarker, RecordBatch};
use whimbrel_model::{Offset, ProducerId};

use super::{Log, State};
use crate::error::StorageError;
use crate::files::read::{ReadMode, read_exact_at};
use crate::files::small;
use crate::names;
use crate::producer_state::{CompletedTxn, ProducerEntry, decode_snapshot};
use crate::scan::{Scanner, Step};
use crate::segment::{Kind, Segment};
use crate::txn_index;

/// A new snapshot with the recovery point is worth its file after this much.
const SNAPSHOT_EVERY_BYTES: u64 = 64 * 1024 * 1024;

/// When producers are forgotten.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expiry {
    pub(super) now_ms: i64,
    pub(super) after_ms: i64,
}

/// The offsets of the snapshot files there are, ascending.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    offsets: Vec<i64>,
    /// `size_bytes` of appends when the last one was taken.
    taken_at_bytes: u64,
    bytes: u64,
}

impl Snapshots {
    pub(super) fn new(mut offsets: Vec<i64>) -> Self {
        offsets.sort_unstable();
        Self { offsets, ..Self::default() }
    }

    /// Only those at the base of a segment and the latest one are of use.
    pub(super) fn remove_strays(&mut self, dir: &Path, bases: impl Iterator<Item = i64>) -> Result<(), StorageError> {
        let Some(&latest) = self.offsets.last() else { return Ok(()) };
        let bases: Vec<i64> = bases.collect();
        self.remove_where(dir, |offset| offset != latest && bases.binary_search(&offset).is_err())
    }

    pub(super) fn remove(&mut self, dir: &Path, offset: i64) -> Result<(), StorageError> {
        self.remove_where(dir, |known| known == offset)
    }

    pub(super) fn remove_all(&mut self, dir: &Path) -> Result<(), StorageError> {
        self.remove_where(dir, |_| true)
    }

    fn remove_where(&mut self, dir: &Path, which: impl Fn(i64) -> bool) -> Result<(), StorageError> {
        for &offset in self.offsets.iter().filter(|offset| which(**offset)) {
            let path = names::file_path(dir, offset, names::SNAPSHOT);
            small::remove_if_present(&path).map_err(|e| StorageError::io("remove", &path, e))?;
        }
        self.offsets.retain(|offset| !which(*offset));
        Ok(())
    }

    fn latest(&self) -> Option<i64> {
        self.offsets.last().copied()
    }
}

impl Log {
    /// Runs `look` on the entry of one producer.
    pub fn producer<T>(&self, id: ProducerId, look: impl FnOnce(&ProducerEntry) -> T) -> Option<T> {
        self.state.lock().producers.get(id).map(look)
    }

    /// Runs `look` on the entries of all producers, under the log's lock (DescribeProducers).
    pub fn for_each_producer(&self, mut look: impl FnMut(ProducerId, &ProducerEntry)) {
        for (id, entry) in self.state.lock().producers.iter() {
            look(id, entry);
        }
    }

    /// Readers of committed data may read up to here: the high watermark, or the first offset of the earliest
    /// transaction that is undecided below it.
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        let mut state = self.state.lock();
        let high_watermark = self.high_watermark();
        state.producers.settle_below(high_watermark);
        let unstable = state.producers.first_unstable_offset().unwrap_or(high_watermark);
        high_watermark.min(unstable.max(self.log_start_offset()))
    }

    /// Forgets producers that wrote nothing for `after_ms`.
    pub fn expire_producers(&self, now_ms: i64, after_ms: i64) {
        self.state.lock().producers.remove_expired(now_ms, after_ms);
    }

    /// A transaction ended with a batch that was just written to the active segment.
    pub(super) fn note_completed(&self, state: &State, completed: &CompletedTxn) -> Result<(), StorageError> {
        if completed.is_aborted {
            let path = state.last_segment()?.txn_index_path();
            txn_index::append(&path, completed).map_err(|e| self.dir.write_failed(e))?;
        }
        Ok(())
    }

    /// Writes a snapshot at `offset`, where the log ends, unless there is one. Not synced: the next flush is soon enough,
    /// and without it a start replays more. That it cannot be written is no reason to fail what caused it.
    pub(super) fn take_snapshot(&self, state: &mut State, offset: i64) {
        if offset <= state.snapshots.latest().unwrap_or(0) {
            return;
        }
        let home = self.home.path();
        let name = names::file_name(offset, names::SNAPSHOT);
        match small::replace_unsynced(&home, &name, &state.producers.snapshot()) {
            Ok(()) => {
                state.snapshots.offsets.push(offset);
                state.snapshots.taken_at_bytes = state.snapshots.bytes;
            }
            Err(error) => tracing::warn!(path = %home.join(name).display(), %error, "no producer snapshot"),
        }
    }

    pub(super) fn count_for_snapshot(state: &mut State, bytes: u64) {
        state.snapshots.bytes += bytes;
    }

    /// Takes a snapshot if much was appended since the last one; older ones that are at no segment's base go.
    pub(crate) fn snapshot_if_due(&self) -> Result<(), StorageError> {
        let mut state = self.usable()?;
        let since = state.snapshots.bytes - state.snapshots.taken_at_bytes;
        if since < SNAPSHOT_EVERY_BYTES || state.producers.is_empty() {
            return Ok(());
        }
        let end = self.log_end.load(Ordering::Acquire);
        self.take_snapshot(&mut state, end);
        let bases: Vec<i64> = state.segments.iter().map(|segment| segment.base).collect();
        state.snapshots.remove_strays(&self.home.path(), bases.into_iter())
    }

    /// After opening: the state at the log end. Returns how many bytes were replayed.
    pub(super) fn load_producers(
        &self,
        state: &mut State,
        expiry: Expiry,
        is_clean: bool,
    ) -> Result<u64, StorageError> {
        let (start, end) = (self.log_start_offset().0, self.log_end_offset().0);
        let home = self.home.path();
        state.snapshots.remove_where(&home, |offset| end < offset || offset <= start)?;
        let from = self.load_latest_snapshot(state, expiry)?;
        let is_upgrade = from.is_none() && is_clean;
        // Kafka takes a clean log without snapshots for one that had no idempotent producer yet.
        if is_upgrade || from == Some(end) {
            return Ok(0);
        }
        let replayed = self.replay(state, from.unwrap_or(start), end)?;
        if 0 < replayed && !state.producers.is_empty() {
            self.take_snapshot(state, end);
        }
        Ok(replayed)
    }

    /// After a truncation: the state at the new log end.
    pub(super) fn reload_producers(&self, state: &mut State, now_ms: i64) -> Result<(), StorageError> {
        let (start, end) = (self.log_start_offset().0, self.log_end_offset().0);
        let home = self.home.path();
        state.snapshots.remove_where(&home, |offset| end < offset || offset < start)?;
        if state.producers.is_empty() {
            return Ok(());
        }
        state.producers.clear();
        let from = self.load_latest_snapshot(state, Expiry { now_ms, after_ms: i64::MAX })?;
        self.replay(state, from.unwrap_or(start), end)?;
        Ok(())
    }

    /// Loads a snapshot, and what a snapshot leaves out; gives its offset.
    fn load_latest_snapshot(&self, state: &mut State, expiry: Expiry) -> Result<Option<i64>, StorageError> {
        let home = self.home.path();
        while let Some(offset) = state.snapshots.latest() {
            let path = names::file_path(&home, offset, names::SNAPSHOT);
            let content = small::read_if_present(&path).map_err(|e| StorageError::io("read", &path, e))?;
            match content.as_deref().map(decode_snapshot) {
                Some(Ok(entries)) => {
                    state.producers.load(&entries, expiry.now_ms, expiry.after_ms);
                    self.recall_windows(state, offset, expiry.now_ms)?;
                    return Ok(Some(offset));
                }
                Some(Err(error)) => tracing::warn!(path = %path.display(), %error, "removing a producer snapshot"),
                None => {}
            }
            state.snapshots.remove(&home, offset)?;
        }
        Ok(None)
    }

    /// Takes the batches of idempotent producers in `from..end` into account.
    fn replay(&self, state: &mut State, from: i64, end: i64) -> Result<u64, StorageError> {
        let mut bytes = 0;
        let first = state.segment_index(from).unwrap_or(0);
        for segment in state.segments.get(first..).unwrap_or_default().to_vec() {
            if end <= segment.base {
                break;
            }
            let start = if from <= segment.base {
                Some(0)
            } else {
                segment.find(from, segment.size(), ReadMode::MayBlock)?.map(|(position, _)| position)
            };
            if let Some(start) = start {
                bytes += replay_segment(state, &segment, start, from.max(self.log_start_offset().0))?;
            }
        }
        Ok(bytes)
    }
}

fn replay_segment(state: &mut State, segment: &Arc<Segment>, start: u64, from: i64) -> Result<u64, StorageError> {
    let file = segment.file(Kind::Log)?;
    let mut scanner = Scanner::new(&file, start, segment.size(), ReadMode::MayBlock);
    while let Step::Batch { position, meta } = scanner.step().map_err(|e| segment.io_error("read", Kind::Log, e))? {
        if meta.producer_id < 0 || meta.last < from {
            continue;
        }
        let Some(header) = scanner.last_header(position) else { continue };
        let marker = if header.attributes.is_control() { read_marker(segment, position, &header)? } else { None };
        // The leader accepted the batch; a state that disagrees was cut off by retention or expiry.
        if let Err(error) = state.producers.replay(&header, marker.as_ref()) {
            tracing::debug!(%error, "a batch does not fit the producers' state");
        }
    }
    Ok(scanner.position() - start)
}

fn read_marker(
    segment: &Arc<Segment>,
    position: u64,
    header: &BatchHeader,
) -> Result<Option<EndTxnMarker>, StorageError> {
    let damaged = |what| StorageError::Damaged { path: segment.path(Kind::Log), position, what };
    let mut bytes = vec![0; header.size_in_bytes()];
    let file = segment.file(Kind::Log)?;
    read_exact_at(&file, &mut bytes, position, ReadMode::MayBlock)
        .map_err(|e| segment.io_error("read", Kind::Log, e))?;
    let batch = RecordBatch::parse(&bytes).map_err(|_| damaged("the batch is not readable"))?;
    EndTxnMarker::from_batch(&batch).map_err(|_| damaged("the control record is not readable"))
}
