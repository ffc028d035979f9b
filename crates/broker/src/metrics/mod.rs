//! The broker's metrics: named functions to count with, named gauges, one registry per broker.
//!
//! What happens often is counted through handles that are looked up once ([`Metrics::api`]). What only matters when
//! somebody looks (sizes, numbers of groups, open files) is asked for at that moment: its owner hands over a probe with
//! [`Metrics::add_probe`], which sets gauges before each scrape.
//!
//! Names say what Kafka's metrics of the same meaning say, in Prometheus' units (bytes, seconds) and with the prefix
//! `whimbrel_`. Nothing here knows what a request or a log is.

mod cluster;
mod process;

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use whimbrel_model::ErrorCode;

use crate::server::MoveReason;

pub use cluster::{ClusterCounts, ClusterGauges};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabel {
    api: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    api: &'static str,
    error: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabel {
    listener: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirLabel {
    dir: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NameLabel {
    name: &'static str,
}

/// Above Kafka's highest API key (92 in 4.3), with room; other keys share the last place.
const API_KEYS_MAX: usize = 128;

/// Keys of our own, 20000 and up, have the places from here on.
const OWN_API_KEYS: usize = 120;

/// Handles of one API. Shared by all connections.
#[derive(Debug)]
pub struct ApiMetrics {
    name: &'static str,
    requests: Counter,
    seconds: Histogram,
    bytes_in: Counter,
    bytes_out: Counter,
}

/// All metrics of one broker.
pub struct Metrics {
    registry: Registry,
    /// Run before each scrape, in the order in which they were added.
    probes: Mutex<Vec<Probe>>,
    apis: [OnceLock<ApiMetrics>; API_KEYS_MAX],
    requests: Family<ApiLabel, Counter>,
    request_seconds: Family<ApiLabel, Histogram, fn() -> Histogram>,
    request_bytes: Family<ApiLabel, Counter>,
    response_bytes: Family<ApiLabel, Counter>,
    errors: Family<ErrorLabels, Counter>,
    connections: Family<ListenerLabel, Gauge>,
    connections_accepted: Family<ListenerLabel, Counter>,
    connections_refused: Family<ReasonLabel, Counter>,
    connections_moved: Family<ReasonLabel, Counter>,
    topic_bytes_in: Counter,
    topic_bytes_out: Counter,
    topic_messages_in: Counter,
    suspicions: Family<ReasonLabel, Counter>,
    suspicions_cleared: Counter,
    controllers_removed: Family<ReasonLabel, Counter>,
    /// Gauges that probes set.
    pub gauges: Gauges,
}

type Probe = Box<dyn Fn(&Gauges) + Send + Sync>;

/// What probes set before each scrape. A gauge that nobody sets stays 0.
#[derive(Debug, Default)]
pub struct Gauges {
    log_bytes: Family<DirLabel, Gauge>,
    log_dir_free_bytes: Family<DirLabel, Gauge>,
    log_dir_online: Family<DirLabel, Gauge>,
    log_flushes: Family<DirLabel, Counter>,
    log_flush_seconds: Family<DirLabel, Counter<f64, AtomicU64>>,
    groups: Family<StateLabel, Gauge>,
    waiting: Family<NameLabel, Gauge>,
    /// This broker's part in its cluster.
    pub cluster: ClusterGauges,
    /// Partitions that have a replica here.
    pub partitions: Gauge,
    /// Partitions that are led here.
    pub leaders: Gauge,
    /// Partitions whose log here is damaged and out of use.
    pub damaged: Gauge,
    /// 1 on the controller.
    pub active_controller: Gauge,
    /// Brokers that this one counts as gone and has said so.
    pub suspected_brokers: Gauge,
    /// Segment files that are open.
    pub open_segments: Gauge,
    /// Incremental fetch sessions that are remembered.
    pub fetch_sessions: Gauge,
    /// Members of all groups.
    pub group_members: Gauge,
    /// 1 while the ZooKeeper session is alive.
    pub zookeeper_connected: Gauge,
    /// Nodes in the embedded keeper's tree.
    pub keeper_nodes: Gauge,
    /// Sessions that the embedded keeper holds.
    pub keeper_sessions: Gauge,
    /// Watches that the embedded keeper holds.
    pub keeper_watches: Gauge,
}

/// What is to be told of one log directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogDirFigures {
    /// Bytes of all its partitions.
    pub log_bytes: u64,
    /// Bytes free on its file system.
    pub free_bytes: u64,
    pub is_online: bool,
    /// Flushes since the start, and the time they took together.
    pub flushes: u64,
    pub flush_time: Duration,
}

impl Gauges {
    /// The figures of one log directory.
    pub fn log_dir(&self, dir: &str, figures: &LogDirFigures) {
        let label = DirLabel { dir: dir.to_owned() };
        let value = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.log_bytes.get_or_create(&label).set(value(figures.log_bytes));
        self.log_dir_free_bytes.get_or_create(&label).set(value(figures.free_bytes));
        self.log_dir_online.get_or_create(&label).set(i64::from(figures.is_online));
        // Counted elsewhere; what is new since the last look is added.
        let flushes = self.log_flushes.get_or_create_owned(&label);
        flushes.inc_by(figures.flushes.saturating_sub(flushes.get()));
        let seconds = self.log_flush_seconds.get_or_create_owned(&label);
        seconds.inc_by((figures.flush_time.as_secs_f64() - seconds.get()).max(0.0));
    }

    /// Groups in a state, by Kafka's name of the state.
    pub fn groups(&self, state: &str, count: usize) {
        set(&self.groups.get_or_create(&StateLabel { state: state.to_owned() }), count);
    }

    /// Requests that wait in a purgatory.
    pub fn waiting(&self, purgatory: &'static str, count: usize) {
        set(&self.waiting.get_or_create(&NameLabel { name: purgatory }), count);
    }
}

/// Sets a gauge to a count.
pub fn set(gauge: &Gauge, count: usize) {
    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics at zero, with those of the process.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("whimbrel"),
            probes: Mutex::default(),
            apis: [const { OnceLock::new() }; API_KEYS_MAX],
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(latency_histogram),
            request_bytes: Family::default(),
            response_bytes: Family::default(),
            errors: Family::default(),
            connections: Family::default(),
            connections_accepted: Family::default(),
            connections_refused: Family::default(),
            connections_moved: Family::default(),
            topic_bytes_in: Counter::default(),
            topic_bytes_out: Counter::default(),
            topic_messages_in: Counter::default(),
            suspicions: Family::default(),
            suspicions_cleared: Counter::default(),
            controllers_removed: Family::default(),
            gauges: Gauges::default(),
        };
        metrics.register();
        metrics
    }

    /// The handles of an API; `name` is Kafka's name for the key.
    pub fn api(&self, key: i16, name: &'static str) -> &ApiMetrics {
        let place = match key {
            20_000.. => usize::try_from(key - 20_000).map(|own| OWN_API_KEYS + own),
            _ => usize::try_from(key),
        };
        let index = place.unwrap_or(API_KEYS_MAX).min(API_KEYS_MAX - 1);
        let [.., last] = &self.apis;
        self.apis.get(index).unwrap_or(last).get_or_init(|| {
            let label = ApiLabel { api: name };
            ApiMetrics {
                name,
                requests: self.requests.get_or_create_owned(&label),
                seconds: self.request_seconds.get_or_create_owned(&label),
                bytes_in: self.request_bytes.get_or_create_owned(&label),
                bytes_out: self.response_bytes.get_or_create_owned(&label),
            }
        })
    }

    /// A request was answered `elapsed` after its last byte had come. Sizes include the length prefix.
    pub fn request_answered(&self, api: &ApiMetrics, elapsed: Duration, bytes_in: usize, bytes_out: usize) {
        api.requests.inc();
        api.seconds.observe(elapsed.as_secs_f64());
        api.bytes_in.inc_by(bytes_in as u64);
        api.bytes_out.inc_by(bytes_out as u64);
    }

    /// An answer carried an error code, at its top or for one of its partitions. Success is not counted.
    pub fn error_answered(&self, api: &ApiMetrics, error: ErrorCode) {
        if !error.is_ok() {
            self.errors.get_or_create(&ErrorLabels { api: api.name, error: error.name() }).inc();
        }
    }

    /// This broker, as controller, has reported another one as gone, for a `reason`: `refused` or `silence`.
    pub fn broker_suspected(&self, reason: &'static str) {
        self.suspicions.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A broker that was reported as gone answers again.
    pub fn broker_cleared(&self) {
        self.suspicions_cleared.inc();
    }

    /// This broker has taken the office from a controller that was gone.
    pub fn controller_removed(&self, reason: &'static str) {
        self.controllers_removed.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A connection was accepted on a listener.
    pub fn connection_opened(&self, listener: &str) {
        let label = ListenerLabel { listener: listener.to_owned() };
        self.connections.get_or_create(&label).inc();
        self.connections_accepted.get_or_create(&label).inc();
    }

    /// A connection that was accepted has ended.
    pub fn connection_closed(&self, listener: &str) {
        self.connections.get_or_create(&ListenerLabel { listener: listener.to_owned() }).dec();
    }

    /// A connection was closed for a limit (`max.connections.per.ip`, …) or for what it sent.
    pub fn connection_refused(&self, reason: &'static str) {
        self.connections_refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A connection went to another worker.
    pub fn connection_moved(&self, reason: MoveReason) {
        let reason = match reason {
            MoveReason::Together => "together",
            MoveReason::Crowded => "crowded",
        };
        self.connections_moved.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Records were appended by producers.
    pub fn appended(&self, records: u64, bytes: u64) {
        self.topic_messages_in.inc_by(records);
        self.topic_bytes_in.inc_by(bytes);
    }

    /// Records were sent to consumers.
    pub fn fetched(&self, bytes: u64) {
        self.topic_bytes_out.inc_by(bytes);
    }

    /// Has `probe` set gauges before each scrape. It is called on the HTTP task and must not wait.
    pub fn add_probe(&self, probe: impl Fn(&Gauges) + Send + Sync + 'static) {
        self.probes.lock().push(Box::new(probe));
    }

    /// Everything in the text format of OpenMetrics.
    #[must_use]
    pub fn scrape(&self) -> String {
        for probe in self.probes.lock().iter() {
            probe(&self.gauges);
        }
        let mut text = String::with_capacity(16 * 1024);
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn register(&mut self) {
        let Self { registry, gauges, .. } = self;
        registry.register("requests", "Requests answered", self.requests.clone());
        registry.register(
            "request_duration_seconds",
            "From a request's last byte to its answer",
            self.request_seconds.clone(),
        );
        registry.register("request_bytes", "Bytes of requests", self.request_bytes.clone());
        registry.register("response_bytes", "Bytes of answers", self.response_bytes.clone());
        registry.register("request_errors", "Error codes answered", self.errors.clone());
        registry.register("connections", "Open connections", self.connections.clone());
        registry.register("connections_accepted", "Connections accepted", self.connections_accepted.clone());
        registry.register(
            "connections_refused",
            "Connections closed for a limit or for what they sent",
            self.connections_refused.clone(),
        );
        registry.register(
            "connections_moved",
            "Connections that went to another worker thread",
            self.connections_moved.clone(),
        );
        registry.register("topic_bytes_in", "Bytes of records from producers", self.topic_bytes_in.clone());
        registry.register("topic_bytes_out", "Bytes of records to consumers", self.topic_bytes_out.clone());
        registry.register("topic_messages_in", "Records from producers", self.topic_messages_in.clone());
        let (suspicions, removed) = (self.suspicions.clone(), self.controllers_removed.clone());
        registry.register("liveness_suspicions", "Brokers reported as gone, by the kind of evidence", suspicions);
        registry.register(
            "liveness_suspicions_cleared",
            "Brokers that answered again after they were reported as gone",
            self.suspicions_cleared.clone(),
        );
        registry.register("liveness_controllers_removed", "Controllers found gone and deposed", removed);
        gauges.register(registry);
        registry.register_collector(Box::new(process::Process::new()));
    }
}

impl Gauges {
    fn register(&self, registry: &mut Registry) {
        registry.register("log_size_bytes", "Bytes of all partitions in a log directory", self.log_bytes.clone());
        registry.register(
            "log_dir_free_bytes",
            "Free bytes on a log directory's file system",
            self.log_dir_free_bytes.clone(),
        );
        registry.register("log_dir_online", "1 while a log directory is in use", self.log_dir_online.clone());
        registry.register("log_flushes", "Flushes of a log directory", self.log_flushes.clone());
        registry.register(
            "log_flush_seconds",
            "Time taken by flushes of a log directory",
            self.log_flush_seconds.clone(),
        );
        self.cluster.register(registry);
        registry.register("groups", "Groups by state", self.groups.clone());
        registry.register("requests_waiting", "Requests waiting in a purgatory", self.waiting.clone());
        let plain = [
            ("partitions", "Partitions with a replica here", &self.partitions),
            ("leaders", "Partitions led here", &self.leaders),
            ("damaged_partitions", "Partitions whose log here is damaged and out of use", &self.damaged),
            ("active_controller", "1 on the controller", &self.active_controller),
            ("liveness_suspected_brokers", "Brokers counted as gone at present", &self.suspected_brokers),
            ("open_segments", "Open segment files", &self.open_segments),
            ("fetch_sessions", "Incremental fetch sessions", &self.fetch_sessions),
            ("group_members", "Members of all groups", &self.group_members),
            ("zookeeper_connected", "1 while the ZooKeeper session is alive", &self.zookeeper_connected),
            ("keeper_nodes", "Nodes in the embedded keeper", &self.keeper_nodes),
            ("keeper_sessions", "Sessions of the embedded keeper", &self.keeper_sessions),
            ("keeper_watches", "Watches of the embedded keeper", &self.keeper_watches),
        ];
        for (name, help, gauge) in plain {
            registry.register(name, help, gauge.clone());
        }
    }
}

/// 50 µs to 26 s in steps of two: the fastest answers to the longest waits.
fn latency_histogram() -> Histogram {
    Histogram::new((0..20).map(|step| 50e-6 * f64::from(1u32 << step)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_scraped() {
        let metrics = Metrics::new();
        let produce = metrics.api(0, "Produce");
        metrics.request_answered(produce, Duration::from_millis(2), 100, 50);
        metrics.error_answered(produce, ErrorCode::NotLeaderOrFollower);
        metrics.error_answered(produce, ErrorCode::None);
        metrics.connection_opened("PLAINTEXT");
        metrics.add_probe(|gauges| {
            let flush_time = Duration::from_millis(1500);
            let figures = LogDirFigures { log_bytes: 7, free_bytes: 8, is_online: true, flushes: 3, flush_time };
            gauges.log_dir("/data", &figures);
            set(&gauges.partitions, 3);
        });
        let _ = metrics.scrape();
        let text = metrics.scrape();
        for line in [
            "whimbrel_requests_total{api=\"Produce\"} 1",
            "whimbrel_request_errors_total{api=\"Produce\",error=\"NOT_LEADER_OR_FOLLOWER\"} 1",
            "whimbrel_request_bytes_total{api=\"Produce\"} 100",
            "whimbrel_connections{listener=\"PLAINTEXT\"} 1",
            "whimbrel_log_size_bytes{dir=\"/data\"} 7",
            "whimbrel_log_flushes_total{dir=\"/data\"} 3",
            "whimbrel_log_flush_seconds_total{dir=\"/data\"} 1.5",
            "whimbrel_partitions 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("error=\"NONE\""), "success is not an error");
        assert!(text.contains("whimbrel_process_resident_memory_bytes"));
    }

    #[test]
    fn keys_beyond_the_table_share_a_place() {
        let metrics = Metrics::new();
        metrics.api(-1, "Unknown");
        assert!(std::ptr::eq(metrics.api(5000, "Unknown"), metrics.api(-1, "Unknown")));
    }
}
