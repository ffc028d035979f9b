//! UpdateMetadata, versions 0 to 8: the controller says who is alive and who leads.

use whimbrel_model::ErrorCode;
use whimbrel_state::controller::control::{UpdateMetadataRequest as Meaning, UpdateMetadataResponse as Answer};
use whimbrel_wire::{UpdateMetadataRequest, UpdateMetadataResponse};

use super::RequestContext;
use crate::interbroker::convert::{FromWire, ToWire};

pub async fn handle(context: &RequestContext, request: UpdateMetadataRequest, version: i16) -> UpdateMetadataResponse {
    let answer = match context.broker().controller() {
        Some(controller) => controller.receiver().update_metadata(Meaning::from_wire(&request, version)).await,
        None => None,
    };
    answer.unwrap_or(Answer { error: ErrorCode::UnknownServerError }).to_wire(version)
}
