//! AlterPartition, versions 0 to 3. Up to version 1 topics have names, from version 2 on ids; version 3 has the
//! incarnations of ISR members (KIP-903).

use whimbrel_model::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, PartitionEpoch};
use whimbrel_state::controller::control::{
    AlterPartitionData, AlterPartitionError, AlterPartitionRequest, AlterPartitionResponse, AlterPartitionResult,
    AlterPartitionTopic, AlterPartitionTopicResult, AlteredPartition, IsrMember,
};
use whimbrel_wire::alter_partition::{self as wire, response};

use super::{FromWire, ToWire, code, ids, nodes, recovery, shared, text};

/// From here on, topics are named by id.
const TOPIC_IDS: i16 = 2;
/// From here on, ISR members have epochs.
const MEMBER_EPOCHS: i16 = 3;

impl ToWire<wire::AlterPartitionRequest> for AlterPartitionRequest {
    fn to_wire(&self, version: i16) -> wire::AlterPartitionRequest {
        let partition = |partition: &AlterPartitionData| data(partition, version);
        let topic = |topic: &AlterPartitionTopic| wire::TopicData {
            topic_name: text(&topic.name),
            topic_id: topic.id,
            partitions: topic.partitions.iter().map(partition).collect(),
        };
        wire::AlterPartitionRequest {
            broker_id: self.broker.0,
            broker_epoch: self.broker_epoch.0,
            topics: self.topics.iter().map(topic).collect(),
        }
    }
}

fn data(partition: &AlterPartitionData, version: i16) -> wire::PartitionData {
    let with_epochs = MEMBER_EPOCHS <= version;
    let member = |member: &IsrMember| wire::BrokerState { broker_id: member.broker.0, broker_epoch: member.epoch.0 };
    let members = partition.new_isr.iter();
    wire::PartitionData {
        partition_index: partition.index,
        leader_epoch: partition.leader_epoch.0,
        new_isr: if with_epochs { Vec::new() } else { members.clone().map(|member| member.broker.0).collect() },
        new_isr_with_epochs: if with_epochs { members.map(member).collect() } else { Vec::new() },
        leader_recovery_state: partition.recovery_state.code(),
        partition_epoch: partition.partition_epoch.0,
    }
}

impl FromWire<wire::AlterPartitionRequest> for AlterPartitionRequest {
    fn from_wire(message: &wire::AlterPartitionRequest, version: i16) -> Self {
        let partition = |data: &wire::PartitionData| AlterPartitionData {
            index: data.partition_index,
            leader_epoch: LeaderEpoch(data.leader_epoch),
            new_isr: members(data, version),
            recovery_state: recovery(data.leader_recovery_state),
            partition_epoch: PartitionEpoch(data.partition_epoch),
        };
        let topic = |topic: &wire::TopicData| AlterPartitionTopic {
            name: shared(&topic.topic_name),
            id: topic.topic_id,
            partitions: topic.partitions.iter().map(partition).collect(),
        };
        Self {
            broker: NodeId(message.broker_id),
            broker_epoch: BrokerEpoch(message.broker_epoch),
            topics: message.topics.iter().map(topic).collect(),
        }
    }
}

fn members(data: &wire::PartitionData, version: i16) -> Vec<IsrMember> {
    if version < MEMBER_EPOCHS {
        let member = |id: &i32| IsrMember { broker: NodeId(*id), epoch: BrokerEpoch(-1) };
        return data.new_isr.iter().map(member).collect();
    }
    let member = |state: &wire::BrokerState| IsrMember {
        broker: NodeId(state.broker_id),
        epoch: BrokerEpoch(state.broker_epoch),
    };
    data.new_isr_with_epochs.iter().map(member).collect()
}

impl ToWire<wire::AlterPartitionResponse> for AlterPartitionResponse {
    fn to_wire(&self, version: i16) -> wire::AlterPartitionResponse {
        let partition = |result: &AlterPartitionResult| match &result.result {
            Ok(altered) => response::PartitionData {
                partition_index: result.index,
                leader_id: altered.leader.0,
                leader_epoch: altered.leader_epoch.0,
                isr: ids(&altered.isr),
                leader_recovery_state: altered.recovery_state.code(),
                partition_epoch: altered.partition_epoch.0,
                ..Default::default()
            },
            Err(error) => response::PartitionData {
                partition_index: result.index,
                error_code: error_code(*error, version).code(),
                ..Default::default()
            },
        };
        let topic = |topic: &AlterPartitionTopicResult| response::TopicData {
            topic_name: text(&topic.name),
            topic_id: topic.id,
            partitions: topic.partitions.iter().map(partition).collect(),
        };
        wire::AlterPartitionResponse {
            throttle_time_ms: 0,
            error_code: self.error.code(),
            topics: self.topics.iter().map(topic).collect(),
        }
    }
}

/// As `KafkaController.tryProcessAlterPartition` answers.
const fn error_code(error: AlterPartitionError, version: i16) -> ErrorCode {
    match error {
        AlterPartitionError::UnknownTopicId if version < TOPIC_IDS => ErrorCode::UnknownTopicOrPartition,
        AlterPartitionError::UnknownTopicId => ErrorCode::UnknownTopicId,
        AlterPartitionError::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
        AlterPartitionError::StaleController => ErrorCode::NotController,
        AlterPartitionError::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
        AlterPartitionError::StalePartitionEpoch => ErrorCode::InvalidUpdateVersion,
        AlterPartitionError::InvalidRequest => ErrorCode::InvalidRequest,
        // The code came with version 2; leaders that speak older ones know this one as "try again later".
        AlterPartitionError::IneligibleReplica if version < TOPIC_IDS => ErrorCode::OperationNotAttempted,
        AlterPartitionError::IneligibleReplica => ErrorCode::IneligibleReplica,
    }
}

/// What an error code means to a leader. A code that is not listed says nothing about the partition: the leader asks
/// again, as after a stale partition epoch it learns the state from the next LeaderAndIsr.
const fn error(code: ErrorCode) -> AlterPartitionError {
    match code {
        ErrorCode::UnknownTopicId => AlterPartitionError::UnknownTopicId,
        ErrorCode::UnknownTopicOrPartition => AlterPartitionError::UnknownPartition,
        ErrorCode::FencedLeaderEpoch | ErrorCode::NewLeaderElected => AlterPartitionError::FencedLeaderEpoch,
        ErrorCode::InvalidUpdateVersion => AlterPartitionError::StalePartitionEpoch,
        ErrorCode::InvalidRequest => AlterPartitionError::InvalidRequest,
        ErrorCode::IneligibleReplica | ErrorCode::OperationNotAttempted => AlterPartitionError::IneligibleReplica,
        _ => AlterPartitionError::StaleController,
    }
}

impl FromWire<wire::AlterPartitionResponse> for AlterPartitionResponse {
    fn from_wire(message: &wire::AlterPartitionResponse, _version: i16) -> Self {
        let partition = |data: &response::PartitionData| AlterPartitionResult {
            index: data.partition_index,
            result: match code(data.error_code) {
                ErrorCode::None => Ok(AlteredPartition {
                    leader: NodeId(data.leader_id),
                    leader_epoch: LeaderEpoch(data.leader_epoch),
                    isr: nodes(&data.isr),
                    recovery_state: recovery(data.leader_recovery_state),
                    partition_epoch: PartitionEpoch(data.partition_epoch),
                }),
                refused => Err(error(refused)),
            },
        };
        let topic = |topic: &response::TopicData| AlterPartitionTopicResult {
            name: shared(&topic.topic_name),
            id: topic.topic_id,
            partitions: topic.partitions.iter().map(partition).collect(),
        };
        Self { error: code(message.error_code), topics: message.topics.iter().map(topic).collect() }
    }
}
