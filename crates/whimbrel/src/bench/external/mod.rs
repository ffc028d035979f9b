//! Other clients than the load of the bench, to show that figures are not an artefact of it.
//!
//! What they cannot tell stays 0, and is shown as a dash.

mod java;
mod rdkafka;

use clap::ValueEnum;
use whimbrel_client::{Cluster, ClusterOptions};

use super::args::RunArgs;
use super::load::{Bounds, Topics};
use super::result::{Flow, Found};
use super::scenario::PlannedPoint;
use super::workload::{Keys, Payload, Workload};
use crate::UsageError;

/// Who produces and consumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Client {
    /// The load of the bench
    Whimbrel,
    /// librdkafka, through confluent-kafka for Python
    Rdkafka,
    /// The performance tools that come with Apache Kafka
    Java,
}

impl Client {
    pub fn name(self) -> &'static str {
        match self {
            Self::Whimbrel => "whimbrel",
            Self::Rdkafka => "rdkafka",
            Self::Java => "java",
        }
    }
}

/// Puts a point's workload to a cluster by way of another client.
///
/// # Errors
/// The client is not there, cannot do that, or fails.
pub fn run(
    client: Client,
    args: &RunArgs,
    bootstrap: &str,
    planned: &PlannedPoint,
    bounds: &mut impl Bounds,
) -> anyhow::Result<Found> {
    let workload = &planned.workload;
    check(client, planned)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let cluster = Cluster::new(ClusterOptions::new(bootstrap));
    let topics = Topics::new(workload, &super::run::run_name());
    runtime.block_on(topics.create(&cluster, workload))?;
    let topic = topics.names().first().copied().unwrap_or_default();
    let found = match client {
        Client::Rdkafka => rdkafka::run(bootstrap, topic, workload, bounds),
        Client::Java | Client::Whimbrel => java::run(args, bootstrap, topic, workload, bounds),
    };
    runtime.block_on(topics.delete(&cluster));
    found
}

/// What the other clients do not do.
fn check(client: Client, planned: &PlannedPoint) -> Result<(), UsageError> {
    let workload = &planned.workload;
    let trouble = if workload.topics != 1 {
        "more than one topic"
    } else if !planned.faults.is_empty() {
        "faults"
    } else if !planned.disturbances.is_empty() {
        "disturbances"
    } else if workload.keys != Keys::None {
        "keys"
    } else if workload.payload != Payload::Random {
        "another payload than random bytes"
    } else if client == Client::Java && workload.fetch_min_bytes != 1 {
        "fetches of a least size"
    } else if 1 < workload.groups {
        "more than one group"
    } else {
        return Ok(());
    };
    Err(UsageError(format!("--client {} does not do {trouble}", client.name())))
}

/// Kafka's settings of a producer, but for where the cluster is.
fn producer_settings(workload: &Workload) -> Vec<(&'static str, String)> {
    use super::workload::{Acks, Codec};
    let acks = match workload.acks {
        Acks::None => "0",
        Acks::Leader => "1",
        Acks::All => "all",
    };
    let codec = match workload.codec {
        Codec::None => "none",
        Codec::Gzip => "gzip",
        Codec::Snappy => "snappy",
        Codec::Lz4 => "lz4",
        Codec::Zstd => "zstd",
    };
    vec![
        ("acks", acks.to_owned()),
        ("compression.type", codec.to_owned()),
        ("batch.size", workload.batch_bytes.to_string()),
        ("linger.ms", workload.linger_ms.round().to_string()),
        ("enable.idempotence", workload.idempotent.to_string()),
        ("max.in.flight.requests.per.connection", workload.in_flight.to_string()),
    ]
}

/// A flow of `records` of `record_bytes` in `seconds`.
fn flow(records: u64, record_bytes: usize, seconds: f64) -> Flow {
    let bytes = records * record_bytes as u64;
    let seconds = seconds.max(f64::MIN_POSITIVE);
    Flow { records, bytes, records_per_s: records as f64 / seconds, mb_per_s: bytes as f64 / 1e6 / seconds }
}
