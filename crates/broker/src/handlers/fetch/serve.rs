//! Reads what a fetch asks for, and waits while there is too little.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use whimbrel_model::{ErrorCode, LeaderEpoch, NodeId, Offset, TopicPartition};
use whimbrel_state::fetch_session::{FetchPartition, Outcome, SessionTopic};
use whimbrel_wire::FetchRequest;

use super::super::errors::ToErrorCode;
use super::super::{ConnectionContext, RequestContext};
use super::FetchedBy;
use super::preferred::Preference;
use crate::Broker;
use crate::purgatory::{Event, Waiter, Wakes};
use crate::replica_manager::{
    FetchRead, FollowerReads, Isolation, Offsets, Partition, ReadableBy, Registration, ReplicaManager, Side,
};

/// A high watermark that moved is news for a waiting follower, but not worth an answer of its own while records keep
/// coming: those carry it. So it waits for them this long.
const WATERMARK_LINGER: Duration = Duration::from_millis(5);

/// What looked worth reading was not: sizes are estimates. Others are let on before it is looked at again.
const MISLED_PAUSE: Duration = Duration::from_millis(1);

/// The first version whose consumers may read from followers (KIP-392).
const FOLLOWERS_READABLE_FROM: i16 = 11;

/// One partition with what was found.
pub(super) struct Served {
    pub wanted: FetchPartition,
    /// `None` where it could not be found, or may not be fetched.
    pub partition: Option<Arc<Partition>>,
    pub found: Found,
}

pub(super) enum Found {
    Read(FetchRead),
    /// The fetcher's log has to be cut back (KIP-595).
    Diverging {
        epoch: LeaderEpoch,
        end_offset: Offset,
        offsets: Offsets,
    },
    /// The consumer should rather read there (KIP-392).
    Preferred {
        replica: NodeId,
        offsets: Offsets,
    },
    Failed(ErrorCode),
}

impl Found {
    pub fn bytes(&self) -> usize {
        match self {
            Self::Read(read) => read.records.len(),
            Self::Diverging { .. } | Self::Preferred { .. } | Self::Failed(_) => 0,
        }
    }

    /// Whether the client has to hear of it at once.
    fn is_urgent(&self) -> bool {
        !matches!(self, Self::Read(_))
    }
}

impl Served {
    /// What the session has to know of it.
    pub fn outcome(&self) -> Outcome {
        let (mut high_watermark, mut log_start) = (-1, -1);
        if let Found::Read(read) = &self.found {
            (high_watermark, log_start) = (read.offsets.high_watermark.0, read.offsets.log_start.0);
        }
        Outcome {
            high_watermark,
            log_start,
            has_records: self.found.bytes() != 0,
            has_error: matches!(self.found, Found::Failed(_)),
            has_directive: matches!(self.found, Found::Diverging { .. } | Found::Preferred { .. }),
        }
    }
}

/// One fetch while it is served.
pub(super) struct Fetcher {
    partitions: Vec<(FetchPartition, Result<Arc<Partition>, ErrorCode>)>,
    connection: Arc<ConnectionContext>,
    replicas: Arc<ReplicaManager>,
    fetched_by: FetchedBy,
    readable_by: ReadableBy,
    isolation: Isolation,
    preference: Option<Preference>,
    bytes_min: usize,
    bytes_max: usize,
    deadline: Option<Instant>,
}

impl Fetcher {
    pub fn new(
        context: &RequestContext,
        request: &FetchRequest,
        fetched_by: FetchedBy,
        plan: Vec<FetchPartition>,
    ) -> Self {
        let broker = context.broker();
        let partitions = plan
            .into_iter()
            .map(|wanted| {
                let found = find(broker, &wanted, fetched_by);
                (wanted, found)
            })
            .collect();
        let bytes_max = positive(request.max_bytes).min(broker.config().network.fetch_bytes_max);
        let wait_max = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
        let is_open = FOLLOWERS_READABLE_FROM <= context.version && !fetched_by.is_replica();
        Self {
            partitions,
            connection: context.connection.clone(),
            replicas: broker.replicas.clone(),
            fetched_by,
            readable_by: if is_open { ReadableBy::AnyReplica } else { ReadableBy::Leader },
            isolation: match (fetched_by, request.isolation_level) {
                (FetchedBy::Replica(..), _) => Isolation::LogEnd,
                (FetchedBy::Consumer, 1) => Isolation::ReadCommitted,
                (FetchedBy::Consumer, _) => Isolation::ReadUncommitted,
            },
            preference: is_open.then(|| Preference::of(broker, &request.rack_id)).flatten(),
            bytes_min: positive(request.min_bytes).min(bytes_max),
            bytes_max,
            deadline: (!wait_max.is_zero()).then(|| Instant::now() + wait_max),
        }
    }

    /// Reads until there is enough, something urgent happens, or the time is up.
    pub async fn serve(self) -> Vec<Served> {
        // A follower's offset counts once, when it asks: while it waits it may have asked elsewhere.
        let verdicts = self.take_followers_in();
        let mut found = self.read_all(verdicts).await;
        if let Some(deadline) = self.deadline
            && !self.partitions.is_empty()
        {
            let waiter = Waiter::new();
            let mut may_look = None;
            while !self.is_enough(&found) {
                if let Some(at) = may_look {
                    tokio::time::sleep_until(at).await;
                }
                let in_time = self.wait_for_more(&waiter, deadline).await && Instant::now() < deadline;
                found = self.read_all(Vec::new()).await;
                if !in_time {
                    break;
                }
                may_look = Some(Instant::now() + MISLED_PAUSE);
            }
        }
        let served = self.partitions.into_iter().zip(found);
        served.map(|((wanted, partition), found)| Served { wanted, partition: partition.ok(), found }).collect()
    }

    fn is_enough(&self, found: &[Found]) -> bool {
        found.iter().any(Found::is_urgent) || self.bytes_min <= found.iter().map(Found::bytes).sum()
    }

    /// For a replica: lets each leader know how far it is. What is returned is what keeps a partition from being read.
    fn take_followers_in(&self) -> Vec<Option<Found>> {
        let FetchedBy::Replica(follower, incarnation) = self.fetched_by else { return Vec::new() };
        let mut wakes = Wakes::default();
        let taken = self.partitions.iter().map(|(wanted, partition)| {
            let partition = partition.as_ref().ok()?;
            let params = &wanted.params;
            let reads = FollowerReads {
                follower,
                incarnation,
                known_epoch: params.current_leader_epoch,
                from: params.fetch_offset,
                last_fetched: params.last_fetched_epoch,
                log_start: Offset(params.fetcher_log_start),
            };
            match partition.follower_reads(&reads, &mut wakes) {
                Ok(None) => None,
                Ok(Some((epoch, end_offset))) => {
                    let offsets = partition.offsets(Isolation::ReadCommitted);
                    Some(Found::Diverging { epoch, end_offset, offsets })
                }
                Err(error) => Some(Found::Failed(error.error_code())),
            }
        });
        taken.collect()
    }

    /// Returns once reading again is worth it (`true`), or at the deadline.
    async fn wait_for_more(&self, waiter: &Arc<Waiter>, deadline: Instant) -> bool {
        let is_replica = self.fetched_by.is_replica();
        let mut deadline = deadline;
        let mut missing = self.missing_bytes();
        while missing != 0 {
            // The last stable offset may jump over what came long before: then each step has to be looked at.
            waiter.wants(if self.isolation == Isolation::ReadCommitted { 1 } else { missing });
            let _watches = self.watch(waiter);
            loop {
                // What moved since the last look is seen here, what moves from now on wakes the waiter.
                let left = self.missing_bytes();
                if left == 0 {
                    return true;
                }
                waiter.found(missing.saturating_sub(left));
                if is_replica && self.has_watermark_to_tell() {
                    deadline = deadline.min(Instant::now() + WATERMARK_LINGER);
                }
                if !waiter.woken_before(deadline).await {
                    return false;
                }
                self.connection.wakers.woken_by(waiter.woken_by());
                if !is_replica {
                    break;
                }
            }
            missing = self.missing_bytes();
        }
        true
    }

    fn watch(&self, waiter: &Arc<Waiter>) -> Vec<Registration> {
        let is_replica = self.fetched_by.is_replica();
        let mut watches = Vec::with_capacity(self.partitions.len());
        for (wanted, partition) in &self.partitions {
            let Ok(partition) = partition else { continue };
            // The end seen now, or the place to read at while that is further: whatever comes after it is news.
            let seen = partition.offsets(self.isolation).upper().max(wanted.params.fetch_offset);
            let event = if is_replica { Event::LogEnd } else { Event::HighWatermark };
            watches.push(partition.watch(waiter, event, seen + 1));
            if is_replica && 0 <= wanted.told_high_watermark {
                let news = Offset(wanted.told_high_watermark) + 1;
                watches.push(partition.watch(waiter, Event::HighWatermark, news));
            }
        }
        watches
    }

    fn has_watermark_to_tell(&self) -> bool {
        self.partitions.iter().any(|(wanted, partition)| {
            let told = wanted.told_high_watermark;
            0 <= told && partition.as_ref().is_ok_and(|partition| told < partition.log.high_watermark().0)
        })
    }

    /// What has to come before reading is worth it; 0 if it is, or if there is something to be told.
    fn missing_bytes(&self) -> u64 {
        let mut available = 0;
        for (wanted, partition) in &self.partitions {
            let Ok(partition) = partition else { return 0 };
            let params = &wanted.params;
            if partition.check_readable(params.current_leader_epoch, self.readable_by).is_err()
                || partition.log.check_usable().is_err()
            {
                return 0;
            }
            if partition.log.log_end_offset() < params.fetch_offset {
                // The log was cut back below the fetcher: it has to be told.
                return 0;
            }
            if self.is_held_back(partition) {
                continue;
            }
            let upper = partition.offsets(self.isolation).upper();
            let limit = positive(params.partition_bytes_max) as u64;
            available += partition.log.bytes_between(params.fetch_offset, upper).min(limit);
        }
        // At least one byte, so that `min.bytes=0` with nothing there does not read in circles.
        (self.bytes_min.max(1) as u64).saturating_sub(available)
    }

    /// A throttled follower that is not in sync gets nothing while the rate is used up.
    fn is_held_back(&self, partition: &Partition) -> bool {
        matches!(self.fetched_by, FetchedBy::Replica(follower, _) if partition.holds_back(follower))
    }

    async fn read_all(&self, verdicts: Vec<Option<Found>>) -> Vec<Found> {
        let mut found = Vec::with_capacity(self.partitions.len());
        let (mut left, mut min_one_batch) = (self.bytes_max, true);
        let is_first_replica_read = !verdicts.is_empty();
        let mut verdicts = verdicts.into_iter();
        for (wanted, partition) in &self.partitions {
            let one = match (verdicts.next().flatten(), partition) {
                (Some(verdict), _) => verdict,
                (None, Ok(partition)) => {
                    self.read(wanted, partition, (left, min_one_batch), is_first_replica_read).await
                }
                (None, Err(code)) => Found::Failed(*code),
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
        (bytes_left, min_one_batch): (usize, bool),
        is_compared: bool,
    ) -> Found {
        let params = &wanted.params;
        if let Some(last_fetched) = params.last_fetched_epoch
            && !is_compared
        {
            match partition.diverging_epoch(last_fetched, params.fetch_offset) {
                Ok(None) => {}
                Ok(Some((epoch, end_offset))) => {
                    let offsets = partition.offsets(Isolation::ReadCommitted);
                    return Found::Diverging { epoch, end_offset, offsets };
                }
                Err(error) => return Found::Failed(error.error_code()),
            }
        }
        if let Some(replica) = self.preference.as_ref().and_then(|it| it.replica_for(partition, params.fetch_offset)) {
            return Found::Preferred { replica, offsets: partition.offsets(Isolation::ReadCommitted) };
        }
        if self.fetched_by.is_replica()
            && let Some(nothing) = partition.nothing_to_replicate(params.fetch_offset, params.current_leader_epoch)
        {
            return Found::Read(nothing);
        }
        let (bytes_max, min_one_batch) = match self.is_held_back(partition) {
            true => (0, false),
            false => (positive(params.partition_bytes_max).min(bytes_left), min_one_batch),
        };
        let reader = (params.current_leader_epoch, self.readable_by);
        match partition.fetch(params.fetch_offset, reader, self.isolation, bytes_max, min_one_batch).await {
            Ok(read) => {
                if self.fetched_by.is_replica() && partition.is_throttled(Side::Leader) {
                    self.replicas.throttles().record(Side::Leader, read.records.len() as u64);
                }
                Found::Read(read)
            }
            Err(error) => {
                if error.is_storage() && self.replicas.read_failed(partition, params.fetch_offset, &error) {
                    tracing::warn!(partition = %partition.topic_partition, "fetch failed: {error}");
                }
                // While a fetch waits its partition may leave this broker: then it is told what a new one would be.
                let TopicPartition { topic, partition } = &partition.topic_partition;
                let gone = self.replicas.partition(topic, *partition).err();
                Found::Failed(gone.map_or_else(|| error.error_code(), |gone| gone.error_code()))
            }
        }
    }
}

/// The partition that is meant, if this broker serves it to this fetcher.
fn find(broker: &Broker, wanted: &FetchPartition, fetched_by: FetchedBy) -> Result<Arc<Partition>, ErrorCode> {
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
    if let FetchedBy::Replica(id, _) = fetched_by
        && (id == broker.node_id || !partition.has_replica(id))
    {
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
