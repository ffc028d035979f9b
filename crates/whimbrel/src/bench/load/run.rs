//! One load from its first topic to its last record.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use whimbrel_client::consumer::list_offsets;
use whimbrel_client::{Cluster, ClusterOptions};
use whimbrel_model::record::{Codec as ModelCodec, Compression};
use whimbrel_model::{ProducerEpoch, ProducerId};
use whimbrel_wire::{FetchRequest, InitProducerIdRequest, ProduceRequest};

use super::batch::{BatchKind, NAME_BYTES};
use super::clock::{Clock, Schedule, nanos};
use super::consumer::{Consumed, Consumer, ConsumerPlan, Ends};
use super::leaders::LeaderWatch;
use super::payload::{KeyChoice, Pool};
use super::producer::{Produced, Producer, ProducerPlan};
use super::shared::{Live, Shared, Versions};
use super::topics::Topics;
use crate::bench::histogram::{Recorded, Recording, latency, new_histogram};
use crate::bench::result::{Found, Generator, Verification};
use crate::bench::uptime::UptimeRecorder;
use crate::bench::verify::{Read, verify};
use crate::bench::workload::{Codec, Workload};

/// Between the making of the threads and the first record, so that all have their connections.
const LEAD: Duration = Duration::from_millis(200);
/// What each thread adds to that.
const LEAD_PER_THREAD: Duration = Duration::from_micros(500);
/// How late it is noticed that a load is cut short.
const CUT_LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Records are made, sent and taken on these.
const STACK_BYTES: usize = 512 * 1024;
/// The load says more about itself than about the system from here on.
const LATE_P99_US_MAX: u64 = 10_000;
const BUSY_MAX: f64 = 0.9;

/// A load that is ready to begin.
pub struct Load {
    runtime: tokio::runtime::Runtime,
    cluster: Cluster,
    shared: Arc<Shared>,
    producers: Vec<ProducerPlan>,
    ends: Arc<Ends>,
    options: LoadOptions,
}

/// What a load found, with the whole distributions.
pub struct LoadResult {
    pub found: Found,
    pub ack_latency: Histogram<u64>,
    pub end_to_end_latency: Histogram<u64>,
}

/// What a load is told besides its workload.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// What was produced is read back where there are no consumers.
    pub is_verified: bool,
    pub has_uptime: bool,
}

/// What is done when the measured part begins and ends.
pub trait Bounds {
    fn begins(&mut self);
    fn ends(&mut self);
}

impl Load {
    /// Makes the topics and everything that takes time. `run` is in the names of the topics.
    ///
    /// # Errors
    /// The cluster is not there, refuses, or is too old.
    pub fn prepare(bootstrap: &str, workload: &Workload, run: &str, options: LoadOptions) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let cluster = Cluster::new(ClusterOptions::new(bootstrap));
        let topics = Arc::new(Topics::new(workload, run));
        let metadata = runtime.block_on(topics.create(&cluster, workload))?;
        let versions = runtime.block_on(versions(&cluster))?;
        let ids = runtime.block_on(producer_ids(&cluster, workload))?;
        let producers = producer_plans(workload, &ids)?;
        let leaders = LeaderWatch::start(bootstrap, topics.clone(), &metadata)?;
        let threads = workload.producers + workload.groups * workload.consumers;
        let lead = LEAD + LEAD_PER_THREAD * u32::try_from(threads).unwrap_or(u32::MAX);
        let (warmup, measured) = (seconds(workload.warmup_seconds), seconds(workload.seconds));
        let clock = Clock::new(Instant::now() + lead, warmup, measured);
        let uptime = options.has_uptime.then(|| uptime_recorder(&clock, &topics, 0 < workload.consumers));
        let shared = Arc::new(Shared {
            workload: workload.clone(),
            topics,
            clock: clock.clone(),
            leaders,
            recording: Recording::new(clock, threads),
            errors: Default::default(),
            live: Live::default(),
            uptime,
            versions,
            is_cut_short: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        });
        Ok(Self { runtime, cluster, shared, producers, ends: Arc::new(OnceLock::new()), options })
    }

    /// What others may look at while it runs.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Runs it to the end of its measured part, then checks what was read.
    ///
    /// # Errors
    /// A thread cannot be made, or the cluster gives what was not written.
    pub fn run(mut self, bounds: &mut impl Bounds) -> anyhow::Result<LoadResult> {
        let workload = self.shared.workload.clone();
        let consumers =
            self.start_groups(workload.groups * usize::from(0 < workload.consumers), workload.consumers, true)?;
        let producers = std::mem::take(&mut self.producers).into_iter().map(|plan| {
            let producer = Producer::new(self.shared.clone(), plan);
            spawn("bench-produce", move || producer.run())
        });
        let producers = producers.collect::<anyhow::Result<Vec<_>>>()?;
        let clock = self.shared.clock.clone();
        let cpu = self.measure_cpu(&clock, bounds);
        let produced = producers.into_iter().map(join).collect::<anyhow::Result<Vec<_>>>();
        if produced.is_err() {
            self.shared.is_over.store(true, Ordering::Relaxed);
        }
        self.tell_unanswered(produced.as_deref().unwrap_or_default());
        self.find_ends();
        let mut consumed = join_groups(consumers)?;
        let produced = produced?;
        if self.options.is_verified && consumed.is_empty() {
            consumed = join_groups(self.start_groups(1, 1, false)?)?;
        }
        let verification = verification(&produced, consumed, self.shared.topics.len(), self.options.is_verified);
        self.runtime.block_on(self.shared.topics.delete(&self.cluster));
        let Recorded { produced: flow, consumed, ack_latency, end_to_end_latency, series } =
            self.shared.recording.merged();
        let found = Found {
            seconds: clock.measured_seconds(),
            produced: flow,
            consumed,
            ack_latency: latency(&ack_latency),
            end_to_end_latency: latency(&end_to_end_latency),
            series,
            generator: generator(&produced, cpu, &workload, clock.measured_seconds()),
            verification,
            errors: self.shared.errors.take(),
            uptime: self.shared.uptime.as_ref().map(|uptime| uptime.finish(clock.instant_of(clock.end_ns()))),
        };
        Ok(LoadResult { found, ack_latency, end_to_end_latency })
    }

    /// Waits for the end of the measured part and returns what CPU this process used in it.
    fn measure_cpu(&self, clock: &Clock, bounds: &mut impl Bounds) -> Duration {
        self.wait_until(clock, || clock.measured_from_ns);
        bounds.begins();
        let before = process_cpu();
        self.wait_until(clock, || clock.end_ns());
        let used = process_cpu().saturating_sub(before);
        bounds.ends();
        used
    }

    /// Returns at `ns`, which may come nearer meanwhile, or at the end of the load.
    fn wait_until(&self, clock: &Clock, ns: impl Fn() -> u64) {
        loop {
            let (now, at) = (clock.now(), ns().min(clock.end_ns()));
            if at <= now {
                return;
            }
            let at = clock.instant_of(at).min(Instant::now() + CUT_LOOK_INTERVAL);
            // A timer needs its runtime from the start.
            self.runtime.block_on(async { tokio::time::sleep_until(at.into()).await });
        }
    }

    fn start_groups(&self, groups: usize, members: usize, is_measured: bool) -> anyhow::Result<Vec<Vec<Member>>> {
        let group = |group: usize| {
            let member = |member: usize| {
                let partitions = (member..self.shared.topics.len()).step_by(members).collect();
                let plan = ConsumerPlan {
                    client: group * members + member,
                    partitions,
                    producers: self.shared.workload.producers,
                    ends: self.ends.clone(),
                    is_measured,
                };
                let consumer = Consumer::new(self.shared.clone(), plan);
                spawn("bench-consume", move || consumer.run())
            };
            (0..members).map(member).collect()
        };
        (0..groups).map(group).collect()
    }

    fn tell_unanswered(&self, produced: &[Produced]) {
        let unanswered: u64 = produced.iter().map(|produced| produced.unanswered).sum();
        if 0 < unanswered {
            self.shared.error(0, format!("{unanswered} records had no answer at the end"));
        }
    }

    /// Tells the consumers where the partitions end.
    fn find_ends(&self) {
        let wanted = self.shared.topics.ends();
        let found = self.runtime.block_on(list_offsets(&self.cluster, &wanted, false));
        let ends = match found {
            Ok(found) => wanted.iter().map(|(target, _)| found.get(target).map(|found| found.offset)).collect(),
            Err(error) => {
                self.shared.error(0, format!("ends of partitions: {error}"));
                vec![None; wanted.len()]
            }
        };
        // It is set here only.
        let _ = self.ends.set(ends);
    }
}

type Member = JoinHandle<anyhow::Result<Consumed>>;

fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<JoinHandle<anyhow::Result<T>>> {
    let thread = std::thread::Builder::new().name(name.into()).stack_size(STACK_BYTES);
    thread.spawn(work).context("a thread of the load cannot be made")
}

fn join<T>(thread: JoinHandle<anyhow::Result<T>>) -> anyhow::Result<T> {
    thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread of the load panicked")))
}

fn join_groups(groups: Vec<Vec<Member>>) -> anyhow::Result<Vec<Vec<Consumed>>> {
    groups.into_iter().map(|members| members.into_iter().map(join).collect()).collect()
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn uptime_recorder(clock: &Clock, topics: &Topics, is_consumed: bool) -> Arc<UptimeRecorder> {
    let named = |index| {
        let (name, partition) = topics.target(index);
        (name.to_string(), partition)
    };
    let partitions: Vec<_> = (0..topics.len()).map(named).collect();
    UptimeRecorder::new(clock.instant_of(clock.measured_from_ns), &partitions, is_consumed)
}

/// The versions that all brokers understand.
async fn versions(cluster: &Cluster) -> anyhow::Result<Versions> {
    let metadata = cluster.refresh(Some(&[]), false).await?;
    let mut all = Versions { produce: i16::MAX, fetch: i16::MAX };
    for id in metadata.brokers.keys() {
        let connection = cluster.broker(*id).await?;
        all.produce = all.produce.min(connection.version_of::<ProduceRequest>()?);
        all.fetch = all.fetch.min(connection.version_of::<FetchRequest>()?);
    }
    // Record batches of format v2, which all records here are in, came with these.
    anyhow::ensure!(3 <= all.produce && 4 <= all.fetch, "the cluster is older than Kafka 0.11");
    Ok(all)
}

type Identity = (ProducerId, ProducerEpoch);

async fn producer_ids(cluster: &Cluster, workload: &Workload) -> anyhow::Result<Vec<Option<Identity>>> {
    if !workload.idempotent {
        return Ok(vec![None; workload.producers]);
    }
    let mut ids = Vec::new();
    for _ in 0..workload.producers {
        let request =
            InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: i32::MAX, ..Default::default() };
        let mut patience = cluster.patience();
        let id = loop {
            let response = cluster.any().await?.call(request.clone()).await?;
            let code = response.error_code;
            match whimbrel_client::ClientError::check(code, None, || "producer id".into()) {
                Ok(()) => break (ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch)),
                Err(error) => patience.pause(error).await?,
            }
        };
        ids.push(Some(id));
    }
    Ok(ids)
}

fn producer_plans(workload: &Workload, ids: &[Option<Identity>]) -> anyhow::Result<Vec<ProducerPlan>> {
    let compression = Compression::new(match workload.codec {
        Codec::None => ModelCodec::None,
        Codec::Gzip => ModelCodec::Gzip,
        Codec::Snappy => ModelCodec::Snappy,
        Codec::Lz4 => ModelCodec::Lz4,
        Codec::Zstd => ModelCodec::Zstd,
    });
    let pool = Pool::new(&workload.payload, workload.record_bytes - NAME_BYTES, workload.batch_bytes)?;
    let keys = KeyChoice::new(&workload.keys);
    let count = workload.producers;
    let plan = |(index, producer): (usize, &Option<Identity>)| ProducerPlan {
        index,
        schedule: workload.rate.map(|rate| Schedule::of_producer(index, count, rate)),
        kind: BatchKind { compression, producer: *producer },
        pool: pool.starting_at(index as f64 / count as f64),
        keys: keys.as_ref().map(|keys| keys.seeded(index as u64)),
    };
    Ok(ids.iter().enumerate().map(plan).collect())
}

fn verification(
    produced: &[Produced],
    consumed: Vec<Vec<Consumed>>,
    partitions: usize,
    is_verified: bool,
) -> Verification {
    let is_complete = !consumed.is_empty() && consumed.iter().flatten().all(|member| member.is_complete);
    let group = |members: Vec<Consumed>| {
        let mut read: Read = vec![Vec::new(); partitions];
        for (index, seen) in members.into_iter().flat_map(|member| member.seen) {
            read[index] = seen;
        }
        read
    };
    let groups: Vec<Read> = consumed.into_iter().map(group).collect();
    let acknowledged: Vec<_> = produced.iter().map(|produced| produced.acknowledged.clone()).collect();
    let found = verify(&acknowledged, &groups, is_complete);
    // What was not looked for is not lost.
    if is_verified { found } else { Verification { read: 0, lost: 0, duplicated: 0, reordered: 0, ..found } }
}

fn generator(produced: &[Produced], cpu: Duration, workload: &Workload, seconds: f64) -> Generator {
    let mut lateness = new_histogram();
    for producer in produced {
        // A histogram that grows takes any other.
        let _ = lateness.add(&producer.lateness);
    }
    let records: u64 = produced.iter().map(|produced| produced.records).sum();
    let producing: Duration = produced.iter().map(|produced| produced.cpu).sum();
    let busiest = produced.iter().map(|produced| produced.cpu).max().unwrap_or_default();
    let (late_p99_us, late_max_us) = match workload.rate {
        Some(_) => (lateness.value_at_quantile(0.99), lateness.max()),
        None => (0, 0),
    };
    let busy = busiest.as_secs_f64() / seconds.max(f64::MIN_POSITIVE);
    Generator {
        cpu_seconds: cpu.as_secs_f64(),
        cpu_us_per_record: nanos(producing) as f64 / 1000.0 / records.max(1) as f64,
        late_p99_us,
        late_max_us,
        bottleneck: bottleneck(late_p99_us, busy),
    }
}

/// Why the figures say more about the load than about the system.
fn bottleneck(late_p99_us: u64, busy: f64) -> Option<String> {
    if BUSY_MAX < busy {
        return Some(format!("a producing thread was on CPU for {:.0} % of the time", busy * 100.0));
    }
    (LATE_P99_US_MAX < late_p99_us).then(|| {
        let ms = late_p99_us as f64 / 1000.0;
        format!("one record in a hundred was handed over {ms:.0} ms or more behind its time")
    })
}

fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
