//! A producer of the load: a thread that hands records over when they are due, whatever the cluster does (open loop).
//!
//! One turn takes what has arrived, puts what has become due into batches, sends what may be sent, and waits for the
//! next record, the next batch or the next answer. A record counts from the time at which it was to be sent, so that
//! neither a slow cluster nor a slow turn hides in the figures.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use whimbrel_client::producer::partitioner::partition_of_key;

use super::batch::{BatchKind, HEADER_ALLOWANCE, KEY_BYTES, NAME_BYTES, Name};
use super::batches::{Beginning, Partition};
use super::clock::{Run, Schedule};
use super::link::wake_precisely;
use super::payload::{KeyChoice, Pool};
use super::sending::Sending;
use super::shared::Shared;
use crate::bench::histogram::{new_histogram, record};
use crate::bench::verify::Acknowledged;

/// What waits or is under way at one producer, as Kafka's `buffer.memory`. Nothing more is taken until there is room;
/// what is due meanwhile keeps its time.
const BUFFER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Where records follow each other more closely than this, several are handed over together: each waking costs more than
/// making a record.
const WAKE_NS_MIN: u64 = 50_000;
/// A record that is due so soon is waited for without sleep where all producers together send no more than
/// [`SPARSE_RATE_MAX`] a second: the kernel wakes a thread of an idle machine 30 to 60 µs late, a third of what one record
/// at a time takes.
const SPIN_NS: u64 = 100_000;
const SPARSE_RATE_MAX: u64 = 1_000;
/// Partitions that are looked at for one that is not behind.
const TRIES_MAX: usize = 64;
/// A partition with so many sealed batches is passed over while others are not behind.
const WAITING_MAX: usize = 2;
/// How long after the end the last answers are waited for: brokers that were harmed come back first.
const DRAIN_NS: u64 = 120_000_000_000;
/// How long after the end what was due before it is still handed over.
const BACKLOG_NS: u64 = 10_000_000_000;
/// The longest sleep: whoever ends the load early is noticed. Thousands of producers look up less often, all of them
/// together 2,000 times a second.
const SLEEP_NS_MIN: u64 = 50_000_000;
const SLEEP_NS_PER_PRODUCER: u64 = 500_000;

/// What a producer is besides what all of them share.
pub struct ProducerPlan {
    pub index: usize,
    /// `None`: as fast as records are acknowledged.
    pub schedule: Option<Schedule>,
    pub kind: BatchKind,
    pub pool: Pool,
    pub keys: Option<KeyChoice>,
}

/// What became of a producer's records.
pub struct Produced {
    pub acknowledged: Acknowledged,
    /// Microseconds that records were handed over behind their time, in the measured part.
    pub lateness: Histogram<u64>,
    /// CPU of the thread and records handed over, in the measured part.
    pub cpu: Duration,
    pub records: u64,
    /// Records handed over and neither acknowledged nor refused at the end.
    pub unanswered: u64,
}

/// One producer.
pub struct Producer {
    shared: Arc<Shared>,
    plan: ProducerPlan,
    partitions: Vec<Partition>,
    sending: Sending,
    /// Where the batches without keys go at present.
    sticky: usize,
    /// Records handed over, and the size of each in a batch.
    handed_over: u64,
    record_bytes: usize,
    /// Due records whose lateness was taken.
    noticed: u64,
    /// When the batch of a partition has lingered, earliest first.
    lingering: VecDeque<(u64, usize)>,
    lateness: Histogram<u64>,
    measure: Measure,
}

/// CPU time and records at the bounds of the measured part.
#[derive(Default)]
struct Measure {
    begin: Option<(Duration, u64)>,
    end: Option<(Duration, u64)>,
}

impl Producer {
    pub fn new(shared: Arc<Shared>, plan: ProducerPlan) -> Self {
        let partitions = (0..shared.topics.len()).map(|_| Partition::default()).collect();
        let key_bytes = if plan.keys.is_some() { KEY_BYTES } else { 0 };
        let record_bytes = shared.workload.record_bytes + key_bytes + HEADER_ALLOWANCE;
        let sending = Sending::new(shared.clone(), plan.index, plan.kind, record_bytes);
        // Producers begin at different partitions, as if they had chosen by chance.
        let sticky = plan.index % shared.topics.len();
        let (lateness, measure) = (new_histogram(), Measure::default());
        let (handed_over, noticed, lingering) = (0, 0, VecDeque::new());
        Self {
            shared,
            plan,
            partitions,
            sending,
            sticky,
            handed_over,
            record_bytes,
            noticed,
            lingering,
            lateness,
            measure,
        }
    }

    /// Produces until the load is over and everything is answered.
    ///
    /// # Errors
    /// The kernel refuses to wait, or a codec fails.
    pub fn run(mut self) -> anyhow::Result<Produced> {
        wake_precisely();
        let clock = self.shared.clock.clone();
        loop {
            let now = clock.now();
            self.measure.look(&clock, now, self.handed_over);
            self.sending.take_leaders(&mut self.partitions, now);
            self.hand_over(now)?;
            self.ripen(now);
            self.sending.send(&mut self.partitions, now)?;
            if clock.end_ns() <= now && self.is_finished(now) {
                break;
            }
            let wait = self.next_turn(now).saturating_sub(clock.now());
            // As fast as possible: the next request follows at once while one more may be in flight.
            let is_behind =
                self.tops_up() && self.hands_over(now) && self.sending.hungry(&self.partitions, now).is_some();
            let wait = if is_behind { 0 } else { wait };
            let wait = if self.is_sparse() { wait.saturating_sub(SPIN_NS) } else { wait };
            self.sending.wait(&mut self.partitions, Duration::from_nanos(wait))?;
        }
        self.give_up_backlog();
        let (cpu, records) = self.measure.difference();
        let unanswered = (self.sending.buffered / self.record_bytes) as u64;
        let acknowledged = self.sending.acknowledged;
        Ok(Produced { acknowledged, lateness: self.lateness, cpu, records, unanswered })
    }

    fn is_finished(&self, now: u64) -> bool {
        let gives_up = self.shared.clock.end_ns() + DRAIN_NS <= now || self.shared.is_over.load(Ordering::Relaxed);
        self.sending.buffered == 0 && !self.hands_over(now) || gives_up
    }

    /// Whether batches are made for what each broker takes next.
    fn tops_up(&self) -> bool {
        self.plan.schedule.is_none() && self.plan.keys.is_none()
    }

    fn is_sparse(&self) -> bool {
        self.shared.workload.rate.is_some_and(|rate| rate <= SPARSE_RATE_MAX)
    }

    /// Whether records are still to be handed over. What was due before the end is so after it too, for a while: left
    /// out, the latest of all records would be missing where the system is behind.
    fn hands_over(&self, now: u64) -> bool {
        let clock = &self.shared.clock;
        match &self.plan.schedule {
            Some(schedule) if clock.end_ns() <= now => {
                !self.shared.is_cut_short.load(Ordering::Relaxed)
                    && now < clock.end_ns() + BACKLOG_NS
                    && self.handed_over < schedule.due(clock.end_ns() - 1)
            }
            _ => now < clock.end_ns(),
        }
    }

    /// Records that were due and never handed over count as late as they are by now.
    fn give_up_backlog(&mut self) {
        let Some(schedule) = &self.plan.schedule else { return };
        let left = schedule.due(self.shared.clock.end_ns() - 1).saturating_sub(self.handed_over);
        if left == 0 {
            return;
        }
        let count = u32::try_from(left).unwrap_or(u32::MAX);
        let run = Run { first_ns: schedule.intended(self.handed_over), step_ns: schedule.interval_ns, count };
        let now = self.shared.clock.now();
        self.shared.recording.shard(self.plan.index).latency_only(now, &[run]);
        self.shared
            .error(self.plan.index, format!("{left} records were due and never sent: the system was too far behind"));
    }

    /// Puts into batches what is due at `now`.
    fn hand_over(&mut self, now: u64) -> anyhow::Result<()> {
        if !self.hands_over(now) || self.shared.is_over.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.plan.schedule {
            Some(schedule) => {
                let due = schedule.due(now.min(self.shared.clock.end_ns() - 1));
                self.note_lateness(&schedule, due, now);
                while self.handed_over < due && self.sending.buffered < BUFFER_BYTES_MAX {
                    let left = u32::try_from(due - self.handed_over).unwrap_or(u32::MAX);
                    let first = self.handed_over;
                    if self.plan.keys.is_some() {
                        let at = Run { first_ns: schedule.intended(first), step_ns: 0.0, count: 1 };
                        self.push_keyed(at)?;
                    } else {
                        let run =
                            Run { first_ns: schedule.intended(first), step_ns: schedule.interval_ns, count: left };
                        self.push_sticky(run)?;
                    }
                }
            }
            None if self.plan.keys.is_some() => {
                let enough = self.sending.request_bytes_of_all();
                while self.sending.buffered < enough {
                    self.push_keyed(Run { first_ns: now, step_ns: 0.0, count: 1 })?;
                }
            }
            None => self.top_up(now)?,
        }
        Ok(())
    }

    fn note_lateness(&mut self, schedule: &Schedule, due: u64, now: u64) {
        // Together where they are due within the same microsecond.
        let together = (1000.0 / schedule.interval_ns).max(1.0) as u64;
        while self.noticed < due {
            let intended = schedule.intended(self.noticed);
            let count = together.min(due - self.noticed);
            if self.shared.clock.is_measured(intended) {
                record(&mut self.lateness, now.saturating_sub(intended) / 1000, count);
            }
            self.noticed += count;
        }
    }

    /// Puts records into the batch of the partition whose turn it is, as many as it takes.
    fn push_sticky(&mut self, due: Run) -> anyhow::Result<()> {
        if !self.partitions[self.sticky].is_open() {
            self.sticky = self.next_sticky();
        }
        self.push(self.sticky, due, None)
    }

    /// The next partition, passing over those that are behind, such as those of a broker that is gone.
    fn next_sticky(&self) -> usize {
        let count = self.partitions.len();
        let next = |step: usize| (self.sticky + step) % count;
        let is_behind = |index: usize| WAITING_MAX <= self.partitions[index].waiting();
        (1..=count.min(TRIES_MAX)).map(next).find(|index| !is_behind(*index)).unwrap_or(next(1))
    }

    fn push_keyed(&mut self, at: Run) -> anyhow::Result<()> {
        let Some(keys) = &mut self.plan.keys else { return Ok(()) };
        let key = keys.next();
        let topics = &self.shared.topics;
        let partition = partition_of_key(&key, topics.partitions());
        let topic = (self.handed_over % topics.count() as u64) as usize;
        match topics.index_of(topic, partition) {
            Some(index) => self.push(index, at, Some(key)),
            None => Ok(()),
        }
    }

    /// Without keys and as fast as possible: batches for what each broker takes next.
    fn top_up(&mut self, now: u64) -> anyhow::Result<()> {
        while let Some(partition) = self.sending.hungry(&self.partitions, now) {
            let run = Run { first_ns: now, step_ns: 0.0, count: u32::MAX };
            self.push(partition, run, None)?;
        }
        Ok(())
    }

    /// Puts records into the batch of a partition until it is full.
    fn push(&mut self, index: usize, due: Run, key: Option<[u8; KEY_BYTES]>) -> anyhow::Result<()> {
        let workload = &self.shared.workload;
        let (batch_bytes, size) = (workload.batch_bytes, self.record_bytes);
        let linger_ns = (workload.linger_ms * 1e6) as u64;
        let payload_bytes = workload.record_bytes - NAME_BYTES;
        let (pool, producer) = (&mut self.plan.pool, self.plan.index as u16);
        let partition = &mut self.partitions[index];
        let (was_open, first) = (partition.is_open(), partition.next_number());
        let ripe_ns = due.first_ns + linger_ns;
        let mut pushed = 0;
        let len = partition.push(
            || Beginning { capacity: batch_bytes + size, timestamp: now_ms(), ripe_ns },
            |open| {
                let room = batch_bytes.saturating_sub(open.len()) / size;
                let count = due.count.min(u32::try_from(room).unwrap_or(u32::MAX)).max(1);
                for place in 0..count {
                    let name = Name { producer, number: first + u64::from(place), intended_ns: due.intended(place) };
                    open.push(name, key, pool.next(payload_bytes));
                }
                pushed = count;
                Run { count, ..due }
            },
        );
        self.handed_over += u64::from(pushed);
        self.sending.buffered += pushed as usize * size;
        if batch_bytes < len + size {
            self.partitions[index].seal(self.plan.kind)?;
            self.sending.list(&mut self.partitions[index], index);
        } else if linger_ns == 0 {
            self.sending.list(&mut self.partitions[index], index);
        } else if !was_open {
            self.lingering.push_back((ripe_ns, index));
        }
        Ok(())
    }

    /// Batches that have lingered may be sent; at the end all of them.
    fn ripen(&mut self, now: u64) {
        let is_over = self.shared.clock.end_ns() <= now;
        while let Some((_, index)) = self.lingering.pop_front_if(|(ripe_ns, _)| is_over || *ripe_ns <= now) {
            // It may have become full before, and been sent.
            if self.partitions[index].is_open() {
                self.sending.list(&mut self.partitions[index], index);
            }
        }
    }

    /// When something is to be done even if nothing arrives.
    fn next_turn(&self, now: u64) -> u64 {
        let mut next = now + SLEEP_NS_MIN.max(SLEEP_NS_PER_PRODUCER * self.shared.workload.producers as u64);
        if let Some(schedule) = &self.plan.schedule
            && self.hands_over(now)
            && self.sending.buffered < BUFFER_BYTES_MAX
        {
            let due = schedule.intended(self.handed_over);
            let is_dense = schedule.interval_ns < WAKE_NS_MIN as f64;
            next = next.min(if is_dense { due.max(now + WAKE_NS_MIN) } else { due });
        }
        if let Some((ripe_ns, _)) = self.lingering.front() {
            next = next.min(*ripe_ns);
        }
        next.min(self.sending.next_turn().unwrap_or(next))
    }
}

impl Measure {
    fn look(&mut self, clock: &super::clock::Clock, now: u64, records: u64) {
        if self.begin.is_none() && clock.measured_from_ns <= now {
            self.begin = Some((thread_cpu(), records));
        }
        if self.end.is_none() && clock.end_ns() <= now {
            self.end = Some((thread_cpu(), records));
        }
    }

    fn difference(&self) -> (Duration, u64) {
        match (self.begin, self.end) {
            (Some(begin), Some(end)) => (end.0.saturating_sub(begin.0), end.1 - begin.1),
            _ => (Duration::ZERO, 0),
        }
    }
}

/// CPU time of the calling thread, user and system.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
