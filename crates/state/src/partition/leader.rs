//! What a leader knows: how far each follower is, who is in sync, and what the controller has yet to agree to.
//!
//! ```text
//!                   ┌── follower caught up ──▶ Pending (add one)    ──┐
//!   Committed(ISR) ─┤                                                 ├── committed ─▶ Committed(new ISR)
//!        ▲          └── follower lags ───────▶ Pending (remove some) ─┤
//!        └──────────── the controller says it was not done ───────────┘
//! ```
//!
//! The *maximal* in-sync set is the committed one and whoever is being added; those being removed still belong to it.
//! The high watermark is the smallest log end in the maximal set, so that whichever of the two sets the controller
//! holds, each member has what is committed (KIP-497). It stands still while the committed set is smaller than
//! `min.insync.replicas` (KIP-966). A member of the set is one incarnation of a broker: one that returns with another
//! broker epoch may have lost its disk, and leaves the set until it has caught up (KIP-903).
//! Source: `kafka.cluster.Partition`, `kafka.cluster.Replica`.

use std::collections::BTreeMap;

use whimbrel_model::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, PartitionEpoch};

use super::Assignment;
use super::progress::{ANY_EPOCH, Progress, UNKNOWN};
use super::rules::{self, Rule};

/// One fetch of a follower that was found to be a prefix of the leader's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerFetch {
    pub follower: NodeId,
    /// Of the follower's registration; -1 from brokers that do not say.
    pub incarnation: BrokerEpoch,
    /// Everything below it is in the follower's log.
    pub offset: Offset,
    pub log_start: Offset,
    /// The leader's log end before the fetch was served.
    pub leader_end: Offset,
}

/// What holds around the machine when an event comes.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// Monotonic milliseconds.
    pub now_ms: i64,
    /// `replica.lag.time.max.ms`.
    pub lag_max_ms: i64,
    /// `min.insync.replicas`; a topic with fewer replicas is held to what it has (KAFKA-15583).
    pub min_isr: usize,
    /// Whether a broker may be in the in-sync set: it is alive as far as this broker knows.
    pub is_eligible: &'a dyn Fn(NodeId) -> bool,
}

/// The fetch is of an earlier incarnation of its broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the fetch is of an earlier incarnation of broker {follower}")]
pub struct StaleFetch {
    pub follower: NodeId,
}

/// A change of the in-sync set that the controller is asked for (AlterPartition).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Names this change; its answer is taken only while the change is still pending.
    pub ticket: u64,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    /// The whole set, with the incarnation of each member; -1 where it is not known.
    pub isr: Vec<(NodeId, BrokerEpoch)>,
}

/// The state of the partition as the controller answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedState {
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    pub isr: Vec<NodeId>,
}

/// What an answer to a [`Proposal`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Altered {
    /// The new set is in force: the high watermark may move.
    Committed,
    /// It was not done, and the old set is in force again.
    Reverted,
    /// Whether it was done is not known here: the change stays pending until the controller tells the state.
    Waiting,
    /// It has to be asked again, after a pause.
    Again(Proposal),
    /// The answer is late or stale: nothing changed.
    Ignored,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Add(NodeId),
    Remove(Vec<NodeId>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pending {
    ticket: u64,
    change: Change,
    proposed: Vec<NodeId>,
}

/// The leader's side of a partition, in one leader epoch.
#[derive(Debug)]
pub struct Leader {
    own: NodeId,
    leader_epoch: LeaderEpoch,
    /// Led without a break since this epoch.
    led_since: LeaderEpoch,
    /// Where this replica's log ended when the epoch began.
    epoch_start: Offset,
    partition_epoch: PartitionEpoch,
    /// What the controller holds, as far as this leader knows; contains `own`.
    isr: Vec<NodeId>,
    /// The incarnation of each member, from its first fetch as a member; a later one is not the member any more.
    members: BTreeMap<NodeId, BrokerEpoch>,
    pending: Option<Pending>,
    /// How many were made in this epoch.
    proposals: u32,
    /// All assigned replicas but `own`.
    followers: BTreeMap<NodeId, Progress>,
}

impl Leader {
    /// `before` is the same replica as leader of the epoch just before, if it was.
    pub(super) fn elected(
        own: NodeId,
        now_ms: i64,
        assignment: &Assignment,
        log_end: Offset,
        before: Option<Self>,
    ) -> Self {
        let led_since = before.as_ref().map_or(assignment.leader_epoch, |before| before.led_since);
        let members = before.as_ref().map(|before| before.members.clone()).unwrap_or_default();
        let members = members.into_iter().filter(|(node, _)| assignment.isr.contains(node)).collect();
        let known = before.map(|before| before.followers).unwrap_or_default();
        let follower = |node: &NodeId| {
            let is_member = assignment.isr.contains(node);
            // A member counts as caught up from now on, so that it gets its time to come.
            let caught_up_ms = is_member.then_some(now_ms);
            let progress = known.get(node).map_or(Progress::unknown(caught_up_ms), |known| Progress {
                leader_end_then: log_end,
                fetched_ms: is_member.then_some(now_ms),
                caught_up_ms,
                ..*known
            });
            (*node, progress)
        };
        Self {
            own,
            leader_epoch: assignment.leader_epoch,
            led_since,
            epoch_start: log_end,
            partition_epoch: assignment.partition_epoch,
            isr: assignment.isr.clone(),
            members,
            pending: None,
            proposals: 0,
            followers: assignment.replicas.iter().filter(|node| **node != own).map(follower).collect(),
        }
    }

    /// Takes a follower's fetch in. Returns a change of the in-sync set to ask the controller for, if it is due.
    ///
    /// `high_watermark` is that of the leader. The caller moves it afterwards with [`Leader::high_watermark`].
    ///
    /// # Errors
    /// The fetch is of an earlier incarnation of its broker and does not count.
    pub fn fetched(
        &mut self,
        limits: &Limits<'_>,
        fetch: &FollowerFetch,
        high_watermark: Offset,
    ) -> Result<Option<Proposal>, StaleFetch> {
        let Some(progress) = self.followers.get_mut(&fetch.follower) else {
            return Err(StaleFetch { follower: fetch.follower });
        };
        if rules::holds(Rule::Incarnation) && fetch.incarnation != ANY_EPOCH {
            if fetch.incarnation < progress.incarnation {
                return Err(StaleFetch { follower: fetch.follower });
            }
            if progress.incarnation < fetch.incarnation && progress.incarnation != ANY_EPOCH {
                // What the broker had in its earlier life does not count for this one.
                *progress = Progress::unknown(None);
            }
        }
        progress.fetched(limits.now_ms, fetch);
        let may_join = progress.may_join(limits.now_ms) && (limits.is_eligible)(fetch.follower);
        if self.isr.contains(&fetch.follower) {
            self.members.entry(fetch.follower).or_insert(fetch.incarnation);
            if self.has_returned(fetch.follower) {
                return Ok(self.propose_removal(vec![fetch.follower]));
            }
            return Ok(None);
        }
        let is_in_sync = high_watermark <= fetch.offset && self.epoch_start <= fetch.offset;
        let joins = self.pending.is_none() && is_in_sync && may_join;
        Ok(joins.then(|| {
            let proposed = self.isr.iter().copied().chain([fetch.follower]).collect();
            self.propose(Change::Add(fetch.follower), proposed)
        }))
    }

    /// Looks for members that have not caught up for too long (`replica.lag.time.max.ms`), to be called at half of that
    /// time. Returns the smaller set to ask the controller for.
    pub fn look_for_laggards(&mut self, limits: &Limits<'_>, leader_end: Offset) -> Option<Proposal> {
        if self.pending.is_some() {
            return None;
        }
        let lags = |node: &&NodeId| {
            **node != self.own
                && (self.has_returned(**node)
                    || self.followers.get(*node).is_none_or(|progress| !progress.is_caught_up(leader_end, limits)))
        };
        let laggards: Vec<NodeId> = self.isr.iter().filter(lags).copied().collect();
        if laggards.is_empty() { None } else { self.propose_removal(laggards) }
    }

    /// The member's broker registered again since it joined: what the set knows is another incarnation.
    fn has_returned(&self, node: NodeId) -> bool {
        let (Some(member), Some(progress)) = (self.members.get(&node), self.followers.get(&node)) else {
            return false;
        };
        rules::holds(Rule::Incarnation) && *member != ANY_EPOCH && *member < progress.incarnation
    }

    fn propose_removal(&mut self, removed: Vec<NodeId>) -> Option<Proposal> {
        if self.pending.is_some() {
            return None;
        }
        let proposed: Vec<NodeId> = self.isr.iter().filter(|node| !removed.contains(node)).copied().collect();
        let proposal = self.propose(Change::Remove(removed), proposed);
        if !rules::holds(Rule::PendingShrink) {
            self.isr = self.pending.take().map(|pending| pending.proposed).unwrap_or_default();
        }
        Some(proposal)
    }

    fn propose(&mut self, change: Change, proposed: Vec<NodeId>) -> Proposal {
        // Names the epoch too: an answer to a proposal of an earlier leadership is not taken for one of this.
        let ticket = u64::from(self.leader_epoch.0.unsigned_abs()) << 32 | u64::from(self.proposals);
        self.proposals = self.proposals.wrapping_add(1);
        let pending = Pending { ticket, change, proposed };
        let proposal = self.proposal(&pending);
        self.pending = Some(pending);
        proposal
    }

    fn proposal(&self, pending: &Pending) -> Proposal {
        let with_incarnation = |node: &NodeId| {
            let joined = self.members.get(node).copied();
            let fetched = || self.followers.get(node).map(|progress| progress.incarnation);
            (*node, joined.or_else(fetched).unwrap_or(ANY_EPOCH))
        };
        Proposal {
            ticket: pending.ticket,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            isr: pending.proposed.iter().map(with_incarnation).collect(),
        }
    }

    /// Takes the controller's answer to the proposal with this ticket.
    pub fn altered(&mut self, ticket: u64, outcome: Result<&CommittedState, ErrorCode>) -> Altered {
        let Some(pending) = &self.pending else { return Altered::Ignored };
        if pending.ticket != ticket && rules::holds(Rule::OwnAnswer) {
            return Altered::Ignored;
        }
        match outcome {
            Ok(state) if state.leader_epoch != self.leader_epoch || state.partition_epoch < self.partition_epoch => {
                Altered::Ignored
            }
            Ok(state) => {
                self.commit(state);
                Altered::Committed
            }
            // Only these two say that it was not done and never will be.
            Err(error @ (ErrorCode::OperationNotAttempted | ErrorCode::IneligibleReplica)) => {
                if let Some(Pending { change: Change::Add(added), .. }) = self.pending.take()
                    && error == ErrorCode::IneligibleReplica
                    && let Some(progress) = self.followers.get_mut(&added)
                {
                    progress.is_refused = true;
                }
                Altered::Reverted
            }
            Err(
                ErrorCode::UnknownTopicOrPartition
                | ErrorCode::UnknownTopicId
                | ErrorCode::FencedLeaderEpoch
                | ErrorCode::InvalidUpdateVersion
                | ErrorCode::InvalidRequest
                | ErrorCode::NewLeaderElected,
            ) => Altered::Waiting,
            Err(_) => Altered::Again(self.proposal(pending)),
        }
    }

    fn commit(&mut self, state: &CommittedState) {
        if let Some(Pending { change: Change::Add(added), .. }) = self.pending.take()
            && let Some(progress) = self.followers.get(&added)
        {
            self.members.insert(added, progress.incarnation);
        }
        self.isr.clone_from(&state.isr);
        self.members.retain(|node, _| state.isr.contains(node));
        self.partition_epoch = state.partition_epoch;
    }

    /// Up to where everything is committed; `None` while nothing more may be. This replica's own log counts up to
    /// `own_end`: its end, or what is flushed where each record must be. The caller never lets it go back.
    #[must_use]
    pub fn high_watermark(&self, limits: &Limits<'_>, own_end: Offset) -> Option<Offset> {
        if self.is_under_min_isr(limits.min_isr) && rules::holds(Rule::MinIsr) {
            return None;
        }
        let mut committed = own_end;
        for (node, progress) in &self.followers {
            // A follower that keeps up is waited for although it has not joined yet: a leader alone in the set would
            // otherwise always be ahead of it.
            let counts = || {
                self.is_in_maximal_isr(*node)
                    || (progress.is_caught_up(own_end, limits)
                        && progress.may_join(limits.now_ms)
                        && (limits.is_eligible)(*node))
            };
            if progress.log_end < committed && counts() {
                committed = progress.log_end;
            }
        }
        Some(committed)
    }

    fn is_in_maximal_isr(&self, node: NodeId) -> bool {
        let is_added = matches!(&self.pending, Some(Pending { change: Change::Add(added), .. }) if *added == node);
        self.isr.contains(&node) || (is_added && rules::holds(Rule::MaximalIsr))
    }

    /// Whether fewer are in sync than `min.insync.replicas` asks for.
    #[must_use]
    pub fn is_under_min_isr(&self, min_isr: usize) -> bool {
        self.isr.len() < self.required(min_isr)
    }

    /// `min.insync.replicas`, at most the number of replicas.
    #[must_use]
    pub fn required(&self, min_isr: usize) -> usize {
        min_isr.min(self.followers.len() + 1)
    }

    /// Brokers in the in-sync set that the controller holds.
    #[must_use]
    pub fn isr(&self) -> &[NodeId] {
        &self.isr
    }

    /// Members of the in-sync set and whoever is being added to it.
    #[must_use]
    pub fn maximal_isr_size(&self) -> usize {
        let added = matches!(&self.pending, Some(Pending { change: Change::Add(_), .. }));
        self.isr.len() + usize::from(added)
    }

    /// Whether the controller has yet to answer.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    #[must_use]
    pub fn partition_epoch(&self) -> PartitionEpoch {
        self.partition_epoch
    }

    /// Where the log ended when this leader's epoch began.
    #[must_use]
    pub fn epoch_start(&self) -> Offset {
        self.epoch_start
    }

    /// The epoch since which this replica has led without a break.
    #[must_use]
    pub fn led_since(&self) -> LeaderEpoch {
        self.led_since
    }

    /// Whether this replica has no follower.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.followers.is_empty()
    }

    /// Where a follower's log begins and ends, as its last fetch told; `None` if it has not fetched.
    #[must_use]
    pub fn progress(&self, node: NodeId) -> Option<(Offset, Offset)> {
        self.followers.get(&node).filter(|it| it.log_end != UNKNOWN).map(|it| (it.log_start, it.log_end))
    }

    /// Followers with their log ends (-1 if unknown) and when they last were caught up.
    pub fn followers(&self) -> impl Iterator<Item = (NodeId, Offset, Option<i64>)> {
        self.followers.iter().map(|(node, it)| (*node, it.log_end, it.caught_up_ms))
    }

    /// The smallest log start offset of this replica and of its followers that are alive: what is below it is deleted
    /// everywhere (DeleteRecords).
    #[must_use]
    pub fn low_watermark(&self, own_start: Offset, is_alive: impl Fn(NodeId) -> bool) -> Offset {
        let alive = self.followers.iter().filter(|(node, _)| is_alive(**node));
        alive.map(|(_, progress)| progress.log_start).fold(own_start, Offset::min)
    }
}

impl std::fmt::Debug for Limits<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").field("now_ms", &self.now_ms).field("min_isr", &self.min_isr).finish_non_exhaustive()
    }
}
