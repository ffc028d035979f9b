//! A consumer of named partitions: one fetch per leader at a time, whatever is answered first is handed out first.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use whimbrel_model::ErrorCode;
use whimbrel_wire::fetch::{FetchPartition, FetchTopic, PartitionData};
use whimbrel_wire::{FetchRequest, FetchResponse, Records};

use super::offsets::{ListedOffset, OffsetQuery, Target, list_offsets};
use super::records::{FetchedRecord, read_records};
use crate::cluster::is_stale_leader;
use crate::{ClientError, Cluster};

/// Whether records of open and aborted transactions are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    #[default]
    ReadUncommitted,
    ReadCommitted,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
    Offset(i64),
    /// The first record at or after this time, in milliseconds since 1970; the end when there is none.
    Time(i64),
}

/// How much is fetched at once, and how long a broker may wait for it.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    pub isolation: Isolation,
    pub wait_max: Duration,
    pub bytes_min: i32,
    pub bytes_max: i32,
    pub partition_bytes_max: i32,
    /// What to do when a position no longer exists: begin at the earliest or the latest; `None`: an error.
    pub reset: Option<OffsetQuery>,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            isolation: Isolation::default(),
            wait_max: Duration::from_millis(500),
            bytes_min: 1,
            bytes_max: 50 * 1024 * 1024,
            partition_bytes_max: 1024 * 1024,
            reset: Some(OffsetQuery::Earliest),
        }
    }
}

/// Where the consumer stands in one partition.
#[derive(Debug, Clone, Copy)]
struct Position {
    next: i64,
    /// -1 before the first answer.
    high_watermark: i64,
    leader_epoch: i32,
    /// Not asked for again before this, after an error that passes.
    not_before: Option<Instant>,
}

/// One answer on its way.
struct Fetched {
    leader: i32,
    asked: Vec<Target>,
    answer: Result<FetchResponse, ClientError>,
}

/// Reads the partitions it is given.
pub struct Consumer {
    cluster: Cluster,
    options: ConsumerOptions,
    positions: BTreeMap<Target, Position>,
    fetches: JoinSet<Fetched>,
    /// Leaders with a fetch on its way.
    busy: HashSet<i32>,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer").field("positions", &self.positions).finish_non_exhaustive()
    }
}

impl Consumer {
    /// A consumer without partitions.
    #[must_use]
    pub fn new(cluster: Cluster, options: ConsumerOptions) -> Self {
        let (positions, fetches, busy) = (BTreeMap::new(), JoinSet::new(), HashSet::new());
        Self { cluster, options, positions, fetches, busy }
    }

    /// Reads these partitions from now on, and no others.
    ///
    /// # Errors
    /// The start of a partition cannot be found.
    pub async fn assign(&mut self, partitions: &[(Target, Start)]) -> Result<(), ClientError> {
        let query = |start: &Start| match start {
            Start::Earliest => Some(OffsetQuery::Earliest),
            Start::Latest => Some(OffsetQuery::Latest),
            Start::Time(at) => Some(OffsetQuery::At(*at)),
            Start::Offset(_) => None,
        };
        let wanted: Vec<_> =
            partitions.iter().filter_map(|(target, start)| Some((target.clone(), query(start)?))).collect();
        let committed = self.options.isolation == Isolation::ReadCommitted;
        let found = list_offsets(&self.cluster, &wanted, committed).await?;
        let too_young: Vec<_> = found.iter().filter(|(_, found)| found.offset < 0).collect();
        let ends: Vec<_> = too_young.iter().map(|(target, _)| ((*target).clone(), OffsetQuery::Latest)).collect();
        let ends = list_offsets(&self.cluster, &ends, committed).await?;
        let listed = |target: &Target| {
            ends.get(target).or_else(|| found.get(target)).map_or(0, |found: &ListedOffset| found.offset)
        };
        self.fetches.abort_all();
        self.fetches = JoinSet::new();
        self.busy.clear();
        let position = |(target, start): &(Target, Start)| {
            let next = if let Start::Offset(offset) = start { *offset } else { listed(target) };
            (target.clone(), Position { next, high_watermark: -1, leader_epoch: -1, not_before: None })
        };
        self.positions = partitions.iter().map(position).collect();
        Ok(())
    }

    /// The offset that is read next, for each partition.
    pub fn positions(&self) -> impl Iterator<Item = (&Target, i64)> {
        self.positions.iter().map(|(target, position)| (target, position.next))
    }

    /// True once everything up to the high watermark of every partition has been handed out.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.positions.values().all(|position| 0 <= position.high_watermark && position.high_watermark <= position.next)
    }

    /// The next records, in order within each partition; empty when none came within `wait`.
    ///
    /// # Errors
    /// An error that does not pass: a damaged batch, a position that is gone while `reset` is `None`, a topic that
    /// was deleted.
    pub async fn poll(&mut self, wait: Duration) -> Result<Vec<FetchedRecord>, ClientError> {
        let give_up_at = Instant::now() + wait;
        loop {
            self.start_fetches().await?;
            let next = async {
                match self.fetches.join_next().await {
                    Some(fetched) => fetched.ok(),
                    // Everything rests after an error, or nothing is assigned.
                    None => {
                        tokio::time::sleep(self.cluster.options().backoff_min).await;
                        None
                    }
                }
            };
            match tokio::time::timeout_at(give_up_at, next).await {
                Err(_) => return Ok(Vec::new()),
                Ok(None) => {}
                Ok(Some(fetched)) => {
                    self.busy.remove(&fetched.leader);
                    let records = self.take(fetched).await?;
                    if !records.is_empty() {
                        return Ok(records);
                    }
                }
            }
        }
    }

    /// Asks each leader that has nothing on its way for its partitions.
    async fn start_fetches(&mut self) -> Result<(), ClientError> {
        let now = Instant::now();
        let mut by_leader: HashMap<i32, Vec<Target>> = HashMap::new();
        let due: Vec<Target> = self
            .positions
            .iter()
            .filter(|(_, position)| position.not_before.is_none_or(|at| at <= now))
            .map(|(target, _)| target.clone())
            .collect();
        for target in due {
            match self.cluster.leader(&target.0, target.1).await {
                Ok((leader, epoch)) => {
                    if let Some(position) = self.positions.get_mut(&target) {
                        position.leader_epoch = epoch;
                    }
                    by_leader.entry(leader).or_default().push(target);
                }
                Err(error) => self.rest(&target, error)?,
            }
        }
        for (leader, targets) in by_leader {
            if !self.busy.insert(leader) {
                continue;
            }
            let request = self.request(&targets);
            let (cluster, wait_max) = (self.cluster.clone(), self.options.wait_max);
            self.fetches.spawn(async move {
                let answer = async { cluster.broker(leader).await?.call_for(request, wait_max).await }.await;
                Fetched { leader, asked: targets, answer }
            });
        }
        Ok(())
    }

    fn request(&self, targets: &[Target]) -> FetchRequest {
        let mut topics: BTreeMap<&Arc<str>, Vec<FetchPartition>> = BTreeMap::new();
        for target in targets {
            let Some(position) = self.positions.get(target) else { continue };
            topics.entry(&target.0).or_default().push(FetchPartition {
                partition: target.1,
                current_leader_epoch: position.leader_epoch,
                fetch_offset: position.next,
                partition_max_bytes: self.options.partition_bytes_max,
                ..FetchPartition::default()
            });
        }
        let topic =
            |(name, partitions): (&Arc<str>, _)| FetchTopic { topic: name.into(), partitions, ..Default::default() };
        FetchRequest {
            replica_id: -1,
            max_wait_ms: i32::try_from(self.options.wait_max.as_millis()).unwrap_or(i32::MAX),
            min_bytes: self.options.bytes_min,
            max_bytes: self.options.bytes_max,
            isolation_level: i8::from(self.options.isolation == Isolation::ReadCommitted),
            topics: topics.into_iter().map(topic).collect(),
            ..FetchRequest::default()
        }
    }

    async fn take(&mut self, fetched: Fetched) -> Result<Vec<FetchedRecord>, ClientError> {
        let Fetched { asked, answer, .. } = fetched;
        let checked = answer.and_then(|answer| {
            ClientError::check(answer.error_code, None, || "fetch".into())?;
            Ok(answer)
        });
        let answer = match checked {
            Ok(answer) => answer,
            Err(error) if error.is_retriable() => {
                tracing::debug!(%error, "fetch is tried again");
                for target in &asked {
                    self.cluster.forget(&target.0);
                    self.pause(target);
                }
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let mut records = Vec::new();
        for topic in answer.responses {
            let name: Arc<str> = Arc::from(topic.topic.as_str());
            for data in topic.partitions {
                let target = (name.clone(), data.partition_index);
                if self.positions.contains_key(&target) {
                    records.extend(self.take_partition(&target, data).await?);
                }
            }
        }
        Ok(records)
    }

    async fn take_partition(
        &mut self,
        target: &Target,
        data: PartitionData,
    ) -> Result<Vec<FetchedRecord>, ClientError> {
        let checked = ClientError::check(data.error_code, None, || format!("fetch from {}-{}", target.0, target.1));
        match checked {
            Err(error) if error.code() == Some(ErrorCode::OffsetOutOfRange) => {
                self.reset(target, error).await?;
                return Ok(Vec::new());
            }
            Err(error) => {
                self.rest(target, error)?;
                return Ok(Vec::new());
            }
            Ok(()) => {}
        }
        let Some(position) = self.positions.get_mut(target) else { return Ok(Vec::new()) };
        let bytes = data.records.and_then(Records::into_bytes).unwrap_or_default();
        let aborted = data.aborted_transactions.as_deref();
        let read = read_records(&target.0, target.1, position.next, &bytes, aborted);
        let (records, next) = read.map_err(|(offset, source)| {
            let (topic, partition) = (target.0.to_string(), target.1);
            ClientError::Records { topic, partition, offset, source }
        })?;
        position.next = next;
        position.not_before = None;
        // A `read_committed` reader is at its end at the last stable offset.
        let committed = self.options.isolation == Isolation::ReadCommitted && 0 <= data.last_stable_offset;
        position.high_watermark = if committed { data.last_stable_offset } else { data.high_watermark };
        Ok(records)
    }

    /// Lets a partition rest after an error that passes.
    fn rest(&mut self, target: &Target, error: ClientError) -> Result<(), ClientError> {
        let passes = is_stale_leader(&error) || error.is_retriable();
        if !passes {
            return Err(error);
        }
        tracing::debug!(topic = %target.0, partition = target.1, %error, "partition is tried again");
        self.cluster.forget(&target.0);
        self.pause(target);
        Ok(())
    }

    fn pause(&mut self, target: &Target) {
        if let Some(position) = self.positions.get_mut(target) {
            position.not_before = Some(Instant::now() + self.cluster.options().backoff_min * 2);
        }
    }

    async fn reset(&mut self, target: &Target, error: ClientError) -> Result<(), ClientError> {
        let Some(query) = self.options.reset else { return Err(error) };
        let committed = self.options.isolation == Isolation::ReadCommitted;
        let found = list_offsets(&self.cluster, &[(target.clone(), query)], committed).await?;
        if let (Some(found), Some(position)) = (found.get(target), self.positions.get_mut(target)) {
            tracing::warn!(topic = %target.0, partition = target.1, from = position.next, to = found.offset, "position is gone");
            position.next = found.offset;
        }
        Ok(())
    }
}
