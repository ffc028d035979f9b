//! One entry of `log.dirs`: its lock, its room, whether it is online, and its flusher.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rustix::fs::{FlockOperation, fcntl_lock, flock, statvfs};
use whimbrel_model::{Offset, TopicPartition};

use crate::error::{OpenError, StorageError};
use crate::flusher::FlushQueue;
use crate::names;

/// Hears what the storage threads did. Called on those threads: hand over and return, never block.
pub trait StorageListener: Send + Sync {
    /// Every record of `partition` below `flushed` survives a power cut.
    fn flushed(&self, partition: &TopicPartition, flushed: Offset);
    /// A write or a flush failed: every log in `dir` is out of use until a restart.
    fn dir_offline(&self, dir: &Path, reason: &str);
}

/// The room is looked up again after this much was appended, so other writers on the file system are noticed.
const ROOM_CHECK_BYTES: i64 = 16 * 1024 * 1024;

/// A log directory.
pub(crate) struct LogDir {
    path: PathBuf,
    /// Dropping the file gives the lock back.
    lock: Mutex<Option<File>>,
    /// Whimbrel had the directory open before: `.lock` says so.
    was_ours: bool,
    reserved_bytes: u64,
    /// Bytes that may be appended before the room is looked up again.
    room: AtomicI64,
    offline: OnceLock<String>,
    listener: Arc<OnceLock<Arc<dyn StorageListener>>>,
    pub(crate) flushes: FlushQueue,
    pub(crate) stats: DirStats,
    /// Set by changes of high watermarks, cleared by writing the checkpoint; likewise the other two.
    pub(crate) high_watermarks_changed: AtomicBool,
    pub(crate) recovery_points_changed: AtomicBool,
    pub(crate) log_starts_changed: AtomicBool,
    /// Held from looking at the three above until the checkpoint is written: all writers of one use one temporary file,
    /// and who finds its change taken must not go on before it is on the disk.
    pub(crate) checkpoints: Mutex<()>,
}

/// Counters since the start.
#[derive(Default)]
pub(crate) struct DirStats {
    pub(crate) flushes: AtomicU64,
    pub(crate) flush_nanos: AtomicU64,
    pub(crate) flushed_logs: AtomicU64,
    pub(crate) appended_bytes: AtomicU64,
    pub(crate) read_bytes: AtomicU64,
}

impl LogDir {
    /// Creates the directory if need be and takes its lock.
    ///
    /// # Errors
    /// `Err(OpenError::Locked)` if another process has it. Trouble with the disk gives an offline directory instead.
    pub(crate) fn open(
        path: &Path,
        holder: &str,
        reserved_bytes: u64,
        listener: Arc<OnceLock<Arc<dyn StorageListener>>>,
    ) -> Result<Self, OpenError> {
        let offline = OnceLock::new();
        let mut was_ours = false;
        let lock = match std::fs::create_dir_all(path).and_then(|()| open_lock_file(path)) {
            Ok(mut file) => {
                take_lock(path, &mut file)?;
                was_ours = read_holder(&mut file).starts_with(HOLDER);
                note_holder(&mut file, holder);
                Some(file)
            }
            Err(error) => {
                // A fresh cell takes the value.
                let _ = offline.set(error.to_string());
                None
            }
        };
        Ok(Self {
            path: path.to_owned(),
            lock: Mutex::new(lock),
            was_ours,
            reserved_bytes,
            room: AtomicI64::new(0),
            offline,
            listener,
            flushes: FlushQueue::default(),
            stats: DirStats::default(),
            high_watermarks_changed: AtomicBool::new(false),
            recovery_points_changed: AtomicBool::new(false),
            log_starts_changed: AtomicBool::new(false),
            checkpoints: Mutex::new(()),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn listener(&self) -> Option<&Arc<dyn StorageListener>> {
        self.listener.get()
    }

    pub(crate) fn offline_reason(&self) -> Option<&str> {
        self.offline.get().map(String::as_str)
    }

    pub(crate) fn is_locked_by_us(&self) -> bool {
        self.lock.lock().is_some()
    }

    pub(crate) fn was_ours(&self) -> bool {
        self.was_ours
    }

    /// Lets others use the directory. Nothing may be written to it afterwards.
    pub(crate) fn unlock(&self) {
        *self.lock.lock() = None;
    }

    /// # Errors
    /// `Offline` if the directory is.
    pub(crate) fn check_online(&self) -> Result<(), StorageError> {
        match self.offline_reason() {
            None => Ok(()),
            Some(reason) => Err(StorageError::Offline { dir: self.path.clone(), reason: reason.to_owned() }),
        }
    }

    /// Takes the directory out of use for good. The first reason stays.
    pub(crate) fn take_offline(&self, reason: &str) {
        if self.offline.set(reason.to_owned()).is_ok() {
            tracing::error!(dir = %self.path.display(), reason, "log directory is offline");
            if let Some(listener) = self.listener() {
                listener.dir_offline(&self.path, reason);
            }
        }
    }

    /// Passes a failed write on: no room is the request's misfortune, anything else the end of the directory.
    pub(crate) fn write_failed(&self, error: StorageError) -> StorageError {
        if error.is_full() {
            self.room.store(0, Ordering::Relaxed);
            return StorageError::Full { dir: self.path.clone() };
        }
        if let StorageError::Io { .. } = &error {
            self.take_offline(&describe(&error));
        }
        error
    }

    /// Asks for room for `bytes` more, keeping the reserve.
    ///
    /// # Errors
    /// `Full`, and nothing is taken.
    pub(crate) fn take_room(&self, bytes: u64) -> Result<(), StorageError> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if 0 <= self.room.fetch_sub(bytes, Ordering::Relaxed).saturating_sub(bytes) {
            return Ok(());
        }
        // Concurrent callers may all look: the answer is the same and the call takes a microsecond.
        let available = i64::try_from(self.available_bytes()?).unwrap_or(i64::MAX);
        if available < bytes {
            self.room.store(0, Ordering::Relaxed);
            return Err(StorageError::Full { dir: self.path.clone() });
        }
        self.room.store((available - bytes).min(ROOM_CHECK_BYTES), Ordering::Relaxed);
        Ok(())
    }

    /// Whether `bytes` more could be written now, keeping the reserve. Takes nothing.
    pub(crate) fn has_room_for(&self, bytes: u64) -> Result<bool, StorageError> {
        Ok(bytes <= self.available_bytes()?)
    }

    /// Bytes that are free above the reserve.
    fn available_bytes(&self) -> Result<u64, StorageError> {
        let space = statvfs(&self.path).map_err(|e| StorageError::io("stat", &self.path, e.into()))?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize).saturating_sub(self.reserved_bytes))
    }
}

/// An error with its causes in one line.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn open_lock_file(dir: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join(names::LOCK))
}

/// Java's `FileChannel.tryLock` is a POSIX record lock on the whole file, so Kafka and Whimbrel exclude each other by one.
/// Record locks belong to the process: `flock` in addition excludes a second manager inside this process.
fn take_lock(dir: &Path, file: &mut File) -> Result<(), OpenError> {
    let refused = fcntl_lock(&*file, FlockOperation::NonBlockingLockExclusive).is_err()
        || flock(&*file, FlockOperation::NonBlockingLockExclusive).is_err();
    if !refused {
        return Ok(());
    }
    let text = read_holder(file);
    let holder = match text.trim() {
        "" => "another process (perhaps Apache Kafka)".to_owned(),
        known => known.replace('\n', ", "),
    };
    Err(OpenError::Locked { dir: dir.to_owned(), holder })
}

const HOLDER: &str = "whimbrel pid ";

/// What `.lock` says about its holder; empty if nothing can be read.
fn read_holder(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(1024).read_to_string(&mut text));
    text
}

/// Says in `.lock` who holds it. Kafka neither reads nor truncates the file.
fn note_holder(file: &mut File, holder: &str) {
    let text = format!("{HOLDER}{}\n{holder}\n", std::process::id());
    // Only a help for the reader of a refusal.
    let _ = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).and_then(|_| file.write_all(text.as_bytes()));
}
