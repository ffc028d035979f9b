//! Several brokers in this process on one keeper.

use tokio::net::TcpStream;
use whimbrel_broker::RunningBroker;
use whimbrel_model::ErrorCode;
use whimbrel_wire::create_topics::CreatableTopic;
use whimbrel_wire::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use whimbrel_wire::{CreateTopicsRequest, InitProducerIdRequest, MetadataRequest};

use crate::listeners::alter;
use crate::scenarios::records::{Topic, batch, produce, sequenced};
use crate::support::{Client, PATIENCE, TestResult, start};

const BROKERS: i32 = 3;

struct Cluster {
    brokers: Vec<RunningBroker>,
    dirs: Vec<tempfile::TempDir>,
}

impl Cluster {
    /// The first broker has the keeper; each has a listener of its own for controllers if `control_plane`.
    async fn start(control_plane: bool) -> Result<Self, Box<dyn std::error::Error>> {
        let mut cluster = Self { brokers: Vec::new(), dirs: Vec::new() };
        for id in 1..=BROKERS {
            let dir = tempfile::tempdir()?;
            let keeper = cluster.brokers.first().map(|first: &RunningBroker| first.coordination.clone());
            let id = format!("broker.id={id}");
            let connect = format!("zookeeper.connect={}", keeper.unwrap_or_default());
            let mut settings = vec![id.as_str(), connect.as_str()];
            if control_plane {
                settings.extend([
                    "listeners=PLAINTEXT://127.0.0.1:0,CONTROL://127.0.0.1:0",
                    "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROL:PLAINTEXT",
                    "control.plane.listener.name=CONTROL",
                ]);
            }
            cluster.brokers.push(start(dir.path(), &settings).await?);
            cluster.dirs.push(dir);
        }
        Ok(cluster)
    }

    async fn create(&self, name: &str) -> TestResult {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: 4,
            replication_factor: i16::try_from(BROKERS)?,
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 20_000, ..Default::default() };
        let response = Client::connect(&self.brokers[0]).await?.call(&request, 5).await?;
        assert_eq!(response.topics[0].error_code, 0, "{response:?}");
        Ok(())
    }

    /// What each broker says of a topic, once all partitions have a leader and all replicas in sync.
    async fn described(&self, name: &str) -> Result<Vec<MetadataResponseTopic>, Box<dyn std::error::Error>> {
        let mut described = Vec::new();
        for broker in &self.brokers {
            let mut client = Client::connect(broker).await?;
            let asked = MetadataRequestTopic { name: Some(name.into()), ..Default::default() };
            let request = MetadataRequest { topics: Some(vec![asked]), ..Default::default() };
            let settled = async {
                loop {
                    let topic = client.call(&request, 12).await?.topics.remove(0);
                    let all = usize::try_from(BROKERS)?;
                    let is_settled = |index: usize| {
                        topic.partitions.get(index).is_some_and(|it| it.leader_id > 0 && it.isr_nodes.len() == all)
                    };
                    if (0..4).all(is_settled) {
                        return Ok::<_, Box<dyn std::error::Error>>(topic);
                    }
                    tokio::task::yield_now().await;
                }
            };
            let mut topic = tokio::time::timeout(PATIENCE, settled).await??;
            topic.partitions.sort_by_key(|partition| partition.partition_index);
            described.push(topic);
        }
        Ok(described)
    }

    async fn stop(self) {
        // The keeper goes last: the others still have their leaderships to hand over.
        for broker in self.brokers.into_iter().rev() {
            broker.shutdown().await;
        }
        drop(self.dirs);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_on_every_broker_and_every_broker_says_the_same_of_it() -> TestResult {
    for control_plane in [false, true] {
        let cluster = Cluster::start(control_plane).await?;
        cluster.create("t").await?;
        let described = cluster.described("t").await?;
        for other in &described {
            assert_eq!(other, &described[0]);
        }
        for dir in &cluster.dirs {
            for partition in 0..4 {
                assert!(dir.path().join(format!("t-{partition}")).is_dir(), "{} t-{partition}", dir.path().display());
            }
        }
        cluster.stop().await;
    }
    Ok(())
}

/// The address between brokers of a leader, a follower and the controller changes, one after the other: nobody loses a
/// leadership or leaves an ISR by it, and what is written then is on every replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_broker_follows_another_to_its_new_listener() -> TestResult {
    for control_plane in [false, true] {
        let cluster = Cluster::start(control_plane).await?;
        cluster.create("t").await?;
        let before = cluster.described("t").await?;
        let topic = Topic { name: "t".into(), id: before[0].topic_id };
        let mut clients = Vec::new();
        for broker in &cluster.brokers {
            let free = tokio::net::TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
            let names: &[&str] = if control_plane { &["PLAINTEXT", "CONTROL"] } else { &["PLAINTEXT"] };
            let listeners = names.iter().map(|name| match *name {
                "PLAINTEXT" => format!("PLAINTEXT://{free}"),
                name => format!("{name}://127.0.0.1:0"),
            });
            let listeners = listeners.collect::<Vec<_>>().join(",");
            let id = broker.broker.node_id.to_string();
            let pairs = [("listeners", Some(listeners.as_str()))];
            let (code, text) = alter(&mut Client::connect(broker).await?, &id, &pairs).await?;
            assert_eq!(code, ErrorCode::None, "{text}");
            let told = async {
                for other in &cluster.brokers {
                    loop {
                        let image = other.broker.metadata.image();
                        let known = image.brokers.get(&broker.broker.node_id).and_then(|it| it.endpoint("PLAINTEXT"));
                        if known.is_some_and(|endpoint| endpoint.port == i32::from(free.port())) {
                            break;
                        }
                        tokio::task::yield_now().await;
                    }
                }
                while TcpStream::connect(broker.listeners[0].1).await.is_ok() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(PATIENCE, told).await?;
            clients.push(Client::connect_to(free).await?);
        }
        for partition in &before[0].partitions {
            let client = &mut clients[usize::try_from(partition.leader_id - 1)?];
            let request = produce(&topic, -1, &[(partition.partition_index, Some(batch(1)))]);
            let answer = client.call(&request, 10).await?.responses.remove(0).partition_responses.remove(0);
            assert_eq!(answer.error_code, 0);
        }
        for client in &mut clients {
            let asked = MetadataRequestTopic { name: Some("t".into()), ..Default::default() };
            let request = MetadataRequest { topics: Some(vec![asked]), ..Default::default() };
            let mut after = client.call(&request, 12).await?.topics.remove(0);
            after.partitions.sort_by_key(|partition| partition.partition_index);
            assert_eq!(after, before[0], "the same leaders in the same epochs, and whole ISRs");
        }
        cluster.stop().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn producer_ids_of_all_brokers_differ_and_come_from_the_controller() -> TestResult {
    let cluster = Cluster::start(false).await?;
    let mut ids = Vec::new();
    for _ in 0..2 {
        for broker in &cluster.brokers {
            let request = InitProducerIdRequest {
                transactional_id: None,
                producer_id: -1,
                producer_epoch: -1,
                ..Default::default()
            };
            let response = Client::connect(broker).await?.call(&request, 4).await?;
            assert_eq!(response.error_code, 0);
            ids.push(response.producer_id);
        }
    }
    // Each broker has a block of a thousand, in the order in which they asked.
    assert_eq!(ids, [0, 1000, 2000, 1, 1001, 2001]);
    cluster.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_is_sent_on_without_an_error_when_its_leader_is_stopped() -> TestResult {
    let mut cluster = Cluster::start(false).await?;
    cluster.create("t").await?;
    // The first broker has the keeper and stays.
    let described = cluster.described("t").await?;
    let led = described[0].partitions.iter().find(|partition| partition.leader_id != 1).ok_or("all led by one")?;
    let (leader, partition) = (led.leader_id, led.partition_index);
    let topic = Topic { name: "t".into(), id: described[0].topic_id };
    let stopped = cluster.brokers.remove(usize::try_from(leader - 1)?);
    let mut client = Client::connect(&stopped).await?;
    let mut sent = 0;
    let mut send = async |client: &mut Client| {
        let request = produce(&topic, -1, &[(partition, Some(sequenced(7, 0, sent, 1)))]);
        let answer = client.call(&request, 10).await?.responses.remove(0).partition_responses.remove(0);
        assert_eq!((answer.error_code, answer.base_offset), (0, i64::from(sent)));
        sent += 1;
        Ok::<i32, Box<dyn std::error::Error>>(answer.current_leader.leader_id)
    };
    assert_eq!(send(&mut client).await?, -1);
    let stopping = tokio::spawn(stopped.shutdown());
    let next = loop {
        let named = send(&mut client).await?;
        if named != -1 {
            break named;
        }
    };
    assert_ne!(next, leader);
    let index =
        cluster.brokers.iter().position(|broker| broker.broker.node_id.0 == next).ok_or("not of the cluster")?;
    assert_eq!(send(&mut Client::connect(&cluster.brokers[index]).await?).await?, -1);
    tokio::time::timeout(PATIENCE, stopping).await??;
    cluster.stop().await;
    Ok(())
}
