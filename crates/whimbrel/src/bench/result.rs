//! What a measurement found, as it stands in the JSON lines of its output: one [`Line`] each.
//!
//! Everything else (the table, the HTML page, plots, comparisons) is made from these lines alone. Units are at the end
//! of each name; latencies are in microseconds; times `at_ms` are milliseconds since the measured part of a point began,
//! negative in its warm-up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::workload::Workload;

/// A line of the output.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Line {
    /// The first line: what was run, where.
    Run(Run),
    /// One workload on one system, once.
    Point(Box<Point>),
}

/// A call of `whimbrel bench run`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// The scenario's name, or `custom`.
    pub scenario: String,
    /// The words of the command line that repeats it.
    pub command: Vec<String>,
    /// RFC 3339.
    pub started: String,
    pub bench_version: String,
    pub machine: Machine,
    /// What the machine itself takes, by name ("loopback copy GB/s", "page cache append GB/s", "fdatasync p50 us").
    pub limits: BTreeMap<String, f64>,
}

/// Where it ran.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_bytes: u64,
    pub kernel: String,
    /// Of the data directories: the file system's type.
    pub data_filesystem: String,
}

/// What was measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// `whimbrel`, `kafka`, or the bootstrap servers of somebody else's cluster; told apart by `label` if given.
    pub name: String,
    pub version: String,
    pub brokers: usize,
    /// `keeper`, `zookeeper`, `kraft`, or empty if not known.
    pub coordination: String,
    /// The settings that the bench gave it, by Kafka's keys.
    pub settings: BTreeMap<String, String>,
    /// `whimbrel`, `rdkafka` or `java`.
    pub client: String,
}

/// One workload on one system, once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Point {
    /// Names the workload within the scenario; the same for every system and round.
    pub name: String,
    pub system: System,
    /// Counts from 1.
    pub round: u32,
    pub workload: Workload,
    /// Measured seconds, as they turned out.
    pub seconds: f64,
    pub produced: Flow,
    pub consumed: Flow,
    /// From the intended time of sending to the acknowledgement.
    pub ack_latency: Latency,
    /// From the intended time of sending to the consumer having the record, over all groups.
    pub end_to_end_latency: Latency,
    /// How the point went over time, one window after the other.
    pub series: Vec<Window>,
    pub generator: Generator,
    pub cost: Vec<ProcessCost>,
    pub verification: Verification,
    /// Error texts and how often each was met.
    pub errors: BTreeMap<String, u64>,
    pub faults: Vec<Fault>,
    /// Where faults are injected, or uptime was asked for.
    pub uptime: Option<Uptime>,
}

/// What a client found at one point, before it is known whose and which it was.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// As of [`Point`], like all that follows.
    pub seconds: f64,
    pub produced: Flow,
    pub consumed: Flow,
    pub ack_latency: Latency,
    pub end_to_end_latency: Latency,
    pub series: Vec<Window>,
    pub generator: Generator,
    pub verification: Verification,
    pub errors: BTreeMap<String, u64>,
    pub uptime: Option<Uptime>,
}

/// Records in one direction while it was measured.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Flow {
    pub records: u64,
    /// Of keys and values, before compression.
    pub bytes: u64,
    pub records_per_s: f64,
    /// 10^6 bytes.
    pub mb_per_s: f64,
}

/// A distribution of latencies.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub count: u64,
    pub mean_us: f64,
    pub min_us: u64,
    pub p50_us: u64,
    pub p90_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    pub max_us: u64,
    /// The whole histogram: HdrHistogram's V2 format, deflated, in base64. Empty without records.
    pub histogram: String,
}

/// What happened in one stretch of time.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Window {
    pub at_ms: i64,
    pub ms: u64,
    pub acknowledged: u64,
    pub consumed: u64,
    pub errors: u64,
    pub ack_p50_us: u64,
    pub ack_p99_us: u64,
    pub ack_max_us: u64,
    pub end_to_end_p99_us: u64,
}

/// What the load cost, and whether it kept up with itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Generator {
    /// User and system, of the bench's process or of its external client.
    pub cpu_seconds: f64,
    /// Of the producing threads, for each record.
    pub cpu_us_per_record: f64,
    /// How far behind its intended time a record was handed over.
    pub late_p99_us: u64,
    pub late_max_us: u64,
    /// Why the figures say more about the load than about the system.
    pub bottleneck: Option<String>,
}

/// What a process under test used while it was measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ProcessCost {
    /// `broker 1`, `zookeeper 2`…
    pub name: String,
    pub pid: u32,
    pub cpu_seconds: f64,
    pub memory_peak_bytes: u64,
    /// Handed to the kernel for disks; tmpfs counts nothing.
    pub written_bytes: u64,
    pub files: u64,
    pub threads: u64,
}

/// Whether everything that was acknowledged can be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    pub acknowledged: u64,
    /// Different records that were read.
    pub read: u64,
    /// Acknowledged and not read.
    pub lost: u64,
    /// Read at a second offset.
    pub duplicated: u64,
    /// Behind one that was sent later to the same partition.
    pub reordered: u64,
    /// The reading came to the end of every partition.
    pub is_complete: bool,
}

/// Something that was done to the system.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    pub at_ms: i64,
    /// When it was undone.
    pub until_ms: Option<i64>,
    /// `broker 1 killed`, `zookeeper 2 frozen`…
    pub what: String,
}

/// Who could produce and consume, when.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Uptime {
    pub window_ms: u64,
    pub partitions: Vec<PartitionUptime>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PartitionUptime {
    pub topic: String,
    pub partition: i32,
    pub produce: Availability,
    pub consume: Availability,
}

/// Windows in which something got through, and the gaps between.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Availability {
    /// 0 where nobody produced or consumed, so that it is not known.
    pub windows: u64,
    pub available: u64,
    /// Stretches without success that are longer than a window.
    pub gaps: Vec<Gap>,
}

impl Availability {
    /// Whether anybody tried: without consumers nothing is known of consuming.
    pub fn is_watched(&self) -> bool {
        self.windows != 0
    }
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Gap {
    pub at_ms: i64,
    pub ms: u64,
}
