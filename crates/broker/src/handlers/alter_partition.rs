//! AlterPartition, versions 0 to 3: a leader asks this controller for another ISR (KIP-497, KIP-704, KIP-841, KIP-903).

use whimbrel_model::ErrorCode;
use whimbrel_state::controller::control::{
    AlterPartitionRequest as Meaning, AlterPartitionResponse as Answer, ControllerRequest, ControllerResponse,
};
use whimbrel_wire::{AlterPartitionRequest, AlterPartitionResponse};

use super::RequestContext;
use crate::interbroker::convert::{FromWire, ToWire};

pub async fn handle(context: &RequestContext, request: AlterPartitionRequest, version: i16) -> AlterPartitionResponse {
    let request = ControllerRequest::AlterPartition(Meaning::from_wire(&request, version));
    let answer = match context.broker().ask_own_controller(request).await {
        Some(ControllerResponse::AlterPartition(answer)) => answer,
        _ => Answer { error: ErrorCode::NotController, topics: Vec::new() },
    };
    answer.to_wire(version)
}
