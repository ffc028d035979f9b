//! Settings of topics and brokers.

use whimbrel_wire::describe_configs::{DescribeConfigsResource, DescribeConfigsResourceResult};
use whimbrel_wire::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use whimbrel_wire::{
    AlterConfigsRequest, ApiKey, DescribeConfigsRequest, IncrementalAlterConfigsRequest, alter_configs,
};

use super::CHANGE_TIMEOUT;
use super::topics::unanswered;
use crate::cluster::retry;
use crate::{ClientError, Cluster, Connection};

/// Whose settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigResource {
    Topic(String),
    Broker(i32),
    /// The dynamic defaults of all brokers.
    AllBrokers,
}

impl ConfigResource {
    fn code(&self) -> i8 {
        match self {
            Self::Topic(_) => 2,
            Self::Broker(_) | Self::AllBrokers => 4,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Topic(name) => name.clone(),
            Self::Broker(id) => id.to_string(),
            Self::AllBrokers => String::new(),
        }
    }

    /// The broker that must be asked: each knows its own settings.
    async fn connection(&self, cluster: &Cluster) -> Result<Connection, ClientError> {
        match self {
            Self::Broker(id) => {
                if !cluster.metadata().brokers.contains_key(id) {
                    cluster.refresh(Some(&[]), false).await?;
                }
                cluster.broker(*id).await
            }
            Self::Topic(_) | Self::AllBrokers => cluster.any().await,
        }
    }
}

impl std::fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Broker(id) => write!(f, "broker {id}"),
            Self::AllBrokers => f.write_str("all brokers"),
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    Unknown,
    Topic,
    DynamicBroker,
    DynamicDefaultBroker,
    StaticBroker,
    Default,
    /// A source that newer brokers have (loggers, groups, client metrics).
    Other(i8),
}

impl ConfigSource {
    fn from_code(code: i8) -> Self {
        match code {
            0 | -1 => Self::Unknown,
            1 => Self::Topic,
            2 => Self::DynamicBroker,
            3 => Self::DynamicDefaultBroker,
            4 => Self::StaticBroker,
            5 => Self::Default,
            other => Self::Other(other),
        }
    }

    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Topic => "topic",
            Self::DynamicBroker => "dynamic broker",
            Self::DynamicDefaultBroker => "dynamic default",
            Self::StaticBroker => "static broker",
            Self::Default => "default",
            Self::Other(_) => "other",
        }
    }
}

/// A setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    pub name: String,
    /// `None` when unset or not shown.
    pub value: Option<String>,
    pub source: ConfigSource,
    pub read_only: bool,
    pub sensitive: bool,
    pub documentation: Option<String>,
}

impl From<DescribeConfigsResourceResult> for ConfigEntry {
    fn from(result: DescribeConfigsResourceResult) -> Self {
        // The oldest answers only tell defaults from the rest.
        let source = match ConfigSource::from_code(result.config_source) {
            ConfigSource::Unknown if result.is_default => ConfigSource::Default,
            source => source,
        };
        Self {
            name: result.name.into(),
            value: result.value.map(String::from),
            source,
            read_only: result.read_only,
            sensitive: result.is_sensitive,
            documentation: result.documentation.map(String::from),
        }
    }
}

/// The settings of a resource, by name.
///
/// # Errors
/// The broker's, with its text.
pub async fn describe_configs(
    cluster: &Cluster,
    resource: &ConfigResource,
    documentation: bool,
) -> Result<Vec<ConfigEntry>, ClientError> {
    cluster.refresh_if_unknown().await?;
    let configs = retry!(cluster, {
        let connection = resource.connection(cluster).await?;
        let described = DescribeConfigsResource {
            resource_type: resource.code(),
            resource_name: resource.name().into(),
            configuration_keys: None,
        };
        let include_documentation = documentation && 3 <= connection.version_of::<DescribeConfigsRequest>()?;
        let request =
            DescribeConfigsRequest { resources: vec![described], include_synonyms: false, include_documentation };
        let response = connection.call(request).await?;
        let Some(result) = response.results.into_iter().next() else { return Err(unanswered(resource.to_string())) };
        let checked = ClientError::check(result.error_code, result.error_message.as_ref(), || resource.to_string());
        // A topic that does not exist is an error that counts as passing elsewhere.
        Ok(checked.map(|()| result.configs))
    })??;
    let mut entries: Vec<ConfigEntry> = configs.into_iter().map(ConfigEntry::from).collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Sets and deletes single settings. With brokers before Kafka 2.3, which can only replace all of them, what is set now
/// is read first and sent along.
///
/// # Errors
/// The broker's, with its text.
pub async fn alter_configs(
    cluster: &Cluster,
    resource: &ConfigResource,
    set: &[(String, String)],
    delete: &[String],
) -> Result<(), ClientError> {
    cluster.refresh_if_unknown().await?;
    let connection = resource.connection(cluster).await?;
    if connection.versions().served(ApiKey::IncrementalAlterConfigs).is_none() {
        return replace_configs(cluster, &connection, resource, set, delete).await;
    }
    let change = |name: &String, config_operation, value: Option<&String>| AlterableConfig {
        name: name.into(),
        config_operation,
        value: value.map(Into::into),
    };
    let sets = set.iter().map(|(name, value)| change(name, 0, Some(value)));
    let configs: Vec<_> = sets.chain(delete.iter().map(|name| change(name, 1, None))).collect();
    retry!(cluster, {
        let connection = resource.connection(cluster).await?;
        let altered = AlterConfigsResource {
            resource_type: resource.code(),
            resource_name: resource.name().into(),
            configs: configs.clone(),
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![altered], validate_only: false };
        let response = connection.call_for(request, CHANGE_TIMEOUT).await?;
        let Some(result) = response.responses.first() else { return Err(unanswered(resource.to_string())) };
        Ok(ClientError::check(result.error_code, result.error_message.as_ref(), || resource.to_string()))
    })?
}

async fn replace_configs(
    cluster: &Cluster,
    connection: &Connection,
    resource: &ConfigResource,
    set: &[(String, String)],
    delete: &[String],
) -> Result<(), ClientError> {
    let own = [ConfigSource::Topic, ConfigSource::DynamicBroker, ConfigSource::Unknown];
    let current = describe_configs(cluster, resource, false).await?;
    let kept = current
        .into_iter()
        .filter(|entry| own.contains(&entry.source))
        .filter_map(|entry| Some((entry.name, entry.value?)));
    let untouched =
        |(name, _): &(String, String)| !delete.contains(name) && !set.iter().any(|(changed, _)| changed == name);
    let all: Vec<(String, String)> = kept.filter(untouched).chain(set.iter().cloned()).collect();
    let config = |(name, value): &(String, String)| alter_configs::AlterableConfig {
        name: name.into(),
        value: Some(value.into()),
    };
    let altered = alter_configs::AlterConfigsResource {
        resource_type: resource.code(),
        resource_name: resource.name().into(),
        configs: all.iter().map(config).collect(),
    };
    let request = AlterConfigsRequest { resources: vec![altered], validate_only: false };
    let response = connection.call_for(request, CHANGE_TIMEOUT).await?;
    let Some(result) = response.responses.first() else { return Err(unanswered(resource.to_string())) };
    ClientError::check(result.error_code, result.error_message.as_ref(), || resource.to_string())
}
