//! `whimbrel cluster`.

mod health;
mod playground;

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use whimbrel_client::{Cluster, Metadata, PartitionMetadata};

use crate::args::LoggingArgs;
use crate::output::{Column, Output, or_dash};

pub use playground::PlaygroundArgs;

#[derive(Debug, Args)]
pub struct ClusterArgs {
    #[command(subcommand)]
    pub command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show the brokers, what each leads and holds, and who is controller
    Describe,
    /// Say what is wrong, if anything; the exit code is 1 then
    Health {
        /// Wait this long for all to be well
        #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
        wait: Option<Duration>,
    },
    /// Start brokers with a ZooKeeper of their own on this machine, to play with
    Start {
        #[command(flatten)]
        playground: PlaygroundArgs,
        #[command(flatten)]
        logging: LoggingArgs,
    },
}

pub async fn run(args: ClusterArgs, cluster: &Cluster, output: Output) -> anyhow::Result<()> {
    match args.command {
        ClusterCommand::Describe => describe(cluster, output).await,
        ClusterCommand::Health { wait } => health::run(wait, cluster, output).await,
        // Started before there is a cluster to talk to.
        ClusterCommand::Start { .. } => Ok(()),
    }
}

/// Starts the cluster to play with, and returns when it was stopped.
pub fn start(playground: &PlaygroundArgs, logging: &LoggingArgs) -> anyhow::Result<()> {
    playground::run(playground, logging)
}

#[derive(Serialize)]
struct Described {
    cluster_id: Option<String>,
    controller: Option<i32>,
    topics: usize,
    partitions: usize,
    brokers: Vec<BrokerLine>,
}

#[derive(Serialize)]
struct BrokerLine {
    broker: i32,
    address: String,
    rack: Option<String>,
    controller: bool,
    leads: usize,
    replicas: usize,
    out_of_sync: usize,
}

async fn describe(cluster: &Cluster, output: Output) -> anyhow::Result<()> {
    let metadata = cluster.refresh(None, false).await?;
    let described = described(&metadata);
    if output.is_json() {
        output.json(&described)?;
        return Ok(());
    }
    println!("cluster     {}", or_dash(described.cluster_id.as_ref()));
    println!("controller  {}", or_dash(described.controller));
    println!("topics      {} with {} partitions\n", described.topics, described.partitions);
    let columns = [
        Column::Number("BROKER"),
        Column::Text("ADDRESS"),
        Column::Text("RACK"),
        Column::Number("LEADS"),
        Column::Number("REPLICAS"),
        Column::Number("OUT OF SYNC"),
        Column::Text(""),
    ];
    output.list(&described.brokers, &columns, |line| {
        vec![
            line.broker.to_string(),
            line.address.clone(),
            or_dash(line.rack.as_ref()),
            line.leads.to_string(),
            line.replicas.to_string(),
            line.out_of_sync.to_string(),
            if line.controller { "controller".to_owned() } else { String::new() },
        ]
    })?;
    Ok(())
}

/// All partitions that the metadata knows, with their topics.
pub(crate) fn partitions(metadata: &Metadata) -> impl Iterator<Item = (&str, &PartitionMetadata)> {
    let topics = metadata.topics.values();
    topics.flat_map(|topic| topic.partitions.iter().map(|partition| (topic.name.as_str(), partition)))
}

fn described(metadata: &Metadata) -> Described {
    let count = |holds: &dyn Fn(&PartitionMetadata) -> bool| partitions(metadata).filter(|(_, p)| holds(p)).count();
    let line = |id: i32| BrokerLine {
        broker: id,
        address: metadata.brokers.get(&id).map(|broker| broker.address()).unwrap_or_default(),
        rack: metadata.brokers.get(&id).and_then(|broker| broker.rack.clone()),
        controller: metadata.controller_id == id,
        leads: count(&|partition| partition.leader == id),
        replicas: count(&|partition| partition.replicas.contains(&id)),
        out_of_sync: count(&|partition| partition.replicas.contains(&id) && !partition.in_sync.contains(&id)),
    };
    Described {
        cluster_id: metadata.cluster_id.clone(),
        controller: (0 <= metadata.controller_id).then_some(metadata.controller_id),
        topics: metadata.topics.len(),
        partitions: partitions(metadata).count(),
        brokers: metadata.brokers.keys().copied().map(line).collect(),
    }
}
