//! SyncGroup: the leader's assignment goes to the log, then to the members.

use std::sync::Arc;

use bytes::Bytes;
use foldhash::HashMap;
use whimbrel_model::ErrorCode;

use super::messages::{CallerId, Effect, Now, Settings, StoreTicket, SyncRequest, SyncResponse};
use super::{Group, GroupState};

impl Group {
    /// SyncGroup.
    ///
    /// # Errors (in the answer)
    /// `COORDINATOR_NOT_AVAILABLE` (dead), `FENCED_INSTANCE_ID`, `UNKNOWN_MEMBER_ID`, `ILLEGAL_GENERATION`,
    /// `INCONSISTENT_GROUP_PROTOCOL`, `REBALANCE_IN_PROGRESS`, and whatever the write of the assignment ends with.
    pub fn sync(&mut self, now: Now, request: SyncRequest, caller: CallerId, effects: &mut Vec<Effect>) {
        if let Err(error) = self.check_sync(&request) {
            return refuse(caller, error, effects);
        }
        match self.state {
            GroupState::Empty | GroupState::Dead => refuse(caller, ErrorCode::UnknownMemberId, effects),
            GroupState::PreparingRebalance => refuse(caller, ErrorCode::RebalanceInProgress, effects),
            GroupState::CompletingRebalance => {
                self.pending_sync.remove(&request.member_id);
                let Some(member) = self.members.get_mut(&request.member_id) else { return };
                if let Some(overtaken) = member.awaiting_sync.replace(caller) {
                    refuse(overtaken, ErrorCode::RebalanceInProgress, effects);
                }
                if self.is_leader(&request.member_id) && !self.is_storing_assignment {
                    self.store_assignment(request.assignments, effects);
                }
            }
            GroupState::Stable => {
                self.pending_sync.remove(&request.member_id);
                let assignment = self.members.get(&request.member_id).map(|m| m.assignment.clone());
                let response = self.sync_response(assignment.unwrap_or_default());
                effects.push(Effect::AnswerSync { caller, response });
                self.touch(now, &request.member_id, effects);
            }
        }
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), ErrorCode> {
        if self.state == GroupState::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        self.validate_member(&request.member_id, request.instance_id.as_deref())?;
        if request.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |asked: &Option<Arc<str>>, actual: &Option<Arc<str>>| asked.is_some() && asked != actual;
        if differs(&request.protocol_type, &self.protocol_type) || differs(&request.protocol_name, &self.protocol_name)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    /// Members that the leader forgot get an empty assignment.
    ///
    /// A leader that repeats its call while the first is being written only gets a new place to wait: the assignment
    /// that is in the log is the one that counts.
    fn store_assignment(&mut self, assignments: Vec<(Arc<str>, Bytes)>, effects: &mut Vec<Effect>) {
        self.is_storing_assignment = true;
        let given: HashMap<Arc<str>, Bytes> = assignments.into_iter().collect();
        let snapshot = self.snapshot(|member| given.get(&member.id).cloned().unwrap_or_default());
        let assignments = snapshot.members.iter().map(|m| (m.member_id.clone(), m.assignment.clone())).collect();
        let ticket = StoreTicket::Assignment { generation: self.generation, assignments };
        effects.push(Effect::Store { snapshot, ticket });
    }

    /// The write has ended. If the group has moved on, those who waited have been told.
    pub(super) fn assignment_stored(
        &mut self,
        now: Now,
        generation: i32,
        assignments: Vec<(Arc<str>, Bytes)>,
        outcome: Result<(), ErrorCode>,
        settings: &Settings,
        effects: &mut Vec<Effect>,
    ) {
        if self.state != GroupState::CompletingRebalance || self.generation != generation {
            return;
        }
        self.is_storing_assignment = false;
        if let Err(error) = outcome {
            self.fail_sync(now, error, effects);
            return self.prepare_rebalance(now, settings, effects);
        }
        for (id, assignment) in assignments {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = assignment;
            }
        }
        self.answer_syncs(now, ErrorCode::None, effects);
        self.transition_to(now, GroupState::Stable);
    }

    /// Everybody who waits for an assignment gets the error instead; assignments of earlier generations are void.
    pub(super) fn fail_sync(&mut self, now: Now, error: ErrorCode, effects: &mut Vec<Effect>) {
        for member in self.members.iter_mut() {
            member.assignment = Bytes::new();
        }
        self.is_storing_assignment = false;
        self.answer_syncs(now, error, effects);
    }

    fn answer_syncs(&mut self, now: Now, error: ErrorCode, effects: &mut Vec<Effect>) {
        for id in self.members.ids() {
            let Some(member) = self.members.get_mut(&id) else { continue };
            let Some(caller) = member.awaiting_sync.take() else { continue };
            let assignment = member.assignment.clone();
            let response = if error.is_ok() { self.sync_response(assignment) } else { SyncResponse::failed(error) };
            effects.push(Effect::AnswerSync { caller, response });
            // Its session may have run out while it waited, which does not count.
            self.touch(now, &id, effects);
        }
    }

    fn sync_response(&self, assignment: Bytes) -> SyncResponse {
        SyncResponse {
            error: ErrorCode::None,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment,
        }
    }

    /// Members that have not asked for their assignment within the rebalance time-out are out.
    pub(super) fn on_sync_timer(&mut self, now: Now, generation: i32, settings: &Settings, effects: &mut Vec<Effect>) {
        let is_in_force = matches!(self.state, GroupState::CompletingRebalance | GroupState::Stable);
        if !is_in_force || generation != self.generation || self.pending_sync.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.pending_sync) {
            self.remove_member(&id, effects);
        }
        self.prepare_rebalance(now, settings, effects);
    }
}

fn refuse(caller: CallerId, error: ErrorCode, effects: &mut Vec<Effect>) {
    effects.push(Effect::AnswerSync { caller, response: SyncResponse::failed(error) });
}
