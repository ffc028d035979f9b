//! One partition as this broker holds it: its log, its role, and who waits for it.

mod append;
mod read;
mod replication;
mod standing;

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::RwLock;
use tokio::sync::mpsc;
use whimbrel_model::{LeaderEpoch, NodeId, Offset, TopicPartition, Uuid};
use whimbrel_state::partition::{Assigned, Assignment, LeadershipError, Limits, Proposal, Replica};
use whimbrel_storage::{self as storage, Log, LogConfig};

pub use append::RequiredAcks;
pub use read::{FetchRead, Isolation, Offsets, ReadableBy, TimestampQuery};
pub use replication::{FetchedBatches, FollowerError, FollowerReads, InSyncReplica};
pub use standing::{IsrChanges, Standing};

use crate::config::TopicConfig;
use crate::metadata_cache::MetadataCache;
use crate::purgatory::{self, Event, Waiter, Wakes, WatchList, Watched};
use crate::replica_manager::throttle::{Side, Throttles};
use crate::time;

/// A waiter's place on the list of one partition.
pub type Registration = purgatory::Registration<Partition>;

/// A change of a partition's in-sync set, on its way to the controller.
#[derive(Debug)]
pub struct IsrProposal {
    pub partition: Arc<Partition>,
    pub proposal: Proposal,
}

/// What all partitions of a broker share for their replication.
#[derive(Debug)]
pub struct Cluster {
    pub own: NodeId,
    pub metadata: Arc<MetadataCache>,
    /// `replica.lag.time.max.ms`.
    pub lag_max_ms: i64,
    pub throttles: Throttles,
    /// Where changes of in-sync sets go.
    pub proposals: mpsc::UnboundedSender<IsrProposal>,
    pub isr_changes: IsrChanges,
}

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
    cluster: Arc<Cluster>,
}

impl Watched for Partition {
    fn watches(&self) -> &WatchList {
        &self.watches
    }
}

impl Partition {
    pub fn new(
        cluster: Arc<Cluster>,
        topic_partition: TopicPartition,
        topic_id: Uuid,
        log: Arc<Log>,
        config: Arc<TopicConfig>,
    ) -> Self {
        let (config, replica) = (ArcSwap::new(config), RwLock::new(Replica::new(cluster.own)));
        Self { topic_partition, topic_id, log, config, replica, watches: WatchList::default(), cluster }
    }

    /// Takes the controller's decision and makes it good on disk: a new leader records where its epoch starts before
    /// it serves anything (KAFKA-7415). Blocks.
    ///
    /// # Errors
    /// The leader epoch cannot be recorded; the replica then does not serve.
    pub fn assign(&self, assignment: &Assignment) -> Result<Assigned, storage::StorageError> {
        let mut wakes = Wakes::default();
        let mut replica = self.replica.write();
        if assignment.leader_epoch <= replica.leader_epoch() {
            return Ok(Assigned::Stale);
        }
        let log_end = self.log.log_end_offset();
        if assignment.leader == replica.own() {
            self.log.assign_epoch_start(assignment.leader_epoch, log_end)?;
        }
        let assigned = replica.assign(time::monotonic_ms(), assignment, log_end);
        self.advance_high_watermark(&replica, &mut wakes);
        drop(replica);
        self.watches.changed();
        Ok(assigned)
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

    /// Who leads, as this replica knows it, and in which epoch.
    pub fn leader_and_epoch(&self) -> (NodeId, LeaderEpoch) {
        let replica = self.replica.read();
        (replica.leader(), replica.leader_epoch())
    }

    /// A leader whose high watermark is still below the records of earlier leaders: some of those may be committed, and
    /// it does not know yet which.
    pub fn is_catching_up_with_its_predecessor(&self) -> bool {
        self.replica.read().lead().is_some_and(|leader| self.log.high_watermark() < leader.epoch_start())
    }

    /// The newest leader epoch that has records, or begins, in the log.
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.log.latest_epoch()
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
        let mut wakes = Wakes::default();
        self.advance_high_watermark(&self.replica.read(), &mut wakes);
    }

    /// Whether the topic wants this replica to be copied no faster than the throttled rate.
    pub fn is_throttled(&self, side: Side) -> bool {
        let config = self.config.load();
        let throttled = match side {
            Side::Leader => &config.leader_throttled,
            Side::Follower => &config.follower_throttled,
        };
        throttled.contains(self.topic_partition.partition, self.cluster.own.0)
    }

    /// Whether a follower that is not in sync has to wait, since it is throttled and the rate is used up.
    pub fn holds_back(&self, follower: NodeId) -> bool {
        self.is_throttled(Side::Leader)
            && self.replica.read().lead().is_some_and(|leader| !leader.isr().contains(&follower))
            && self.cluster.throttles.is_exceeded(Side::Leader)
    }

    fn flushes_each_message(&self) -> bool {
        self.config.load().flush_messages == Some(1)
    }

    fn min_isr(&self) -> usize {
        self.config.load().min_insync_replicas as usize
    }

    /// What the machine has to know of the moment.
    fn with_limits<T>(&self, run: impl FnOnce(&Limits<'_>) -> T) -> T {
        let is_eligible = |node: NodeId| self.cluster.metadata.image().brokers.contains_key(&node);
        run(&Limits {
            now_ms: time::monotonic_ms(),
            lag_max_ms: self.cluster.lag_max_ms,
            min_isr: self.min_isr(),
            is_eligible: &is_eligible,
        })
    }

    /// Moves the high watermark to where this leader and its followers allow.
    fn advance_high_watermark(&self, replica: &Replica, wakes: &mut Wakes) {
        let Some(leader) = replica.lead() else { return };
        // Where each message is flushed, a replica counts only what it has flushed.
        let counted = if self.flushes_each_message() { self.log.flushed_offset() } else { self.log.log_end_offset() };
        let before = self.log.high_watermark();
        if let Some(to) = self.with_limits(|limits| leader.high_watermark(limits, counted))
            && self.log.advance_high_watermark(to)
        {
            self.watches.grown(Event::HighWatermark, to, || self.log.bytes_between(before, to), wakes);
        }
    }
}
