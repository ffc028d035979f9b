//! Opening a partition's directory (`LogLoader`).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use whimbrel_model::{Offset, TopicPartition, Uuid};

use super::producers::{Expiry, Snapshots};
use super::{EpochFile, Log, State, TailBudget, recover};
use crate::checkpoint;
use crate::config::LogConfig;
use crate::dir::LogDir;
use crate::epochs::EpochCache;
use crate::error::StorageError;
use crate::files::cache::FileCache;
use crate::files::read::ReadMode;
use crate::files::small;
use crate::meta;
use crate::names;
use crate::producer_state::ProducerStates;
use crate::scan::{Scanner, Step};
use crate::segment::{Home, Kind, Segment};

/// What every log of a directory is opened with.
pub(crate) struct LoadContext {
    pub(crate) dir: Arc<LogDir>,
    pub(crate) cache: Arc<FileCache>,
    pub(crate) tails: Arc<TailBudget>,
    /// The directory was closed in order: nothing past the recovery point is in doubt.
    pub(crate) is_clean: bool,
    pub(crate) now_ms: i64,
    pub(crate) producer_id_expiration_ms: i64,
}

/// What the checkpoints and the broker say about one log.
pub(crate) struct LoadedFrom {
    pub(crate) config: Arc<LogConfig>,
    pub(crate) recovery_point: Offset,
    pub(crate) log_start: Offset,
    pub(crate) high_watermark: Offset,
}

/// What opening one partition had to do. Empty for an ordinary start.
#[derive(Debug, Clone, Default)]
pub struct PartitionLoad {
    /// Bytes whose batches were walked over after a crash.
    pub scanned_bytes: u64,
    /// Bytes that were walked over to learn about idempotent producers.
    pub replayed_bytes: u64,
    pub truncated: Option<Truncated>,
    /// Leftovers of an interrupted deletion or compaction that were removed or put in place.
    pub leftover_files: usize,
    /// The log ended below its recovery point; records that were flushed once are not there.
    pub missing_below_recovery_point: Option<Offset>,
    /// The log lay wholly below its start offset and was emptied.
    pub was_below_log_start: bool,
    pub epochs_were_rebuilt: bool,
}

impl PartitionLoad {
    /// Whether there is anything to tell.
    #[must_use]
    pub fn is_remarkable(&self) -> bool {
        self.truncated.is_some()
            || 0 < self.leftover_files
            || self.missing_below_recovery_point.is_some()
            || self.was_below_log_start
            || self.epochs_were_rebuilt
    }
}

/// A tail that a crash left behind the recovery point, and that was cut off.
#[derive(Debug, Clone)]
pub struct Truncated {
    pub path: PathBuf,
    pub position: u64,
    /// Bytes cut off, those of later segments included.
    pub bytes: u64,
    /// The log ends here now.
    pub offset: Offset,
    pub reason: &'static str,
    /// The checkpointed high watermark was higher: committed records are gone from this replica.
    pub is_below_high_watermark: bool,
}

impl Log {
    /// Opens the log in `path`, which need not hold a segment.
    ///
    /// # Errors
    /// `Damaged` if something below the recovery point is; nothing was changed then beyond leftovers.
    pub(crate) fn load(
        partition: TopicPartition,
        path: &Path,
        from: &LoadedFrom,
        context: &LoadContext,
    ) -> Result<(Arc<Self>, PartitionLoad), StorageError> {
        let mut report = PartitionLoad::default();
        let home = Arc::new(Home::new(path));
        let (mut segments, mut snapshots) = open_segments(&home, context, &mut report)?;
        snapshots.remove_strays(path, segments.iter().map(|segment| segment.base))?;
        let mut epochs = load_epochs(path, &segments, &mut report)?;
        let before = epochs.clone();
        let mut needs_dir_sync = false;
        let end = find_end(&mut segments, &mut epochs, from, context, &mut report)?;
        let end = match end.filter(|end| from.log_start.0 <= *end) {
            Some(end) => end,
            None => {
                report.was_below_log_start = end.is_some();
                for segment in segments.drain(..) {
                    recover::remove_segment(&segment)?;
                }
                epochs.clear();
                segments.push(Segment::create(home.clone(), context.cache.clone(), from.log_start.0)?);
                needs_dir_sync = true;
                from.log_start.0
            }
        };
        let log_start = segments.first().map_or(end, |first| first.base.max(from.log_start.0));
        epochs.truncate_from_end(Offset(end));
        epochs.truncate_from_start(from.log_start);
        let was_written = !before.entries().is_empty() && !report.epochs_were_rebuilt;
        // A process that ended by a crash need not have synced what it wrote.
        let epochs_need_sync = was_written && !context.is_clean;
        let epoch_file = if epochs == before {
            EpochFile::Current
        } else if before.entries().starts_with(epochs.entries()) && was_written {
            EpochFile::Beyond(Box::new(before))
        } else {
            EpochFile::Unwritten
        };
        let flushed = if context.is_clean { end } else { from.recovery_point.0.min(end) };
        let state = State {
            segments,
            active: None,
            epochs,
            epoch_file,
            epochs_need_sync,
            topic_id: meta::read_partition_metadata(path)?,
            needs_dir_sync,
            generation: 0,
            is_closed: false,
            hints: super::read::Hints::default(),
            tail: None,
            producers: ProducerStates::new(),
            snapshots,
        };
        let log = Self::new(partition, home, from.config.clone(), context, state, (log_start, end, flushed));
        log.set_high_watermark(from.high_watermark);
        {
            let mut state = log.state.lock();
            if matches!(state.epoch_file, EpochFile::Unwritten) {
                log.write_epochs(&mut state)?;
            }
            let expiry = Expiry { now_ms: context.now_ms, after_ms: context.producer_id_expiration_ms };
            report.replayed_bytes = log.load_producers(&mut state, expiry, context.is_clean)?;
            // Idle until used.
            for segment in &state.segments {
                segment.close_files();
            }
        }
        Ok((Arc::new(log), report))
    }

    /// Creates the directory of a new partition with an empty log that starts at 0.
    pub(crate) fn create(
        partition: TopicPartition,
        path: &Path,
        topic_id: Option<Uuid>,
        config: Arc<LogConfig>,
        context: &LoadContext,
    ) -> Result<Arc<Self>, StorageError> {
        fs::create_dir(path).map_err(|e| StorageError::io("create", path, e))?;
        if let Some(id) = topic_id {
            meta::write_partition_metadata(path, id)?;
        }
        let home = Arc::new(Home::new(path));
        let segment = Segment::create(home.clone(), context.cache.clone(), 0)?;
        let state = State {
            segments: vec![segment],
            active: None,
            epochs: EpochCache::default(),
            epoch_file: EpochFile::Current,
            epochs_need_sync: false,
            topic_id,
            needs_dir_sync: true,
            generation: 0,
            is_closed: false,
            hints: super::read::Hints::default(),
            tail: None,
            producers: ProducerStates::new(),
            snapshots: Snapshots::default(),
        };
        let log = Self::new(partition, home, config, context, state, (0, 0, 0));
        log.needs_parent_sync.store(true, std::sync::atomic::Ordering::Release);
        Ok(Arc::new(log))
    }

    fn new(
        partition: TopicPartition,
        home: Arc<Home>,
        config: Arc<LogConfig>,
        context: &LoadContext,
        state: State,
        (log_start, log_end, flushed): (i64, i64, i64),
    ) -> Self {
        Self {
            partition,
            dir: context.dir.clone(),
            home,
            cache: context.cache.clone(),
            tails: context.tails.clone(),
            config: ArcSwap::new(config),
            log_start: AtomicI64::new(log_start),
            log_end: AtomicI64::new(log_end),
            high_watermark: AtomicI64::new(log_start),
            flushed: AtomicI64::new(flushed),
            last_append_ms: AtomicI64::new(context.now_ms),
            last_flush_ms: AtomicI64::new(context.now_ms),
            flush_is_queued: AtomicBool::new(false),
            is_flushing: AtomicBool::new(false),
            needs_parent_sync: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }
}

/// Offset after the last record; recovers what is in doubt. `None` without any segment.
fn find_end(
    segments: &mut Vec<Arc<Segment>>,
    epochs: &mut EpochCache,
    from: &LoadedFrom,
    context: &LoadContext,
    report: &mut PartitionLoad,
) -> Result<Option<i64>, StorageError> {
    let Some(last) = segments.last() else { return Ok(None) };
    if context.is_clean {
        if let Some(end) = clean_end(last)? {
            return Ok(Some(end));
        }
        tracing::warn!(path = %last.path(Kind::Log).display(), "the tail is damaged after a clean stop");
    }
    let rules = recover::Rules { empty_segments_are_losses: context.dir.was_ours() };
    recover::recover(segments, epochs, from, report, rules).map(Some)
}

/// The end of a segment whose tail is in order, found from its last index entry. `None` if the tail is not.
fn clean_end(segment: &Arc<Segment>) -> Result<Option<i64>, StorageError> {
    if segment.size() == 0 {
        return Ok(Some(segment.base));
    }
    let from = segment.index_floor(i64::MAX, ReadMode::MayBlock)?;
    let file = segment.file(Kind::Log)?;
    let mut scanner = Scanner::new(&file, from, segment.size(), ReadMode::MayBlock);
    let mut end = segment.base;
    loop {
        match scanner.step().map_err(|e| segment.io_error("read", Kind::Log, e))? {
            Step::Batch { meta, .. } => end = meta.last + 1,
            Step::End => return Ok(Some(end)),
            Step::Broken { .. } => return Ok(None),
        }
    }
}

/// Lists the directory, deals with leftovers, and gives the segments and the producer snapshots in order.
fn open_segments(
    home: &Arc<Home>,
    context: &LoadContext,
    report: &mut PartitionLoad,
) -> Result<(Vec<Arc<Segment>>, Snapshots), StorageError> {
    let path = home.path();
    let mut listing = list(&path)?;
    if !listing.leftovers.is_empty() {
        report.leftover_files = listing.leftovers.len();
        super::recover::settle_leftovers(&path, &listing.leftovers)?;
        listing = list(&path)?;
    }
    for (base, extension) in &listing.indexes {
        if !listing.logs.contains(base) {
            let path = names::file_path(&path, *base, extension);
            tracing::warn!(path = %path.display(), "removing an index without a segment");
            small::remove_if_present(&path).map_err(|e| StorageError::io("remove", &path, e))?;
        }
    }
    let mut segments = Vec::with_capacity(listing.logs.len());
    for base in listing.logs {
        let file = names::file_path(&path, base, names::LOG);
        let size = fs::metadata(&file).map_err(|e| StorageError::io("stat", &file, e))?.len();
        segments.push(Segment::existing(home.clone(), context.cache.clone(), base, size));
    }
    Ok((segments, Snapshots::new(listing.snapshots)))
}

#[derive(Default)]
struct Listing {
    logs: BTreeSet<i64>,
    indexes: Vec<(i64, &'static str)>,
    snapshots: Vec<i64>,
    /// Names with the suffix of a deletion or compaction.
    leftovers: Vec<String>,
}

fn list(path: &Path) -> Result<Listing, StorageError> {
    let mut listing = Listing::default();
    for entry in fs::read_dir(path).map_err(|e| StorageError::io("list", path, e))? {
        let entry = entry.map_err(|e| StorageError::io("list", path, e))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let suffix = name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        if [names::DELETED, names::CLEANED, names::SWAP].contains(&suffix) {
            listing.leftovers.push(name.to_owned());
            continue;
        }
        match names::parse_file_name(name) {
            Some((base, names::LOG)) => {
                listing.logs.insert(base);
            }
            Some((offset, names::SNAPSHOT)) => listing.snapshots.push(offset),
            Some((base, extension)) => {
                let known =
                    [names::INDEX, names::TIME_INDEX, names::TXN_INDEX].into_iter().find(|known| *known == extension);
                listing.indexes.extend(known.map(|extension| (base, extension)));
            }
            None => {}
        }
    }
    Ok(listing)
}

/// A checkpoint that cannot be read is rebuilt from the batches.
fn load_epochs(path: &Path, segments: &[Arc<Segment>], report: &mut PartitionLoad) -> Result<EpochCache, StorageError> {
    match checkpoint::read_epochs(&path.join(names::LEADER_EPOCH_CHECKPOINT)) {
        // No epochs beside records: a power cut came between the file and its sync.
        Ok(entries) if !entries.is_empty() || segments.iter().all(|segment| segment.size() == 0) => {
            Ok(EpochCache::from_entries(entries))
        }
        Ok(_) => rebuild_epochs(segments, report),
        Err(error @ StorageError::Damaged { .. }) => {
            tracing::warn!(error = %crate::dir::describe(&error), "the leader epochs cannot be read");
            rebuild_epochs(segments, report)
        }
        Err(error) => Err(error),
    }
}

/// From all batch headers. Finds nothing in a log of old formats, which has no epochs.
fn rebuild_epochs(segments: &[Arc<Segment>], report: &mut PartitionLoad) -> Result<EpochCache, StorageError> {
    let mut epochs = EpochCache::default();
    for segment in segments {
        let file = segment.file(Kind::Log)?;
        let mut scanner = Scanner::new(&file, 0, segment.size(), ReadMode::MayBlock);
        while let Step::Batch { meta, .. } = scanner.step().map_err(|e| segment.io_error("read", Kind::Log, e))? {
            recover::note_epoch(&mut epochs, &meta);
        }
    }
    report.epochs_were_rebuilt = !epochs.entries().is_empty();
    Ok(epochs)
}
