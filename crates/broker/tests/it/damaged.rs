//! Replicas whose logs are damaged: copied anew where another replica is in sync, left alone where none is.

use std::path::PathBuf;

use whimbrel_model::ErrorCode;
use whimbrel_wire::elect_leaders::TopicPartitions;
use whimbrel_wire::{DeleteTopicsRequest, ElectLeadersRequest};

use crate::replication::{Cluster, eventually};
use crate::scenarios::records::{Topic, batch};

/// Of the batch length in the header of the first batch.
const LENGTH_AT: usize = 8;
/// Of its attributes: the first byte that the checksum covers.
const ATTRIBUTES_AT: usize = 21;

fn flip(cluster: &Cluster, id: i32, topic: &Topic, at: usize) -> Vec<u8> {
    let path = cluster.segment_path(id, topic);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[at] ^= 0x80;
    std::fs::write(&path, &bytes).unwrap();
    bytes
}

/// Makes the length of the first batch negative, in the file as it is.
fn damage(cluster: &Cluster, id: i32, topic: &Topic) -> Vec<u8> {
    flip(cluster, id, topic, LENGTH_AT)
}

/// The same while the broker does not run, which then has to recover.
fn damage_stopped(cluster: &Cluster, id: i32, topic: &Topic) -> Vec<u8> {
    std::fs::remove_file(cluster.dir(id).join(".kafka_cleanshutdown")).unwrap();
    damage(cluster, id, topic)
}

/// The segments of a topic that were set aside.
fn set_aside(cluster: &Cluster, id: i32, topic: &Topic) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cluster.dir(id)).unwrap().map(|entry| entry.unwrap());
    let is_aside = |name: &str| name.starts_with(&format!("{}-0.", topic.name)) && name.ends_with("-stray");
    let aside = entries.filter(|entry| is_aside(&entry.file_name().to_string_lossy()));
    aside.map(|entry| entry.path().join("00000000000000000000.log")).collect()
}

fn wait_until_copied(cluster: &Cluster, id: i32, topic: &Topic, damaged: &[u8]) {
    let aside = eventually("the damaged log is set aside", || set_aside(cluster, id, topic).pop());
    assert_eq!(std::fs::read(aside).unwrap(), damaged, "what was set aside is not what was there");
    let state = cluster.wait_for(1, topic, |partition| partition.isr_nodes.len() == 3 && partition.leader_id != id);
    assert_eq!(cluster.segment(id, topic), cluster.segment(state.leader_id, topic));
}

#[test]
fn a_follower_that_starts_with_a_damaged_log_is_copied_anew() {
    let mut cluster = Cluster::start();
    let topic = cluster.create_topic("copied", &[("min.insync.replicas", "2")]);
    for _ in 0..5 {
        assert_eq!(cluster.produce(2, &topic, batch(3)).0, ErrorCode::None);
    }
    cluster.stop_node(3);
    let damaged = damage_stopped(&cluster, 3, &topic);
    assert_eq!(cluster.produce(2, &topic, batch(3)), (ErrorCode::None, 15));
    cluster.start_node(3);
    wait_until_copied(&cluster, 3, &topic, &damaged);
    assert_eq!(cluster.produce(2, &topic, batch(3)), (ErrorCode::None, 18));
    assert_eq!(cluster.segment(2, &topic), cluster.segment(3, &topic));
}

#[test]
fn a_replica_in_whose_log_a_consumer_meets_damage_is_copied_anew() {
    let cluster = Cluster::start();
    // A follower first, which serves consumers too; then the leader.
    for (name, id) in [("follower", 3), ("leader", 2)] {
        let topic = cluster.create_topic(name, &[("min.insync.replicas", "2")]);
        assert_eq!(cluster.produce(2, &topic, batch(3)), (ErrorCode::None, 0));
        let damaged = damage(&cluster, id, &topic);
        let code = eventually("the damage is met", || {
            let code = ErrorCode::from_code(cluster.fetch(id, &topic, 0).error_code);
            (!code.is_ok()).then_some(code)
        });
        assert!(code == ErrorCode::KafkaStorageError || code == ErrorCode::NotLeaderOrFollower, "{code}");
        wait_until_copied(&cluster, id, &topic, &damaged);
        let leader = cluster.wait_for(1, &topic, |partition| partition.leader_id != -1).leader_id;
        assert_eq!(cluster.produce(leader, &topic, batch(3)), (ErrorCode::None, 3));
    }
}

#[test]
fn a_replica_with_a_wrong_checksum_is_copied_anew_once_somebody_reads_it() {
    let mut cluster = Cluster::start();
    for (name, id) in [("checked-follower", 3), ("checked-leader", 2)] {
        let topic = cluster.create_topic(name, &[("min.insync.replicas", "2")]);
        assert_eq!(cluster.produce(2, &topic, batch(3)), (ErrorCode::None, 0));
        cluster.stop_node(id);
        // After a stop in order, nothing is looked at before it is read.
        let damaged = flip(&cluster, id, &topic, ATTRIBUTES_AT);
        cluster.start_node(id);
        cluster.wait_for(1, &topic, |partition| partition.isr_nodes.len() == 3);
        eventually("the damage is met", || {
            let answer = cluster.fetch(id, &topic, 0);
            assert!(answer.records.is_none_or(|records| records.is_empty()), "what is damaged was served");
            (!ErrorCode::from_code(answer.error_code).is_ok()).then_some(())
        });
        wait_until_copied(&cluster, id, &topic, &damaged);
    }
}

#[test]
fn the_only_replica_in_sync_is_left_alone_until_an_operator_gives_it_up() {
    let mut cluster = Cluster::start();
    let topic = cluster.create_topic_on("given-up", &[3, 2], &[]);
    assert_eq!(cluster.produce(3, &topic, batch(3)), (ErrorCode::None, 0));
    cluster.stop_node(2);
    cluster.wait_for(1, &topic, |partition| partition.isr_nodes == [3]);
    assert_eq!(cluster.produce(3, &topic, batch(3)), (ErrorCode::None, 3));
    cluster.stop_node(3);
    let damaged = damage_stopped(&cluster, 3, &topic);
    cluster.start_node(2);
    cluster.start_node(3);
    // Broker 2 is there, and lacks what only 3 has.
    let state = cluster.wait_for(1, &topic, |partition| partition.leader_id == -1 && partition.isr_nodes == [3]);
    assert!(set_aside(&cluster, 3, &topic).is_empty(), "{state:?}");

    let partitions = TopicPartitions { topic: topic.name.as_str().into(), partitions: vec![0] };
    let request =
        ElectLeadersRequest { election_type: 1, topic_partitions: Some(vec![partitions]), timeout_ms: 10_000 };
    eventually("broker 2 leads", || {
        for id in 1..=3 {
            cluster.client(id).call(2, &request);
        }
        cluster.partition(1, &topic).filter(|partition| partition.leader_id == 2)
    });
    let aside = eventually("the damaged log is set aside", || set_aside(&cluster, 3, &topic).pop());
    assert_eq!(std::fs::read(aside).unwrap(), damaged);
    cluster.wait_for(1, &topic, |partition| partition.leader_id == 2 && partition.isr_nodes.len() == 2);
    assert_eq!(cluster.segment(3, &topic), cluster.segment(2, &topic));
    assert_eq!(cluster.produce(2, &topic, batch(3)), (ErrorCode::None, 3));
}

#[test]
fn the_last_copy_is_left_alone_until_its_topic_is_deleted() {
    let mut cluster = Cluster::start();
    let topic = cluster.create_topic_on("alone", &[3], &[]);
    assert_eq!(cluster.produce(3, &topic, batch(3)), (ErrorCode::None, 0));
    // In use, it stays so: nobody else could take what is appended.
    damage(&cluster, 3, &topic);
    let code = || ErrorCode::from_code(cluster.fetch(3, &topic, 0).error_code);
    eventually("the damage is met", || (code() == ErrorCode::KafkaStorageError).then_some(()));
    assert_eq!(cluster.produce(3, &topic, batch(3)), (ErrorCode::None, 3));
    assert!(cluster.segment_path(3, &topic).exists() && set_aside(&cluster, 3, &topic).is_empty());
    // At a start it is out of use.
    cluster.stop_node(3);
    std::fs::remove_file(cluster.dir(3).join(".kafka_cleanshutdown")).unwrap();
    let bytes = cluster.segment(3, &topic);
    let before = eventually("nobody leads", || {
        let told = cluster.metadata(1, &topic).topics[0].partitions[0].clone();
        (told.leader_id == -1).then_some(told)
    });
    cluster.start_node(3);
    // Until the controller has heard of the damage it elects, or deletes, as on any broker that starts; that it has elected
    // is seen from the leader epoch.
    let state = eventually("the damage is known", || {
        let told = cluster.metadata(1, &topic).topics[0].partitions[0].clone();
        (before.leader_epoch < told.leader_epoch && told.offline_replicas == [3]).then_some(told)
    });
    assert_eq!((state.leader_id, state.isr_nodes), (-1, vec![3]));
    assert!(cluster.segment(3, &topic) == bytes && set_aside(&cluster, 3, &topic).is_empty());

    let request =
        DeleteTopicsRequest { topic_names: vec![topic.name.as_str().into()], timeout_ms: 1000, ..Default::default() };
    eventually("the topic is deleted", || {
        let response = cluster.client(1).call(5, &request);
        (ErrorCode::from_code(response.responses[0].error_code) == ErrorCode::UnknownTopicOrPartition).then_some(())
    });
    // As on a failed disk, the controller tries again when the broker starts.
    assert!(cluster.segment(3, &topic) == bytes);
    cluster.stop_node(3);
    cluster.start_node(3);
    eventually("the directory is removed", || (!cluster.segment_path(3, &topic).exists()).then_some(()));
    assert!(set_aside(&cluster, 3, &topic).is_empty());
}
