//! `whimbrel reassign`: replicas to other brokers. The file of a plan is that of Kafka's tool.

mod plan;
mod throttle;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use whimbrel_client::admin::{self, PartitionOutcome, Reassigning};
use whimbrel_client::{Cluster, Metadata};
use whimbrel_model::ErrorCode;

use self::plan::{PartitionName, Target};
use crate::UsageError;
use crate::output::{Column, Output, ids};

/// Pause between two looks at reassignments that are waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub struct ReassignArgs {
    #[command(subcommand)]
    command: ReassignCommand,
}

#[derive(Debug, Subcommand)]
enum ReassignCommand {
    /// Print a plan that spreads replicas evenly and moves few of them; nothing is changed
    Plan {
        /// By default all topics
        topics: Vec<String>,
        /// The brokers that may be used; by default all that are alive
        #[arg(long, value_delimiter = ',', value_name = "ID,...")]
        brokers: Vec<i32>,
        /// Brokers that are to be emptied
        #[arg(long, value_delimiter = ',', value_name = "ID,...")]
        without: Vec<i32>,
        /// Replicas of each partition; by default as many as it has
        #[arg(long)]
        replication_factor: Option<usize>,
    },
    /// Carry out a plan
    Start {
        /// The plan, in JSON; "-" for the standard input
        #[arg(value_name = "FILE")]
        plan: PathBuf,
        /// Bytes per second that each broker may spend on it
        #[arg(long, value_name = "BYTES")]
        throttle: Option<u64>,
    },
    /// Show what is under way; takes back the throttle when all is done
    Status {
        /// Return when all is done
        #[arg(long)]
        wait: bool,
    },
    /// Put replicas back to where they were
    Cancel {
        /// By default all that are under way
        #[arg(value_name = "TOPIC[:PARTITION]")]
        partitions: Vec<String>,
    },
}

/// A plan as Kafka's tool writes and reads it.
#[derive(Debug, Serialize, Deserialize)]
struct PlanFile {
    version: i32,
    partitions: Vec<PlannedPartition>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PlannedPartition {
    topic: String,
    partition: i32,
    replicas: Vec<i32>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0} partitions were refused")]
struct Refused(usize);

pub async fn run(args: ReassignArgs, cluster: &Cluster, output: Output) -> anyhow::Result<()> {
    match args.command {
        ReassignCommand::Plan { topics, brokers, without, replication_factor } => {
            print_plan(&topics, &brokers, &without, replication_factor, cluster, output).await
        }
        ReassignCommand::Start { plan, throttle } => start(&plan, throttle, cluster, output).await,
        ReassignCommand::Status { wait } => status(wait, cluster, output).await,
        ReassignCommand::Cancel { partitions } => cancel(&partitions, cluster, output).await,
    }
}

async fn print_plan(
    topics: &[String],
    brokers: &[i32],
    without: &[i32],
    replication_factor: Option<usize>,
    cluster: &Cluster,
    output: Output,
) -> anyhow::Result<()> {
    let wanted: Vec<&str> = topics.iter().map(String::as_str).collect();
    let metadata = cluster.refresh((!wanted.is_empty()).then_some(&wanted), false).await?;
    for topic in topics {
        metadata.topic(topic)?;
    }
    let current = assignment(&metadata);
    let planned = plan::plan(&current, &targets(&metadata, brokers, without)?, replication_factor)?;
    let changed = planned.into_iter().filter(|(partition, replicas)| current.get(partition) != Some(replicas));
    let partitions: Vec<PlannedPartition> =
        changed.map(|((topic, partition), replicas)| PlannedPartition { topic, partition, replicas }).collect();
    if partitions.is_empty() {
        eprintln!("nothing is to be moved");
    }
    output.json(&PlanFile { version: 1, partitions })?;
    Ok(())
}

fn assignment(metadata: &Metadata) -> BTreeMap<PartitionName, Vec<i32>> {
    let partitions = crate::cluster::partitions(metadata);
    partitions.map(|(topic, one)| ((topic.to_owned(), one.partition), one.replicas.clone())).collect()
}

fn targets(metadata: &Metadata, brokers: &[i32], without: &[i32]) -> Result<Vec<Target>, UsageError> {
    if let Some(unknown) = brokers.iter().find(|id| !metadata.brokers.contains_key(id)) {
        return Err(UsageError(format!("broker {unknown} is not alive; see `whimbrel cluster describe`")));
    }
    let usable = |id: &i32| (brokers.is_empty() || brokers.contains(id)) && !without.contains(id);
    let targets = metadata.brokers.values().filter(|broker| usable(&broker.id));
    Ok(targets.map(|broker| Target { id: broker.id, rack: broker.rack.clone() }).collect())
}

fn read_plan(path: &Path) -> anyhow::Result<PlanFile> {
    let mut text = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    }
    let plan: PlanFile =
        serde_json::from_str(&text).map_err(|error| UsageError(format!("{} is no plan: {error}", path.display())))?;
    Ok(plan)
}

async fn start(path: &Path, throttle: Option<u64>, cluster: &Cluster, output: Output) -> anyhow::Result<()> {
    let plan = read_plan(path)?;
    let metadata = cluster.refresh(None, false).await?;
    let moves: Vec<(PartitionName, Vec<i32>)> =
        plan.partitions.into_iter().map(|one| ((one.topic, one.partition), one.replicas)).collect();
    if let Some(bytes) = throttle {
        // Before the first byte moves.
        throttle::set(cluster, &metadata, &moves, bytes).await?;
    }
    let targets: Vec<_> = moves.into_iter().map(|(partition, replicas)| (partition, Some(replicas))).collect();
    let outcomes = admin::alter_reassignments(cluster, &targets).await?;
    report(&outcomes, "started", output)
}

#[derive(Serialize)]
struct Line {
    topic: String,
    partition: i32,
    result: String,
}

fn report(outcomes: &[PartitionOutcome], done: &str, output: Output) -> anyhow::Result<()> {
    let line = |outcome: &PartitionOutcome| Line {
        topic: outcome.partition.0.clone(),
        partition: outcome.partition.1,
        result: match (outcome.code, &outcome.message) {
            (ErrorCode::None, _) => done.to_owned(),
            (code, Some(message)) => format!("{}: {message}", code.name()),
            (code, None) => code.name().to_owned(),
        },
    };
    let lines: Vec<Line> = outcomes.iter().map(line).collect();
    let columns = [Column::Text("TOPIC"), Column::Number("PARTITION"), Column::Text("RESULT")];
    output.list(&lines, &columns, |line| vec![line.topic.clone(), line.partition.to_string(), line.result.clone()])?;
    match outcomes.iter().filter(|outcome| outcome.code != ErrorCode::None).count() {
        0 => Ok(()),
        refused => Err(Refused(refused).into()),
    }
}

#[derive(Serialize)]
struct Progress {
    topic: String,
    partition: i32,
    replicas: Vec<i32>,
    adding: Vec<i32>,
    removing: Vec<i32>,
    /// Those of `adding` that have caught up.
    caught_up: Vec<i32>,
}

async fn status(wait: bool, cluster: &Cluster, output: Output) -> anyhow::Result<()> {
    let ongoing = loop {
        let ongoing = admin::list_reassignments(cluster).await?;
        if ongoing.is_empty() || !wait {
            break ongoing;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    };
    if ongoing.is_empty() {
        throttle::clear(cluster).await?;
    }
    let metadata = cluster.refresh(None, false).await?;
    let lines: Vec<Progress> = ongoing.into_iter().map(|one| progress(one, &metadata)).collect();
    if lines.is_empty() && !output.is_json() {
        println!("no reassignment is under way");
        return Ok(());
    }
    let columns = [
        Column::Text("TOPIC"),
        Column::Number("PARTITION"),
        Column::Text("REPLICAS"),
        Column::Text("ADDING"),
        Column::Text("REMOVING"),
        Column::Text("CAUGHT UP"),
    ];
    output.list(&lines, &columns, |line| {
        let numbers = [&line.replicas, &line.adding, &line.removing, &line.caught_up].map(|list| ids(list));
        [line.topic.clone(), line.partition.to_string()].into_iter().chain(numbers).collect()
    })?;
    Ok(())
}

fn progress(one: Reassigning, metadata: &Metadata) -> Progress {
    let (topic, partition) = one.partition;
    let found =
        metadata.topics.get(&topic).and_then(|topic| topic.partitions.iter().find(|p| p.partition == partition));
    let in_sync: BTreeSet<i32> = found.map(|found| found.in_sync.iter().copied().collect()).unwrap_or_default();
    let caught_up = one.adding.iter().copied().filter(|id| in_sync.contains(id)).collect();
    Progress { topic, partition, replicas: one.replicas, adding: one.adding, removing: one.removing, caught_up }
}

async fn cancel(texts: &[String], cluster: &Cluster, output: Output) -> anyhow::Result<()> {
    let ongoing = admin::list_reassignments(cluster).await?;
    let partitions: Vec<PartitionName> = if texts.is_empty() {
        ongoing.into_iter().map(|one| one.partition).collect()
    } else {
        crate::leader::named(texts, cluster).await?
    };
    if partitions.is_empty() {
        output.done("no reassignment is under way", &Vec::<Line>::new())?;
        return Ok(());
    }
    let targets: Vec<_> = partitions.into_iter().map(|partition| (partition, None)).collect();
    let outcomes = admin::alter_reassignments(cluster, &targets).await?;
    throttle::clear(cluster).await?;
    report(&outcomes, "cancelled", output)
}
