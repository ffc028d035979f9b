//! C5 and C8: what the brokers hold and tell, side by side.

use std::collections::BTreeMap;

use super::Violation;
use super::facts::{Copy, Facts};
use crate::history::{Event, Line, Partition};

/// C5. Below the high watermark, every replica has the same batches, byte for byte.
///
/// A copy may begin later (retention works on each broker alone) and may go on beyond the high watermark.
pub(super) fn replicas_are_equal(facts: &Facts) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (partition, copies) in &facts.copies {
        let Some((_, end)) = facts.drained.get(partition) else {
            violations.push(Violation::NotDrained { partition: partition.clone() });
            continue;
        };
        let mut copies = copies.iter();
        let Some((first, model)) = copies.next() else { continue };
        violations.extend(is_complete(partition, *first, model, *end));
        for (broker, copy) in copies {
            violations.extend(is_complete(partition, *broker, copy, *end));
            violations.extend(first_difference(model, copy, *end).map(|offset| Violation::ReplicaDiffers {
                partition: partition.clone(),
                broker: *broker,
                other: *first,
                offset,
            }));
        }
    }
    violations
}

fn is_complete(partition: &Partition, broker: u32, copy: &Copy, end: u64) -> Option<Violation> {
    let to = copy.range.map_or(0, |(_, to)| to);
    (to < end).then(|| Violation::ReplicaIsShort { partition: partition.clone(), broker, to, end })
}

/// The first offset below `end` at which two copies have different batches.
fn first_difference(one: &Copy, other: &Copy, end: u64) -> Option<u64> {
    let begin = [one, other].iter().filter_map(|copy| copy.range.map(|(from, _)| from)).max()?;
    let in_both = |copy: &Copy| -> BTreeMap<u64, (u64, String)> {
        copy.batches.range(begin..end.max(begin)).map(|(base, batch)| (*base, batch.clone())).collect()
    };
    let (one, other) = (in_both(one), in_both(other));
    one.keys().chain(other.keys()).filter(|base| one.get(base) != other.get(base)).min().copied()
}

/// C8. One leader epoch of a partition has one leader, whoever tells it.
pub(super) fn epochs_have_one_leader(lines: &[Line]) -> Vec<Violation> {
    let mut leaders: BTreeMap<(&Partition, u32), u32> = BTreeMap::new();
    let mut violations = Vec::new();
    for line in lines {
        let Event::Leader { partition, epoch, leader } = &line.event else { continue };
        let one = *leaders.entry((partition, *epoch)).or_insert(*leader);
        if one != *leader {
            violations.push(Violation::TwoLeaders { partition: partition.clone(), epoch: *epoch, one, other: *leader });
        }
    }
    violations
}
