//! Between the meanings of requests (`whimbrel_state::controller::control`) and their wire forms in every version.
//!
//! What is sent has the version that Kafka 3.9 sends at its own inter-broker protocol; what is received may have any.

mod alter_partition;
mod controlled_shutdown;
mod leader_and_isr;
mod stop_replica;
#[cfg(test)]
mod tests;
mod update_metadata;

use std::sync::Arc;

use whimbrel_model::{BrokerEpoch, ControllerEpoch, ErrorCode, NodeId};
use whimbrel_state::controller::control::{ControlHeader, LeaderRecoveryState};
use whimbrel_wire::Str;

pub use leader_and_isr::name_results;
pub use update_metadata::EncodedUpdate;

/// Has a wire form. `version` is that of the request.
pub trait ToWire<W> {
    fn to_wire(&self, version: i16) -> W;
}

/// Comes from a wire form. `version` is that of the request.
pub trait FromWire<W> {
    fn from_wire(message: &W, version: i16) -> Self;
}

/// The versions that this broker sends: those of Kafka 3.9 at inter-broker protocol 3.9.
pub mod sent {
    pub const LEADER_AND_ISR: i16 = 7;
    pub const STOP_REPLICA: i16 = 4;
    pub const UPDATE_METADATA: i16 = 8;
    pub const CONTROLLED_SHUTDOWN: i16 = 3;
    pub const ALTER_PARTITION: i16 = 3;
    pub const ALLOCATE_PRODUCER_IDS: i16 = 0;
}

fn header(controller_id: i32, controller_epoch: i32, broker_epoch: i64) -> ControlHeader {
    ControlHeader {
        controller_id: NodeId(controller_id),
        controller_epoch: ControllerEpoch(controller_epoch),
        broker_epoch: BrokerEpoch(broker_epoch),
    }
}

fn nodes(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

fn ids(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|node| node.0).collect()
}

fn text(text: &Arc<str>) -> Str {
    Str::from(&**text)
}

fn shared(text: &Str) -> Arc<str> {
    Arc::from(text.as_str())
}

/// A code that Kafka does not define counts as an unknown error.
fn code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code)
}

/// A state that is not Kafka's counts as the normal one: only the other has consequences.
fn recovery(code: i8) -> LeaderRecoveryState {
    LeaderRecoveryState::from_code(code).unwrap_or_default()
}

/// Consecutive and other elements of the same topic together, topics in the order of their first element.
fn by_topic<T>(flat: impl Iterator<Item = (Str, T)>) -> Vec<(Arc<str>, Vec<T>)> {
    let mut topics: Vec<(Arc<str>, Vec<T>)> = Vec::new();
    let mut places = foldhash::HashMap::<Str, usize>::default();
    for (name, element) in flat {
        let place = *places.entry(name.clone()).or_insert_with(|| {
            topics.push((shared(&name), Vec::new()));
            topics.len() - 1
        });
        if let Some((_, elements)) = topics.get_mut(place) {
            elements.push(element);
        }
    }
    topics
}
