//! The command line of `whimbrel bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::compare::CompareArgs;
use super::disturbances::Disturbance;
use super::external::Client;
use super::faults::FaultPlan;
use super::report::ReportArgs;
use super::target::{Coordination, TargetName};
use super::workload::{Acks, Codec, Keys, Payload};

#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub command: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Measure a cluster: one that runs, or those that are started for it
    Run(Box<RunArgs>),
    /// Make a page of a run's results, to look at in a browser
    Report(ReportArgs),
    /// Put runs side by side
    Compare(CompareArgs),
    /// List the scenarios that come with the program
    Scenarios,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// A scenario's name, or its TOML file; flags stand over what it says
    #[arg(long, value_name = "NAME|FILE")]
    pub scenario: Option<String>,
    /// A system that is started for it and stopped after it: whimbrel, kafka, kafka-VERSION; several are measured in turn
    #[arg(long, value_delimiter = ',', value_name = "NAME,...", help_heading = "System")]
    pub target: Vec<TargetName>,
    /// How many brokers are started: 1 or 3
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3), help_heading = "System")]
    pub brokers: Option<u8>,
    /// What the brokers agree through; by default, and for kafka-VERSION where it cannot be, the keeper for whimbrel,
    /// ZooKeeper for Kafka 3, KRaft for Kafka 4
    #[arg(long, value_enum, help_heading = "System")]
    pub coordination: Option<Coordination>,
    /// A setting of the brokers that are started
    #[arg(long, value_name = "KEY=VALUE", value_parser = crate::args::key_value, help_heading = "System")]
    pub set: Vec<(String, String)>,
    /// Where the brokers that are started keep their data; by default in memory
    #[arg(long, value_name = "DIR", help_heading = "System")]
    pub data: Option<PathBuf>,
    /// Whimbrel's program, where it is the target; by default this very one
    #[arg(long, value_name = "FILE", help_heading = "System")]
    pub whimbrel: Option<PathBuf>,
    /// Of Apache Kafka, where it is the target or the client
    #[arg(long, value_name = "VERSION", help_heading = "System")]
    pub kafka_version: Option<String>,
    /// A folder with its jars; otherwise, and for kafka-VERSION, Maven fetches them
    #[arg(long, value_name = "DIR", help_heading = "System")]
    pub kafka_jars: Option<PathBuf>,
    /// Something that is done to the brokers that are started, such as "kill leader at 5s for 10s"
    #[arg(long, value_name = "PLAN", help_heading = "System")]
    pub fault: Vec<FaultPlan>,
    /// What the cluster is asked besides, such as "create 1000 topics at 5s", "read 5 GB back at 5s" or "delete 5 GB at 5s"
    #[arg(long, value_name = "WORK", help_heading = "System")]
    pub disturb: Vec<Disturbance>,
    /// Processes of the cluster on this machine, whose cost is told
    #[arg(long, value_name = "PID", value_delimiter = ',', help_heading = "System")]
    pub pid: Vec<u32>,
    #[command(flatten)]
    pub workload: WorkloadArgs,
    /// How often each point is measured; the table has medians
    #[arg(long, help_heading = "Measurement")]
    pub rounds: Option<u32>,
    /// Where results, histograms and the report are written
    #[arg(long, value_name = "DIR", help_heading = "Measurement")]
    pub output: Option<PathBuf>,
    /// Tell for each partition when it could be produced to and consumed, also without a fault
    #[arg(long, help_heading = "Measurement")]
    pub uptime: bool,
    /// Who produces and consumes
    #[arg(long, value_enum, default_value = "whimbrel", help_heading = "Measurement")]
    pub client: Client,
    /// Do not check whether everything that was acknowledged can be read, where there are no consumers
    #[arg(long, help_heading = "Measurement")]
    pub no_verify: bool,
}

/// What the load is. Of lists, every combination is measured.
#[derive(Debug, Args)]
#[command(next_help_heading = "Workload")]
pub struct WorkloadArgs {
    /// Bytes of each value, 16 at least
    #[arg(long, value_delimiter = ',', value_name = "BYTES,...")]
    record_bytes: Vec<u64>,
    /// Records per second of all producers together, or "max"
    #[arg(long, value_delimiter = ',', value_parser = rate, value_name = "RATE|max,...")]
    rate: Vec<Value>,
    #[arg(long, value_delimiter = ',', value_name = "N,...")]
    producers: Vec<u64>,
    /// Members of each group; 0: what was produced is read back at the end
    #[arg(long, value_delimiter = ',', value_name = "N,...")]
    consumers: Vec<u64>,
    /// Each group reads everything
    #[arg(long, value_delimiter = ',', value_name = "N,...")]
    groups: Vec<u64>,
    #[arg(long, value_delimiter = ',', value_name = "N,...")]
    topics: Vec<u64>,
    /// Of each topic
    #[arg(long, value_delimiter = ',', value_name = "N,...")]
    partitions: Vec<u64>,
    #[arg(long, value_delimiter = ',', value_name = "N,...")]
    replicas: Vec<u64>,
    /// What a broker must have done before it acknowledges
    #[arg(long, value_delimiter = ',', value_name = "ACKS,...")]
    acks: Vec<Acks>,
    #[arg(long, value_delimiter = ',', value_name = "CODEC,...")]
    codec: Vec<Codec>,
    /// The size of a batch before compression
    #[arg(long, value_delimiter = ',', value_name = "BYTES,...")]
    batch_bytes: Vec<u64>,
    /// How long a batch waits for more records; 0: while no request may be sent
    #[arg(long, value_delimiter = ',', value_name = "MS,...")]
    linger_ms: Vec<f64>,
    /// No record is stored twice when a request is repeated; needs --acks all
    #[arg(long, value_delimiter = ',', num_args = 0..=1, default_missing_value = "true", value_name = "BOOL,...")]
    idempotent: Vec<bool>,
    /// Requests that a producer has under way at one broker
    #[arg(long, value_delimiter = ',', value_name = "N,...")]
    in_flight: Vec<u64>,
    /// A fetch waits until so much is there, for half a second at most
    #[arg(long, value_delimiter = ',', value_name = "BYTES,...")]
    fetch_min_bytes: Vec<u64>,
    /// "random", "compressible:RATIO" or "file:PATH"
    #[arg(long, value_delimiter = ',', value_parser = payload, value_name = "PAYLOAD,...")]
    payload: Vec<Payload>,
    /// "none", "uniform:COUNT" or "skewed:COUNT:EXPONENT"
    #[arg(long, value_delimiter = ',', value_parser = keys, value_name = "KEYS,...")]
    keys: Vec<Keys>,
    /// How long is measured
    #[arg(long)]
    seconds: Option<f64>,
    /// How long the load runs before that, in seconds
    #[arg(long, value_name = "SECONDS")]
    warmup: Option<f64>,
}

impl WorkloadArgs {
    /// What was given, as a scenario has it: by the names of [`super::workload::Workload`], lists for several values.
    pub fn matrix(&self) -> Map<String, Value> {
        let mut given = Map::new();
        let mut put = |key: &str, values: Vec<Value>| {
            if !values.is_empty() {
                given.insert(key.to_owned(), Value::Array(values));
            }
        };
        put("record_bytes", list(&self.record_bytes));
        put("rate", self.rate.clone());
        put("producers", list(&self.producers));
        put("consumers", list(&self.consumers));
        put("groups", list(&self.groups));
        put("topics", list(&self.topics));
        put("partitions", list(&self.partitions));
        put("replicas", list(&self.replicas));
        put("acks", list(&self.acks));
        put("codec", list(&self.codec));
        put("batch_bytes", list(&self.batch_bytes));
        put("linger_ms", list(&self.linger_ms));
        put("idempotent", list(&self.idempotent));
        put("in_flight", list(&self.in_flight));
        put("fetch_min_bytes", list(&self.fetch_min_bytes));
        put("payload", list(&self.payload));
        put("keys", list(&self.keys));
        put("seconds", list(self.seconds.as_slice()));
        put("warmup_seconds", list(self.warmup.as_slice()));
        given
    }
}

fn list<T: serde::Serialize>(values: &[T]) -> Vec<Value> {
    values.iter().map(|value| json!(value)).collect()
}

/// A number of records per second, or `max`.
fn rate(text: &str) -> Result<Value, String> {
    if text == MAX {
        return Ok(json!(MAX));
    }
    let rate = text.parse::<u64>().ok().filter(|rate| 0 < *rate);
    rate.map(|rate| json!(rate)).ok_or_else(|| format!("\"{text}\" is neither a number nor \"{MAX}\""))
}

/// As fast as records are acknowledged.
pub const MAX: &str = "max";

/// `random`, `compressible:RATIO`, `file:PATH`.
pub fn payload(text: &str) -> Result<Payload, String> {
    let wrong = || format!("\"{text}\" is none of random, compressible:RATIO, file:PATH");
    match text.split_once(':') {
        None if text == "random" => Ok(Payload::Random),
        Some(("compressible", ratio)) => {
            let ratio = ratio.parse().ok().filter(|ratio| 1.0 <= *ratio);
            ratio.map(|ratio| Payload::Compressible { ratio }).ok_or_else(wrong)
        }
        Some(("file", path)) => Ok(Payload::File { path: path.into() }),
        _ => Err(wrong()),
    }
}

/// `none`, `uniform:COUNT`, `skewed:COUNT:EXPONENT`.
pub fn keys(text: &str) -> Result<Keys, String> {
    let wrong = || format!("\"{text}\" is none of none, uniform:COUNT, skewed:COUNT:EXPONENT");
    let parts: Vec<&str> = text.split(':').collect();
    let count = |text: &str| text.parse().ok().filter(|count| 0 < *count).ok_or_else(wrong);
    match parts[..] {
        ["none"] => Ok(Keys::None),
        ["uniform", text] => Ok(Keys::Uniform { count: count(text)? }),
        ["skewed", text, exponent] => {
            let exponent = exponent.parse().ok().filter(|exponent: &f64| exponent.is_finite() && 0.0 <= *exponent);
            Ok(Keys::Skewed { count: count(text)?, exponent: exponent.ok_or_else(wrong)? })
        }
        _ => Err(wrong()),
    }
}
