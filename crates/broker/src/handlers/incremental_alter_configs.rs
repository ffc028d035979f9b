//! IncrementalAlterConfigs, versions 0 and 1 (KIP-339): sets, deletes, appends to and subtracts from single settings.

use whimbrel_model::ErrorCode;
use whimbrel_wire::incremental_alter_configs::{AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig};
use whimbrel_wire::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use super::RequestContext;
use super::dynamic_config::{Named, Resource, Step, apply, change, check_entries, refuse_repeated, repeated};
use super::refusal::{Refusal, on_wire};
use crate::Broker;

/// Kafka's numbers of the operations (`AlterConfigOp.OpType`).
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub async fn handle(
    context: &RequestContext,
    request: IncrementalAlterConfigsRequest,
    _version: i16,
) -> IncrementalAlterConfigsResponse {
    let named: Vec<Named<'_>> =
        request.resources.iter().map(|one| Named { kind: one.resource_type, name: &one.resource_name }).collect();
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
    IncrementalAlterConfigsResponse { responses, ..Default::default() }
}

async fn alter(broker: &Broker, resource: &AlterConfigsResource, validate_only: bool) -> Result<(), Refusal> {
    let has_value = |entry: &AlterableConfig| entry.config_operation == DELETE || entry.value.is_some();
    check_entries(resource.configs.iter().map(|entry| (entry.name.as_str(), has_value(entry))))?;
    let target = Resource::parse(resource.resource_type, &resource.resource_name, broker.node_id)?;
    let steps = resource.configs.iter().map(step).collect::<Result<Vec<_>, _>>()?;
    change(broker, &target, validate_only, |overrides| apply(&target, &steps, overrides)).await
}

fn step(entry: &AlterableConfig) -> Result<Step, Refusal> {
    let key = entry.name.to_string();
    let value = entry.value.as_ref().map(ToString::to_string).unwrap_or_default();
    match entry.config_operation {
        SET => Ok(Step::Set(key, value)),
        DELETE => Ok(Step::Delete(key)),
        APPEND => Ok(Step::Append(key, value)),
        SUBTRACT => Ok(Step::Subtract(key, value)),
        other => Err(Refusal::new(ErrorCode::InvalidRequest, format!("unknown operation {other} on '{key}'"))),
    }
}
