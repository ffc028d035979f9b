//! Group commit: one thread per log directory syncs whatever was appended since it looked last.
//!
//! A log is in the queue at most once. It leaves the queue before its end offset is read, so a request that comes while
//! its flush runs puts it in again and is covered by the next round; requests that come while other logs are synced are
//! covered by this one. A failed sync is never repeated: the kernel may have dropped the dirty pages and would report
//! success for data that is gone. The directory goes offline instead.

use std::fs::File;
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::dir::{LogDir, describe};
use crate::error::StorageError;
use crate::files::small;
use crate::log::Log;

#[derive(Default)]
struct Queue {
    logs: Vec<Arc<Log>>,
    is_stopped: bool,
}

/// The logs of one directory that wait for a flush.
#[derive(Default)]
pub(crate) struct FlushQueue {
    queue: Mutex<Queue>,
    wake: Condvar,
}

impl FlushQueue {
    /// The caller has made sure that `log` is not in the queue.
    pub(crate) fn push(&self, log: Arc<Log>) {
        let mut queue = self.queue.lock();
        if !queue.is_stopped {
            queue.logs.push(log);
            self.wake.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        self.queue.lock().is_stopped = true;
        self.wake.notify_all();
    }

    /// Waits for logs. `None` once stopped and empty.
    fn take(&self) -> Option<Vec<Arc<Log>>> {
        let mut queue = self.queue.lock();
        while queue.logs.is_empty() {
            if queue.is_stopped {
                return None;
            }
            self.wake.wait(&mut queue);
        }
        Some(mem::take(&mut queue.logs))
    }
}

/// The body of a directory's flusher thread.
pub(crate) fn run(dir: &Arc<LogDir>) {
    while let Some(logs) = dir.flushes.take() {
        if dir.check_online().is_err() {
            continue;
        }
        if let Err(error) = round(dir, &logs) {
            dir.take_offline(&describe(&error));
        }
    }
}

/// One group commit.
fn round(dir: &Arc<LogDir>, logs: &[Arc<Log>]) -> Result<(), StorageError> {
    let started = Instant::now();
    // A partition's own directory must be findable after a power cut before anything in it counts.
    if logs.iter().filter(|log| log.take_needs_parent_sync()).count() != 0 {
        small::sync_dir(dir.path()).map_err(|e| StorageError::io("sync", dir.path(), e))?;
    }
    sync_logs(dir, logs, |log| {
        if let Some(listener) = dir.listener() {
            listener.flushed(log.topic_partition(), log.flushed_offset());
        }
    })?;
    let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    dir.stats.flushes.fetch_add(1, Ordering::Relaxed);
    dir.stats.flushed_logs.fetch_add(logs.len() as u64, Ordering::Relaxed);
    dir.stats.flush_nanos.fetch_add(nanos, Ordering::Relaxed);
    Ok(())
}

/// Makes everything in `logs` survive a power cut; `done` hears of each as soon as it does.
///
/// A few logs are synced file by file. Many are synced with their whole file system at once: a thousand small files one
/// by one cost a thousand journal commits. (Linux reports write errors from `syncfs` since 5.8.)
pub(crate) fn sync_logs(dir: &LogDir, logs: &[Arc<Log>], mut done: impl FnMut(&Arc<Log>)) -> Result<(), StorageError> {
    let mut works = Vec::with_capacity(logs.len());
    for log in logs {
        log.unmark_queued();
        match log.begin_flush() {
            Ok(work) => works.push((log, work)),
            // Deleted while it waited: nobody waits for its records any more.
            Err(StorageError::Closed { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let is_one_sync = sync_file_system_of(dir, works.iter().filter(|(_, work)| work.is_some()).count())?;
    for (log, work) in works {
        if let Some(work) = &work {
            match if is_one_sync { Ok(()) } else { log.sync(work) } {
                Ok(()) => log.end_flush(work),
                Err(StorageError::Closed { .. }) => continue,
                Err(error) => return Err(error),
            }
        }
        done(log);
    }
    Ok(())
}

/// From this many logs on, one sync of the file system is cheaper than one of each file: a sync of a small file costs
/// about as much as the journal commit that it needs.
const SYNC_ALL_FROM: usize = 64;

/// Syncs the directory's whole file system if that is the better way for this many logs; returns whether it did.
pub(crate) fn sync_file_system_of(dir: &LogDir, logs: usize) -> Result<bool, StorageError> {
    if cfg!(not(target_os = "linux")) || logs < SYNC_ALL_FROM {
        return Ok(false);
    }
    let synced = File::open(dir.path()).and_then(|file| sync_file_system(&file));
    synced.map(|()| true).map_err(|e| StorageError::io("sync", dir.path(), e))
}

#[cfg(target_os = "linux")]
fn sync_file_system(file: &File) -> io::Result<()> {
    rustix::fs::syncfs(file).map_err(io::Error::from)
}

/// Without `syncfs` there is only `sync`, which reports nothing: the callers' files would be lost without notice.
#[cfg(not(target_os = "linux"))]
fn sync_file_system(_file: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
