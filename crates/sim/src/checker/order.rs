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

/// C6 for readers, who see each offset once and in order, and for the beginnings and ends that brokers tell.
pub(super) fn readers_and_ends_go_forward(lines: &[Line]) -> Vec<Violation> {
    let mut positions: BTreeMap<(&str, &Partition), u64> = BTreeMap::new();
    let mut ends = Told::default();
    let mut starts = Told::default();
    let mut violations = Vec::new();
    for line in lines {
        match &line.event {
            Event::Read { reader, partition, offset, .. } => {
                let before = positions.insert((reader, partition), *offset);
                violations.extend(before.and_then(|before| step(reader, partition, before, *offset)));
            }
            Event::EndOffset { partition, offset, asked } => {
                let before = ends.tell(partition, line.t, *offset, *asked);
                violations.extend(before.map(|before| Violation::EndWentBack {
                    partition: partition.clone(),
                    before,
                    offset: *offset,
                }));
            }
            Event::StartOffset { partition, offset, asked } => {
                let before = starts.tell(partition, line.t, *offset, *asked);
                violations.extend(before.map(|before| Violation::StartWentBack {
                    partition: partition.clone(),
                    before,
                    offset: *offset,
                }));
            }
            _ => {}
        }
    }
    violations
}

/// Offsets that brokers told, each with the time of the answer.
#[derive(Debug, Default)]
struct Told<'a>(BTreeMap<&'a Partition, Vec<(u64, u64)>>);

impl<'a> Told<'a> {
    /// Notes an answer, and gives a larger one that was known before the question was asked: only that binds it.
    fn tell(&mut self, partition: &'a Partition, t: u64, offset: u64, asked: u64) -> Option<u64> {
        let told = self.0.entry(partition).or_default();
        let before = told.iter().filter(|(t, _)| *t < asked).map(|(_, end)| *end).max();
        told.push((t, offset));
        before.filter(|before| offset < *before)
    }
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
