//! A member of a group of the load: a thread that reads its share of the partitions, without a coordinator, and notes
//! when each record arrives.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use whimbrel_model::record::{BatchError, Batches, DecompressionBuffer};
use whimbrel_model::{ErrorCode, Offset};
use whimbrel_wire::fetch::{FetchPartition, FetchTopic, ForgottenTopic, PartitionData};
use whimbrel_wire::{FetchRequest, FetchResponse, Records};

use super::batch::{ReadError, read_names};
use super::leaders::Leaders;
use super::link::{LinkError, decode, wake_precisely};
use super::links::Links;
use super::session::{Asked, Session};
use super::shared::Shared;
use crate::bench::verify::Seen;

/// Kafka's defaults: `fetch.max.wait.ms`, `fetch.max.bytes`, `max.partition.fetch.bytes`.
const WAIT_MS_MAX: i32 = 500;
pub const BYTES_MAX: i32 = 50 * 1024 * 1024;
const PARTITION_BYTES_MAX: i32 = 1024 * 1024;
/// Before a partition is asked for again that could not be read.
const RETRY_NS: u64 = 20_000_000;
/// An answer that is late by this makes it worth asking whether the leader is still the same; the broker has
/// `WAIT_MS_MAX` itself.
const STALL_NS: u64 = 1_500_000_000;
/// An answer that is not there by then does not come.
const ANSWER_NS_MAX: u64 = 30_000_000_000;
/// The longest sleep: the end of the load is noticed.
const SLEEP_NS_MAX: u64 = 20_000_000;
/// At the end, how long nothing may arrive before the rest is given up.
const SILENCE_NS_MAX: u64 = 60_000_000_000;

/// Where the partitions end, once nothing more comes. `None` for one whose end could not be found.
pub type Ends = OnceLock<Vec<Option<i64>>>;

/// What a member is besides what all share.
pub struct ConsumerPlan {
    /// Counts over all members of all groups, for the histograms.
    pub client: usize,
    /// The partitions that it reads.
    pub partitions: Vec<usize>,
    /// Producers whose records come.
    pub producers: usize,
    pub ends: Arc<Ends>,
    /// Its records are measured; not so where it only reads back.
    pub is_measured: bool,
}

/// What a member has read.
pub struct Consumed {
    /// By partition (as in its plan) and producer.
    pub seen: Vec<(usize, Vec<Seen>)>,
    /// It came to the end of all of them.
    pub is_complete: bool,
}

/// One member.
pub struct Consumer {
    shared: Arc<Shared>,
    plan: ConsumerPlan,
    positions: BTreeMap<usize, Position>,
    leaders: Arc<Leaders>,
    generation: u64,
    links: Links,
    sessions: BTreeMap<i32, Session>,
    /// When the fetch under way at a broker was sent.
    fetching: BTreeMap<i32, u64>,
    /// Partitions that could not be read, until they are asked for again; earliest first.
    resting: VecDeque<(u64, usize)>,
    buffer: DecompressionBuffer,
    last_arrival_ns: u64,
}

struct Position {
    next: i64,
    seen: Vec<Seen>,
}

impl Consumer {
    pub fn new(shared: Arc<Shared>, plan: ConsumerPlan) -> Self {
        let position = || Position { next: 0, seen: vec![Seen::default(); plan.producers] };
        let positions = plan.partitions.iter().map(|index| (*index, position())).collect();
        let (leaders, links) = (Arc::default(), Links::new());
        let (sessions, fetching, resting) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new());
        let buffer = DecompressionBuffer::default();
        let (generation, last_arrival_ns) = (0, 0);
        Self {
            shared,
            plan,
            positions,
            leaders,
            generation,
            links,
            sessions,
            fetching,
            resting,
            buffer,
            last_arrival_ns,
        }
    }

    /// Reads until the ends are known and reached.
    ///
    /// # Errors
    /// The kernel refuses to wait, or what is read was not written by the load.
    pub fn run(mut self) -> anyhow::Result<Consumed> {
        wake_precisely();
        let clock = self.shared.clock.clone();
        // It may begin long after the load did, where what nobody consumed is read back.
        self.last_arrival_ns = clock.now();
        let is_complete = loop {
            let now = clock.now();
            if let Some(is_complete) = self.ended(now) {
                break is_complete;
            }
            self.take_leaders(now);
            self.end_rests(now);
            self.take_connections(now);
            self.fetch(now);
            self.look_for_stalls(now);
            for (broker, result) in self.links.wait(Duration::from_nanos(SLEEP_NS_MAX))? {
                let answers = match result {
                    Ok(()) => self.answers(broker),
                    Err(error) => Err(error),
                };
                match answers {
                    Ok(answers) => answers.into_iter().try_for_each(|answer| self.take(broker, answer))?,
                    Err(error) => self.close(broker, &error.to_string()),
                }
            }
        };
        let seen = self.positions.into_iter().map(|(index, position)| (index, position.seen)).collect();
        Ok(Consumed { seen, is_complete })
    }

    /// Whether it is over, and then whether all was read.
    fn ended(&self, now: u64) -> Option<bool> {
        let ends = self.plan.ends.get()?;
        let end = |index: &usize| ends.get(*index).copied().flatten();
        if self.positions.iter().all(|(index, position)| end(index).is_some_and(|end| end <= position.next)) {
            return Some(true);
        }
        (self.last_arrival_ns + SILENCE_NS_MAX <= now).then_some(false)
    }

    /// Reads each partition from its leader.
    fn take_leaders(&mut self, now: u64) {
        let generation = self.shared.leaders.generation();
        if generation == self.generation {
            return;
        }
        self.generation = generation;
        self.leaders = self.shared.leaders.current();
        for index in self.positions.keys() {
            let leader = self.leaders.leader.get(*index).copied().unwrap_or(-1);
            for (broker, session) in &mut self.sessions {
                if *broker != leader {
                    session.leave(*index);
                }
            }
            if 0 <= leader {
                let session = self.sessions.entry(leader).or_default();
                if !session.wants(*index) && !self.resting.iter().any(|(_, resting)| resting == index) {
                    session.want(*index);
                }
            } else {
                self.shared.leaders.refresh();
            }
        }
        // What hangs at a broker that leads nothing of ours any more is not waited for.
        let is_idle = |broker: &i32| self.sessions.get(broker).is_none_or(Session::is_empty);
        let stalled = |(broker, at): (&i32, &u64)| (at + STALL_NS <= now && is_idle(broker)).then_some(*broker);
        let stalled: Vec<i32> = self.fetching.iter().filter_map(stalled).collect();
        for broker in stalled {
            self.close(broker, "no answer, and another broker leads");
        }
    }

    /// Partitions that have rested are read again, from whoever leads them now.
    fn end_rests(&mut self, now: u64) {
        while let Some((_, index)) = self.resting.pop_front_if(|(until_ns, _)| *until_ns <= now) {
            match self.leaders.leader.get(index).filter(|leader| 0 <= **leader) {
                Some(leader) => self.sessions.entry(*leader).or_default().want(index),
                // Whoever leads it next is told with the next leaders.
                None => self.shared.leaders.refresh(),
            }
        }
    }

    fn take_connections(&mut self, now: u64) {
        let (shared, client) = (&self.shared, self.plan.client);
        self.links.take_made(now, |_, made| {
            if let Err(error) = made {
                shared.error(client, format!("cannot connect: {error}"));
                shared.leaders.refresh();
            }
        });
    }

    /// Asks each leader that has no fetch under way.
    fn fetch(&mut self, now: u64) {
        let idle = |(broker, session): (&i32, &Session)| {
            (!session.is_empty() && !self.fetching.contains_key(broker)).then_some(*broker)
        };
        let idle: Vec<i32> = self.sessions.iter().filter_map(idle).collect();
        for broker in idle {
            if self.links.get(broker).is_none() {
                if let Some(address) = self.leaders.addresses.get(&broker) {
                    self.links.connect(broker, address, now);
                }
                continue;
            }
            let Some(asked) = self.sessions.get_mut(&broker).map(Session::next) else { continue };
            let request = self.request(&asked);
            let Some(link) = self.links.get(broker) else { continue };
            let sent = link.send(&request, self.shared.versions.fetch, Some(()));
            self.fetching.insert(broker, now);
            if let Err(error) = sent {
                self.close(broker, &error.to_string());
            }
        }
    }

    fn request(&self, asked: &Asked) -> FetchRequest {
        let mut topics: Vec<FetchTopic> = Vec::new();
        for index in &asked.partitions {
            let Some(position) = self.positions.get(index) else { continue };
            let (name, partition) = self.shared.topics.target(*index);
            let wanted = FetchPartition {
                partition,
                fetch_offset: position.next,
                partition_max_bytes: PARTITION_BYTES_MAX,
                ..FetchPartition::default()
            };
            match topics.last_mut() {
                Some(topic) if topic.topic == *name => topic.partitions.push(wanted),
                _ => topics.push(FetchTopic { topic: name.clone(), partitions: vec![wanted], ..FetchTopic::default() }),
            }
        }
        FetchRequest {
            replica_id: -1,
            max_wait_ms: WAIT_MS_MAX,
            min_bytes: i32::try_from(self.shared.workload.fetch_min_bytes).unwrap_or(BYTES_MAX),
            max_bytes: BYTES_MAX,
            session_id: asked.id,
            session_epoch: asked.epoch,
            topics,
            forgotten_topics_data: self.forgotten(asked),
            ..FetchRequest::default()
        }
    }

    fn forgotten(&self, asked: &Asked) -> Vec<ForgottenTopic> {
        let forgotten = |index: &usize| {
            let (name, partition) = self.shared.topics.target(*index);
            ForgottenTopic { topic: name.clone(), partitions: vec![partition], ..ForgottenTopic::default() }
        };
        asked.forgotten.iter().map(forgotten).collect()
    }

    fn answers(&mut self, broker: i32) -> Result<Vec<FetchResponse>, LinkError> {
        let mut answers = Vec::new();
        while let Some(link) = self.links.get(broker) {
            let Some(((), frame)) = link.next_answer()? else { break };
            let answer = decode::<FetchRequest>(&frame, self.shared.versions.fetch)?;
            self.fetching.remove(&broker);
            if let Some(session) = self.sessions.get_mut(&broker) {
                session.answered(answer.session_id, ErrorCode::from_code(answer.error_code));
            }
            answers.push(answer);
        }
        Ok(answers)
    }

    fn take(&mut self, broker: i32, answer: FetchResponse) -> anyhow::Result<()> {
        let now = self.shared.clock.now();
        if answer.error_code != 0 {
            self.shared.error(self.plan.client, ErrorCode::from_code(answer.error_code).name().to_owned());
        }
        for topic in answer.responses {
            for data in topic.partitions {
                if let Some(index) = self.shared.topics.index_by_name(&topic.topic, data.partition_index) {
                    self.take_partition(broker, index, data, now)?;
                }
            }
        }
        Ok(())
    }

    fn take_partition(&mut self, broker: i32, index: usize, data: PartitionData, now: u64) -> anyhow::Result<()> {
        let code = ErrorCode::from_code(data.error_code);
        let Some(session) = self.sessions.get_mut(&broker) else { return Ok(()) };
        if code != ErrorCode::None {
            // In the session it would be answered again at once.
            session.leave(index);
            self.resting.push_back((now + RETRY_NS, index));
            self.shared.error(self.plan.client, code.name().to_owned());
            self.shared.leaders.refresh();
            return Ok(());
        }
        let bytes = data.records.and_then(Records::into_bytes).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(());
        }
        session.moved(index);
        self.last_arrival_ns = now;
        if let Some(uptime) = &self.shared.uptime {
            uptime.consumed(index);
        }
        let read = self.read(index, &bytes, now);
        let (topic, partition) = self.shared.topics.target(index);
        read.map_err(|error| anyhow::anyhow!("{topic}-{partition} does not hold what was written: {error}"))
    }

    fn read(&mut self, index: usize, bytes: &Bytes, now: u64) -> Result<(), ConsumeError> {
        let Some(position) = self.positions.get_mut(&index) else { return Ok(()) };
        let mut shard = self.plan.is_measured.then(|| self.shared.recording.shard(self.plan.client));
        let mut arrivals = Arrivals::default();
        let mut count = 0;
        for batch in Batches::new(bytes) {
            let batch = batch?;
            if batch.header.attributes.is_control() {
                position.next = batch.header.next_offset().0;
                continue;
            }
            let seen = &mut position.seen;
            let mut stranger = None;
            read_names(&batch, Offset(position.next), &mut self.buffer, |name, bytes| {
                match seen.get_mut(usize::from(name.producer)) {
                    Some(seen) => seen.read(name.number),
                    None => stranger = Some(name.producer),
                }
                count += 1;
                if let Some((intended, count, bytes)) = arrivals.add(name.intended_ns, bytes)
                    && let Some(shard) = &mut shard
                {
                    shard.consumed(now, intended, count, bytes);
                }
            })?;
            if let Some(producer) = stranger {
                return Err(ConsumeError::Stranger(producer));
            }
            position.next = position.next.max(batch.header.next_offset().0);
        }
        if let Some((intended, count, bytes)) = arrivals.last()
            && let Some(shard) = &mut shard
        {
            shard.consumed(now, intended, count, bytes);
        }
        drop(shard);
        self.shared.live.consumed.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }

    fn close(&mut self, broker: i32, cause: &str) {
        self.links.close(broker);
        self.fetching.remove(&broker);
        if let Some(session) = self.sessions.get_mut(&broker) {
            session.reset();
        }
        self.shared.error(self.plan.client, cause.to_owned());
        self.shared.leaders.refresh();
    }

    fn look_for_stalls(&mut self, now: u64) {
        let late = |limit: u64| move |(broker, at): (&i32, &u64)| (at + limit <= now).then_some(*broker);
        if self.fetching.iter().find_map(late(STALL_NS)).is_some() {
            self.shared.leaders.refresh();
        }
        let dead: Vec<i32> = self.fetching.iter().filter_map(late(ANSWER_NS_MAX)).collect();
        for broker in dead {
            self.close(broker, "no answer");
        }
    }
}

/// Joins records of the same intended time and size, so that they are recorded at once.
#[derive(Default)]
struct Arrivals {
    intended_ns: u64,
    count: u32,
    bytes: usize,
}

impl Arrivals {
    /// Takes one in; gives those before it when it is not like them.
    #[inline]
    fn add(&mut self, intended_ns: u64, bytes: usize) -> Option<(u64, u32, usize)> {
        // Within the same microsecond.
        if self.count != 0 && self.intended_ns.abs_diff(intended_ns) < 1000 && self.bytes == bytes {
            self.count += 1;
            return None;
        }
        let before = self.last();
        (self.intended_ns, self.count, self.bytes) = (intended_ns, 1, bytes);
        before
    }

    fn last(&self) -> Option<(u64, u32, usize)> {
        (self.count != 0).then_some((self.intended_ns, self.count, self.bytes))
    }
}

/// Why fetched bytes are not what the load wrote.
#[derive(Debug, thiserror::Error)]
enum ConsumeError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("a record of producer {0}, which there is not")]
    Stranger(u16),
}
