//! `whimbrel leader`.

use clap::{Args, Subcommand};
use serde::Serialize;
use whimbrel_client::Cluster;
use whimbrel_client::admin::{self, ElectionKind, PartitionOutcome};
use whimbrel_model::ErrorCode;

use crate::UsageError;
use crate::output::{Column, Output};

#[derive(Debug, Args)]
pub struct LeaderArgs {
    #[command(subcommand)]
    command: LeaderCommand,
}

#[derive(Debug, Subcommand)]
enum LeaderCommand {
    /// Elect leaders: the preferred ones, or where there is none any replica that is alive
    Elect {
        /// Elect the first replica of each partition
        #[arg(long, required_unless_present = "unclean", conflicts_with = "unclean")]
        preferred: bool,
        /// Elect a replica that may lack acknowledged records, where no other is left: those records are lost
        #[arg(long)]
        unclean: bool,
        /// Partitions, such as orders or orders:3
        #[arg(value_name = "TOPIC[:PARTITION]", required_unless_present = "all", conflicts_with = "all")]
        partitions: Vec<String>,
        /// All partitions of the cluster
        #[arg(long)]
        all: bool,
    },
}

pub async fn run(args: LeaderArgs, cluster: &Cluster, output: Output) -> anyhow::Result<()> {
    let LeaderCommand::Elect { unclean, partitions, all, .. } = args.command;
    let kind = if unclean { ElectionKind::Unclean } else { ElectionKind::Preferred };
    let named = if all { None } else { Some(named(&partitions, cluster).await?) };
    let outcomes = admin::elect_leaders(cluster, kind, named.as_deref()).await?;
    report(&outcomes, output)
}

/// The partitions that the arguments name; a topic alone stands for all of its partitions.
pub async fn named(texts: &[String], cluster: &Cluster) -> anyhow::Result<Vec<(String, i32)>> {
    let mut named = Vec::new();
    for text in texts {
        match text.rsplit_once(':') {
            Some((topic, partition)) => {
                let wrong = |_| UsageError(format!("{text}: give a topic, or topic:partition such as orders:3"));
                named.push((topic.to_owned(), partition.parse().map_err(wrong)?));
            }
            None => {
                let metadata = cluster.refresh(Some(&[text]), false).await?;
                named.extend(metadata.topic(text)?.partitions.iter().map(|one| (text.clone(), one.partition)));
            }
        }
    }
    Ok(named)
}

#[derive(Serialize)]
struct Line {
    topic: String,
    partition: i32,
    elected: bool,
    error: Option<&'static str>,
    message: Option<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0} partitions got no leader")]
struct NotElected(usize);

fn report(outcomes: &[PartitionOutcome], output: Output) -> anyhow::Result<()> {
    let is_failed = |code| !matches!(code, ErrorCode::None | ErrorCode::ElectionNotNeeded);
    let line = |outcome: &PartitionOutcome| Line {
        topic: outcome.partition.0.clone(),
        partition: outcome.partition.1,
        elected: outcome.code == ErrorCode::None,
        error: is_failed(outcome.code).then(|| outcome.code.name()),
        message: outcome.message.clone(),
    };
    let lines: Vec<Line> = outcomes.iter().map(line).collect();
    if lines.is_empty() && !output.is_json() {
        println!("no election was needed");
    } else {
        let columns = [Column::Text("TOPIC"), Column::Number("PARTITION"), Column::Text("RESULT")];
        output.list(&lines, &columns, |line| {
            let result = match (line.elected, line.error, &line.message) {
                (true, ..) => "elected".to_owned(),
                (_, None, _) => "not needed".to_owned(),
                (_, Some(error), Some(message)) => format!("{error}: {message}"),
                (_, Some(error), None) => error.to_owned(),
            };
            vec![line.topic.clone(), line.partition.to_string(), result]
        })?;
    }
    match outcomes.iter().filter(|outcome| is_failed(outcome.code)).count() {
        0 => Ok(()),
        failed => Err(NotElected(failed).into()),
    }
}
