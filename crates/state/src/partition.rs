//! One replica of a partition: who leads it, in which epoch, and how far it is committed.
//!
//! ```text
//!   Unassigned ──assign(leader = self)──▶ Leader(epoch) ──assign(higher epoch, other leader)──▶ Follower(epoch)
//!        └─────assign(leader = other)───▶ Follower(epoch) ──assign(higher epoch, self)─────────▶ Leader(epoch)
//! ```
//!
//! Only an assignment with a higher leader epoch moves the role; a lower or equal one is stale. The high watermark is
//! the smallest log end offset in the in-sync set and never goes back. A member of the set about which nothing is known
//! yet counts as being at offset zero, so that it holds the high watermark and never lets it run ahead.
//! Source: `kafka.cluster.Partition`, KIP-101, KIP-320.

use foldhash::HashMap;
use whimbrel_model::{LeaderEpoch, NodeId, Offset, PartitionEpoch};

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
    Follower {
        leader: NodeId,
    },
    /// Log end offsets of the others, as far as their fetches told.
    Leader {
        log_ends: HashMap<NodeId, Offset>,
    },
}

/// The machine of one replica on broker `own`.
#[derive(Debug)]
pub struct Replica {
    own: NodeId,
    role: Role,
    /// -1 until the first assignment.
    leader_epoch: LeaderEpoch,
    partition_epoch: PartitionEpoch,
    isr: Vec<NodeId>,
    replicas: Vec<NodeId>,
}

impl Replica {
    /// A replica that has not been told its role.
    #[must_use]
    pub fn new(own: NodeId) -> Self {
        Self {
            own,
            role: Role::Unassigned,
            leader_epoch: LeaderEpoch::NONE,
            partition_epoch: PartitionEpoch(-1),
            isr: Vec::new(),
            replicas: Vec::new(),
        }
    }

    /// Takes the controller's decision.
    pub fn assign(&mut self, assignment: &Assignment) -> Assigned {
        if assignment.leader_epoch <= self.leader_epoch {
            return Assigned::Stale;
        }
        self.leader_epoch = assignment.leader_epoch;
        self.partition_epoch = assignment.partition_epoch;
        self.isr.clone_from(&assignment.isr);
        self.replicas.clone_from(&assignment.replicas);
        if assignment.leader == self.own {
            self.role = Role::Leader { log_ends: HashMap::default() };
            Assigned::Leader
        } else {
            self.role = Role::Follower { leader: assignment.leader };
            Assigned::Follower
        }
    }

    /// The epoch in which this replica leads.
    ///
    /// # Errors
    /// It does not lead, or `known`, the epoch that the client knows (KIP-320), is another one.
    pub fn check_leader(&self, known: Option<LeaderEpoch>) -> Result<LeaderEpoch, LeadershipError> {
        self.check_epoch(known)?;
        match &self.role {
            Role::Leader { .. } => Ok(self.leader_epoch),
            Role::Follower { leader } => {
                Err(LeadershipError::NotLeader { leader: *leader, leader_epoch: self.leader_epoch })
            }
            Role::Unassigned => {
                Err(LeadershipError::NotLeader { leader: NodeId::NONE, leader_epoch: self.leader_epoch })
            }
        }
    }

    /// Compares only the epoch, for what a follower may serve too.
    ///
    /// # Errors
    /// `known` is older or newer than the epoch of this replica.
    pub fn check_epoch(&self, known: Option<LeaderEpoch>) -> Result<(), LeadershipError> {
        let leader_epoch = self.leader_epoch;
        match known {
            Some(known) if known < leader_epoch => Err(LeadershipError::Fenced { known, leader_epoch }),
            Some(known) if known > leader_epoch => Err(LeadershipError::Unknown { known, leader_epoch }),
            _ => Ok(()),
        }
    }

    /// This replica's own log counts up to `counted_end`: its end, or what is flushed where each record must be.
    /// Returns the offset up to which the partition is committed; `None` if this replica does not lead.
    #[must_use]
    pub fn committed_end(&self, counted_end: Offset) -> Option<Offset> {
        let Role::Leader { log_ends } = &self.role else { return None };
        let end_of = |member: &NodeId| {
            if *member == self.own { counted_end } else { log_ends.get(member).copied().unwrap_or_default() }
        };
        self.isr.iter().map(end_of).min()
    }

    /// The broker that this replica is on.
    #[must_use]
    pub fn own(&self) -> NodeId {
        self.own
    }

    /// Brokers in the in-sync set.
    #[must_use]
    pub fn isr(&self) -> &[NodeId] {
        &self.isr
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
        matches!(self.role, Role::Leader { .. })
    }

    /// The leader as this replica knows it; `NodeId::NONE` if there is none.
    #[must_use]
    pub fn leader(&self) -> NodeId {
        match &self.role {
            Role::Unassigned => NodeId::NONE,
            Role::Follower { leader } => *leader,
            Role::Leader { .. } => self.own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(leader: i32, epoch: i32, isr: &[i32]) -> Assignment {
        Assignment {
            leader: NodeId(leader),
            leader_epoch: LeaderEpoch(epoch),
            partition_epoch: PartitionEpoch(epoch),
            isr: isr.iter().copied().map(NodeId).collect(),
            replicas: vec![NodeId(1), NodeId(2)],
        }
    }

    #[test]
    fn only_a_higher_epoch_changes_the_role() {
        let mut replica = Replica::new(NodeId(1));
        assert!(replica.check_leader(None).is_err());
        assert_eq!(replica.assign(&assignment(1, 0, &[1])), Assigned::Leader);
        assert_eq!(replica.assign(&assignment(2, 0, &[2])), Assigned::Stale);
        assert_eq!(replica.check_leader(Some(LeaderEpoch(0))), Ok(LeaderEpoch(0)));
        assert_eq!(replica.assign(&assignment(2, 3, &[2])), Assigned::Follower);
        let not_leader = LeadershipError::NotLeader { leader: NodeId(2), leader_epoch: LeaderEpoch(3) };
        assert_eq!(replica.check_leader(None), Err(not_leader));
        assert!(matches!(replica.check_leader(Some(LeaderEpoch(1))), Err(LeadershipError::Fenced { .. })));
        assert!(matches!(replica.check_leader(Some(LeaderEpoch(4))), Err(LeadershipError::Unknown { .. })));
    }

    #[test]
    fn the_leader_alone_commits_at_once_and_an_unknown_member_holds_it_back() {
        let mut replica = Replica::new(NodeId(1));
        assert_eq!(replica.committed_end(Offset(5)), None);
        replica.assign(&assignment(1, 0, &[1]));
        assert_eq!(replica.committed_end(Offset(5)), Some(Offset(5)));
        replica.assign(&assignment(1, 1, &[1, 2]));
        assert_eq!(replica.committed_end(Offset(9)), Some(Offset(0)));
    }
}
