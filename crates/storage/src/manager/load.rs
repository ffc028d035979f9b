//! Loading all logs at the start.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashSet};
use parking_lot::Mutex;
use whimbrel_model::{Offset, TopicPartition};

use super::{Broken, Doomed, LogManager};
use crate::checkpoint;
use crate::dir::{LogDir, describe};
use crate::error::StorageError;
use crate::files::small;
use crate::log::{LoadContext, LoadedFrom, Log, PartitionLoad};
use crate::names::{self, DirKind};

/// What the start found and did.
#[derive(Debug, Default)]
pub struct LoadReport {
    pub dirs: Vec<DirReport>,
}

/// What the start found in one log directory.
#[derive(Debug, Default)]
pub struct DirReport {
    pub path: PathBuf,
    /// Why nothing was loaded.
    pub offline: Option<String>,
    /// The directory was closed in order.
    pub was_clean: bool,
    pub logs: usize,
    pub threads: usize,
    pub took: Duration,
    pub scanned_bytes: u64,
    /// Logs that needed more than opening.
    pub remarkable: Vec<(TopicPartition, PartitionLoad)>,
    /// Logs that cannot be used, with file and position.
    pub failed: Vec<(TopicPartition, StorageError)>,
    /// A checkpoint that could not be read and counts as empty.
    pub bad_checkpoints: Vec<StorageError>,
}

/// The three checkpoints of a directory.
struct Checkpoints {
    recovery_points: HashMap<TopicPartition, Offset>,
    log_starts: HashMap<TopicPartition, Offset>,
    high_watermarks: HashMap<TopicPartition, Offset>,
}

type Loaded = (TopicPartition, Result<(Arc<Log>, PartitionLoad), StorageError>);

impl LogManager {
    pub(super) fn load_all(&self, now_ms: i64) -> LoadReport {
        let mut report = LoadReport::default();
        for dir in &self.dirs {
            let mut dir_report = DirReport { path: dir.path().to_owned(), ..DirReport::default() };
            let started = Instant::now();
            if dir.is_locked_by_us()
                && let Err(error) = self.load_dir(dir, now_ms, &mut dir_report)
            {
                dir.take_offline(&describe(&error));
            }
            dir_report.offline = dir.offline_reason().map(str::to_owned);
            dir_report.took = started.elapsed();
            report.dirs.push(dir_report);
        }
        report
    }

    fn load_dir(&self, dir: &Arc<LogDir>, now_ms: i64, report: &mut DirReport) -> Result<(), StorageError> {
        let partitions = self.list_dir(dir, now_ms)?;
        let marker = dir.path().join(names::CLEAN_SHUTDOWN);
        report.was_clean = marker.exists();
        let checkpoints = read_checkpoints(dir, report);
        if report.was_clean {
            // Before anything changes: after a crash from here on the directory is not clean.
            small::remove_if_present(&marker)
                .and_then(|_| small::sync_dir(dir.path()))
                .map_err(|e| StorageError::io("remove", &marker, e))?;
        }
        // Without readable recovery points the marker proves nothing about where the logs ended.
        let is_clean = report.was_clean && report.bad_checkpoints.is_empty();
        let context = LoadContext {
            dir: dir.clone(),
            cache: self.cache.clone(),
            tails: self.tails.clone(),
            is_clean,
            now_ms,
            producer_id_expiration_ms: self.config.producer_id_expiration_ms,
        };
        report.threads = self.load_threads(partitions.len());
        for (partition, result) in self.load_partitions(&partitions, &checkpoints, &context, report.threads) {
            match result {
                Ok((log, load)) => self.note_loaded(partition, log, load, report),
                Err(error) => self.note_broken(dir, partition, error, &checkpoints, report),
            }
        }
        if checkpoints.name_others_than(&partitions) {
            // A log of that name that is made later begins anew.
            self.write_all_checkpoints(dir)?;
        }
        Ok(())
    }

    fn load_threads(&self, partitions: usize) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.config.recovery_threads.unwrap_or(cores).clamp(1, partitions.max(1))
    }

    /// The partitions in the directory; those that wait for their removal are noted on the way.
    fn list_dir(&self, dir: &LogDir, now_ms: i64) -> Result<Vec<TopicPartition>, StorageError> {
        let list = |e| StorageError::io("list", dir.path(), e);
        let mut partitions = Vec::new();
        for entry in fs::read_dir(dir.path()).map_err(list)? {
            let entry = entry.map_err(list)?;
            if !entry.file_type().map_err(list)?.is_dir() {
                continue;
            }
            let name = entry.file_name();
            match name.to_str().map_or(DirKind::Other, names::parse_dir_name) {
                DirKind::Partition(partition) => partitions.push(partition),
                DirKind::Delete => {
                    let due_ms = now_ms.saturating_add(self.default_log.file_delete_delay_ms);
                    self.doomed.lock().push(Doomed { due_ms, path: entry.path() });
                }
                DirKind::Future | DirKind::Stray(_) | DirKind::Other => {
                    tracing::debug!(path = %entry.path().display(), "leaving a directory alone");
                }
            }
        }
        Ok(partitions)
    }

    fn load_partitions(
        &self,
        partitions: &[TopicPartition],
        checkpoints: &Checkpoints,
        context: &LoadContext,
        threads: usize,
    ) -> Vec<Loaded> {
        let next = AtomicUsize::new(0);
        let loaded = Mutex::new(Vec::with_capacity(partitions.len()));
        let work = || {
            while let Some(partition) = partitions.get(next.fetch_add(1, Ordering::Relaxed)) {
                let from = checkpoints.of(partition, self.default_log.clone());
                let path = context.dir.path().join(partition.to_string());
                let result = Log::load(partition.clone(), &path, &from, context);
                loaded.lock().push((partition.clone(), result));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        loaded.into_inner()
    }

    fn note_loaded(&self, partition: TopicPartition, log: Arc<Log>, load: PartitionLoad, report: &mut DirReport) {
        if let Some(other) = self.get(&partition) {
            // Kafka stops here; the other copy is in use already, this one is left as it is.
            let what = "the partition is in two log directories";
            tracing::error!(%partition, first = %other.path().display(), second = %log.path().display(), what);
            report.failed.push((partition, StorageError::Damaged { path: log.path(), position: 0, what }));
            return;
        }
        report.logs += 1;
        report.scanned_bytes += load.scanned_bytes;
        if load.is_remarkable() {
            tracing::warn!(%partition, ?load, "recovered");
            report.remarkable.push((partition.clone(), load));
        }
        if let Some(broken) = self.broken.write().get_mut(&partition) {
            // In another directory, which is left as it is: this copy is in use.
            broken.is_damaged = false;
        }
        self.logs.write().insert(partition, log);
    }

    fn note_broken(
        &self,
        dir: &LogDir,
        partition: TopicPartition,
        error: StorageError,
        checkpoints: &Checkpoints,
        report: &mut DirReport,
    ) {
        let reason = describe(&error);
        tracing::error!(%partition, reason, "the log cannot be used");
        let broken = Broken {
            dir: dir.path().to_owned(),
            reason,
            // A copy that is in use, from another directory, is not to be replaced.
            is_damaged: matches!(error, StorageError::Damaged { .. }) && self.get(&partition).is_none(),
            recovery_point: checkpoints.recovery_points.get(&partition).copied(),
            log_start: checkpoints.log_starts.get(&partition).copied(),
            high_watermark: checkpoints.high_watermarks.get(&partition).copied(),
        };
        self.broken.write().insert(partition.clone(), broken);
        report.failed.push((partition, error));
    }
}

impl Checkpoints {
    /// Whether they tell of partitions that are not there, as after a crash between a removal and the next checkpoint.
    fn name_others_than(&self, partitions: &[TopicPartition]) -> bool {
        let there: HashSet<&TopicPartition> = partitions.iter().collect();
        [&self.recovery_points, &self.log_starts, &self.high_watermarks]
            .iter()
            .any(|checkpoint| checkpoint.keys().any(|partition| !there.contains(partition)))
    }

    fn of(&self, partition: &TopicPartition, config: Arc<crate::LogConfig>) -> LoadedFrom {
        let offset =
            |of: &HashMap<TopicPartition, Offset>| Offset(of.get(partition).map_or(0, |offset| offset.0.max(0)));
        LoadedFrom {
            config,
            recovery_point: offset(&self.recovery_points),
            log_start: offset(&self.log_starts),
            high_watermark: offset(&self.high_watermarks),
        }
    }
}

/// A checkpoint that cannot be read counts as empty, as in Kafka: everything is then recovered from the start.
fn read_checkpoints(dir: &LogDir, report: &mut DirReport) -> Checkpoints {
    let mut read = |name| {
        checkpoint::read_offsets(&dir.path().join(name)).unwrap_or_else(|error| {
            tracing::warn!(error = %describe(&error), "a checkpoint counts as empty");
            report.bad_checkpoints.push(error);
            HashMap::default()
        })
    };
    Checkpoints {
        recovery_points: read(names::RECOVERY_POINTS),
        log_starts: read(names::LOG_STARTS),
        high_watermarks: read(names::HIGH_WATERMARKS),
    }
}
