//! JoinGroup.

use std::sync::Arc;
use std::time::Duration;

use whimbrel_model::ErrorCode;

use super::member::Member;
use super::messages::{CallerId, Effect, JoinRequest, JoinResponse, Now, Settings, Timer};
use super::{Group, GroupState};

/// How long a new member may wait in a rebalance. It cannot send heartbeats yet, so without this bound those that have
/// gone away (and come back under another id) would pile up.
const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(5 * 60);

impl Settings {
    /// Whether a member may ask for this session time-out. Checked before the group is looked up.
    #[must_use]
    pub fn accepts_session_timeout(&self, timeout: Duration) -> bool {
        (self.session_timeout_min..=self.session_timeout_max).contains(&timeout)
    }
}

impl Group {
    /// JoinGroup. The caller has checked the session time-out and, if the member has an id, that the group exists.
    ///
    /// # Errors (in the answer)
    /// `GROUP_MAX_SIZE_REACHED`, `COORDINATOR_NOT_AVAILABLE` (dead), `INCONSISTENT_GROUP_PROTOCOL`,
    /// `MEMBER_ID_REQUIRED`, `FENCED_INSTANCE_ID`, `UNKNOWN_MEMBER_ID`; the two last also later, while it waits.
    pub fn join(
        &mut self,
        now: Now,
        request: JoinRequest,
        caller: CallerId,
        settings: &Settings,
        effects: &mut Vec<Effect>,
    ) {
        let member_id = request.member_id.clone();
        match self.check_join(&request, settings) {
            Err(ErrorCode::GroupMaxSizeReached) => {
                // Those that rejoin last after the limit was lowered are the ones who have to go.
                self.remove_member(&member_id, effects);
                refuse(caller, Arc::from(""), ErrorCode::GroupMaxSizeReached, effects);
            }
            Err(error) => refuse(caller, member_id, error, effects),
            Ok(()) if member_id.is_empty() => self.join_new(now, request, caller, settings, effects),
            Ok(()) => self.join_known(now, request, caller, settings, effects),
        }
        self.try_complete_join(now, settings, effects);
    }

    fn check_join(&self, request: &JoinRequest, settings: &Settings) -> Result<(), ErrorCode> {
        if !self.has_room_for(&request.member_id, settings) {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        if self.state == GroupState::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        if !self.supports_protocols(request) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    /// While a rebalance is prepared, those who have joined count, so that the last to rejoin are turned away if the
    /// group is larger than it may be (KIP-389).
    fn has_room_for(&self, member_id: &str, settings: &Settings) -> bool {
        match self.state {
            GroupState::Empty | GroupState::Dead => true,
            GroupState::PreparingRebalance => {
                self.members.get(member_id).is_some_and(|m| m.awaiting_join.is_some())
                    || self.members.awaiting_join_count() < settings.group_size_max
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.members.contains(member_id) || self.members.len() < settings.group_size_max
            }
        }
    }

    fn supports_protocols(&self, request: &JoinRequest) -> bool {
        if self.state == GroupState::Empty {
            return !request.protocol_type.is_empty() && !request.protocols.is_empty();
        }
        self.protocol_type.as_ref() == Some(&request.protocol_type)
            && request.protocols.iter().any(|p| self.members.all_support(&p.name))
    }

    fn join_new(
        &mut self,
        now: Now,
        request: JoinRequest,
        caller: CallerId,
        settings: &Settings,
        effects: &mut Vec<Effect>,
    ) {
        let fresh_id = request.fresh_member_id.clone();
        let existing = request.instance_id.as_ref().and_then(|id| self.static_members.get(id)).cloned();
        if let Some(old_id) = existing {
            self.replace_static_member(now, request, &old_id, caller, settings, effects);
        } else if request.instance_id.is_none() && request.requires_known_member_id {
            let at = now.elapsed.saturating_add(request.session_timeout);
            self.pending_members.insert(fresh_id.clone(), at);
            let timer = Timer::PendingMember { member_id: fresh_id.clone(), at };
            effects.push(Effect::Schedule { at, timer });
            refuse(caller, fresh_id, ErrorCode::MemberIdRequired, effects);
        } else {
            self.add_and_rebalance(now, &request, &fresh_id, caller, settings, effects);
        }
    }

    fn join_known(
        &mut self,
        now: Now,
        request: JoinRequest,
        caller: CallerId,
        settings: &Settings,
        effects: &mut Vec<Effect>,
    ) {
        let member_id = request.member_id.clone();
        if self.pending_members.contains_key(&member_id) {
            if request.instance_id.is_some() {
                // Pending ids are given to dynamic members only; Kafka fails in the same way.
                return refuse(caller, member_id, ErrorCode::UnknownServerError, effects);
            }
            return self.add_and_rebalance(now, &request, &member_id, caller, settings, effects);
        }
        if let Err(error) = self.validate_member(&member_id, request.instance_id.as_deref()) {
            return refuse(caller, member_id, error, effects);
        }
        let is_unchanged = self.members.get(&member_id).is_some_and(|m| m.protocols == request.protocols);
        let needs_rebalance = match self.state {
            GroupState::PreparingRebalance => true,
            // The answer to its first JoinGroup may have been lost.
            GroupState::CompletingRebalance => !is_unchanged,
            // The leader rejoins when something changed that others cannot see, such as the partitions of a topic.
            GroupState::Stable => self.is_leader(&member_id) || !is_unchanged,
            GroupState::Empty | GroupState::Dead => {
                return refuse(caller, member_id, ErrorCode::UnknownMemberId, effects);
            }
        };
        if needs_rebalance {
            self.update_member(&member_id, request, caller, effects);
            self.maybe_prepare_rebalance(now, settings, effects);
        } else {
            let response = self.join_response(&member_id);
            effects.push(Effect::AnswerJoin { caller, response });
        }
    }

    fn add_and_rebalance(
        &mut self,
        now: Now,
        request: &JoinRequest,
        member_id: &Arc<str>,
        caller: CallerId,
        settings: &Settings,
        effects: &mut Vec<Effect>,
    ) {
        if self.state == GroupState::PreparingRebalance && self.generation == 0 {
            self.new_member_added = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        self.add_member(Member::join(request, member_id.clone(), caller));
        self.touch_for(now, member_id, NEW_MEMBER_JOIN_TIMEOUT, effects);
        self.maybe_prepare_rebalance(now, settings, effects);
    }

    pub(super) fn add_member(&mut self, member: Member) {
        let id = member.id.clone();
        if let Some(instance) = member.instance_id.clone() {
            self.static_members.insert(instance, id.clone());
        }
        self.leader.get_or_insert_with(|| id.clone());
        self.pending_members.remove(&id);
        self.members.insert(member);
    }

    /// Takes over what a rejoining member says and parks its call.
    pub(super) fn update_member(
        &mut self,
        member_id: &str,
        request: JoinRequest,
        caller: CallerId,
        effects: &mut Vec<Effect>,
    ) {
        self.members.set_protocols(member_id, request.protocols);
        if let Some(member) = self.members.get_mut(member_id) {
            member.session_timeout = request.session_timeout;
            member.rebalance_timeout = request.rebalance_timeout;
        }
        if let Some(overtaken) = self.members.park_join(member_id, caller) {
            refuse(overtaken, request.member_id, ErrorCode::RebalanceInProgress, effects);
        }
    }

    /// The outcome of the current generation for one of its members.
    pub(super) fn join_response(&self, member_id: &Arc<str>) -> JoinResponse {
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        let members = if self.is_leader(member_id) {
            self.members.iter().map(|m| m.joined(protocol)).collect()
        } else {
            Vec::new()
        };
        JoinResponse {
            error: ErrorCode::None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member_id: member_id.clone(),
            members,
        }
    }
}

fn refuse(caller: CallerId, member_id: Arc<str>, error: ErrorCode, effects: &mut Vec<Effect>) {
    effects.push(Effect::AnswerJoin { caller, response: JoinResponse::failed(member_id, error) });
}
