//! `/brokers/topics/<t>` and `/brokers/topics/<t>/partitions/<p>/state`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use whimbrel_model::{ControllerEpoch, LeaderEpoch, NodeId, PartitionEpoch, Uuid};
use whimbrel_state::controller::control::LeaderRecoveryState;
use whimbrel_state::controller::election::PartitionState;
use whimbrel_state::controller::{PartitionAssignment, TopicAssignment};

use super::{DecodeError, to_json};

/// The assignment of a topic, version 3. During a reassignment `partitions` lists old and new replicas together.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::coordination) struct TopicNode {
    #[serde(default)]
    version: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topic_id: Option<String>,
    partitions: BTreeMap<i32, Vec<i32>>,
    #[serde(default)]
    adding_replicas: BTreeMap<i32, Vec<i32>>,
    #[serde(default)]
    removing_replicas: BTreeMap<i32, Vec<i32>>,
}

impl TopicNode {
    pub(in crate::coordination) fn new(id: Uuid, partitions: &[PartitionAssignment]) -> Self {
        let ids = |replicas: &[NodeId]| replicas.iter().map(|replica| replica.0).collect::<Vec<_>>();
        let map = |replicas: fn(&PartitionAssignment) -> &[NodeId], keep_empty: bool| {
            let kept = partitions.iter().filter(|one| keep_empty || !replicas(one).is_empty());
            kept.map(|one| (one.index, ids(replicas(one)))).collect()
        };
        Self {
            version: 3,
            topic_id: (!id.is_zero()).then(|| id.to_string()),
            partitions: map(|one| &one.replicas, true),
            adding_replicas: map(|one| &one.adding_replicas, false),
            removing_replicas: map(|one| &one.removing_replicas, false),
        }
    }

    pub(in crate::coordination) fn encode(&self) -> Vec<u8> {
        to_json(self)
    }

    pub(in crate::coordination) fn decode(json: &[u8]) -> Result<Self, DecodeError> {
        Ok(serde_json::from_slice(json)?)
    }

    /// The topic as the controller knows it; a topic without an id has the zero one.
    pub(in crate::coordination) fn into_assignment(self, name: Arc<str>) -> Result<TopicAssignment, DecodeError> {
        let id = match &self.topic_id {
            None => Uuid::ZERO,
            Some(text) => text.parse().map_err(|_| DecodeError::Content(format!("topic id {text:?}")))?,
        };
        let ids = |replicas: Vec<i32>| replicas.into_iter().map(NodeId).collect::<Vec<_>>();
        let (mut adding, mut removing) = (self.adding_replicas, self.removing_replicas);
        let partition = |(index, replicas)| PartitionAssignment {
            index,
            replicas: ids(replicas),
            adding_replicas: ids(adding.remove(&index).unwrap_or_default()),
            removing_replicas: ids(removing.remove(&index).unwrap_or_default()),
        };
        let partitions = self.partitions.into_iter().map(partition).collect();
        Ok(TopicAssignment { name, id, partitions, unclean_leader_election: None })
    }
}

/// The state of a partition, version 1. The node's version is the partition epoch.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::coordination) struct PartitionStateNode {
    version: i32,
    leader: i32,
    leader_epoch: i32,
    controller_epoch: i32,
    isr: Vec<i32>,
    /// Written only while it is not 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leader_recovery_state: Option<i8>,
}

impl PartitionStateNode {
    pub(in crate::coordination) fn new(state: &PartitionState) -> Self {
        let recovery = state.recovery_state.code();
        Self {
            version: 1,
            leader: state.leader.0,
            leader_epoch: state.leader_epoch.0,
            controller_epoch: state.controller_epoch.0,
            isr: state.isr.iter().map(|member| member.0).collect(),
            leader_recovery_state: (recovery != 0).then_some(recovery),
        }
    }

    pub(in crate::coordination) fn encode(&self) -> Vec<u8> {
        to_json(self)
    }

    /// The state in a node whose version is `node_version`.
    pub(in crate::coordination) fn decode(json: &[u8], node_version: i32) -> Result<PartitionState, DecodeError> {
        let node: Self = serde_json::from_slice(json)?;
        let recovery = node.leader_recovery_state.unwrap_or(0);
        Ok(PartitionState {
            leader: NodeId(node.leader),
            leader_epoch: LeaderEpoch(node.leader_epoch),
            isr: node.isr.into_iter().map(NodeId).collect(),
            recovery_state: LeaderRecoveryState::from_code(recovery)
                .ok_or_else(|| DecodeError::Content(format!("leader recovery state {recovery}")))?,
            controller_epoch: ControllerEpoch(node.controller_epoch),
            partition_epoch: PartitionEpoch(node_version),
        })
    }
}
