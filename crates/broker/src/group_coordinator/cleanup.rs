//! Forgetting: expiry, DeleteGroups, OffsetDelete, and topics that are deleted.
//!
//! Tombstones are appended before anything is forgotten. If that fails, everything stays and the next pass, or the
//! client, tries again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::MissedTickBehavior;
use whimbrel_model::ErrorCode;
use whimbrel_state::group::{Group, GroupState};

use super::driver::{self, Appended};
use super::shard::{GroupCell, GroupInner};
use super::{EmptyGroupId, GroupCoordinator, errors, records};
use crate::metadata_cache::DeletedPartition;

/// A batch of tombstones is closed at this size, far below the smallest sensible `max.message.bytes`.
const TOMBSTONE_BATCH_BYTES_MAX: usize = 128 * 1024;

/// Whether the group itself goes too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whole {
    /// It is `Empty`, and someone asked for it.
    Yes,
    IfNothingIsLeft,
}

/// A partition of a topic.
type TopicAndPartition = (Arc<str>, i32);

impl GroupCoordinator {
    /// DeleteGroups, one group. Waits until the tombstones are committed.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND`, `NON_EMPTY_GROUP`, and what writing ends with.
    pub async fn delete_group(self: &Arc<Self>, group_id: &str) -> Result<(), ErrorCode> {
        let shard = self.shard_for(group_id, EmptyGroupId::Allowed)?;
        let cell = shard.get(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        let appended = {
            let mut inner = cell.lock();
            if inner.machine.state() == GroupState::Dead {
                return Err(ErrorCode::GroupIdNotFound);
            }
            if !inner.machine.is_deletable() {
                return Err(ErrorCode::NonEmptyGroup);
            }
            let all = inner.machine.all_offset_partitions();
            self.forget(&cell, &mut inner, &all, Whole::Yes)?
        };
        self.confirm(appended).await
    }

    /// OffsetDelete: one result for each partition, in order.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND`, `NON_EMPTY_GROUP`, and what writing ends with.
    pub async fn delete_offsets(
        self: &Arc<Self>,
        group_id: &str,
        partitions: &[TopicAndPartition],
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        let shard = self.shard_for(group_id, EmptyGroupId::Refused)?;
        let cell = shard.get(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        let (results, appended) = {
            let mut inner = cell.lock();
            if inner.machine.state() == GroupState::Dead {
                return Err(ErrorCode::GroupIdNotFound);
            }
            inner.machine.check_offset_delete()?;
            let check = |(topic, _): &TopicAndPartition| inner.machine.check_topic_offset_delete(topic);
            let results: Vec<_> = partitions.iter().map(check).collect();
            let doomed: Vec<_> = partitions
                .iter()
                .zip(&results)
                .filter(|((topic, partition), result)| result.is_ok() && inner.machine.has_offset(topic, *partition))
                .map(|(partition, _)| partition.clone())
                .collect();
            (results, self.forget(&cell, &mut inner, &doomed, Whole::IfNothingIsLeft)?)
        };
        self.confirm(appended).await?;
        Ok(results.into_iter().map(|result| result.err().unwrap_or_default()).collect())
    }

    /// Partitions were deleted: nobody's offsets in them mean anything any more.
    pub fn on_partitions_deleted(self: &Arc<Self>, deleted: Vec<DeletedPartition>) {
        if deleted.is_empty() || self.active_shards().is_empty() {
            return;
        }
        let coordinator = self.clone();
        // Asks every group, which for many of them is not the business of the thread that takes the update.
        self.runtime.spawn_blocking(move || {
            coordinator.forget_everywhere(|group| {
                let has = |p: &&DeletedPartition| group.has_offset(&p.topic, p.partition);
                deleted.iter().filter(has).map(|p| (p.topic.clone(), p.partition)).collect()
            });
        });
    }

    /// Every `offsets.retention.check.interval.ms`.
    pub(super) async fn run_expiry(self: Arc<Self>) {
        // Not at once: nothing is loaded yet, and what is loaded next has waited for longer than one interval.
        let interval = self.offsets.retention_check_interval;
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.is_active.load(Ordering::SeqCst) {
            ticks.tick().await;
            let coordinator = self.clone();
            let pass = tokio::task::spawn_blocking(move || coordinator.expire_offsets());
            match pass.await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "expired offsets removed"),
                Err(error) => tracing::error!("the expiry of offsets failed: {error}"),
            }
        }
    }

    /// One pass over all groups: removes expired offsets, and groups that are left with nothing. Returns the number of
    /// offsets.
    pub(super) fn expire_offsets(self: &Arc<Self>) -> usize {
        let retention_ms = i64::try_from(self.offsets.retention.as_millis()).unwrap_or(i64::MAX);
        let wall_ms = Self::now().wall_ms;
        self.forget_everywhere(|group| group.expired_offsets(wall_ms, retention_ms))
    }

    fn forget_everywhere(self: &Arc<Self>, choose: impl Fn(&Group) -> Vec<TopicAndPartition>) -> usize {
        let mut count = 0;
        for cell in self.active_shards().iter().flat_map(|shard| shard.groups()) {
            let mut inner = cell.lock();
            let doomed = choose(&inner.machine);
            if doomed.is_empty() && !inner.machine.is_abandoned() {
                continue;
            }
            match self.forget(&cell, &mut inner, &doomed, Whole::IfNothingIsLeft) {
                Ok(_) => count += doomed.len(),
                Err(code) => {
                    tracing::warn!(group = &**inner.machine.id(), "tombstones cannot be written: {code}");
                }
            }
        }
        count
    }

    /// Writes tombstones, then forgets the offsets, and the group if nothing is left of it.
    ///
    /// # Errors
    /// The code of the failed append. What was forgotten before it stays so.
    fn forget(
        &self,
        cell: &Arc<GroupCell>,
        inner: &mut GroupInner,
        doomed: &[TopicAndPartition],
        whole: Whole,
    ) -> Result<Option<Appended>, ErrorCode> {
        let mut last = self.append_tombstones(cell, inner, doomed, false)?;
        inner.machine.remove_offsets(doomed.iter().map(|(topic, partition)| (&**topic, *partition)));
        if whole == Whole::Yes || inner.machine.is_abandoned() {
            // A group that never had a generation has no snapshot in the log either.
            if 0 < inner.machine.generation() {
                last = self.append_tombstones(cell, inner, &[], true)?;
            }
            inner.machine.mark_deleted();
            cell.shard.remove(cell, inner.machine.id());
        }
        Ok(last)
    }

    fn append_tombstones(
        &self,
        cell: &Arc<GroupCell>,
        inner: &GroupInner,
        doomed: &[TopicAndPartition],
        with_group: bool,
    ) -> Result<Option<Appended>, ErrorCode> {
        let id = inner.machine.id();
        let (now, compression) = (Self::now(), self.offsets.compression);
        let batches =
            records::tombstone_batches(id, doomed, with_group, now.wall_ms, compression, TOMBSTONE_BATCH_BYTES_MAX)
                .map_err(|error| driver::refuse_batch(id, &error))?;
        let mut last = None;
        for batch in batches {
            last = Some(driver::append(&cell.shard, &batch).map_err(errors::of_offset_write)?);
        }
        Ok(last)
    }

    async fn confirm(&self, appended: Option<Appended>) -> Result<(), ErrorCode> {
        match appended {
            Some(appended) => appended.committed(self.offsets.commit_timeout).await.map_err(errors::of_offset_write),
            None => Ok(()),
        }
    }
}
