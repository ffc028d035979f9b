//! StopReplica, versions 0 to 4. Up to version 2 one flag says whether all listed partitions are deleted, and there are
//! no leader epochs.

use whimbrel_model::LeaderEpoch;
use whimbrel_state::controller::control::{
    PartitionResult, StopReplicaPartition, StopReplicaRequest, StopReplicaResponse, StopReplicaTopic,
    StopReplicaTopicResult,
};
use whimbrel_wire::stop_replica::{
    self as wire, StopReplicaPartitionError, StopReplicaPartitionState, StopReplicaTopicState,
};

use super::ToWire;
use super::{FromWire, by_topic, code, header, shared, text};

/// From here on, each partition has its leader epoch and its own flag.
const STATES: i16 = 3;

impl ToWire<wire::StopReplicaRequest> for StopReplicaRequest {
    /// `version` is at least 3: the older ones cannot say which partitions are deleted.
    fn to_wire(&self, _version: i16) -> wire::StopReplicaRequest {
        let state = |partition: &StopReplicaPartition| StopReplicaPartitionState {
            partition_index: partition.index,
            leader_epoch: partition.leader_epoch.0,
            delete_partition: partition.delete,
        };
        let topic_state = |topic: &StopReplicaTopic| StopReplicaTopicState {
            topic_name: text(&topic.name),
            partition_states: topic.partitions.iter().map(state).collect(),
        };
        wire::StopReplicaRequest {
            controller_id: self.header.controller_id.0,
            controller_epoch: self.header.controller_epoch.0,
            broker_epoch: self.header.broker_epoch.0,
            topic_states: self.topics.iter().map(topic_state).collect(),
            ..Default::default()
        }
    }
}

impl FromWire<wire::StopReplicaRequest> for StopReplicaRequest {
    fn from_wire(message: &wire::StopReplicaRequest, version: i16) -> Self {
        Self {
            header: header(message.controller_id, message.controller_epoch, message.broker_epoch),
            topics: match version {
                0 => ungrouped(message),
                1..STATES => grouped(message),
                _ => with_states(message),
            },
        }
    }
}

/// A partition of a version without states.
fn stateless(index: i32, delete: bool) -> StopReplicaPartition {
    StopReplicaPartition { index, leader_epoch: LeaderEpoch::NONE, delete }
}

fn ungrouped(message: &wire::StopReplicaRequest) -> Vec<StopReplicaTopic> {
    let delete = message.delete_partitions;
    let flat = message.ungrouped_partitions.iter();
    let flat = flat.map(|partition| (partition.topic_name.clone(), stateless(partition.partition_index, delete)));
    by_topic(flat).into_iter().map(|(name, partitions)| StopReplicaTopic { name, partitions }).collect()
}

fn grouped(message: &wire::StopReplicaRequest) -> Vec<StopReplicaTopic> {
    let topic = |topic: &wire::StopReplicaTopicV1| StopReplicaTopic {
        name: shared(&topic.name),
        partitions: topic.partition_indexes.iter().map(|index| stateless(*index, message.delete_partitions)).collect(),
    };
    message.topics.iter().map(topic).collect()
}

fn with_states(message: &wire::StopReplicaRequest) -> Vec<StopReplicaTopic> {
    let partition = |state: &StopReplicaPartitionState| StopReplicaPartition {
        index: state.partition_index,
        leader_epoch: LeaderEpoch(state.leader_epoch),
        delete: state.delete_partition,
    };
    let topic = |topic: &StopReplicaTopicState| StopReplicaTopic {
        name: shared(&topic.topic_name),
        partitions: topic.partition_states.iter().map(partition).collect(),
    };
    message.topic_states.iter().map(topic).collect()
}

impl ToWire<wire::StopReplicaResponse> for StopReplicaResponse {
    fn to_wire(&self, _version: i16) -> wire::StopReplicaResponse {
        let errors = |topic: &StopReplicaTopicResult| -> Vec<_> {
            let error = |result: &PartitionResult| StopReplicaPartitionError {
                topic_name: text(&topic.name),
                partition_index: result.index,
                error_code: result.error.code(),
            };
            topic.partitions.iter().map(error).collect()
        };
        wire::StopReplicaResponse {
            error_code: self.error.code(),
            partition_errors: self.topics.iter().flat_map(errors).collect(),
        }
    }
}

impl FromWire<wire::StopReplicaResponse> for StopReplicaResponse {
    fn from_wire(message: &wire::StopReplicaResponse, _version: i16) -> Self {
        let result = |error: &StopReplicaPartitionError| PartitionResult {
            index: error.partition_index,
            error: code(error.error_code),
        };
        let flat = message.partition_errors.iter().map(|error| (error.topic_name.clone(), result(error)));
        let topic = |(name, partitions)| StopReplicaTopicResult { name, partitions };
        Self { error: code(message.error_code), topics: by_topic(flat).into_iter().map(topic).collect() }
    }
}
