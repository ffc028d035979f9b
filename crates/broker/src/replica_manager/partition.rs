//! One partition as this broker holds it: its log, its role, and who waits for it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::RwLock;
use tokio::task;
use whimbrel_model::{LeaderEpoch, NodeId, Offset, ProducerId, TopicPartition, Uuid};
use whimbrel_state::partition::{Assigned, Assignment, LeadershipError, Replica};
use whimbrel_storage::{self as storage, AppendInfo, AppendOrigin, LeaderAppend, Log, LogConfig, ReadMode};

use super::errors::{AppendError, ReadError};
use crate::config::TopicConfig;
use crate::purgatory::{self, Event, Waiter, WatchList, Watched};

/// Who has to have a record before its append is answered (`acks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequiredAcks {
    /// 0 and 1: nobody, or this broker.
    Leader,
    /// -1: everyone in the in-sync set, which has at least `min.insync.replicas` members.
    All,
}

/// Up to which offset a reader may see (KIP-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// The high watermark.
    ReadUncommitted,
    /// The last stable offset.
    ReadCommitted,
}

/// The offsets of a partition at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    pub log_start: Offset,
    /// Only looked up for who reads committed data: it costs the log's lock.
    pub last_stable: Option<Offset>,
    pub high_watermark: Offset,
    pub log_end: Offset,
}

impl Offsets {
    /// The offset below which the reader that they were looked up for may see records.
    pub fn upper(&self) -> Offset {
        self.last_stable.unwrap_or(self.high_watermark)
    }
}

/// What a fetch found. The offsets are those from before the read.
#[derive(Debug)]
pub struct FetchRead {
    pub records: Bytes,
    pub offsets: Offsets,
    /// Told to every fetcher, whether or not it is bound by it.
    pub last_stable: Offset,
    /// For `read_committed`: the aborted transactions among the records, by producer and first offset.
    pub aborted: Option<Vec<(ProducerId, Offset)>>,
}

/// Which record to look up by its timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampQuery {
    /// The first whose timestamp is at least this, milliseconds since 1970.
    AtOrAfter(i64),
    /// The one with the largest timestamp (KIP-734).
    Max,
}

/// Timestamp, offset and leader epoch of a record.
pub(super) type TimestampAnswer = (i64, Offset, Option<LeaderEpoch>);

/// A waiter's place on the list of one partition.
pub type Registration = purgatory::Registration<Partition>;

/// A replica on this broker.
///
/// Appends and reads share `replica`; a change of role waits for them and keeps them out, so that nothing is appended
/// in an epoch that is over. Lock order: `replica`, then the log's own. Neither is held across a flush or an await.
#[derive(Debug)]
pub struct Partition {
    pub topic_partition: TopicPartition,
    pub topic_id: Uuid,
    pub log: Arc<Log>,
    /// Shared by all partitions with the same settings.
    config: ArcSwap<TopicConfig>,
    replica: RwLock<Replica>,
    watches: WatchList,
}

impl Watched for Partition {
    fn watches(&self) -> &WatchList {
        &self.watches
    }
}

impl Partition {
    pub fn new(
        own: NodeId,
        topic_partition: TopicPartition,
        topic_id: Uuid,
        log: Arc<Log>,
        config: Arc<TopicConfig>,
    ) -> Self {
        let (config, replica) = (ArcSwap::new(config), RwLock::new(Replica::new(own)));
        Self { topic_partition, topic_id, log, config, replica, watches: WatchList::default() }
    }

    /// Takes the controller's decision and makes it good on disk: a new leader records where its epoch starts before
    /// it serves anything (KAFKA-7415). Blocks.
    ///
    /// # Errors
    /// The leader epoch cannot be recorded; the replica then does not serve.
    pub fn assign(&self, assignment: &Assignment) -> Result<Assigned, storage::StorageError> {
        let mut replica = self.replica.write();
        if assignment.leader_epoch <= replica.leader_epoch() {
            return Ok(Assigned::Stale);
        }
        if assignment.leader == replica.own() {
            self.log.assign_epoch_start(assignment.leader_epoch, self.log.log_end_offset())?;
        }
        let assigned = replica.assign(assignment);
        self.advance_high_watermark(&replica);
        drop(replica);
        self.watches.changed();
        Ok(assigned)
    }

    /// Appends as the leader. The records are in the log when this returns; they are committed when
    /// [`Partition::is_committed`] says so for the offset after the last one.
    ///
    /// # Errors
    /// This replica does not lead, too few replicas are in sync, or the log refuses the records.
    pub fn append(
        &self,
        records: &Bytes,
        acks: RequiredAcks,
        origin: AppendOrigin,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        let replica = self.replica.read();
        let leader_epoch = replica.check_leader(None)?;
        if acks == RequiredAcks::All {
            self.check_min_isr(&replica)?;
        }
        let info = self.log.append_as_leader(records, LeaderAppend { leader_epoch, origin, now_ms })?;
        self.advance_high_watermark(&replica);
        let flush = acks == RequiredAcks::All && self.flushes_before_ack(&replica);
        drop(replica);
        if flush && self.log.flushed_offset() <= info.last_offset {
            self.log.request_flush();
        }
        Ok(info)
    }

    /// Whether everything below `end`, appended in `epoch`, is committed as an `acks=all` answer promises.
    ///
    /// # Errors
    /// This replica no longer leads in `epoch`, its directory failed, or the in-sync set shrank below the minimum.
    pub fn is_committed(&self, end: Offset, epoch: LeaderEpoch) -> Result<bool, AppendError> {
        let replica = self.replica.read();
        if replica.check_leader(None)? != epoch {
            let (leader, leader_epoch) = (replica.leader(), replica.leader_epoch());
            return Err(LeadershipError::NotLeader { leader, leader_epoch }.into());
        }
        self.log.check_usable()?;
        let is_durable = !self.flushes_before_ack(&replica) || end <= self.log.flushed_offset();
        if !is_durable || self.log.high_watermark() < end {
            return Ok(false);
        }
        match self.check_min_isr(&replica) {
            Err(AppendError::NotEnoughReplicas { in_sync, required }) => {
                Err(AppendError::NotEnoughReplicasAfterAppend { in_sync, required })
            }
            other => other.map(|()| true),
        }
    }

    /// Called by the flusher: everything below `to` is on disk.
    pub fn flushed(&self, to: Offset) {
        if self.flushes_each_message() {
            self.advance_high_watermark(&self.replica.read());
        }
        self.watches.reached(Event::Flushed, to);
    }

    /// Batches from `from` on, below what `isolation` allows. Reads that miss the page cache go to a thread that may
    /// block.
    ///
    /// # Errors
    /// This replica does not lead in the epoch that the client knows, or `from` is outside the log.
    pub async fn fetch(
        self: &Arc<Self>,
        from: Offset,
        known_epoch: Option<LeaderEpoch>,
        isolation: Isolation,
        bytes_max: usize,
        min_one_batch: bool,
    ) -> Result<FetchRead, ReadError> {
        self.check_leader(known_epoch)?;
        let offsets = self.offsets(isolation);
        let upper = offsets.upper();
        if from < offsets.log_start || upper < from {
            return Err(ReadError::OffsetOutOfRange { requested: from, log_start: offsets.log_start, upper });
        }
        let read = match self.log.read(from, upper, bytes_max, min_one_batch, ReadMode::NoWait) {
            Err(storage::ReadError::WouldBlock) => {
                let log = self.log.clone();
                let cold = move || log.read(from, upper, bytes_max, min_one_batch, ReadMode::MayBlock);
                task::spawn_blocking(cold).await.map_err(|_| ReadError::Stopped)?
            }
            read => read,
        }
        .map_err(|error| ReadError::from_storage(error, offsets))?;
        let aborted = match isolation {
            Isolation::ReadUncommitted => None,
            Isolation::ReadCommitted => {
                Some(self.log.aborted_transactions(from, read.next_offset).map_err(ReadError::Storage)?)
            }
        };
        let last_stable = offsets.last_stable.unwrap_or_else(|| self.log.last_stable_offset());
        Ok(FetchRead { records: read.records, offsets, last_stable, aborted })
    }

    /// Looks a record up by timestamp.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn find_timestamp(self: &Arc<Self>, query: TimestampQuery) -> Result<Option<TimestampAnswer>, ReadError> {
        let log = self.log.clone();
        // May scan up to one index interval of the log, which need not be in the page cache.
        let found = task::spawn_blocking(move || match query {
            TimestampQuery::AtOrAfter(timestamp) => log.offset_for_timestamp(timestamp),
            TimestampQuery::Max => log.offset_of_max_timestamp(),
        })
        .await
        .map_err(|_| ReadError::Stopped)?
        .map_err(ReadError::Storage)?;
        Ok(found.map(|found| (found.timestamp, found.offset, self.log.epoch_for_offset(found.offset))))
    }

    /// Where the log of a fetcher has to be cut, if it is not a prefix of this one: its last record has `last_fetched`
    /// and it goes on at `from` (KIP-595). `None` if it is a prefix.
    ///
    /// # Errors
    /// `OffsetOutOfRange` if nothing is known of that epoch.
    pub fn diverging_epoch(
        &self,
        last_fetched: LeaderEpoch,
        from: Offset,
    ) -> Result<Option<(LeaderEpoch, Offset)>, ReadError> {
        let offsets = self.offsets(Isolation::ReadUncommitted);
        let out_of_range =
            ReadError::OffsetOutOfRange { requested: from, log_start: offsets.log_start, upper: offsets.log_end };
        let (epoch, end) = self.log.offset_for_leader_epoch(last_fetched).ok_or(out_of_range)?;
        if from < offsets.log_start {
            return Err(ReadError::OffsetOutOfRange {
                requested: from,
                log_start: offsets.log_start,
                upper: offsets.log_end,
            });
        }
        Ok((epoch < last_fetched || end < from).then_some((epoch, end)))
    }

    /// The epoch in which this replica leads.
    ///
    /// # Errors
    /// It does not lead, or `known` is another epoch.
    pub fn check_leader(&self, known: Option<LeaderEpoch>) -> Result<LeaderEpoch, LeadershipError> {
        self.replica.read().check_leader(known)
    }

    /// The epoch of the last role that the controller gave; -1 before the first.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.replica.read().leader_epoch()
    }

    /// The newest leader epoch that has records, or begins, in the log.
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.log.latest_epoch()
    }

    pub fn offsets(&self, isolation: Isolation) -> Offsets {
        Offsets {
            log_start: self.log.log_start_offset(),
            last_stable: (isolation == Isolation::ReadCommitted).then(|| self.log.last_stable_offset()),
            high_watermark: self.log.high_watermark(),
            log_end: self.log.log_end_offset(),
        }
    }

    /// Wakes `waiter` when the partition has moved to `target`, or has changed its role.
    pub fn watch(self: &Arc<Self>, waiter: &Arc<Waiter>, event: Event, target: Offset) -> Registration {
        WatchList::register(self, waiter, event, target)
    }

    /// Wakes all who wait: the log went offline or the partition is being removed.
    pub fn wake_all(&self) {
        self.watches.changed();
    }

    /// Requests that wait for this partition.
    pub fn waiting(&self) -> usize {
        self.watches.len()
    }

    pub fn is_leader(&self) -> bool {
        self.replica.read().is_leader()
    }

    /// Whether broker `node` holds a replica.
    pub fn has_replica(&self, node: NodeId) -> bool {
        self.replica.read().replicas().contains(&node)
    }

    /// Puts other settings in force.
    pub fn set_config(&self, config: Arc<TopicConfig>, log: Arc<LogConfig>) {
        self.config.store(config);
        self.log.set_config(log);
        // A topic that no longer flushes each message commits at once what waited for that.
        self.advance_high_watermark(&self.replica.read());
    }

    fn check_min_isr(&self, replica: &Replica) -> Result<(), AppendError> {
        // A topic with fewer replicas than the minimum is held to what it has (KAFKA-15583).
        let required = (self.config.load().min_insync_replicas as usize).min(replica.replicas().len());
        let in_sync = replica.isr().len();
        if in_sync < required {
            return Err(AppendError::NotEnoughReplicas { in_sync, required });
        }
        Ok(())
    }

    fn flushes_each_message(&self) -> bool {
        self.config.load().flush_messages == Some(1)
    }

    /// A record with no other copy, or of a topic that flushes each message, is on disk before it is acknowledged.
    fn flushes_before_ack(&self, replica: &Replica) -> bool {
        replica.replicas().len() == 1 || self.flushes_each_message()
    }

    fn advance_high_watermark(&self, replica: &Replica) {
        // Where each message is flushed, a replica counts only what it has flushed.
        let counted = if self.flushes_each_message() { self.log.flushed_offset() } else { self.log.log_end_offset() };
        if let Some(to) = replica.committed_end(counted)
            && self.log.advance_high_watermark(to)
        {
            self.watches.reached(Event::HighWatermark, to);
        }
    }
}
