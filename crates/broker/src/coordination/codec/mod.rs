//! The JSON of Kafka's znodes. Writers emit what a Kafka 3.9 broker emits; readers take any field order and ignore what
//! they do not know. Source: Kafka 3.9 `ZkData.scala`.

mod admin;
mod broker;
mod cluster;
mod config;
mod topic;

#[cfg(test)]
mod tests;

pub(super) use admin::{LogDirEventNode, PartitionListNode, ReassignmentNode};
pub(super) use broker::BrokerNode;
pub(super) use cluster::{ControllerNode, FeatureNode, ProducerIdBlockNode, decode_cluster_id, encode_cluster_id};
pub(super) use config::{ConfigNode, config_change, decode_config_change};
pub(super) use topic::{PartitionStateNode, TopicNode};

/// What is in a node is not what Kafka puts there.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("not the expected JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Content(String),
}

/// Compact JSON of a value that cannot fail to serialise: the structs here have string or integer keys only.
fn to_json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
