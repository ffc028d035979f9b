//! Appends, as leader and as follower.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use smallvec::SmallVec;
use whimbrel_model::record::{Batches, ControlError, EndTxnMarker, NO_TIMESTAMP, TimestampType};
use whimbrel_model::{LeaderEpoch, Offset};

use super::{Log, State};
use crate::batch::BatchMeta;
use crate::config::LogConfig;
use crate::error::StorageError;
use crate::producer_state::{ProducerError, ProducerUpdate, Verdict};
use crate::segment::{Kind, Segment};
use crate::validator::{AppendOrigin, ReplicationError, ValidationError, check_replicated, validate};

/// How a leader appends.
#[derive(Debug, Clone, Copy)]
pub struct LeaderAppend {
    pub leader_epoch: LeaderEpoch,
    pub origin: AppendOrigin,
    /// Wall clock, milliseconds since the epoch.
    pub now_ms: i64,
}

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendInfo {
    /// Offset of the first record; of the original one if this was a duplicate. -1 if the duplicate is so old that its
    /// place is not remembered: it lies at or below `last_offset`.
    pub first_offset: Offset,
    pub last_offset: Offset,
    /// Milliseconds since the epoch if the broker set the timestamps (for a duplicate: the original's largest
    /// timestamp, as in Kafka), else -1.
    pub log_append_time: i64,
    pub log_start_offset: Offset,
    /// Of the last batch.
    pub leader_epoch: LeaderEpoch,
    /// The idempotent producer sent this batch before: nothing was written.
    pub is_duplicate: bool,
    /// Bytes written.
    pub bytes: u64,
}

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The batch is not one that this topic takes.
    #[error(transparent)]
    Validation(#[from] ValidationError),
    /// A control batch that says nothing readable.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The producer's epoch or sequence does not fit.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// A leader's batches do not fit this follower.
    #[error(transparent)]
    Replication(#[from] ReplicationError),
    /// The disk; `Full` is worth a retry.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Batches whose offsets are final, and their bytes as pieces of one write.
struct Ready<'a> {
    metas: SmallVec<[BatchMeta; 1]>,
    pieces: [&'a [u8]; 2],
    bytes: u64,
}

impl Log {
    /// Appends one batch of a client or a coordinator, giving it the next offsets and the leader's epoch.
    ///
    /// Validation runs before the lock is taken. Returns when the bytes are in the page cache; ask for a flush to make
    /// them survive a power cut. A body that needs no rewriting is written from `records` as it is.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing was kept then.
    pub fn append_as_leader(self: &Arc<Self>, records: &Bytes, how: LeaderAppend) -> Result<AppendInfo, AppendError> {
        self.dir.check_online()?;
        let config = self.config.load_full();
        let mut batch = validate(records, how.origin, how.now_ms, &config.rules)?;
        let marker = batch.end_txn_marker()?;
        let mut state = self.usable()?;
        batch.assign(self.log_end_offset(), how.leader_epoch);
        let header = batch.header();
        let update = match state.producers.check(&header, marker.as_ref(), how.origin)? {
            Verdict::Append(update) => update,
            Verdict::Duplicate(original) => {
                let (first, last) = (original.base_offset(), original.last_offset);
                return Ok(self.duplicate(first, last, original.timestamp, how.leader_epoch));
            }
            Verdict::Forgotten { before } => {
                return Ok(self.duplicate(Offset(-1), Offset(before.0 - 1), NO_TIMESTAMP, how.leader_epoch));
            }
        };
        let bytes = batch.size_in_bytes() as u64;
        let metas = SmallVec::from_iter([BatchMeta::of(&header)]);
        let ready = Ready { metas, pieces: [batch.header_bytes(), batch.body()], bytes };
        let mut info = self.write(&mut state, &ready, how.now_ms, &config)?;
        self.apply_update(&mut state, &update)?;
        drop(state);
        self.enforce_tail_budget();
        if header.attributes.timestamp_type() == TimestampType::LogAppendTime {
            info.log_append_time = header.max_timestamp;
        }
        Ok(info)
    }

    /// Appends batches that a leader assigned offsets to, byte for byte. A cut-off batch at the end is left out.
    /// `None` if there is no whole batch.
    ///
    /// # Errors
    /// `Replication` on bad structure, checksums, or a first offset below the log end.
    pub fn append_as_follower(
        self: &Arc<Self>,
        records: &Bytes,
        now_ms: i64,
    ) -> Result<Option<AppendInfo>, AppendError> {
        self.dir.check_online()?;
        let config = self.config.load_full();
        let Some(checked) = check_replicated(records, self.log_end_offset())? else { return Ok(None) };
        let bytes = records.get(..checked.valid_bytes).unwrap_or_default();
        let headers = || Batches::new(bytes).flatten();
        let mut state = self.usable()?;
        let log_end = self.log_end_offset();
        if checked.first_offset < log_end {
            return Err(ReplicationError::BelowLogEnd { first_offset: checked.first_offset, log_end }.into());
        }
        let metas = headers().map(|batch| BatchMeta::of(&batch.header)).collect();
        let ready = Ready { metas, pieces: [bytes, &[]], bytes: bytes.len() as u64 };
        let info = self.write(&mut state, &ready, now_ms, &config)?;
        for batch in headers().filter(|batch| batch.header.has_producer_id()) {
            let marker = if batch.header.attributes.is_control() { EndTxnMarker::from_batch(&batch)? } else { None };
            // The leader has accepted it, so the record is in the log whatever this replica knows of its producer.
            match state.producers.replay(&batch.header, marker.as_ref()) {
                Ok(Some(completed)) => self.note_completed(&state, &completed)?,
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "a batch does not fit the producers' state"),
            }
        }
        drop(state);
        self.enforce_tail_budget();
        Ok(Some(info))
    }

    fn duplicate(
        &self,
        first_offset: Offset,
        last_offset: Offset,
        timestamp: i64,
        leader_epoch: LeaderEpoch,
    ) -> AppendInfo {
        AppendInfo {
            first_offset,
            last_offset,
            log_append_time: timestamp,
            log_start_offset: self.log_start_offset(),
            leader_epoch,
            is_duplicate: true,
            bytes: 0,
        }
    }

    fn apply_update(&self, state: &mut State, update: &ProducerUpdate) -> Result<(), StorageError> {
        match state.producers.apply(update) {
            Some(completed) => self.note_completed(state, &completed),
            None => Ok(()),
        }
    }

    /// Writes batches whose offsets are final.
    fn write(
        self: &Arc<Self>,
        state: &mut State,
        ready: &Ready<'_>,
        now_ms: i64,
        config: &LogConfig,
    ) -> Result<AppendInfo, StorageError> {
        let (Some(first), Some(last)) = (ready.metas.first(), ready.metas.last()) else {
            return Err(self.invalid("nothing to append at", self.log_end_offset()));
        };
        self.dir.take_room(ready.bytes)?;
        for meta in &ready.metas {
            self.assign_epoch(state, LeaderEpoch(meta.leader_epoch), Offset(meta.base))?;
        }
        let max_timestamp = ready.metas.iter().map(|meta| meta.max_timestamp).max().unwrap_or(NO_TIMESTAMP);
        self.roll_if_needed(state, first.base, last.last, max_timestamp, ready.bytes, now_ms, config)?;
        let segment = state.last_segment()?.clone();
        let position = segment.size();
        write_pieces(&segment, &ready.pieces, position)
            .map_err(|error| self.append_failed(&segment, position, error))?;
        self.note_appended(state, &segment, &ready.metas, now_ms, config);
        Self::count_for_snapshot(state, ready.bytes);
        self.keep_tail(state, &ready.metas, &ready.pieces);
        segment.set_size(position + ready.bytes);
        self.store_log_end(last.last + 1);
        self.last_append_ms.store(now_ms, Ordering::Relaxed);
        self.dir.stats.appended_bytes.fetch_add(ready.bytes, Ordering::Relaxed);
        if config.flush_messages <= last.last + 1 - self.flushed.load(Ordering::Acquire) {
            self.request_flush();
        }
        Ok(AppendInfo {
            first_offset: Offset(first.base),
            last_offset: Offset(last.last),
            log_append_time: NO_TIMESTAMP,
            log_start_offset: self.log_start_offset(),
            leader_epoch: LeaderEpoch(last.leader_epoch),
            is_duplicate: false,
            bytes: ready.bytes,
        })
    }

    /// Takes back what a failed write may have left behind the end, so that the next append finds a clean tail.
    fn append_failed(&self, segment: &Arc<Segment>, position: u64, error: StorageError) -> StorageError {
        let cut = segment
            .file(Kind::Log)
            .and_then(|file| file.set_len(position).map_err(|e| segment.io_error("truncate", Kind::Log, e)));
        match cut {
            Ok(()) => self.dir.write_failed(error),
            // A tail that cannot be cut would be taken for data after a restart.
            Err(cut) => {
                self.dir.take_offline(&crate::dir::describe(&cut));
                cut
            }
        }
    }

    /// Index entries for the batches just written, by Kafka's rule: before a batch, once more than
    /// `index.interval.bytes` lie between it and the last entry. An index that cannot be written stays sparser.
    fn note_appended(
        &self,
        state: &mut State,
        segment: &Arc<Segment>,
        metas: &[BatchMeta],
        now_ms: i64,
        config: &LogConfig,
    ) {
        let mut position = segment.size();
        let Ok(active) = state.active(now_ms, config) else { return };
        for meta in metas {
            if active.first_timestamp.is_none() {
                active.first_timestamp = Some(meta.max_timestamp);
            }
            if active.max_timestamp.0 < meta.max_timestamp {
                active.max_timestamp = (meta.max_timestamp, meta.last);
            }
            if u64::from(config.index_interval_bytes) < active.bytes_since_index_entry {
                if let Err(error) = active.add_index_entries(segment, meta.last, position) {
                    // Not the record's fault: it is in the log, and look-ups scan a little further.
                    tracing::warn!(error = %crate::dir::describe(&error), "an index entry was not written");
                }
                active.bytes_since_index_entry = 0;
            }
            active.bytes_since_index_entry += u64::from(meta.size);
            position += u64::from(meta.size);
        }
    }
}

impl super::Active {
    fn add_index_entries(&mut self, segment: &Arc<Segment>, last: i64, position: u64) -> Result<(), StorageError> {
        segment.append_index(last, position)?;
        self.add_time_entry(segment)
    }

    /// The largest timestamp so far, if it is above that of the last entry.
    pub(super) fn add_time_entry(&mut self, segment: &Arc<Segment>) -> Result<(), StorageError> {
        if self.last_time_entry.0 < self.max_timestamp.0 {
            segment.append_time(self.max_timestamp.0, self.max_timestamp.1)?;
            self.last_time_entry = self.max_timestamp;
        }
        Ok(())
    }
}

fn write_pieces(segment: &Arc<Segment>, pieces: &[&[u8]; 2], mut position: u64) -> Result<(), StorageError> {
    let file = segment.file(Kind::Log)?;
    let mut slices = pieces.map(IoSlice::new);
    let mut left: &mut [IoSlice<'_>] = &mut slices;
    // Empty pieces at the front would make a write of nothing look like a failure.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match rustix::io::pwritev(file.as_fd(), left, position) {
            Ok(0) => return Err(segment.io_error("write", Kind::Log, io::ErrorKind::WriteZero.into())),
            Ok(written) => {
                position += written as u64;
                IoSlice::advance_slices(&mut left, written);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(segment.io_error("write", Kind::Log, error.into())),
        }
    }
    Ok(())
}
