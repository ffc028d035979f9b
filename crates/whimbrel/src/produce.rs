//! `whimbrel produce`: the lines of the standard input become records.

use std::collections::VecDeque;
use std::io::BufRead;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use serde::Serialize;
use whimbrel_client::{Acks, Cluster, Delivery, ProduceRecord, Producer, ProducerOptions};
use whimbrel_model::record::{Codec, Compression};

use crate::UsageError;
use crate::args::key_value;
use crate::output::Output;
use crate::progress::Progress;
use crate::template::unescape;

/// Lines read ahead of the producer.
const LINES_AHEAD: usize = 1024;
/// Deliveries that are waited for at once; more are looked at as they come.
const DELIVERIES_MAX: usize = 10_000;

#[derive(Debug, Args)]
pub struct ProduceArgs {
    topic: String,
    /// The partition; by default by key, or several in turn
    #[arg(long, short)]
    partition: Option<i32>,
    /// What stands between key and value; without it lines are values
    #[arg(long, short, value_name = "TEXT")]
    key_separator: Option<String>,
    /// The key of all records
    #[arg(long, conflicts_with = "key_separator")]
    key: Option<String>,
    /// A header of all records
    #[arg(long, short = 'H', value_name = "KEY=VALUE", value_parser = key_value)]
    header: Vec<(String, String)>,
    /// A value that stands for null (a delete marker in compacted topics)
    #[arg(long, value_name = "TEXT")]
    null_marker: Option<String>,
    /// What the broker does before it acknowledges
    #[arg(long, default_value = "all")]
    acks: AcksArg,
    #[arg(long, short = 'z', default_value = "none")]
    compression: CompressionArg,
    /// Never store a record twice when a request is repeated
    #[arg(long)]
    idempotent: bool,
    /// The whole standard input is one value
    #[arg(long, conflicts_with = "key_separator")]
    whole: bool,
    /// How long a batch waits for more records
    #[arg(long, default_value = "5ms", value_parser = humantime::parse_duration)]
    linger: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AcksArg {
    #[value(name = "0")]
    None,
    #[value(name = "1")]
    Leader,
    #[value(name = "all", alias = "-1")]
    All,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CompressionArg {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl ProduceArgs {
    fn options(&self, timeout: Duration) -> Result<ProducerOptions, UsageError> {
        if self.idempotent && self.acks != AcksArg::All {
            return Err(UsageError("--idempotent needs --acks all".into()));
        }
        let acks = match self.acks {
            AcksArg::None => Acks::None,
            AcksArg::Leader => Acks::Leader,
            AcksArg::All => Acks::All,
        };
        let codec = match self.compression {
            CompressionArg::None => Codec::None,
            CompressionArg::Gzip => Codec::Gzip,
            CompressionArg::Snappy => Codec::Snappy,
            CompressionArg::Lz4 => Codec::Lz4,
            CompressionArg::Zstd => Codec::Zstd,
        };
        let compression = Compression::new(codec);
        Ok(ProducerOptions {
            acks,
            idempotent: self.idempotent,
            compression,
            linger: self.linger,
            delivery_timeout: timeout,
            ..Default::default()
        })
    }

    fn record(&self, topic: &Arc<str>, line: Vec<u8>) -> ProduceRecord {
        let line = Bytes::from(line);
        let separator = self.key_separator.as_deref().map(unescape);
        let (key, value) = match separator.as_deref().and_then(|separator| split(&line, separator)) {
            Some((key, value)) => (Some(key), value),
            None => (self.key.clone().map(Bytes::from), line),
        };
        let is_null = self.null_marker.as_ref().is_some_and(|marker| value == marker.as_bytes());
        let header = |(key, value): &(String, String)| (key.clone(), Some(Bytes::from(value.clone())));
        ProduceRecord {
            topic: topic.clone(),
            partition: self.partition,
            timestamp: None,
            key,
            value: (!is_null).then_some(value),
            headers: self.header.iter().map(header).collect(),
        }
    }
}

/// What stands before and behind the first `separator`; `None` when it is not there.
fn split(line: &Bytes, separator: &str) -> Option<(Bytes, Bytes)> {
    let separator = separator.as_bytes();
    let at = line.windows(separator.len().max(1)).position(|window| window == separator)?;
    Some((line.slice(..at), line.slice(at + separator.len()..)))
}

#[derive(Serialize)]
struct Produced {
    topic: String,
    records: u64,
}

pub async fn run(args: ProduceArgs, cluster: Cluster, timeout: Duration, output: Output) -> anyhow::Result<()> {
    let producer = Producer::new(cluster, args.options(timeout)?).await?;
    let topic: Arc<str> = args.topic.as_str().into();
    let mut lines = read_lines(args.whole);
    let mut progress = Progress::new(None, "records");
    let mut waiting: VecDeque<Delivery> = VecDeque::new();
    let mut records = 0u64;
    while let Some(line) = lines.recv().await {
        waiting.push_back(producer.send(args.record(&topic, line?)).await?);
        records += 1;
        progress.add(1);
        if DELIVERIES_MAX < waiting.len()
            && let Some(delivery) = waiting.pop_front()
        {
            delivery.wait().await?;
        }
    }
    producer.flush().await;
    for delivery in waiting {
        delivery.wait().await?;
    }
    drop(progress);
    let line = format!("{records} records sent to {}", args.topic);
    if output.is_json() {
        output.json(&Produced { topic: args.topic, records })?;
    } else {
        // The standard output stays free for pipelines.
        eprintln!("{line}");
    }
    Ok(())
}

/// Reads the standard input on a thread of its own: reading it blocks.
fn read_lines(whole: bool) -> tokio::sync::mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let (sender, lines) = tokio::sync::mpsc::channel(LINES_AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = if whole {
                std::io::Read::read_to_end(&mut input, &mut line)
            } else {
                input.read_until(b'\n', &mut line)
            };
            match read {
                Ok(0) => return,
                Ok(_) => {}
                // The receiver ends with the first error.
                Err(error) => return drop(sender.blocking_send(Err(error))),
            }
            if !whole && line.last() == Some(&b'\n') {
                line.pop();
                line.pop_if(|last| *last == b'\r');
            }
            if sender.blocking_send(Ok(line)).is_err() {
                return;
            }
        }
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_separator_ends_the_key() {
        let line = Bytes::from("k::v::w");
        assert_eq!(split(&line, "::"), Some((Bytes::from("k"), Bytes::from("v::w"))));
        assert_eq!(split(&line, "\t"), None);
    }
}
