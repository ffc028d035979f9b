//! ControlledShutdown, versions 0 to 3.

use whimbrel_model::{BrokerEpoch, NodeId, TopicPartition};
use whimbrel_state::controller::control::{ControlledShutdownRequest, ControlledShutdownResponse};
use whimbrel_wire::controlled_shutdown::{self as wire, RemainingPartition};

use super::{FromWire, ToWire, code, shared, text};

impl ToWire<wire::ControlledShutdownRequest> for ControlledShutdownRequest {
    fn to_wire(&self, _version: i16) -> wire::ControlledShutdownRequest {
        wire::ControlledShutdownRequest { broker_id: self.broker.0, broker_epoch: self.broker_epoch.0 }
    }
}

impl FromWire<wire::ControlledShutdownRequest> for ControlledShutdownRequest {
    fn from_wire(message: &wire::ControlledShutdownRequest, _version: i16) -> Self {
        Self { broker: NodeId(message.broker_id), broker_epoch: BrokerEpoch(message.broker_epoch) }
    }
}

impl ToWire<wire::ControlledShutdownResponse> for ControlledShutdownResponse {
    fn to_wire(&self, _version: i16) -> wire::ControlledShutdownResponse {
        let remaining = |partition: &TopicPartition| RemainingPartition {
            topic_name: text(&partition.topic),
            partition_index: partition.partition,
        };
        wire::ControlledShutdownResponse {
            error_code: self.error.code(),
            remaining_partitions: self.remaining.iter().map(remaining).collect(),
        }
    }
}

impl FromWire<wire::ControlledShutdownResponse> for ControlledShutdownResponse {
    fn from_wire(message: &wire::ControlledShutdownResponse, _version: i16) -> Self {
        let partition = |partition: &RemainingPartition| {
            TopicPartition::new(shared(&partition.topic_name), partition.partition_index)
        };
        Self {
            error: code(message.error_code),
            remaining: message.remaining_partitions.iter().map(partition).collect(),
        }
    }
}
