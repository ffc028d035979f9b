//! Three brokers in this process, on the keeper of the first: what replication promises a client.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use whimbrel_broker::config::{BrokerConfig, Layers};
use whimbrel_broker::{Broker, RunningBroker};
use whimbrel_model::{ErrorCode, Uuid};
use whimbrel_wire::create_topics::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
use whimbrel_wire::fetch::{PartitionData, ReplicaState};
use whimbrel_wire::metadata::{MetadataRequestTopic, MetadataResponsePartition};
use whimbrel_wire::{CreateTopicsRequest, DeleteRecordsRequest, FetchRequest, MetadataRequest, MetadataResponse};

use crate::client::Client;
use crate::scenarios::records::{Topic, batch, fetch, produce, sequenced};

/// No change of the cluster takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

const SETTINGS: [&str; 9] = [
    "listeners=PLAINTEXT://127.0.0.1:0",
    "whimbrel.keeper.listener=127.0.0.1:0",
    "whimbrel.http.listener=",
    "replica.lag.time.max.ms=3000",
    // The last replica in sync has nobody to give its leadership to.
    "controlled.shutdown.max.retries=1",
    "controlled.shutdown.retry.backoff.ms=1000",
    "replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector",
    "offsets.topic.replication.factor=3",
    "offsets.topic.num.partitions=1",
];

struct Node {
    id: i32,
    dir: TempDir,
    running: Option<RunningBroker>,
}

pub struct Cluster {
    runtime: Runtime,
    keeper: String,
    nodes: Vec<Node>,
}

impl Cluster {
    /// Brokers 1 to 3; the first one's keeper serves all.
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut cluster = Self { runtime, keeper: String::new(), nodes: Vec::new() };
        for id in 1..=3 {
            cluster.nodes.push(Node { id, dir: tempfile::tempdir().unwrap(), running: None });
            cluster.start_node(id);
        }
        cluster
    }

    pub fn start_node(&mut self, id: i32) {
        let keeper = self.keeper.clone();
        let node = self.nodes.iter_mut().find(|node| node.id == id).unwrap();
        let mut layers = Layers::default();
        let dirs = format!("log.dirs={}", node.dir.path().display());
        let own = [dirs, format!("broker.id={id}"), format!("broker.rack=rack-{id}")];
        let connect = (!keeper.is_empty()).then(|| format!("zookeeper.connect={keeper}"));
        let own = own.iter().chain(&connect).map(String::as_str);
        for pair in SETTINGS.into_iter().chain(own) {
            layers.set_pair(pair).unwrap();
        }
        let config = BrokerConfig::resolve(layers).unwrap();
        let running = self.runtime.block_on(Broker::start(config)).expect("the broker starts");
        if keeper.is_empty() {
            self.keeper = running.coordination.clone();
        }
        self.nodes.iter_mut().find(|node| node.id == id).unwrap().running = Some(running);
    }

    pub fn stop_node(&mut self, id: i32) {
        let node = self.nodes.iter_mut().find(|node| node.id == id).unwrap();
        let running = node.running.take().unwrap();
        self.runtime.block_on(running.shutdown());
    }

    fn address(&self, id: i32) -> SocketAddr {
        let node = self.nodes.iter().find(|node| node.id == id).unwrap();
        node.running.as_ref().unwrap().listeners.first().unwrap().1
    }

    pub fn client(&self, id: i32) -> Client {
        Client::connect(self.address(id))
    }

    /// A topic with one partition, led by broker 2.
    pub fn create_topic(&self, name: &str, configs: &[(&str, &str)]) -> Topic {
        self.create_topic_on(name, &[2, 3, 1], configs)
    }

    /// A topic with one partition on these brokers, led by the first.
    pub fn create_topic_on(&self, name: &str, brokers: &[i32], configs: &[(&str, &str)]) -> Topic {
        let configs = configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig { name: (*name).into(), value: Some((*value).into()) });
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.into(),
                num_partitions: -1,
                replication_factor: -1,
                assignments: vec![CreatableReplicaAssignment { partition_index: 0, broker_ids: brokers.to_vec() }],
                configs: configs.collect(),
            }],
            timeout_ms: 10_000,
            ..CreateTopicsRequest::default()
        };
        // Only the controller creates topics; which broker that is does not matter here.
        let created = eventually("the topic is created", || {
            self.nodes.iter().find_map(|node| {
                let response = self.client(node.id).call(7, &request);
                let topic = response.topics.into_iter().next()?;
                let is_there = topic.error_code == 0 || topic.error_code == ErrorCode::TopicAlreadyExists.code();
                is_there.then_some(topic.topic_id)
            })
        });
        let topic = Topic { name: name.to_owned(), id: created };
        for node in &self.nodes {
            self.wait_for(node.id, &topic, |partition| partition.isr_nodes.len() == brokers.len());
        }
        topic
    }

    /// The log directory of a broker.
    pub fn dir(&self, id: i32) -> &Path {
        self.nodes.iter().find(|node| node.id == id).unwrap().dir.path()
    }

    pub fn metadata(&self, id: i32, topic: &Topic) -> MetadataResponse {
        let name = Some(topic.name.as_str().into());
        let topics = Some(vec![MetadataRequestTopic { topic_id: Uuid::ZERO, name }]);
        self.client(id).call(12, &MetadataRequest { topics, ..MetadataRequest::default() })
    }

    /// The partition as broker `id` tells it.
    pub fn partition(&self, id: i32, topic: &Topic) -> Option<MetadataResponsePartition> {
        self.metadata(id, topic).topics.into_iter().next()?.partitions.into_iter().next()
    }

    pub fn wait_for(
        &self,
        id: i32,
        topic: &Topic,
        holds: impl Fn(&MetadataResponsePartition) -> bool,
    ) -> MetadataResponsePartition {
        eventually("the partition's state", || self.partition(id, topic).filter(&holds))
    }

    pub fn produce(&self, id: i32, topic: &Topic, records: Bytes) -> (ErrorCode, i64) {
        let response = self.client(id).call(9, &produce(topic, -1, &[(0, Some(records))]));
        let partition = &response.responses[0].partition_responses[0];
        (ErrorCode::from_code(partition.error_code), partition.base_offset)
    }

    /// Reads at once, as a consumer.
    pub fn fetch(&self, id: i32, topic: &Topic, from: i64) -> PartitionData {
        let response = self.client(id).call(12, &fetch(topic, &[(0, from)]));
        response.responses.into_iter().next().unwrap().partitions.into_iter().next().unwrap()
    }

    pub fn segment_path(&self, id: i32, topic: &Topic) -> PathBuf {
        self.dir(id).join(format!("{}-0/00000000000000000000.log", topic.name))
    }

    pub fn segment(&self, id: i32, topic: &Topic) -> Vec<u8> {
        std::fs::read(self.segment_path(id, topic)).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The keeper goes last.
        for id in [3, 2, 1] {
            if self.nodes.iter().any(|node| node.id == id && node.running.is_some()) {
                self.stop_node(id);
            }
        }
    }
}

pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

#[test]
fn what_is_acknowledged_is_on_every_replica_and_outlives_its_leader() {
    let mut cluster = Cluster::start();
    let topic = cluster.create_topic("replicated", &[("min.insync.replicas", "2")]);
    for sequence in 0..5 {
        let (code, offset) = cluster.produce(2, &topic, sequenced(7000, 0, sequence * 3, 3));
        assert_eq!((code, offset), (ErrorCode::None, i64::from(sequence) * 3));
    }
    // Acknowledged by all: the bytes are there already, not soon.
    let bytes = cluster.segment(2, &topic);
    assert!(!bytes.is_empty());
    assert_eq!(bytes, cluster.segment(1, &topic));
    assert_eq!(bytes, cluster.segment(3, &topic));
    // A follower serves consumers up to its own high watermark (KIP-392), which follows the leader's.
    eventually("the follower's high watermark", || (cluster.fetch(3, &topic, 0).high_watermark == 15).then_some(()));

    cluster.stop_node(2);
    let state = cluster.wait_for(1, &topic, |partition| partition.leader_id != 2 && partition.leader_id != -1);
    let leader = state.leader_id;
    // The batch whose answer might have been lost: the new leader knows the producer.
    let repeated = eventually("the new leader answers", || {
        let answer = cluster.produce(leader, &topic, sequenced(7000, 0, 12, 3));
        (answer.0 != ErrorCode::NotLeaderOrFollower).then_some(answer)
    });
    assert_eq!(repeated, (ErrorCode::None, 12));
    assert_eq!(cluster.produce(leader, &topic, sequenced(7000, 0, 15, 3)), (ErrorCode::None, 15));

    cluster.start_node(2);
    cluster.wait_for(1, &topic, |partition| partition.isr_nodes.len() == 3);
    assert_eq!(cluster.segment(2, &topic), cluster.segment(leader, &topic));
}

#[test]
fn too_few_replicas_refuse_records_before_they_are_appended() {
    let mut cluster = Cluster::start();
    let topic = cluster.create_topic("guarded", &[("min.insync.replicas", "3")]);
    assert_eq!(cluster.produce(2, &topic, batch(2)), (ErrorCode::None, 0));
    cluster.stop_node(3);
    cluster.wait_for(2, &topic, |partition| partition.isr_nodes.len() == 2);
    let refused = eventually("the leader knows", || {
        let (code, _) = cluster.produce(2, &topic, batch(2));
        (code != ErrorCode::NotEnoughReplicasAfterAppend).then_some(code)
    });
    assert_eq!(refused, ErrorCode::NotEnoughReplicas);
    cluster.start_node(3);
    cluster.wait_for(2, &topic, |partition| partition.isr_nodes.len() == 3);
    let accepted = eventually("the leader goes on", || {
        let (code, _) = cluster.produce(2, &topic, batch(2));
        (code != ErrorCode::NotEnoughReplicas).then_some(code)
    });
    assert_eq!(accepted, ErrorCode::None);
}

#[test]
fn nobody_fetches_as_a_replica_that_is_none() {
    let cluster = Cluster::start();
    let topic = cluster.create_topic("posed", &[]);
    assert_eq!(cluster.produce(2, &topic, batch(1)).0, ErrorCode::None);
    let request = |replica_id: i32, leader_epoch: i32| {
        let mut request = fetch(&topic, &[(0, 0)]);
        request.replica_state = ReplicaState { replica_id, replica_epoch: -1 };
        request.topics[0].partitions[0].current_leader_epoch = leader_epoch;
        request
    };
    let code = |replica_id, leader_epoch| {
        let response = cluster.client(2).call(17, &request(replica_id, leader_epoch));
        ErrorCode::from_code(response.responses[0].partitions[0].error_code)
    };
    assert_eq!(code(9, -1), ErrorCode::NotLeaderOrFollower);
    assert_eq!(code(9, 0), ErrorCode::UnknownLeaderEpoch);
    assert_eq!(code(2, -1), ErrorCode::NotLeaderOrFollower);
    assert_eq!(code(3, 7), ErrorCode::UnknownLeaderEpoch);
    assert_eq!(code(3, 0), ErrorCode::None);
}

#[test]
fn deleted_records_are_gone_on_every_replica() {
    use whimbrel_wire::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
    let cluster = Cluster::start();
    let topic = cluster.create_topic("deleted", &[]);
    assert_eq!(cluster.produce(2, &topic, batch(10)).0, ErrorCode::None);
    let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset: 4 }];
    let request = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic { name: topic.name.as_str().into(), partitions }],
        timeout_ms: 20_000,
    };
    let response = cluster.client(2).call(2, &request);
    let partition = &response.topics[0].partitions[0];
    assert_eq!((partition.error_code, partition.low_watermark), (0, 4));
    for id in 1..=3 {
        assert_eq!(cluster.fetch(id, &topic, 4).log_start_offset, 4, "broker {id}");
    }
}

#[test]
fn consumers_are_sent_to_the_replica_in_their_rack() {
    let cluster = Cluster::start();
    let topic = cluster.create_topic("near", &[]);
    assert_eq!(cluster.produce(2, &topic, batch(4)).0, ErrorCode::None);
    let ask = |id: i32, rack: &str| {
        let request = FetchRequest { rack_id: rack.into(), ..fetch(&topic, &[(0, 0)]) };
        let response = cluster.client(id).call(12, &request);
        let data = response.responses.into_iter().next().unwrap().partitions.into_iter().next().unwrap();
        (data.preferred_read_replica, !data.records.unwrap_or_default().is_empty())
    };
    assert_eq!(ask(2, "rack-3"), (3, false));
    assert_eq!(ask(2, "rack-2"), (-1, true), "the leader is near");
    assert_eq!(ask(2, "rack-9"), (-1, true), "nobody is near");
    eventually("the follower has them, committed", || (ask(3, "rack-3") == (-1, true)).then_some(()));
}
