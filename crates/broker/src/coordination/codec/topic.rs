//! `/brokers/topics/<t>` and `/brokers/topics/<t>/partitions/<p>/state`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use whimbrel_model::{BrokerEpoch, ControllerEpoch, LeaderEpoch, NodeId, PartitionEpoch, Uuid};
use whimbrel_state::controller::control::{IsrMember, LeaderRecoveryState};
use whimbrel_state::controller::election::PartitionState;
use whimbrel_state::controller::{PartitionAssignment, TopicAssignment, TopicSettings};

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
        Ok(TopicAssignment { name, id, partitions, settings: TopicSettings::default() })
    }
}

/// The state of a partition, version 1. The node's version is the partition epoch.
///
/// The fields after `leader_recovery_state` are Whimbrel's. Readers that do not know them ignore them; a writer that
/// does not know them drops them, and what they say is then unknown.
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
    /// The broker epoch of each member of `isr`, -1 where it is unknown (KIP-903). Left out when all are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    isr_broker_epochs: Vec<i64>,
    /// Replicas that have every committed record although they are not in `isr` (KIP-966). Left out when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    eligible_leaders: Vec<i32>,
    /// The broker epoch of each of `eligible_leaders`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    eligible_leader_broker_epochs: Vec<i64>,
    /// Who led last. Written only while `leader` is -1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_leader: Option<i32>,
}

impl PartitionStateNode {
    pub(in crate::coordination) fn new(state: &PartitionState) -> Self {
        let recovery = state.recovery_state.code();
        let (isr, isr_broker_epochs) = split(&state.isr);
        let (eligible_leaders, eligible_leader_broker_epochs) = split(&state.eligible_leaders);
        Self {
            version: 1,
            leader: state.leader.0,
            leader_epoch: state.leader_epoch.0,
            controller_epoch: state.controller_epoch.0,
            isr,
            leader_recovery_state: (recovery != 0).then_some(recovery),
            isr_broker_epochs,
            eligible_leaders,
            eligible_leader_broker_epochs,
            last_leader: (state.last_leader != NodeId::NONE).then_some(state.last_leader.0),
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
            isr: join(&node.isr, &node.isr_broker_epochs),
            eligible_leaders: join(&node.eligible_leaders, &node.eligible_leader_broker_epochs),
            last_leader: node.last_leader.map_or(NodeId::NONE, NodeId),
            recovery_state: LeaderRecoveryState::from_code(recovery)
                .ok_or_else(|| DecodeError::Content(format!("leader recovery state {recovery}")))?,
            controller_epoch: ControllerEpoch(node.controller_epoch),
            partition_epoch: PartitionEpoch(node_version),
        })
    }
}

/// Brokers and their epochs as two lists; no epochs at all when none is known, so that the node is Kafka's.
fn split(members: &[IsrMember]) -> (Vec<i32>, Vec<i64>) {
    let brokers = members.iter().map(|member| member.broker.0).collect();
    let are_known = members.iter().any(|member| member.epoch != BrokerEpoch::NONE);
    let epochs = members.iter().filter(|_| are_known).map(|member| member.epoch.0).collect();
    (brokers, epochs)
}

/// The members of two lists. Lists of different lengths do not belong together: the epochs are then unknown.
fn join(brokers: &[i32], epochs: &[i64]) -> Vec<IsrMember> {
    let epochs = if brokers.len() == epochs.len() { epochs } else { &[] };
    let epochs = epochs.iter().copied().map(BrokerEpoch).chain(std::iter::repeat(BrokerEpoch::NONE));
    brokers.iter().zip(epochs).map(|(&broker, epoch)| IsrMember { broker: NodeId(broker), epoch }).collect()
}
