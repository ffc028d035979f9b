//! Carries out what the machines ask for, and loads and unloads them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use whimbrel_model::{ErrorCode, LeaderEpoch, Offset};
use whimbrel_state::group::{Effect, Group, GroupSnapshot, Now, Settings, StoreTicket};
use whimbrel_storage::{AppendOrigin, ReadMode};

use super::loader::Loader;
use super::records::WriteRecordError;
use super::shard::{GroupCell, GroupInner, Shard};
use super::{GroupCoordinator, errors, records};
use crate::handlers::ToErrorCode;
use crate::purgatory::{Event, Waiter, Wakes};
use crate::replica_manager::{Partition, RequiredAcks};

/// Records that are in the log and not yet known to be committed.
pub(super) struct Appended {
    partition: Arc<Partition>,
    pub first: Offset,
    end: Offset,
    epoch: LeaderEpoch,
}

impl Appended {
    /// Waits until the records are committed as `acks=all` promises.
    ///
    /// # Errors
    /// The code of Produce for the same failure; `REQUEST_TIMED_OUT` if it takes longer than `limit`.
    pub async fn committed(&self, limit: Duration) -> Result<(), ErrorCode> {
        if self.check()? {
            return Ok(());
        }
        let deadline = Instant::now() + limit;
        let waiter = Waiter::new();
        let _watches =
            [Event::HighWatermark, Event::Flushed].map(|event| self.partition.watch(&waiter, event, self.end));
        // Checked again after the registration, since the partition may have moved in between.
        while !self.check()? {
            if !waiter.woken_before(deadline).await {
                return Err(ErrorCode::RequestTimedOut);
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<bool, ErrorCode> {
        self.partition.is_committed(self.end, self.epoch).map_err(|error| error.error_code())
    }
}

impl GroupCoordinator {
    /// Runs `input` on the group and carries out what it asks for.
    pub(super) fn drive<T>(
        self: &Arc<Self>,
        cell: &Arc<GroupCell>,
        input: impl FnOnce(&mut Group, Now, &Settings, &mut Vec<Effect>) -> T,
    ) -> T {
        let mut inner = cell.lock();
        let mut effects = Vec::new();
        let result = input(&mut inner.machine, Self::now(), &self.settings, &mut effects);
        self.perform(cell, &mut inner, effects);
        result
    }

    pub(super) fn perform(self: &Arc<Self>, cell: &Arc<GroupCell>, inner: &mut GroupInner, effects: Vec<Effect>) {
        let mut queue = VecDeque::from(effects);
        while let Some(effect) = queue.pop_front() {
            match effect {
                // A caller whose connection has ended no longer listens.
                Effect::AnswerJoin { caller, response } => {
                    let _ = inner.joins.remove(&caller).map(|waiting| waiting.send(response));
                }
                Effect::AnswerSync { caller, response } => {
                    let _ = inner.syncs.remove(&caller).map(|waiting| waiting.send(response));
                }
                Effect::Schedule { at, timer } => self.timers.insert(at, cell, timer),
                Effect::Store { snapshot, ticket } => {
                    queue.extend(self.store(cell, inner, &snapshot, ticket));
                }
            }
        }
    }

    /// Appends a snapshot. The group learns the outcome when it is known: at once if the append is refused.
    fn store(
        self: &Arc<Self>,
        cell: &Arc<GroupCell>,
        inner: &mut GroupInner,
        snapshot: &GroupSnapshot,
        ticket: StoreTicket,
    ) -> Vec<Effect> {
        let now = Self::now();
        let id = inner.machine.id().clone();
        let batch = records::group_batch(&id, snapshot, now.wall_ms, self.offsets.compression);
        let appended = batch.map_err(|error| refuse_batch(&id, &error)).and_then(|batch| append(&cell.shard, &batch));
        match appended {
            Ok(appended) => {
                let (coordinator, cell) = (self.clone(), cell.clone());
                self.runtime.spawn(async move {
                    let outcome = appended.committed(coordinator.offsets.commit_timeout).await;
                    let outcome = outcome.map_err(|code| {
                        tracing::warn!(group = &*id, "the group's state was not committed: {code}");
                        errors::of_group_write(code)
                    });
                    coordinator.drive(&cell, |group, now, settings, effects| {
                        group.stored(now, ticket, outcome, settings, effects);
                    });
                });
                Vec::new()
            }
            Err(code) => {
                tracing::warn!(group = &*id, "the group's state cannot be written: {code}");
                let mut effects = Vec::new();
                let outcome = Err(errors::of_group_write(code));
                inner.machine.stored(now, ticket, outcome, &self.settings, &mut effects);
                effects
            }
        }
    }

    /// Reads the partition from start to end and opens the shard. Blocks.
    pub(super) fn load(self: &Arc<Self>, shard: &Arc<Shard>) {
        let started = std::time::Instant::now();
        let log = &shard.partition.log;
        let mut loader = Loader::new(Self::now());
        let mut position = log.log_start_offset();
        let bytes_max = self.offsets.load_buffer_bytes;
        while position < log.log_end_offset() && !shard.is_closed() {
            let read = log.read(position, log.log_end_offset(), bytes_max, true, ReadMode::MayBlock);
            let next = match read {
                Ok(read) => {
                    let next_offset = read.next_offset;
                    loader.apply(&read.records.into_bytes()).map(|next| next.max(next_offset))
                }
                Err(error) => {
                    tracing::error!(partition = shard.index(), offset = position.0, "groups cannot be loaded: {error}");
                    None
                }
            };
            match next.filter(|next| position < *next) {
                Some(next) => position = next,
                // As Kafka: what could be read is served.
                None => break,
            }
        }
        let (groups, skipped_count) = loader.finish();
        let count = groups.len();
        let Some(cells) = shard.open(groups) else { return };
        for cell in cells {
            self.drive(&cell, |group, now, settings, effects| group.resume(now, settings, effects));
        }
        shard.activate();
        let elapsed = started.elapsed();
        tracing::debug!(partition = shard.index(), groups = count, skipped_count, ?elapsed, "groups loaded");
    }

    pub(super) fn unload(self: &Arc<Self>, shard: &Shard) {
        for cell in shard.close() {
            self.drive(&cell, |group, _, _, effects| group.unload(effects));
        }
    }
}

/// Appends to the shard's partition.
///
/// # Errors
/// The code of Produce for the same failure.
pub(super) fn append(shard: &Shard, batch: &Bytes) -> Result<Appended, ErrorCode> {
    let now_ms = crate::time::wall_clock_ms();
    let mut wakes = Wakes::default();
    let info = shard
        .partition
        .append(batch, RequiredAcks::All, AppendOrigin::Coordinator, now_ms, &mut wakes)
        .map_err(|error| error.error_code())?;
    let end = info.last_offset + 1;
    shard.partition.request_flush(end);
    Ok(Appended { partition: shard.partition.clone(), first: info.first_offset, end, epoch: info.leader_epoch })
}

/// Names or metadata that do not fit into a record, or more of them than into a batch.
pub(super) fn refuse_batch(group: &str, error: &WriteRecordError) -> ErrorCode {
    tracing::warn!(group, "records cannot be built: {error}");
    ErrorCode::MessageTooLarge
}
