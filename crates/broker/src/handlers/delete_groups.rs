//! DeleteGroups, versions 0 to 2: deletes groups without members, with their offsets (KIP-229).

use std::collections::BTreeSet;

use whimbrel_wire::delete_groups::DeletableGroupResult;
use whimbrel_wire::{DeleteGroupsRequest, DeleteGroupsResponse};

use super::RequestContext;

pub async fn handle(context: &RequestContext, request: DeleteGroupsRequest, _version: i16) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    let mut seen = BTreeSet::new();
    for group_id in request.groups_names {
        // A group that is named twice has one result.
        if !seen.insert(group_id.clone()) {
            continue;
        }
        let outcome = context.broker().groups.delete_group(&group_id).await;
        results.push(DeletableGroupResult { group_id, error_code: outcome.err().unwrap_or_default().code() });
    }
    DeleteGroupsResponse { throttle_time_ms: 0, results }
}
