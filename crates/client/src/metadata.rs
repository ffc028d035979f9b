//! What the cluster looks like: brokers, topics, leaders. A snapshot; nothing here asks.

use std::collections::{BTreeMap, HashMap};

use whimbrel_model::{ErrorCode, Uuid};
use whimbrel_wire::MetadataResponse;

use crate::ClientError;

/// A broker as clients reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    pub id: i32,
    pub host: String,
    pub port: i32,
    pub rack: Option<String>,
}

impl BrokerAddress {
    /// `host:port`, an IPv6 address in brackets.
    #[must_use]
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// A partition as the cluster reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionMetadata {
    pub partition: i32,
    /// -1 while there is none.
    pub leader: i32,
    /// -1 if the broker is too old to tell.
    pub leader_epoch: i32,
    pub replicas: Vec<i32>,
    pub in_sync: Vec<i32>,
    pub offline: Vec<i32>,
}

/// A topic as the cluster reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMetadata {
    pub name: String,
    /// Zero if the broker is too old to tell.
    pub id: Uuid,
    pub is_internal: bool,
    /// By number.
    pub partitions: Vec<PartitionMetadata>,
}

/// A snapshot of the cluster.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    pub cluster_id: Option<String>,
    /// -1 if unknown.
    pub controller_id: i32,
    pub brokers: BTreeMap<i32, BrokerAddress>,
    /// What was asked for and exists.
    pub topics: BTreeMap<String, TopicMetadata>,
    /// What was asked for and could not be told.
    pub errors: HashMap<String, ErrorCode>,
}

impl From<MetadataResponse> for Metadata {
    fn from(response: MetadataResponse) -> Self {
        let mut metadata = Self {
            cluster_id: response.cluster_id.map(String::from),
            controller_id: response.controller_id,
            ..Self::default()
        };
        for broker in response.brokers {
            let (id, host, port) = (broker.node_id, String::from(broker.host), broker.port);
            metadata.brokers.insert(id, BrokerAddress { id, host, port, rack: broker.rack.map(String::from) });
        }
        for topic in response.topics {
            let name = topic.name.map(String::from).unwrap_or_default();
            if topic.error_code != 0 {
                metadata.errors.insert(name, ErrorCode::from_code(topic.error_code));
                continue;
            }
            let mut partitions: Vec<PartitionMetadata> = topic.partitions.into_iter().map(partition).collect();
            partitions.sort_by_key(|partition| partition.partition);
            let (id, is_internal) = (topic.topic_id, topic.is_internal);
            metadata.topics.insert(name.clone(), TopicMetadata { name, id, is_internal, partitions });
        }
        metadata
    }
}

fn partition(partition: whimbrel_wire::metadata::MetadataResponsePartition) -> PartitionMetadata {
    PartitionMetadata {
        partition: partition.partition_index,
        leader: partition.leader_id,
        leader_epoch: partition.leader_epoch,
        replicas: partition.replica_nodes,
        in_sync: partition.isr_nodes,
        offline: partition.offline_replicas,
    }
}

impl Metadata {
    /// A topic that was asked for.
    ///
    /// # Errors
    /// The broker's error for it, or that it does not exist.
    pub fn topic(&self, name: &str) -> Result<&TopicMetadata, ClientError> {
        self.topics.get(name).ok_or_else(|| {
            let code = self.errors.get(name).copied().unwrap_or(ErrorCode::UnknownTopicOrPartition);
            ClientError::Kafka { subject: format!("topic {name}"), code, message: None }
        })
    }

    /// The broker that leads a partition, and its epoch (-1 if unknown).
    ///
    /// # Errors
    /// The topic or partition is unknown, or nobody leads it.
    pub fn leader(&self, topic: &str, partition: i32) -> Result<(i32, i32), ClientError> {
        let found = self.topic(topic)?.partitions.iter().find(|found| found.partition == partition);
        match found {
            None => {
                let subject = format!("partition {topic}-{partition}");
                Err(ClientError::Kafka { subject, code: ErrorCode::UnknownTopicOrPartition, message: None })
            }
            Some(found) if found.leader < 0 => Err(ClientError::NoLeader { topic: topic.to_owned(), partition }),
            Some(found) => Ok((found.leader, found.leader_epoch)),
        }
    }

    /// Takes over what `newer` knows; topics that it was not asked about stay.
    pub(crate) fn merge(&self, newer: &Self) -> Self {
        let mut merged = newer.clone();
        for (name, topic) in &self.topics {
            if !newer.errors.contains_key(name) {
                merged.topics.entry(name.clone()).or_insert_with(|| topic.clone());
            }
        }
        merged
    }
}
