//! One consumer group of the classic protocol (KIP-62, 345, 394, 429, 814), as a state machine.
//!
//! ```text
//!                     a member joins                    all members are in,
//!              ┌──────────────────────────┐             or time is up
//!              │                          ▼
//!            Empty ◀── nobody is left ── PreparingRebalance ──────────▶ CompletingRebalance
//!              │                          ▲          ▲                    │      │
//!   deleted or │     join, leave, expiry, │          │  the same, or the  │      │ the leader's assignment
//!   no offsets │     new subscription     │          └─ write fails ──────┘      │ has been written
//!   are left   ▼                          │                                      ▼
//!            Dead                         └──────────────────────────────────  Stable
//! ```
//!
//! Any state turns to `Dead` when the coordinator loses the group's partition of `__consumer_offsets`.
//!
//! **What is durable and what is not.** Membership during a rebalance, time-outs and parked callers are soft state: a new
//! coordinator starts from the last snapshot in the log, in which a group is either `Empty` or `Stable`. A group becomes
//! `Stable`, and its members learn their assignments, only after the snapshot with these assignments has been written
//! ([`Effect::Store`], then [`Group::stored`]). Offsets become visible only after their records have been written
//! ([`Group::begin_commit`], then [`Group::commit_written`]).
//!
//! **Effects.** Each call appends to a list what the caller has to carry out, in order. A caller that joins or syncs gets
//! exactly one answer, perhaps much later, under the [`CallerId`] it came with.
//!
//! **Timers** are never cancelled. A timer that has been overtaken finds that out when it fires and does nothing; a
//! heartbeat therefore costs two stores.
//!
//! The machine knows no API versions, no record formats and no clock. Source: `GroupCoordinator.scala`,
//! `GroupMetadata.scala` and `GroupMetadataManager.scala` of Kafka 3.9, whose order of checks is kept.

mod describe;
mod join;
mod member;
mod membership;
mod messages;
mod offsets;
mod rebalance;
mod static_member;
mod subscription;
mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};

pub use describe::{GroupDescription, GroupOverview, MemberDescription};
pub use member::Protocol;
use member::{Member, Members};
pub use messages::{
    CallerId, Effect, GroupSnapshot, JoinRequest, JoinResponse, JoinedMember, LeavingMember, MemberSnapshot, Now,
    Settings, StoreTicket, SyncRequest, SyncResponse, Timer,
};
use offsets::Offsets;
pub use offsets::{CommitRequest, CommittedOffset, OffsetLookup, TopicOffsets};

/// Kafka's name for the protocol type of consumers; only their subscriptions can be read by the coordinator.
pub const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Where a group is in its life. Its names, as DescribeGroups and ListGroups show them, are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GroupState {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
    Dead,
}

impl GroupState {
    /// Kafka's spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }

    const fn may_follow(self, previous: Self) -> bool {
        match self {
            Self::PreparingRebalance => matches!(previous, Self::Stable | Self::CompletingRebalance | Self::Empty),
            Self::CompletingRebalance | Self::Empty => matches!(previous, Self::PreparingRebalance),
            Self::Stable => matches!(previous, Self::CompletingRebalance),
            Self::Dead => true,
        }
    }
}

/// One group: its members, its generation and its committed offsets.
#[derive(Debug)]
pub struct Group {
    id: Arc<str>,
    state: GroupState,
    /// When the state last changed; `None` if the log did not say (value versions 0 and 1 of Kafka before 2.1).
    state_timestamp_ms: Option<i64>,
    /// Grows by one with each completed rebalance, also with the one that finds the group empty.
    generation: i32,
    /// `None` while nobody has ever joined: the group only stores offsets.
    protocol_type: Option<Arc<str>>,
    /// The protocol chosen for this generation; `None` unless the group has members that completed a rebalance.
    protocol_name: Option<Arc<str>>,
    /// Always one of `members`; `None` exactly while there are none.
    leader: Option<Arc<str>>,
    members: Members,
    /// Instance id to member id, for each static member in `members`.
    static_members: BTreeMap<Arc<str>, Arc<str>>,
    /// Ids handed out with MEMBER_ID_REQUIRED that have not come back yet (KIP-394), with their expiry.
    pending_members: HashMap<Arc<str>, Duration>,
    /// Members of this generation that have not sent SyncGroup yet.
    pending_sync: BTreeSet<Arc<str>>,
    /// `Some` exactly in `PreparingRebalance`.
    join_wait: Option<rebalance::JoinWait>,
    /// Numbers the join waits, so that the timer of an earlier one is told apart.
    join_wait_serial: u64,
    /// A new member came during the initial delay of a group's first generation: wait once more.
    new_member_added: bool,
    /// The assignment of this generation is on its way to the log.
    is_storing_assignment: bool,
    /// Topics that the members of a consumer group subscribe to; `None` if that cannot be known.
    subscribed_topics: Option<BTreeSet<String>>,
    offsets: Offsets,
}

impl Group {
    /// A group that nobody has joined.
    #[must_use]
    pub fn new(id: Arc<str>, now: Now) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            state_timestamp_ms: Some(now.wall_ms),
            generation: 0,
            protocol_type: None,
            protocol_name: None,
            leader: None,
            members: Members::default(),
            static_members: BTreeMap::new(),
            pending_members: HashMap::new(),
            pending_sync: BTreeSet::new(),
            join_wait: None,
            join_wait_serial: 0,
            new_member_added: false,
            is_storing_assignment: false,
            subscribed_topics: None,
            offsets: Offsets::default(),
        }
    }

    /// The group as the log has it. Call [`resume`](Self::resume) once all its records have been read.
    #[must_use]
    pub fn restore(id: Arc<str>, snapshot: GroupSnapshot, now: Now) -> Self {
        let mut group = Self::new(id, now);
        group.load_snapshot(snapshot);
        group
    }

    /// Takes over membership from a snapshot read from the log, keeping the offsets.
    pub fn load_snapshot(&mut self, snapshot: GroupSnapshot) {
        self.members = Members::default();
        self.static_members.clear();
        self.state = if snapshot.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
        self.state_timestamp_ms = snapshot.state_timestamp_ms;
        self.generation = snapshot.generation;
        self.leader = None;
        for member in snapshot.members {
            let protocol = snapshot.protocol_name.clone().unwrap_or_else(|| Arc::from(""));
            self.add_member(Member::restore(member, protocol));
        }
        self.protocol_type = snapshot.protocol_type.filter(|name| !name.is_empty());
        self.protocol_name = snapshot.protocol_name;
        // A snapshot names a leader that is one of its members; anything else would break every later rebalance.
        if let Some(leader) = snapshot.leader.filter(|id| self.members.contains(id)) {
            self.leader = Some(leader);
        }
        self.subscribed_topics = self.compute_subscribed_topics();
    }

    /// Starts the time-outs of a group that has just been loaded, and a rebalance if it has too many members.
    pub fn resume(&mut self, now: Now, settings: &Settings, effects: &mut Vec<Effect>) {
        if self.state == GroupState::Dead {
            return;
        }
        if self.members.len() > settings.group_size_max {
            self.prepare_rebalance(now, settings, effects);
        }
        for id in self.members.ids() {
            self.touch(now, &id, effects);
        }
    }

    /// The coordinator no longer owns the group: everybody who waits is sent to find the new one.
    pub fn unload(&mut self, effects: &mut Vec<Effect>) {
        self.state = GroupState::Dead;
        self.join_wait = None;
        let error = whimbrel_model::ErrorCode::NotCoordinator;
        for member in self.members.iter_mut() {
            let id = member.id.clone();
            if let Some(caller) = member.awaiting_join.take() {
                effects.push(Effect::AnswerJoin { caller, response: JoinResponse::failed(id, error) });
            }
            if let Some(caller) = member.awaiting_sync.take() {
                effects.push(Effect::AnswerSync { caller, response: SyncResponse::failed(error) });
            }
        }
        self.members.recount();
    }

    /// The group is gone from the log: every later request, on a handle taken before, must look it up again.
    ///
    /// Only an `Empty` group may be deleted; see [`is_deletable`](Self::is_deletable).
    pub fn mark_deleted(&mut self) {
        assert!(self.state == GroupState::Empty, "group {} is deleted in state {:?}", self.id, self.state);
        self.state = GroupState::Dead;
    }

    /// The group id.
    #[must_use]
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Where the group is in its life.
    #[must_use]
    pub fn state(&self) -> GroupState {
        self.state
    }

    /// The current generation; 0 before the first rebalance.
    #[must_use]
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// The number of members, without those that still have to come back with their new id.
    #[must_use]
    pub fn member_count(&self) -> usize {
        self.members.len()
    }

    /// True for an `Empty` group: nobody would notice its deletion but the offsets.
    #[must_use]
    pub fn is_deletable(&self) -> bool {
        self.state == GroupState::Empty
    }

    /// True for an `Empty` group that has no offsets, committed or on their way, and for which nobody is on the way back
    /// with a new member id: the expiry job removes it.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.state == GroupState::Empty && self.offsets.is_empty() && self.pending_members.is_empty()
    }

    /// A timer that the machine asked for is due.
    pub fn on_timer(&mut self, now: Now, timer: &Timer, settings: &Settings, effects: &mut Vec<Effect>) {
        if self.state == GroupState::Dead {
            return;
        }
        match timer {
            Timer::Session { member_id, at } => self.on_session_timer(now, member_id, *at, settings, effects),
            Timer::PendingMember { member_id, at } => {
                if self.pending_members.get(member_id) == Some(at) {
                    self.pending_members.remove(member_id);
                    self.try_complete_join(now, settings, effects);
                }
            }
            Timer::Join { serial } => self.on_join_timer(now, *serial, settings, effects),
            Timer::Sync { generation } => self.on_sync_timer(now, *generation, settings, effects),
        }
    }

    /// The outcome of an [`Effect::Store`]. `error` is the protocol code that members are to see.
    pub fn stored(
        &mut self,
        now: Now,
        ticket: StoreTicket,
        outcome: Result<(), whimbrel_model::ErrorCode>,
        settings: &Settings,
        effects: &mut Vec<Effect>,
    ) {
        match ticket {
            // An empty generation that is not in the log does no harm: the one before it comes back after a fail-over
            // and its members time out.
            StoreTicket::Emptied => {}
            StoreTicket::Assignment { generation, assignments } => {
                self.assignment_stored(now, generation, assignments, outcome, settings, effects);
            }
            StoreTicket::StaticMember(replacement) => {
                self.static_member_stored(now, *replacement, outcome, effects);
            }
        }
    }

    fn transition_to(&mut self, now: Now, next: GroupState) {
        let previous = self.state;
        assert!(next.may_follow(previous), "group {}: {next:?} may not follow {previous:?}", self.id);
        self.state = next;
        self.state_timestamp_ms = Some(now.wall_ms);
    }

    fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    /// What the log should hold. `assignment` gives each member's part.
    fn snapshot(&self, assignment: impl Fn(&Member) -> bytes::Bytes) -> GroupSnapshot {
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        GroupSnapshot {
            protocol_type: self.protocol_type.clone(),
            generation: self.generation,
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone(),
            state_timestamp_ms: self.state_timestamp_ms,
            members: self.members.iter().map(|m| m.snapshot(protocol, assignment(m))).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
