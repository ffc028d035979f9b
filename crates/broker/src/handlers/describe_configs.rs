//! DescribeConfigs, versions 0 to 4 (KIP-133, KIP-226, KIP-569). Source: Kafka 3.9 `ConfigHelper.scala`.

use whimbrel_model::ErrorCode;
use whimbrel_wire::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use whimbrel_wire::{DescribeConfigsRequest, DescribeConfigsResponse, Str};

use super::RequestContext;
use super::dynamic_config::Resource;
use super::refusal::{Refusal, on_wire};
use crate::Broker;
use crate::config::{ConfigEntry, Source, describe_broker, describe_broker_defaults, describe_topic};
use crate::coordination::ConfigEntity;
use crate::topics;

pub async fn handle(
    context: &RequestContext,
    request: DescribeConfigsRequest,
    version: i16,
) -> DescribeConfigsResponse {
    let mut results = Vec::with_capacity(request.resources.len());
    for resource in &request.resources {
        let entries = describe(context.broker(), resource).await;
        results.push(answer(resource, entries, &request, version));
    }
    DescribeConfigsResponse { results, ..Default::default() }
}

async fn describe(broker: &Broker, resource: &DescribeConfigsResource) -> Result<Vec<ConfigEntry>, Refusal> {
    match Resource::parse(resource.resource_type, &resource.resource_name, broker.node_id)? {
        Resource::ThisBroker => Ok(describe_broker(&broker.config().layers)),
        Resource::AllBrokers => Ok(describe_broker_defaults(&broker.config().layers)),
        Resource::Topic(name) => {
            topics::validate_name(&name)?;
            if broker.metadata.image().topic(&name).is_none() {
                return Err(Refusal::bare(ErrorCode::UnknownTopicOrPartition));
            }
            // Read now, so that whoever changed it a moment ago sees the change.
            let overrides = broker.coordination.read_config(&ConfigEntity::Topic(name.into())).await?;
            Ok(describe_topic(&broker.config().layers, &overrides))
        }
    }
}

fn answer(
    resource: &DescribeConfigsResource,
    entries: Result<Vec<ConfigEntry>, Refusal>,
    request: &DescribeConfigsRequest,
    version: i16,
) -> DescribeConfigsResult {
    let base = DescribeConfigsResult {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        ..Default::default()
    };
    let entries = match entries {
        Ok(entries) => entries,
        Err(refusal) => {
            let (error_code, error_message) = on_wire(&Err(refusal));
            return DescribeConfigsResult { error_code, error_message, ..base };
        }
    };
    let keys = resource.configuration_keys.as_deref().unwrap_or_default();
    let wanted = entries.into_iter().filter(|entry| keys.is_empty() || keys.iter().any(|key| **key == *entry.name));
    DescribeConfigsResult { configs: wanted.map(|entry| on_the_wire(entry, request, version)).collect(), ..base }
}

fn on_the_wire(entry: ConfigEntry, request: &DescribeConfigsRequest, version: i16) -> DescribeConfigsResourceResult {
    let synonyms = entry.synonyms.into_iter().filter(|_| request.include_synonyms);
    DescribeConfigsResourceResult {
        name: Str::from_static(entry.name),
        value: entry.value.map(Str::from),
        read_only: entry.read_only,
        // Version 0 knew no sources, only this; the later ones do not have it.
        is_default: version == 0 && entry.source == Source::Default,
        config_source: entry.source as i8,
        is_sensitive: entry.sensitive,
        synonyms: synonyms
            .map(|synonym| DescribeConfigsSynonym {
                name: Str::from_static(synonym.name),
                value: synonym.value.map(Str::from),
                source: synonym.source as i8,
            })
            .collect(),
        config_type: entry.type_code,
        documentation: request.include_documentation.then(|| Str::from_static(entry.documentation)),
    }
}
