//! LeaveGroup, versions 0 to 5: members leave a classic group. From version 3 several at once, and by instance id
//! (KIP-345); 5 adds the reason (KIP-800).

use whimbrel_model::ErrorCode;
use whimbrel_state::group::LeavingMember;
use whimbrel_wire::leave_group::{MemberIdentity, MemberResponse};
use whimbrel_wire::{LeaveGroupRequest, LeaveGroupResponse};

use super::RequestContext;

pub async fn handle(context: &RequestContext, request: LeaveGroupRequest, version: i16) -> LeaveGroupResponse {
    let members = if version < 3 {
        vec![MemberIdentity { member_id: request.member_id, ..Default::default() }]
    } else {
        request.members
    };
    for MemberIdentity { member_id, reason, .. } in &members {
        if let Some(reason) = reason {
            tracing::debug!(group = &*request.group_id, member = &**member_id, "leaves because: {reason}");
        }
    }
    let leaving: Vec<LeavingMember> = members
        .iter()
        .map(|member| LeavingMember {
            member_id: member.member_id.as_str().into(),
            instance_id: member.group_instance_id.as_deref().map(Into::into),
        })
        .collect();
    match context.broker().groups.leave(&request.group_id, &leaving) {
        // Old versions have one member, whose result is that of the request.
        Ok(results) if version < 3 => failed(results.first().copied().unwrap_or_default()),
        Ok(results) => LeaveGroupResponse {
            members: members
                .into_iter()
                .zip(results)
                .map(|(member, result)| MemberResponse {
                    member_id: member.member_id,
                    group_instance_id: member.group_instance_id,
                    error_code: result.code(),
                })
                .collect(),
            ..Default::default()
        },
        Err(error) => failed(error),
    }
}

fn failed(error: ErrorCode) -> LeaveGroupResponse {
    LeaveGroupResponse { error_code: error.code(), ..Default::default() }
}
