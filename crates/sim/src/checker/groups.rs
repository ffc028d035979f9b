//! The half of C6 that consumer groups see.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use super::facts::Facts;
use crate::history::{Event, Line, Partition};

type GroupPartition<'a> = (&'a str, &'a Partition);

/// What the broker tells a group to go on from is never below what it acknowledged before the question.
pub(super) fn commits_go_forward(lines: &[Line]) -> Vec<Violation> {
    let mut committed: BTreeMap<GroupPartition<'_>, Vec<(u64, u64)>> = BTreeMap::new();
    let mut violations = Vec::new();
    for line in lines {
        match &line.event {
            Event::Committed { group, partition, offset } => {
                committed.entry((group, partition)).or_default().push((line.t, *offset));
            }
            Event::FoundCommitted { group, partition, offset, asked } => {
                let acknowledged = committed.get(&(group.as_str(), partition)).map_or(&[][..], Vec::as_slice);
                let before = acknowledged.iter().filter(|(t, _)| t < asked).map(|(_, offset)| *offset).max();
                if let Some(before) = before.filter(|before| offset < before) {
                    violations.push(Violation::CommitWentBack {
                        group: group.clone(),
                        partition: partition.clone(),
                        before,
                        offset: *offset,
                    });
                }
            }
            _ => {}
        }
    }
    violations
}

/// What the broker acknowledges or tells as committed was processed by then, from the beginning on.
pub(super) fn commits_follow_processing(lines: &[Line]) -> Vec<Violation> {
    let mut processed: BTreeMap<GroupPartition<'_>, Prefix> = BTreeMap::new();
    let mut violations = Vec::new();
    for line in lines {
        match &line.event {
            Event::Processed { group, partition, offset } => {
                processed.entry((group, partition)).or_default().add(*offset);
            }
            Event::Committed { group, partition, offset } | Event::FoundCommitted { group, partition, offset, .. } => {
                let done = processed.get(&(group.as_str(), partition)).map_or(0, |prefix| prefix.end);
                if done < *offset {
                    violations.push(Violation::CommitBeyondProcessed {
                        group: group.clone(),
                        partition: partition.clone(),
                        offset: *offset,
                        processed: done,
                    });
                }
            }
            _ => {}
        }
    }
    violations
}

/// At the end of the run, nothing that is stored is left out by a group.
pub(super) fn everything_is_processed(facts: &Facts) -> Vec<Violation> {
    let nothing = BTreeSet::new();
    let mut violations = Vec::new();
    for (group, topic) in &facts.groups {
        for (partition, offsets) in facts.stored.iter().filter(|(partition, _)| partition.topic == *topic) {
            let done = facts.processed.get(&(group.clone(), partition.clone())).unwrap_or(&nothing);
            violations.extend(offsets.keys().filter(|offset| !done.contains(offset)).map(|offset| {
                Violation::NeverProcessed { group: group.clone(), partition: partition.clone(), offset: *offset }
            }));
        }
    }
    violations
}

/// Offsets that were processed, as the end of the part without gaps, and what lies beyond it.
#[derive(Debug, Default)]
struct Prefix {
    /// Everything below is processed.
    end: u64,
    beyond: BTreeSet<u64>,
}

impl Prefix {
    fn add(&mut self, offset: u64) {
        if self.end <= offset {
            self.beyond.insert(offset);
        }
        while self.beyond.remove(&self.end) {
            self.end += 1;
        }
    }
}
