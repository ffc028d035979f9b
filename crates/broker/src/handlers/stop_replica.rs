//! StopReplica, versions 0 to 4: the controller makes this broker stop replicas, and delete some (KIP-570).

use whimbrel_model::ErrorCode;
use whimbrel_state::controller::control::{StopReplicaRequest as Meaning, StopReplicaResponse as Answer};
use whimbrel_wire::{StopReplicaRequest, StopReplicaResponse};

use super::RequestContext;
use crate::interbroker::convert::{FromWire, ToWire};

pub async fn handle(context: &RequestContext, request: StopReplicaRequest, version: i16) -> StopReplicaResponse {
    let answer = match context.broker().controller() {
        Some(controller) => controller.receiver().stop_replicas(Meaning::from_wire(&request, version)).await,
        None => None,
    };
    answer.unwrap_or(Answer { error: ErrorCode::UnknownServerError, topics: Vec::new() }).to_wire(version)
}
