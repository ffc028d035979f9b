//! DescribeGroups, versions 0 to 6: state and members of classic groups (KIP-430, KIP-345). From version 6 a group that
//! does not exist is an error (KIP-1043); before it is shown as dead.

use whimbrel_model::ErrorCode;
use whimbrel_state::group::{GroupDescription, GroupState, MemberDescription};
use whimbrel_wire::describe_groups::{DescribedGroup, DescribedGroupMember};
use whimbrel_wire::{DescribeGroupsRequest, DescribeGroupsResponse, Str};

use super::{RequestContext, authorized_operations};
use crate::group_coordinator::EmptyGroupId;

pub async fn handle(context: &RequestContext, request: DescribeGroupsRequest, version: i16) -> DescribeGroupsResponse {
    let with_operations = request.include_authorized_operations;
    let groups = request.groups.into_iter().map(|group_id| {
        let group = describe(context, group_id, version);
        let shows_operations = with_operations && group.error_code == ErrorCode::None.code();
        let operations = if shows_operations { authorized_operations::GROUP } else { authorized_operations::NOT_ASKED };
        DescribedGroup { authorized_operations: operations, ..group }
    });
    DescribeGroupsResponse { throttle_time_ms: 0, groups: groups.collect() }
}

fn describe(context: &RequestContext, group_id: Str, version: i16) -> DescribedGroup {
    let described = context
        .broker()
        .groups
        .read_group(&group_id, EmptyGroupId::Allowed, |group| group.map(whimbrel_state::group::Group::describe));
    match described {
        Ok(Some(description)) => found(group_id, description),
        Ok(None) if version >= 6 => DescribedGroup {
            error_code: ErrorCode::GroupIdNotFound.code(),
            error_message: Some(format!("group {group_id} not found").into()),
            group_id,
            group_state: Str::from_static(GroupState::Dead.name()),
            ..Default::default()
        },
        Ok(None) => {
            DescribedGroup { group_id, group_state: Str::from_static(GroupState::Dead.name()), ..Default::default() }
        }
        Err(error) => DescribedGroup { error_code: error.code(), group_id, ..Default::default() },
    }
}

fn found(group_id: Str, description: GroupDescription) -> DescribedGroup {
    DescribedGroup {
        group_id,
        group_state: Str::from_static(description.state.name()),
        protocol_type: Str::from(description.protocol_type),
        protocol_data: Str::from(description.protocol_name),
        members: description.members.into_iter().map(member).collect(),
        ..Default::default()
    }
}

fn member(member: MemberDescription) -> DescribedGroupMember {
    DescribedGroupMember {
        member_id: Str::from(member.member_id),
        group_instance_id: member.instance_id.map(Str::from),
        client_id: Str::from(member.client_id),
        client_host: Str::from(member.client_host),
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    }
}
