//! What handlers ask for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;
use whimbrel_model::ErrorCode;
use whimbrel_state::group::{
    CallerId, CommitRequest, Group, GroupOverview, GroupState, JoinRequest, JoinResponse, LeavingMember, SyncRequest,
    SyncResponse, TopicOffsets,
};

use super::driver::{self, Appended};
use super::shard::{GroupCell, GroupInner, Shard};
use super::{EmptyGroupId, GroupCoordinator, errors, records};

/// What becomes of a request for a group that does not exist.
#[derive(Debug, Clone, Copy)]
enum IfAbsent {
    Create,
    UnknownMember,
    IllegalGeneration,
}

impl GroupCoordinator {
    /// JoinGroup; waits until the rebalance has completed.
    ///
    /// # Errors
    /// What stands against it before the group is asked; other errors are in the response.
    pub async fn join(self: &Arc<Self>, group_id: &str, request: JoinRequest) -> Result<JoinResponse, ErrorCode> {
        let shard = self.shard_for(group_id, EmptyGroupId::Refused)?;
        if !self.settings.accepts_session_timeout(request.session_timeout) {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        let (answer, answered) = oneshot::channel();
        let caller = self.new_caller();
        let if_absent = if request.member_id.is_empty() { IfAbsent::Create } else { IfAbsent::UnknownMember };
        Self::with_group(&shard, group_id, if_absent, |cell, inner| {
            inner.joins.insert(caller, answer);
            let mut effects = Vec::new();
            inner.machine.join(Self::now(), request, caller, &self.settings, &mut effects);
            self.perform(cell, inner, effects);
        })?;
        answered.await.map_err(|_| ErrorCode::CoordinatorNotAvailable)
    }

    /// SyncGroup; waits for the leader's assignment.
    pub async fn sync(self: &Arc<Self>, group_id: &str, request: SyncRequest) -> Result<SyncResponse, ErrorCode> {
        let shard = match self.shard_for(group_id, EmptyGroupId::Refused) {
            // The rebalance is lost with the former coordinator. Old clients do not expect the code for loading.
            Err(ErrorCode::CoordinatorLoadInProgress) => return Err(ErrorCode::RebalanceInProgress),
            other => other?,
        };
        let cell = shard.get(group_id).ok_or(ErrorCode::UnknownMemberId)?;
        let (answer, answered) = oneshot::channel();
        let caller = self.new_caller();
        {
            let mut inner = cell.lock();
            inner.syncs.insert(caller, answer);
            let mut effects = Vec::new();
            inner.machine.sync(Self::now(), request, caller, &mut effects);
            self.perform(&cell, &mut inner, effects);
        }
        answered.await.map_err(|_| ErrorCode::CoordinatorNotAvailable)
    }

    /// Heartbeat.
    pub fn heartbeat(
        self: &Arc<Self>,
        group_id: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        let shard = match self.shard_for(group_id, EmptyGroupId::Refused) {
            // Nobody can say yet whether the member is right, and it has time.
            Err(ErrorCode::CoordinatorLoadInProgress) => return Ok(()),
            other => other?,
        };
        let cell = shard.get(group_id).ok_or(ErrorCode::UnknownMemberId)?;
        self.drive(&cell, |group, now, _, effects| group.heartbeat(now, member_id, instance_id, generation, effects))
    }

    /// LeaveGroup: one result for each member.
    pub fn leave(self: &Arc<Self>, group_id: &str, leaving: &[LeavingMember]) -> Result<Vec<ErrorCode>, ErrorCode> {
        let shard = self.shard_for(group_id, EmptyGroupId::Refused)?;
        let Some(cell) = shard.get(group_id) else {
            return Ok(vec![ErrorCode::UnknownMemberId; leaving.len()]);
        };
        self.drive(&cell, |group, now, settings, effects| group.leave(now, leaving, settings, effects))
    }

    /// OffsetCommit; waits until the offsets are committed to the log, at most `offsets.commit.timeout.ms`.
    pub async fn commit_offsets(
        self: &Arc<Self>,
        group_id: &str,
        request: CommitRequest<'_>,
        topics: Vec<TopicOffsets>,
    ) -> Result<(), ErrorCode> {
        let shard = self.shard_for(group_id, EmptyGroupId::Allowed)?;
        if topics.iter().all(|topic| topic.partitions.is_empty()) {
            return Ok(());
        }
        let now = Self::now();
        let batch = records::offsets_batch(group_id, &topics, now.wall_ms, self.offsets.compression)
            .map_err(|error| errors::of_offset_write(driver::refuse_batch(group_id, &error)));
        let if_absent = if request.generation < 0 { IfAbsent::Create } else { IfAbsent::IllegalGeneration };
        let (cell, appended) = Self::with_group(&shard, group_id, if_absent, |cell, inner| {
            let mut effects = Vec::new();
            inner.machine.begin_commit(now, request, &topics, &mut effects)?;
            self.perform(cell, inner, effects);
            let appended = batch
                .and_then(|batch| driver::append(&cell.shard, &batch).map_err(errors::of_offset_write))
                .inspect_err(|_| inner.machine.commit_failed(&topics))?;
            Ok((cell.clone(), Arc::new(appended)))
        })??;
        PendingCommit { coordinator: self.clone(), cell, appended, topics }.settle().await
    }

    /// Shows a group to `read`; `None` if there is none.
    ///
    /// # Errors
    /// The group is not, or not yet, this broker's.
    pub fn read_group<T>(
        &self,
        group_id: &str,
        empty: EmptyGroupId,
        read: impl FnOnce(Option<&Group>) -> T,
    ) -> Result<T, ErrorCode> {
        let cell = self.shard_for(group_id, empty)?.get(group_id);
        Ok(match &cell {
            Some(cell) => read(Some(&cell.lock().machine)),
            None => read(None),
        })
    }

    /// ListGroups. Those that are loaded are listed also while others load.
    ///
    /// # Errors
    /// `COORDINATOR_NOT_AVAILABLE`: not started.
    pub fn list(&self) -> Result<(ErrorCode, Vec<GroupOverview>), ErrorCode> {
        if !self.is_active.load(Ordering::SeqCst) {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let code = if self.is_loading_any() { ErrorCode::CoordinatorLoadInProgress } else { ErrorCode::None };
        let shards = self.active_shards();
        let groups = shards.iter().flat_map(|shard| shard.groups()).map(|cell| cell.lock().machine.overview());
        Ok((code, groups.collect()))
    }

    /// Runs `act` under the lock of the group.
    ///
    /// A group may die between the look-up and the lock: the expiry pass removes one that is empty, be it because it has
    /// only just been created. It is then looked up again.
    fn with_group<T>(
        shard: &Arc<Shard>,
        group_id: &str,
        if_absent: IfAbsent,
        act: impl FnOnce(&Arc<GroupCell>, &mut GroupInner) -> T,
    ) -> Result<T, ErrorCode> {
        loop {
            let cell = match if_absent {
                IfAbsent::Create => shard.get_or_create(group_id, Self::now()).ok_or(ErrorCode::NotCoordinator)?,
                IfAbsent::UnknownMember => shard.get(group_id).ok_or(ErrorCode::UnknownMemberId)?,
                IfAbsent::IllegalGeneration => shard.get(group_id).ok_or(ErrorCode::IllegalGeneration)?,
            };
            let mut inner = cell.lock();
            // The dead are taken off the list before their lock is released, so that this ends.
            if inner.machine.state() != GroupState::Dead {
                return Ok(act(&cell, &mut inner));
            }
        }
    }

    fn new_caller(&self) -> CallerId {
        CallerId(self.next_caller.fetch_add(1, Ordering::Relaxed))
    }
}

/// A commit whose records are in the log. Its partitions are pending until it is settled, which happens in the
/// background if the connection ends before.
struct PendingCommit {
    coordinator: Arc<GroupCoordinator>,
    cell: Arc<GroupCell>,
    appended: Arc<Appended>,
    /// Empty once settled.
    topics: Vec<TopicOffsets>,
}

impl PendingCommit {
    async fn settle(mut self) -> Result<(), ErrorCode> {
        let outcome = self.appended.committed(self.coordinator.offsets.commit_timeout).await;
        finish(&self.cell, &self.appended, std::mem::take(&mut self.topics), outcome)
    }
}

impl Drop for PendingCommit {
    fn drop(&mut self) {
        let topics = std::mem::take(&mut self.topics);
        if topics.is_empty() {
            return;
        }
        let (cell, appended) = (self.cell.clone(), self.appended.clone());
        let limit = self.coordinator.offsets.commit_timeout;
        self.coordinator.runtime.spawn(async move {
            let outcome = appended.committed(limit).await;
            // Nobody is left to be told.
            let _ = finish(&cell, &appended, topics, outcome);
        });
    }
}

fn finish(
    cell: &GroupCell,
    appended: &Appended,
    topics: Vec<TopicOffsets>,
    outcome: Result<(), ErrorCode>,
) -> Result<(), ErrorCode> {
    let mut inner = cell.lock();
    match outcome {
        Ok(()) => inner.machine.commit_written(topics, appended.first),
        Err(_) => inner.machine.commit_failed(&topics),
    }
    outcome.map_err(errors::of_offset_write)
}
