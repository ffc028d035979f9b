//! Which brokers hold the replicas of a new partition. Source: Kafka 3.9 `AdminUtils.java`.

use whimbrel_model::NodeId;

/// A broker that replicas may be placed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub id: NodeId,
    pub rack: Option<String>,
}

/// Where a placement begins. Kafka draws both at random for a new topic; partitions that are added to a topic use the
/// position of the first replica of partition 0 for both, which continues the topic's pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacementStart {
    /// Position, among the brokers, of the first replica of partition 0.
    pub index: usize,
    /// Distance from the first replica to the second one.
    pub shift: usize,
}

/// Why no placement exists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    #[error("Number of partitions must be larger than 0.")]
    NoPartitions,
    #[error("Replication factor must be larger than 0.")]
    NoReplicas,
    #[error("Replication factor: {replicas} larger than available brokers: {brokers}.")]
    TooFewBrokers { replicas: usize, brokers: usize },
}

/// Places `partitions` partitions from index `first_partition` on, `replicas` replicas each.
///
/// When all brokers name a rack, the replicas of a partition avoid racks that hold one already; otherwise racks play
/// no part. The first replica of each list is the preferred leader.
///
/// # Errors
/// When a count is zero or there are fewer brokers than replicas.
pub fn place(
    brokers: &[Candidate],
    first_partition: usize,
    partitions: usize,
    replicas: usize,
    start: PlacementStart,
) -> Result<Vec<Vec<NodeId>>, PlacementError> {
    if partitions == 0 {
        return Err(PlacementError::NoPartitions);
    }
    if replicas == 0 {
        return Err(PlacementError::NoReplicas);
    }
    if brokers.len() < replicas {
        return Err(PlacementError::TooFewBrokers { replicas, brokers: brokers.len() });
    }
    let (order, racks) = ordered(brokers);
    let mut shift = start.shift;
    let mut placed = Vec::with_capacity(partitions);
    for partition in first_partition..first_partition + partitions {
        if partition > 0 && partition.is_multiple_of(order.len()) {
            shift += 1;
        }
        let first = (partition + start.index) % order.len();
        placed.push(replicas_of_one(&order, racks, first, shift, replicas));
    }
    Ok(placed)
}

/// The brokers in placement order (by id, or interleaved by rack), and the number of racks (0: racks play no part).
fn ordered(brokers: &[Candidate]) -> (Vec<&Candidate>, usize) {
    let mut by_id: Vec<&Candidate> = brokers.iter().collect();
    by_id.sort_by_key(|broker| broker.id);
    if by_id.iter().any(|broker| broker.rack.is_none()) {
        return (by_id, 0);
    }
    let mut racks: std::collections::BTreeMap<&str, Vec<&Candidate>> = std::collections::BTreeMap::new();
    for broker in by_id {
        racks.entry(broker.rack.as_deref().unwrap_or_default()).or_default().push(broker);
    }
    let longest = racks.values().map(Vec::len).max().unwrap_or(0);
    let order = (0..longest).flat_map(|i| racks.values().filter_map(move |rack| rack.get(i).copied())).collect();
    (order, racks.len())
}

/// The replicas of one partition whose first one is at position `first`.
fn replicas_of_one(order: &[&Candidate], racks: usize, first: usize, shift: usize, replicas: usize) -> Vec<NodeId> {
    let mut chosen: Vec<&Candidate> = order.get(first).copied().into_iter().collect();
    // Every broker is looked at once before any is looked at again, so the bound is never reached in practice.
    let mut step = 0;
    while chosen.len() < replicas && step < order.len() * (replicas + 1) {
        let candidate = order[follower_position(first, shift * racks.max(1), step, order.len())];
        step += 1;
        let rack_taken = chosen.iter().any(|other| other.rack == candidate.rack);
        let racks_taken = distinct_racks(&chosen);
        let broker_taken = chosen.iter().any(|other| other.id == candidate.id);
        // With racks: a rack is used again only when each has a replica; a broker never.
        if !broker_taken && (racks == 0 || !rack_taken || racks_taken == racks) {
            chosen.push(candidate);
        }
    }
    chosen.into_iter().map(|broker| broker.id).collect()
}

fn distinct_racks(chosen: &[&Candidate]) -> usize {
    let mut racks: Vec<_> = chosen.iter().map(|broker| &broker.rack).collect();
    racks.sort();
    racks.dedup();
    racks.len()
}

/// The position of the follower tried at `step`: never `first` itself, and each other position once per round.
fn follower_position(first: usize, shift: usize, step: usize, brokers: usize) -> usize {
    if brokers < 2 {
        return first;
    }
    let distance = 1 + (shift + step) % (brokers - 1);
    (first + distance) % brokers
}
