//! JoinGroup, versions 0 to 9: a member joins a classic group, or rejoins it for the next generation.
//!
//! From version 4 a new dynamic member gets its id first (KIP-394), 5 has static members (KIP-345), 9 tells a returning
//! static leader not to assign (KIP-814). Answered when the rebalance has completed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use whimbrel_state::group::{JoinRequest, JoinResponse, Protocol};
use whimbrel_wire::join_group::{JoinGroupRequestProtocol, JoinGroupResponseMember};
use whimbrel_wire::{JoinGroupRequest, JoinGroupResponse, Str};

use super::RequestContext;

pub async fn handle(context: &RequestContext, request: JoinGroupRequest, version: i16) -> JoinGroupResponse {
    let group_id = request.group_id.clone();
    let member_id = request.member_id.clone();
    if let Some(reason) = &request.reason {
        tracing::debug!(group = &*group_id, member = &*member_id, "joins because: {reason}");
    }
    let request = to_state(context, request, version);
    match context.broker().groups.join(&group_id, request).await {
        Ok(response) => from_state(response, version),
        Err(error) => JoinGroupResponse {
            error_code: error.code(),
            member_id,
            protocol_name: no_protocol(version),
            ..Default::default()
        },
    }
}

/// What outlives the request is copied, so that a member does not keep the whole frame in memory.
fn to_state(context: &RequestContext, request: JoinGroupRequest, version: i16) -> JoinRequest {
    let session_timeout = duration(request.session_timeout_ms);
    let instance_id: Option<Arc<str>> = request.group_instance_id.map(Into::into);
    let prefix = instance_id.as_deref().unwrap_or(context.client_id());
    let protocol = |protocol: JoinGroupRequestProtocol| Protocol {
        name: protocol.name.into(),
        metadata: Bytes::copy_from_slice(&protocol.metadata),
    };
    JoinRequest {
        member_id: request.member_id.into(),
        fresh_member_id: format!("{prefix}-{}", random_uuid()).into(),
        requires_known_member_id: version >= 4 && instance_id.is_none(),
        supports_skipping_assignment: version >= 9,
        client_id: context.client_id().into(),
        client_host: context.client_host().into(),
        session_timeout,
        // Version 0 is from when a rebalance could take as long as a session.
        rebalance_timeout: if version == 0 { session_timeout } else { duration(request.rebalance_timeout_ms) },
        protocol_type: request.protocol_type.into(),
        protocols: request.protocols.into_iter().map(protocol).collect(),
        instance_id,
    }
}

fn from_state(response: JoinResponse, version: i16) -> JoinGroupResponse {
    let members = response.members.into_iter().map(|member| JoinGroupResponseMember {
        member_id: Str::from(member.member_id),
        group_instance_id: member.instance_id.map(Str::from),
        metadata: member.metadata,
    });
    JoinGroupResponse {
        throttle_time_ms: 0,
        error_code: response.error.code(),
        generation_id: response.generation,
        protocol_type: response.protocol_type.map(Str::from),
        protocol_name: response.protocol_name.map(Str::from).or_else(|| no_protocol(version)),
        leader: Str::from(response.leader),
        skip_assignment: response.skip_assignment,
        member_id: Str::from(response.member_id),
        members: members.collect(),
    }
}

/// Before version 7 the name of the protocol cannot be null.
fn no_protocol(version: i16) -> Option<Str> {
    (version < 7).then(Str::default)
}

/// A time-out that is below zero is refused like one of zero.
fn duration(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// As Java prints a random UUID (version 4).
fn random_uuid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    #[test]
    fn member_ids_end_with_a_uuid_as_java_prints_it() {
        let id = super::random_uuid();
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&id.as_bytes()[19]));
    }
}
