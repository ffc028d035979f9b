//! The paths of Kafka's znodes, below the chroot. Source: Kafka 3.9 `ZkData.scala`.

use whimbrel_model::{NodeId, TopicPartition};

pub(super) const CONTROLLER: &str = "/controller";
pub(super) const CONTROLLER_EPOCH: &str = "/controller_epoch";
pub(super) const BROKER_IDS: &str = "/brokers/ids";
pub(super) const BROKER_SEQUENCE: &str = "/brokers/seqid";
pub(super) const TOPICS: &str = "/brokers/topics";
pub(super) const CLUSTER_ID: &str = "/cluster/id";
pub(super) const CONFIG_CHANGES: &str = "/config/changes";
pub(super) const CONFIG_CHANGE_PREFIX: &str = "/config/changes/config_change_";
pub(super) const DELETE_TOPICS: &str = "/admin/delete_topics";
pub(super) const FEATURE: &str = "/feature";
pub(super) const ISR_CHANGES: &str = "/isr_change_notification";
pub(super) const LOG_DIR_EVENTS: &str = "/log_dir_event_notification";
pub(super) const LOG_DIR_EVENT_PREFIX: &str = "/log_dir_event_notification/log_dir_event_";
pub(super) const REASSIGN_PARTITIONS: &str = "/admin/reassign_partitions";
pub(super) const PREFERRED_ELECTION: &str = "/admin/preferred_replica_election";
pub(super) const PRODUCER_IDS: &str = "/latest_producer_id_block";

/// What every broker creates when it starts, parents first.
pub(super) const TOP_LEVEL: [&str; 18] = [
    "/consumers",
    "/brokers",
    BROKER_IDS,
    TOPICS,
    BROKER_SEQUENCE,
    "/config",
    CONFIG_CHANGES,
    "/config/topics",
    "/config/clients",
    "/config/users",
    "/config/brokers",
    "/config/ips",
    "/admin",
    DELETE_TOPICS,
    ISR_CHANGES,
    PRODUCER_IDS,
    LOG_DIR_EVENTS,
    "/cluster",
];

pub(super) fn broker(id: NodeId) -> String {
    format!("{BROKER_IDS}/{id}")
}

pub(super) fn topic(name: &str) -> String {
    format!("{TOPICS}/{name}")
}

pub(super) fn partitions(topic: &str) -> String {
    format!("{TOPICS}/{topic}/partitions")
}

pub(super) fn partition(name: &TopicPartition) -> String {
    format!("{TOPICS}/{}/partitions/{}", name.topic, name.partition)
}

pub(super) fn state(name: &TopicPartition) -> String {
    format!("{TOPICS}/{}/partitions/{}/state", name.topic, name.partition)
}

pub(super) fn config(entity_type: &str, entity: &str) -> String {
    format!("/config/{entity_type}/{entity}")
}

pub(super) fn delete_topic(name: &str) -> String {
    format!("{DELETE_TOPICS}/{name}")
}
