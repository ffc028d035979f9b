//! One replica of a partition: who leads it, in which epoch, who is in sync, and how far it is committed.
//!
//! ```text
//!   Unassigned ──assign(leader = self)──▶ Leader(epoch) ──assign(higher epoch, other leader)──▶ Follower(epoch)
//!        └─────assign(leader = other)───▶ Follower(epoch) ──assign(higher epoch, self)─────────▶ Leader(epoch)
//! ```
//!
//! Only an assignment with a higher leader epoch moves the role; a lower or equal one is stale. What a leader knows of
//! its followers and of the in-sync set is in [`leader`], what a follower does with a leader's answer in [`follower`], and
//! when a replica whose log is damaged may be made anew in [`repair`].
//! Source: `kafka.cluster.Partition`, KIP-101, KIP-279, KIP-320, KIP-497, KIP-903.

pub mod follower;
pub mod leader;
mod progress;
pub mod repair;
mod rules;

#[cfg(test)]
mod tests;

use whimbrel_model::{LeaderEpoch, NodeId, Offset, PartitionEpoch};

pub use leader::{Altered, CommittedState, FollowerFetch, Leader, Limits, Proposal, StaleFetch};

/// What the controller decided for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// `NodeId::NONE` while there is no leader.
    pub leader: NodeId,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    pub isr: Vec<NodeId>,
    pub replicas: Vec<NodeId>,
}

/// What an assignment did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assigned {
    /// This replica leads. The caller records `(leader_epoch, log end offset)` in the leader epoch cache before it
    /// serves anything (KAFKA-7415).
    Leader,
    /// Another replica leads, or nobody does.
    Follower,
    /// The leader epoch is not newer than the known one: nothing changed.
    Stale,
}

/// Why a request cannot be served by this replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeadershipError {
    #[error("this replica does not lead; node {leader} does in epoch {leader_epoch}")]
    NotLeader { leader: NodeId, leader_epoch: LeaderEpoch },
    #[error("the client knows epoch {known}, which is older than {leader_epoch}")]
    Fenced { known: LeaderEpoch, leader_epoch: LeaderEpoch },
    #[error("the client knows epoch {known}, which is newer than {leader_epoch}")]
    Unknown { known: LeaderEpoch, leader_epoch: LeaderEpoch },
}

#[derive(Debug)]
enum Role {
    Unassigned,
    Follower { leader: NodeId },
    Leader(Leader),
}

/// The machine of one replica on broker `own`.
#[derive(Debug)]
pub struct Replica {
    own: NodeId,
    role: Role,
    /// -1 until the first assignment.
    leader_epoch: LeaderEpoch,
    replicas: Vec<NodeId>,
}

impl Replica {
    /// A replica that has not been told its role.
    #[must_use]
    pub fn new(own: NodeId) -> Self {
        Self { own, role: Role::Unassigned, leader_epoch: LeaderEpoch::NONE, replicas: Vec::new() }
    }

    /// Takes the controller's decision; `log_end` is where this replica's log ends now, `now_ms` a monotonic time.
    ///
    /// A leader that is elected again in the very next epoch keeps what it knows of its followers: nobody else can have
    /// led in between. After a gap somebody may have, and its followers may have cut their logs for it.
    pub fn assign(&mut self, now_ms: i64, assignment: &Assignment, log_end: Offset) -> Assigned {
        if assignment.leader_epoch <= self.leader_epoch {
            return Assigned::Stale;
        }
        let is_next = assignment.leader_epoch.0 == self.leader_epoch.0.saturating_add(1);
        self.leader_epoch = assignment.leader_epoch;
        self.replicas.clone_from(&assignment.replicas);
        if assignment.leader != self.own {
            self.role = Role::Follower { leader: assignment.leader };
            return Assigned::Follower;
        }
        let before = match std::mem::replace(&mut self.role, Role::Unassigned) {
            Role::Leader(before) if is_next || !rules::holds(rules::Rule::ForgetAfterGap) => Some(before),
            _ => None,
        };
        self.role = Role::Leader(Leader::elected(self.own, now_ms, assignment, log_end, before));
        Assigned::Leader
    }

    /// The epoch in which this replica leads.
    ///
    /// # Errors
    /// It does not lead, or `known`, the epoch that the client knows (KIP-320), is another one.
    pub fn check_leader(&self, known: Option<LeaderEpoch>) -> Result<LeaderEpoch, LeadershipError> {
        self.check_epoch(known)?;
        match &self.role {
            Role::Leader(_) => Ok(self.leader_epoch),
            Role::Follower { .. } | Role::Unassigned => Err(self.not_leader()),
        }
    }

    /// Whether this replica has led since `epoch` without a break, so that what it appended then is still where it was.
    ///
    /// # Errors
    /// It does not lead, or somebody else may have led in between.
    pub fn check_led_since(&self, epoch: LeaderEpoch) -> Result<&Leader, LeadershipError> {
        match &self.role {
            Role::Leader(leader) if leader.led_since() <= epoch => Ok(leader),
            _ => Err(self.not_leader()),
        }
    }

    /// Compares only the epoch, for what a follower may serve too.
    ///
    /// # Errors
    /// `known` is older or newer than the epoch of this replica.
    pub fn check_epoch(&self, known: Option<LeaderEpoch>) -> Result<(), LeadershipError> {
        let leader_epoch = self.leader_epoch;
        if !rules::holds(rules::Rule::EqualEpochs) {
            return Ok(());
        }
        match known {
            Some(known) if known < leader_epoch => Err(LeadershipError::Fenced { known, leader_epoch }),
            Some(known) if known > leader_epoch => Err(LeadershipError::Unknown { known, leader_epoch }),
            _ => Ok(()),
        }
    }

    /// The leader that this replica follows, if it does so in `epoch`: what was fetched in another epoch is not to be
    /// appended.
    #[must_use]
    pub fn followed_in(&self, epoch: LeaderEpoch) -> Option<NodeId> {
        match &self.role {
            Role::Follower { leader } if self.leader_epoch == epoch || !rules::holds(rules::Rule::EqualEpochs) => {
                Some(*leader)
            }
            _ => None,
        }
    }

    fn not_leader(&self) -> LeadershipError {
        LeadershipError::NotLeader { leader: self.leader(), leader_epoch: self.leader_epoch }
    }

    /// What the leader knows; `None` if this replica does not lead.
    #[must_use]
    pub fn lead(&self) -> Option<&Leader> {
        match &self.role {
            Role::Leader(leader) => Some(leader),
            _ => None,
        }
    }

    /// As [`Replica::lead`], to take an event in.
    pub fn lead_mut(&mut self) -> Option<&mut Leader> {
        match &mut self.role {
            Role::Leader(leader) => Some(leader),
            _ => None,
        }
    }

    /// The broker that this replica is on.
    #[must_use]
    pub fn own(&self) -> NodeId {
        self.own
    }

    /// Brokers that hold the partition; the first is the preferred leader.
    #[must_use]
    pub fn replicas(&self) -> &[NodeId] {
        &self.replicas
    }

    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    #[must_use]
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    #[must_use]
    pub fn is_follower(&self) -> bool {
        matches!(self.role, Role::Follower { .. })
    }

    /// The leader as this replica knows it; `NodeId::NONE` if there is none.
    #[must_use]
    pub fn leader(&self) -> NodeId {
        match &self.role {
            Role::Unassigned => NodeId::NONE,
            Role::Follower { leader } => *leader,
            Role::Leader(_) => self.own,
        }
    }
}
