//! C5 and C8, and C2 by sequences: what the brokers hold and tell.

use std::collections::BTreeMap;

use super::Violation;
use super::facts::{Batch, Copy, Facts};
use crate::history::{Event, Line, Partition, Sequence};

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
    let in_both = |copy: &Copy| -> BTreeMap<u64, Batch> {
        copy.batches.range(begin..end.max(begin)).map(|(base, batch)| (*base, batch.clone())).collect()
    };
    let (one, other) = (in_both(one), in_both(other));
    one.keys().chain(other.keys()).filter(|base| one.get(base) != other.get(base)).min().copied()
}

/// C2, as the log has it: the batches of a producer follow one another without a gap and without a repetition, and a new
/// producer epoch begins at 0. The first batch of a copy may have any number: what was before it may be deleted.
pub(super) fn sequences_follow_one_another(facts: &Facts) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (partition, copies) in &facts.copies {
        let end = facts.drained.get(partition).map_or(0, |(_, end)| *end);
        for (broker, copy) in copies {
            let mut newest: BTreeMap<i64, Sequence> = BTreeMap::new();
            for (base, batch) in copy.batches.range(..end) {
                let Some(sequence) = batch.sequence else { continue };
                let before = newest.insert(sequence.producer_id, sequence);
                if let Some(before) = before.filter(|before| !follows(*before, sequence)) {
                    let partition = partition.clone();
                    let (broker, offset) = (*broker, *base);
                    violations.push(Violation::SequenceBroken { partition, broker, offset, sequence, before });
                }
            }
        }
    }
    violations
}

fn follows(before: Sequence, next: Sequence) -> bool {
    if before.producer_epoch == next.producer_epoch {
        let expected = before.last.checked_add(1).unwrap_or(0);
        return next.first == expected;
    }
    before.producer_epoch < next.producer_epoch && next.first == 0
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
