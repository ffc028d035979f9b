//! ListGroups, versions 0 to 5: the groups that this broker coordinates, by state (KIP-518) and type (KIP-848).

use whimbrel_state::group::GroupOverview;
use whimbrel_wire::list_groups::ListedGroup;
use whimbrel_wire::{ListGroupsRequest, ListGroupsResponse, Str};

use super::RequestContext;

/// The only type of group that there is here.
const CLASSIC: &str = "classic";

pub async fn handle(context: &RequestContext, request: ListGroupsRequest, _version: i16) -> ListGroupsResponse {
    let is_wanted = |group: &GroupOverview| {
        matches(&request.states_filter, group.state.name()) && matches(&request.types_filter, CLASSIC)
    };
    match context.broker().groups.list() {
        Ok((code, groups)) => ListGroupsResponse {
            throttle_time_ms: 0,
            error_code: code.code(),
            groups: groups.into_iter().filter(is_wanted).map(listed).collect(),
        },
        Err(error) => ListGroupsResponse { error_code: error.code(), ..Default::default() },
    }
}

/// An empty filter lets everything pass; letters match in either case.
fn matches(filter: &[Str], value: &str) -> bool {
    filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
}

fn listed(group: GroupOverview) -> ListedGroup {
    ListedGroup {
        group_id: Str::from(group.group_id),
        protocol_type: Str::from(group.protocol_type),
        group_state: Str::from_static(group.state.name()),
        group_type: Str::from_static(CLASSIC),
    }
}
