//! SyncGroup, versions 0 to 5: the leader of a generation hands in its assignment, the members ask for theirs (KIP-345;
//! from version 5 with the protocol that was chosen, KIP-559). Answered when the assignment is in the log.

use bytes::Bytes;
use whimbrel_model::ErrorCode;
use whimbrel_state::group::SyncRequest;
use whimbrel_wire::{Str, SyncGroupRequest, SyncGroupResponse};

use super::RequestContext;

pub async fn handle(context: &RequestContext, request: SyncGroupRequest, version: i16) -> SyncGroupResponse {
    // Both are mandatory from version 5 on.
    if version >= 5 && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
        return failed(ErrorCode::InconsistentGroupProtocol);
    }
    let group_id = request.group_id.clone();
    let assignments = request.assignments.into_iter();
    let request = SyncRequest {
        member_id: request.member_id.into(),
        instance_id: request.group_instance_id.map(Into::into),
        generation: request.generation_id,
        protocol_type: request.protocol_type.map(Into::into),
        protocol_name: request.protocol_name.map(Into::into),
        // Copied, since the members keep them for as long as the generation lasts.
        assignments: assignments.map(|a| (a.member_id.into(), Bytes::copy_from_slice(&a.assignment))).collect(),
    };
    match context.broker().groups.sync(&group_id, request).await {
        Ok(response) => SyncGroupResponse {
            throttle_time_ms: 0,
            error_code: response.error.code(),
            protocol_type: response.protocol_type.map(Str::from),
            protocol_name: response.protocol_name.map(Str::from),
            assignment: response.assignment,
        },
        Err(error) => failed(error),
    }
}

fn failed(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse { error_code: error.code(), ..Default::default() }
}
