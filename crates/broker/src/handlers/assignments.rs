//! Replica assignments that clients give by hand, or leave to the broker.

use std::collections::BTreeSet;

use whimbrel_model::{ErrorCode, NodeId};
use whimbrel_state::controller::PartitionAssignment;
use whimbrel_state::controller::assignment::{Candidate, PlacementStart, place};

use super::refusal::Refusal;
use crate::metadata_cache::MetadataImage;

/// More partitions than this do not fit into the topic's node: ZooKeeper takes at most 1 MiB (`jute.maxbuffer`), and an
/// entry such as `"12345":[1001],` has at least 12 bytes.
pub(super) const PARTITIONS_MAX: usize = 80_000;

/// The live brokers, as replicas may be placed on them.
pub(super) fn candidates(image: &MetadataImage) -> Vec<Candidate> {
    let candidate = |broker: &whimbrel_state::controller::control::LiveBroker| Candidate {
        id: broker.id,
        rack: broker.rack.as_deref().map(str::to_owned),
    };
    image.brokers.values().map(candidate).collect()
}

/// Places a new topic at random.
pub(super) fn placed(
    brokers: &[Candidate],
    partitions: i32,
    replication_factor: i16,
) -> Result<Vec<PartitionAssignment>, Refusal> {
    let count = usize::try_from(partitions).unwrap_or(0);
    check_count(count)?;
    let start = PlacementStart { index: random_below(brokers.len()), shift: random_below(brokers.len()) };
    let placed = place(brokers, 0, count, usize::try_from(replication_factor).unwrap_or(0), start)?;
    Ok(numbered(0, placed))
}

/// Places partitions that are added to a topic whose partition 0 has these replicas: the topic's pattern goes on.
pub(super) fn continued(
    brokers: &[Candidate],
    existing: usize,
    added: usize,
    first_replicas: &[NodeId],
) -> Result<Vec<PartitionAssignment>, Refusal> {
    check_count(existing.saturating_add(added))?;
    let first = first_replicas.first().copied().unwrap_or(NodeId::NONE);
    let position = brokers.iter().position(|broker| first <= broker.id).unwrap_or(0);
    let start = PlacementStart { index: position, shift: position };
    Ok(numbered(existing, place(brokers, existing, added, first_replicas.len(), start)?))
}

/// Checks the assignment of a whole topic, partition by partition as the client numbered them.
pub(super) fn given(partitions: Vec<(i32, Vec<i32>)>) -> Result<Vec<PartitionAssignment>, Refusal> {
    let invalid = |text: String| Refusal::new(ErrorCode::InvalidReplicaAssignment, text);
    check_count(partitions.len())?;
    let mut partitions = partitions;
    partitions.sort_by_key(|(index, _)| *index);
    if (0..).zip(&partitions).any(|(expected, (index, _))| expected != *index) {
        return Err(invalid("partitions must be numbered from 0 without gaps or repetition".into()));
    }
    let factor = partitions.first().map_or(0, |(_, replicas)| replicas.len());
    if factor == 0 || partitions.iter().any(|(_, replicas)| replicas.len() != factor) {
        return Err(invalid("all partitions must have the same number of replicas, at least one".into()));
    }
    let mut assignments = Vec::with_capacity(partitions.len());
    for (index, replicas) in partitions {
        check_distinct(index, &replicas)?;
        if replicas.iter().any(|replica| *replica < 0) {
            return Err(invalid(format!("partition {index} names a broker with a negative id")));
        }
        assignments.push(assignment(index, replicas.into_iter().map(NodeId).collect()));
    }
    Ok(assignments)
}

/// Checks the assignment of partitions that are added to a topic with this replication factor.
pub(super) fn given_for_added(
    brokers: &[Candidate],
    existing: usize,
    added: usize,
    factor: usize,
    partitions: Vec<Vec<i32>>,
) -> Result<Vec<PartitionAssignment>, Refusal> {
    let invalid = |text: String| Refusal::new(ErrorCode::InvalidReplicaAssignment, text);
    let alive: BTreeSet<i32> = brokers.iter().map(|broker| broker.id.0).collect();
    let unknown: BTreeSet<i32> = partitions.iter().flatten().copied().filter(|id| !alive.contains(id)).collect();
    if !unknown.is_empty() {
        return Err(invalid(format!("unknown brokers in the replica assignment: {}", list(unknown))));
    }
    if partitions.len() != added {
        return Err(invalid(format!("{added} partitions are added, and {} assignments are given", partitions.len())));
    }
    check_count(existing.saturating_add(added))?;
    let mut assignments = Vec::with_capacity(partitions.len());
    for (index, replicas) in (i32::try_from(existing).unwrap_or(i32::MAX)..).zip(partitions) {
        if replicas.is_empty() {
            return Err(invalid(format!("partition {index} has no replica")));
        }
        check_distinct(index, &replicas)?;
        if replicas.len() != factor {
            let text = format!("partition {index} has {} replicas, those of the topic have {factor}", replicas.len());
            return Err(invalid(text));
        }
        assignments.push(assignment(index, replicas.into_iter().map(NodeId).collect()));
    }
    Ok(assignments)
}

fn check_count(partitions: usize) -> Result<(), Refusal> {
    if partitions <= PARTITIONS_MAX {
        return Ok(());
    }
    let text = format!("a topic can have at most {PARTITIONS_MAX} partitions, not {partitions}");
    Err(Refusal::new(ErrorCode::InvalidPartitions, text))
}

fn check_distinct(index: i32, replicas: &[i32]) -> Result<(), Refusal> {
    let distinct: BTreeSet<&i32> = replicas.iter().collect();
    if distinct.len() == replicas.len() {
        return Ok(());
    }
    let text = format!("partition {index} names a broker twice: {}", list(replicas.iter().copied()));
    Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, text))
}

fn list(ids: impl IntoIterator<Item = i32>) -> String {
    ids.into_iter().map(|id| id.to_string()).collect::<Vec<_>>().join(", ")
}

fn numbered(from: usize, placed: Vec<Vec<NodeId>>) -> Vec<PartitionAssignment> {
    let from = i32::try_from(from).unwrap_or(i32::MAX);
    (from..).zip(placed).map(|(index, replicas)| assignment(index, replicas)).collect()
}

fn assignment(index: i32, replicas: Vec<NodeId>) -> PartitionAssignment {
    PartitionAssignment { index, replicas, adding_replicas: Vec::new(), removing_replicas: Vec::new() }
}

fn random_below(count: usize) -> usize {
    if count == 0 { 0 } else { rand::random::<u32>() as usize % count }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code<T>(result: Result<T, Refusal>) -> Option<ErrorCode> {
        result.err().map(|refusal| refusal.code)
    }

    fn brokers(ids: &[i32]) -> Vec<Candidate> {
        ids.iter().map(|&id| Candidate { id: NodeId(id), rack: None }).collect()
    }

    #[test]
    fn counts_that_cannot_be_are_refused_by_kafkas_codes() {
        let one = brokers(&[1]);
        assert_eq!(code(placed(&one, 0, 1)), Some(ErrorCode::InvalidPartitions));
        assert_eq!(code(placed(&one, -5, 1)), Some(ErrorCode::InvalidPartitions));
        assert_eq!(code(placed(&one, i32::MAX, 1)), Some(ErrorCode::InvalidPartitions));
        assert_eq!(code(placed(&one, 1, 0)), Some(ErrorCode::InvalidReplicationFactor));
        assert_eq!(code(placed(&one, 1, 2)), Some(ErrorCode::InvalidReplicationFactor));
        assert_eq!(placed(&one, 3, 1).map(|placed| placed.len()), Ok(3));
    }

    #[test]
    fn assignments_by_hand_are_checked() {
        let invalid = Some(ErrorCode::InvalidReplicaAssignment);
        assert_eq!(code(given(vec![(0, vec![1]), (2, vec![1])])), invalid);
        assert_eq!(code(given(vec![(0, vec![1]), (0, vec![1])])), invalid);
        assert_eq!(code(given(vec![(0, vec![1]), (1, vec![1, 2])])), invalid);
        assert_eq!(code(given(vec![(0, vec![])])), invalid);
        assert_eq!(code(given(vec![(0, vec![1, 1])])), invalid);
        assert_eq!(code(given(vec![(0, vec![-1])])), invalid);
        // Brokers that are not there are allowed, as in Kafka: they may come.
        let given = given(vec![(1, vec![1, 9]), (0, vec![9, 1])]);
        assert_eq!(given.map(|all| all.into_iter().map(|one| one.index).collect::<Vec<_>>()), Ok(vec![0, 1]));
    }

    #[test]
    fn added_partitions_go_on_as_the_topic_began() {
        let three = brokers(&[1, 2, 3]);
        let added = continued(&three, 2, 2, &[NodeId(2)]).unwrap_or_default();
        let leaders: Vec<_> = added.iter().map(|one| (one.index, one.replicas.clone())).collect();
        assert_eq!(leaders, [(2, vec![NodeId(1)]), (3, vec![NodeId(2)])]);
        let invalid = Some(ErrorCode::InvalidReplicaAssignment);
        assert_eq!(code(given_for_added(&three, 1, 2, 1, vec![vec![1]])), invalid);
        assert_eq!(code(given_for_added(&three, 1, 1, 1, vec![vec![4]])), invalid);
        assert_eq!(code(given_for_added(&three, 1, 1, 1, vec![vec![1, 2]])), invalid);
        assert_eq!(given_for_added(&three, 1, 1, 1, vec![vec![3]]).map(|all| all.len()), Ok(1));
    }
}
