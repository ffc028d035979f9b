//! The batches of one partition at one producer: the one that is filled, those that wait, those under way. No I/O.
//!
//! ```text
//! push ─▶ open ──full or ripe──▶ queue: waiting ──take──▶ in flight ──acknowledged──▶ gone
//!                                         ▲                  │
//!                                         └─── failed ───────┘   and nothing is taken until all in flight have come back
//! ```
//! Waiting for those in flight after a failure keeps the order: a batch behind the failed one may still arrive, or be
//! refused because its sequence is not the next (idempotent), and is then sent again behind it.

use std::collections::VecDeque;

use bytes::Bytes;

use super::batch::{BatchKind, OpenBatch};
use super::clock::Run;

/// A sealed batch.
#[derive(Debug)]
pub struct Batch {
    pub bytes: Bytes,
    /// Numbers of its records: `first..first + count`.
    pub first: u64,
    pub count: u32,
    pub runs: Vec<Run>,
    serial: u64,
    is_in_flight: bool,
}

/// A batch that was taken to be sent, by its partition's index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    pub partition: usize,
    serial: u64,
}

/// How a batch begins.
#[derive(Debug, Clone, Copy)]
pub struct Beginning {
    /// Room in bytes.
    pub capacity: usize,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// When it has lingered and may be sent though it is not full.
    pub ripe_ns: u64,
}

/// One partition's batches.
#[derive(Default)]
pub struct Partition {
    open: Option<Opened>,
    queue: VecDeque<Batch>,
    in_flight: usize,
    /// A batch failed while others are in flight.
    is_recovering: bool,
    next_number: u64,
    next_sequence: i32,
    next_serial: u64,
    /// Whether its producer has it in a list of those that have something to send.
    pub is_listed: bool,
}

struct Opened {
    batch: OpenBatch,
    first: u64,
    runs: Vec<Run>,
    timestamp: i64,
    ripe_ns: u64,
}

impl Partition {
    /// The number that its next record has.
    #[inline]
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// The batch that is being filled; it is begun with `begin` if there is none.
    #[inline]
    fn opened(&mut self, begin: impl FnOnce() -> Beginning) -> &mut Opened {
        let first = self.next_number;
        self.open.get_or_insert_with(|| {
            let Beginning { capacity, timestamp, ripe_ns } = begin();
            Opened { batch: OpenBatch::with_capacity(capacity), first, runs: Vec::new(), timestamp, ripe_ns }
        })
    }

    /// Adds records by way of `fill`, which says when they were intended, and returns the size of the batch so far.
    #[inline]
    pub fn push(&mut self, begin: impl FnOnce() -> Beginning, fill: impl FnOnce(&mut OpenBatch) -> Run) -> usize {
        let opened = self.opened(begin);
        let run = fill(&mut opened.batch);
        // In time order, runs of one intended time each are joined where they are the same.
        match opened.runs.last_mut() {
            Some(last) if last.first_ns == run.first_ns && last.step_ns == 0.0 && run.step_ns == 0.0 => {
                last.count += run.count;
            }
            _ => opened.runs.push(run),
        }
        let len = opened.batch.len();
        self.next_number += u64::from(run.count);
        len
    }

    /// Whether a batch is being filled.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether the batch that is being filled has lingered.
    pub fn is_ripe(&self, now: u64) -> bool {
        self.open.as_ref().is_some_and(|opened| opened.ripe_ns <= now)
    }

    /// Seals the batch that is being filled and returns its size; 0 if there is none.
    ///
    /// # Errors
    /// What the codec says.
    pub fn seal(&mut self, kind: BatchKind) -> anyhow::Result<usize> {
        let Some(Opened { batch, first, runs, timestamp, .. }) = self.open.take() else { return Ok(0) };
        let count = batch.records();
        let sequence = if kind.producer.is_some() { self.next_sequence } else { -1 };
        let bytes = batch.seal(kind, sequence, timestamp)?;
        self.next_sequence = whimbrel_model::record::increment_sequence(self.next_sequence, count as i32);
        let (len, serial) = (bytes.len(), self.next_serial);
        self.next_serial += 1;
        self.queue.push_back(Batch { bytes, first, count, runs, serial, is_in_flight: false });
        Ok(len)
    }

    /// Sealed batches that wait.
    pub fn waiting(&self) -> usize {
        self.queue.len() - self.in_flight
    }

    /// Whether [`Partition::take`] would give a batch.
    pub fn can_take(&self) -> bool {
        !(self.is_recovering && 0 < self.in_flight) && 0 < self.waiting()
    }

    /// Size of the batch that is next.
    pub fn next_bytes(&self) -> usize {
        self.queue.iter().find(|batch| !batch.is_in_flight).map_or(0, |batch| batch.bytes.len())
    }

    /// Takes the first batch that waits.
    pub fn take(&mut self, partition: usize) -> Option<(Ticket, Bytes)> {
        if !self.can_take() {
            return None;
        }
        self.is_recovering = false;
        let batch = self.queue.iter_mut().find(|batch| !batch.is_in_flight)?;
        batch.is_in_flight = true;
        self.in_flight += 1;
        Some((Ticket { partition, serial: batch.serial }, batch.bytes.clone()))
    }

    /// The batch is done with, acknowledged or given up.
    pub fn done(&mut self, ticket: Ticket) -> Option<Batch> {
        let at = self.position(ticket)?;
        self.in_flight -= 1;
        self.queue.remove(at)
    }

    /// The batch is to be sent again.
    pub fn failed(&mut self, ticket: Ticket) {
        if let Some(at) = self.position(ticket) {
            self.queue[at].is_in_flight = false;
            self.in_flight -= 1;
            self.is_recovering = true;
        }
    }

    fn position(&self, ticket: Ticket) -> Option<usize> {
        self.queue.iter().position(|batch| batch.serial == ticket.serial && batch.is_in_flight)
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_model::record::{Compression, RecordBatch};
    use whimbrel_model::{ProducerEpoch, ProducerId};

    use super::super::batch::Name;
    use super::*;

    const KIND: BatchKind =
        BatchKind { compression: Compression::NONE, producer: Some((ProducerId(1), ProducerEpoch(0))) };

    fn filled(batches: usize) -> Partition {
        let mut partition = Partition::default();
        for _ in 0..batches {
            for _ in 0..3 {
                let number = partition.next_number();
                let name = Name { producer: 0, number, intended_ns: 5 };
                partition.push(
                    || Beginning { capacity: 100, timestamp: 0, ripe_ns: 0 },
                    |open| {
                        open.push(name, None, b"");
                        Run { first_ns: 5, step_ns: 0.0, count: 1 }
                    },
                );
            }
            partition.seal(KIND).unwrap();
        }
        partition
    }

    fn sequence(bytes: &Bytes) -> i32 {
        RecordBatch::parse(bytes).unwrap().header.base_sequence
    }

    #[test]
    fn numbers_and_sequences_follow_each_other() {
        let mut partition = filled(3);
        let taken: Vec<_> = std::iter::from_fn(|| partition.take(0)).collect();
        assert_eq!(taken.iter().map(|(_, bytes)| sequence(bytes)).collect::<Vec<_>>(), [0, 3, 6]);
        let batch = partition.done(taken[1].0).unwrap();
        assert_eq!((batch.first, batch.count, batch.runs.len()), (3, 3, 1));
        assert!(partition.done(taken[1].0).is_none(), "it is done once");
    }

    #[test]
    fn after_a_failure_all_come_back_before_the_first_goes_again() {
        let mut partition = filled(3);
        let (first, second) = (partition.take(0).unwrap(), partition.take(0).unwrap());
        partition.failed(first.0);
        assert!(partition.take(0).is_none(), "the second is still in flight");
        partition.failed(second.0);
        let again: Vec<_> = std::iter::from_fn(|| partition.take(0)).map(|(_, bytes)| sequence(&bytes)).collect();
        assert_eq!(again, [0, 3, 6]);
    }
}
