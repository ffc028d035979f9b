//! InitProducerId, versions 0 to 5 (KIP-98, KIP-360), for idempotent producers.
//!
//! Transactions are not served. A request with a transactional id is answered `UnsupportedVersion`: Java's producer and
//! librdkafka both treat it as fatal and say so, where other codes would make one of them try for ever.

use std::time::Duration;

use tokio::time::Instant;
use whimbrel_model::{ErrorCode, ProducerId};
use whimbrel_wire::{InitProducerIdRequest, InitProducerIdResponse};

use super::RequestContext;
use crate::Broker;
use crate::coordination::CoordinationError;
use crate::interbroker::ToControllerError;

/// How long a client is kept waiting for the controller. It tries again afterwards.
const BLOCK_WAIT: Duration = Duration::from_secs(5);

pub async fn handle(context: &RequestContext, request: InitProducerIdRequest, _version: i16) -> InitProducerIdResponse {
    match check(&request) {
        Err(code) => refuse(code),
        Ok(()) => match next_producer_id(context.broker()).await {
            Ok(id) => InitProducerIdResponse { producer_id: id.0, producer_epoch: 0, ..Default::default() },
            Err(error) => {
                tracing::warn!("no producer id can be given: {error}");
                // Kafka's answer while it waits for a block of ids: clients try again.
                refuse(ErrorCode::CoordinatorLoadInProgress)
            }
        },
    }
}

/// Ids come in blocks: from coordination if this broker is the controller, else from the controller (KIP-730).
async fn next_producer_id(broker: &Broker) -> Result<ProducerId, NoProducerId> {
    let ask = async || {
        let (epoch, deadline) = (broker.coordination.broker_epoch(), Instant::now() + BLOCK_WAIT);
        let block = broker.to_controller.allocate_producer_ids(epoch, deadline).await?;
        Ok(block.map(|(first, count)| first.0..=first.0 + i64::from(count) - 1))
    };
    broker.coordination.next_producer_id(ask).await
}

/// Why there is no producer id.
#[derive(Debug, thiserror::Error)]
enum NoProducerId {
    #[error(transparent)]
    Coordination(#[from] CoordinationError),
    #[error(transparent)]
    Controller(#[from] ToControllerError),
}

/// A producer that names its old id and epoch gets a new id all the same, unless it has a transactional id.
fn check(request: &InitProducerIdRequest) -> Result<(), ErrorCode> {
    if (request.producer_id == -1) != (request.producer_epoch == -1) {
        return Err(ErrorCode::InvalidRequest);
    }
    match &request.transactional_id {
        None => Ok(()),
        Some(id) if id.is_empty() => Err(ErrorCode::InvalidRequest),
        Some(_) => Err(ErrorCode::UnsupportedVersion),
    }
}

fn refuse(code: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse { error_code: code.code(), producer_id: -1, producer_epoch: -1, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use whimbrel_wire::Str;

    use super::*;

    #[test]
    fn only_idempotent_producers_are_served() {
        let request = InitProducerIdRequest { transactional_id: None, ..Default::default() };
        assert_eq!(check(&InitProducerIdRequest { producer_id: -1, producer_epoch: -1, ..request.clone() }), Ok(()));
        assert_eq!(check(&InitProducerIdRequest { producer_id: 5, producer_epoch: 3, ..request.clone() }), Ok(()));
        let half = InitProducerIdRequest { producer_id: 5, producer_epoch: -1, ..request.clone() };
        assert_eq!(check(&half), Err(ErrorCode::InvalidRequest));
        let named = |id| InitProducerIdRequest { transactional_id: Some(Str::from_static(id)), ..request.clone() };
        assert_eq!(check(&named("")), Err(ErrorCode::InvalidRequest));
        assert_eq!(check(&named("t")), Err(ErrorCode::UnsupportedVersion));
    }
}
