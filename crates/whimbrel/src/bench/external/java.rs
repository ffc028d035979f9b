//! Kafka's own `ProducerPerformance` and `ConsumerPerformance`.
//!
//! They count records, not seconds: how many are right for the time that is asked for is found by a first run, which
//! serves as the warm-up of the brokers too. Each of the JVMs warms up by itself, within what it measures; that is how
//! these tools are used. Several producers tell their percentiles apart, which cannot be joined: then only the mean and
//! the maximum are told.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::Context;

use super::{flow, producer_settings};
use crate::bench::args::RunArgs;
use crate::bench::load::Bounds;
use crate::bench::result::{Flow, Found, Generator, Latency};
use crate::bench::target::{Jars, KAFKA_VERSION};
use crate::bench::workload::Workload;

const PRODUCER: &str = "org.apache.kafka.tools.ProducerPerformance";
const CONSUMER: &str = "org.apache.kafka.tools.ConsumerPerformance";
/// Of the first run, where the rate is not given.
const TRIAL_RECORDS: u64 = 50_000;
/// How long a consumer waits for what does not come.
const CONSUMER_PATIENCE_MS: u32 = 20_000;

pub fn run(
    args: &RunArgs,
    bootstrap: &str,
    topic: &str,
    workload: &Workload,
    bounds: &mut impl Bounds,
) -> anyhow::Result<Found> {
    let version = args.kafka_version.as_deref().unwrap_or(KAFKA_VERSION);
    let jars = Jars::find(args.kafka_jars.as_deref(), version)?;
    let java = Java { class_path: &jars.class_path(), bootstrap, topic, workload };
    let trial = match workload.rate {
        Some(rate) => (rate as f64 * workload.warmup_seconds) as u64,
        None => TRIAL_RECORDS,
    };
    let rate = match (trial, workload.rate) {
        (0, rate) => rate.map_or(0.0, |rate| rate as f64),
        (records, None) => java.produce(records)?.rate,
        (records, Some(rate)) => {
            java.produce(records)?;
            rate as f64
        }
    };
    let records = (rate * workload.seconds).max(1.0) as u64;
    bounds.begins();
    let began = Instant::now();
    let consumers = java.start_consumers(trial + records)?;
    let produced = java.produce(records)?;
    let seconds = began.elapsed().as_secs_f64();
    bounds.ends();
    let consumed = consumers.into_iter().map(|child| consumed(child, workload)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Found {
        seconds,
        produced: Flow {
            records_per_s: produced.rate,
            mb_per_s: produced.rate * workload.record_bytes as f64 / 1e6,
            ..flow(records, workload.record_bytes, seconds)
        },
        consumed: consumed.into_iter().fold(Flow::default(), sum),
        ack_latency: produced.latency,
        generator: Generator { late_p99_us: 0, ..Generator::default() },
        ..Found::default()
    })
}

fn sum(a: Flow, b: Flow) -> Flow {
    Flow {
        records: a.records + b.records,
        bytes: a.bytes + b.bytes,
        records_per_s: a.records_per_s + b.records_per_s,
        mb_per_s: a.mb_per_s + b.mb_per_s,
    }
}

struct Java<'a> {
    class_path: &'a Path,
    bootstrap: &'a str,
    topic: &'a str,
    workload: &'a Workload,
}

/// What producers told at their end.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    rate: f64,
    latency: Latency,
}

impl Java<'_> {
    fn command(&self, class: &str) -> Command {
        let mut command = Command::new("java");
        command.arg("-cp").arg(self.class_path).arg(class);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Produces `records` by all producers together and returns what they told.
    fn produce(&self, records: u64) -> anyhow::Result<Told> {
        let count = self.workload.producers as u64;
        let rate = self.workload.rate.map_or_else(|| "-1".to_owned(), |rate| rate.div_ceil(count).to_string());
        let start = || {
            let mut command = self.command(PRODUCER);
            command.args(["--topic", self.topic, "--num-records", &records.div_ceil(count).to_string()]);
            command.args(["--record-size", &self.workload.record_bytes.to_string(), "--throughput", &rate]);
            command.arg("--producer-props").arg(format!("bootstrap.servers={}", self.bootstrap));
            command.args(producer_settings(self.workload).iter().map(|(key, value)| format!("{key}={value}")));
            spawn(command)
        };
        let children = (0..count).map(|_| start()).collect::<anyhow::Result<Vec<_>>>()?;
        let told = children.into_iter().map(|child| {
            let text = output(child)?;
            let summary = text.lines().rev().find_map(summary);
            summary.with_context(|| format!("{PRODUCER} did not say what it found: {text}"))
        });
        Ok(joined(&told.collect::<anyhow::Result<Vec<_>>>()?))
    }

    fn start_consumers(&self, records: u64) -> anyhow::Result<Vec<Child>> {
        let start = |_| {
            let mut command = self.command(CONSUMER);
            command.args(["--bootstrap-server", self.bootstrap, "--topic", self.topic, "--hide-header"]);
            command.args(["--group", self.topic]);
            let share = records.div_ceil(self.workload.consumers as u64);
            command.args(["--messages", &share.to_string(), "--timeout", &CONSUMER_PATIENCE_MS.to_string()]);
            spawn(command)
        };
        (0..self.workload.consumers).map(start).collect()
    }
}

fn spawn(mut command: Command) -> anyhow::Result<Child> {
    command.spawn().context("java cannot be started")
}

fn output(child: Child) -> anyhow::Result<String> {
    let output = child.wait_with_output()?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    anyhow::ensure!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
    Ok(said(&output.stdout))
}

/// `50000 records sent, 49751.2 records/sec (4.74 MB/sec), 3.26 ms avg latency, 210.00 ms max latency, 1 ms 50th, 14 ms
/// 95th, 37 ms 99th, 40 ms 99.9th.`
fn summary(line: &str) -> Option<Told> {
    let before = |unit: &str| -> Option<f64> {
        let (text, _) = line.split_once(unit)?;
        text.rsplit([' ', '(']).next()?.parse().ok()
    };
    let us = |unit: &str| before(unit).map(|ms| (ms * 1000.0) as u64);
    // Lines in between have no percentiles.
    let p50_us = us(" ms 50th")?;
    Some(Told {
        rate: before(" records/sec")?,
        latency: Latency {
            count: before(" records sent")? as u64,
            mean_us: before(" ms avg latency")? * 1000.0,
            max_us: us(" ms max latency")?,
            p50_us,
            p99_us: us(" ms 99th")?,
            p999_us: us(" ms 99.9th")?,
            ..Latency::default()
        },
    })
}

fn joined(all: &[Told]) -> Told {
    if let [one] = all {
        return one.clone();
    }
    let count: u64 = all.iter().map(|told| told.latency.count).sum();
    let weighted = all.iter().map(|told| told.latency.mean_us * told.latency.count as f64).sum::<f64>();
    Told {
        rate: all.iter().map(|told| told.rate).sum(),
        latency: Latency {
            count,
            mean_us: weighted / count.max(1) as f64,
            max_us: all.iter().map(|told| told.latency.max_us).max().unwrap_or(0),
            ..Latency::default()
        },
    }
}

/// `start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, …`
fn consumed(child: Child, workload: &Workload) -> anyhow::Result<Flow> {
    let text = output(child)?;
    let flow_of = |line: &str| {
        let fields: Vec<&str> = line.split(", ").collect();
        let (records, rate): (u64, f64) = (fields.get(4)?.parse().ok()?, fields.get(5)?.parse().ok()?);
        Some(flow(records, workload.record_bytes, records as f64 / rate))
    };
    text.lines().rev().find_map(flow_of).with_context(|| format!("{CONSUMER} did not say what it found: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_producer_says_at_its_end_is_read() {
        let line = "50000 records sent, 49751.243781 records/sec (4.74 MB/sec), 3.26 ms avg latency, 210.00 ms max \
                    latency, 1 ms 50th, 14 ms 95th, 37 ms 99th, 40 ms 99.9th.";
        let told = summary(line).unwrap();
        assert_eq!((told.rate, told.latency.count, told.latency.mean_us), (49_751.243_781, 50_000, 3260.0));
        assert_eq!((told.latency.p50_us, told.latency.p99_us, told.latency.p999_us), (1000, 37_000, 40_000));
        assert_eq!(told.latency.max_us, 210_000);
        assert_eq!(
            summary("9 records sent, 1.8 records/sec (0.00 MB/sec), 1.0 ms avg latency, 2.0 ms max latency."),
            None
        );
    }
}
