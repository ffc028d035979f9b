//! Group commit: one thread per log directory syncs whatever was appended since it looked last.
//!
//! A log is in the queue at most once. It leaves the queue before its end offset is read, so a request that comes while
//! its flush runs puts it in again and is covered by the next round; requests that come while other logs are synced are
//! covered by this one. A failed sync is never repeated: the kernel may have dropped the dirty pages and would report
//! success for data that is gone. The directory goes offline instead.

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
    let created: Vec<_> = logs.iter().filter(|log| log.take_needs_parent_sync()).collect();
    if !created.is_empty() {
        small::sync_dir(dir.path()).map_err(|e| StorageError::io("sync", dir.path(), e))?;
    }
    for log in logs {
        match log.flush_queued() {
            Ok(flushed) => {
                if let Some(listener) = dir.listener() {
                    listener.flushed(log.topic_partition(), flushed);
                }
            }
            // Deleted while it waited: nobody waits for its records any more.
            Err(StorageError::Closed { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    dir.stats.flushes.fetch_add(1, Ordering::Relaxed);
    dir.stats.flushed_logs.fetch_add(logs.len() as u64, Ordering::Relaxed);
    dir.stats.flush_nanos.fetch_add(nanos, Ordering::Relaxed);
    Ok(())
}
