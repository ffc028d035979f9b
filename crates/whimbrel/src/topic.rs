//! `whimbrel topic`.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use whimbrel_client::admin::{self, ConfigResource, ConfigSource, NewTopic};
use whimbrel_client::{Cluster, Metadata, PartitionMetadata, TopicMetadata};
use whimbrel_model::ErrorCode;

use crate::UsageError;
use crate::args::key_value;
use crate::output::{Column, Output, ids, or_dash};

/// How long it is waited for brokers to hear of a new topic, and between two looks.
const KNOWN_WAIT: Duration = Duration::from_secs(5);
const KNOWN_PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug, Args)]
pub struct TopicArgs {
    #[command(subcommand)]
    command: TopicCommand,
}

#[derive(Debug, Subcommand)]
enum TopicCommand {
    /// Create a topic
    Create {
        name: String,
        /// By default the broker's num.partitions
        #[arg(long, short, conflicts_with = "replica_assignment")]
        partitions: Option<i32>,
        /// By default the broker's default.replication.factor
        #[arg(long, short, conflicts_with = "replica_assignment")]
        replication_factor: Option<i16>,
        /// The brokers of each partition, such as 1:2,2:3
        #[arg(long, value_name = "ID:ID,...")]
        replica_assignment: Option<String>,
        /// A setting of the topic
        #[arg(long, short, value_name = "KEY=VALUE", value_parser = key_value)]
        config: Vec<(String, String)>,
        /// A topic that exists is no error
        #[arg(long)]
        if_not_exists: bool,
        /// Only check whether it could be created
        #[arg(long)]
        validate_only: bool,
    },
    /// List the topics
    List {
        /// Kafka's internal topics too
        #[arg(long)]
        internal: bool,
    },
    /// Show partitions, leaders, replicas and settings
    Describe {
        /// By default all topics
        names: Vec<String>,
        /// Only partitions with replicas out of sync
        #[arg(long)]
        under_replicated: bool,
        /// Only partitions without a leader
        #[arg(long)]
        unavailable: bool,
    },
    /// Add partitions, or change settings
    Alter {
        name: String,
        /// The number of partitions to come; it can only grow
        #[arg(long, short)]
        partitions: Option<i32>,
        /// A setting to set
        #[arg(long, short, value_name = "KEY=VALUE", value_parser = key_value)]
        config: Vec<(String, String)>,
        /// A setting to put back to the broker's
        #[arg(long, value_name = "KEY")]
        delete_config: Vec<String>,
    },
    /// Delete topics with all their records
    Delete {
        #[arg(required = true)]
        names: Vec<String>,
        /// A topic that does not exist is no error
        #[arg(long)]
        if_exists: bool,
    },
}

pub async fn run(args: TopicArgs, cluster: &Cluster, output: Output) -> anyhow::Result<()> {
    match args.command {
        TopicCommand::Create {
            name,
            partitions,
            replication_factor,
            replica_assignment,
            config,
            if_not_exists,
            validate_only,
        } => {
            let assignments = replica_assignment.as_deref().map(assignments).transpose()?.unwrap_or_default();
            let topic = NewTopic { name, partitions, replication_factor, assignments, configs: config };
            create(&topic, if_not_exists, validate_only, cluster, output).await
        }
        TopicCommand::List { internal } => list(internal, cluster, output).await,
        TopicCommand::Describe { names, under_replicated, unavailable } => {
            let shows = |partition: &PartitionLine| {
                (!under_replicated || partition.in_sync.len() < partition.replicas.len())
                    && (!unavailable || partition.leader.is_none())
            };
            describe(&names, shows, cluster, output).await
        }
        TopicCommand::Alter { name, partitions, config, delete_config } => {
            alter(&name, partitions, &config, &delete_config, cluster, output).await
        }
        TopicCommand::Delete { names, if_exists } => delete(&names, if_exists, cluster, output).await,
    }
}

/// `1:2,2:3`: the replicas of partition 0, of partition 1, and so on.
fn assignments(text: &str) -> Result<Vec<Vec<i32>>, UsageError> {
    let replicas = |part: &str| part.split(':').map(|id| id.trim().parse::<i32>()).collect::<Result<Vec<_>, _>>();
    let parsed: Result<Vec<_>, _> = text.split(',').map(replicas).collect();
    parsed.map_err(|_| UsageError(format!("--replica-assignment {text}: give broker ids such as 1:2,2:3")))
}

#[derive(Serialize)]
struct Created<'a> {
    topic: &'a str,
    created: bool,
    partitions: Option<i32>,
    replication_factor: Option<i16>,
}

async fn create(
    topic: &NewTopic,
    if_not_exists: bool,
    validate_only: bool,
    cluster: &Cluster,
    output: Output,
) -> anyhow::Result<()> {
    let name = topic.name.as_str();
    match admin::create_topic(cluster, topic, validate_only).await {
        Err(error) if if_not_exists && error.code() == Some(ErrorCode::TopicAlreadyExists) => {
            let value = Created { topic: name, created: false, partitions: None, replication_factor: None };
            output.done(&format!("topic {name} exists"), &value)?;
        }
        created => {
            let created = created?;
            if !validate_only {
                wait_until_known(name, cluster).await;
            }
            let (partitions, replication_factor) = (created.partitions, created.replication_factor);
            let numbers = partitions.map(|count| format!(", {count} partitions")).unwrap_or_default();
            let verb = if validate_only { "could be created" } else { "created" };
            let value = Created { topic: name, created: !validate_only, partitions, replication_factor };
            output.done(&format!("topic {name} {verb}{numbers}"), &value)?;
        }
    }
    Ok(())
}

/// Until every broker tells of the topic: the controller is the first to know of it, and who asks another one next would be
/// told that there is none. It is created all the same if one of them does not answer.
async fn wait_until_known(name: &str, cluster: &Cluster) {
    let is_unknown = |metadata: &Metadata| {
        metadata.topic(name).is_err_and(|error| error.code() == Some(ErrorCode::UnknownTopicOrPartition))
    };
    let known = async {
        while let Ok(told) = admin::told_by_all(cluster, &[name]).await
            && told.iter().any(is_unknown)
        {
            tokio::time::sleep(KNOWN_PAUSE).await;
        }
    };
    let _in_time = tokio::time::timeout(KNOWN_WAIT, known).await;
}

#[derive(Serialize)]
struct Listed {
    topic: String,
    partitions: usize,
    replication_factor: usize,
    internal: bool,
}

async fn list(internal: bool, cluster: &Cluster, output: Output) -> anyhow::Result<()> {
    let metadata = cluster.refresh(None, false).await?;
    let topics = metadata.topics.values().filter(|topic| internal || !is_internal(topic));
    let listed: Vec<Listed> = topics
        .map(|topic| Listed {
            topic: topic.name.clone(),
            partitions: topic.partitions.len(),
            replication_factor: topic.partitions.first().map_or(0, |partition| partition.replicas.len()),
            internal: is_internal(topic),
        })
        .collect();
    let columns = [Column::Text("TOPIC"), Column::Number("PARTITIONS"), Column::Number("REPLICAS")];
    output.list(&listed, &columns, |topic| {
        vec![topic.topic.clone(), topic.partitions.to_string(), topic.replication_factor.to_string()]
    })?;
    Ok(())
}

/// Brokers before 0.10 do not tell.
fn is_internal(topic: &TopicMetadata) -> bool {
    topic.is_internal || topic.name.starts_with("__")
}

#[derive(Serialize)]
struct Described {
    topic: String,
    id: Option<String>,
    configs: BTreeMap<String, String>,
    partitions: Vec<PartitionLine>,
}

#[derive(Serialize)]
struct PartitionLine {
    partition: i32,
    leader: Option<i32>,
    leader_epoch: Option<i32>,
    replicas: Vec<i32>,
    in_sync: Vec<i32>,
    /// Out of sync, and able to lead all the same (KIP-966).
    eligible: Vec<i32>,
    offline: Vec<i32>,
    /// What a partition without a leader waits for.
    waits_for: Option<String>,
}

async fn describe(
    names: &[String],
    shows: impl Fn(&PartitionLine) -> bool,
    cluster: &Cluster,
    output: Output,
) -> anyhow::Result<()> {
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    let metadata = cluster.refresh((!wanted.is_empty()).then_some(&wanted), false).await?;
    for name in names {
        metadata.topic(name)?;
    }
    let mut described = Vec::new();
    let names: Vec<&str> = metadata.topics.keys().map(String::as_str).collect();
    let eligible: BTreeMap<admin::PartitionName, Vec<i32>> =
        admin::eligible_leaders(cluster, &names).await?.into_iter().collect();
    let no_one = Vec::new();
    for topic in metadata.topics.values() {
        let eligible_of = |partition: i32| eligible.get(&(topic.name.clone(), partition)).unwrap_or(&no_one);
        let line = |partition| partition_line(partition, eligible_of(partition.partition));
        let entries = admin::describe_configs(cluster, &ConfigResource::Topic(topic.name.clone()), false).await?;
        let own = entries.into_iter().filter(|entry| entry.source == ConfigSource::Topic);
        let configs = own.map(|entry| (entry.name, entry.value.unwrap_or_default())).collect();
        let partitions = topic.partitions.iter().map(line).filter(|line| shows(line)).collect();
        let id = (!topic.id.is_zero()).then(|| topic.id.to_string());
        described.push(Described { topic: topic.name.clone(), id, configs, partitions });
    }
    if output.is_json() {
        output.json(&described)?;
    } else {
        print_described(&described, &metadata, output)?;
    }
    Ok(())
}

fn partition_line(partition: &PartitionMetadata, eligible: &[i32]) -> PartitionLine {
    let known = |number: i32| (0 <= number).then_some(number);
    let waits_for = || {
        let candidates: Vec<i32> = partition.in_sync.iter().chain(eligible).copied().collect();
        format!(
            "offline until broker {} is back: no other replica has all acknowledged records (`whimbrel leader elect \
             --unclean` gives those up)",
            ids(&candidates).replace(',', " or ")
        )
    };
    PartitionLine {
        partition: partition.partition,
        leader: known(partition.leader),
        leader_epoch: known(partition.leader_epoch),
        replicas: partition.replicas.clone(),
        in_sync: partition.in_sync.clone(),
        eligible: eligible.to_vec(),
        waits_for: (partition.leader < 0).then(waits_for),
        offline: partition.offline.clone(),
    }
}

fn print_described(described: &[Described], metadata: &Metadata, output: Output) -> std::io::Result<()> {
    let brokers: Vec<String> =
        metadata.brokers.values().map(|broker| format!("{} at {}", broker.id, broker.address())).collect();
    println!("brokers: {}; controller: {}", brokers.join(", "), metadata.controller_id);
    for topic in described {
        let configs: Vec<String> = topic.configs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let id = topic.id.as_ref().map(|id| format!(" (id {id})")).unwrap_or_default();
        println!("\ntopic {}{id} {}", topic.topic, configs.join(" "));
        let columns = [
            Column::Number("PARTITION"),
            Column::Number("LEADER"),
            Column::Number("EPOCH"),
            Column::Text("REPLICAS"),
            Column::Text("IN SYNC"),
            Column::Text("ELIGIBLE"),
            Column::Text("OFFLINE"),
            Column::Text(""),
        ];
        output.list(&topic.partitions, &columns, |line| {
            vec![
                line.partition.to_string(),
                or_dash(line.leader),
                or_dash(line.leader_epoch),
                ids(&line.replicas),
                ids(&line.in_sync),
                ids(&line.eligible),
                ids(&line.offline),
                line.waits_for.clone().unwrap_or_default(),
            ]
        })?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Altered<'a> {
    topic: &'a str,
    altered: bool,
}

async fn alter(
    name: &str,
    partitions: Option<i32>,
    set: &[(String, String)],
    delete: &[String],
    cluster: &Cluster,
    output: Output,
) -> anyhow::Result<()> {
    if partitions.is_none() && set.is_empty() && delete.is_empty() {
        return Err(UsageError("nothing to alter: give --partitions, --config or --delete-config".into()).into());
    }
    if let Some(count) = partitions {
        admin::create_partitions(cluster, name, count).await?;
    }
    if !set.is_empty() || !delete.is_empty() {
        admin::alter_configs(cluster, &ConfigResource::Topic(name.to_owned()), set, delete).await?;
    }
    output.done(&format!("topic {name} altered"), &Altered { topic: name, altered: true })?;
    Ok(())
}

#[derive(Serialize)]
struct Deleted<'a> {
    topic: &'a str,
    deleted: bool,
}

async fn delete(names: &[String], if_exists: bool, cluster: &Cluster, output: Output) -> anyhow::Result<()> {
    for name in names {
        let deleted = match admin::delete_topic(cluster, name).await {
            Err(error) if if_exists && error.code() == Some(ErrorCode::UnknownTopicOrPartition) => false,
            deleted => {
                deleted?;
                true
            }
        };
        // Each at once: what was done before an error is then known.
        let line = format!("topic {name} {}", if deleted { "deleted" } else { "does not exist" });
        output.done(&line, &Deleted { topic: name, deleted })?;
    }
    Ok(())
}
