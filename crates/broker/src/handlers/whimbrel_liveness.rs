//! WhimbrelLiveness, version 0: another broker of Whimbrel asks whether this one is alive, and what it sees of others
//! (docs/adr/0007).

use whimbrel_model::NodeId;
use whimbrel_state::liveness::Sighting;
use whimbrel_wire::whimbrel_liveness::WhimbrelSighting;
use whimbrel_wire::{WhimbrelLivenessRequest, WhimbrelLivenessResponse};

use super::RequestContext;

pub async fn handle(
    context: &RequestContext,
    request: WhimbrelLivenessRequest,
    _version: i16,
) -> WhimbrelLivenessResponse {
    let broker = context.broker();
    let suspects: Vec<NodeId> = request.suspects.iter().copied().map(NodeId).collect();
    let sightings = broker.liveness().map(|monitor| monitor.sightings(&suspects)).unwrap_or_default();
    let sighting = |sighting: Sighting| WhimbrelSighting {
        broker_id: sighting.broker.0,
        silent_ms: i32::try_from(sighting.silent_for.as_millis()).unwrap_or(i32::MAX),
        is_refused: sighting.is_refused,
    };
    WhimbrelLivenessResponse {
        error_code: 0,
        broker_epoch: broker.coordination.broker_epoch().0,
        sightings: sightings.into_iter().map(sighting).collect(),
    }
}
