//! AllocateProducerIds, version 0: a broker asks this controller for a block of producer ids (KIP-730).

use whimbrel_model::{BrokerEpoch, ErrorCode, NodeId};
use whimbrel_wire::{AllocateProducerIdsRequest, AllocateProducerIdsResponse};

use super::{RequestContext, ToErrorCode};

pub async fn handle(
    context: &RequestContext,
    request: AllocateProducerIdsRequest,
    _version: i16,
) -> AllocateProducerIdsResponse {
    let broker = context.broker();
    if !broker.is_active_controller() {
        return refuse(ErrorCode::NotController);
    }
    let (id, epoch) = (NodeId(request.broker_id), BrokerEpoch(request.broker_epoch));
    match broker.coordination.producer_ids_for(id, epoch).await {
        Ok(Ok(block)) => AllocateProducerIdsResponse {
            producer_id_start: *block.start(),
            // A block has a thousand ids.
            producer_id_len: i32::try_from(block.count()).unwrap_or(0),
            ..Default::default()
        },
        Ok(Err(refusal)) => refuse(refusal.error_code()),
        Err(error) => {
            tracing::warn!(broker = id.0, "no producer ids can be given: {error}");
            refuse(ErrorCode::UnknownServerError)
        }
    }
}

fn refuse(code: ErrorCode) -> AllocateProducerIdsResponse {
    AllocateProducerIdsResponse { error_code: code.code(), ..Default::default() }
}
