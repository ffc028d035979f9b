//! What a partition's state has to become, given who is alive. Pure functions, no state of their own.
//!
//! One function covers Kafka's `NewPartition → OnlinePartition`, its offline and unclean elections and the ISR shrink of
//! `OfflineReplica`: several brokers lost at once cost one write per partition, not one per broker.

use whimbrel_model::{ControllerEpoch, LeaderEpoch, NodeId, PartitionEpoch};

use super::control::LeaderRecoveryState;

/// The committed state of a partition: what its state node in coordination holds, and the node's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// [`NodeId::NONE`] when there is none.
    pub leader: NodeId,
    /// Grows by one with each change that a broker must act on.
    pub leader_epoch: LeaderEpoch,
    /// Never empty: the last member stays when it dies, since only it surely holds every committed record.
    pub isr: Vec<NodeId>,
    pub recovery_state: LeaderRecoveryState,
    /// The controller that wrote this state.
    pub controller_epoch: ControllerEpoch,
    /// The version of the state node. In a state that is yet to be written it is the version that the write expects;
    /// the node must then have exactly this version, or the write is refused.
    pub partition_epoch: PartitionEpoch,
}

/// The first state of a partition: the first live replica leads, all live ones are in sync. `None` while none lives.
#[must_use]
pub fn first_state(
    replicas: &[NodeId],
    is_online: impl Fn(NodeId) -> bool,
    epoch: ControllerEpoch,
) -> Option<PartitionState> {
    let isr: Vec<NodeId> = replicas.iter().copied().filter(|&replica| is_online(replica)).collect();
    Some(PartitionState {
        leader: *isr.first()?,
        leader_epoch: LeaderEpoch(0),
        isr,
        recovery_state: LeaderRecoveryState::Recovered,
        controller_epoch: epoch,
        partition_epoch: PartitionEpoch(0),
    })
}

/// The state that `current` must change to, or `None` if it may stay.
///
/// - The leader is online: replicas that are not leave the ISR.
/// - It is not: the first assigned replica that is online and in the ISR leads, with what is online of the ISR.
/// - There is no such replica, and `unclean` is allowed: the first assigned one that is online leads, alone and
///   recovering.
/// - Otherwise there is no leader; the ISR keeps its online part, or all of itself when nothing of it is online, so
///   that whichever member returns first may lead.
#[must_use]
pub fn next_state(
    current: &PartitionState,
    replicas: &[NodeId],
    is_online: impl Fn(NodeId) -> bool,
    unclean: bool,
    epoch: ControllerEpoch,
) -> Option<PartitionState> {
    let online_isr: Vec<NodeId> = current.isr.iter().copied().filter(|&replica| is_online(replica)).collect();
    let change = |leader: NodeId, isr: Vec<NodeId>, recovery_state| PartitionState {
        leader,
        leader_epoch: LeaderEpoch(current.leader_epoch.0 + 1),
        isr,
        recovery_state,
        controller_epoch: epoch,
        partition_epoch: current.partition_epoch,
    };
    if current.leader != NodeId::NONE && is_online(current.leader) {
        // A leader that is missing from its own ISR was not written by any controller we know; leave it alone rather
        // than write an ISR without it.
        let shrinks = online_isr.len() < current.isr.len() && online_isr.contains(&current.leader);
        return shrinks.then(|| change(current.leader, online_isr, current.recovery_state));
    }
    if let Some(&leader) = replicas.iter().find(|&&replica| online_isr.contains(&replica)) {
        return Some(change(leader, online_isr, current.recovery_state));
    }
    if unclean && let Some(&leader) = replicas.iter().find(|&&replica| is_online(replica)) {
        return Some(change(leader, vec![leader], LeaderRecoveryState::Recovering));
    }
    let isr = if online_isr.is_empty() { current.isr.clone() } else { online_isr };
    (current.leader != NodeId::NONE).then(|| change(NodeId::NONE, isr, current.recovery_state))
}
