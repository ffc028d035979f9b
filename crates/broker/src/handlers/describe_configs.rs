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
use crate::config::{
    ConfigEntry, Layers, Source, describe_broker, describe_broker_defaults, describe_topic, foreign, table,
};
use crate::coordination::{ConfigEntity, Overrides};
use crate::topics;

pub async fn handle(
    context: &RequestContext,
    request: DescribeConfigsRequest,
    version: i16,
) -> DescribeConfigsResponse {
    let mut results = Vec::with_capacity(request.resources.len());
    for resource in &request.resources {
        let entries = describe(context.broker(), resource).await.map(|(entries, others)| {
            entries.into_iter().map(|entry| on_the_wire(entry, &request, version)).chain(others)
        });
        results.push(answer(resource, entries.map(Iterator::collect)));
    }
    DescribeConfigsResponse { results, ..Default::default() }
}

/// The settings that we know, and what else a broker has.
async fn describe(
    broker: &Broker,
    resource: &DescribeConfigsResource,
) -> Result<(Vec<ConfigEntry>, Vec<DescribeConfigsResourceResult>), Refusal> {
    match Resource::parse(resource.resource_type, &resource.resource_name, broker.node_id)? {
        Resource::ThisBroker => {
            let (of_all, of_this) = dynamic_now(broker).await;
            let entries = describe_broker(&layers_with(broker, &of_all, &of_this));
            Ok((entries, others(of_this, Source::DynamicBroker)))
        }
        Resource::AllBrokers => {
            let (of_all, of_this) = dynamic_now(broker).await;
            let entries = describe_broker_defaults(&layers_with(broker, &of_all, &of_this));
            Ok((entries, others(of_all, Source::DynamicDefaultBroker)))
        }
        Resource::Topic(name) => {
            topics::validate_name(&name)?;
            if broker.metadata.image().topic(&name).is_none() {
                return Err(Refusal::bare(ErrorCode::UnknownTopicOrPartition));
            }
            // Read now, so that whoever changed it a moment ago sees the change.
            let overrides = broker.coordination.read_config(&ConfigEntity::Topic(name.into())).await?;
            Ok((describe_topic(&broker.config().layers, &overrides), Vec::new()))
        }
    }
}

/// The dynamic values that all brokers and this one have at this moment, which this one may not have heard of yet: whoever
/// changed one a moment ago sees the change. Kafka answers from what it heard, and so does this while ZooKeeper is away.
async fn dynamic_now(broker: &Broker) -> (Overrides, Overrides) {
    let read = if broker.coordination.is_connected() {
        broker.coordination.read_broker_configs(broker.node_id).await.ok()
    } else {
        None
    };
    read.unwrap_or_else(|| broker.dynamic_config())
}

/// The layers with these dynamic values. Those that cannot be used together are not taken (`Broker::set_dynamic`): what is
/// in force is the answer then.
fn layers_with(broker: &Broker, of_all: &Overrides, of_this: &Overrides) -> Layers {
    let next = broker.with_dynamic(of_all, of_this);
    next.map_or_else(|_| broker.config().layers.clone(), |config| config.layers)
}

fn answer(
    resource: &DescribeConfigsResource,
    entries: Result<Vec<DescribeConfigsResourceResult>, Refusal>,
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
    let wanted = entries.into_iter().filter(|entry| keys.is_empty() || keys.contains(&entry.name));
    DescribeConfigsResult { configs: wanted.collect(), ..base }
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

/// Dynamic settings of brokers that are not in our table. They are another implementation's, and without effect here;
/// Kafka's tools write back what they read, so leaving them out would delete them.
fn others(overrides: Overrides, source: Source) -> Vec<DescribeConfigsResourceResult> {
    let unknown = overrides.into_iter().filter(|(key, _)| table::find(key).is_none());
    let result = |(key, value): (String, String)| {
        // As Kafka treats what it does not know: it may be a secret.
        let is_sensitive = key.contains("password") || foreign::find(&key, &value).is_none();
        DescribeConfigsResourceResult {
            name: Str::from(key),
            value: (!is_sensitive).then(|| Str::from(value)),
            config_source: source as i8,
            is_sensitive,
            documentation: None,
            ..Default::default()
        }
    };
    unknown.map(result).collect()
}
