//! A coordinator on one real partition in a temporary directory, without listeners or ZooKeeper.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Handle;
use whimbrel_model::{BrokerEpoch, ControllerEpoch, ErrorCode, LeaderEpoch, NodeId, PartitionEpoch, Uuid};
use whimbrel_state::controller::control::{
    ControlHeader, LeaderAndIsrPartition, LeaderAndIsrRequest, LeaderAndIsrTopic, LeaderRecoveryState,
};
use whimbrel_storage::{LogManager, LogManagerConfig};

use crate::config::{BrokerConfig, Layers, TopicConfig};
use crate::group_coordinator::{EmptyGroupId, GroupCoordinator};
use crate::local_broker::FlushedTo;
use crate::metadata_cache::MetadataCache;
use crate::replica_manager::ReplicaManager;
use crate::topics;

const LIMIT: Duration = Duration::from_secs(20);

pub struct Bench {
    pub groups: Arc<GroupCoordinator>,
    config: BrokerConfig,
    replicas: Arc<ReplicaManager>,
    logs: Arc<LogManager>,
    _dir: TempDir,
}

impl Bench {
    /// Leads partition 0 of 1 in epoch 1.
    pub async fn leading(settings: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut layers = Layers::default();
        layers.set_pair(&format!("log.dirs={}", dir.path().display())).unwrap();
        for pair in ["offsets.topic.num.partitions=1", "group.initial.rebalance.delay.ms=0"].iter().chain(settings) {
            layers.set_pair(pair).unwrap();
        }
        let config = BrokerConfig::resolve(layers).unwrap();
        let (logs, _) = LogManager::open(LogManagerConfig::new(config.log.dirs.clone()), 0).unwrap();
        let metadata = Arc::new(MetadataCache::default());
        let replicas = Arc::new(ReplicaManager::new(NodeId(1), logs.clone(), metadata.clone(), &config.replication));
        logs.set_listener(Arc::new(FlushedTo(replicas.clone())));
        let groups = GroupCoordinator::new(&config, metadata, Handle::current());
        let bench = Self { groups, config, replicas, logs, _dir: dir };
        bench.groups.start();
        bench.lead(1);
        bench.loaded().await;
        bench
    }

    /// This broker becomes leader in another epoch.
    pub fn lead(&self, epoch: i32) {
        let config: Arc<TopicConfig> = Arc::new(self.config.topics.config.clone());
        let (response, changes) = self.replicas.become_leader_or_follower(&request(epoch), &|_| config.clone());
        assert_eq!(response.error, ErrorCode::None);
        for (partition, epoch) in &changes.leaders {
            self.groups.on_become_leader(partition, *epoch);
        }
    }

    /// The coordination moves away and comes back: everything is read from the log again.
    pub async fn fail_over(&self, epoch: i32) {
        self.groups.on_resign(0, Some(LeaderEpoch(epoch)));
        self.lead(epoch + 1);
        self.loaded().await;
    }

    pub async fn loaded(&self) {
        let loading = || self.groups.read_group("any", EmptyGroupId::Refused, |_| ()).is_err();
        let wait = async {
            while loading() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, wait).await.expect("the groups are loaded in time");
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.groups.stop();
        self.logs.close();
    }
}

/// No test may hang.
pub async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, what).await.expect("an answer in time")
}

fn request(epoch: i32) -> LeaderAndIsrRequest {
    let partition = LeaderAndIsrPartition {
        index: 0,
        controller_epoch: ControllerEpoch(1),
        leader: NodeId(1),
        leader_epoch: LeaderEpoch(epoch),
        isr: vec![NodeId(1)],
        partition_epoch: PartitionEpoch(epoch),
        replicas: vec![NodeId(1)],
        adding_replicas: Vec::new(),
        removing_replicas: Vec::new(),
        is_new: epoch == 1,
        recovery_state: LeaderRecoveryState::Recovered,
    };
    let header =
        ControlHeader { controller_id: NodeId(1), controller_epoch: ControllerEpoch(1), broker_epoch: BrokerEpoch(-1) };
    let topic =
        LeaderAndIsrTopic { name: topics::CONSUMER_OFFSETS.into(), id: Uuid([9; 16]), partitions: vec![partition] };
    LeaderAndIsrRequest { header, topics: vec![topic], live_leaders: Vec::new() }
}
