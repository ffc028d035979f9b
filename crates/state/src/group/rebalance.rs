//! From the first sign of a change to the next generation.

use std::sync::Arc;
use std::time::Duration;

use whimbrel_model::ErrorCode;

use super::messages::{Effect, Now, Settings, StoreTicket, Timer};
use super::{Group, GroupState};

/// The wait for members to join.
#[derive(Debug)]
pub(super) struct JoinWait {
    serial: u64,
    /// `Some` while a group that was empty collects its first members; such a wait is never cut short.
    initial: Option<InitialDelay>,
}

/// A new group waits `group.initial.rebalance.delay.ms`, and again while members keep coming, so that a fleet that
/// starts up does not rebalance with each of them (KIP-134).
#[derive(Debug, Clone, Copy)]
struct InitialDelay {
    delay: Duration,
    /// What is left for more delays before the rebalance time-out.
    remaining: Duration,
}

impl Group {
    pub(super) fn maybe_prepare_rebalance(&mut self, now: Now, settings: &Settings, effects: &mut Vec<Effect>) {
        if GroupState::PreparingRebalance.may_follow(self.state) {
            self.prepare_rebalance(now, settings, effects);
        }
    }

    pub(super) fn prepare_rebalance(&mut self, now: Now, settings: &Settings, effects: &mut Vec<Effect>) {
        if self.state == GroupState::CompletingRebalance {
            self.fail_sync(now, ErrorCode::RebalanceInProgress, effects);
        }
        self.pending_sync.clear();
        let timeout = self.members.rebalance_timeout();
        let initial = (self.state == GroupState::Empty).then(|| {
            let delay = settings.initial_rebalance_delay;
            InitialDelay { delay, remaining: timeout.saturating_sub(delay) }
        });
        self.transition_to(now, GroupState::PreparingRebalance);
        self.wait_for_joins(now, initial, timeout, effects);
        self.try_complete_join(now, settings, effects);
    }

    fn wait_for_joins(
        &mut self,
        now: Now,
        initial: Option<InitialDelay>,
        timeout: Duration,
        effects: &mut Vec<Effect>,
    ) {
        self.join_wait_serial += 1;
        let serial = self.join_wait_serial;
        self.join_wait = Some(JoinWait { serial, initial });
        let at = now.elapsed.saturating_add(initial.map_or(timeout, |initial| initial.delay));
        effects.push(Effect::Schedule { at, timer: Timer::Join { serial } });
    }

    /// Completes the rebalance if nobody is missing.
    pub(super) fn try_complete_join(&mut self, now: Now, settings: &Settings, effects: &mut Vec<Effect>) {
        let may_be_cut_short = self.join_wait.as_ref().is_some_and(|wait| wait.initial.is_none());
        let is_complete = self.members.awaiting_join_count() == self.members.len() && self.pending_members.is_empty();
        if self.state == GroupState::PreparingRebalance && may_be_cut_short && is_complete {
            self.complete_join(now, settings, effects);
        }
    }

    pub(super) fn on_join_timer(&mut self, now: Now, serial: u64, settings: &Settings, effects: &mut Vec<Effect>) {
        let Some(wait) = self.join_wait.as_ref().filter(|wait| wait.serial == serial) else { return };
        match wait.initial {
            Some(InitialDelay { delay, remaining }) if self.new_member_added && !remaining.is_zero() => {
                self.new_member_added = false;
                let next = InitialDelay {
                    delay: settings.initial_rebalance_delay.min(remaining),
                    remaining: remaining.saturating_sub(delay),
                };
                self.wait_for_joins(now, Some(next), Duration::ZERO, effects);
            }
            _ => self.complete_join(now, settings, effects),
        }
    }

    /// Starts the next generation with those who have joined. Dynamic members that have not are out; static ones keep
    /// their place until their session ends.
    fn complete_join(&mut self, now: Now, settings: &Settings, effects: &mut Vec<Effect>) {
        let is_missing = |m: &&super::member::Member| m.awaiting_join.is_none() && !m.is_static();
        let missing: Vec<Arc<str>> = self.members.iter().filter(is_missing).map(|m| m.id.clone()).collect();
        for id in missing {
            self.remove_member(&id, effects);
        }
        if !self.members.is_empty() && !self.elect_joined_leader() {
            // Only static members are left and none has come: wait until one does or their sessions end.
            let timeout = self.members.rebalance_timeout();
            self.wait_for_joins(now, None, timeout, effects);
            return self.try_complete_join(now, settings, effects);
        }
        self.join_wait = None;
        self.start_generation(now, effects);
    }

    /// True if the leader, the old one or another, is among those who have joined.
    fn elect_joined_leader(&mut self) -> bool {
        let has_joined = |id: &Arc<str>| self.members.get(id).is_some_and(|m| m.awaiting_join.is_some());
        if self.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        let joined = self.members.iter().find(|m| m.awaiting_join.is_some()).map(|m| m.id.clone());
        if let Some(id) = joined {
            self.leader = Some(id);
            return true;
        }
        false
    }

    fn start_generation(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.pending_sync.clear();
        self.is_storing_assignment = false;
        if self.members.is_empty() {
            self.protocol_name = None;
            self.subscribed_topics = self.compute_subscribed_topics();
            self.transition_to(now, GroupState::Empty);
            let snapshot = self.snapshot(|_| bytes::Bytes::new());
            return effects.push(Effect::Store { snapshot, ticket: StoreTicket::Emptied });
        }
        self.protocol_name = self.members.elect_protocol(self.leader.as_deref());
        assert!(self.protocol_name.is_some(), "group {}: members without a common protocol", self.id);
        self.subscribed_topics = self.compute_subscribed_topics();
        self.transition_to(now, GroupState::CompletingRebalance);
        for id in self.members.ids() {
            if let Some(caller) = self.members.unpark_join(&id) {
                let response = self.join_response(&id);
                effects.push(Effect::AnswerJoin { caller, response });
            }
            self.touch(now, &id, effects);
            if let Some(member) = self.members.get_mut(&id) {
                member.is_new = false;
            }
            self.pending_sync.insert(id);
        }
        let at = now.elapsed.saturating_add(self.members.rebalance_timeout());
        effects.push(Effect::Schedule { at, timer: Timer::Sync { generation: self.generation } });
    }
}
