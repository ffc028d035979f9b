//! Fetch, versions 4 to 18: record batches out (KIP-74, KIP-98, KIP-227, KIP-320, KIP-516, KIP-951).
//!
//! The answer is made of slices: batches go out as they lie in the log. A fetch that finds less than it asks for waits
//! on the partitions' watch lists until there is enough, until its time is up, or until something happened that the
//! client has to know.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use whimbrel_model::{ErrorCode, LeaderEpoch, NodeId, Offset, Uuid};
use whimbrel_state::fetch_session::{
    FINAL_EPOCH, FetchParams, FetchPartition, INITIAL_EPOCH, Outcome, SessionError, SessionTopic,
};
use whimbrel_wire::fetch::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use whimbrel_wire::{FetchRequest, FetchResponse, Records, Str};

use super::errors::{ToErrorCode, leader_hint};
use super::{RequestContext, known_epoch};
use crate::Broker;
use crate::purgatory::{Event, Waiter};
use crate::replica_manager::{FetchRead, Isolation, Offsets, Partition, Registration};
use crate::time;

pub async fn handle(context: &RequestContext, request: FetchRequest, version: i16) -> FetchResponse {
    let session = (request.session_id, request.session_epoch);
    let plan = match plan(context.broker(), &request, version) {
        Ok(plan) => plan,
        Err(error) => return FetchResponse { error_code: session_error(error).code(), ..Default::default() },
    };
    let fetcher = Fetcher::new(context, &request, plan);
    let served = fetcher.serve().await;
    context.broker().metrics.fetched(served.iter().map(|one| one.found.bytes() as u64).sum());
    respond(context, version, session, plan_kind(&request), served)
}

/// What kind of session a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sessionless,
    /// Full, and wants a session.
    Opening,
    Incremental,
}

fn plan_kind(request: &FetchRequest) -> Kind {
    match request.session_epoch {
        FINAL_EPOCH => Kind::Sessionless,
        INITIAL_EPOCH => Kind::Opening,
        _ => Kind::Incremental,
    }
}

/// The partitions to serve, in order. Closes the session that a full request names.
fn plan(broker: &Broker, request: &FetchRequest, version: i16) -> Result<Vec<FetchPartition>, SessionError> {
    let requested = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(move |partition| FetchPartition {
            topic: session_topic(&topic.topic, topic.topic_id, version),
            partition: partition.partition,
            params: FetchParams {
                fetch_offset: Offset(partition.fetch_offset),
                fetcher_log_start: partition.log_start_offset,
                partition_bytes_max: partition.partition_max_bytes,
                current_leader_epoch: known_epoch(partition.current_leader_epoch),
                last_fetched_epoch: known_epoch(partition.last_fetched_epoch),
            },
        })
    });
    let sessions = &broker.fetch_sessions;
    if plan_kind(request) == Kind::Incremental {
        let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
            let named = session_topic(&topic.topic, topic.topic_id, version);
            topic.partitions.iter().map(move |partition| (named.clone(), *partition))
        });
        let session = (request.session_id, request.session_epoch);
        return sessions.lock().begin(time::monotonic_ms(), session, version >= 13, requested, forgotten);
    }
    if request.session_id != 0 {
        sessions.lock().close(request.session_id);
    }
    Ok(requested.collect())
}

fn session_topic(name: &Str, id: Uuid, version: i16) -> SessionTopic {
    if version >= 13 { SessionTopic::Id(id) } else { SessionTopic::Name(name.as_str().into()) }
}

fn session_error(error: SessionError) -> ErrorCode {
    match error {
        SessionError::IdNotFound => ErrorCode::FetchSessionIdNotFound,
        SessionError::InvalidEpoch => ErrorCode::InvalidFetchSessionEpoch,
        SessionError::TopicIdMismatch => ErrorCode::FetchSessionTopicIdError,
    }
}

/// One partition with what was found.
struct Served {
    wanted: FetchPartition,
    found: Found,
}

enum Found {
    Read(FetchRead),
    /// The fetcher's log has to be cut back (KIP-595).
    Diverging {
        epoch: LeaderEpoch,
        end_offset: Offset,
        offsets: Offsets,
    },
    Failed(ErrorCode),
}

impl Found {
    fn bytes(&self) -> usize {
        match self {
            Self::Read(read) => read.records.len(),
            Self::Diverging { .. } | Self::Failed(_) => 0,
        }
    }

    /// Whether the client has to hear of it at once.
    fn is_urgent(&self) -> bool {
        !matches!(self, Self::Read(_))
    }
}

/// One fetch while it is served.
struct Fetcher {
    partitions: Vec<(FetchPartition, Result<Arc<Partition>, ErrorCode>)>,
    isolation: Isolation,
    bytes_min: usize,
    bytes_max: usize,
    deadline: Option<Instant>,
}

impl Fetcher {
    fn new(context: &RequestContext, request: &FetchRequest, plan: Vec<FetchPartition>) -> Self {
        let broker = context.broker();
        let replica_id = if context.version >= 15 { request.replica_state.replica_id } else { request.replica_id };
        let partitions = plan
            .into_iter()
            .map(|wanted| {
                let found = find(broker, &wanted, replica_id);
                (wanted, found)
            })
            .collect();
        let bytes_max = positive(request.max_bytes).min(broker.config().network.fetch_bytes_max);
        let wait_max = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
        Self {
            partitions,
            isolation: if request.isolation_level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted },
            bytes_min: positive(request.min_bytes).min(bytes_max),
            bytes_max,
            deadline: (!wait_max.is_zero()).then(|| Instant::now() + wait_max),
        }
    }

    /// Reads until there is enough, something urgent happens, or the time is up.
    async fn serve(self) -> Vec<Served> {
        let mut found = self.read_all().await;
        if let Some(deadline) = self.deadline
            && !self.partitions.is_empty()
        {
            let waiter = Waiter::new();
            while !self.is_enough(&found) {
                let in_time = self.wait_for_more(&waiter, deadline).await;
                found = self.read_all().await;
                if !in_time {
                    break;
                }
            }
        }
        self.partitions.into_iter().zip(found).map(|((wanted, _), found)| Served { wanted, found }).collect()
    }

    fn is_enough(&self, found: &[Found]) -> bool {
        found.iter().any(Found::is_urgent) || self.bytes_min <= found.iter().map(Found::bytes).sum()
    }

    /// Returns once reading again is worth it (`true`), or at the deadline.
    async fn wait_for_more(&self, waiter: &Arc<Waiter>, deadline: Instant) -> bool {
        loop {
            let _watches: Vec<Registration> = self
                .partitions
                .iter()
                .filter_map(|(wanted, partition)| {
                    let partition = partition.as_ref().ok()?;
                    // The end seen now, or the place to read at while that is further: whatever comes after it is news.
                    let seen = partition.offsets(self.isolation).upper().max(wanted.params.fetch_offset);
                    Some(partition.watch(waiter, Event::HighWatermark, seen + 1))
                })
                .collect();
            // What moved since the read is seen here, what moves from now on wakes the waiter.
            if self.is_worth_reading() {
                return true;
            }
            if !waiter.woken_before(deadline).await {
                return false;
            }
            if self.is_worth_reading() {
                return true;
            }
        }
    }

    fn is_worth_reading(&self) -> bool {
        let mut available = 0;
        for (wanted, partition) in &self.partitions {
            let Ok(partition) = partition else { return true };
            let params = &wanted.params;
            if partition.check_leader(params.current_leader_epoch).is_err() || partition.log.check_usable().is_err() {
                return true;
            }
            let upper = partition.offsets(self.isolation).upper();
            if upper < params.fetch_offset {
                // The log was cut back below the fetcher: it has to be told.
                return true;
            }
            let limit = positive(params.partition_bytes_max) as u64;
            available += partition.log.bytes_between(params.fetch_offset, upper).min(limit);
        }
        // At least one byte, so that `min.bytes=0` with nothing there does not read in circles.
        (self.bytes_min.max(1) as u64) <= available
    }

    async fn read_all(&self) -> Vec<Found> {
        let mut found = Vec::with_capacity(self.partitions.len());
        let (mut left, mut min_one_batch) = (self.bytes_max, true);
        for (wanted, partition) in &self.partitions {
            let one = match partition {
                Ok(partition) => self.read(wanted, partition, left, min_one_batch).await,
                Err(code) => Found::Failed(*code),
            };
            let bytes = one.bytes();
            left = left.saturating_sub(bytes);
            // The first batch that is found goes out whatever its size, so that the consumer progresses (KIP-74).
            min_one_batch &= bytes == 0;
            found.push(one);
        }
        found
    }

    async fn read(
        &self,
        wanted: &FetchPartition,
        partition: &Arc<Partition>,
        bytes_left: usize,
        min_one_batch: bool,
    ) -> Found {
        let params = &wanted.params;
        if let Some(last_fetched) = params.last_fetched_epoch {
            match partition.diverging_epoch(last_fetched, params.fetch_offset) {
                Ok(None) => {}
                Ok(Some((epoch, end_offset))) => {
                    let offsets = partition.offsets(Isolation::ReadCommitted);
                    return Found::Diverging { epoch, end_offset, offsets };
                }
                Err(error) => return Found::Failed(error.error_code()),
            }
        }
        let bytes_max = positive(params.partition_bytes_max).min(bytes_left);
        let read = partition
            .fetch(params.fetch_offset, params.current_leader_epoch, self.isolation, bytes_max, min_one_batch)
            .await;
        match read {
            Ok(read) => Found::Read(read),
            Err(error) => {
                if error.is_storage() {
                    tracing::warn!(partition = %partition.topic_partition, "fetch failed: {error}");
                }
                Found::Failed(error.error_code())
            }
        }
    }
}

/// The partition that is meant, if this broker serves it to this fetcher.
fn find(broker: &Broker, wanted: &FetchPartition, replica_id: i32) -> Result<Arc<Partition>, ErrorCode> {
    let image = broker.metadata.image();
    let partition = match &wanted.topic {
        SessionTopic::Name(name) => broker.replicas.partition(name, wanted.partition),
        SessionTopic::Id(id) => {
            let topic = image.topic_by_id(*id).ok_or(ErrorCode::UnknownTopicId)?;
            broker.replicas.partition(&topic.name, wanted.partition)
        }
    };
    let partition = partition.map_err(|error| error.error_code())?;
    if let SessionTopic::Id(id) = &wanted.topic
        && partition.topic_id != *id
    {
        return Err(ErrorCode::InconsistentTopicId);
    }
    // Only a broker that holds the partition may fetch as its replica: nobody else may move the high watermark.
    if 0 <= replica_id && (replica_id == broker.node_id.0 || !partition.has_replica(NodeId(replica_id))) {
        return Err(match wanted.params.current_leader_epoch {
            Some(_) => ErrorCode::UnknownLeaderEpoch,
            None => ErrorCode::NotLeaderOrFollower,
        });
    }
    Ok(partition)
}

fn positive(number: i32) -> usize {
    usize::try_from(number).unwrap_or(0)
}

/// Makes the response, and opens or moves on the session.
fn respond(
    context: &RequestContext,
    version: i16,
    session: (i32, i32),
    kind: Kind,
    served: Vec<Served>,
) -> FetchResponse {
    let broker = context.broker();
    let mut response = FetchResponse::default();
    match kind {
        Kind::Sessionless => {}
        Kind::Opening => {
            let opened = served.iter().map(|one| (one.wanted.clone(), one.outcome()));
            let id = broker
                .fetch_sessions
                .lock()
                .open(time::monotonic_ms(), false, 13 <= version, opened, || rand::random::<i32>() & i32::MAX);
            response.session_id = id.unwrap_or(0);
        }
        Kind::Incremental => {
            response.session_id = session.0;
            let outcomes = served.iter().map(|one| (&one.wanted.topic, one.wanted.partition, one.outcome()));
            // An empty session was closed by its own request; there is nothing to send then.
            match broker.fetch_sessions.lock().finish(session, outcomes) {
                Ok(sent) => return complete(context, version, response, served.into_iter().zip(sent)),
                Err(_) if served.is_empty() => response.session_id = 0,
                Err(error) => response.error_code = session_error(error).code(),
            }
            return response;
        }
    }
    complete(context, version, response, served.into_iter().map(|one| (one, true)))
}

impl Served {
    fn outcome(&self) -> Outcome {
        let (mut high_watermark, mut log_start) = (-1, -1);
        if let Found::Read(read) = &self.found {
            (high_watermark, log_start) = (read.offsets.high_watermark.0, read.offsets.log_start.0);
        }
        Outcome {
            high_watermark,
            log_start,
            has_records: self.found.bytes() != 0,
            has_error: matches!(self.found, Found::Failed(_)),
            has_directive: matches!(self.found, Found::Diverging { .. }),
        }
    }
}

fn complete(
    context: &RequestContext,
    version: i16,
    mut response: FetchResponse,
    served: impl Iterator<Item = (Served, bool)>,
) -> FetchResponse {
    let image = context.broker().metadata.image();
    let mut leaders = Vec::new();
    for (Served { wanted, found }, sent) in served {
        if !sent {
            continue;
        }
        let mut data = partition_data(wanted.partition, found);
        if 16 <= version
            && [ErrorCode::NotLeaderOrFollower.code(), ErrorCode::FencedLeaderEpoch.code()].contains(&data.error_code)
        {
            let topic = match &wanted.topic {
                SessionTopic::Id(id) => image.topic_by_id(*id),
                SessionTopic::Name(name) => image.topic(name),
            };
            if let Some(state) = topic.and_then(|topic| topic.partitions.get(&wanted.partition)) {
                let (leader_id, leader_epoch) = (state.leader.0, state.leader_epoch.0);
                data.current_leader = LeaderIdAndEpoch { leader_id, leader_epoch };
                leaders.push(state.leader);
            }
        }
        push(&mut response.responses, wanted.topic, data);
    }
    let nodes = leader_hint(&image, &context.connection.listener, leaders);
    response.node_endpoints = nodes
        .map(|node| NodeEndpoint { node_id: node.id, host: node.host, port: node.port, rack: node.rack })
        .collect();
    response
}

/// Adds a partition, to the last topic if it is the same: the order in which partitions were served is kept.
fn push(topics: &mut Vec<FetchableTopicResponse>, topic: SessionTopic, data: PartitionData) {
    let (name, topic_id) = match topic {
        SessionTopic::Id(id) => (Str::default(), id),
        SessionTopic::Name(name) => (Str::from(name), Uuid::ZERO),
    };
    match topics.last_mut() {
        Some(last) if last.topic == name && last.topic_id == topic_id => last.partitions.push(data),
        _ => topics.push(FetchableTopicResponse { topic: name, topic_id, partitions: vec![data] }),
    }
}

fn partition_data(index: i32, found: Found) -> PartitionData {
    let empty = PartitionData {
        partition_index: index,
        high_watermark: -1,
        aborted_transactions: None,
        records: Some(Records::new()),
        ..Default::default()
    };
    match found {
        // Kafka leaves the default of the field where it never came to read.
        Found::Failed(code @ (ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId)) => {
            PartitionData { error_code: code.code(), aborted_transactions: Some(Vec::new()), ..empty }
        }
        Found::Failed(code) => PartitionData { error_code: code.code(), ..empty },
        Found::Diverging { epoch, end_offset, offsets } => PartitionData {
            high_watermark: offsets.high_watermark.0,
            last_stable_offset: offsets.last_stable.map_or(-1, |offset| offset.0),
            log_start_offset: offsets.log_start.0,
            diverging_epoch: EpochEndOffset { epoch: epoch.0, end_offset: end_offset.0 },
            ..empty
        },
        Found::Read(read) => PartitionData {
            high_watermark: read.offsets.high_watermark.0,
            last_stable_offset: read.last_stable.0,
            log_start_offset: read.offsets.log_start.0,
            aborted_transactions: read.aborted.map(|aborted| {
                let entry = |(producer, first): &(whimbrel_model::ProducerId, Offset)| AbortedTransaction {
                    producer_id: producer.0,
                    first_offset: first.0,
                };
                aborted.iter().map(entry).collect()
            }),
            records: Some(Records::from(read.records)),
            ..empty
        },
    }
}
