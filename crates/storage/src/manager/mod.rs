//! All logs of a broker, in several log directories (`LogManager`).

mod checkpoints;
mod damaged;
mod load;
mod passes;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use foldhash::{HashMap, HashMapExt};
use parking_lot::{Mutex, RwLock};
use whimbrel_model::{Offset, TopicPartition, Uuid};

pub use load::{DirReport, LoadReport};
pub use passes::RetentionTotals;

use crate::config::{LogConfig, LogManagerConfig};
use crate::dir::{LogDir, StorageListener};
use crate::error::{OpenError, StorageError};
use crate::files::cache::FileCache;
use crate::files::small;
use crate::flusher;
use crate::log::{LoadContext, Log, TailBudget};
use crate::names;

/// A partition whose directory cannot be opened. It stays as it is on disk.
struct Broken {
    dir: PathBuf,
    reason: String,
    /// Its bytes are wrong, and there is no other copy; otherwise they could not be read, or another one is in use.
    is_damaged: bool,
    /// What the checkpoints said; written again so that a later repair finds it.
    recovery_point: Option<Offset>,
    log_start: Option<Offset>,
    high_watermark: Option<Offset>,
}

/// A file or directory that goes away later.
struct Doomed {
    due_ms: i64,
    path: PathBuf,
}

/// All logs. Methods may block on the disk unless they say otherwise.
pub struct LogManager {
    config: LogManagerConfig,
    default_log: Arc<LogConfig>,
    dirs: Vec<Arc<LogDir>>,
    cache: Arc<FileCache>,
    tails: Arc<TailBudget>,
    logs: RwLock<HashMap<TopicPartition, Arc<Log>>>,
    broken: RwLock<HashMap<TopicPartition, Broken>>,
    /// Creations are serial: they choose the directory with the fewest partitions.
    creation: Mutex<()>,
    doomed: Mutex<Vec<Doomed>>,
    listener: Arc<OnceLock<Arc<dyn StorageListener>>>,
    flushers: Mutex<Vec<JoinHandle<()>>>,
    unique: AtomicU64,
}

/// How a partition's directory comes to be.
#[derive(Debug, Clone, Copy)]
pub struct Creation {
    /// Written to `partition.metadata`.
    pub topic_id: Option<Uuid>,
    /// The replica provably never existed. If false and a log directory is offline, an absent log is not created: it
    /// may be in that directory.
    pub is_new: bool,
    /// Wall clock, milliseconds since the epoch.
    pub now_ms: i64,
}

/// State of one log directory, for DescribeLogDirs and metrics.
#[derive(Debug, Clone)]
pub struct DirStatus {
    pub path: PathBuf,
    /// Why the directory is out of use.
    pub offline: Option<String>,
    /// Of the file system, bytes; -1 if unknown.
    pub total_bytes: i64,
    pub usable_bytes: i64,
    pub flushes: u64,
    pub flush_nanos: u64,
    pub flushed_logs: u64,
    pub appended_bytes: u64,
    pub read_bytes: u64,
}

impl LogManager {
    /// Locks the directories, loads their logs (in parallel) and starts a flusher for each directory.
    ///
    /// # Errors
    /// A directory is held by another process, or all of them are unusable. Other trouble is in the report.
    pub fn open(config: LogManagerConfig, now_ms: i64) -> Result<(Arc<Self>, LoadReport), OpenError> {
        let listener = Arc::new(OnceLock::new());
        let dirs = open_dirs(&config, &listener)?;
        let manager = Self {
            default_log: Arc::new(config.default_log.clone()),
            cache: Arc::new(FileCache::new(config.open_files_max)),
            tails: Arc::new(TailBudget::new(config.tail_bytes_max)),
            dirs,
            logs: RwLock::new(HashMap::new()),
            broken: RwLock::new(HashMap::new()),
            creation: Mutex::new(()),
            doomed: Mutex::new(Vec::new()),
            listener,
            flushers: Mutex::new(Vec::new()),
            unique: AtomicU64::new(now_ms.unsigned_abs()),
            config,
        };
        let report = manager.load_all(now_ms);
        if let Some(first) = manager.dirs.first()
            && manager.dirs.iter().all(|dir| dir.offline_reason().is_some())
        {
            let reason = first.offline_reason().unwrap_or_default().to_owned();
            return Err(OpenError::AllOffline { dir: first.path().to_owned(), reason });
        }
        manager.start_flushers();
        Ok((Arc::new(manager), report))
    }

    /// Who hears of flushes and failed directories. Set once, before the first append.
    pub fn set_listener(&self, listener: Arc<dyn StorageListener>) {
        if self.listener.set(listener).is_err() {
            tracing::warn!("the storage listener was set before");
        }
    }

    /// The log of a partition. Does not block.
    #[must_use]
    pub fn get(&self, partition: &TopicPartition) -> Option<Arc<Log>> {
        self.logs.read().get(partition).cloned()
    }

    /// All partitions that have a log. Does not block.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Log>> {
        self.logs.read().values().cloned().collect()
    }

    /// How many logs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.logs.read().len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The partition's log; created in the directory with the fewest partitions if there is none.
    ///
    /// # Errors
    /// The log exists but is damaged; the log may be in an offline directory; the directory cannot be written.
    pub fn get_or_create(
        &self,
        partition: &TopicPartition,
        config: Arc<LogConfig>,
        how: Creation,
    ) -> Result<Arc<Log>, StorageError> {
        let _serial = self.creation.lock();
        if let Some(log) = self.get(partition) {
            log.set_config(config);
            return Ok(log);
        }
        if let Some(reason) = self.broken_reason(partition) {
            return Err(StorageError::Unusable { partition: partition.clone(), reason });
        }
        if !how.is_new
            && let Some(dir) = self.dirs.iter().find(|dir| dir.offline_reason().is_some())
        {
            dir.check_online()?;
        }
        let dir = self.emptiest_dir()?;
        self.create_in(dir, partition, config, how.topic_id, how.now_ms)
    }

    fn create_in(
        &self,
        dir: &Arc<LogDir>,
        partition: &TopicPartition,
        config: Arc<LogConfig>,
        topic_id: Option<Uuid>,
        now_ms: i64,
    ) -> Result<Arc<Log>, StorageError> {
        let path = dir.path().join(partition.to_string());
        let context = LoadContext {
            dir: dir.clone(),
            cache: self.cache.clone(),
            tails: self.tails.clone(),
            is_clean: true,
            now_ms,
            producer_id_expiration_ms: self.config.producer_id_expiration_ms,
        };
        let log = Log::create(partition.clone(), &path, topic_id, config, &context).map_err(|error| {
            // What was created so far would look like a log at the next start.
            if !matches!(&error, StorageError::Io { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists)
            {
                let _ = std::fs::remove_dir_all(&path);
            }
            dir.write_failed(error)
        })?;
        self.logs.write().insert(partition.clone(), log.clone());
        dir.recovery_points_changed.store(true, Ordering::Relaxed);
        dir.high_watermarks_changed.store(true, Ordering::Relaxed);
        Ok(log)
    }

    fn emptiest_dir(&self) -> Result<&Arc<LogDir>, StorageError> {
        let mut counts: HashMap<PathBuf, usize> = HashMap::new();
        if 1 < self.dirs.len() {
            for log in self.logs.read().values() {
                *counts.entry(log.parent_dir()).or_default() += 1;
            }
        }
        let online = self.dirs.iter().filter(|dir| dir.offline_reason().is_none());
        let emptiest = online.min_by_key(|dir| counts.get(dir.path()).copied().unwrap_or(0));
        emptiest.ok_or_else(|| StorageError::Offline {
            dir: self.dirs.first().map(|dir| dir.path().to_owned()).unwrap_or_default(),
            reason: "every log directory is offline".to_owned(),
        })
    }

    /// Takes these partitions' logs out of use; their directories are renamed now and removed by a later
    /// [`Self::deletion_pass`], `file.delete.delay.ms` after `now_ms`. Partitions without a log are skipped; a log that
    /// cannot be used goes like any other.
    ///
    /// # Errors
    /// The first failure; the others are deleted nevertheless.
    pub fn delete(&self, partitions: &[TopicPartition], now_ms: i64) -> Result<(), StorageError> {
        let _serial = self.creation.lock();
        let mut result = Ok(());
        let mut changed: Vec<Arc<LogDir>> = Vec::new();
        for partition in partitions {
            let log = self.logs.write().remove(partition);
            let retired = match log {
                Some(log) => self.retire(&log, now_ms).map(|()| self.dir_at(&log.parent_dir())),
                None => self.retire_broken(partition, now_ms),
            };
            match retired {
                Ok(Some(dir)) if !changed.iter().any(|known| known.path() == dir.path()) => changed.push(dir),
                Ok(_) => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        for dir in changed {
            // A deleted topic must not come back after a power cut: its name may be in use again by then.
            let synced = small::sync_dir(dir.path()).map_err(|e| StorageError::io("sync", dir.path(), e));
            result = result.and(synced.map_err(|e| dir.write_failed(e)));
            for changed in [&dir.recovery_points_changed, &dir.high_watermarks_changed, &dir.log_starts_changed] {
                changed.store(true, Ordering::Relaxed);
            }
        }
        result
    }

    fn retire(&self, log: &Arc<Log>, now_ms: i64) -> Result<(), StorageError> {
        let to = log.parent_dir().join(names::delete_dir_name(log.topic_partition(), self.unique_id()));
        log.retire(&to)?;
        let delay = log.config().file_delete_delay_ms;
        self.doomed.lock().push(Doomed { due_ms: now_ms.saturating_add(delay), path: to });
        Ok(())
    }

    /// The log directories and how they are. Asks the file system for its room.
    #[must_use]
    pub fn dirs(&self) -> Vec<DirStatus> {
        self.dirs.iter().map(|dir| dir_status(dir)).collect()
    }

    /// Open segment and index files.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.cache.open_files()
    }

    /// Takes a directory out of use, for faults found elsewhere.
    pub fn take_offline(&self, dir: &Path, reason: &str) {
        for dir in self.dirs.iter().filter(|known| known.path() == dir) {
            dir.take_offline(reason);
        }
    }

    fn start_flushers(&self) {
        let mut flushers = self.flushers.lock();
        let each = (0..flusher::THREADS).flat_map(|_| self.dirs.iter().enumerate());
        for (i, dir) in each {
            let owned = dir.clone();
            match std::thread::Builder::new().name(format!("flush-{i}")).spawn(move || flusher::run(&owned)) {
                Ok(handle) => flushers.push(handle),
                // Without flushers nothing could be acknowledged.
                Err(error) => dir.take_offline(&format!("no flusher thread: {error}")),
            }
        }
    }
}

impl std::fmt::Debug for LogManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogManager").field("dirs", &self.config.dirs).field("logs", &self.len()).finish()
    }
}

fn dir_status(dir: &LogDir) -> DirStatus {
    let space = rustix::fs::statvfs(dir.path()).ok();
    let bytes = |blocks: u64, size: u64| i64::try_from(blocks.saturating_mul(size)).unwrap_or(i64::MAX);
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    DirStatus {
        path: dir.path().to_owned(),
        offline: dir.offline_reason().map(str::to_owned),
        total_bytes: space.as_ref().map_or(-1, |s| bytes(s.f_blocks, s.f_frsize)),
        usable_bytes: space.as_ref().map_or(-1, |s| bytes(s.f_bavail, s.f_frsize)),
        flushes: load(&dir.stats.flushes),
        flush_nanos: load(&dir.stats.flush_nanos),
        flushed_logs: load(&dir.stats.flushed_logs),
        appended_bytes: load(&dir.stats.appended_bytes),
        read_bytes: load(&dir.stats.read_bytes),
    }
}

fn open_dirs(
    config: &LogManagerConfig,
    listener: &Arc<OnceLock<Arc<dyn StorageListener>>>,
) -> Result<Vec<Arc<LogDir>>, OpenError> {
    let mut dirs: Vec<Arc<LogDir>> = Vec::with_capacity(config.dirs.len());
    for path in &config.dirs {
        // An absolute path: files are opened by it for as long as the broker runs.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        if dirs.iter().any(|dir| dir.path() == path) {
            return Err(OpenError::Twice { dir: path });
        }
        dirs.push(Arc::new(LogDir::open(&path, &config.holder, config.reserved_bytes, listener.clone())?));
    }
    if dirs.is_empty() { Err(OpenError::NoDirectory) } else { Ok(dirs) }
}
