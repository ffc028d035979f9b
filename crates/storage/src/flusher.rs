//! Group commit: a few threads per log directory sync whatever was appended to a log since it was synced last.
//!
//! A log is in the queue at most once and is synced by one thread at a time. It leaves the queue before its end offset is
//! read, so a request that comes while its flush runs puts it in again and is covered by its next flush. What a sync of one
//! file waits for (its data, its inode, the disk's own cache) is one after the other; several files wait at the same time. A
//! failed sync is never repeated: the kernel may have dropped the dirty pages and would report success for data that is
//! gone. The directory goes offline instead.

use std::fs::File;
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::dir::{LogDir, describe};
use crate::error::StorageError;
use crate::files::small;
use crate::log::Log;

/// Threads of a directory. Each more shortens the wait and makes the groups smaller, which costs CPU (ADR 10).
pub(crate) const THREADS: usize = 4;
/// A sync that takes longer is worth waking another thread for what waits behind it. On tmpfs, and on a disk whose cache
/// survives a power cut, one thread is done before a second is awake.
const SLOW: Duration = Duration::from_micros(100);

struct Queue {
    logs: Vec<Arc<Log>>,
    /// Threads that sync. Each looks here again when it is done, so that while there is one nothing is left lying.
    active: usize,
    /// The whole file system is being synced: what comes meanwhile is one group.
    is_syncing_all: bool,
    /// The last sync of a log took longer than [`SLOW`].
    is_slow: bool,
    is_stopped: bool,
}

impl Queue {
    /// What one thread is to sync: where syncs are slow and few are asked for, the log that has waited longest; else all.
    fn next(&mut self) -> Vec<Arc<Log>> {
        if self.is_syncing_all {
            return Vec::new();
        }
        let is_free = |log: &Arc<Log>| !log.is_flushing();
        let free = self.logs.iter().filter(|log| is_free(log)).count();
        self.is_syncing_all = SYNC_ALL_FROM <= free;
        let limit = if self.is_slow && !self.is_syncing_all { 1 } else { free };
        let taken: Vec<Arc<Log>> = self.logs.extract_if(.., |log| is_free(log)).take(limit).collect();
        taken.iter().for_each(|log| log.set_flushing(true));
        taken
    }

    /// Whether a thread that sleeps would find something that nobody else is about to take.
    fn wants_another(&self) -> bool {
        self.active == 0 || (self.is_slow && self.active < THREADS && !self.is_syncing_all)
    }
}

/// The logs of one directory that wait for a flush.
pub(crate) struct FlushQueue {
    queue: Mutex<Queue>,
    wake: Condvar,
}

impl Default for FlushQueue {
    fn default() -> Self {
        // Until one is timed a sync is taken for slow.
        let queue = Queue { logs: Vec::new(), active: 0, is_syncing_all: false, is_slow: true, is_stopped: false };
        Self { queue: Mutex::new(queue), wake: Condvar::new() }
    }
}

impl FlushQueue {
    /// The caller has made sure that `log` is not in the queue.
    pub(crate) fn push(&self, log: Arc<Log>) {
        let mut queue = self.queue.lock();
        if !queue.is_stopped {
            // Whoever syncs the log at this moment looks here when that is done.
            let is_free = !log.is_flushing();
            queue.logs.push(log);
            if is_free && queue.wants_another() {
                self.wake.notify_one();
            }
        }
    }

    pub(crate) fn stop(&self) {
        self.queue.lock().is_stopped = true;
        self.wake.notify_all();
    }

    /// Waits for logs to sync, which are given back with [`FlushQueue::done`]. `None` once stopped and empty.
    fn take(&self) -> Option<Vec<Arc<Log>>> {
        let mut queue = self.queue.lock();
        loop {
            let taken = queue.next();
            if !taken.is_empty() {
                queue.active += 1;
                // What came while syncs were fast woke nobody.
                if queue.logs.iter().any(|log| !log.is_flushing()) && queue.wants_another() {
                    self.wake.notify_one();
                }
                return Some(taken);
            }
            if queue.is_stopped && queue.logs.is_empty() {
                // Others may have slept since before it was empty.
                self.wake.notify_all();
                return None;
            }
            self.wake.wait(&mut queue);
        }
    }

    /// The sync of these logs is over; they may have been asked for again, so that the caller has to take once more. `each` is
    /// how long one took, unless there was nothing to sync.
    fn done(&self, logs: &[Arc<Log>], each: Option<Duration>) {
        let mut queue = self.queue.lock();
        logs.iter().for_each(|log| log.set_flushing(false));
        queue.active -= 1;
        let was_one_sync = mem::take(&mut queue.is_syncing_all);
        if let Some(each) = each.filter(|_| !was_one_sync) {
            queue.is_slow = SLOW <= each;
        }
    }
}

/// The body of a directory's flusher threads.
pub(crate) fn run(dir: &Arc<LogDir>) {
    while let Some(logs) = dir.flushes.take() {
        let mut each = None;
        if dir.check_online().is_ok() {
            match flush(dir, &logs) {
                Ok(time) => each = time,
                Err(error) => dir.take_offline(&describe(&error)),
            }
        }
        dir.flushes.done(&logs, each);
    }
}

/// One group commit; returns how long one of the logs took, or nothing if there was nothing to sync.
fn flush(dir: &Arc<LogDir>, logs: &[Arc<Log>]) -> Result<Option<Duration>, StorageError> {
    let started = Instant::now();
    // A partition's own directory must be findable after a power cut before anything in it counts.
    if logs.iter().filter(|log| log.take_needs_parent_sync()).count() != 0 {
        small::sync_dir(dir.path()).map_err(|e| StorageError::io("sync", dir.path(), e))?;
    }
    let synced = sync_logs(dir, logs, |log| {
        if let Some(listener) = dir.listener() {
            listener.flushed(log.topic_partition(), log.flushed_offset());
        }
    })?;
    let elapsed = started.elapsed();
    let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
    dir.stats.flushes.fetch_add(1, Ordering::Relaxed);
    dir.stats.flushed_logs.fetch_add(logs.len() as u64, Ordering::Relaxed);
    dir.stats.flush_nanos.fetch_add(nanos, Ordering::Relaxed);
    Ok(elapsed.checked_div(synced))
}

/// Makes everything in `logs` survive a power cut; `done` hears of each as soon as it does. Returns how many of them had
/// something to sync.
///
/// A few logs are synced file by file. Many are synced with their whole file system at once: a thousand small files one
/// by one cost a thousand journal commits. (Linux reports write errors from `syncfs` since 5.8.)
pub(crate) fn sync_logs(dir: &LogDir, logs: &[Arc<Log>], mut done: impl FnMut(&Arc<Log>)) -> Result<u32, StorageError> {
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
    let synced = works.iter().filter(|(_, work)| work.is_some()).count();
    let is_one_sync = sync_file_system_of(dir, synced)?;
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
    Ok(u32::try_from(synced).unwrap_or(u32::MAX))
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

#[cfg(test)]
mod tests {
    use whimbrel_model::TopicPartition;

    use super::*;
    use crate::{Creation, LogConfig, LogManager, LogManagerConfig};

    fn with_logs(count: i32, check: impl FnOnce(&FlushQueue, &[Arc<Log>])) {
        let dir = tempfile::tempdir().expect("a directory");
        let config = LogManagerConfig::new(vec![dir.path().into()]);
        let (manager, _) = LogManager::open(config, 0).expect("opened");
        let creation = || Creation { topic_id: None, is_new: true, now_ms: 0 };
        let create = |i| {
            let partition = TopicPartition::new("t", i);
            manager.get_or_create(&partition, Arc::new(LogConfig::default()), creation()).expect("created")
        };
        let logs: Vec<_> = (0..count).map(create).collect();
        // Not the directory's own queue, from which threads take.
        let queue = FlushQueue::default();
        logs.iter().for_each(|log| queue.push(log.clone()));
        check(&queue, &logs);
        manager.close();
    }

    fn next(queue: &FlushQueue) -> Vec<i32> {
        let taken = queue.queue.lock().next();
        queue.queue.lock().active += usize::from(!taken.is_empty());
        taken.iter().map(|log| log.topic_partition().partition).collect()
    }

    #[test]
    fn one_thread_at_a_time_syncs_a_log_and_others_go_on_beside_it() {
        with_logs(3, |queue, logs| {
            assert_eq!((next(queue), next(queue)), (vec![0], vec![1]));
            // Asked for again while it is synced: it waits, and who has waited longer comes first when it is free.
            queue.push(logs[0].clone());
            assert_eq!(next(queue), [2]);
            assert_eq!(next(queue), [0; 0]);
            queue.done(&logs[1..2], Some(SLOW));
            assert_eq!(next(queue), [0; 0], "log 0 is still being synced");
            queue.done(&logs[..1], Some(SLOW));
            assert_eq!(next(queue), [0]);
        });
    }

    #[test]
    fn where_a_sync_is_fast_one_thread_takes_all() {
        with_logs(4, |queue, logs| {
            assert_eq!(next(queue), [0], "until it is known");
            queue.done(&logs[..1], Some(SLOW / 2));
            assert!(queue.queue.lock().wants_another(), "nobody is awake");
            assert_eq!(next(queue), [1, 2, 3]);
            queue.push(logs[0].clone());
            assert!(!queue.queue.lock().wants_another());
            queue.done(&logs[1..], None);
            assert_eq!(next(queue), [0]);
            assert!(!queue.queue.lock().wants_another(), "there was nothing to sync, which tells nothing");
            queue.done(&logs[..1], Some(SLOW));
            queue.push(logs[1].clone());
            assert_eq!(next(queue), [1]);
            assert!(queue.queue.lock().wants_another());
        });
    }

    #[test]
    fn many_are_one_sync_and_so_is_what_comes_meanwhile() {
        let count = i32::try_from(SYNC_ALL_FROM).expect("few");
        with_logs(count, |queue, logs| {
            assert_eq!(next(queue), (0..count).collect::<Vec<_>>());
            queue.push(logs[5].clone());
            assert_eq!(next(queue), [0; 0]);
            assert!(!queue.queue.lock().wants_another());
            queue.done(logs, Some(SLOW));
            assert_eq!(next(queue), [5]);
        });
    }
}
