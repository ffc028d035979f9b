//! `whimbrel consume`: records to the standard output.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use whimbrel_client::consumer::GroupEvent;
use whimbrel_client::{
    ClientError, Cluster, Consumer, ConsumerOptions, FetchedRecord, GroupConsumer, GroupOptions, Isolation, Start,
};
use whimbrel_model::ErrorCode;

use crate::output::{Output, text_or_base64};
use crate::signals::StopSignals;
use crate::template::Template;
use crate::{UsageError, times};

/// One wait for records; signals are looked at in between.
const POLL: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub struct ConsumeArgs {
    #[arg(required = true)]
    topics: Vec<String>,
    /// Only this partition
    #[arg(long, short, conflicts_with = "group")]
    partition: Option<i32>,
    /// Where to begin: beginning, end, an offset, -N for the last N records, or a time such as 2026-11-23T10:00:00Z.
    /// With --group, only where nothing is committed
    #[arg(long, default_value = "beginning", value_parser = parse_from, allow_hyphen_values = true, value_name = "WHERE")]
    from: From,
    /// Stop after so many records
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    /// Wait for further records at the end
    #[arg(long, short)]
    follow: bool,
    /// Read as a member of this group, and commit what was printed
    #[arg(long, short)]
    group: Option<String>,
    /// Hide records of open and aborted transactions
    #[arg(long)]
    read_committed: bool,
    /// Print keys too
    #[arg(long, short)]
    keys: bool,
    /// What is printed between key and value
    #[arg(long, default_value = r"\t", value_name = "TEXT")]
    key_separator: String,
    /// Print headers too, before key and value
    #[arg(long)]
    headers: bool,
    /// How a record is printed, with {topic} {partition} {offset} {timestamp} {time} {key} {value} {headers}
    #[arg(long, short = 't', conflicts_with_all = ["keys", "headers"], value_name = "TEXT")]
    template: Option<String>,
}

#[derive(Debug, Clone, Copy)]
enum From {
    Start(Start),
    /// So many records before the end.
    Last(i64),
}

fn parse_from(text: &str) -> Result<From, String> {
    match text {
        "beginning" | "earliest" => return Ok(From::Start(Start::Earliest)),
        "end" | "latest" => return Ok(From::Start(Start::Latest)),
        _ => {}
    }
    if let Ok(offset) = text.parse::<i64>() {
        return Ok(if offset < 0 { From::Last(offset.saturating_neg()) } else { From::Start(Start::Offset(offset)) });
    }
    let at = times::timestamp_ms(text);
    at.map(|at| From::Start(Start::Time(at))).map_err(|_| {
        format!("\"{text}\" is none of beginning, end, an offset, -N, or a time such as 2026-11-23T10:00:00Z")
    })
}

/// A record as JSON: bytes that are no text are in base64 under another name.
#[derive(Serialize)]
struct JsonRecord<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    headers: Vec<JsonHeader<'a>>,
}

#[derive(Serialize)]
struct JsonHeader<'a> {
    key: std::borrow::Cow<'a, str>,
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

impl<'a> JsonRecord<'a> {
    fn new(record: &'a FetchedRecord) -> Self {
        let (key, key_base64) = record.key.as_deref().map(text_or_base64).unwrap_or_default();
        let (value, value_base64) = record.value.as_deref().map(text_or_base64).unwrap_or_default();
        let header = |(key, value): &'a (bytes::Bytes, Option<bytes::Bytes>)| {
            let (text, value_base64) = value.as_deref().map(text_or_base64).unwrap_or_default();
            JsonHeader { key: String::from_utf8_lossy(key), value: text, value_base64 }
        };
        Self {
            topic: &record.topic,
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key,
            key_base64,
            value,
            value_base64,
            headers: record.headers.iter().map(header).collect(),
        }
    }
}

/// Prints records until enough are printed.
struct Printer {
    /// `None`: JSON, one record a line.
    template: Option<Template>,
    left: Option<u64>,
}

impl Printer {
    fn new(args: &ConsumeArgs, output: Output) -> Result<Self, UsageError> {
        let template = match &args.template {
            _ if output.is_json() => None,
            Some(template) => Some(template.clone()),
            None => {
                let headers = if args.headers { r"{headers}\t" } else { "" };
                let key =
                    if args.keys { format!("{{key}}{}", args.key_separator.replace('{', "{{")) } else { String::new() };
                Some(format!(r"{headers}{key}{{value}}\n"))
            }
        };
        let parsed = template.map(|template| Template::parse(&template)).transpose();
        Ok(Self { template: parsed.map_err(UsageError)?, left: args.count })
    }

    fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    /// Prints what may still be printed and tells how many of `records` that were.
    fn print(&mut self, records: &[FetchedRecord]) -> std::io::Result<usize> {
        let wanted =
            self.left.map_or(records.len(), |left| records.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        for record in records.iter().take(wanted) {
            match &self.template {
                Some(template) => template.print(record, &mut out)?,
                None => {
                    serde_json::to_writer(&mut out, &JsonRecord::new(record))?;
                    out.write_all(b"\n")?;
                }
            }
        }
        out.flush()?;
        self.left = self.left.map(|left| left.saturating_sub(wanted as u64));
        Ok(wanted)
    }
}

pub async fn run(args: ConsumeArgs, cluster: Cluster, output: Output) -> anyhow::Result<()> {
    let printer = Printer::new(&args, output)?;
    let isolation = if args.read_committed { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
    let options = ConsumerOptions { isolation, ..ConsumerOptions::default() };
    let mut signals = StopSignals::new()?;
    match args.group.clone() {
        Some(group) => in_group(&args, &group, cluster, options, printer, &mut signals).await,
        None => alone(&args, cluster, options, printer, &mut signals).await,
    }
}

async fn alone(
    args: &ConsumeArgs,
    cluster: Cluster,
    options: ConsumerOptions,
    mut printer: Printer,
    signals: &mut StopSignals,
) -> anyhow::Result<()> {
    let mut targets = Vec::new();
    for name in &args.topics {
        let metadata = cluster.topic(name, false).await?;
        let topic: Arc<str> = name.as_str().into();
        let partitions = metadata.topic(name)?.partitions.iter().map(|partition| partition.partition);
        let wanted = partitions.filter(|partition| args.partition.is_none_or(|only| only == *partition));
        targets.extend(wanted.map(|partition| (topic.clone(), partition)));
        if let Some(partition) = args.partition
            && !targets.contains(&(topic, partition))
        {
            anyhow::bail!("topic {name} has no partition {partition}");
        }
    }
    let mut starts = Vec::new();
    for target in targets {
        starts.push((target.clone(), start(&cluster, &target, args.from).await?));
    }
    let mut consumer = Consumer::new(cluster, options);
    consumer.assign(&starts).await?;
    while !printer.is_done() && (args.follow || !consumer.is_at_end()) {
        let records = tokio::select! {
            records = consumer.poll(POLL) => records?,
            _ = signals.next() => break,
        };
        printer.print(&records)?;
    }
    Ok(())
}

async fn start(cluster: &Cluster, target: &(Arc<str>, i32), from: From) -> anyhow::Result<Start> {
    use whimbrel_client::consumer::{OffsetQuery, list_offsets};
    match from {
        From::Start(start) => Ok(start),
        From::Last(count) => {
            let ask = async |query| list_offsets(cluster, &[(target.clone(), query)], false).await;
            let (first, end) = (ask(OffsetQuery::Earliest).await?, ask(OffsetQuery::Latest).await?);
            let of = |found: &std::collections::BTreeMap<_, whimbrel_client::consumer::ListedOffset>| {
                found.get(target).map_or(0, |found| found.offset)
            };
            Ok(Start::Offset(of(&end).saturating_sub(count).max(of(&first))))
        }
    }
}

async fn in_group(
    args: &ConsumeArgs,
    group: &str,
    cluster: Cluster,
    options: ConsumerOptions,
    mut printer: Printer,
    signals: &mut StopSignals,
) -> anyhow::Result<()> {
    let From::Start(start) = args.from else {
        return Err(UsageError("--from -N does not go with --group".into()).into());
    };
    // Committed is what was printed, so that a `--count` in the middle of an answer loses nothing.
    let group_options = GroupOptions { start, auto_commit: None, ..GroupOptions::new(group, &args.topics) };
    let mut consumer = GroupConsumer::new(cluster, group_options, options);
    while !printer.is_done() && (args.follow || !consumer.is_at_end()) {
        let event = tokio::select! {
            event = consumer.poll(POLL) => event?,
            _ = signals.next() => break,
        };
        let GroupEvent::Records(records) = event else { continue };
        let printed = printer.print(&records)?;
        let mut positions = std::collections::BTreeMap::new();
        for record in records.iter().take(printed) {
            positions.insert((record.topic.clone(), record.partition), record.offset + 1);
        }
        match consumer.commit_positions(positions.into_iter().collect()).await {
            // The group has moved on: whoever reads these partitions now prints the records again.
            Err(error) if is_rebalance(&error) => tracing::debug!(%error, "not committed"),
            committed => committed?,
        }
    }
    consumer.close().await?;
    Ok(())
}

fn is_rebalance(error: &ClientError) -> bool {
    let moved_on = [ErrorCode::RebalanceInProgress, ErrorCode::IllegalGeneration, ErrorCode::UnknownMemberId];
    error.code().is_some_and(|code| moved_on.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_a_word_an_offset_or_a_time() {
        assert!(matches!(parse_from("beginning"), Ok(From::Start(Start::Earliest))));
        assert!(matches!(parse_from("12"), Ok(From::Start(Start::Offset(12)))));
        assert!(matches!(parse_from("-5"), Ok(From::Last(5))));
        assert!(matches!(parse_from("1970-01-01T00:00:01Z"), Ok(From::Start(Start::Time(1000)))));
        assert!(parse_from("soon").is_err());
    }
}
