//! Logs that cannot be used: those whose chain of batches breaks below the recovery point, and others that the start
//! could not open.
//!
//! They stay on the disk as they are until somebody who knows of another replica says that they may be set aside. Then
//! the directory gets another name, at which an operator finds all that is left of it, and an empty log takes its place.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use whimbrel_model::{TopicPartition, Uuid};

use super::{Broken, Doomed, LogManager};
use crate::config::LogConfig;
use crate::dir::LogDir;
use crate::error::{SetAsideError, StorageError};
use crate::files::small;
use crate::log::Log;
use crate::names::{self, DirKind};

impl LogManager {
    /// Why the partition's directory cannot be used, if so.
    #[must_use]
    pub fn broken_reason(&self, partition: &TopicPartition) -> Option<String> {
        self.broken.read().get(partition).map(|broken| broken.reason.clone())
    }

    /// Whether the partition's log is there and is damaged.
    #[must_use]
    pub fn is_damaged(&self, partition: &TopicPartition) -> bool {
        self.broken.read().get(partition).is_some_and(|broken| broken.is_damaged)
    }

    /// How many logs are damaged.
    #[must_use]
    pub fn damaged_count(&self) -> usize {
        self.broken.read().values().filter(|broken| broken.is_damaged).count()
    }

    /// Renames the directory of a damaged log to `….<id>-stray`, where nothing touches it any more, and makes an empty log
    /// that starts at 0 in its place. A crash in between leaves the renamed directory and no log, which the next
    /// [`Self::get_or_create`] makes.
    ///
    /// Only for a replica that no election can choose: see `whimbrel_state::partition::repair`.
    ///
    /// # Errors
    /// What keeps it from being done; the damaged log is then as it was, unless the error is `Storage`.
    pub fn set_aside(
        &self,
        partition: &TopicPartition,
        config: Arc<LogConfig>,
        topic_id: Option<Uuid>,
        now_ms: i64,
    ) -> Result<Arc<Log>, SetAsideError> {
        let _serial = self.creation.lock();
        let (dir, reason) = self.damaged_dir(partition)?;
        dir.check_online()?;
        let from = dir.path().join(partition.to_string());
        if let Some(path) = self.copy_of(partition)? {
            return Err(SetAsideError::CopyExists { path });
        }
        let bytes = bytes_in(&from)?;
        if !dir.has_room_for(bytes)? {
            return Err(SetAsideError::NoRoom { dir: dir.path().to_owned(), bytes });
        }
        let to = dir.path().join(names::stray_dir_name(partition, self.unique_id()));
        rename(&dir, &from, &to)?;
        // Before anything new has the name: after a power cut the damaged log must not be back beside it.
        small::sync_dir(dir.path()).map_err(|e| dir.write_failed(StorageError::io("sync", dir.path(), e)))?;
        self.broken.write().remove(partition);
        // What the checkpoints say of the damaged log must not be taken for the new one's.
        self.write_all_checkpoints(&dir).map_err(|e| dir.write_failed(e))?;
        tracing::warn!(
            %partition, reason, bytes, from = %from.display(), to = %to.display(),
            "a damaged log was set aside and is copied anew from its leader; remove the directory that it is in now when \
             it is not needed any more"
        );
        Ok(self.create_in(&dir, partition, config, topic_id, now_ms)?)
    }

    /// Takes a log that was found to be damaged out of use; its directory stays as it is. False without such a log.
    pub fn take_out(&self, partition: &TopicPartition, reason: &str) -> bool {
        let _serial = self.creation.lock();
        let Some(log) = self.logs.write().remove(partition) else { return false };
        log.close();
        let broken = Broken {
            dir: log.parent_dir(),
            reason: reason.to_owned(),
            is_damaged: true,
            recovery_point: Some(log.flushed_offset()),
            log_start: Some(log.log_start_offset()),
            high_watermark: Some(log.high_watermark()),
        };
        self.broken.write().insert(partition.clone(), broken);
        true
    }

    fn damaged_dir(&self, partition: &TopicPartition) -> Result<(Arc<LogDir>, String), SetAsideError> {
        let broken = self.broken.read();
        let damaged = broken.get(partition).filter(|broken| broken.is_damaged);
        let known = damaged.and_then(|damaged| Some((self.dir_at(&damaged.dir)?, damaged.reason.clone())));
        known.ok_or_else(|| SetAsideError::NotDamaged { partition: partition.clone() })
    }

    /// An earlier copy of this partition that was set aside and is still there, in any log directory.
    fn copy_of(&self, partition: &TopicPartition) -> Result<Option<PathBuf>, StorageError> {
        for dir in self.dirs.iter().filter(|dir| dir.offline_reason().is_none()) {
            let list = |e| StorageError::io("list", dir.path(), e);
            for entry in fs::read_dir(dir.path()).map_err(list)? {
                let entry = entry.map_err(list)?;
                let kind = entry.file_name().to_str().map(names::parse_dir_name);
                if matches!(kind, Some(DirKind::Stray(stray)) if names::may_be_named_for(&stray, partition)) {
                    return Ok(Some(entry.path()));
                }
            }
        }
        Ok(None)
    }

    /// Renames the directory of a log that cannot be used so that it is removed later, and gives the log directory; the
    /// caller syncs that. `None` without such a log.
    pub(super) fn retire_broken(
        &self,
        partition: &TopicPartition,
        now_ms: i64,
    ) -> Result<Option<Arc<LogDir>>, StorageError> {
        let Some(path) = self.broken.read().get(partition).map(|broken| broken.dir.clone()) else { return Ok(None) };
        let Some(dir) = self.dir_at(&path) else { return Ok(None) };
        dir.check_online()?;
        let from = path.join(partition.to_string());
        let to = path.join(names::delete_dir_name(partition, self.unique_id()));
        rename(&dir, &from, &to)?;
        self.broken.write().remove(partition);
        let due_ms = now_ms.saturating_add(self.default_log.file_delete_delay_ms);
        self.doomed.lock().push(Doomed { due_ms, path: to });
        Ok(Some(dir))
    }

    pub(super) fn dir_at(&self, path: &Path) -> Option<Arc<LogDir>> {
        self.dirs.iter().find(|dir| dir.path() == path).cloned()
    }

    /// Makes the name of a directory differ from all others.
    pub(super) fn unique_id(&self) -> u128 {
        u128::from(self.unique.fetch_add(1, Ordering::Relaxed)) << 32 | u128::from(std::process::id())
    }
}

fn rename(dir: &LogDir, from: &Path, to: &Path) -> Result<(), StorageError> {
    fs::rename(from, to).map_err(|e| dir.write_failed(StorageError::io("rename", from, e)))
}

/// Bytes of the files in a log's directory, which has no directories of its own.
fn bytes_in(path: &Path) -> Result<u64, StorageError> {
    let list = |e| StorageError::io("list", path, e);
    let mut bytes = 0;
    for entry in fs::read_dir(path).map_err(list)? {
        bytes += entry.and_then(|entry| entry.metadata()).map_err(list)?.len();
    }
    Ok(bytes)
}
