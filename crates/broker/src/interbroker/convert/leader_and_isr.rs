//! LeaderAndIsr, versions 0 to 7. Up to version 1 each partition names its topic; up to version 4 results do.

use std::sync::Arc;

use whimbrel_model::{ControllerEpoch, LeaderEpoch, NodeId, PartitionEpoch, Uuid};
use whimbrel_state::controller::control::{
    LeaderAndIsrPartition, LeaderAndIsrRequest, LeaderAndIsrResponse, LeaderAndIsrTopic, LeaderAndIsrTopicResult,
    LiveLeader, PartitionResult,
};
use whimbrel_wire::leader_and_isr::{
    self as wire, LeaderAndIsrLiveLeader, LeaderAndIsrPartitionError, LeaderAndIsrPartitionState,
    LeaderAndIsrTopicError, LeaderAndIsrTopicState,
};

use super::{FromWire, ToWire, by_topic, code, header, ids, nodes, recovery, shared, text};

/// From here on, partitions are grouped by topic.
const GROUPED: i16 = 2;
/// From here on, results are grouped by topic id, and requests carry topic ids.
const TOPIC_IDS: i16 = 5;

impl ToWire<wire::LeaderAndIsrRequest> for LeaderAndIsrRequest {
    fn to_wire(&self, version: i16) -> wire::LeaderAndIsrRequest {
        let grouped = GROUPED <= version;
        let topic_state = |topic: &LeaderAndIsrTopic| LeaderAndIsrTopicState {
            topic_name: text(&topic.name),
            topic_id: topic.id,
            partition_states: topic.partitions.iter().map(|partition| state(partition, None)).collect(),
        };
        let ungrouped = self.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|partition| state(partition, (!grouped).then_some(&topic.name)))
        });
        wire::LeaderAndIsrRequest {
            controller_id: self.header.controller_id.0,
            controller_epoch: self.header.controller_epoch.0,
            broker_epoch: self.header.broker_epoch.0,
            ungrouped_partition_states: if grouped { Vec::new() } else { ungrouped.collect() },
            topic_states: if grouped { self.topics.iter().map(topic_state).collect() } else { Vec::new() },
            live_leaders: self.live_leaders.iter().map(live_leader).collect(),
            ..Default::default()
        }
    }
}

fn state(partition: &LeaderAndIsrPartition, topic: Option<&Arc<str>>) -> LeaderAndIsrPartitionState {
    LeaderAndIsrPartitionState {
        topic_name: topic.map(text).unwrap_or_default(),
        partition_index: partition.index,
        controller_epoch: partition.controller_epoch.0,
        leader: partition.leader.0,
        leader_epoch: partition.leader_epoch.0,
        isr: ids(&partition.isr),
        partition_epoch: partition.partition_epoch.0,
        replicas: ids(&partition.replicas),
        adding_replicas: ids(&partition.adding_replicas),
        removing_replicas: ids(&partition.removing_replicas),
        is_new: partition.is_new,
        leader_recovery_state: partition.recovery_state.code(),
    }
}

fn live_leader(leader: &LiveLeader) -> LeaderAndIsrLiveLeader {
    LeaderAndIsrLiveLeader { broker_id: leader.id.0, host_name: text(&leader.host), port: leader.port }
}

impl FromWire<wire::LeaderAndIsrRequest> for LeaderAndIsrRequest {
    fn from_wire(message: &wire::LeaderAndIsrRequest, version: i16) -> Self {
        let topics = if GROUPED <= version {
            let topic = |topic: &LeaderAndIsrTopicState| LeaderAndIsrTopic {
                name: shared(&topic.topic_name),
                id: topic.topic_id,
                partitions: topic.partition_states.iter().map(partition).collect(),
            };
            message.topic_states.iter().map(topic).collect()
        } else {
            let flat = message.ungrouped_partition_states.iter();
            let flat = flat.map(|state| (state.topic_name.clone(), partition(state)));
            let topic = |(name, partitions)| LeaderAndIsrTopic { name, id: Uuid::ZERO, partitions };
            by_topic(flat).into_iter().map(topic).collect()
        };
        let live_leaders = message.live_leaders.iter().map(|leader| LiveLeader {
            id: NodeId(leader.broker_id),
            host: shared(&leader.host_name),
            port: leader.port,
        });
        Self {
            header: header(message.controller_id, message.controller_epoch, message.broker_epoch),
            topics,
            live_leaders: live_leaders.collect(),
        }
    }
}

fn partition(state: &LeaderAndIsrPartitionState) -> LeaderAndIsrPartition {
    LeaderAndIsrPartition {
        index: state.partition_index,
        controller_epoch: ControllerEpoch(state.controller_epoch),
        leader: NodeId(state.leader),
        leader_epoch: LeaderEpoch(state.leader_epoch),
        isr: nodes(&state.isr),
        partition_epoch: PartitionEpoch(state.partition_epoch),
        replicas: nodes(&state.replicas),
        adding_replicas: nodes(&state.adding_replicas),
        removing_replicas: nodes(&state.removing_replicas),
        is_new: state.is_new,
        recovery_state: recovery(state.leader_recovery_state),
    }
}

impl ToWire<wire::LeaderAndIsrResponse> for LeaderAndIsrResponse {
    fn to_wire(&self, version: i16) -> wire::LeaderAndIsrResponse {
        let by_id = TOPIC_IDS <= version;
        let error = |topic: &LeaderAndIsrTopicResult, result: &PartitionResult| LeaderAndIsrPartitionError {
            topic_name: if by_id { Default::default() } else { text(&topic.name) },
            partition_index: result.index,
            error_code: result.error.code(),
        };
        let errors = |topic: &LeaderAndIsrTopicResult| -> Vec<_> {
            topic.partitions.iter().map(|result| error(topic, result)).collect()
        };
        let topic = |topic: &LeaderAndIsrTopicResult| LeaderAndIsrTopicError {
            topic_id: topic.id,
            partition_errors: errors(topic),
        };
        wire::LeaderAndIsrResponse {
            error_code: self.error.code(),
            partition_errors: if by_id { Vec::new() } else { self.topics.iter().flat_map(errors).collect() },
            topics: if by_id { self.topics.iter().map(topic).collect() } else { Vec::new() },
        }
    }
}

impl FromWire<wire::LeaderAndIsrResponse> for LeaderAndIsrResponse {
    /// From version 5 on, names are empty: see [`name_results`].
    fn from_wire(message: &wire::LeaderAndIsrResponse, version: i16) -> Self {
        let result = |error: &LeaderAndIsrPartitionError| PartitionResult {
            index: error.partition_index,
            error: code(error.error_code),
        };
        let topics = if TOPIC_IDS <= version {
            let topic = |topic: &LeaderAndIsrTopicError| LeaderAndIsrTopicResult {
                name: Arc::default(),
                id: topic.topic_id,
                partitions: topic.partition_errors.iter().map(result).collect(),
            };
            message.topics.iter().map(topic).collect()
        } else {
            let flat = message.partition_errors.iter().map(|error| (error.topic_name.clone(), result(error)));
            let topic = |(name, partitions)| LeaderAndIsrTopicResult { name, id: Uuid::ZERO, partitions };
            by_topic(flat).into_iter().map(topic).collect()
        };
        Self { error: code(message.error_code), topics }
    }
}

/// Gives the results of topics that are known by id only the names that the request had for them.
pub fn name_results(response: &mut LeaderAndIsrResponse, request: &LeaderAndIsrRequest) {
    for result in response.topics.iter_mut().filter(|result| result.name.is_empty()) {
        if let Some(topic) = request.topics.iter().find(|topic| topic.id == result.id) {
            result.name = topic.name.clone();
        }
    }
}
