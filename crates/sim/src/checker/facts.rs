//! What the events say together, by record and by offset.

use std::collections::{BTreeMap, BTreeSet};

use super::{Counts, Violation};
use crate::history::{Event, Line, Partition, Record, Sequence};

#[derive(Debug, Default)]
pub(super) struct Facts {
    pub idempotent: BTreeSet<String>,
    pub ordered: BTreeSet<String>,
    /// Producers whose client may store a record again under a new producer epoch.
    pub renumbering: BTreeSet<String>,
    /// Group and topic.
    pub groups: Vec<(String, String)>,
    pub sent: BTreeMap<Record, Partition>,
    pub refused: BTreeSet<Record>,
    pub acknowledged: Vec<(Record, Partition, Option<u64>)>,
    /// What readers found. Of two records at one offset, the first that was seen; the other is a violation already.
    pub stored: BTreeMap<Partition, BTreeMap<u64, Record>>,
    /// Offsets that were read completely.
    pub drained: BTreeMap<Partition, (u64, u64)>,
    pub processed: BTreeMap<(String, Partition), BTreeSet<u64>>,
    /// What each broker has on its disk.
    pub copies: BTreeMap<Partition, BTreeMap<u32, Copy>>,
    commits: usize,
}

/// A broker's copy of a partition.
#[derive(Debug, Default)]
pub(super) struct Copy {
    /// First offset, and the offset after the last; `None` until the copy is read as a whole.
    pub range: Option<(u64, u64)>,
    pub batches: BTreeMap<u64, Batch>,
}

/// A batch of a copy, by its base offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    pub last: u64,
    /// Of its bytes.
    pub digest: String,
    pub sequence: Option<Sequence>,
}

impl Facts {
    /// The facts, and the offsets that hold two records (C7).
    pub fn collect(lines: &[Line]) -> (Self, Vec<Violation>) {
        let mut facts = Self::default();
        let mut violations = Vec::new();
        for line in lines {
            facts.add(&line.event, &mut violations);
        }
        facts.acknowledgements_agree(&mut violations);
        (facts, violations)
    }

    /// `renumbered`: see [`Counts::renumbered`].
    pub fn counts(&self, renumbered: usize) -> Counts {
        Counts {
            sent: self.sent.len(),
            acknowledged: self.acknowledged.len(),
            stored: self.stored.values().map(BTreeMap::len).sum(),
            processed: self.processed.values().map(BTreeSet::len).sum(),
            commits: self.commits,
            replicas: self.copies.values().map(BTreeMap::len).sum(),
            renumbered,
        }
    }

    fn add(&mut self, event: &Event, violations: &mut Vec<Violation>) {
        match event {
            Event::Producer { producer, idempotent, ordered, renumbers } => {
                if *renumbers {
                    self.renumbering.insert(producer.clone());
                }
                if *idempotent {
                    self.idempotent.insert(producer.clone());
                }
                if *ordered {
                    self.ordered.insert(producer.clone());
                }
            }
            Event::Group { group, topic } => self.groups.push((group.clone(), topic.clone())),
            Event::Send { record, partition } => {
                self.sent.insert(record.clone(), partition.clone());
            }
            Event::Ack { record, partition, offset } => {
                self.acknowledged.push((record.clone(), partition.clone(), *offset));
            }
            Event::Fail { record, definite } => {
                if *definite {
                    self.refused.insert(record.clone());
                }
            }
            Event::Read { record, partition, offset, .. } => self.read(record, partition, *offset, violations),
            Event::Drained { partition, from, to, .. } => {
                self.drained.insert(partition.clone(), (*from, *to));
            }
            Event::Processed { group, partition, offset } => {
                self.processed.entry((group.clone(), partition.clone())).or_default().insert(*offset);
            }
            Event::Committed { .. } => self.commits += 1,
            Event::Batch { broker, partition, base, last, digest, sequence } => {
                let batch = Batch { last: *last, digest: digest.clone(), sequence: *sequence };
                self.copy(partition, *broker).batches.insert(*base, batch);
            }
            Event::Replica { broker, partition, from, to } => {
                self.copy(partition, *broker).range = Some((*from, *to));
            }
            Event::FoundCommitted { .. }
            | Event::EndOffset { .. }
            | Event::StartOffset { .. }
            | Event::Leader { .. }
            | Event::Broker { .. } => {}
        }
    }

    /// What the producer numbered the batch at an offset with, as any copy of the partition has it.
    pub fn sequence_at(&self, partition: &Partition, offset: u64) -> Option<Sequence> {
        self.copies.get(partition)?.values().find_map(|copy| {
            let (_, batch) = copy.batches.range(..=offset).next_back()?;
            batch.sequence.filter(|_| offset <= batch.last)
        })
    }

    fn copy(&mut self, partition: &Partition, broker: u32) -> &mut Copy {
        self.copies.entry(partition.clone()).or_default().entry(broker).or_default()
    }

    fn read(&mut self, record: &Record, partition: &Partition, offset: u64, violations: &mut Vec<Violation>) {
        let offsets = self.stored.entry(partition.clone()).or_default();
        let one = offsets.entry(offset).or_insert_with(|| record.clone());
        if one != record {
            violations.push(Violation::TwoRecords {
                partition: partition.clone(),
                offset,
                one: one.clone(),
                other: record.clone(),
            });
        }
    }

    /// Two records acknowledged at one offset. (An acknowledged and another read record there: the first is lost, C1.)
    fn acknowledgements_agree(&self, violations: &mut Vec<Violation>) {
        let mut at: BTreeMap<(&Partition, u64), &Record> = BTreeMap::new();
        for (record, partition, offset) in &self.acknowledged {
            let Some(offset) = offset else { continue };
            let one = *at.entry((partition, *offset)).or_insert(record);
            if one != record {
                violations.push(Violation::TwoRecords {
                    partition: partition.clone(),
                    offset: *offset,
                    one: one.clone(),
                    other: record.clone(),
                });
            }
        }
    }
}
