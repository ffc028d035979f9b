//! The producer's batches without I/O: what is being filled, what is due, what is on its way.
//!
//! For each partition:
//! ```text
//! add ──▶ open batch ──full, or linger passed, or flush──▶ sealed batches ──take_due──▶ one in flight ──done──▶ next
//! ```
//! One batch of a partition is in flight at a time. That keeps the order of records under retries, and with it the
//! sequence numbers of an idempotent producer, without any bookkeeping of what may overtake what; batches grow while
//! one is on its way, so that throughput does not suffer.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use whimbrel_model::record::{BatchBuilder, BatchOptions, BuildError, Compression, Header, increment_sequence};
use whimbrel_model::{ProducerEpoch, ProducerId};

use super::delivery::Outcome;

/// A partition of a topic.
pub type Target = (Arc<str>, i32);

/// A batch that is ready to be sent.
#[derive(Debug)]
pub struct ReadyBatch {
    pub target: Target,
    pub bytes: Bytes,
    pub outcome: Arc<Outcome>,
    /// Since when its first record waits.
    pub since: Instant,
    /// The room its records take in the producer's buffer; freed with the batch.
    pub _room: Option<OwnedSemaphorePermit>,
}

/// A batch that could not be built, and whoever waits for it.
#[derive(Debug)]
pub struct BrokenBatch {
    pub target: Target,
    pub outcome: Arc<Outcome>,
    pub error: BuildError,
}

/// What makes batches of a producer differ from another's.
#[derive(Debug, Clone, Copy)]
pub struct BatchSettings {
    /// A batch is sealed when it has this many bytes before compression.
    pub bytes: usize,
    /// How long a batch waits for more records.
    pub linger: Duration,
    pub compression: Compression,
    /// Set for an idempotent producer.
    pub producer: Option<(ProducerId, ProducerEpoch)>,
}

/// One record, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct RecordRef<'a> {
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(String, Option<Bytes>)],
}

#[derive(Debug)]
struct OpenBatch {
    builder: BatchBuilder,
    outcome: Arc<Outcome>,
    since: Instant,
    room: Option<OwnedSemaphorePermit>,
}

#[derive(Debug, Default)]
struct Queue {
    open: Option<OpenBatch>,
    sealed: VecDeque<OpenBatch>,
    is_in_flight: bool,
    next_sequence: i32,
}

/// All batches of one producer.
#[derive(Debug)]
pub struct Batches {
    settings: BatchSettings,
    queues: HashMap<Target, Queue>,
}

impl Batches {
    #[must_use]
    pub fn new(settings: BatchSettings) -> Self {
        Self { settings, queues: HashMap::new() }
    }

    /// Adds a record and tells in which batch, at which place, and whether that made something due at once.
    ///
    /// # Errors
    /// The record is too large for any batch.
    pub fn add(
        &mut self,
        now: Instant,
        target: &Target,
        record: RecordRef<'_>,
        room: Option<OwnedSemaphorePermit>,
    ) -> Result<(Arc<Outcome>, i32, bool), BuildError> {
        let settings = self.settings;
        let queue = self.queues.entry(target.clone()).or_default();
        let open = queue.open.get_or_insert_with(|| OpenBatch::new(now, settings, queue.next_sequence));
        let index = open.builder.record_count();
        let headers = record.headers.iter().map(|(key, value)| Header { key: key.as_bytes(), value: value.as_deref() });
        open.builder.append(record.timestamp, record.key, record.value, headers)?;
        match (&mut open.room, room) {
            (Some(all), Some(more)) => all.merge(more),
            (none, more) => *none = more,
        }
        let outcome = open.outcome.clone();
        let is_full = settings.bytes <= open.builder.uncompressed_bytes();
        if is_full {
            queue.seal();
        }
        Ok((outcome, index, is_full || settings.linger.is_zero()))
    }

    /// Takes what is to be sent now: at most one batch of each partition. Each is in flight until [`Batches::done`].
    pub fn take_due(&mut self, now: Instant) -> (Vec<ReadyBatch>, Vec<BrokenBatch>) {
        let (mut ready, mut broken) = (Vec::new(), Vec::new());
        let linger = self.settings.linger;
        for (target, queue) in &mut self.queues {
            if queue.is_in_flight {
                continue;
            }
            if queue.sealed.is_empty() && queue.open.as_ref().is_some_and(|open| open.since + linger <= now) {
                queue.seal();
            }
            let Some(batch) = queue.sealed.pop_front() else { continue };
            let OpenBatch { builder, outcome, since, room } = batch;
            match builder.build() {
                Ok(bytes) => {
                    queue.is_in_flight = true;
                    ready.push(ReadyBatch { target: target.clone(), bytes, outcome, since, _room: room });
                }
                Err(error) => broken.push(BrokenBatch { target: target.clone(), outcome, error }),
            }
        }
        (ready, broken)
    }

    /// When something will be due that is not yet; `None` while nothing waits, or only behind what is in flight.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let idle = self.queues.values().filter(|queue| !queue.is_in_flight);
        idle.filter_map(|queue| match queue.sealed.front() {
            Some(sealed) => Some(sealed.since),
            None => queue.open.as_ref().map(|open| open.since + self.settings.linger),
        })
        .min()
    }

    /// The batch of `target` that was in flight is acknowledged or given up.
    pub fn done(&mut self, target: &Target) {
        if let Some(queue) = self.queues.get_mut(target) {
            queue.is_in_flight = false;
        }
    }

    /// Closes all open batches, so that they are due.
    pub fn seal_all(&mut self) {
        self.queues.values_mut().for_each(Queue::seal);
    }

    /// Whether nothing waits and nothing is in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queues.values().all(|queue| !queue.is_in_flight && queue.open.is_none() && queue.sealed.is_empty())
    }
}

impl OpenBatch {
    fn new(now: Instant, settings: BatchSettings, sequence: i32) -> Self {
        let mut options = BatchOptions { compression: settings.compression, ..BatchOptions::default() };
        if let Some((producer_id, producer_epoch)) = settings.producer {
            options.producer_id = producer_id;
            options.producer_epoch = producer_epoch;
            options.base_sequence = sequence;
        }
        Self { builder: BatchBuilder::new(options), outcome: Arc::default(), since: now, room: None }
    }
}

impl Queue {
    fn seal(&mut self) {
        if let Some(open) = self.open.take_if(|open| !open.builder.is_empty()) {
            self.next_sequence = increment_sequence(self.next_sequence, open.builder.record_count());
            self.sealed.push_back(open);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use whimbrel_model::record::RecordBatch;

    fn record(value: &[u8]) -> RecordRef<'_> {
        RecordRef { timestamp: 1, key: None, value: Some(value), headers: &[] }
    }

    fn batches() -> Batches {
        let producer = Some((ProducerId(7), ProducerEpoch(0)));
        Batches::new(BatchSettings {
            bytes: 200,
            linger: Duration::from_millis(5),
            compression: Compression::NONE,
            producer,
        })
    }

    #[test]
    fn a_batch_is_due_when_full_or_when_it_has_lingered() {
        let (mut batches, now, target) = (batches(), Instant::now(), ("t".into(), 0));
        let (_, index, due) = batches.add(now, &target, record(b"x"), None).unwrap();
        assert_eq!((index, due), (0, false));
        assert!(batches.take_due(now).0.is_empty());
        assert_eq!(batches.next_due(), Some(now + Duration::from_millis(5)));
        assert_eq!(batches.take_due(now + Duration::from_millis(5)).0.len(), 1);
        let (_, _, due) = batches.add(now, &target, record(&[0; 300]), None).unwrap();
        assert!(due, "a full batch is due at once");
    }

    #[test]
    fn one_batch_of_a_partition_is_in_flight_and_sequences_follow_each_other() {
        let (mut batches, now, target) = (batches(), Instant::now(), ("t".into(), 0));
        for _ in 0..4 {
            batches.add(now, &target, record(&[0; 100]), None).unwrap();
        }
        let mut sequences = Vec::new();
        for _ in 0..2 {
            let (ready, _) = batches.take_due(now);
            assert_eq!(ready.len(), 1);
            assert!(batches.take_due(now).0.is_empty(), "the second waits for the first");
            let batch = RecordBatch::parse(&ready[0].bytes).unwrap();
            sequences.push((batch.header.base_sequence, batch.header.record_count));
            batches.done(&target);
        }
        assert_eq!(sequences, [(0, 2), (2, 2)]);
        assert!(batches.is_idle());
    }
}
