//! Which replica a consumer should read from (KIP-392), as Kafka's `RackAwareReplicaSelector` chooses.

use std::sync::Arc;

use whimbrel_model::{NodeId, Offset};

use crate::Broker;
use crate::metadata_cache::MetadataImage;
use crate::replica_manager::{InSyncReplica, Partition};

/// A consumer that says where it is, on a broker that cares.
pub(super) struct Preference {
    rack: String,
    own: NodeId,
    image: Arc<MetadataImage>,
}

impl Preference {
    /// `None` where consumers read from the leader: `replica.selector.class` says so, or the consumer has no rack.
    pub fn of(broker: &Broker, rack: &str) -> Option<Self> {
        let wants = !rack.is_empty() && broker.config().replication.rack_aware_reads;
        wants.then(|| Self { rack: rack.to_owned(), own: broker.node_id, image: Arc::clone(&broker.metadata.image()) })
    }

    /// The in-sync replica in the consumer's rack that has `offset` and is furthest. `None` if the leader is in that
    /// rack, or nobody is, or this broker does not lead.
    pub fn replica_for(&self, partition: &Partition, offset: Offset) -> Option<NodeId> {
        let is_near = |node: NodeId| {
            let broker = self.image.brokers.get(&node);
            broker.is_some_and(|broker| broker.rack.as_deref() == Some(&*self.rack))
        };
        if is_near(self.own) {
            return None;
        }
        let candidates = partition.in_sync_followers()?;
        candidates
            .into_iter()
            .filter(|it| it.log_start <= offset && offset <= it.log_end && is_near(it.node))
            .max_by_key(|it: &InSyncReplica| (it.log_end, it.caught_up_ms, it.node))
            .map(|it| it.node)
    }
}
