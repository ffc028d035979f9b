//! The broker's settings, validated and typed: made once from the layers, and again when a dynamic value changes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use whimbrel_model::NodeId;
use whimbrel_state::controller::LeaderBalance;

use super::error::ConfigError;
use super::kind::Value;
use super::layers::Layers;
use super::listeners::Listeners;
use super::setting::Setting;
use super::table::*;
use super::topic::TopicConfig;
use crate::coordination::ZooKeeperAuth;

/// Everything the broker was told, parsed. `layers` keeps what was given, for DescribeConfigs and dynamic changes.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// `None`: from `meta.properties`, or drawn.
    pub node_id: Option<NodeId>,
    pub node_id_generation: bool,
    /// The largest id that may be set by hand.
    pub node_id_reserved_max: i32,
    pub rack: Option<String>,
    pub coordination: CoordinationConfig,
    /// How long a stop waits for leaderships to be moved away; `None`: they are not moved.
    pub controlled_shutdown: Option<Duration>,
    /// Where `/metrics` and `/health` are served; `None`: nowhere.
    pub http: Option<SocketAddr>,
    pub listeners: Listeners,
    pub network: NetworkConfig,
    pub liveness: LivenessConfig,
    pub topics: TopicDefaults,
    pub log: LogSettings,
    pub groups: GroupConfig,
    pub offsets: OffsetsConfig,
    pub replication: ReplicationConfig,
    pub producer_id_expiration: Duration,
    pub producer_id_expiration_check_interval: Duration,
    pub layers: Layers,
}

/// Where coordination is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoordinationConfig {
    /// The ensemble; `None`: the embedded keeper.
    pub zookeeper_connect: Option<String>,
    pub session_timeout: Duration,
    pub connection_timeout: Duration,
    /// Requests that may be under way at once.
    pub in_flight_max: usize,
    pub auth: Option<ZooKeeperAuth>,
    /// Whether nodes are protected from all but the brokers.
    pub set_acl: bool,
    /// The embedded keeper's address.
    pub keeper_listener: SocketAddr,
    /// The embedded keeper's directory; by default the first log directory.
    pub keeper_dir: PathBuf,
}

/// How brokers watch each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivenessConfig {
    pub is_enabled: bool,
    pub interval: Duration,
    pub silence: Duration,
}

/// Connections and requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkConfig {
    /// Between the controller and a broker, until a connection stands.
    pub controller_connect_timeout: Duration,
    /// Of requests to other brokers.
    pub request_timeout: Duration,
    pub request_bytes_max: usize,
    /// `None`: the operating system's choice.
    pub send_buffer_bytes: Option<usize>,
    /// `None`: the operating system's choice.
    pub receive_buffer_bytes: Option<usize>,
    pub listen_backlog: u32,
    /// `None`: connections may be idle for ever.
    pub connection_idle_max: Option<Duration>,
    pub connections_max: usize,
    pub connections_per_ip_max: usize,
    pub connections_per_ip_overrides: BTreeMap<IpAddr, usize>,
    /// `None`: no bound on the bytes of queued requests. Otherwise at least `request_bytes_max`.
    pub queued_request_bytes_max: Option<usize>,
    pub fetch_bytes_max: usize,
    pub fetch_sessions_max: usize,
    pub request_partitions_max: usize,
}

/// What a topic gets when its creator does not say.
#[derive(Debug, Clone)]
pub struct TopicDefaults {
    pub partitions: i32,
    pub replication_factor: i16,
    pub auto_create: bool,
    pub delete_enabled: bool,
    /// `None`: leadership is not given back by itself.
    pub leader_balance: Option<LeaderBalance>,
    /// The settings of a topic without overrides.
    pub config: TopicConfig,
}

/// What concerns all logs of the broker; the rest is in each topic's [`TopicConfig`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// At least one; absolute.
    pub dirs: Vec<PathBuf>,
    pub retention_check_interval: Duration,
    /// `None`: only by the topics' own intervals.
    pub flush_scheduler_interval: Option<Duration>,
    pub recovery_point_checkpoint_interval: Duration,
    pub start_offset_checkpoint_interval: Duration,
    pub high_watermark_checkpoint_interval: Duration,
    pub initial_task_delay: Duration,
    pub recovery_threads_per_dir: usize,
    pub open_segments_max: usize,
    /// Newest batches kept in memory for readers at the logs' ends.
    pub tail_cache_bytes: usize,
    /// Produce is refused while a file system has fewer free bytes.
    pub disk_reserve_bytes: u64,
}

/// Bounds and times of consumer groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    pub session_timeout_min: Duration,
    pub session_timeout_max: Duration,
    pub initial_rebalance_delay: Duration,
    pub members_max: usize,
}

/// `__consumer_offsets` and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetsConfig {
    pub topic_partitions: i32,
    pub topic_replication_factor: i16,
    pub topic_segment_bytes: u32,
    /// Kafka's number of the codec, 0 to 4.
    pub topic_compression_codec: u8,
    pub retention: Duration,
    pub retention_check_interval: Duration,
    pub commit_timeout: Duration,
    pub commit_required_acks: i16,
    pub load_buffer_bytes: usize,
    pub metadata_bytes_max: usize,
}

/// Replication between brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationConfig {
    /// A follower that lags for longer leaves the in-sync set.
    pub lag_max: Duration,
    pub fetch_wait_max: Duration,
    pub fetch_bytes_min: i32,
    /// For each partition of a fetch.
    pub fetch_partition_bytes_max: i32,
    /// For a whole fetch.
    pub fetch_bytes_max: i32,
    pub fetch_backoff_max: Duration,
    pub fetch_timeout: Duration,
    pub fetchers_per_leader: u32,
    /// Consumers are sent to a replica in their rack (KIP-392).
    pub rack_aware_reads: bool,
    /// For throttled replicas, bytes per second; `None`: no bound.
    pub leader_throttled_rate: Option<u64>,
    pub follower_throttled_rate: Option<u64>,
    /// What these rates are measured over.
    pub quota_samples: usize,
    pub quota_sample: Duration,
}

impl BrokerConfig {
    /// Parses and checks everything.
    ///
    /// # Errors
    /// The first value that is not allowed, by itself or beside another one.
    pub fn resolve(layers: Layers) -> Result<Self, ConfigError> {
        let reader = Reader(&layers);
        let log = reader.log()?;
        let defaults = TopicConfig::resolve(&layers, &BTreeMap::new())?;
        reader.check_retention(&defaults)?;
        Ok(Self {
            node_id: reader.node_id()?,
            node_id_generation: reader.get(&BROKER_ID_GENERATION_ENABLE)?.bool(),
            node_id_reserved_max: reader.get(&RESERVED_BROKER_MAX_ID)?.int(),
            rack: reader.text(&BROKER_RACK)?,
            coordination: reader.coordination(&log)?,
            controlled_shutdown: reader.controlled_shutdown()?,
            http: reader.address(&WHIMBREL_HTTP_LISTENER)?,
            listeners: Listeners::resolve(&layers, host_name)?,
            network: reader.network()?,
            liveness: reader.liveness()?,
            topics: reader.topics(defaults)?,
            log,
            groups: reader.groups()?,
            offsets: reader.offsets()?,
            replication: reader.replication()?,
            producer_id_expiration: reader.get(&PRODUCER_ID_EXPIRATION_MS)?.ms(),
            producer_id_expiration_check_interval: reader.get(&PRODUCER_ID_EXPIRATION_CHECK_INTERVAL_MS)?.ms(),
            layers,
        })
    }

    /// The same broker with another dynamic configuration: of all brokers, and of this one.
    ///
    /// # Errors
    /// As [`BrokerConfig::resolve`]; the caller then keeps what is in force.
    pub fn with_dynamic(
        &self,
        of_all: &BTreeMap<String, String>,
        of_this: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        Self::resolve(self.layers.with_dynamic(of_all, of_this))
    }
}

/// Typed access to the layers.
struct Reader<'a>(&'a Layers);

impl Reader<'_> {
    /// The value of a setting that has a default.
    fn get(&self, setting: &Setting) -> Result<Value, ConfigError> {
        let value = self.0.value(setting)?;
        value.ok_or_else(|| self.invalid(setting, "", setting.kind.allowed()))
    }

    /// A text; `None` when it is unset or empty.
    fn text(&self, setting: &Setting) -> Result<Option<String>, ConfigError> {
        Ok(self.0.value(setting)?.map(|value| value.to_string()).filter(|text| !text.is_empty()))
    }

    fn count(&self, setting: &Setting) -> Result<usize, ConfigError> {
        Ok(self.get(setting)?.size() as usize)
    }

    /// A socket address; `None` when the text is empty. `localhost` is understood without asking a resolver.
    fn address(&self, setting: &Setting) -> Result<Option<SocketAddr>, ConfigError> {
        let Some(text) = self.text(setting)? else { return Ok(None) };
        let numeric = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None if text.starts_with(':') => format!("0.0.0.0{text}"),
            None => text.clone(),
        };
        let allowed = "an address and port, such as 127.0.0.1:9644 or [::1]:9644";
        numeric.parse().map(Some).map_err(|_| self.invalid(setting, text, allowed))
    }

    fn invalid(&self, setting: &Setting, value: impl std::fmt::Display, allowed: impl Into<String>) -> ConfigError {
        ConfigError::invalid(setting.name, value, self.0.origin(setting), allowed)
    }

    fn node_id(&self) -> Result<Option<NodeId>, ConfigError> {
        let (broker, node) = (self.get(&BROKER_ID)?.int(), self.get(&NODE_ID)?.int());
        if broker != node && broker >= 0 && node >= 0 {
            return Err(self.invalid(&NODE_ID, node, format!("the same as broker.id, which is {broker}")));
        }
        let id = broker.max(node);
        let setting = if broker >= 0 { &BROKER_ID } else { &NODE_ID };
        let generation = self.get(&BROKER_ID_GENERATION_ENABLE)?.bool();
        let reserved_max = self.get(&RESERVED_BROKER_MAX_ID)?.int();
        if generation && id > reserved_max {
            let allowed = format!("at most reserved.broker.max.id, which is {reserved_max}: larger ids are drawn");
            return Err(self.invalid(setting, id, allowed));
        }
        if !generation && id < 0 {
            return Err(self.invalid(&BROKER_ID, id, "0 or more while broker.id.generation.enable is false"));
        }
        Ok((id >= 0).then_some(NodeId(id)))
    }

    fn coordination(&self, log: &LogSettings) -> Result<CoordinationConfig, ConfigError> {
        let session_timeout = self.get(&ZOOKEEPER_SESSION_TIMEOUT_MS)?.ms();
        let connection_timeout = self.0.value(&ZOOKEEPER_CONNECTION_TIMEOUT_MS)?.map_or(session_timeout, |v| v.ms());
        let keeper_listener = self.address(&WHIMBREL_KEEPER_LISTENER)?;
        let keeper_listener =
            keeper_listener.ok_or_else(|| self.invalid(&WHIMBREL_KEEPER_LISTENER, "", "an address and port"))?;
        let keeper_dir = self.text(&WHIMBREL_KEEPER_DIR)?.map(absolute);
        let first_dir = log.dirs.first().cloned().unwrap_or_default();
        Ok(CoordinationConfig {
            zookeeper_connect: self.text(&ZOOKEEPER_CONNECT)?,
            session_timeout,
            connection_timeout,
            in_flight_max: self.count(&ZOOKEEPER_MAX_IN_FLIGHT_REQUESTS)?,
            set_acl: self.zookeeper_set_acl()?,
            auth: self.zookeeper_auth()?,
            keeper_listener,
            keeper_dir: keeper_dir.unwrap_or(first_dir),
        })
    }

    fn controlled_shutdown(&self) -> Result<Option<Duration>, ConfigError> {
        let retries = self.get(&CONTROLLED_SHUTDOWN_MAX_RETRIES)?.size();
        let backoff = self.get(&CONTROLLED_SHUTDOWN_RETRY_BACKOFF_MS)?.ms();
        Ok(self.get(&CONTROLLED_SHUTDOWN_ENABLE)?.bool().then(|| backoff.saturating_mul(retries)))
    }

    fn zookeeper_auth(&self) -> Result<Option<ZooKeeperAuth>, ConfigError> {
        let Some(text) = self.text(&WHIMBREL_ZOOKEEPER_AUTH)? else { return Ok(None) };
        let (scheme, credentials) = text.split_once(':').unwrap_or((&text, ""));
        if scheme.is_empty() || (scheme == "digest" && !credentials.contains(':')) {
            // The value is a secret and not shown.
            return Err(self.invalid(
                &WHIMBREL_ZOOKEEPER_AUTH,
                "(hidden)",
                "a scheme and credentials: digest:user:password",
            ));
        }
        Ok(Some(ZooKeeperAuth { scheme: scheme.to_owned(), credentials: credentials.to_owned() }))
    }

    fn zookeeper_set_acl(&self) -> Result<bool, ConfigError> {
        let set_acl = self.get(&ZOOKEEPER_SET_ACL)?.bool();
        if set_acl && self.zookeeper_auth()?.is_none() {
            let allowed = "false while whimbrel.zookeeper.auth is unset: nobody could be let in";
            return Err(self.invalid(&ZOOKEEPER_SET_ACL, "true", allowed));
        }
        Ok(set_acl)
    }

    fn liveness(&self) -> Result<LivenessConfig, ConfigError> {
        let interval = self.get(&WHIMBREL_LIVENESS_INTERVAL_MS)?.ms();
        let silence = self.get(&WHIMBREL_LIVENESS_SILENCE_MS)?.ms();
        if silence < interval * 4 {
            let allowed =
                format!("at least four times whimbrel.liveness.interval.ms, which is {}", interval.as_millis());
            return Err(self.invalid(&WHIMBREL_LIVENESS_SILENCE_MS, silence.as_millis(), allowed));
        }
        Ok(LivenessConfig { is_enabled: self.get(&WHIMBREL_LIVENESS_ENABLE)?.bool(), interval, silence })
    }

    fn network(&self) -> Result<NetworkConfig, ConfigError> {
        let request_bytes_max = self.count(&SOCKET_REQUEST_MAX_BYTES)?;
        let queued = usize::try_from(self.get(&QUEUED_MAX_REQUEST_BYTES)?.long()).ok().filter(|bytes| *bytes > 0);
        if queued.is_some_and(|bytes| bytes < request_bytes_max) {
            let allowed = format!("-1, or at least socket.request.max.bytes, which is {request_bytes_max}");
            return Err(self.invalid(&QUEUED_MAX_REQUEST_BYTES, queued.unwrap_or(0), allowed));
        }
        let buffer = |setting| Ok(usize::try_from(self.get(setting)?.int()).ok());
        let idle_ms = self.get(&CONNECTIONS_MAX_IDLE_MS)?.long();
        Ok(NetworkConfig {
            controller_connect_timeout: self.get(&CONTROLLER_SOCKET_TIMEOUT_MS)?.ms(),
            request_timeout: self.get(&REQUEST_TIMEOUT_MS)?.ms(),
            request_bytes_max,
            send_buffer_bytes: buffer(&SOCKET_SEND_BUFFER_BYTES)?,
            receive_buffer_bytes: buffer(&SOCKET_RECEIVE_BUFFER_BYTES)?,
            listen_backlog: self.get(&SOCKET_LISTEN_BACKLOG_SIZE)?.size(),
            connection_idle_max: u64::try_from(idle_ms).ok().map(Duration::from_millis),
            connections_max: self.count(&MAX_CONNECTIONS)?,
            connections_per_ip_max: self.count(&MAX_CONNECTIONS_PER_IP)?,
            connections_per_ip_overrides: self.per_ip_overrides()?,
            queued_request_bytes_max: queued,
            fetch_bytes_max: self.count(&FETCH_MAX_BYTES)?,
            fetch_sessions_max: self.count(&MAX_INCREMENTAL_FETCH_SESSION_CACHE_SLOTS)?,
            request_partitions_max: self.count(&MAX_REQUEST_PARTITION_SIZE_LIMIT)?,
        })
    }

    fn per_ip_overrides(&self) -> Result<BTreeMap<IpAddr, usize>, ConfigError> {
        let setting = &MAX_CONNECTIONS_PER_IP_OVERRIDES;
        let text = self.text(setting)?.unwrap_or_default();
        let mut overrides = BTreeMap::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let parsed = pair.rsplit_once(':').and_then(|(host, count)| {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                Some((host.parse().ok()?, count.parse().ok()?))
            });
            let allowed = "address:count, such as 10.0.0.7:100 or [fd00::7]:100";
            let (address, count) = parsed.ok_or_else(|| self.invalid(setting, pair, allowed))?;
            overrides.insert(address, count);
        }
        Ok(overrides)
    }

    fn topics(&self, config: TopicConfig) -> Result<TopicDefaults, ConfigError> {
        Ok(TopicDefaults {
            partitions: self.get(&NUM_PARTITIONS)?.int(),
            // The bounds of the setting are those of a short.
            replication_factor: i16::try_from(self.get(&DEFAULT_REPLICATION_FACTOR)?.int()).unwrap_or(i16::MAX),
            auto_create: self.get(&AUTO_CREATE_TOPICS_ENABLE)?.bool(),
            delete_enabled: self.get(&DELETE_TOPIC_ENABLE)?.bool(),
            leader_balance: self.leader_balance()?,
            config,
        })
    }

    fn leader_balance(&self) -> Result<Option<LeaderBalance>, ConfigError> {
        let seconds = self.get(&LEADER_IMBALANCE_CHECK_INTERVAL_SECONDS)?.long();
        let balance = LeaderBalance {
            interval: Duration::from_secs(seconds.max(1).unsigned_abs()),
            percentage: self.get(&LEADER_IMBALANCE_PER_BROKER_PERCENTAGE)?.size(),
        };
        Ok(self.get(&AUTO_LEADER_REBALANCE_ENABLE)?.bool().then_some(balance))
    }

    fn log(&self) -> Result<LogSettings, ConfigError> {
        let scheduler_ms = self.get(&LOG_FLUSH_SCHEDULER_INTERVAL_MS)?.long();
        Ok(LogSettings {
            dirs: self.log_dirs()?,
            retention_check_interval: self.get(&LOG_RETENTION_CHECK_INTERVAL_MS)?.ms(),
            flush_scheduler_interval: (scheduler_ms != i64::MAX)
                .then(|| Duration::from_millis(scheduler_ms.unsigned_abs())),
            recovery_point_checkpoint_interval: self.get(&LOG_FLUSH_OFFSET_CHECKPOINT_INTERVAL_MS)?.ms(),
            start_offset_checkpoint_interval: self.get(&LOG_FLUSH_START_OFFSET_CHECKPOINT_INTERVAL_MS)?.ms(),
            high_watermark_checkpoint_interval: self.get(&REPLICA_HIGH_WATERMARK_CHECKPOINT_INTERVAL_MS)?.ms(),
            initial_task_delay: self.get(&LOG_INITIAL_TASK_DELAY_MS)?.ms(),
            recovery_threads_per_dir: self.count(&NUM_RECOVERY_THREADS_PER_DATA_DIR)?,
            open_segments_max: self.count(&WHIMBREL_LOG_OPEN_SEGMENTS_MAX)?,
            tail_cache_bytes: usize::try_from(self.get(&WHIMBREL_LOG_TAIL_CACHE_BYTES)?.long()).unwrap_or(usize::MAX),
            disk_reserve_bytes: self.get(&WHIMBREL_LOG_DISK_RESERVE_BYTES)?.long().unsigned_abs(),
        })
    }

    /// `log.dirs`, or `log.dir` when that is unset. The same directory twice is a mistake worth naming.
    fn log_dirs(&self) -> Result<Vec<PathBuf>, ConfigError> {
        let (setting, text) = match self.text(&LOG_DIRS)? {
            Some(text) => (&LOG_DIRS, text),
            None => (&LOG_DIR, self.text(&LOG_DIR)?.unwrap_or_default()),
        };
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let mut dirs: Vec<PathBuf> = Vec::new();
        for dir in parts.map(|part| absolute(part.to_owned())) {
            if dirs.contains(&dir) {
                return Err(self.invalid(
                    setting,
                    text,
                    format!("different directories; {} is there twice", dir.display()),
                ));
            }
            dirs.push(dir);
        }
        if dirs.is_empty() { Err(self.invalid(setting, text, "at least one directory")) } else { Ok(dirs) }
    }

    /// Kafka refuses a retention time of 0 (which would be every record at once) at the broker.
    fn check_retention(&self, defaults: &TopicConfig) -> Result<(), ConfigError> {
        if defaults.retention != Some(Duration::ZERO) {
            return Ok(());
        }
        let is_set = |setting: &&&Setting| matches!(self.0.value(setting), Ok(Some(_)));
        let candidates = [&LOG_RETENTION_MS, &LOG_RETENTION_MINUTES, &LOG_RETENTION_HOURS];
        let setting = candidates.iter().find(is_set).copied().unwrap_or(&LOG_RETENTION_MS);
        Err(self.invalid(setting, 0, "-1 for ever, or at least 1"))
    }

    fn groups(&self) -> Result<GroupConfig, ConfigError> {
        let min = self.get(&GROUP_MIN_SESSION_TIMEOUT_MS)?.ms();
        let max = self.get(&GROUP_MAX_SESSION_TIMEOUT_MS)?.ms();
        if max < min {
            let allowed = format!("at most group.max.session.timeout.ms, which is {}", max.as_millis());
            return Err(self.invalid(&GROUP_MIN_SESSION_TIMEOUT_MS, min.as_millis(), allowed));
        }
        Ok(GroupConfig {
            session_timeout_min: min,
            session_timeout_max: max,
            initial_rebalance_delay: self.get(&GROUP_INITIAL_REBALANCE_DELAY_MS)?.ms(),
            members_max: self.count(&GROUP_MAX_SIZE)?,
        })
    }

    fn replication(&self) -> Result<ReplicationConfig, ConfigError> {
        let fetch_wait_max = self.get(&REPLICA_FETCH_WAIT_MAX_MS)?.ms();
        let fetch_timeout = self.get(&REPLICA_SOCKET_TIMEOUT_MS)?.ms();
        if fetch_timeout < fetch_wait_max {
            let allowed = format!("at least replica.fetch.wait.max.ms, which is {}", fetch_wait_max.as_millis());
            return Err(self.invalid(&REPLICA_SOCKET_TIMEOUT_MS, fetch_timeout.as_millis(), allowed));
        }
        let selector = self.text(&REPLICA_SELECTOR_CLASS)?;
        let rack_aware_reads = match selector.as_deref().map(|class| class.rsplit('.').next().unwrap_or(class)) {
            None | Some("LeaderSelector") => false,
            Some("RackAwareReplicaSelector") => true,
            Some(_) => {
                let allowed = "RackAwareReplicaSelector or LeaderSelector: other classes cannot be loaded";
                return Err(self.invalid(&REPLICA_SELECTOR_CLASS, selector.unwrap_or_default(), allowed));
            }
        };
        Ok(ReplicationConfig {
            lag_max: self.get(&REPLICA_LAG_TIME_MAX_MS)?.ms(),
            fetch_wait_max,
            fetch_bytes_min: self.get(&REPLICA_FETCH_MIN_BYTES)?.int(),
            fetch_partition_bytes_max: self.get(&REPLICA_FETCH_MAX_BYTES)?.int(),
            fetch_bytes_max: self.get(&REPLICA_FETCH_RESPONSE_MAX_BYTES)?.int(),
            fetch_backoff_max: self.get(&REPLICA_FETCH_BACKOFF_MS)?.ms(),
            fetch_timeout,
            fetchers_per_leader: self.get(&NUM_REPLICA_FETCHERS)?.size(),
            rack_aware_reads,
            leader_throttled_rate: self.rate(&LEADER_REPLICATION_THROTTLED_RATE)?,
            follower_throttled_rate: self.rate(&FOLLOWER_REPLICATION_THROTTLED_RATE)?,
            quota_samples: self.count(&REPLICATION_QUOTA_WINDOW_NUM)?,
            quota_sample: Duration::from_secs(self.count(&REPLICATION_QUOTA_WINDOW_SIZE_SECONDS)? as u64),
        })
    }

    fn rate(&self, setting: &Setting) -> Result<Option<u64>, ConfigError> {
        let rate = self.get(setting)?.long();
        Ok(u64::try_from(rate).ok().filter(|_| rate != i64::MAX))
    }

    fn offsets(&self) -> Result<OffsetsConfig, ConfigError> {
        let replication_factor = self.get(&OFFSETS_TOPIC_REPLICATION_FACTOR)?.int();
        let acks = self.get(&OFFSETS_COMMIT_REQUIRED_ACKS)?.int();
        if acks > replication_factor {
            let allowed = format!("-1, or at most offsets.topic.replication.factor, which is {replication_factor}");
            return Err(self.invalid(&OFFSETS_COMMIT_REQUIRED_ACKS, acks, allowed));
        }
        let minutes = self.get(&OFFSETS_RETENTION_MINUTES)?.size();
        // Both are of Kafka's type short and the codec is 0 to 4, by the bounds of their settings.
        let short = |number: i32| i16::try_from(number).unwrap_or(i16::MAX);
        let codec = u8::try_from(self.get(&OFFSETS_TOPIC_COMPRESSION_CODEC)?.int()).unwrap_or(0);
        Ok(OffsetsConfig {
            topic_partitions: self.get(&OFFSETS_TOPIC_NUM_PARTITIONS)?.int(),
            topic_replication_factor: short(replication_factor),
            topic_segment_bytes: self.get(&OFFSETS_TOPIC_SEGMENT_BYTES)?.size(),
            topic_compression_codec: codec,
            retention: Duration::from_secs(u64::from(minutes) * 60),
            retention_check_interval: self.get(&OFFSETS_RETENTION_CHECK_INTERVAL_MS)?.ms(),
            commit_timeout: self.get(&OFFSETS_COMMIT_TIMEOUT_MS)?.ms(),
            commit_required_acks: short(acks),
            load_buffer_bytes: self.count(&OFFSETS_LOAD_BUFFER_SIZE)?,
            metadata_bytes_max: self.count(&OFFSET_METADATA_MAX_BYTES)?,
        })
    }
}

/// The path from the root, so that errors and the banner name it in full. A path that cannot be made absolute (the
/// working directory is gone) is kept: opening it will say what is wrong.
fn absolute(path: String) -> PathBuf {
    std::path::absolute(&path).unwrap_or_else(|_| path.into())
}

/// The name of this machine, which clients are told when a listener has no host.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
