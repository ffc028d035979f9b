//! C1, C2 and C4: what is in the log is what was sent.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use super::facts::Facts;
use crate::history::{Partition, Record};

/// C1. Needs a complete reading of each partition that acknowledged something.
pub(super) fn acknowledged_records_are_there(facts: &Facts) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut unread = BTreeSet::new();
    let anywhere: BTreeSet<(&Partition, &Record)> = facts
        .stored
        .iter()
        .flat_map(|(partition, offsets)| offsets.values().map(move |record| (partition, record)))
        .collect();
    for (record, partition, offset) in &facts.acknowledged {
        let Some((from, _)) = facts.drained.get(partition) else {
            unread.insert(partition);
            continue;
        };
        let (record, partition) = (record.clone(), partition.clone());
        let stored = facts.stored.get(&partition);
        match offset {
            // What lies below `from` was deleted on purpose. What lies at or above the end is lost.
            Some(offset) if offset < from => {}
            Some(offset) if stored.and_then(|offsets| offsets.get(offset)) == Some(&record) => {}
            Some(offset) => violations.push(Violation::Lost { record, partition, offset: *offset }),
            None if anywhere.contains(&(&partition, &record)) => {}
            None if 0 < *from => {}
            None => violations.push(Violation::LostSomewhere { record, partition }),
        }
    }
    violations.extend(unread.into_iter().map(|partition| Violation::NotDrained { partition: partition.clone() }));
    violations
}

/// C2, as the clients see it.
pub(super) fn idempotent_records_are_stored_once(facts: &Facts) -> Vec<Violation> {
    stored_again(facts)
        .filter(|again| !again.is_renumbered(facts))
        .map(|StoredAgain { record, partition, first, second }| Violation::Duplicate {
            record: record.clone(),
            partition: partition.clone(),
            first,
            second,
        })
        .collect()
}

/// A record of an idempotent producer that is stored at a second offset.
pub(super) struct StoredAgain<'a> {
    record: &'a Record,
    partition: &'a Partition,
    first: u64,
    second: u64,
}

impl StoredAgain<'_> {
    /// Whether that is the work of its client, which gave the record a new number: no broker could know it again.
    pub fn is_renumbered(&self, facts: &Facts) -> bool {
        let number = |offset| facts.sequence_at(self.partition, offset).map(|it| (it.producer_id, it.producer_epoch));
        facts.renumbering.contains(&self.record.producer)
            && matches!((number(self.first), number(self.second)), (Some(one), Some(other)) if one != other)
    }
}

pub(super) fn stored_again(facts: &Facts) -> impl Iterator<Item = StoredAgain<'_>> {
    facts.stored.iter().flat_map(|(partition, offsets)| {
        let mut first_at: BTreeMap<&Record, u64> = BTreeMap::new();
        let of_idempotent = offsets.iter().filter(|(_, record)| facts.idempotent.contains(&record.producer));
        of_idempotent.filter_map(move |(&second, record)| {
            let first = *first_at.entry(record).or_insert(second);
            (first != second).then_some(StoredAgain { record, partition, first, second })
        })
    })
}

/// C4.
pub(super) fn only_sent_records_are_read(facts: &Facts) -> Vec<Violation> {
    facts
        .stored
        .iter()
        .flat_map(|(partition, offsets)| offsets.iter().map(move |(offset, record)| (partition, *offset, record)))
        .filter_map(|(partition, offset, record)| not_sent(facts, partition, offset, record))
        .collect()
}

fn not_sent(facts: &Facts, partition: &Partition, offset: u64, record: &Record) -> Option<Violation> {
    let (record, partition) = (record.clone(), partition.clone());
    if facts.sent.get(&record) != Some(&partition) {
        Some(Violation::NeverSent { record, partition, offset })
    } else if facts.refused.contains(&record) {
        Some(Violation::ReadAfterFailure { record, partition, offset })
    } else {
        None
    }
}
