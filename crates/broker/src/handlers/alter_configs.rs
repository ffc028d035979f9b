//! AlterConfigs, versions 0 to 2 (KIP-133): replaces all overrides of a resource by those of the request.

use whimbrel_wire::alter_configs::{AlterConfigsResource, AlterConfigsResourceResponse};
use whimbrel_wire::{AlterConfigsRequest, AlterConfigsResponse};

use super::RequestContext;
use super::dynamic_config::{Named, Resource, change, check_entries, refuse_repeated, repeated};
use super::refusal::{Refusal, on_wire};
use crate::Broker;
use crate::coordination::Overrides;

pub async fn handle(context: &RequestContext, request: AlterConfigsRequest, _version: i16) -> AlterConfigsResponse {
    let named = |one: &'_ AlterConfigsResource| (one.resource_type, one.resource_name.to_string());
    let names: Vec<(i8, String)> = request.resources.iter().map(named).collect();
    let named: Vec<Named<'_>> = names.iter().map(|(kind, name)| Named { kind: *kind, name }).collect();
    let mut responses = Vec::with_capacity(request.resources.len());
    for (resource, is_repeated) in request.resources.iter().zip(repeated(&named)) {
        let result = if is_repeated {
            Err(refuse_repeated())
        } else {
            alter(context.broker(), resource, request.validate_only).await
        };
        let (error_code, error_message) = on_wire(&result);
        responses.push(AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
        });
    }
    AlterConfigsResponse { responses, ..Default::default() }
}

async fn alter(broker: &Broker, resource: &AlterConfigsResource, validate_only: bool) -> Result<(), Refusal> {
    check_entries(resource.configs.iter().map(|entry| (entry.name.as_str(), entry.value.is_some())))?;
    let target = Resource::parse(resource.resource_type, &resource.resource_name, broker.node_id)?;
    let pair = |entry: &whimbrel_wire::alter_configs::AlterableConfig| {
        Some((entry.name.to_string(), entry.value.as_ref()?.to_string()))
    };
    let overrides: Overrides = resource.configs.iter().filter_map(pair).collect();
    change(broker, &target, validate_only, |_| Ok(overrides.clone())).await
}
