//! Against a keeper in this process, through the same client that a broker uses.

use std::collections::BTreeMap;
use std::time::Duration;

use whimbrel_model::{BrokerEpoch, NodeId, ProducerId, TopicPartition};
use whimbrel_state::controller::election::{Circumstances, Presence, Standing, first_state};
use whimbrel_state::controller::{PartitionAssignment, Write, Written};

use super::testing::{Ensemble, registration};
use super::*;

/// Far longer than anything here takes; a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(20);

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn partitions(count: i32) -> Vec<PartitionAssignment> {
    let one = |index| PartitionAssignment {
        index,
        replicas: vec![NodeId(1)],
        adding_replicas: Vec::new(),
        removing_replicas: Vec::new(),
    };
    (0..count).map(one).collect()
}

fn create(topic: &str, index: i32, writer: &FencedWriter) -> Option<Write> {
    let epoch = BrokerEpoch(7);
    let online = Standing { presence: Presence::Online, epoch, intact_since: epoch, running_since: epoch };
    let state = first_state(&Circumstances {
        replicas: &[NodeId(1)],
        standing: &|_| online,
        unclean: false,
        min_insync_replicas: 1,
        controller_epoch: writer.epoch(),
    })?;
    Some(Write::CreatePartition { partition: TopicPartition::new(topic, index), state })
}

async fn elected(coordination: &Coordination) -> Result<FencedWriter, Box<dyn std::error::Error>> {
    match coordination.elect().await? {
        Election::Won(writer) => Ok(writer),
        Election::Lost => Err("another controller is there".into()),
    }
}

#[tokio::test]
async fn the_cluster_id_is_drawn_once() -> TestResult {
    let (ensemble, dir) = (Ensemble::start().await, tempfile::tempdir()?);
    let first = ensemble.open(dir.path()).await.cluster_id().await?;
    let again = ensemble.open(dir.path()).await.cluster_id().await?;
    assert_eq!(first.len(), 22);
    assert_eq!(first, again);
    Ok(())
}

#[tokio::test]
async fn ids_are_configured_or_stored_or_given() -> TestResult {
    let (ensemble, dir) = (Ensemble::start().await, tempfile::tempdir()?);
    let coordination = ensemble.open(dir.path()).await;
    let settings = |configured: Option<i32>, stored: Option<i32>, may_generate| BrokerIdSettings {
        configured: configured.map(NodeId),
        stored: stored.map(NodeId),
        may_generate,
        reserved_max: 1000,
    };
    assert_eq!(coordination.broker_id(settings(Some(3), Some(3), true)).await?, NodeId(3));
    assert_eq!(coordination.broker_id(settings(None, Some(4), true)).await?, NodeId(4));
    assert_eq!(coordination.broker_id(settings(None, None, true)).await?, NodeId(1001));
    assert_eq!(coordination.broker_id(settings(None, None, true)).await?, NodeId(1002));
    assert!(coordination.broker_id(settings(Some(3), Some(4), true)).await.is_err());
    assert!(coordination.broker_id(settings(Some(1001), None, true)).await.is_err());
    assert!(coordination.broker_id(settings(None, None, false)).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_live_broker_keeps_its_id_and_its_address() -> TestResult {
    let (ensemble, one, two) = (Ensemble::start().await, tempfile::tempdir()?, tempfile::tempdir()?);
    let first = ensemble.open(one.path()).await;
    let epoch = first.register(registration(1, 9092)).await?;
    assert!(BrokerEpoch(0) < epoch && epoch == first.broker_epoch());

    let second = ensemble.open(two.path()).await;
    let error = second.register(registration(1, 9093)).await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("localhost:9092") && error.contains("localhost:9093"), "{error}");
    assert!(matches!(
        second.register(registration(2, 9092)).await,
        Err(RegistrationError::AddressTaken { other: 1, .. })
    ));
    assert_eq!(first.watch_brokers().await?.value.len(), 1);
    Ok(())
}

#[tokio::test]
async fn other_endpoints_are_registered_in_the_same_epoch_and_in_the_next_session_too() -> TestResult {
    let (mut ensemble, one, two) = (Ensemble::start().await, tempfile::tempdir()?, tempfile::tempdir()?);
    let first = ensemble.open(one.path()).await;
    let epoch = first.register(registration(1, 9092)).await?;
    let second = ensemble.open(two.path()).await;
    second.register(registration(2, 9093)).await?;
    let watch = second.watch_broker(NodeId(1)).await?;
    let taken = first.update_registration(registration(1, 9093).endpoints).await;
    assert!(matches!(taken, Err(RegistrationError::AddressTaken { other: 2, .. })));
    assert_eq!(first.registered_endpoints(), registration(1, 9092).endpoints);

    let next = registration(1, 9094).endpoints;
    first.update_registration(next.clone()).await?;
    assert_eq!(tokio::time::timeout(PATIENCE, watch.changed()).await?, ControllerChange::Changed);
    let found = async || second.brokers().await.map(|brokers| brokers.into_iter().find(|one| one.id == NodeId(1)));
    let registered = found().await?.ok_or("not registered")?;
    assert_eq!((registered.epoch, &registered.endpoints), (epoch, &next));

    let keeping = [first.clone(), second.clone()].map(|one| tokio::spawn(one.keep_session()));
    tokio::time::timeout(PATIENCE, ensemble.expire_sessions()).await?;
    let again = async {
        loop {
            if let Ok(Some(registered)) = found().await
                && registered.epoch != epoch
            {
                return registered.endpoints;
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, again).await?, next);
    keeping.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

#[tokio::test]
async fn the_next_life_removes_what_a_crash_left() -> TestResult {
    let (ensemble, dir) = (Ensemble::start().await, tempfile::tempdir()?);
    // Never closed, as after a crash: its session lives as long as the handle does.
    let crashed = ensemble.open(dir.path()).await;
    let before = crashed.register(registration(1, 9092)).await?;
    elected(&crashed).await?;

    let next = ensemble.open(dir.path()).await;
    let after = tokio::time::timeout(PATIENCE, next.register(registration(1, 9092))).await??;
    assert!(before < after, "{before} {after}");
    assert_eq!(next.watch_controller().await?.value, None);
    elected(&next).await?;
    Ok(())
}

#[tokio::test]
async fn an_earlier_life_that_may_be_alive_is_waited_for() -> TestResult {
    let (ensemble, one, two) = (Ensemble::start().await, tempfile::tempdir()?, tempfile::tempdir()?);
    let first = ensemble.open(one.path()).await;
    first.register(registration(1, 9092)).await?;
    // Another directory proves nothing about the first life; that one leaves while the second waits.
    let second = ensemble.open(two.path()).await;
    let (registered, ()) = tokio::join!(second.register(registration(1, 9092)), first.close());
    registered?;
    Ok(())
}

#[tokio::test]
async fn a_clean_stop_leaves_no_registration() -> TestResult {
    let (ensemble, one, two) = (Ensemble::start().await, tempfile::tempdir()?, tempfile::tempdir()?);
    let first = ensemble.open(one.path()).await;
    first.register(registration(1, 9092)).await?;
    elected(&first).await?;
    first.close().await;
    let second = ensemble.open(two.path()).await;
    assert!(second.watch_brokers().await?.value.is_empty());
    assert_eq!(second.watch_controller().await?.value, None);
    Ok(())
}

/// An id as a controller's own clients get it.
async fn own_id(coordination: &Coordination) -> Result<ProducerId, CoordinationError> {
    coordination.next_producer_id(async || Ok(None)).await
}

#[tokio::test]
async fn producer_ids_are_never_given_twice() -> TestResult {
    let (ensemble, dir) = (Ensemble::start().await, tempfile::tempdir()?);
    let coordination = ensemble.open(dir.path()).await;
    let other = ensemble.open(dir.path()).await;
    let (a, b, c) = tokio::join!(own_id(&coordination), own_id(&coordination), own_id(&other));
    let mut ids = [a?, b?, c?].map(|id| id.0);
    ids.sort_unstable();
    assert!(ids == [0, 1, 1000] || ids == [0, 1000, 1001], "{ids:?}");
    let mut last = ProducerId(-1);
    for _ in 0..1000 {
        last = own_id(&other).await?;
    }
    assert_eq!(last.0 / 1000, 2, "{last}");

    let epoch = coordination.register(registration(1, 9092)).await?;
    let asked = coordination.next_producer_id(async || Ok::<_, CoordinationError>(Some(7000..=7999)));
    // What is left of the own block comes first.
    assert!(asked.await?.0 < 2000);
    assert_eq!(coordination.producer_ids_for(NodeId(1), epoch).await?, Ok(3000..=3999));
    assert_eq!(coordination.producer_ids_for(NodeId(2), epoch).await?, Err(BlockRefusal::NotRegistered));
    let earlier = BrokerEpoch(epoch.0 - 1);
    assert_eq!(coordination.producer_ids_for(NodeId(1), earlier).await?, Err(BlockRefusal::OtherIncarnation));
    Ok(())
}

#[tokio::test]
async fn topics_are_created_once_and_carry_their_configuration() -> TestResult {
    let (ensemble, dir) = (Ensemble::start().await, tempfile::tempdir()?);
    let coordination = ensemble.open(dir.path()).await;
    let overrides = BTreeMap::from([("retention.ms".to_owned(), "1".to_owned())]);
    let id = coordination.create_topic("t", &partitions(2), &overrides).await?;
    let again = coordination.create_topic("t", &partitions(1), &overrides).await;
    assert!(matches!(again, Err(CoordinationError::TopicExists(_))));
    let topic = coordination.topic("t").await?.ok_or("no topic")?;
    assert_eq!((topic.assignment.id, topic.assignment.partitions.len()), (id, 2));
    assert_eq!(coordination.read_config(&ConfigEntity::Topic("t".into())).await?, overrides);

    let added = partitions(3).split_off(2);
    coordination.add_partitions(&topic, &added).await?;
    assert!(matches!(coordination.add_partitions(&topic, &added).await, Err(CoordinationError::Conflict(_))));
    assert_eq!(coordination.topic("t").await?.map(|topic| topic.assignment.partitions), Some(partitions(3)));
    assert!(matches!(coordination.request_deletion("u").await, Err(CoordinationError::UnknownTopic(_))));
    Ok(())
}

#[tokio::test]
async fn only_the_last_elected_controller_writes() -> TestResult {
    let (ensemble, dir) = (Ensemble::start().await, tempfile::tempdir()?);
    let coordination = ensemble.open(dir.path()).await;
    let id = coordination.create_topic("t", &partitions(100), &BTreeMap::new()).await?;
    let first = elected(&coordination).await?;
    let creations: Vec<Write> = (0..100).filter_map(|index| create("t", index, &first)).collect();
    assert_eq!(first.write(creations).await?.len(), 100);
    // Created before: the second attempt of the same controller finds its own state and is content.
    let again: Vec<Write> = (98..100).filter_map(|index| create("t", index, &first)).collect();
    let again = first.write(again).await?;
    assert!(again.iter().all(|one| matches!(one, Written::State { .. })), "{again:?}");

    first.resign().await;
    let second = elected(&coordination).await?;
    assert_eq!(second.epoch().0, first.epoch().0 + 1);
    let late = first.write(create("t", 0, &first).into_iter().collect()).await;
    assert!(matches!(late, Err(CoordinationError::ControllerMoved)), "{late:?}");
    let deleted = second.write(vec![Write::DeleteTopic { topic: "t".into(), id }]).await?;
    assert_eq!(deleted.len(), 1);
    assert!(coordination.topic_names().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_lost_race_reports_the_state_that_won() -> TestResult {
    let (ensemble, dir) = (Ensemble::start().await, tempfile::tempdir()?);
    let coordination = ensemble.open(dir.path()).await;
    coordination.create_topic("t", &partitions(1), &BTreeMap::new()).await?;
    let writer = elected(&coordination).await?;
    let written = writer.write(create("t", 0, &writer).into_iter().collect()).await?;
    let Some(Written::State { partition, state }) = written.into_iter().next() else {
        return Err("not created".into());
    };
    let mut won = state.clone();
    won.leader_epoch.0 += 1;
    let mut late = state.clone();
    late.leader_epoch.0 += 2;
    let set = |state| Write::SetState { partition: partition.clone(), state };
    writer.write(vec![set(won.clone())]).await?;
    won.partition_epoch.0 += 1;
    let conflict = writer.write(vec![set(late)]).await?;
    assert_eq!(conflict, [Written::Conflict { partition: partition.clone(), current: Some(won) }]);
    Ok(())
}

#[tokio::test]
async fn configuration_changes_are_heard() -> TestResult {
    let (ensemble, dir) = (Ensemble::start().await, tempfile::tempdir()?);
    let coordination = ensemble.open(dir.path()).await;
    coordination.create_topic("t", &partitions(1), &BTreeMap::new()).await?;
    let set = |mut overrides: Overrides| -> Result<Overrides, CoordinationError> {
        overrides.insert("retention.ms".into(), "5".into());
        Ok(overrides)
    };
    let topic = ConfigEntity::Topic("t".into());
    assert!(matches!(coordination.change_config(&topic, set).await, Err(CoordinationError::NotWritable(_))));
    elected(&coordination).await?;
    coordination.load_topic_configs().await?;
    let (sender, mut changes) = tokio::sync::mpsc::unbounded_channel();
    let following = tokio::spawn(coordination.clone().follow_configs(sender));
    coordination.change_config(&topic, set).await?;
    coordination.change_config(&ConfigEntity::AllBrokers, set).await?;
    let first = tokio::time::timeout(PATIENCE, changes.recv()).await?.ok_or("closed")?;
    assert_eq!(first.entity, topic);
    assert_eq!(first.overrides.get("retention.ms").map(String::as_str), Some("5"));
    assert_eq!(coordination.topic_config("t"), first.overrides);
    let second = tokio::time::timeout(PATIENCE, changes.recv()).await?.ok_or("closed")?;
    assert_eq!(second.entity, ConfigEntity::AllBrokers);
    coordination.close().await;
    tokio::time::timeout(PATIENCE, following).await??;
    Ok(())
}

#[tokio::test]
async fn an_ensemble_that_was_away_finds_the_same_registration_again() -> TestResult {
    let (mut ensemble, dir) = (Ensemble::start().await, tempfile::tempdir()?);
    let coordination = ensemble.open(dir.path()).await;
    let epoch = coordination.register(registration(1, 9092)).await?;
    elected(&coordination).await?;
    let mut sessions = coordination.sessions();
    tokio::spawn(coordination.clone().keep_session());
    ensemble.pause().await;
    // Longer than the client waits before it gives its session up.
    tokio::time::timeout(PATIENCE, coordination.session_ended()).await?;
    ensemble.resume().await;
    tokio::time::timeout(PATIENCE, sessions.changed()).await??;
    assert_eq!(coordination.broker_epoch(), epoch);
    assert_eq!(coordination.expirations(), 0);
    assert_eq!(coordination.watch_brokers().await?.value[0].epoch, epoch);
    // Nobody serves the office that was held: it is open again.
    assert_eq!(coordination.watch_controller().await?.value, None);
    Ok(())
}

#[tokio::test]
async fn an_expired_session_leads_to_a_new_registration() -> TestResult {
    let (mut ensemble, dir) = (Ensemble::start().await, tempfile::tempdir()?);
    let coordination = ensemble.open(dir.path()).await;
    let before = coordination.register(registration(1, 9092)).await?;
    let mut sessions = coordination.sessions();
    tokio::spawn(coordination.clone().keep_session());
    tokio::time::timeout(PATIENCE, ensemble.expire_sessions()).await?;
    tokio::time::timeout(PATIENCE, sessions.changed()).await??;
    assert!(before < coordination.broker_epoch());
    assert_eq!(coordination.expirations(), 1);
    assert_eq!(coordination.watch_brokers().await?.value[0].epoch, coordination.broker_epoch());
    Ok(())
}

#[tokio::test]
async fn an_ensemble_that_went_backwards_is_refused() -> TestResult {
    let (mut ensemble, dir, other) = (Ensemble::start().await, tempfile::tempdir()?, tempfile::tempdir()?);
    let coordination = ensemble.open(dir.path()).await;
    coordination.check_progress().await?;
    ensemble.pause().await;
    let copy = ensemble.backup()?;
    ensemble.resume().await;
    for topic in 0..200 {
        coordination.create_topic(&format!("t{topic}"), &partitions(1), &BTreeMap::new()).await?;
    }
    coordination.check_progress().await?;
    drop(coordination);
    ensemble.pause().await;
    ensemble.restore(copy.path())?;
    ensemble.resume().await;

    let refused = ensemble.open(dir.path()).await.check_progress().await;
    let error = refused.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("went backwards") && error.contains("zookeeper-progress"), "{error}");
    // Who has seen nothing of it cannot know.
    assert!(ensemble.open(other.path()).await.check_progress().await.is_ok());
    Ok(())
}

#[tokio::test]
async fn with_acls_only_brokers_of_the_same_identity_change_anything() -> TestResult {
    let (ensemble, dir, other) = (Ensemble::start().await, tempfile::tempdir()?, tempfile::tempdir()?);
    let auth = |credentials: &str| ZooKeeperAuth { scheme: "digest".into(), credentials: credentials.into() };
    let secured = |credentials| ConnectSettings { auth: Some(auth(credentials)), set_acl: true, ..ensemble.settings() };
    let coordination = Coordination::open(secured("kafka:secret"), dir.path()).await?;
    coordination.cluster_id().await?;
    coordination.register(registration(1, 9092)).await?;
    coordination.create_topic("t", &partitions(1), &BTreeMap::new()).await?;
    let writer = elected(&coordination).await?;
    assert_eq!(writer.write(create("t", 0, &writer).into_iter().collect()).await?.len(), 1);

    for stranger in [ensemble.settings(), secured("kafka:wrong")] {
        let refused = Coordination::open(stranger, other.path()).await.err().map(|error| error.to_string());
        assert!(refused.is_some_and(|text| text.contains("whimbrel.zookeeper.auth")));
    }
    let same = Coordination::open(secured("kafka:secret"), other.path()).await?;
    same.register(registration(2, 9093)).await?;
    Ok(())
}
