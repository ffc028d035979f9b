//! What is asked of a cluster at one point of a measurement.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One combination of sizes, rates and clients. A scenario is a list of them, and of systems to ask it of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workload {
    /// Bytes of a record's value.
    pub record_bytes: usize,
    /// Records per second of all producers together; `None`: as fast as they are acknowledged.
    pub rate: Option<u64>,
    pub producers: usize,
    /// Members of each group.
    pub consumers: usize,
    /// Each group reads everything.
    pub groups: usize,
    pub topics: usize,
    /// Of each topic.
    pub partitions: i32,
    pub replicas: i16,
    pub acks: Acks,
    pub idempotent: bool,
    pub codec: Codec,
    pub batch_bytes: usize,
    pub linger_ms: f64,
    /// Produce requests that one producer has under way at one broker.
    pub in_flight: usize,
    /// A fetch waits until so much is there, for half a second at most.
    pub fetch_min_bytes: usize,
    pub payload: Payload,
    pub keys: Keys,
    /// Measured, after the warm-up.
    pub seconds: f64,
    pub warmup_seconds: f64,
    /// Settings of the topics, by Kafka's keys.
    pub topic_config: std::collections::BTreeMap<String, String>,
}

impl Default for Workload {
    /// 1 KiB records at 10,000 a second from one producer to one consumer over one topic of three partitions.
    fn default() -> Self {
        Self {
            record_bytes: 1024,
            rate: Some(10_000),
            producers: 1,
            consumers: 1,
            groups: 1,
            topics: 1,
            partitions: 3,
            replicas: 1,
            acks: Acks::Leader,
            idempotent: false,
            codec: Codec::None,
            batch_bytes: 64 * 1024,
            linger_ms: 0.0,
            in_flight: 5,
            fetch_min_bytes: 1,
            payload: Payload::Random,
            keys: Keys::None,
            seconds: 10.0,
            warmup_seconds: 3.0,
            topic_config: std::collections::BTreeMap::new(),
        }
    }
}

/// What a broker must have done before it acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Acks {
    #[value(name = "0", alias = "none")]
    #[serde(alias = "0")]
    None,
    #[value(name = "1", alias = "leader")]
    #[serde(alias = "1")]
    Leader,
    #[value(name = "all", alias = "-1")]
    #[serde(alias = "-1")]
    All,
}

/// How batches are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// What the values of records are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Payload {
    /// Does not compress.
    Random,
    /// Shrinks to about `1 / ratio` with lz4.
    Compressible { ratio: f64 },
    /// Slices of a file, one after the other.
    File { path: PathBuf },
}

/// What the keys of records are; a key decides the partition as Kafka's partitioner has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keys {
    /// No key: batches go to the partitions in turn.
    None,
    /// One of `count`, each as often.
    Uniform { count: u64 },
    /// One of `count`; the k-th is chosen in proportion to `1 / k^exponent` (Zipf).
    Skewed { count: u64, exponent: f64 },
}
