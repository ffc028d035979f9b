//! `whimbrel group reset-offsets`: the modes of Kafka's tool. Nothing is changed without `--execute`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use whimbrel_client::Cluster;
use whimbrel_client::admin::{self, CommitAs, Committed};
use whimbrel_client::consumer::{ListedOffset, OffsetQuery, list_offsets};

use super::Target;
use crate::output::{Column, Output, or_dash};
use crate::{UsageError, times};

#[derive(Debug, Args)]
pub struct ResetArgs {
    group: String,
    /// A topic, or some of its partitions: TOPIC or TOPIC:0,1
    #[arg(long, value_name = "TOPIC[:N,N]", required_unless_present = "all_topics")]
    topic: Vec<String>,
    /// All topics in which the group has offsets
    #[arg(long, conflicts_with = "topic")]
    all_topics: bool,
    #[command(flatten)]
    mode: Mode,
    /// Do it; without this only what would be done is shown
    #[arg(long)]
    execute: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Mode {
    /// To the first record that is left
    #[arg(long)]
    to_earliest: bool,
    /// Behind the last record
    #[arg(long)]
    to_latest: bool,
    /// To where they are: commits them again
    #[arg(long)]
    to_current: bool,
    /// To this offset
    #[arg(long, value_name = "OFFSET")]
    to_offset: Option<i64>,
    /// Forward, or with a negative number backward
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    shift_by: Option<i64>,
    /// To the first record at or after this time
    #[arg(long, value_name = "TIME", value_parser = times::timestamp_ms)]
    to_datetime: Option<i64>,
    /// To the first record that is at most so old
    #[arg(long, value_name = "DURATION", value_parser = times::duration)]
    by_duration: Option<Duration>,
}

impl Mode {
    /// The offset to look up, if the mode is one of time or ends.
    fn query(&self, now_ms: i64) -> Option<OffsetQuery> {
        match self {
            Self { to_earliest: true, .. } => Some(OffsetQuery::Earliest),
            Self { to_latest: true, .. } => Some(OffsetQuery::Latest),
            Self { to_datetime: Some(at), .. } => Some(OffsetQuery::At(*at)),
            Self { by_duration: Some(age), .. } => {
                let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                Some(OffsetQuery::At(now_ms.saturating_sub(age)))
            }
            _ => None,
        }
    }

    /// The new offset of one partition. What lies outside of the log is moved to its nearer end, as Kafka's tool does.
    fn offset(&self, current: Option<i64>, found: Option<i64>, earliest: i64, latest: i64) -> Option<i64> {
        let wanted = match self {
            Self { to_offset: Some(offset), .. } => *offset,
            Self { shift_by: Some(shift), .. } => current?.saturating_add(*shift),
            // A partition without an offset begins at its end.
            Self { to_current: true, .. } => current.unwrap_or(latest),
            // No record is that young.
            _ => found.filter(|offset| 0 <= *offset).unwrap_or(latest),
        };
        Some(wanted.clamp(earliest, latest))
    }
}

#[derive(Serialize)]
struct Reset {
    topic: String,
    partition: i32,
    current: Option<i64>,
    new: Option<i64>,
}

pub async fn run(args: &ResetArgs, cluster: &Cluster, output: Output) -> anyhow::Result<()> {
    let group = args.group.as_str();
    let description = admin::describe_groups(cluster, group).await?;
    anyhow::ensure!(
        description.members.is_empty(),
        "group {group} has {} members: stop them before its offsets are moved",
        description.members.len()
    );
    let committed = admin::committed_offsets(cluster, group, None).await?;
    let targets = targets(args, &committed, cluster).await?;
    let ends = |query| targets.iter().map(|target| (target.clone(), query)).collect::<Vec<_>>();
    let earliest = list_offsets(cluster, &ends(OffsetQuery::Earliest), false).await?;
    let latest = list_offsets(cluster, &ends(OffsetQuery::Latest), false).await?;
    let found = match args.mode.query(times::now_ms()) {
        Some(query) => list_offsets(cluster, &ends(query), false).await?,
        None => BTreeMap::new(),
    };
    let of = |offsets: &BTreeMap<Target, ListedOffset>, target: &Target| offsets.get(target).map(|found| found.offset);
    let mut resets = Vec::new();
    let mut commits = Vec::new();
    for target in &targets {
        let current = committed.get(target).map(|committed| committed.offset);
        let (first, end) = (of(&earliest, target).unwrap_or(0), of(&latest, target).unwrap_or(0));
        let new = args.mode.offset(current, of(&found, target), first, end.max(first));
        commits.extend(new.map(|offset| (target.clone(), offset)));
        resets.push(Reset { topic: target.0.to_string(), partition: target.1, current, new });
    }
    if args.execute {
        admin::commit_offsets(cluster, group, &CommitAs::default(), &commits).await?;
    }
    let columns =
        [Column::Text("TOPIC"), Column::Number("PARTITION"), Column::Number("CURRENT"), Column::Number("NEW")];
    output.list(&resets, &columns, |reset| {
        vec![reset.topic.clone(), reset.partition.to_string(), or_dash(reset.current), or_dash(reset.new)]
    })?;
    if !args.execute {
        eprintln!("nothing was changed: give --execute to do it");
    }
    Ok(())
}

/// The partitions to move: those that were named, or those in which the group has offsets.
async fn targets(
    args: &ResetArgs,
    committed: &BTreeMap<Target, Committed>,
    cluster: &Cluster,
) -> anyhow::Result<BTreeSet<Target>> {
    if args.all_topics {
        anyhow::ensure!(!committed.is_empty(), "group {} has no offsets", args.group);
    }
    let names: BTreeMap<String, Option<BTreeSet<i32>>> = if args.all_topics {
        committed.keys().map(|(topic, _)| (topic.to_string(), None)).collect()
    } else {
        args.topic.iter().map(|text| topic_and_partitions(text)).collect::<Result<_, _>>()?
    };
    let mut targets = BTreeSet::new();
    for (name, wanted) in names {
        let metadata = cluster.refresh(Some(&[&name]), false).await?;
        let topic: Arc<str> = name.as_str().into();
        let existing: BTreeSet<i32> =
            metadata.topic(&name)?.partitions.iter().map(|partition| partition.partition).collect();
        let wanted = wanted.unwrap_or_else(|| existing.clone());
        if let Some(missing) = wanted.difference(&existing).next() {
            anyhow::bail!("topic {name} has no partition {missing}");
        }
        targets.extend(wanted.into_iter().map(|partition| (topic.clone(), partition)));
    }
    Ok(targets)
}

fn topic_and_partitions(text: &str) -> Result<(String, Option<BTreeSet<i32>>), UsageError> {
    let Some((topic, partitions)) = text.split_once(':') else { return Ok((text.to_owned(), None)) };
    let numbers: Result<BTreeSet<i32>, _> = partitions.split(',').map(|number| number.trim().parse()).collect();
    let numbers = numbers.map_err(|_| UsageError(format!("--topic {text}: give partitions such as {topic}:0,1")))?;
    Ok((topic.to_owned(), Some(numbers)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode() -> Mode {
        let (to_earliest, to_latest, to_current) = (false, false, false);
        Mode {
            to_earliest,
            to_latest,
            to_current,
            to_offset: None,
            shift_by: None,
            to_datetime: None,
            by_duration: None,
        }
    }

    #[test]
    fn offsets_stay_within_the_log() {
        let shift = |by| Mode { shift_by: Some(by), ..mode() };
        assert_eq!(shift(-3).offset(Some(10), None, 2, 20), Some(7));
        assert_eq!(shift(-30).offset(Some(10), None, 2, 20), Some(2));
        assert_eq!(shift(30).offset(Some(10), None, 2, 20), Some(20));
        assert_eq!(shift(1).offset(None, None, 2, 20), None, "nothing to shift");
        let to = Mode { to_offset: Some(1), ..mode() };
        assert_eq!(to.offset(None, None, 2, 20), Some(2));
    }

    #[test]
    fn a_time_after_the_last_record_is_the_end() {
        let at = Mode { to_datetime: Some(5), ..mode() };
        assert_eq!(at.offset(None, Some(-1), 0, 20), Some(20));
        assert_eq!(at.offset(None, Some(7), 0, 20), Some(7));
        assert_eq!(at.query(100), Some(OffsetQuery::At(5)));
        let by = Mode { by_duration: Some(Duration::from_millis(30)), ..mode() };
        assert_eq!(by.query(100), Some(OffsetQuery::At(70)));
    }
}
