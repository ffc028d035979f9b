//! When a replica whose log is damaged may be set aside and fetched anew from its leader.
//!
//! ```text
//!   damaged ──LeaderAndIsr──▶ told ──out of ISR and eligible leaders, in coordination──▶ set aside ──▶ empty follower
//!      ▲                        │
//!      └──────── restart ───────┘   nothing of the decision is kept: it is made anew from what is on the disk
//! ```
//!
//! A damaged log is out of use: its broker answers LeaderAndIsr with KAFKA_STORAGE_ERROR, whatever the role, and fetches
//! nothing. A controller (ours and Kafka's) takes such a replica for offline: it does not lead, and leaves the ISR. Until
//! it has left, an empty log in its place could be elected, and whatever only the damaged log had would be cut from the
//! logs of the others. So the question is when no election can choose the replica any more, and [`verdict`] answers it
//! from three things that are read in this order:
//!
//! 1. what LeaderAndIsr told this process ([`Told`]), which holds the epoch of the controller that said so;
//! 2. the epoch of the newest controller, in coordination;
//! 3. the state of the partition, in coordination.
//!
//! What is there in 3. is committed; what requests tell may be older. If the replica is then neither in the ISR nor among
//! the eligible leaders (KIP-966), no later state has it in either before it was in sync again:
//!
//! - **An election** chooses from the ISR and the eligible leaders of the state before, and those who become eligible were
//!   members. A later change of `min.insync.replicas` makes nobody eligible who was not a member.
//! - **A leader** adds it for what it has fetched. While it is damaged it fetches nothing, and afterwards as the empty log
//!   that it is. What it had fetched before may be in a request that is still under way:
//!   - Damage found at the start: that was an earlier life. The request names that life's broker epoch, and the controller
//!     refuses it once it knows of the new registration. The controller of 1. knows it, since LeaderAndIsr names the
//!     registration that it is for, and had no other change of the partition under way when it told. Any later controller
//!     reads the registrations first. An earlier one cannot write. Therefore the epochs of 1. and 2. have to be the same:
//!     a controller that was deposed and does not know it proves nothing about the one in office.
//!   - Damage found later: the request may be of this very life. It is of a leader epoch that the replica had a role in,
//!     and is refused in every later one. Therefore the leader epoch of 3. has to be later than [`Told::damaged_in`].
//! - **A reassignment** makes only members of the ISR leaders.
//! - **An unclean election**, by setting or by hand, may choose any replica, this one like any other that lags. Whoever
//!   allows it has decided so; the directory that was set aside still has what the damaged log had.
//! - **A topic of the same name** that is made anew has all its replicas in its first ISR; then this replica is in the
//!   ISR in 3., or was, and has left it like any other that is offline.
//!
//! Since the answer stays right, it does not matter how long the set-aside takes, whether the leader changes meanwhile, or
//! whether the process ends in the middle. A restart before it finds the damaged log again; one after it finds an empty
//! log, or none, which is made empty when LeaderAndIsr comes. A replica that is the only member of the ISR is never set
//! aside: nobody else surely has what it had.
//!
//! What is left is Kafka's own hole: a controller of Apache Kafka does not look at broker epochs (KIP-903 is KRaft's), so
//! with one in office a request of a leader that was under way during the whole restart could name the earlier life.

use whimbrel_model::{ControllerEpoch, LeaderEpoch, NodeId};

use crate::controller::election::PartitionState;

/// What the newest LeaderAndIsr said of the damaged replica's partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    pub leader: NodeId,
    pub leader_epoch: LeaderEpoch,
    /// Of the controller that said it.
    pub controller_epoch: ControllerEpoch,
    /// The leader epoch of the role that the replica had when it was found to be damaged; [`LeaderEpoch::NONE`] if that
    /// was at the start, before it had any.
    pub damaged_in: LeaderEpoch,
}

/// What coordination holds. Both are read after the request that [`Told`] is of, the epoch first.
#[derive(Debug, Clone, Copy)]
pub struct Committed<'a> {
    pub controller_epoch: ControllerEpoch,
    pub state: &'a PartitionState,
}

/// What is to be done with a damaged log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No election can choose this replica: its directory may be set aside and an empty log be made.
    SetAside,
    /// It stays as it is.
    Wait(Reason),
}

/// Why a damaged log stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nobody leads whom this replica could follow.
    NoLeader,
    /// The controller has yet to hear that this replica cannot lead.
    OwnLeadership,
    /// Another controller is in office than the one that told the role; it will tell again.
    AnotherController,
    /// Coordination holds another leadership than was told; the next request tells it.
    AnotherLeadership,
    /// It had a role in this leadership: its leader may have asked for it to join the ISR.
    SameLeadership,
    /// It may be elected: it is in the ISR.
    InSync,
    /// It may be elected: it is an eligible leader.
    Eligible,
    /// Its leader is not there to be fetched from.
    LeaderAway,
}

impl Reason {
    /// In words, for the log.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::NoLeader => "the partition has no leader to fetch from",
            Self::OwnLeadership => "the controller has yet to elect another leader",
            Self::AnotherController => "the new controller has yet to tell this broker its role",
            Self::AnotherLeadership => "the newest leader has yet to be told to this broker",
            Self::SameLeadership => "the leadership in which the damage was found has not ended",
            Self::InSync => "the replica is in the ISR: others may lack what it has",
            Self::Eligible => "the replica is an eligible leader: others may lack what it has",
            Self::LeaderAway => "the leader is away",
        }
    }
}

/// Whether the damaged replica on broker `own` may be set aside. See the module's documentation.
#[must_use]
pub fn verdict(own: NodeId, told: Told, committed: Committed<'_>, is_alive: impl Fn(NodeId) -> bool) -> Verdict {
    let Committed { controller_epoch, state } = committed;
    let is_member = || state.has_in_isr(own);
    let is_eligible = || state.eligible_leaders.iter().any(|member| member.broker == own);
    let reason = if told.controller_epoch != controller_epoch {
        Reason::AnotherController
    } else if told.leader != state.leader || told.leader_epoch != state.leader_epoch {
        Reason::AnotherLeadership
    } else if state.leader == own {
        Reason::OwnLeadership
    } else if is_member() {
        Reason::InSync
    } else if is_eligible() {
        Reason::Eligible
    } else if state.leader_epoch <= told.damaged_in {
        Reason::SameLeadership
    } else if state.leader == NodeId::NONE {
        Reason::NoLeader
    } else if !is_alive(state.leader) {
        Reason::LeaderAway
    } else {
        return Verdict::SetAside;
    };
    Verdict::Wait(reason)
}

#[cfg(test)]
mod tests {
    use whimbrel_model::{BrokerEpoch, PartitionEpoch};

    use super::*;
    use crate::controller::control::{IsrMember, LeaderRecoveryState};

    const OWN: NodeId = NodeId(1);

    fn state(leader: i32, isr: &[i32], eligible: &[i32]) -> PartitionState {
        let member = |id: &i32| IsrMember { broker: NodeId(*id), epoch: BrokerEpoch(10) };
        PartitionState {
            leader: NodeId(leader),
            leader_epoch: LeaderEpoch(5),
            isr: isr.iter().map(member).collect(),
            eligible_leaders: eligible.iter().map(member).collect(),
            last_leader: NodeId::NONE,
            recovery_state: LeaderRecoveryState::Recovered,
            controller_epoch: ControllerEpoch(2),
            partition_epoch: PartitionEpoch(7),
        }
    }

    fn told(leader: i32, epoch: i32, controller: i32) -> Told {
        Told {
            leader: NodeId(leader),
            leader_epoch: LeaderEpoch(epoch),
            controller_epoch: ControllerEpoch(controller),
            damaged_in: LeaderEpoch::NONE,
        }
    }

    /// With broker 3 away, and controller 3 in office.
    fn judge(told: Told, state: &PartitionState) -> Verdict {
        let committed = Committed { controller_epoch: ControllerEpoch(3), state };
        verdict(OWN, told, committed, |node| node != NodeId(3))
    }

    #[test]
    fn whoever_no_election_can_choose_is_set_aside() {
        assert_eq!(judge(told(2, 5, 3), &state(2, &[2], &[])), Verdict::SetAside);
        assert_eq!(judge(told(2, 5, 3), &state(2, &[2, 3], &[])), Verdict::SetAside);
        assert_eq!(judge(told(2, 5, 3), &state(2, &[2], &[3])), Verdict::SetAside);
    }

    #[test]
    fn whoever_may_be_elected_stays_as_it_is() {
        let cases = [
            (state(2, &[1, 2], &[]), Reason::InSync),
            (state(2, &[2], &[1]), Reason::Eligible),
            (state(1, &[1], &[]), Reason::OwnLeadership),
            (state(1, &[1, 2], &[]), Reason::OwnLeadership),
            // The only one that has the records, with nobody to lead.
            (state(-1, &[1], &[]), Reason::InSync),
            (state(-1, &[2], &[1]), Reason::Eligible),
        ];
        for (state, reason) in cases {
            assert_eq!(judge(told(state.leader.0, 5, 3), &state), Verdict::Wait(reason), "{state:?}");
        }
    }

    #[test]
    fn nothing_is_set_aside_without_a_leader_to_fetch_from() {
        assert_eq!(judge(told(-1, 5, 3), &state(-1, &[2], &[])), Verdict::Wait(Reason::NoLeader));
        assert_eq!(judge(told(3, 5, 3), &state(3, &[2, 3], &[])), Verdict::Wait(Reason::LeaderAway));
    }

    #[test]
    fn damage_that_was_found_in_a_role_waits_until_its_leadership_has_ended() {
        let state = state(2, &[2], &[]);
        let found_in = |epoch| Told { damaged_in: LeaderEpoch(epoch), ..told(2, 5, 3) };
        assert_eq!(judge(found_in(5), &state), Verdict::Wait(Reason::SameLeadership));
        assert_eq!(judge(found_in(4), &state), Verdict::SetAside);
    }

    #[test]
    fn what_was_told_counts_only_while_it_is_what_coordination_holds() {
        let state = state(2, &[2], &[]);
        // Told before the present leadership began, by a leadership that is not yet to be seen, of another leader.
        for told in [told(2, 4, 3), told(2, 6, 3), told(3, 5, 3), told(-1, 4, 3)] {
            assert_eq!(judge(told, &state), Verdict::Wait(Reason::AnotherLeadership), "{told:?}");
        }
        // By a controller that was deposed, and by one whose election is not yet to be seen.
        for controller in [2, 4] {
            assert_eq!(judge(told(2, 5, controller), &state), Verdict::Wait(Reason::AnotherController));
        }
    }
}
