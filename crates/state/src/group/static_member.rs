//! A static member comes back without its member id (KIP-345): it takes the place of its earlier self.

use std::sync::Arc;
use std::time::Duration;

use whimbrel_model::ErrorCode;

use super::member::Protocol;
use super::messages::{CallerId, Effect, JoinRequest, JoinResponse, Now, Settings, StoreTicket, SyncResponse};
use super::{Group, GroupState};

/// What has to be undone if a replacement in a stable group cannot be written.
#[derive(Debug)]
pub struct StaticReplacement {
    generation: i32,
    instance_id: Arc<str>,
    old_member_id: Arc<str>,
    new_member_id: Arc<str>,
    old_protocols: Vec<Protocol>,
    old_session_timeout: Duration,
    old_rebalance_timeout: Duration,
    supports_skipping_assignment: bool,
    /// The leader before the replacement; empty if there was none.
    old_leader: Arc<str>,
}

impl Group {
    /// Gives the member a new id. Calls of the old one that wait, and all its later ones, see FENCED_INSTANCE_ID.
    ///
    /// A stable group whose choice of protocol stays the same keeps its generation: nobody rebalances, the new id is
    /// just written to the log.
    pub(super) fn replace_static_member(
        &mut self,
        now: Now,
        request: JoinRequest,
        old_id: &Arc<str>,
        caller: CallerId,
        settings: &Settings,
        effects: &mut Vec<Effect>,
    ) {
        let new_id = request.fresh_member_id.clone();
        let Some(old) = self.members.get(old_id) else { return };
        let replacement = StaticReplacement {
            generation: self.generation,
            instance_id: request.instance_id.clone().unwrap_or_default(),
            old_member_id: old_id.clone(),
            new_member_id: new_id.clone(),
            old_protocols: old.protocols.clone(),
            old_session_timeout: old.session_timeout,
            old_rebalance_timeout: old.rebalance_timeout,
            supports_skipping_assignment: request.supports_skipping_assignment,
            old_leader: self.leader.clone().unwrap_or_default(),
        };
        self.rename_member(old_id, &new_id, effects);
        self.touch(now, &new_id, effects);
        self.update_member(&new_id, request, caller, effects);
        match self.state {
            GroupState::Stable if self.members.elect_protocol(self.leader.as_deref()) == self.protocol_name => {
                let snapshot = self.snapshot(|member| member.assignment.clone());
                let ticket = StoreTicket::StaticMember(Box::new(replacement));
                effects.push(Effect::Store { snapshot, ticket });
            }
            // The leader may be at work on an assignment for the old id; the new one would get none.
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(now, settings, effects),
            GroupState::PreparingRebalance => {}
            GroupState::Empty | GroupState::Dead => {
                unreachable!("group {} has static member {old_id} in state {:?}", self.id, self.state)
            }
        }
    }

    /// Moves a member to a new id; callers that wait under the old one are fenced.
    fn rename_member(&mut self, old_id: &Arc<str>, new_id: &Arc<str>, effects: &mut Vec<Effect>) {
        let Some(mut member) = self.members.remove(old_id) else { return };
        let error = ErrorCode::FencedInstanceId;
        if let Some(caller) = member.awaiting_join.take() {
            effects.push(Effect::AnswerJoin { caller, response: JoinResponse::failed(old_id.clone(), error) });
        }
        if let Some(caller) = member.awaiting_sync.take() {
            effects.push(Effect::AnswerSync { caller, response: SyncResponse::failed(error) });
        }
        member.id = new_id.clone();
        // The timer in force carries the old id.
        member.session_timer = None;
        if let Some(instance) = member.instance_id.clone() {
            self.static_members.insert(instance, new_id.clone());
        }
        if self.is_leader(old_id) {
            self.leader = Some(new_id.clone());
        }
        if self.pending_sync.remove(old_id) {
            self.pending_sync.insert(new_id.clone());
        }
        self.members.insert(member);
    }

    /// Answers the member that came back, or restores its earlier self if the log did not take it.
    ///
    /// If a rebalance began meanwhile, the member is part of it and is answered when it completes.
    pub(super) fn static_member_stored(
        &mut self,
        now: Now,
        replacement: StaticReplacement,
        outcome: Result<(), ErrorCode>,
        effects: &mut Vec<Effect>,
    ) {
        let is_current = self.state == GroupState::Stable && self.generation == replacement.generation;
        if !is_current || !self.members.contains(&replacement.new_member_id) {
            return;
        }
        let new_id = &replacement.new_member_id;
        let Some(caller) = self.members.unpark_join(new_id) else { return };
        let response = match outcome {
            Ok(()) => self.replaced_response(&replacement),
            Err(error) => JoinResponse {
                error,
                leader: replacement.old_leader.clone(),
                member_id: Arc::from(""),
                members: Vec::new(),
                ..self.join_response(new_id)
            },
        };
        effects.push(Effect::AnswerJoin { caller, response });
        if outcome.is_ok() {
            self.touch(now, new_id, effects);
        } else {
            self.revert_replacement(now, replacement, effects);
        }
    }

    /// In a stable group the assignment is in force, and a leader must not compute another. A client that understands
    /// it is told so (KIP-814); for an older one the answer names the former leader, whom it does not recognize.
    fn replaced_response(&self, replacement: &StaticReplacement) -> JoinResponse {
        let response = self.join_response(&replacement.new_member_id);
        if replacement.supports_skipping_assignment {
            return JoinResponse { skip_assignment: self.is_leader(&replacement.new_member_id), ..response };
        }
        JoinResponse { leader: replacement.old_leader.clone(), members: Vec::new(), ..response }
    }

    fn revert_replacement(&mut self, now: Now, replacement: StaticReplacement, effects: &mut Vec<Effect>) {
        let StaticReplacement { instance_id, old_member_id, new_member_id, .. } = replacement;
        if self.static_members.get(&instance_id) != Some(&new_member_id) {
            return;
        }
        self.members.set_protocols(&new_member_id, replacement.old_protocols);
        if let Some(member) = self.members.get_mut(&new_member_id) {
            member.session_timeout = replacement.old_session_timeout;
            member.rebalance_timeout = replacement.old_rebalance_timeout;
        }
        self.rename_member(&new_member_id, &old_member_id, effects);
        self.touch(now, &old_member_id, effects);
    }
}
