//! The roles of one replica.

use whimbrel_model::{LeaderEpoch, NodeId, Offset, PartitionEpoch};

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

const END: Offset = Offset(0);

#[test]
fn only_a_higher_epoch_changes_the_role() {
    let mut replica = Replica::new(NodeId(1));
    assert!(replica.check_leader(None).is_err());
    assert_eq!(replica.assign(0, &assignment(1, 0, &[1]), END), Assigned::Leader);
    assert_eq!(replica.assign(0, &assignment(2, 0, &[2]), END), Assigned::Stale);
    assert_eq!(replica.check_leader(Some(LeaderEpoch(0))), Ok(LeaderEpoch(0)));
    assert_eq!(replica.assign(0, &assignment(2, 3, &[2]), END), Assigned::Follower);
    let not_leader = LeadershipError::NotLeader { leader: NodeId(2), leader_epoch: LeaderEpoch(3) };
    assert_eq!(replica.check_leader(None), Err(not_leader));
    assert!(matches!(replica.check_leader(Some(LeaderEpoch(1))), Err(LeadershipError::Fenced { .. })));
    assert!(matches!(replica.check_leader(Some(LeaderEpoch(4))), Err(LeadershipError::Unknown { .. })));
}

#[test]
fn the_leader_alone_commits_at_once_and_an_unknown_member_holds_it_back() {
    let limits = Limits { now_ms: 0, lag_max_ms: 10, min_isr: 1, is_eligible: &|_| true };
    let mut replica = Replica::new(NodeId(1));
    let committed = |replica: &Replica, end| replica.lead().and_then(|leader| leader.high_watermark(&limits, end));
    assert_eq!(committed(&replica, Offset(5)), None);
    replica.assign(0, &assignment(1, 0, &[1]), END);
    assert_eq!(committed(&replica, Offset(5)), Some(Offset(5)));
    replica.assign(0, &assignment(1, 1, &[1, 2]), END);
    assert_eq!(committed(&replica, Offset(9)), Some(Offset(-1)));
}
