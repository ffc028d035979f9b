//! LeaderAndIsr, versions 0 to 7: the controller makes this broker leader or follower of partitions.
//!
//! The request is answered once logs are open and roles are taken, and before the next of the controller's requests is
//! looked at.

use whimbrel_model::ErrorCode;
use whimbrel_state::controller::control::{LeaderAndIsrRequest as Meaning, LeaderAndIsrResponse as Answer};
use whimbrel_wire::{LeaderAndIsrRequest, LeaderAndIsrResponse};

use super::RequestContext;
use crate::interbroker::convert::{FromWire, ToWire};

pub async fn handle(context: &RequestContext, request: LeaderAndIsrRequest, version: i16) -> LeaderAndIsrResponse {
    let answer = match context.broker().controller() {
        Some(controller) => controller.receiver().leader_and_isr(Meaning::from_wire(&request, version)).await,
        None => None,
    };
    answer.unwrap_or(Answer { error: ErrorCode::UnknownServerError, topics: Vec::new() }).to_wire(version)
}
