//! What a partition's state has to become, given who is alive. Pure functions, no state of their own.
//!
//! [`next_state`] covers Kafka's `NewPartition → OnlinePartition`, its offline, unclean and controlled-shutdown elections
//! and the ISR shrink of `OfflineReplica`: several brokers lost at once cost one write per partition, not one per broker.
//!
//! # Who may lead
//!
//! A member of an ISR is an incarnation: a broker and the epoch of its registration (KIP-903). A broker that comes back
//! has another epoch, and whether it still has what it had is a question of proof:
//!
//! | what happened to the broker | what is lost of its logs | proof in its registration |
//! |---|---|---|
//! | session expired, process lives | nothing, roles and memory included | `running_since` reaches back |
//! | clean stop | nothing | `intact_since` reaches back |
//! | `kill -9`, panic, out of memory | nothing that was appended: the page cache survives the process | `intact_since` reaches back |
//! | power loss, crash of the machine | what was not flushed | none |
//! | a disk was replaced | everything on it | none |
//! | a broker that proves nothing (Apache Kafka) | unknown | none |
//!
//! A member whose broker is alive and proves that nothing was lost since the recorded epoch *holds* what it had. Leaders
//! are chosen in this order; the first rule that finds somebody decides:
//!
//! 1. a member of the ISR that holds, in assignment order;
//! 2. an eligible leader (KIP-966) that holds, in assignment order;
//! 3. if a member of the ISR or an eligible leader is away, nobody: it may come back with everything;
//! 4. the last leader, or else a member of the ISR, or else an eligible leader: all of them are back, and each has lost
//!    something or cannot prove that it has not. Nobody has more, so waiting would be in vain (KIP-966's last known
//!    leader). The leader is marked as recovering, because acknowledged records may be gone.
//!
//! With `unclean.leader.election.enable` rule 3 gives way to any live replica, members of the ISR first.
//!
//! So `kill -9` of all brokers needs no operator: whoever returns first with the proof leads, whichever incarnation it
//! is. After a power loss of all machines the partition waits for all members, and then goes on with the last leader. A
//! single member of an ISR is electable after `kill -9` by rule 1 and after a power loss by rule 4. An eligible leader
//! that lost its tail never leads before one that did not: rule 2 refuses it and rule 3 waits.
//!
//! # Eligible leaders
//!
//! While the ISR is smaller than `min.insync.replicas` (or the number of replicas, if that is smaller) the leader does
//! not move its high watermark, so whoever was a member when the ISR fell below that size has every committed record.
//! These are kept beside the ISR until it is large enough again. A replica on a failed directory is not kept.
//!
//! Where an epoch is not known (-1, a state that a controller without these rules wrote) Kafka's own rules hold: a
//! member of the ISR may lead.

use whimbrel_model::{BrokerEpoch, ControllerEpoch, LeaderEpoch, NodeId, PartitionEpoch};

use super::control::{IsrMember, LeaderRecoveryState};
use super::rules::{self, Rule};

/// The committed state of a partition: what its state node in coordination holds, and the node's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// [`NodeId::NONE`] when there is none.
    pub leader: NodeId,
    /// Grows by one with each change that a broker must act on.
    pub leader_epoch: LeaderEpoch,
    /// Never empty: the last member stays when it dies, since only it surely holds every committed record.
    pub isr: Vec<IsrMember>,
    /// Not in the ISR, but sure to have every committed record (KIP-966). Empty while the ISR is large enough.
    pub eligible_leaders: Vec<IsrMember>,
    /// Who led last, while nobody leads; [`NodeId::NONE`] otherwise.
    pub last_leader: NodeId,
    pub recovery_state: LeaderRecoveryState,
    /// The controller that wrote this state.
    pub controller_epoch: ControllerEpoch,
    /// The version of the state node. In a state that is yet to be written it is the version that the write expects;
    /// the node must then have exactly this version, or the write is refused.
    pub partition_epoch: PartitionEpoch,
}

impl PartitionState {
    /// The brokers in the ISR.
    #[must_use]
    pub fn isr_brokers(&self) -> Vec<NodeId> {
        self.isr.iter().map(|member| member.broker).collect()
    }

    /// Whether a broker is in the ISR, whatever its incarnation.
    #[must_use]
    pub fn has_in_isr(&self, broker: NodeId) -> bool {
        self.isr.iter().any(|member| member.broker == broker)
    }

    fn members(&self) -> impl Iterator<Item = &IsrMember> {
        self.isr.iter().chain(&self.eligible_leaders)
    }

    /// The same state in the next leader epoch, so that its leader learns of another assignment.
    #[must_use]
    pub fn repeated(&self, circumstances: &Circumstances<'_>) -> Self {
        let assigned: Vec<IsrMember> =
            self.isr.iter().filter(|member| circumstances.replicas.contains(&member.broker)).copied().collect();
        let isr = if assigned.is_empty() { self.isr.clone() } else { assigned };
        let eligible_leaders = circumstances.eligible_leaders(self, &isr);
        let state = self.succeed(self.leader, isr, circumstances.controller_epoch);
        Self { eligible_leaders, last_leader: self.last_leader, ..state }
    }

    /// The next state of the same partition, with the same recovery state, in the next leader epoch.
    fn succeed(&self, leader: NodeId, isr: Vec<IsrMember>, epoch: ControllerEpoch) -> Self {
        Self {
            leader,
            leader_epoch: LeaderEpoch(self.leader_epoch.0 + 1),
            isr,
            eligible_leaders: Vec::new(),
            last_leader: NodeId::NONE,
            recovery_state: self.recovery_state,
            controller_epoch: epoch,
            partition_epoch: self.partition_epoch,
        }
    }
}

/// Whether the broker of a replica can serve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Online,
    /// Registered, but gives no sign of life.
    Suspected,
    /// Registered and about to stop: it keeps what it leads if nobody else can, and gets nothing new.
    ShuttingDown,
    /// Registered, but the replica's log directory has failed.
    DirectoryFailed,
    Offline,
}

/// A replica's broker, as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub presence: Presence,
    /// The epoch of its registration; -1 while it has none.
    pub epoch: BrokerEpoch,
    /// Of what any incarnation from this one on had appended, nothing is lost.
    pub intact_since: BrokerEpoch,
    /// From this incarnation on it has been the same process.
    pub running_since: BrokerEpoch,
}

impl Standing {
    /// Whether it is alive and has what that incarnation had.
    fn holds(&self, member: &IsrMember) -> bool {
        self.presence == Presence::Online && self.has_log_of(member)
    }

    fn has_log_of(&self, member: &IsrMember) -> bool {
        !rules::holds(Rule::Proof) || member.epoch == BrokerEpoch::NONE || self.intact_since <= member.epoch
    }

    /// Whether its roles from the time of that incarnation are still in force.
    fn is_same_process(&self, member: &IsrMember) -> bool {
        member.epoch == BrokerEpoch::NONE || self.running_since <= member.epoch
    }

    /// The member as it is now, if it is there at all.
    fn current(&self, member: &IsrMember) -> IsrMember {
        let epoch = if self.epoch == BrokerEpoch::NONE { member.epoch } else { self.epoch };
        IsrMember { broker: member.broker, epoch }
    }

    /// Whether a request that names this incarnation as an ISR member means the broker as it is now.
    #[must_use]
    pub fn may_join(&self, epoch: BrokerEpoch) -> bool {
        let is_this = epoch == BrokerEpoch::NONE || (self.running_since <= epoch && epoch <= self.epoch);
        (self.presence == Presence::Online || !rules::holds(Rule::JoinAlive))
            && (is_this || !rules::holds(Rule::Incarnation))
    }
}

/// All that a decision about one partition depends on, besides its state.
pub struct Circumstances<'a> {
    /// The assigned replicas, the preferred leader first.
    pub replicas: &'a [NodeId],
    pub standing: &'a dyn Fn(NodeId) -> Standing,
    /// Whether a replica may lead that may lack committed records.
    pub unclean: bool,
    /// The topic's `min.insync.replicas`.
    pub min_insync_replicas: usize,
    /// The deciding controller's.
    pub controller_epoch: ControllerEpoch,
}

impl Circumstances<'_> {
    /// Whether a member is assigned, alive, and has what it had.
    fn holds(&self, member: &IsrMember) -> bool {
        self.replicas.contains(&member.broker) && (self.standing)(member.broker).holds(member)
    }

    fn is_online(&self, replica: NodeId) -> bool {
        (self.standing)(replica).presence == Presence::Online
    }

    fn current(&self, member: &IsrMember) -> IsrMember {
        (self.standing)(member.broker).current(member)
    }

    /// Below this size of the ISR nothing is committed.
    fn isr_min(&self) -> usize {
        self.min_insync_replicas.min(self.replicas.len()).max(1)
    }

    /// Who stays eligible when the ISR of `current` becomes `isr`.
    #[must_use]
    pub fn eligible_leaders(&self, current: &PartitionState, isr: &[IsrMember]) -> Vec<IsrMember> {
        let is_large_enough = self.isr_min() <= isr.len() && rules::holds(Rule::ForgetEligible);
        if is_large_enough || !rules::holds(Rule::EligibleLeaders) {
            return Vec::new();
        }
        let may_return = |member: &&IsrMember| {
            let standing = (self.standing)(member.broker);
            match standing.presence {
                Presence::Offline => true,
                Presence::DirectoryFailed => false,
                Presence::Online | Presence::Suspected | Presence::ShuttingDown => standing.has_log_of(member),
            }
        };
        let left = current.members().filter(|member| isr.iter().all(|stays| stays.broker != member.broker));
        left.filter(|member| self.replicas.contains(&member.broker)).filter(may_return).copied().collect()
    }

    /// The first of these members, in assignment order.
    fn first_of(&self, members: &[IsrMember]) -> Option<IsrMember> {
        self.replicas.iter().find_map(|&replica| members.iter().find(|member| member.broker == replica)).copied()
    }
}

/// The first state of a partition: the first live replica leads, all live ones are in sync. `None` while none lives.
#[must_use]
pub fn first_state(circumstances: &Circumstances<'_>) -> Option<PartitionState> {
    let live = circumstances.replicas.iter().map(|&replica| (replica, (circumstances.standing)(replica)));
    let isr: Vec<IsrMember> = live
        .filter(|(_, standing)| standing.presence == Presence::Online)
        .map(|(broker, standing)| IsrMember { broker, epoch: standing.epoch })
        .collect();
    Some(PartitionState {
        leader: isr.first()?.broker,
        leader_epoch: LeaderEpoch(0),
        isr,
        eligible_leaders: Vec::new(),
        last_leader: NodeId::NONE,
        recovery_state: LeaderRecoveryState::Recovered,
        controller_epoch: circumstances.controller_epoch,
        partition_epoch: PartitionEpoch(0),
    })
}

/// The state that `current` must change to, or `None` if it may stay. See the module's documentation.
#[must_use]
pub fn next_state(current: &PartitionState, circumstances: &Circumstances<'_>) -> Option<PartitionState> {
    let in_sync: Vec<IsrMember> = current.isr.iter().filter(|member| circumstances.holds(member)).copied().collect();
    let leader = leader_member(current);
    let standing = leader.map(|leader| (circumstances.standing)(leader.broker));
    if let (Some(leader), Some(standing)) = (leader, standing)
        && standing.is_same_process(&leader)
        && standing.has_log_of(&leader)
        && circumstances.replicas.contains(&leader.broker)
    {
        match standing.presence {
            Presence::Online => return keep_leader(current, leader, &in_sync, circumstances),
            Presence::ShuttingDown => {
                let Some((leader, isr)) = elect_in_sync(&in_sync, &[], circumstances) else {
                    return keep_leader(current, leader, &[leader], circumstances);
                };
                return Some(led_by(current, leader, &isr, circumstances));
            }
            // It may be alive: without anybody to take over, nothing is gained by deposing it.
            Presence::Suspected => {
                let (leader, isr) = elect_in_sync(&in_sync, &current.eligible_leaders, circumstances)?;
                return Some(led_by(current, leader, &isr, circumstances));
            }
            Presence::DirectoryFailed | Presence::Offline => {}
        }
    }
    elect(current, leader, &in_sync, circumstances)
}

/// The recorded incarnation of the leader. One that is missing from its own ISR was written by no controller we know.
fn leader_member(current: &PartitionState) -> Option<IsrMember> {
    let member = || IsrMember { broker: current.leader, epoch: BrokerEpoch::NONE };
    (current.leader != NodeId::NONE)
        .then(|| current.isr.iter().find(|member| member.broker == current.leader).copied().unwrap_or_else(member))
}

/// The leader stays; members that are gone leave the ISR, and eligible leaders go once the ISR is large enough. One whose
/// directory has failed goes at once: it cannot be elected, and may be copied anew only when nobody counts on it.
fn keep_leader(
    current: &PartitionState,
    leader: IsrMember,
    in_sync: &[IsrMember],
    circumstances: &Circumstances<'_>,
) -> Option<PartitionState> {
    // Rather leave a strange state alone than write an ISR without its leader.
    let has_leader = in_sync.contains(&leader);
    let shrinks = in_sync.len() < current.isr.len();
    let is_large_enough = !current.eligible_leaders.is_empty()
        && circumstances.isr_min() <= in_sync.len()
        && rules::holds(Rule::ForgetEligible);
    let has_failed = |member: &IsrMember| (circumstances.standing)(member.broker).presence == Presence::DirectoryFailed;
    let loses_eligible = current.eligible_leaders.iter().any(has_failed);
    (has_leader && (shrinks || is_large_enough || loses_eligible))
        .then(|| led_by(current, leader, in_sync, circumstances))
}

/// The state with this leader and ISR, elected cleanly.
fn led_by(
    current: &PartitionState,
    leader: IsrMember,
    isr: &[IsrMember],
    circumstances: &Circumstances<'_>,
) -> PartitionState {
    let eligible_leaders = circumstances.eligible_leaders(current, isr);
    let isr = isr.iter().map(|member| circumstances.current(member)).collect();
    let state = current.succeed(leader.broker, isr, circumstances.controller_epoch);
    PartitionState { eligible_leaders, ..state }
}

/// Rules 1 and 2: the leader, and the ISR that goes with it.
fn elect_in_sync(
    in_sync: &[IsrMember],
    eligible: &[IsrMember],
    circumstances: &Circumstances<'_>,
) -> Option<(IsrMember, Vec<IsrMember>)> {
    if let Some(leader) = circumstances.first_of(in_sync) {
        return Some((leader, in_sync.to_vec()));
    }
    let holding: Vec<IsrMember> = eligible.iter().filter(|member| circumstances.holds(member)).copied().collect();
    let leader = circumstances.first_of(&holding)?;
    Some((leader, vec![leader]))
}

/// The leader is gone, or is not what it was.
fn elect(
    current: &PartitionState,
    leader: Option<IsrMember>,
    in_sync: &[IsrMember],
    circumstances: &Circumstances<'_>,
) -> Option<PartitionState> {
    // A leader that was restarted takes its time; whoever was not is ready at once.
    let others: Vec<IsrMember> = in_sync.iter().filter(|member| Some(**member) != leader).copied().collect();
    if let Some(leader) = circumstances.first_of(&others) {
        return Some(led_by(current, leader, in_sync, circumstances));
    }
    // With all that it had and nobody else in sync, it goes on in its own epoch.
    if let Some(leader) = leader.filter(|leader| in_sync.contains(leader)) {
        return keep_leader(current, leader, in_sync, circumstances);
    }
    if let Some((leader, isr)) = elect_in_sync(in_sync, &current.eligible_leaders, circumstances) {
        return Some(led_by(current, leader, &isr, circumstances));
    }
    let has_returned = |member: &IsrMember| {
        let standing = (circumstances.standing)(member.broker);
        standing.presence == Presence::Online && !standing.has_log_of(member)
    };
    let waits = rules::holds(Rule::WaitForMembers) && !current.members().all(has_returned);
    if (circumstances.unclean || !waits)
        && let Some(state) = elect_uncleanly(current, circumstances)
    {
        return Some(state);
    }
    leader.map(|leader| without_leader(current, leader, circumstances))
}

/// Rule 4, or an unclean election: whoever is likely to lack least.
fn elect_uncleanly(current: &PartitionState, circumstances: &Circumstances<'_>) -> Option<PartitionState> {
    let is_member = |replica: &NodeId| current.members().any(|member| member.broker == *replica);
    let in_isr = |replica: &NodeId| current.has_in_isr(*replica);
    let last = if current.leader == NodeId::NONE { current.last_leader } else { current.leader };
    let online: Vec<NodeId> =
        circumstances.replicas.iter().copied().filter(|&replica| circumstances.is_online(replica)).collect();
    let leader = online
        .iter()
        .find(|&&replica| replica == last && is_member(&replica))
        .or_else(|| online.iter().find(|replica| in_isr(replica)))
        .or_else(|| online.iter().find(|replica| is_member(replica)))
        .or_else(|| online.iter().find(|_| circumstances.unclean))
        .copied()?;
    let isr = vec![IsrMember { broker: leader, epoch: (circumstances.standing)(leader).epoch }];
    let state = current.succeed(leader, isr, circumstances.controller_epoch);
    Some(PartitionState { recovery_state: LeaderRecoveryState::Recovering, ..state })
}

/// Nobody can lead. The ISR keeps whoever may come back with everything, or all of itself if that is nobody.
fn without_leader(current: &PartitionState, leader: IsrMember, circumstances: &Circumstances<'_>) -> PartitionState {
    let may_return = |member: &&IsrMember| {
        let standing = (circumstances.standing)(member.broker);
        standing.presence != Presence::DirectoryFailed
            && (standing.presence == Presence::Offline || standing.has_log_of(member))
    };
    let kept: Vec<IsrMember> = current.isr.iter().filter(may_return).copied().collect();
    let isr = if kept.is_empty() { current.isr.clone() } else { kept };
    let eligible_leaders = circumstances.eligible_leaders(current, &isr);
    let state = current.succeed(NodeId::NONE, isr, circumstances.controller_epoch);
    PartitionState { eligible_leaders, last_leader: leader.broker, ..state }
}

/// The state in which the preferred leader leads; `None` if it cannot, or does.
#[must_use]
pub fn preferred_state(current: &PartitionState, circumstances: &Circumstances<'_>) -> Option<PartitionState> {
    let preferred = circumstances.replicas.first().copied().filter(|&preferred| preferred != current.leader)?;
    led_by_member(current, preferred, circumstances)
}

/// The state in which a partition has moved to `target`; `None` while a target replica is not in sync. Replicas outside
/// the target leave the ISR, and the leader is one of the target, the present one if it can be.
#[must_use]
pub fn moved_state(
    current: &PartitionState,
    target: &[NodeId],
    circumstances: &Circumstances<'_>,
) -> Option<PartitionState> {
    let circumstances = Circumstances { replicas: target, ..*circumstances };
    let isr: Vec<IsrMember> = current.isr.iter().filter(|one| target.contains(&one.broker)).copied().collect();
    let is_in_sync = isr.len() == target.len() || !rules::holds(Rule::TargetInSync);
    if !is_in_sync || !isr.iter().all(|member| circumstances.holds(member)) {
        return None;
    }
    let stays = isr.iter().find(|member| member.broker == current.leader).copied();
    let leader = stays.or_else(|| circumstances.first_of(&isr))?;
    Some(led_by(current, leader, &isr, &circumstances))
}

fn led_by_member(
    current: &PartitionState,
    leader: NodeId,
    circumstances: &Circumstances<'_>,
) -> Option<PartitionState> {
    let member = current.isr.iter().find(|member| member.broker == leader)?;
    let state = current.succeed(leader, current.isr.clone(), circumstances.controller_epoch);
    circumstances.holds(member).then(|| PartitionState { eligible_leaders: current.eligible_leaders.clone(), ..state })
}

/// What an operator's unclean election makes of a partition without a live leader; `None` if no replica lives.
#[must_use]
pub fn unclean_state(current: &PartitionState, circumstances: &Circumstances<'_>) -> Option<PartitionState> {
    let unclean = Circumstances { unclean: true, ..*circumstances };
    next_state(current, &unclean).filter(|state| state.leader != NodeId::NONE)
}
