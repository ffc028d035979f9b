//! ControlledShutdown, versions 0 to 3: a broker that is about to stop asks this controller for its leaderships to be
//! moved (KIP-380).

use whimbrel_model::ErrorCode;
use whimbrel_state::controller::control::{
    ControlledShutdownRequest as Meaning, ControlledShutdownResponse as Answer, ControllerRequest, ControllerResponse,
};
use whimbrel_wire::{ControlledShutdownRequest, ControlledShutdownResponse};

use super::RequestContext;
use crate::interbroker::convert::{FromWire, ToWire};

pub async fn handle(
    context: &RequestContext,
    request: ControlledShutdownRequest,
    version: i16,
) -> ControlledShutdownResponse {
    let request = ControllerRequest::ControlledShutdown(Meaning::from_wire(&request, version));
    let answer = match context.broker().ask_own_controller(request).await {
        Some(ControllerResponse::ControlledShutdown(answer)) => answer,
        _ => Answer { error: ErrorCode::NotController, remaining: Vec::new() },
    };
    answer.to_wire(version)
}
