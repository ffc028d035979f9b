//! Sends records in batches: by key or sticky, with linger, compression and retries, idempotent if wanted.
//!
//! [`Batches`] decides what is due. A task takes what is due, groups it by leader, and starts one delivery per leader;
//! a delivery repeats what failed for a passing reason until the delivery timeout.

mod batches;
mod delivery;
pub mod partitioner;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use whimbrel_model::record::Compression;
use whimbrel_model::{ErrorCode, ProducerEpoch, ProducerId};
use whimbrel_wire::produce::{PartitionProduceData, PartitionProduceResponse, TopicProduceData};
use whimbrel_wire::{InitProducerIdRequest, ProduceRequest, ProduceResponse};

use crate::cluster::{is_stale_leader, retry};
use crate::{ClientError, Cluster};
use batches::{BatchSettings, Batches, BrokenBatch, ReadyBatch, RecordRef, Target};
pub use delivery::{Delivery, Stored};
use partitioner::{StickyPartitioner, partition_of_key};

/// What a broker must have done before it acknowledges a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// Nothing: sent is enough, and no answer comes.
    None,
    /// The leader has appended it.
    Leader,
    /// All replicas in sync have it.
    All,
}

impl Acks {
    fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// How a producer batches and what it asks for.
#[derive(Debug, Clone)]
pub struct ProducerOptions {
    pub acks: Acks,
    /// No duplicates when a batch is repeated; needs `Acks::All`.
    pub idempotent: bool,
    pub compression: Compression,
    pub linger: Duration,
    /// The size of a batch before compression.
    pub batch_bytes: usize,
    /// The largest request; a record alone may not be larger.
    pub request_bytes_max: usize,
    /// Records that wait or are on their way take at most this much memory; [`Producer::send`] waits for room.
    pub buffer_bytes_max: usize,
    /// How long a batch is tried.
    pub delivery_timeout: Duration,
    /// How long the broker may wait for replicas.
    pub ack_timeout: Duration,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            idempotent: false,
            compression: Compression::NONE,
            linger: Duration::from_millis(5),
            batch_bytes: 64 * 1024,
            request_bytes_max: 1024 * 1024,
            buffer_bytes_max: 32 * 1024 * 1024,
            delivery_timeout: Duration::from_secs(120),
            ack_timeout: Duration::from_secs(30),
        }
    }
}

/// A record to be sent.
#[derive(Debug, Clone, Default)]
pub struct ProduceRecord {
    pub topic: Arc<str>,
    /// `None`: by key, or sticky without one.
    pub partition: Option<i32>,
    /// Milliseconds since 1970; `None`: now.
    pub timestamp: Option<i64>,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(String, Option<Bytes>)>,
}

impl ProduceRecord {
    /// An upper bound of what it takes in a batch.
    fn size(&self) -> usize {
        /// Lengths, deltas and attributes of a record.
        const OVERHEAD: usize = 32;
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers: usize = self.headers.iter().map(|(key, value)| key.len() + length(value) + 10).sum();
        OVERHEAD + length(&self.key) + length(&self.value) + headers
    }
}

/// Sends records to a cluster. Dropped without [`Producer::flush`], it gives up what was not sent yet.
pub struct Producer {
    shared: Arc<Shared>,
    sticky: std::sync::Mutex<StickyPartitioner>,
    room: Arc<Semaphore>,
    sender: tokio::task::AbortHandle,
}

struct Shared {
    cluster: Cluster,
    options: ProducerOptions,
    batches: std::sync::Mutex<Batches>,
    /// Something became due, or nothing is left.
    changed: Notify,
    idle: Notify,
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.sender.abort();
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Producer {
    /// Starts a producer; an idempotent one gets its id first.
    ///
    /// # Errors
    /// No id was given out.
    pub async fn new(cluster: Cluster, options: ProducerOptions) -> Result<Self, ClientError> {
        let producer = if options.idempotent { Some(producer_id(&cluster).await?) } else { None };
        let settings = BatchSettings {
            bytes: options.batch_bytes,
            linger: options.linger,
            compression: options.compression,
            producer,
        };
        let sticky = std::sync::Mutex::new(StickyPartitioner::new(options.batch_bytes));
        let room = Arc::new(Semaphore::new(options.buffer_bytes_max.min(Semaphore::MAX_PERMITS)));
        let batches = std::sync::Mutex::new(Batches::new(settings));
        let (changed, idle) = (Notify::new(), Notify::new());
        let shared = Arc::new(Shared { cluster, options, batches, changed, idle });
        let sender = tokio::spawn(send_due(shared.clone())).abort_handle();
        Ok(Self { shared, sticky, room, sender })
    }

    /// Puts a record into a batch. Waits while the buffer is full.
    ///
    /// # Errors
    /// The topic does not exist, or the record is too large.
    pub async fn send(&self, record: ProduceRecord) -> Result<Delivery, ClientError> {
        let size = record.size();
        let limit = self.shared.options.request_bytes_max.min(self.shared.options.buffer_bytes_max);
        let permits = u32::try_from(size).ok().filter(|_| size <= limit);
        let permits = permits.ok_or(ClientError::TooLarge { size, limit })?;
        let partition = self.partition(&record, size).await?;
        let room = self.room.clone().acquire_many_owned(permits).await.map_err(|_| ClientError::ProducerClosed)?;
        let target = (record.topic.clone(), partition);
        let timestamp = record.timestamp.unwrap_or_else(now_ms);
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let record = RecordRef { timestamp, key, value, headers: &record.headers };
        let added = lock(&self.shared.batches).add(Instant::now(), &target, record, Some(room));
        let topic = || target.0.to_string();
        let (outcome, index, is_due) =
            added.map_err(|source| ClientError::Build { topic: topic(), partition, source })?;
        // The first record of a batch starts the clock of its linger.
        if is_due || index == 0 {
            self.shared.changed.notify_one();
        }
        Ok(Delivery { outcome, index })
    }

    async fn partition(&self, record: &ProduceRecord, size: usize) -> Result<i32, ClientError> {
        if let Some(partition) = record.partition {
            return Ok(partition);
        }
        let metadata = self.shared.cluster.topic(&record.topic, true).await?;
        let count = metadata.topic(&record.topic)?.partitions.len();
        Ok(match &record.key {
            Some(key) => partition_of_key(key, count),
            None => lock(&self.sticky).next(&record.topic, count, size),
        })
    }

    /// Sends what waits and returns when all of it is acknowledged or given up; each [`Delivery`] tells which.
    pub async fn flush(&self) {
        loop {
            let idle = self.shared.idle.notified();
            {
                let mut batches = lock(&self.shared.batches);
                batches.seal_all();
                if batches.is_idle() {
                    return;
                }
            }
            self.shared.changed.notify_one();
            idle.await;
        }
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

async fn producer_id(cluster: &Cluster) -> Result<(ProducerId, ProducerEpoch), ClientError> {
    retry!(cluster, {
        let request =
            InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: i32::MAX, ..Default::default() };
        let response = cluster.any().await?.call(request).await?;
        ClientError::check(response.error_code, None, || "producer id".into())?;
        Ok((ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch)))
    })
}

/// Takes what is due and starts its delivery, for ever.
async fn send_due(shared: Arc<Shared>) {
    loop {
        let changed = shared.changed.notified();
        let (ready, broken, next_due) = {
            let mut batches = lock(&shared.batches);
            let (ready, broken) = batches.take_due(Instant::now());
            (ready, broken, batches.next_due())
        };
        fail_broken(&shared, broken);
        for (leader, batches) in by_leader(&shared.cluster, ready) {
            tokio::spawn(deliver(shared.clone(), leader, batches));
        }
        match next_due {
            Some(at) => {
                // A timeout is the expected end.
                let _ = tokio::time::timeout_at(at, changed).await;
            }
            None => changed.await,
        }
    }
}

fn fail_broken(shared: &Shared, broken: Vec<BrokenBatch>) {
    for BrokenBatch { target: (topic, partition), outcome, error } in broken {
        let topic = topic.to_string();
        outcome.set(Err(Arc::new(ClientError::Build { topic, partition, source: error })));
    }
    if lock(&shared.batches).is_idle() {
        shared.idle.notify_waiters();
    }
}

/// Batches by the leader that is known for them, or none.
fn by_leader(cluster: &Cluster, ready: Vec<ReadyBatch>) -> HashMap<Option<i32>, Vec<ReadyBatch>> {
    let metadata = cluster.metadata();
    let mut groups: HashMap<Option<i32>, Vec<ReadyBatch>> = HashMap::new();
    for batch in ready {
        let leader = metadata.leader(&batch.target.0, batch.target.1).ok().map(|(leader, _)| leader);
        groups.entry(leader).or_default().push(batch);
    }
    groups
}

/// Sends batches to one leader, and repeats each that failed for a passing reason on its own.
async fn deliver(shared: Arc<Shared>, leader: Option<i32>, batches: Vec<ReadyBatch>) {
    let mut rest = Vec::new();
    for chunk in chunks(batches, shared.options.request_bytes_max) {
        match leader {
            Some(leader) => rest.extend(attempt(&shared, leader, chunk).await),
            None => rest.extend(chunk),
        }
    }
    for batch in rest {
        tokio::spawn(repeat(shared.clone(), batch));
    }
}

/// Cuts a list of batches so that each part fits into a request.
fn chunks(batches: Vec<ReadyBatch>, bytes_max: usize) -> Vec<Vec<ReadyBatch>> {
    let mut parts: Vec<Vec<ReadyBatch>> = Vec::new();
    let mut bytes = usize::MAX;
    for batch in batches {
        bytes = bytes.saturating_add(batch.bytes.len());
        match parts.last_mut() {
            Some(part) if bytes <= bytes_max => part.push(batch),
            _ => {
                bytes = batch.bytes.len();
                parts.push(vec![batch]);
            }
        }
    }
    parts
}

/// Tries one batch until it is stored, refused for good, or too old.
async fn repeat(shared: Arc<Shared>, mut batch: ReadyBatch) {
    let mut pause = shared.cluster.options().backoff_min;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(shared.cluster.options().backoff_max);
        match shared.cluster.leader(&batch.target.0, batch.target.1).await {
            Ok((leader, _)) => match attempt(&shared, leader, vec![batch]).await.pop() {
                None => return,
                Some(again) => batch = again,
            },
            Err(error) if !may_repeat(&shared, &batch, &error) => return finish(&shared, &batch, Err(Arc::new(error))),
            Err(_) => {}
        }
    }
}

/// One request. Finishes what is stored or refused, and returns what may be repeated.
async fn attempt(shared: &Shared, leader: i32, batches: Vec<ReadyBatch>) -> Vec<ReadyBatch> {
    let response = produce(shared, leader, &batches).await.map_err(Arc::new);
    let mut again = Vec::new();
    for batch in batches {
        let result = match &response {
            Ok(response) => stored(response.as_ref(), &batch.target).map_err(Arc::new),
            Err(error) => Err(error.clone()),
        };
        match result {
            Err(error) if may_repeat(shared, &batch, &error) => {
                tracing::debug!(topic = %batch.target.0, partition = batch.target.1, %error, "batch is tried again");
                shared.cluster.forget(&batch.target.0);
                again.push(batch);
            }
            result => finish(shared, &batch, result),
        }
    }
    again
}

fn may_repeat(shared: &Shared, batch: &ReadyBatch, error: &ClientError) -> bool {
    // Without acknowledgements nobody knows what arrived.
    let passes = is_stale_leader(error) || error.is_retriable();
    shared.options.acks != Acks::None && passes && batch.since.elapsed() < shared.options.delivery_timeout
}

/// Sends the request; `None` when no answer comes, by `acks=0`.
async fn produce(shared: &Shared, leader: i32, batches: &[ReadyBatch]) -> Result<Option<ProduceResponse>, ClientError> {
    let connection = shared.cluster.broker(leader).await?;
    let mut topics: HashMap<&Arc<str>, Vec<PartitionProduceData>> = HashMap::new();
    for batch in batches {
        let records = Some(batch.bytes.clone().into());
        topics.entry(&batch.target.0).or_default().push(PartitionProduceData { index: batch.target.1, records });
    }
    let topic = |(name, partition_data): (&Arc<str>, Vec<PartitionProduceData>)| TopicProduceData {
        name: name.into(),
        partition_data,
        ..TopicProduceData::default()
    };
    let options = &shared.options;
    let request = ProduceRequest {
        transactional_id: None,
        acks: options.acks.code(),
        timeout_ms: i32::try_from(options.ack_timeout.as_millis()).unwrap_or(i32::MAX),
        topic_data: topics.into_iter().map(topic).collect(),
    };
    match options.acks {
        Acks::None => connection.send_silent(request).await.map(|()| None),
        Acks::Leader | Acks::All => connection.call_for(request, options.ack_timeout).await.map(Some),
    }
}

/// What the answer says of one batch.
fn stored(response: Option<&ProduceResponse>, target: &Target) -> Result<Stored, ClientError> {
    let (topic, partition) = target;
    let Some(response) = response else { return Ok(Stored { partition: *partition, base_offset: -1 }) };
    let of_topic = response.responses.iter().filter(|found| found.name.as_str() == topic.as_ref());
    let found = of_topic.flat_map(|found| &found.partition_responses).find(|found| found.index == *partition);
    let subject = || format!("{topic}-{partition}");
    match found {
        None => Err(ClientError::Kafka { subject: subject(), code: ErrorCode::UnknownServerError, message: None }),
        Some(found) => match ErrorCode::from_code(found.error_code) {
            // The batch was stored by an earlier attempt; newer brokers answer its offset instead.
            ErrorCode::None | ErrorCode::DuplicateSequenceNumber => {
                Ok(Stored { partition: *partition, base_offset: found.base_offset })
            }
            code => Err(ClientError::Kafka { subject: subject(), code, message: message(found) }),
        },
    }
}

/// The broker's text, with the first record that it refused.
fn message(found: &PartitionProduceResponse) -> Option<String> {
    let record = found.record_errors.first().and_then(|record| {
        record.batch_index_error_message.as_ref().map(|text| format!("record {}: {text}", record.batch_index))
    });
    record.or_else(|| found.error_message.as_ref().map(ToString::to_string))
}

fn finish(shared: &Shared, batch: &ReadyBatch, result: Result<Stored, Arc<ClientError>>) {
    batch.outcome.set(result);
    let mut batches = lock(&shared.batches);
    batches.done(&batch.target);
    let is_idle = batches.is_idle();
    drop(batches);
    if is_idle {
        shared.idle.notify_waiters();
    }
    shared.changed.notify_one();
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic in a guarded section would be a mistake of ours that the runtime reports; what is left is whole.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
