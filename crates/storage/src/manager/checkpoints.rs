//! Writing the checkpoints of each log directory, and closing in order.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use whimbrel_model::{Offset, TopicPartition};

use super::{Broken, LogManager};
use crate::checkpoint;
use crate::dir::{LogDir, describe};
use crate::error::StorageError;
use crate::files::small;
use crate::flusher::{sync_file_system_of, sync_logs};
use crate::log::Log;
use crate::names;

/// Kafka's content of the marker in ZooKeeper mode; that the file is there is what counts.
const CLEAN_SHUTDOWN: &[u8] = br#"{"version":0,"brokerEpoch":-1}"#;

/// One of the checkpoints that a broker writes.
struct Kind {
    name: &'static str,
    changed: fn(&LogDir) -> &AtomicBool,
    /// `None` leaves the log out.
    of_log: fn(&Log) -> Option<Offset>,
    of_broken: fn(&Broken) -> Option<Offset>,
}

const RECOVERY_POINTS: Kind = Kind {
    name: names::RECOVERY_POINTS,
    changed: |dir| &dir.recovery_points_changed,
    of_log: |log| Some(log.flushed_offset()),
    of_broken: |broken| broken.recovery_point,
};

/// Only logs whose start is inside their first segment: of the others the file's name says it.
const LOG_STARTS: Kind = Kind {
    name: names::LOG_STARTS,
    changed: |dir| &dir.log_starts_changed,
    of_log: |log| Some(log.log_start_offset()).filter(|start| log.first_base() < start.0),
    of_broken: |broken| broken.log_start,
};

const HIGH_WATERMARKS: Kind = Kind {
    name: names::HIGH_WATERMARKS,
    changed: |dir| &dir.high_watermarks_changed,
    of_log: |log| Some(log.high_watermark()),
    of_broken: |broken| broken.high_watermark,
};

impl LogManager {
    /// Writes `recovery-point-offset-checkpoint` in every directory where it changed, and producer snapshots of logs
    /// that grew much: a start after a crash walks from there.
    pub fn checkpoint_recovery_points(&self) {
        for log in self.all() {
            if let Err(error) = log.snapshot_if_due() {
                tracing::warn!(partition = %log.topic_partition(), error = %describe(&error), "no producer snapshot");
            }
        }
        self.checkpoint(&RECOVERY_POINTS);
    }

    /// Writes `log-start-offset-checkpoint` in every directory where it changed.
    pub fn checkpoint_log_starts(&self) {
        self.checkpoint(&LOG_STARTS);
    }

    /// Writes `replication-offset-checkpoint` in every directory where it changed.
    pub fn checkpoint_high_watermarks(&self) {
        self.checkpoint(&HIGH_WATERMARKS);
    }

    fn checkpoint(&self, kind: &Kind) {
        for dir in &self.dirs {
            let _writing = dir.checkpoints.lock();
            if dir.check_online().is_ok() && (kind.changed)(dir).swap(false, Ordering::AcqRel) {
                // The error took the directory offline, or the disk is full: then the next pass tries again.
                if let Err(error) = self.write_checkpoint(dir, kind) {
                    tracing::warn!(error = %describe(&error), "a checkpoint was not written");
                    (kind.changed)(dir).store(true, Ordering::Release);
                }
            }
        }
    }

    /// Writes all three checkpoints of a directory now.
    pub(super) fn write_all_checkpoints(&self, dir: &LogDir) -> Result<(), StorageError> {
        let _writing = dir.checkpoints.lock();
        [&RECOVERY_POINTS, &LOG_STARTS, &HIGH_WATERMARKS].iter().try_for_each(|kind| self.write_checkpoint(dir, kind))
    }

    fn write_checkpoint(&self, dir: &LogDir, kind: &Kind) -> Result<(), StorageError> {
        let mut entries: Vec<(TopicPartition, Offset)> = self
            .logs_in(dir.path())
            .iter()
            .filter_map(|log| Some((log.topic_partition().clone(), (kind.of_log)(log)?)))
            .collect();
        for (partition, broken) in self.broken.read().iter().filter(|(_, broken)| broken.dir == dir.path()) {
            entries.extend((kind.of_broken)(broken).map(|offset| (partition.clone(), offset)));
        }
        checkpoint::write_offsets(dir.path(), kind.name, entries.iter().map(|(partition, offset)| (partition, *offset)))
            .map_err(|e| dir.write_failed(e))
    }

    fn logs_in(&self, dir: &Path) -> Vec<Arc<Log>> {
        self.logs.read().values().filter(|log| log.is_in(dir)).cloned().collect()
    }

    /// Closes in order: flushes every log, writes the checkpoints and the marker of a clean shutdown, and stops the
    /// flushers. The logs cannot be used afterwards, and the directories may be opened by others.
    pub fn close(&self) {
        for dir in &self.dirs {
            dir.flushes.stop();
        }
        for flusher in self.flushers.lock().drain(..) {
            if flusher.join().is_err() {
                tracing::error!("a flusher panicked");
            }
        }
        for dir in &self.dirs {
            if let Err(error) = dir.check_online().and_then(|()| self.close_dir(dir)) {
                // The next start recovers instead.
                tracing::warn!(dir = %dir.path().display(), error = %describe(&error), "not closed in order");
            }
            for log in self.logs_in(dir.path()) {
                log.close();
            }
            dir.unlock();
        }
    }

    fn close_dir(&self, dir: &LogDir) -> Result<(), StorageError> {
        let logs = self.logs_in(dir.path());
        let mut touched = Vec::new();
        for log in &logs {
            if log.finish()? {
                touched.push(log.clone());
            }
        }
        sync_logs(dir, &logs, |_| ())?;
        sync_indexes(dir, &touched)?;
        small::sync_dir(dir.path()).map_err(|e| StorageError::io("sync", dir.path(), e))?;
        self.write_all_checkpoints(dir)?;
        if self.broken.read().values().any(|broken| broken.is_damaged && broken.dir == dir.path()) {
            // After a stop in order nothing is scanned: the next start has to find the damage again.
            tracing::warn!(dir = %dir.path().display(), "a log is damaged: the next start recovers this directory");
            return Ok(());
        }
        small::replace(dir.path(), names::CLEAN_SHUTDOWN, CLEAN_SHUTDOWN)
            .map_err(|e| StorageError::io("write", &dir.path().join(names::CLEAN_SHUTDOWN), e))
    }
}

fn sync_indexes(dir: &LogDir, logs: &[Arc<Log>]) -> Result<(), StorageError> {
    if sync_file_system_of(dir, logs.len())? {
        return Ok(());
    }
    logs.iter().try_for_each(|log| log.sync_indexes())
}
