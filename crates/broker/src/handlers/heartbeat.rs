//! Heartbeat, versions 0 to 4: a member of a classic group says that it is alive (KIP-62, KIP-345).

use whimbrel_wire::{HeartbeatRequest, HeartbeatResponse};

use super::RequestContext;

pub async fn handle(context: &RequestContext, request: HeartbeatRequest, _version: i16) -> HeartbeatResponse {
    let HeartbeatRequest { group_id, generation_id, member_id, group_instance_id } = &request;
    let instance_id = group_instance_id.as_deref();
    let outcome = context.broker().groups.heartbeat(group_id, member_id, instance_id, *generation_id);
    HeartbeatResponse { error_code: outcome.err().unwrap_or_default().code(), throttle_time_ms: 0 }
}
