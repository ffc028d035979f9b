//! Heartbeat, LeaveGroup, and sessions that end.

use std::sync::Arc;
use std::time::Duration;

use whimbrel_model::ErrorCode;

use super::messages::{Effect, JoinResponse, LeavingMember, Now, Settings, SyncResponse, Timer};
use super::{Group, GroupState};

impl Group {
    /// Heartbeat. Each one that is accepted, also with `REBALANCE_IN_PROGRESS`, starts the session anew.
    ///
    /// # Errors
    /// `COORDINATOR_NOT_AVAILABLE` (dead), `FENCED_INSTANCE_ID`, `UNKNOWN_MEMBER_ID`, `ILLEGAL_GENERATION`,
    /// `REBALANCE_IN_PROGRESS`.
    pub fn heartbeat(
        &mut self,
        now: Now,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ErrorCode> {
        if self.state == GroupState::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        self.validate_member(member_id, instance_id)?;
        if generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        match self.state {
            GroupState::Empty | GroupState::Dead => Err(ErrorCode::UnknownMemberId),
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.touch(now, member_id, effects);
                Ok(())
            }
            GroupState::PreparingRebalance => {
                self.touch(now, member_id, effects);
                Err(ErrorCode::RebalanceInProgress)
            }
        }
    }

    /// LeaveGroup: one result for each member, in order.
    ///
    /// # Errors
    /// For the whole request `COORDINATOR_NOT_AVAILABLE` (dead); for a member `UNKNOWN_MEMBER_ID` or
    /// `FENCED_INSTANCE_ID`.
    pub fn leave(
        &mut self,
        now: Now,
        leaving: &[LeavingMember],
        settings: &Settings,
        effects: &mut Vec<Effect>,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        if self.state == GroupState::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        Ok(leaving.iter().map(|member| self.leave_one(now, member, settings, effects)).collect())
    }

    fn leave_one(
        &mut self,
        now: Now,
        leaving: &LeavingMember,
        settings: &Settings,
        effects: &mut Vec<Effect>,
    ) -> ErrorCode {
        if !leaving.member_id.is_empty() && self.pending_members.remove(&leaving.member_id).is_some() {
            self.try_complete_join(now, settings, effects);
            return ErrorCode::None;
        }
        let instance_id = leaving.instance_id.as_deref();
        let member_id = if leaving.member_id.is_empty() {
            let current = instance_id.and_then(|id| self.static_members.get(id));
            current.cloned().ok_or(ErrorCode::UnknownMemberId)
        } else {
            self.validate_member(&leaving.member_id, instance_id).map(|()| leaving.member_id.clone())
        };
        match member_id {
            Ok(id) => {
                self.remove_and_rebalance(now, &id, settings, effects);
                ErrorCode::None
            }
            Err(error) => error,
        }
    }

    /// The member id must be that of a member and, if an instance id is given, the one it stands for at present.
    pub(super) fn validate_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                Some(current) if **current != *member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
                None => return Err(ErrorCode::UnknownMemberId),
            }
        }
        if self.members.contains(member_id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// Starts a member's session anew.
    pub(super) fn touch(&mut self, now: Now, member_id: &str, effects: &mut Vec<Effect>) {
        if let Some(timeout) = self.members.get(member_id).map(|m| m.session_timeout) {
            self.touch_for(now, member_id, timeout, effects);
        }
    }

    /// Expects to hear from a member within `timeout`. A timer that fires earlier will find the new deadline, so that
    /// one is asked for only if none is in force or it would fire too late.
    pub(super) fn touch_for(&mut self, now: Now, member_id: &str, timeout: Duration, effects: &mut Vec<Effect>) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        let at = now.elapsed.saturating_add(timeout);
        member.session_deadline = at;
        if member.session_timer.is_none_or(|timer| at < timer) {
            member.session_timer = Some(at);
            let timer = Timer::Session { member_id: member.id.clone(), at };
            effects.push(Effect::Schedule { at, timer });
        }
    }

    pub(super) fn on_session_timer(
        &mut self,
        now: Now,
        member_id: &Arc<str>,
        at: Duration,
        settings: &Settings,
        effects: &mut Vec<Effect>,
    ) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        if member.session_timer != Some(at) {
            return;
        }
        member.session_timer = None;
        let deadline = member.session_deadline;
        if now.elapsed < deadline {
            member.session_timer = Some(deadline);
            let timer = Timer::Session { member_id: member.id.clone(), at: deadline };
            return effects.push(Effect::Schedule { at: deadline, timer });
        }
        // A known member that waits for us is alive; its session starts anew with the answer. A new one cannot be told
        // from one that has gone away, and has had its time.
        let waits_for_us = member.awaiting_join.is_some() || member.awaiting_sync.is_some();
        if !waits_for_us || member.is_new {
            self.remove_and_rebalance(now, member_id, settings, effects);
        }
    }

    fn remove_and_rebalance(&mut self, now: Now, member_id: &str, settings: &Settings, effects: &mut Vec<Effect>) {
        self.remove_member(member_id, effects);
        match self.state {
            GroupState::Empty | GroupState::Dead => {}
            GroupState::Stable | GroupState::CompletingRebalance => {
                self.prepare_rebalance(now, settings, effects);
            }
            GroupState::PreparingRebalance => self.try_complete_join(now, settings, effects),
        }
    }

    /// Forgets a member, or an id that was handed out. If it waits, it learns that it is unknown and can join again.
    pub(super) fn remove_member(&mut self, member_id: &str, effects: &mut Vec<Effect>) {
        self.pending_members.remove(member_id);
        self.pending_sync.remove(member_id);
        let Some(member) = self.members.remove(member_id) else { return };
        let error = ErrorCode::UnknownMemberId;
        if let Some(caller) = member.awaiting_join {
            effects.push(Effect::AnswerJoin { caller, response: JoinResponse::failed(Arc::from(""), error) });
        }
        if let Some(caller) = member.awaiting_sync {
            effects.push(Effect::AnswerSync { caller, response: SyncResponse::failed(error) });
        }
        if let Some(instance) = &member.instance_id {
            self.static_members.remove(instance);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.first_id().cloned();
        }
    }
}
