//! One partition's log: a list of segments, the last of which is active.
//!
//! ```text
//! log start ≤ high watermark ≤ log end        flushed ≤ log end
//!      │            │              │
//!  ┌───▼──────┬─────▼────┬─────────▼┐
//!  │ segment  │ segment  │ active   │   bases strictly increase; a segment holds offsets in [base, next base)
//!  └──────────┴──────────┴──────────┘
//! ```
//!
//! One lock guards everything that appends, truncations and look-ups of segments need. It is held for synchronous work
//! only, never while anything is synced. The offsets are atomics beside it, written under the lock, read without.
//!
//! Readers take the lock to find the segment and how far it may be read, then read without it. A truncation meanwhile
//! may put other bytes there: each truncation changes `State::generation`, and a reader that finds it changed starts
//! again.

mod append;
mod close;
mod flush;
mod load;
mod lookup;
mod producers;
mod read;
mod recover;
mod retention;
mod roll;
mod serve;
mod tail;
mod truncate;
mod windows;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use whimbrel_model::{LeaderEpoch, Offset, TopicPartition, Uuid};

pub use append::{AppendError, AppendInfo, LeaderAppend};
pub(crate) use load::{LoadContext, LoadedFrom};
pub use load::{PartitionLoad, Truncated};
pub use lookup::TimestampOffset;
pub use read::{ReadResult, Sendable, Slices};
pub use retention::RetentionOutcome;
pub(crate) use tail::TailBudget;

use crate::checkpoint;
use crate::config::LogConfig;
use crate::dir::LogDir;
use crate::epochs::{EpochCache, EpochEntry};
use crate::error::StorageError;
use crate::files::cache::FileCache;
use crate::files::read::ReadMode;
use crate::files::small;
use crate::meta;
use crate::names;
use crate::producer_state::ProducerStates;
use crate::segment::{Home, Segment};

/// `index.interval.bytes` for an index that is rebuilt outside of its log's configuration.
pub(crate) const REBUILD_INTERVAL_BYTES: u32 = 4096;

/// The log of one partition on this broker. Cheap to keep: no open file, thread or timer while it is idle.
pub struct Log {
    partition: TopicPartition,
    dir: Arc<LogDir>,
    home: Arc<Home>,
    cache: Arc<FileCache>,
    tails: Arc<TailBudget>,
    config: ArcSwap<LogConfig>,
    log_start: AtomicI64,
    log_end: AtomicI64,
    high_watermark: AtomicI64,
    flushed: AtomicI64,
    /// When the flushed offset last moved, milliseconds since the epoch as the callers of `append` count them.
    last_append_ms: AtomicI64,
    last_flush_ms: AtomicI64,
    flush_is_queued: AtomicBool,
    /// Belongs to the directory's queue, under whose lock alone it is looked at.
    is_flushing: AtomicBool,
    /// The partition's directory is not known to be in its parent after a power cut.
    needs_parent_sync: AtomicBool,
    state: Mutex<State>,
}

/// What the lock guards.
pub(crate) struct State {
    /// Never empty while the log is open; by base offset.
    segments: Vec<Arc<Segment>>,
    /// `None` until the first append after opening: idle logs do not need it.
    active: Option<Box<Active>>,
    epochs: EpochCache,
    epoch_file: EpochFile,
    epochs_need_sync: bool,
    topic_id: Option<Uuid>,
    /// A segment file was created since the partition's directory was last synced.
    needs_dir_sync: bool,
    /// Changes with every truncation.
    generation: u32,
    is_closed: bool,
    hints: read::Hints,
    /// The newest batches, while somebody reads at the log's end.
    tail: Option<Box<tail::Tail>>,
    producers: ProducerStates,
    snapshots: producers::Snapshots,
}

/// What the leader epoch checkpoint says, beside the epochs in memory. It is written before anything is appended unless it
/// is current.
enum EpochFile {
    Current,
    /// Less: the disk was full.
    Unwritten,
    /// These, which go on where the log ends: so it was found after a crash. Each start leaves out what lies behind the
    /// end, and a leader of before begins its epoch there again, so that for idle logs nothing is to be written.
    Beyond(Box<EpochCache>),
}

/// What appends keep about the active segment.
pub(crate) struct Active {
    bytes_since_index_entry: u64,
    /// Largest timestamp in the segment and the last offset of the first batch that has it; `(-1, base)` if none.
    max_timestamp: (i64, i64),
    /// The last entry of the time index, `(-1, base)` if it is empty.
    last_time_entry: (i64, i64),
    /// Largest timestamp of the first batch: rolling by time counts from it. `None` while the segment is empty.
    first_timestamp: Option<i64>,
    /// Rolling by time counts from here if the first batch has no timestamp.
    created_ms: i64,
    /// This segment's share of `segment.jitter.ms`.
    jitter_ms: i64,
}

impl Log {
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The log directory (`log.dirs` entry) that this log is in.
    #[must_use]
    pub fn parent_dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// The partition's own directory.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.home.path().to_path_buf()
    }

    /// Offset of the first record that may be read.
    #[must_use]
    pub fn log_start_offset(&self) -> Offset {
        Offset(self.log_start.load(Ordering::Acquire))
    }

    /// Offset that the next record gets.
    #[must_use]
    pub fn log_end_offset(&self) -> Offset {
        Offset(self.log_end.load(Ordering::Acquire))
    }

    /// Records below it are committed. Starts from `replication-offset-checkpoint`.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        Offset(self.high_watermark.load(Ordering::Acquire))
    }

    /// Records below it survive a power cut: the recovery point.
    #[must_use]
    pub fn flushed_offset(&self) -> Offset {
        Offset(self.flushed.load(Ordering::Acquire))
    }

    /// Sets the high watermark, clamped to the log's ends; returns what was set. The caller decides about its course:
    /// it may go back when a follower truncates.
    pub fn set_high_watermark(&self, offset: Offset) -> Offset {
        let end = self.log_end.load(Ordering::Acquire);
        let start = self.log_start.load(Ordering::Acquire).min(end);
        let clamped = offset.0.clamp(start, end);
        if self.high_watermark.swap(clamped, Ordering::AcqRel) != clamped {
            self.dir.high_watermarks_changed.store(true, Ordering::Relaxed);
        }
        Offset(clamped)
    }

    /// The settings in force.
    #[must_use]
    pub fn config(&self) -> Arc<LogConfig> {
        self.config.load_full()
    }

    /// Puts other settings in force, from the next append or retention pass on.
    pub fn set_config(&self, config: Arc<LogConfig>) {
        self.config.store(config);
    }

    /// Bytes in all segments' `.log` files.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.state.lock().segments.iter().map(|segment| segment.size()).sum()
    }

    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.state.lock().segments.len()
    }

    /// # Errors
    /// `Offline` or `Closed` if the log cannot be used.
    pub fn check_usable(&self) -> Result<(), StorageError> {
        self.dir.check_online()?;
        self.usable().map(drop)
    }

    /// The lock, if the log is open.
    fn usable(&self) -> Result<MutexGuard<'_, State>, StorageError> {
        let state = self.state.lock();
        if state.is_closed {
            return Err(StorageError::Closed { partition: self.partition.clone() });
        }
        Ok(state)
    }

    fn invalid(&self, what: &'static str, offset: Offset) -> StorageError {
        StorageError::Invalid {
            partition: self.partition.clone(),
            what,
            offset,
            start: self.log_start_offset(),
            end: self.log_end_offset(),
        }
    }

    fn store_log_end(&self, end: i64) {
        self.log_end.store(end, Ordering::Release);
    }
}

/// Topic id and leader epochs.
impl Log {
    /// The topic id in `partition.metadata`.
    #[must_use]
    pub fn topic_id(&self) -> Option<Uuid> {
        self.state.lock().topic_id
    }

    /// Writes `partition.metadata` if the log has no topic id yet; returns the id that the log now has, which differs
    /// from `id` if the log belongs to another incarnation of the topic (Kafka's INCONSISTENT_TOPIC_ID).
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn assign_topic_id(&self, id: Uuid) -> Result<Uuid, StorageError> {
        let mut state = self.usable()?;
        match state.topic_id {
            Some(known) => Ok(known),
            None => {
                meta::write_partition_metadata(&self.home.path(), id).map_err(|e| self.dir.write_failed(e))?;
                state.topic_id = Some(id);
                Ok(id)
            }
        }
    }

    /// Notes that `epoch` begins at the log end: a new leader does so before it serves (KIP-101).
    ///
    /// # Errors
    /// The checkpoint cannot be written; the leader must not serve then.
    pub fn assign_epoch_start(&self, epoch: LeaderEpoch, start: Offset) -> Result<(), StorageError> {
        self.dir.check_online()?;
        let mut state = self.usable()?;
        self.assign_epoch(&mut state, epoch, start)
    }

    fn assign_epoch(&self, state: &mut State, epoch: LeaderEpoch, start: Offset) -> Result<(), StorageError> {
        if state.epochs.assign(epoch, start) || !matches!(state.epoch_file, EpochFile::Current) {
            self.write_epochs(state)?;
        }
        Ok(())
    }

    /// Not synced here: the epochs of records past the recovery point are rebuilt from the batches, and a flush syncs
    /// the file before the recovery point moves.
    fn write_epochs(&self, state: &mut State) -> Result<(), StorageError> {
        let before = std::mem::replace(&mut state.epoch_file, EpochFile::Unwritten);
        if matches!(before, EpochFile::Beyond(found) if *found == state.epochs) {
            state.epoch_file = EpochFile::Current;
            return Ok(());
        }
        let text = checkpoint::format_epochs(state.epochs.entries());
        let home = self.home.path();
        small::replace_unsynced(&home, names::LEADER_EPOCH_CHECKPOINT, text.as_bytes()).map_err(|e| {
            self.dir.write_failed(StorageError::io("write", &home.join(names::LEADER_EPOCH_CHECKPOINT), e))
        })?;
        state.epoch_file = EpochFile::Current;
        state.epochs_need_sync = true;
        Ok(())
    }

    /// The latest leader epoch that the log knows.
    #[must_use]
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.state.lock().epochs.latest().map(|entry| entry.epoch)
    }

    /// All leader epochs with their start offsets.
    #[must_use]
    pub fn epoch_entries(&self) -> Vec<EpochEntry> {
        self.state.lock().epochs.entries().to_vec()
    }

    /// The largest known epoch not above `epoch`, and the offset where it ended (OffsetForLeaderEpoch, KIP-279).
    ///
    /// `None` if `epoch` is not known: negative or above the latest one. If all known epochs are above `epoch`, that
    /// epoch comes back with the start of the earliest.
    #[must_use]
    pub fn offset_for_leader_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let state = self.state.lock();
        state.epochs.end_offset_for(epoch, self.log_end_offset())
    }

    /// The leader epoch of the record at `offset`.
    #[must_use]
    pub fn epoch_for_offset(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.state.lock().epochs.epoch_for(offset)
    }
}

impl State {
    fn last_segment(&self) -> Result<&Arc<Segment>, StorageError> {
        // A log without a segment is closed; `usable` keeps callers out before.
        self.segments.last().ok_or_else(|| StorageError::Io {
            action: "use",
            path: PathBuf::new(),
            source: std::io::ErrorKind::NotFound.into(),
        })
    }

    /// Index of the segment that would hold `offset`; `None` below the first base.
    fn segment_index(&self, offset: i64) -> Option<usize> {
        self.segments.partition_point(|segment| segment.base <= offset).checked_sub(1)
    }

    /// What appends need about the active segment, read from its files on first use.
    fn active(&mut self, now_ms: i64, config: &LogConfig) -> Result<&mut Active, StorageError> {
        if self.active.is_none() {
            let segment = self.last_segment()?.clone();
            self.active = Some(Box::new(Active::read(&segment, now_ms, config)?));
        }
        self.active.as_deref_mut().ok_or_else(|| StorageError::Io {
            action: "use",
            path: PathBuf::new(),
            source: std::io::ErrorKind::NotFound.into(),
        })
    }
}

impl Active {
    fn new(base: i64, now_ms: i64, config: &LogConfig) -> Self {
        Self {
            bytes_since_index_entry: 0,
            max_timestamp: (-1, base),
            last_time_entry: (-1, base),
            first_timestamp: None,
            created_ms: now_ms,
            jitter_ms: jitter(base, now_ms, config),
        }
    }

    fn read(segment: &Arc<Segment>, now_ms: i64, config: &LogConfig) -> Result<Self, StorageError> {
        let mut active = Self::new(segment.base, now_ms, config);
        if segment.size() == 0 {
            return Ok(active);
        }
        let first = segment.find_from(i64::MIN, 0, segment.size(), ReadMode::MayBlock)?;
        active.first_timestamp = first.map(|(_, meta)| meta.max_timestamp);
        active.last_time_entry = segment.last_time_entry(ReadMode::MayBlock)?;
        active.max_timestamp = segment.max_timestamp(segment.size(), ReadMode::MayBlock)?;
        Ok(active)
    }
}

/// A share of `segment.jitter.ms` that differs between segments, so that partitions do not roll all at once.
fn jitter(base: i64, now_ms: i64, config: &LogConfig) -> i64 {
    let most = config.segment_jitter_ms.min(config.segment_ms);
    if most <= 0 {
        return 0;
    }
    let mixed = (base ^ now_ms.rotate_left(17)).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64);
    (mixed.unsigned_abs() >> 16) as i64 % most
}
