//! AlterPartition: a leader asks for another ISR (KIP-497). Source: Kafka 3.9 `KafkaController.scala`.
//!
//! The leader epoch does not change: it is the leader's own change, and nobody has to be told anything but metadata.
//! Beyond Kafka's ZooKeeper mode, and as its KRaft mode does, a request is refused when its sender does not lead
//! (`InvalidRequest`), when the ISR lacks the leader or names a stranger (`InvalidRequest`), and when a member is not the
//! incarnation that is registered (KIP-903, `IneligibleReplica`).

use std::sync::Arc;

use whimbrel_model::{BrokerEpoch, ErrorCode, NodeId, TopicPartition, Uuid};

use super::Controller;
use super::control::{
    AlterPartitionData, AlterPartitionError, AlterPartitionRequest, AlterPartitionResponse, AlterPartitionResult,
    AlterPartitionTopicResult, AlteredPartition, ControllerResponse, IsrMember, LeaderRecoveryState, RequestId,
};
use super::election::PartitionState;
use super::rules::{self, Rule};
use super::tasks::{Alteration, Task};

/// A request some of whose partitions have no result yet.
#[derive(Debug)]
pub(super) struct Altering {
    response: AlterPartitionResponse,
    left: usize,
}

impl Controller {
    pub(super) fn alter_partition(&mut self, id: RequestId, request: AlterPartitionRequest) {
        if self.facts.broker(request.broker).is_none_or(|broker| broker.epoch != request.broker_epoch) {
            let refused = AlterPartitionResponse { error: ErrorCode::StaleBrokerEpoch, topics: Vec::new() };
            self.outbox.answer(id, ControllerResponse::AlterPartition(refused));
            return;
        }
        let mut response = AlterPartitionResponse::default();
        let mut tasks = Vec::new();
        for (topic_slot, topic) in request.topics.into_iter().enumerate() {
            let (name, topic_id) = self.resolve(&topic.name, topic.id);
            let is_known = name.is_some();
            let name = name.unwrap_or(topic.name);
            let unknown = if topic.id.is_zero() {
                AlterPartitionError::UnknownPartition
            } else {
                AlterPartitionError::UnknownTopicId
            };
            let mut results = Vec::with_capacity(topic.partitions.len());
            for (slot, data) in topic.partitions.into_iter().enumerate() {
                // Until it is judged, what it would be if the topic vanished meanwhile.
                results.push(AlterPartitionResult { index: data.index, result: Err(unknown) });
                let partition = TopicPartition { topic: Arc::clone(&name), partition: data.index };
                if !is_known {
                } else if self.facts.partition(&partition).is_some() {
                    let slot = (topic_slot, slot);
                    tasks.push((partition, Alteration { request: id, slot, broker: request.broker, data }));
                } else if let Some(last) = results.last_mut() {
                    last.result = Err(AlterPartitionError::UnknownPartition);
                }
            }
            response.topics.push(AlterPartitionTopicResult { name, id: topic_id, partitions: results });
        }
        if tasks.is_empty() {
            self.outbox.answer(id, ControllerResponse::AlterPartition(response));
            return;
        }
        self.altering.insert(id, Altering { response, left: tasks.len() });
        for (partition, alteration) in tasks {
            self.add_task(&partition, Task::Alter(alteration));
        }
    }

    /// The name and id of the topic that a request means; its id decides if it has one.
    pub(super) fn resolve(&self, name: &str, id: Uuid) -> (Option<Arc<str>>, Uuid) {
        let topic = if id.is_zero() { self.facts.topic(name) } else { self.facts.topic_by_id(id) };
        topic.map_or((None, id), |topic| (Some(Arc::clone(&topic.name)), topic.id))
    }

    /// The state that the leader asks for, `None` if it is there already, or why it is refused. The order of the checks
    /// is Kafka's.
    pub(super) fn judge_alteration(
        &self,
        name: &TopicPartition,
        alteration: &Alteration,
    ) -> Result<Option<PartitionState>, AlterPartitionError> {
        let data = &alteration.data;
        let topic = self.facts.topic(&name.topic).filter(|topic| topic.deletion.is_none());
        let topic = topic.ok_or(AlterPartitionError::UnknownPartition)?;
        let partition = topic.partitions.get(&name.partition).ok_or(AlterPartitionError::UnknownPartition)?;
        let current = partition.state.as_ref().ok_or(AlterPartitionError::UnknownPartition)?;
        if current.partition_epoch < data.partition_epoch || current.leader_epoch < data.leader_epoch {
            return Err(AlterPartitionError::StaleController);
        }
        if data.leader_epoch < current.leader_epoch {
            return Err(AlterPartitionError::FencedLeaderEpoch);
        }
        if alteration.broker != current.leader && rules::holds(Rule::LeaderOnly) {
            return Err(AlterPartitionError::InvalidRequest);
        }
        if is_in_place(current, data) {
            return Ok(None);
        }
        if data.partition_epoch < current.partition_epoch && rules::holds(Rule::PartitionEpoch) {
            return Err(AlterPartitionError::StalePartitionEpoch);
        }
        check_form(current, &partition.replicas, data)?;
        let mut isr = Vec::with_capacity(data.new_isr.len());
        for member in &data.new_isr {
            let standing = self.facts.standing(member.broker, name);
            if !standing.may_join(member.epoch) {
                return Err(AlterPartitionError::IneligibleReplica);
            }
            let epoch = if member.epoch == BrokerEpoch::NONE { standing.epoch } else { member.epoch };
            isr.push(IsrMember { broker: member.broker, epoch });
        }
        let eligible_leaders =
            self.with_circumstances(topic, name, partition, |all| all.eligible_leaders(current, &isr));
        Ok(Some(PartitionState {
            isr,
            eligible_leaders,
            recovery_state: data.recovery_state,
            controller_epoch: self.options.epoch,
            ..current.clone()
        }))
    }

    /// Notes the result of one partition, and answers the request when it was the last.
    pub(super) fn altered(&mut self, alteration: &Alteration, result: Result<&PartitionState, AlterPartitionError>) {
        let Some(altering) = self.altering.get_mut(&alteration.request) else { return };
        let (topic, partition) = alteration.slot;
        let slot = altering.response.topics.get_mut(topic).and_then(|topic| topic.partitions.get_mut(partition));
        if let Some(slot) = slot {
            slot.result = result.map(|state| AlteredPartition {
                leader: state.leader,
                leader_epoch: state.leader_epoch,
                isr: state.isr_brokers(),
                recovery_state: state.recovery_state,
                partition_epoch: state.partition_epoch,
            });
        }
        altering.left -= 1;
        if altering.left == 0
            && let Some(Altering { response, .. }) = self.altering.remove(&alteration.request)
        {
            self.outbox.answer(alteration.request, ControllerResponse::AlterPartition(response));
        }
    }
}

/// Whether the state is what the request asks for, as after a repeat whose first answer was lost. A member whose epoch
/// the request does not know is whichever is there.
fn is_in_place(current: &PartitionState, data: &AlterPartitionData) -> bool {
    let same = |member: &IsrMember| {
        current.isr.iter().any(|known| {
            known.broker == member.broker && (member.epoch == BrokerEpoch::NONE || known.epoch == member.epoch)
        })
    };
    current.recovery_state == data.recovery_state
        && current.isr.len() == data.new_isr.len()
        && data.new_isr.iter().all(same)
}

fn check_form(
    current: &PartitionState,
    replicas: &[NodeId],
    data: &AlterPartitionData,
) -> Result<(), AlterPartitionError> {
    let is_replica = |member: &IsrMember| replicas.contains(&member.broker);
    let has_leader = data.new_isr.iter().any(|member| member.broker == current.leader);
    let mut brokers: Vec<NodeId> = data.new_isr.iter().map(|member| member.broker).collect();
    brokers.sort_unstable();
    brokers.dedup();
    let has_duplicates = brokers.len() < data.new_isr.len();
    let recovering = data.recovery_state == LeaderRecoveryState::Recovering;
    let goes_back = recovering && current.recovery_state == LeaderRecoveryState::Recovered;
    if !has_leader || !data.new_isr.iter().all(is_replica) || has_duplicates {
        return Err(AlterPartitionError::InvalidRequest);
    }
    if (recovering && 1 < data.new_isr.len()) || goes_back {
        return Err(AlterPartitionError::InvalidRequest);
    }
    Ok(())
}
