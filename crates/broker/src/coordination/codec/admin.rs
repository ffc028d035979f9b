//! `/admin/reassign_partitions`, `/admin/preferred_replica_election`, `/isr_change_notification/…` and
//! `/log_dir_event_notification/…`.

use serde::{Deserialize, Serialize};
use whimbrel_model::{NodeId, TopicPartition};

use super::{DecodeError, to_json};

/// The event of a failed log directory.
const LOG_DIR_FAILURE: i32 = 1;

/// Reassignments, version 1.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::coordination) struct ReassignmentNode {
    #[serde(default)]
    version: i32,
    partitions: Vec<Reassigned>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Reassigned {
    topic: String,
    partition: i32,
    replicas: Vec<i32>,
}

impl ReassignmentNode {
    pub(in crate::coordination) fn new(reassignments: &[(TopicPartition, Vec<NodeId>)]) -> Self {
        let one = |(name, replicas): &(TopicPartition, Vec<NodeId>)| Reassigned {
            topic: name.topic.to_string(),
            partition: name.partition,
            replicas: replicas.iter().map(|replica| replica.0).collect(),
        };
        Self { version: 1, partitions: reassignments.iter().map(one).collect() }
    }

    pub(in crate::coordination) fn encode(&self) -> Vec<u8> {
        to_json(self)
    }

    pub(in crate::coordination) fn decode(json: &[u8]) -> Result<Vec<(TopicPartition, Vec<NodeId>)>, DecodeError> {
        let node: Self = serde_json::from_slice(json)?;
        let one = |one: Reassigned| {
            let replicas = one.replicas.into_iter().map(NodeId).collect();
            (TopicPartition::new(&*one.topic, one.partition), replicas)
        };
        Ok(node.partitions.into_iter().map(one).collect())
    }
}

/// A list of partitions, version 1: preferred elections, and changes of ISRs.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::coordination) struct PartitionListNode {
    #[serde(default)]
    version: i32,
    partitions: Vec<Listed>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    topic: String,
    partition: i32,
}

impl PartitionListNode {
    pub(in crate::coordination) fn decode(json: &[u8]) -> Result<Vec<TopicPartition>, DecodeError> {
        let node: Self = serde_json::from_slice(json)?;
        Ok(node.partitions.into_iter().map(|one| TopicPartition::new(&*one.topic, one.partition)).collect())
    }
}

/// Something happened to the log directories of a broker, version 1.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::coordination) struct LogDirEventNode {
    version: i32,
    broker: i32,
    event: i32,
}

impl LogDirEventNode {
    pub(in crate::coordination) fn failure(broker: NodeId) -> Self {
        Self { version: 1, broker: broker.0, event: LOG_DIR_FAILURE }
    }

    pub(in crate::coordination) fn encode(&self) -> Vec<u8> {
        to_json(self)
    }

    /// The broker whose directory failed; `None` for other events and what cannot be read.
    pub(in crate::coordination) fn failed_broker(json: &[u8]) -> Option<NodeId> {
        let node: Self = serde_json::from_slice(json).ok()?;
        (node.event == LOG_DIR_FAILURE).then_some(NodeId(node.broker))
    }
}
