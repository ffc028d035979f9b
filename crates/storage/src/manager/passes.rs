//! What the broker's scheduler calls from time to time.

use std::io;

use whimbrel_model::{Offset, TopicPartition};

use super::{Doomed, LogManager};
use crate::dir::describe;
use crate::error::StorageError;
use crate::files::remove::{Pace, remove_paced};

/// What a retention pass removed over all logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetentionTotals {
    pub segments: usize,
    pub bytes: u64,
}

impl LogManager {
    /// Applies retention by log start, time and size to every log (`log.retention.check.interval.ms`).
    pub fn retention_pass(&self, now_ms: i64) -> RetentionTotals {
        let mut totals = RetentionTotals::default();
        for log in self.all() {
            match log.apply_retention(now_ms) {
                Ok(outcome) => {
                    totals.segments += outcome.segments;
                    totals.bytes += outcome.bytes;
                    let due_ms = now_ms.saturating_add(log.config().file_delete_delay_ms);
                    self.doomed.lock().extend(outcome.files.into_iter().map(|path| Doomed { due_ms, path }));
                }
                Err(error) => {
                    let partition = log.topic_partition();
                    tracing::warn!(%partition, error = %describe(&error), "retention did not run");
                }
            }
        }
        totals
    }

    /// Truncates logs, with their recovery points lowered on disk before. Partitions without a log are skipped.
    ///
    /// # Errors
    /// The first failure, after all were tried.
    pub fn truncate(&self, targets: &[(TopicPartition, Offset)], now_ms: i64) -> Result<(), StorageError> {
        let logs: Vec<_> = targets.iter().filter_map(|(partition, to)| Some((self.get(partition)?, *to))).collect();
        for (log, to) in &logs {
            log.lower_recovery_point(*to);
        }
        self.checkpoint_recovery_points();
        let truncated = logs.iter().map(|(log, to)| log.truncate_to(*to, now_ms).map(drop));
        truncated.fold(Ok(()), Result::and)
    }

    /// Removes files and directories that waited for `file.delete.delay.ms`; returns how many. Rests as long as it works,
    /// so that others have their cores.
    pub fn deletion_pass(&self, now_ms: i64) -> usize {
        let due: Vec<Doomed> = self.doomed.lock().extract_if(.., |doomed| doomed.due_ms <= now_ms).collect();
        let (mut removed, mut pace) = (0, Pace::default());
        for doomed in due {
            match remove_paced(&doomed.path, &mut pace) {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(path = %doomed.path.display(), %error, "not removed; the next start will"),
            }
        }
        removed
    }

    /// When the next [`Self::deletion_pass`] has something to do, milliseconds since the epoch.
    #[must_use]
    pub fn next_deletion_ms(&self) -> Option<i64> {
        self.doomed.lock().iter().map(|doomed| doomed.due_ms).min()
    }

    /// Requests a flush of every log whose records have waited for `flush.ms` (`log.flush.scheduler.interval.ms`).
    pub fn flush_pass(&self, now_ms: i64) {
        for log in self.all() {
            log.flush_if_due(now_ms);
        }
    }
}
