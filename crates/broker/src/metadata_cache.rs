//! What this broker knows of the cluster: live brokers, topics, leaders. Filled by UpdateMetadata alone.
//!
//! Readers take a snapshot without a lock; each update makes the next one. Source: `ZkMetadataCache.scala`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use foldhash::HashMap;
use parking_lot::Mutex;
use tokio::sync::watch;
use whimbrel_model::{ControllerEpoch, NodeId, Uuid};
use whimbrel_state::controller::control::{
    LEADER_DURING_DELETE, LiveBroker, UpdateMetadataPartition, UpdateMetadataRequest,
};

/// One consistent view of the cluster.
#[derive(Debug, Clone, Default)]
pub struct MetadataImage {
    /// The controller that sent the newest update.
    pub controller: Option<(NodeId, ControllerEpoch)>,
    pub brokers: Arc<BTreeMap<NodeId, LiveBroker>>,
    topics: HashMap<Arc<str>, Arc<TopicMetadata>>,
    names: HashMap<Uuid, Arc<str>>,
    /// Leader changes that updates have told since the start.
    pub elections: u64,
}

/// One topic: its id (zero if it has none) and its partitions by index.
#[derive(Debug, Clone)]
pub struct TopicMetadata {
    pub name: Arc<str>,
    pub id: Uuid,
    pub partitions: BTreeMap<i32, UpdateMetadataPartition>,
}

impl MetadataImage {
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicMetadata>> {
        self.topics.get(name)
    }

    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<TopicMetadata>> {
        self.topics.get(self.names.get(&id)?)
    }

    pub fn partition(&self, topic: &str, partition: i32) -> Option<&UpdateMetadataPartition> {
        self.topics.get(topic)?.partitions.get(&partition)
    }

    /// All topics, in no order.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Arc<TopicMetadata>> {
        self.topics.values()
    }

    /// Partitions of all topics.
    pub fn partition_count(&self) -> usize {
        self.topics.values().map(|topic| topic.partitions.len()).sum()
    }

    fn apply(&mut self, update: &UpdateMetadataRequest) -> Vec<DeletedPartition> {
        self.controller = Some((update.header.controller_id, update.header.controller_epoch));
        self.brokers = Arc::new(update.live_brokers.iter().map(|broker| (broker.id, broker.clone())).collect());
        let mut deleted = Vec::new();
        for change in update.topics.iter() {
            let known = self.topics.get(&change.name);
            let mut topic = match known {
                Some(known) => TopicMetadata::clone(known),
                None => TopicMetadata { name: change.name.clone(), id: Uuid::ZERO, partitions: BTreeMap::new() },
            };
            // Without an id the known states may be those of an earlier topic of the name.
            let is_same = topic.id == change.id && !change.id.is_zero();
            if topic.id != change.id {
                self.names.remove(&topic.id);
                topic.id = change.id;
            }
            for partition in &change.partitions {
                if partition.leader == LEADER_DURING_DELETE {
                    topic.partitions.remove(&partition.index);
                    deleted.push(DeletedPartition { topic: topic.name.clone(), partition: partition.index });
                } else if !(is_same && is_overtaken(&topic, partition)) {
                    let before = topic.partitions.insert(partition.index, partition.clone());
                    let is_elected = before.is_some_and(|before| before.leader_epoch < partition.leader_epoch);
                    self.elections += u64::from(is_elected);
                }
            }
            if topic.partitions.is_empty() {
                self.names.remove(&topic.id);
                self.topics.remove(&topic.name);
            } else {
                if !topic.id.is_zero() {
                    self.names.insert(topic.id, topic.name.clone());
                }
                self.topics.insert(topic.name.clone(), Arc::new(topic));
            }
        }
        deleted
    }
}

/// Whether a later state of the partition is known: a request that hung in a broken connection may come after the ones
/// that were sent in its place.
fn is_overtaken(topic: &TopicMetadata, told: &UpdateMetadataPartition) -> bool {
    topic.partitions.get(&told.index).is_some_and(|known| {
        told.partition_epoch < known.partition_epoch && told.controller_epoch <= known.controller_epoch
    })
}

/// A partition that an update removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

/// The newest image, and a way to wait for the next.
#[derive(Debug)]
pub struct MetadataCache {
    image: ArcSwap<MetadataImage>,
    /// Held while the next image is made, so that no update is lost.
    updating: Mutex<()>,
    updates: watch::Sender<u64>,
}

impl Default for MetadataCache {
    fn default() -> Self {
        Self { image: ArcSwap::default(), updating: Mutex::new(()), updates: watch::channel(0).0 }
    }
}

impl MetadataCache {
    /// The newest image. Cheap: no lock, no copy.
    pub fn image(&self) -> arc_swap::Guard<Arc<MetadataImage>> {
        self.image.load()
    }

    /// Takes an update that the replica manager has checked for its epochs. Returns the partitions that it removed.
    pub fn apply_update(&self, update: &UpdateMetadataRequest) -> Vec<DeletedPartition> {
        let _one_at_a_time = self.updating.lock();
        let mut next = MetadataImage::clone(&self.image.load());
        let deleted = next.apply(update);
        self.image.store(Arc::new(next));
        self.updates.send_modify(|count| *count += 1);
        deleted
    }

    /// Changes with every update.
    pub fn updates(&self) -> watch::Receiver<u64> {
        self.updates.subscribe()
    }

    /// Returns the first image, from now on, for which `ready` holds.
    pub async fn wait_for<T>(&self, mut ready: impl FnMut(&MetadataImage) -> Option<T>) -> T {
        let mut updates = self.updates.subscribe();
        loop {
            updates.mark_unchanged();
            if let Some(value) = ready(&self.image()) {
                return value;
            }
            if updates.changed().await.is_err() {
                // The sender lives in `self`, so that this cannot happen while `self` is borrowed.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_model::{BrokerEpoch, LeaderEpoch, PartitionEpoch};
    use whimbrel_state::controller::control::{ControlHeader, UpdateMetadataTopic};

    use super::*;

    fn update(topic: &str, id: Uuid, partition: i32, leader: NodeId) -> UpdateMetadataRequest {
        let partition = UpdateMetadataPartition {
            index: partition,
            controller_epoch: ControllerEpoch(1),
            leader,
            leader_epoch: LeaderEpoch(0),
            isr: vec![NodeId(1)],
            partition_epoch: PartitionEpoch(0),
            replicas: vec![NodeId(1)],
            offline_replicas: vec![],
        };
        let header = ControlHeader {
            controller_id: NodeId(1),
            controller_epoch: ControllerEpoch(1),
            broker_epoch: BrokerEpoch(-1),
        };
        let topics = vec![UpdateMetadataTopic { name: topic.into(), id, partitions: vec![partition] }].into();
        UpdateMetadataRequest { header, topics, live_brokers: Vec::new().into() }
    }

    #[test]
    fn topics_come_and_go_with_their_ids() {
        let cache = MetadataCache::default();
        let (old, new) = (Uuid([1; 16]), Uuid([2; 16]));
        cache.apply_update(&update("t", old, 0, NodeId(1)));
        cache.apply_update(&update("t", old, 1, NodeId(1)));
        assert_eq!(cache.image().topic_by_id(old).unwrap().partitions.len(), 2);
        cache.apply_update(&update("t", new, 1, NodeId(1)));
        assert!(cache.image().topic_by_id(old).is_none());
        assert!(cache.image().topic_by_id(new).is_some());
        let deleted = cache.apply_update(&update("t", new, 0, LEADER_DURING_DELETE));
        assert_eq!(deleted, [DeletedPartition { topic: "t".into(), partition: 0 }]);
        cache.apply_update(&update("t", new, 1, LEADER_DURING_DELETE));
        assert!(cache.image().topic("t").is_none());
        assert!(cache.image().topic_by_id(new).is_none());
    }

    #[test]
    fn a_state_that_was_overtaken_is_not_taken_back() {
        let cache = MetadataCache::default();
        let (old, new) = (Uuid([1; 16]), Uuid([2; 16]));
        let at = |id, partition_epoch, leader| {
            let mut update = update("t", id, 0, NodeId(leader));
            let mut topics = update.topics.to_vec();
            topics[0].partitions[0].partition_epoch = PartitionEpoch(partition_epoch);
            update.topics = topics.into();
            update
        };
        let leader = || cache.image().partition("t", 0).unwrap().leader;
        cache.apply_update(&at(old, 5, 2));
        cache.apply_update(&at(old, 4, 1));
        assert_eq!(leader(), NodeId(2));
        cache.apply_update(&at(old, 5, 3));
        assert_eq!(leader(), NodeId(3), "the same state may be told again");
        cache.apply_update(&at(new, 0, 1));
        assert_eq!(leader(), NodeId(1), "another topic starts again");
    }
}
