//! `whimbrel config`.

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use whimbrel_client::Cluster;
use whimbrel_client::admin::{self, ConfigEntry, ConfigResource, ConfigSource};

use crate::UsageError;
use crate::args::key_value;
use crate::output::{Column, Output, or_dash};

#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Show settings
    Get {
        #[command(flatten)]
        resource: ResourceArgs,
        /// Only these keys
        keys: Vec<String>,
        /// Those that have their default too
        #[arg(long, short)]
        all: bool,
    },
    /// Set settings
    Set {
        #[command(flatten)]
        resource: ResourceArgs,
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = key_value)]
        values: Vec<(String, String)>,
    },
    /// Put settings back to what they are without this
    Delete {
        #[command(flatten)]
        resource: ResourceArgs,
        #[arg(required = true)]
        keys: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct ResourceArgs {
    kind: ResourceKind,
    /// The topic's name, the broker's number, or "default" for all brokers
    name: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ResourceKind {
    Topic,
    Broker,
}

impl ResourceArgs {
    fn resource(&self) -> Result<ConfigResource, UsageError> {
        match (self.kind, self.name.as_str()) {
            (ResourceKind::Topic, name) => Ok(ConfigResource::Topic(name.to_owned())),
            (ResourceKind::Broker, "default") => Ok(ConfigResource::AllBrokers),
            (ResourceKind::Broker, name) => match name.parse() {
                Ok(id) => Ok(ConfigResource::Broker(id)),
                Err(_) => Err(UsageError(format!("broker {name}: give its number, or \"default\" for all brokers"))),
            },
        }
    }
}

#[derive(Serialize)]
struct Shown {
    key: String,
    value: Option<String>,
    source: &'static str,
    read_only: bool,
    sensitive: bool,
}

impl From<ConfigEntry> for Shown {
    fn from(entry: ConfigEntry) -> Self {
        let ConfigEntry { name, value, source, read_only, sensitive, .. } = entry;
        Self { key: name, value, source: source.name(), read_only, sensitive }
    }
}

#[derive(Serialize)]
struct Changed {
    resource: String,
    changed: bool,
}

pub async fn run(args: ConfigArgs, cluster: &Cluster, output: Output) -> anyhow::Result<()> {
    match args.command {
        ConfigCommand::Get { resource, keys, all } => get(&resource.resource()?, &keys, all, cluster, output).await,
        ConfigCommand::Set { resource, values } => {
            let resource = resource.resource()?;
            admin::alter_configs(cluster, &resource, &values, &[]).await?;
            changed(&resource, output)
        }
        ConfigCommand::Delete { resource, keys } => {
            let resource = resource.resource()?;
            admin::alter_configs(cluster, &resource, &[], &keys).await?;
            changed(&resource, output)
        }
    }
}

fn changed(resource: &ConfigResource, output: Output) -> anyhow::Result<()> {
    let line = format!("configuration of {resource} changed");
    output.done(&line, &Changed { resource: resource.to_string(), changed: true })?;
    Ok(())
}

async fn get(
    resource: &ConfigResource,
    keys: &[String],
    all: bool,
    cluster: &Cluster,
    output: Output,
) -> anyhow::Result<()> {
    let entries = admin::describe_configs(cluster, resource, false).await?;
    if let Some(missing) = keys.iter().find(|key| !entries.iter().any(|entry| entry.name == **key)) {
        return Err(UsageError(format!("{resource} has no setting {missing}; --all lists those it has")).into());
    }
    let is_wanted = |entry: &ConfigEntry| {
        if keys.is_empty() { all || entry.source != ConfigSource::Default } else { keys.contains(&entry.name) }
    };
    let shown: Vec<Shown> = entries.into_iter().filter(is_wanted).map(Shown::from).collect();
    if shown.is_empty() && !output.is_json() {
        println!("everything of {resource} has its default; --all lists it");
        return Ok(());
    }
    let columns = [Column::Text("KEY"), Column::Text("VALUE"), Column::Text("FROM"), Column::Text("")];
    output.list(&shown, &columns, |entry| {
        let value = if entry.sensitive { "(hidden)".to_owned() } else { or_dash(entry.value.as_ref()) };
        let note = if entry.read_only { "read-only" } else { "" };
        vec![entry.key.clone(), value, entry.source.to_owned(), note.to_owned()]
    })?;
    Ok(())
}
