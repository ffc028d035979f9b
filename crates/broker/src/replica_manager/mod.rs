//! The partitions that this broker holds, and what the controller tells about them.

mod control;
mod damaged;
mod errors;
mod isr;
mod partition;
mod throttle;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use whimbrel_model::record::{self, Codec, Compression};
use whimbrel_model::{BrokerEpoch, ControllerEpoch, LeaderEpoch, NodeId, Offset, TopicPartition};
use whimbrel_storage::{AppendRules, LogConfig, LogManager, StorageError, TargetCompression};

pub use control::{FollowerRole, RoleChanges};
pub use damaged::{DamagedReplicas, Inspected, Suspect, ToldReplica};
pub use errors::{AppendError, ControlError, PartitionError, ReadError};
pub use isr::{send_proposals, watch_laggards};
use partition::Cluster;
pub use partition::{
    FetchRead, FetchedBatches, FollowerError, FollowerReads, InSyncReplica, Isolation, IsrChanges, IsrProposal,
    Offsets, Partition, ReadableBy, Registration, RequiredAcks, Standing, TimestampQuery,
};
pub use throttle::{Side, Throttles};

use crate::config::{CompressionType, ReplicationConfig, TimestampType, TopicConfig};
use crate::metadata_cache::MetadataCache;
use crate::time;

/// Where a log's settings come from when it is made.
pub type ConfigFor<'a> = &'a (dyn Fn(&str) -> Arc<TopicConfig> + Sync);

/// All partitions of this broker.
///
/// Look-ups take no lock. Changes come from the controller, one request at a time.
#[derive(Debug)]
pub struct ReplicaManager {
    own: NodeId,
    logs: Arc<LogManager>,
    metadata: Arc<MetadataCache>,
    topics: papaya::HashMap<Arc<str>, Arc<HostedTopic>, foldhash::fast::RandomState>,
    cluster: Arc<Cluster>,
    /// Taken once, by the task that sends them.
    proposals: Mutex<Option<mpsc::UnboundedReceiver<IsrProposal>>>,
    directory_failures: watch::Sender<u64>,
    damaged: DamagedReplicas,
    /// Of the newest registration; beside the lock, for those who only name it.
    broker_epoch: AtomicI64,
    /// Serializes control requests.
    control: Mutex<Epochs>,
}

/// The highest epochs seen; they fence earlier controllers and requests for earlier lives of this broker.
#[derive(Debug)]
struct Epochs {
    controller: ControllerEpoch,
    broker: BrokerEpoch,
}

/// The partitions of one topic on this broker.
#[derive(Debug, Default)]
struct HostedTopic {
    partitions: ArcSwap<BTreeMap<i32, Arc<Partition>>>,
}

impl ReplicaManager {
    pub fn new(own: NodeId, logs: Arc<LogManager>, metadata: Arc<MetadataCache>, config: &ReplicationConfig) -> Self {
        let control = Mutex::new(Epochs { controller: ControllerEpoch(-1), broker: BrokerEpoch(-1) });
        let (sender, proposals) = mpsc::unbounded_channel();
        let lag_max_ms = i64::try_from(config.lag_max.as_millis()).unwrap_or(i64::MAX);
        let throttles = Throttles::new(config);
        let cluster = Arc::new(Cluster {
            own,
            metadata: metadata.clone(),
            lag_max_ms,
            throttles,
            proposals: sender,
            isr_changes: IsrChanges::default(),
        });
        let (topics, proposals) = (papaya::HashMap::default(), Mutex::new(Some(proposals)));
        let (broker_epoch, directory_failures) = (AtomicI64::new(-1), watch::Sender::new(0));
        let damaged = DamagedReplicas::default();
        Self { own, logs, metadata, topics, cluster, proposals, directory_failures, damaged, broker_epoch, control }
    }

    /// The changes of in-sync sets that the partitions ask for. `None` after the first call.
    pub fn take_proposals(&self) -> Option<mpsc::UnboundedReceiver<IsrProposal>> {
        self.proposals.lock().take()
    }

    /// In-sync sets that shrank and that grew since the start.
    pub fn isr_changes(&self) -> (u64, u64) {
        self.cluster.isr_changes.counts()
    }

    /// The rates of throttled replicas.
    pub fn throttles(&self) -> &Throttles {
        &self.cluster.throttles
    }

    /// This broker.
    pub fn own(&self) -> NodeId {
        self.own
    }

    /// The epoch of this broker's newest registration; -1 before the first.
    pub fn broker_epoch(&self) -> BrokerEpoch {
        BrokerEpoch(self.broker_epoch.load(Ordering::Acquire))
    }

    /// The files of all partitions.
    pub fn logs(&self) -> &Arc<LogManager> {
        &self.logs
    }

    /// The partition, if it is on this broker.
    ///
    /// # Errors
    /// It does not exist, or not here, or its directory is offline.
    pub fn partition(&self, topic: &str, index: i32) -> Result<Arc<Partition>, PartitionError> {
        if let Some(hosted) = self.topics.pin().get(topic)
            && let Some(partition) = hosted.partitions.load().get(&index)
        {
            return Ok(partition.clone());
        }
        let topic_partition = TopicPartition::new(topic, index);
        match self.metadata.image().partition(topic, index) {
            None => Err(PartitionError::UnknownTopicOrPartition { topic_partition }),
            // Assigned here, but its log could not be opened.
            Some(state) if state.replicas.contains(&self.own) => Err(PartitionError::Offline { topic_partition }),
            Some(_) => Err(PartitionError::NotHosted { topic_partition }),
        }
    }

    /// All partitions on this broker, in no order.
    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        let topics = self.topics.pin();
        topics.values().flat_map(|hosted| hosted.partitions.load().values().cloned().collect::<Vec<_>>()).collect()
    }

    /// The topics that have partitions here.
    pub fn topics(&self) -> Vec<Arc<str>> {
        self.topics.pin().keys().cloned().collect()
    }

    /// The broker has registered: requests for earlier registrations are refused from now on.
    pub fn set_broker_epoch(&self, epoch: BrokerEpoch) {
        self.control.lock().broker = epoch;
        self.broker_epoch.store(epoch.0, Ordering::Release);
    }

    /// Puts other settings in force for every partition of a topic.
    pub fn set_topic_config(&self, topic: &str, config: &Arc<TopicConfig>) {
        let log = log_config(config);
        if let Some(hosted) = self.topics.pin().get(topic) {
            for partition in hosted.partitions.load().values() {
                partition.set_config(config.clone(), log.clone());
            }
        }
    }

    /// Cuts logs of followers, with their recovery points lowered on disk before. A replica that does not follow in the
    /// epoch of its cut any more keeps its log: it may lead by now. Blocks.
    ///
    /// # Errors
    /// The first failure, after all were tried.
    pub fn cut_followers(&self, cuts: &[Cut]) -> Result<(), StorageError> {
        // Roles stay as they are until all is cut.
        let held = cuts.iter().filter_map(|cut| Some((cut.partition.hold_following(cut.epoch)?, cut)));
        let held: Vec<_> = held.collect();
        let targets: Vec<_> = held.iter().map(|(_, cut)| (cut.partition.topic_partition.clone(), cut.to)).collect();
        self.logs.truncate(&targets, time::wall_clock_ms())
    }

    /// Called by a flusher of a log directory: everything below `to` is on disk.
    pub fn flushed(&self, topic_partition: &TopicPartition, to: Offset) {
        if let Ok(partition) = self.partition(&topic_partition.topic, topic_partition.partition) {
            partition.flushed(to);
        }
    }

    /// Changes with every log directory that fails.
    pub fn directory_failures(&self) -> watch::Receiver<u64> {
        self.directory_failures.subscribe()
    }

    /// Called when a log directory failed: those who wait for its partitions are told.
    pub fn directory_failed(&self) {
        self.directory_failures.send_modify(|count| *count += 1);
        for partition in self.partitions() {
            if partition.log.check_usable().is_err() {
                partition.wake_all();
            }
        }
    }
}

/// Where a follower's log has to end.
#[derive(Debug)]
pub struct Cut {
    pub partition: Arc<Partition>,
    /// The epoch in which the replica follows.
    pub epoch: LeaderEpoch,
    pub to: Offset,
}

/// The part of a topic's settings that its logs need.
pub fn log_config(config: &TopicConfig) -> Arc<LogConfig> {
    let rules = AppendRules {
        compression: target_compression(config),
        is_compacted: config.cleanup_compact,
        timestamp_type: timestamp_type(config),
        timestamp_before_max_ms: config.timestamp_before_max_ms,
        timestamp_after_max_ms: config.timestamp_after_max_ms,
        message_bytes_max: config.message_bytes_max as usize,
        segment_bytes: config.segment_bytes as usize,
    };
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    Arc::new(LogConfig {
        segment_bytes: config.segment_bytes,
        segment_ms: ms(config.segment_age_max),
        segment_jitter_ms: ms(config.segment_jitter_max),
        segment_index_bytes: config.index_bytes_max,
        index_interval_bytes: config.index_interval_bytes,
        retention_ms: config.retention.map_or(-1, ms),
        retention_bytes: config.retention_bytes.map_or(-1, bytes),
        delete: config.cleanup_delete,
        compact: config.cleanup_compact,
        flush_messages: config.flush_messages.map_or(i64::MAX, bytes),
        flush_ms: config.flush_interval.map_or(i64::MAX, ms),
        file_delete_delay_ms: ms(config.file_delete_delay),
        rules,
    })
}

fn target_compression(config: &TopicConfig) -> TargetCompression {
    TargetCompression::Fixed(match config.compression {
        CompressionType::Producer => return TargetCompression::Producer,
        CompressionType::Uncompressed => Compression::NONE,
        CompressionType::Gzip => Compression { codec: Codec::Gzip, level: config.compression_gzip_level },
        CompressionType::Snappy => Compression::new(Codec::Snappy),
        CompressionType::Lz4 => Compression::new(Codec::Lz4),
        CompressionType::Zstd => Compression { codec: Codec::Zstd, level: config.compression_zstd_level },
    })
}

fn timestamp_type(config: &TopicConfig) -> record::TimestampType {
    match config.timestamp_type {
        TimestampType::CreateTime => record::TimestampType::CreateTime,
        TimestampType::LogAppendTime => record::TimestampType::LogAppendTime,
    }
}
