//! C3, and the half of C6 that readers and high watermarks see.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use super::facts::Facts;
use crate::history::{Event, Line, Partition, Record};

/// C3. Of a record that is stored twice (no idempotence) the first place counts.
pub(super) fn producers_order_is_kept(facts: &Facts) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (partition, offsets) in &facts.stored {
        let mut newest: BTreeMap<&str, &Record> = BTreeMap::new();
        let mut seen: BTreeSet<&Record> = BTreeSet::new();
        for (offset, record) in offsets {
            if !facts.ordered.contains(&record.producer) || !seen.insert(record) {
                continue;
            }
            let newest = newest.entry(&record.producer).or_insert(record);
            if record.number < newest.number {
                violations.push(Violation::Reordered {
                    earlier: record.clone(),
                    later: (*newest).clone(),
                    partition: partition.clone(),
                    offset: *offset,
                });
            } else {
                *newest = record;
            }
        }
    }
    violations
}

/// C6 for readers, who see each offset once and in order, and for the ends that the broker tells.
pub(super) fn readers_and_ends_go_forward(lines: &[Line]) -> Vec<Violation> {
    let mut positions: BTreeMap<(&str, &Partition), u64> = BTreeMap::new();
    let mut ends: BTreeMap<&Partition, Vec<(u64, u64)>> = BTreeMap::new();
    let mut violations = Vec::new();
    for line in lines {
        match &line.event {
            Event::Read { reader, partition, offset, .. } => {
                let before = positions.insert((reader, partition), *offset);
                violations.extend(before.and_then(|before| step(reader, partition, before, *offset)));
            }
            Event::EndOffset { partition, offset, asked } => {
                let told = ends.entry(partition).or_default();
                // Only what was known before the question was asked binds its answer.
                let before = told.iter().filter(|(t, _)| t < asked).map(|(_, end)| *end).max();
                if let Some(before) = before.filter(|before| offset < before) {
                    violations.push(Violation::EndWentBack { partition: partition.clone(), before, offset: *offset });
                }
                told.push((line.t, *offset));
            }
            _ => {}
        }
    }
    violations
}

/// Offsets have no gaps here: no record is deleted, compacted or part of a transaction.
fn step(reader: &str, partition: &Partition, before: u64, offset: u64) -> Option<Violation> {
    let (reader, partition) = (reader.to_owned(), partition.clone());
    if offset <= before {
        Some(Violation::ReaderWentBack { reader, partition, before, offset })
    } else if before + 1 < offset {
        Some(Violation::ReaderSkipped { reader, partition, offset: before, next: offset })
    } else {
        None
    }
}
