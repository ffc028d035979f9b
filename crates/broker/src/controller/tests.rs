//! The driver against a keeper in this process and a broker that only takes notes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use whimbrel_model::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId};
use whimbrel_state::controller::control::{
    LEADER_DURING_DELETE, LeaderAndIsrRequest, LeaderAndIsrResponse, LeaderAndIsrTopicResult, PartitionResult,
    StopReplicaRequest, StopReplicaResponse, UpdateMetadataRequest, UpdateMetadataResponse,
};
use whimbrel_state::controller::{DefaultSettings, PartitionAssignment};

use super::{ControlledBroker, ControllerHandle, ControllerSettings, start};
use crate::coordination::Coordination;
use crate::coordination::testing::{Ensemble, registration};
use crate::failpoint;
use crate::interbroker::PeerOptions;

const PATIENCE: Duration = Duration::from_secs(20);

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// What the broker was told: who leads each partition in which epoch, and which replicas it hosts.
#[derive(Debug, Default, Clone, PartialEq)]
struct Notes {
    leaders: BTreeMap<(String, i32), (NodeId, LeaderEpoch)>,
    hosted: BTreeMap<(String, i32), bool>,
    broker_epoch: i64,
}

#[derive(Default)]
struct NoteTaker {
    notes: Mutex<Notes>,
    changed: watch::Sender<()>,
}

impl NoteTaker {
    fn note<T>(&self, take: impl FnOnce(&mut Notes) -> T) -> T {
        let result = take(&mut self.notes.lock());
        self.changed.send_replace(());
        result
    }

    /// Waits until the notes are as they should be.
    async fn until(&self, is_so: impl Fn(&Notes) -> bool) -> Result<Notes, Box<dyn std::error::Error>> {
        let mut changed = self.changed.subscribe();
        let wait = async {
            loop {
                let notes = self.notes.lock().clone();
                if is_so(&notes) {
                    return notes;
                }
                let _still_there = changed.changed().await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(notes) => Ok(notes),
            Err(_) => Err(format!("{:?}", self.notes.lock()).into()),
        }
    }
}

impl ControlledBroker for NoteTaker {
    fn become_leader_or_follower(&self, request: LeaderAndIsrRequest) -> LeaderAndIsrResponse {
        let topics = request.topics.iter().map(|topic| LeaderAndIsrTopicResult {
            name: Arc::clone(&topic.name),
            id: topic.id,
            partitions: topic
                .partitions
                .iter()
                .map(|partition| PartitionResult { index: partition.index, error: ErrorCode::None })
                .collect(),
        });
        let response = LeaderAndIsrResponse { error: ErrorCode::None, topics: topics.collect() };
        self.note(|notes| {
            notes.broker_epoch = request.header.broker_epoch.0;
            for topic in &request.topics {
                let hosted = topic.partitions.iter().map(|one| ((topic.name.to_string(), one.index), one.is_new));
                notes.hosted.extend(hosted);
            }
        });
        response
    }

    fn update_metadata(&self, request: UpdateMetadataRequest) -> UpdateMetadataResponse {
        self.note(|notes| {
            for topic in request.topics.iter() {
                for one in &topic.partitions {
                    let key = (topic.name.to_string(), one.index);
                    if one.leader == LEADER_DURING_DELETE {
                        notes.leaders.remove(&key);
                    } else {
                        notes.leaders.insert(key, (one.leader, one.leader_epoch));
                    }
                }
            }
        });
        UpdateMetadataResponse::default()
    }

    fn stop_replicas(&self, request: StopReplicaRequest) -> StopReplicaResponse {
        self.note(|notes| {
            for topic in &request.topics {
                for one in &topic.partitions {
                    notes.hosted.remove(&(topic.name.to_string(), one.index));
                }
            }
        });
        StopReplicaResponse::default()
    }
}

async fn broker(
    coordination: &Coordination,
    id: i32,
) -> Result<(Arc<NoteTaker>, ControllerHandle), super::super::coordination::RegistrationError> {
    coordination.register(registration(id, 9090 + id)).await?;
    let settings = ControllerSettings {
        id: NodeId(id),
        control_listener: "PLAINTEXT".into(),
        inter_broker_listener: "PLAINTEXT".into(),
        peers: PeerOptions::new("1"),
        defaults: DefaultSettings::default(),
        leader_balance: None,
        delete_topics: true,
    };
    let notes = Arc::new(NoteTaker::default());
    let (handle, _task) = start(coordination.clone(), settings, Arc::clone(&notes) as Arc<dyn ControlledBroker>);
    Ok((notes, handle))
}

fn partitions(from: i32, to: i32) -> Vec<PartitionAssignment> {
    let one = |index| PartitionAssignment {
        index,
        replicas: vec![NodeId(1)],
        adding_replicas: Vec::new(),
        removing_replicas: Vec::new(),
    };
    (from..to).map(one).collect()
}

#[tokio::test]
async fn topics_come_grow_and_go() -> TestResult {
    let (ensemble, dir) = (Ensemble::start().await, tempfile::tempdir()?);
    let coordination = ensemble.open(dir.path()).await;
    let (notes, controller) = broker(&coordination, 1).await?;
    assert!(tokio::time::timeout(PATIENCE, controller.elected()).await?.is_active);

    coordination.create_topic("t", &partitions(0, 2), &BTreeMap::new()).await?;
    let told = notes.until(|notes| notes.leaders.len() == 2).await?;
    assert_eq!(told.hosted, BTreeMap::from([(("t".into(), 0), true), (("t".into(), 1), true)]));
    assert_eq!(BrokerEpoch(told.broker_epoch), coordination.broker_epoch());

    let topic = coordination.topic("t").await?.ok_or("no topic")?;
    coordination.add_partitions(&topic, &partitions(2, 5)).await?;
    notes.until(|notes| notes.leaders.len() == 5).await?;

    coordination.request_deletion("t").await?;
    notes.until(|notes| notes.leaders.is_empty() && notes.hosted.is_empty()).await?;
    // The name can be used again as soon as nothing is left of the topic.
    let again = async {
        while coordination.create_topic("t", &partitions(0, 1), &BTreeMap::new()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await?;
    notes.until(|notes| notes.leaders.len() == 1).await?;
    coordination.close().await;
    Ok(())
}

#[tokio::test]
async fn the_next_life_leads_what_the_last_one_led() -> TestResult {
    let (ensemble, dir) = (Ensemble::start().await, tempfile::tempdir()?);
    let first = ensemble.open(dir.path()).await;
    let (notes, _) = broker(&first, 1).await?;
    first.create_topic("t", &partitions(0, 1), &BTreeMap::new()).await?;
    notes.until(|notes| notes.leaders.len() == 1).await?;
    first.close().await;

    let second = ensemble.open(dir.path()).await;
    let (notes, _) = broker(&second, 1).await?;
    // What coordination holds comes first, and then what is made of it.
    let is_led_anew = |epoch: &LeaderEpoch| *epoch == LeaderEpoch(1);
    let told = notes.until(|notes| notes.leaders.values().any(|(_, epoch)| is_led_anew(epoch))).await?;
    // The same leader, which proves nothing of its log and so leads in a new epoch, and not a new replica.
    assert_eq!(told.leaders, BTreeMap::from([(("t".into(), 0), (NodeId(1), LeaderEpoch(1)))]));
    assert_eq!(told.hosted, BTreeMap::from([(("t".into(), 0), false)]));
    second.close().await;
    Ok(())
}

#[tokio::test]
async fn an_office_taken_away_is_won_again() -> TestResult {
    let (ensemble, dir, other) = (Ensemble::start().await, tempfile::tempdir()?, tempfile::tempdir()?);
    let coordination = ensemble.open(dir.path()).await;
    let (notes, controller) = broker(&coordination, 1).await?;
    let before = controller.elected().await;
    assert!(before.is_active);
    // As an operator does it: remove the node. Here by a second handle, which then wins the next election or loses it.
    let rival = ensemble.open(other.path()).await;
    rival.remove_controller().await?;
    coordination.create_topic("t", &partitions(0, 1), &BTreeMap::new()).await?;
    notes.until(|notes| notes.leaders.len() == 1).await?;
    assert!(tokio::time::timeout(PATIENCE, controller.elected()).await?.is_active);
    coordination.close().await;
    Ok(())
}

#[tokio::test]
async fn an_expired_session_costs_the_office_and_the_epoch_but_not_the_broker() -> TestResult {
    let (mut ensemble, dir) = (Ensemble::start().await, tempfile::tempdir()?);
    let coordination = ensemble.open(dir.path()).await;
    let (notes, controller) = broker(&coordination, 1).await?;
    let keeping = tokio::spawn(coordination.clone().keep_session());
    controller.elected().await;
    coordination.create_topic("t", &partitions(0, 1), &BTreeMap::new()).await?;
    notes.until(|notes| notes.leaders.len() == 1).await?;
    let (before, mut sessions) = (coordination.broker_epoch(), coordination.sessions());

    tokio::time::timeout(PATIENCE, ensemble.expire_sessions()).await?;
    tokio::time::timeout(PATIENCE, sessions.changed()).await??;
    assert!(before < coordination.broker_epoch());
    assert!(tokio::time::timeout(PATIENCE, controller.elected()).await?.is_active);
    let told = notes.until(|notes| BrokerEpoch(notes.broker_epoch) == coordination.broker_epoch()).await?;
    // The same process leads in the same epoch: nothing happened that a client could notice.
    assert_eq!(told.leaders, BTreeMap::from([(("t".into(), 0), (NodeId(1), LeaderEpoch(0)))]));
    coordination.create_topic("u", &partitions(0, 1), &BTreeMap::new()).await?;
    notes.until(|notes| notes.leaders.len() == 2).await?;
    coordination.close().await;
    tokio::time::timeout(PATIENCE, keeping).await??;
    Ok(())
}

#[tokio::test]
async fn thousands_of_partitions_take_a_moment() -> TestResult {
    let (ensemble, dir) = (Ensemble::start().await, tempfile::tempdir()?);
    let coordination = ensemble.open(dir.path()).await;
    let (notes, _) = broker(&coordination, 1).await?;
    let began = std::time::Instant::now();
    coordination.create_topic("t", &partitions(0, 5000), &BTreeMap::new()).await?;
    notes.until(|notes| notes.leaders.len() == 5000 && notes.hosted.len() == 5000).await?;
    println!("5000 partitions in {:?}", began.elapsed());
    let began = std::time::Instant::now();
    coordination.request_deletion("t").await?;
    let gone = async {
        while coordination.topic("t").await?.is_some() {
            tokio::task::yield_now().await;
        }
        Ok::<(), crate::coordination::CoordinationError>(())
    };
    tokio::time::timeout(PATIENCE, gone).await??;
    println!("deleted in {:?}", began.elapsed());
    coordination.close().await;
    Ok(())
}

/// What a controller is asked for, and how things are once it is done.
struct Operation {
    start: AsyncStep,
    is_done: fn(&Notes) -> bool,
}

type AsyncStep = fn(Coordination) -> std::pin::Pin<Box<dyn Future<Output = TestResult>>>;

const OPERATIONS: [Operation; 3] = [
    Operation {
        start: |coordination| {
            Box::pin(async move {
                coordination.create_topic("u", &partitions(0, 3), &BTreeMap::new()).await?;
                Ok(())
            })
        },
        is_done: |notes| (0..3).all(|index| notes.hosted.contains_key(&("u".into(), index)) && notes.leads("u", index)),
    },
    Operation {
        start: |coordination| {
            Box::pin(async move {
                let topic = coordination.topic("t").await?.ok_or("t is gone")?;
                Ok(coordination.add_partitions(&topic, &partitions(2, 4)).await?)
            })
        },
        is_done: |notes| (0..4).all(|index| notes.hosted.contains_key(&("t".into(), index)) && notes.leads("t", index)),
    },
    Operation {
        start: |coordination| {
            Box::pin(async move {
                coordination.request_deletion("t").await?;
                Ok(tokio::time::timeout(PATIENCE, coordination.topic_gone("t")).await??)
            })
        },
        is_done: |notes| !notes.hosted.keys().chain(notes.leaders.keys()).any(|(topic, _)| topic == "t"),
    },
];

impl Notes {
    fn leads(&self, topic: &str, index: i32) -> bool {
        self.leaders.get(&(topic.to_owned(), index)).is_some_and(|(leader, _)| *leader == NodeId(1))
    }
}

/// Ends the term after `places` places of one operation; whether the operation reached so many.
async fn end_within(operation: &Operation, places: usize) -> Result<bool, Box<dyn std::error::Error>> {
    let (ensemble, dir) = (Ensemble::start().await, tempfile::tempdir()?);
    let coordination = ensemble.open(dir.path()).await;
    let (notes, controller) = broker(&coordination, 1).await?;
    coordination.create_topic("t", &partitions(0, 2), &BTreeMap::new()).await?;
    notes.until(|notes| notes.leads("t", 1)).await?;

    failpoint::testing::end_after(places);
    (operation.start)(coordination.clone()).await?;
    notes.until(operation.is_done).await?;
    let was_ended = failpoint::testing::disarm();
    // Whoever is in office now has nothing left to do that would undo it.
    tokio::time::timeout(PATIENCE, controller.elected()).await?;
    notes.until(operation.is_done).await?;
    coordination.close().await;
    Ok(was_ended)
}

#[tokio::test]
async fn a_term_that_ends_at_any_step_is_taken_up_by_the_next() -> TestResult {
    for operation in &OPERATIONS {
        let mut places = 1;
        while end_within(operation, places).await? {
            places += 1;
        }
        assert!(3 < places, "the operation takes steps");
    }
    Ok(())
}
