//! The table of topic settings, and a topic's settings resolved: its own over the broker's.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::{ConfigError, Origin};
use super::kind::{Kind, Value};
use super::layers::Layers;
use super::nearest;
use super::setting::Setting;
use super::table::*;

/// How a broker setting's number becomes the topic setting's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    Same,
    /// The broker counts minutes, the topic milliseconds; a negative number becomes -1.
    Minutes,
    /// As `Minutes`, with hours.
    Hours,
}

/// A topic setting.
#[derive(Debug)]
pub struct TopicSetting {
    /// Kafka's name.
    pub name: &'static str,
    pub kind: Kind,
    /// The broker settings that give the default, the first that is set wins.
    pub synonyms: &'static [(&'static Setting, Scale)],
    /// The default where no broker setting gives one.
    pub default: &'static str,
    pub doc: &'static str,
}

const MS: Kind = Kind::Long { min: 0, max: i64::MAX };
const THROTTLED: &str = "Replicas whose copying is held to the broker's `leader.` or `follower.replication.throttled.rate` while they are not \
     in sync: `partition:broker` separated by commas, or `*` for all. Reassignments set it.";
const TIERED: &str = "Of tiered storage, which is not part of this version.";

macro_rules! topic_settings {
    ($($name:literal, $kind:expr, [$($synonym:ident $scale:ident),*], $default:literal, $doc:expr;)*) => {
        /// Every topic setting, by name.
        pub static TABLE: &[TopicSetting] = &[$(TopicSetting {
            name: $name, kind: $kind, synonyms: &[$((&$synonym, Scale::$scale)),*], default: $default, doc: $doc,
        }),*];
    };
}

topic_settings! {
    "cleanup.policy", LOG_CLEANUP_POLICY.kind, [LOG_CLEANUP_POLICY Same], "delete", LOG_CLEANUP_POLICY.doc;
    "compression.gzip.level", Kind::GzipLevel, [COMPRESSION_GZIP_LEVEL Same], "-1", COMPRESSION_GZIP_LEVEL.doc;
    "compression.lz4.level", COMPRESSION_LZ4_LEVEL.kind, [COMPRESSION_LZ4_LEVEL Same], "9", COMPRESSION_LZ4_LEVEL.doc;
    "compression.type", COMPRESSION_TYPE.kind, [COMPRESSION_TYPE Same], "producer", COMPRESSION_TYPE.doc;
    "compression.zstd.level", COMPRESSION_ZSTD_LEVEL.kind, [COMPRESSION_ZSTD_LEVEL Same], "3", COMPRESSION_ZSTD_LEVEL.doc;
    "delete.retention.ms", MS, [LOG_CLEANER_DELETE_RETENTION_MS Same], "86400000", LOG_CLEANER_DELETE_RETENTION_MS.doc;
    "file.delete.delay.ms", MS, [LOG_SEGMENT_DELETE_DELAY_MS Same], "60000", LOG_SEGMENT_DELETE_DELAY_MS.doc;
    "flush.messages", LOG_FLUSH_INTERVAL_MESSAGES.kind, [LOG_FLUSH_INTERVAL_MESSAGES Same], "9223372036854775807",
        LOG_FLUSH_INTERVAL_MESSAGES.doc;
    "flush.ms", MS, [LOG_FLUSH_INTERVAL_MS Same, LOG_FLUSH_SCHEDULER_INTERVAL_MS Same], "9223372036854775807",
        "The longest a record stays unflushed, in milliseconds.";
    "follower.replication.throttled.replicas", Kind::List(&[]), [], "", THROTTLED;
    "index.interval.bytes", LOG_INDEX_INTERVAL_BYTES.kind, [LOG_INDEX_INTERVAL_BYTES Same], "4096",
        LOG_INDEX_INTERVAL_BYTES.doc;
    "leader.replication.throttled.replicas", Kind::List(&[]), [], "", THROTTLED;
    "local.retention.bytes", Kind::Long { min: -2, max: i64::MAX }, [], "-2", TIERED;
    "local.retention.ms", Kind::Long { min: -2, max: i64::MAX }, [], "-2", TIERED;
    "max.compaction.lag.ms", LOG_CLEANER_MAX_COMPACTION_LAG_MS.kind, [LOG_CLEANER_MAX_COMPACTION_LAG_MS Same],
        "9223372036854775807", LOG_CLEANER_MAX_COMPACTION_LAG_MS.doc;
    "max.message.bytes", MESSAGE_MAX_BYTES.kind, [MESSAGE_MAX_BYTES Same], "1048588", MESSAGE_MAX_BYTES.doc;
    "message.downconversion.enable", Kind::Bool, [LOG_MESSAGE_DOWNCONVERSION_ENABLE Same], "true",
        LOG_MESSAGE_DOWNCONVERSION_ENABLE.doc;
    "message.format.version", Kind::String, [], "3.0-IV1",
        "Without effect, as in Kafka since 3.0: records are stored in format v2.";
    "message.timestamp.after.max.ms", MS, [LOG_MESSAGE_TIMESTAMP_AFTER_MAX_MS Same], "9223372036854775807",
        LOG_MESSAGE_TIMESTAMP_AFTER_MAX_MS.doc;
    "message.timestamp.before.max.ms", MS, [LOG_MESSAGE_TIMESTAMP_BEFORE_MAX_MS Same], "9223372036854775807",
        LOG_MESSAGE_TIMESTAMP_BEFORE_MAX_MS.doc;
    "message.timestamp.difference.max.ms", MS, [LOG_MESSAGE_TIMESTAMP_DIFFERENCE_MAX_MS Same], "9223372036854775807",
        LOG_MESSAGE_TIMESTAMP_DIFFERENCE_MAX_MS.doc;
    "message.timestamp.type", LOG_MESSAGE_TIMESTAMP_TYPE.kind, [LOG_MESSAGE_TIMESTAMP_TYPE Same], "CreateTime",
        LOG_MESSAGE_TIMESTAMP_TYPE.doc;
    "min.cleanable.dirty.ratio", LOG_CLEANER_MIN_CLEANABLE_RATIO.kind, [LOG_CLEANER_MIN_CLEANABLE_RATIO Same], "0.5",
        LOG_CLEANER_MIN_CLEANABLE_RATIO.doc;
    "min.compaction.lag.ms", MS, [LOG_CLEANER_MIN_COMPACTION_LAG_MS Same], "0", LOG_CLEANER_MIN_COMPACTION_LAG_MS.doc;
    "min.insync.replicas", MIN_INSYNC_REPLICAS.kind, [MIN_INSYNC_REPLICAS Same], "1", MIN_INSYNC_REPLICAS.doc;
    "preallocate", Kind::Bool, [LOG_PREALLOCATE Same], "false", LOG_PREALLOCATE.doc;
    "remote.log.copy.disable", Kind::Bool, [], "false", TIERED;
    "remote.log.delete.on.disable", Kind::Bool, [], "false", TIERED;
    "remote.storage.enable", Kind::Bool, [], "false", TIERED;
    "retention.bytes", Kind::Long { min: i64::MIN, max: i64::MAX }, [LOG_RETENTION_BYTES Same], "-1",
        LOG_RETENTION_BYTES.doc;
    "retention.ms", Kind::Long { min: -1, max: i64::MAX },
        [LOG_RETENTION_MS Same, LOG_RETENTION_MINUTES Minutes, LOG_RETENTION_HOURS Hours], "604800000",
        "How long records are kept, in milliseconds; -1 for ever.";
    "segment.bytes", LOG_SEGMENT_BYTES.kind, [LOG_SEGMENT_BYTES Same], "1073741824", LOG_SEGMENT_BYTES.doc;
    "segment.index.bytes", LOG_INDEX_SIZE_MAX_BYTES.kind, [LOG_INDEX_SIZE_MAX_BYTES Same], "10485760",
        LOG_INDEX_SIZE_MAX_BYTES.doc;
    "segment.jitter.ms", MS, [LOG_ROLL_JITTER_MS Same, LOG_ROLL_JITTER_HOURS Hours], "0",
        "The most that is taken off `segment.ms` at random, in milliseconds.";
    "segment.ms", Kind::Long { min: 1, max: i64::MAX }, [LOG_ROLL_MS Same, LOG_ROLL_HOURS Hours], "604800000",
        "The longest a segment stays the active one, in milliseconds.";
    "unclean.leader.election.enable", Kind::Bool, [UNCLEAN_LEADER_ELECTION_ENABLE Same], "false",
        UNCLEAN_LEADER_ELECTION_ENABLE.doc;
}

/// The topic setting of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static TopicSetting> {
    TABLE.iter().find(|setting| setting.name == name)
}

impl TopicSetting {
    /// The broker's value for topics that do not set their own, as the topic setting would spell it.
    ///
    /// # Errors
    /// The broker's value is not one that its setting allows.
    pub fn broker_default(&self, layers: &Layers) -> Result<String, ConfigError> {
        for (synonym, scale) in self.synonyms {
            if let Some(value) = layers.value(synonym)? {
                return Ok(scale.apply(&value));
            }
        }
        Ok(self.default.to_owned())
    }
}

impl Scale {
    fn apply(self, value: &Value) -> String {
        let milliseconds = |count: i64, unit: i64| if count < 0 { -1 } else { count.saturating_mul(unit) };
        match (self, value) {
            (Self::Minutes, Value::Int(count)) => milliseconds((*count).into(), 60_000).to_string(),
            (Self::Hours, Value::Int(count)) => milliseconds((*count).into(), 3_600_000).to_string(),
            _ => value.to_string(),
        }
    }
}

/// The codec that a topic asks for (`compression.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CompressionType {
    /// As the producer sent it.
    #[default]
    Producer,
    Uncompressed,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// Whose clock a record's timestamp is from (`message.timestamp.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampType {
    #[default]
    CreateTime,
    LogAppendTime,
}

/// Which replicas of a topic are throttled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ThrottledReplicas {
    #[default]
    None,
    All,
    /// Partition and broker.
    Some(Vec<(i32, i32)>),
}

impl ThrottledReplicas {
    /// What is no `partition:broker` is left out: the value was checked when it was set.
    fn parse(words: &[String]) -> Self {
        if words.iter().any(|word| word == "*") {
            return Self::All;
        }
        let pair = |word: &String| {
            let (partition, broker) = word.split_once(':')?;
            Some((partition.trim().parse().ok()?, broker.trim().parse().ok()?))
        };
        let listed: Vec<_> = words.iter().filter_map(pair).collect();
        if listed.is_empty() { Self::None } else { Self::Some(listed) }
    }

    /// Whether the replica of `partition` on `broker` is.
    #[must_use]
    pub fn contains(&self, partition: i32, broker: i32) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(listed) => listed.contains(&(partition, broker)),
        }
    }
}

/// A topic's settings in force. Numbers that Kafka writes as -1 or 2^63 - 1 for "no limit" are `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    pub cleanup_compact: bool,
    pub cleanup_delete: bool,
    pub compression: CompressionType,
    /// -1 stands for the library's default.
    pub compression_gzip_level: i32,
    pub compression_zstd_level: i32,
    pub delete_retention: Duration,
    pub file_delete_delay: Duration,
    /// Flush after this many records; `None`: not by number.
    pub flush_messages: Option<u64>,
    /// Flush after this long; `None`: not by time.
    pub flush_interval: Option<Duration>,
    pub index_interval_bytes: u32,
    pub index_bytes_max: u32,
    pub message_bytes_max: u32,
    pub timestamp_type: TimestampType,
    /// How far a record's time may lie before the broker's, in milliseconds; `i64::MAX` for any distance.
    pub timestamp_before_max_ms: i64,
    /// How far a record's time may lie after the broker's, in milliseconds; `i64::MAX` for any distance.
    pub timestamp_after_max_ms: i64,
    pub min_cleanable_dirty_ratio: f64,
    pub compaction_lag_min: Duration,
    pub compaction_lag_max: Option<Duration>,
    pub min_insync_replicas: u32,
    pub preallocate: bool,
    /// Keep this many bytes of each partition; `None`: no limit.
    pub retention_bytes: Option<u64>,
    /// Keep records this long; `None`: for ever.
    pub retention: Option<Duration>,
    pub segment_bytes: u32,
    pub segment_age_max: Duration,
    pub segment_jitter_max: Duration,
    pub unclean_leader_election: bool,
    /// Replicas that a leader sends no faster than its throttled rate.
    pub leader_throttled: ThrottledReplicas,
    /// Replicas that a follower fetches no faster than its throttled rate.
    pub follower_throttled: ThrottledReplicas,
    /// The overrides of the topic itself, as given.
    pub overrides: BTreeMap<String, String>,
}

impl TopicConfig {
    /// The settings of a topic with `overrides` of its own. Overrides of unknown names are kept and have no effect, as
    /// in Kafka: another broker of the cluster may know them.
    ///
    /// # Errors
    /// A value is not one that its setting allows, or two do not go together.
    pub fn resolve(layers: &Layers, overrides: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let get = |name: &'static str| value_of(layers, overrides, name);
        let policy = get("cleanup.policy")?.list();
        let difference = get("message.timestamp.difference.max.ms")?.long();
        // The newer bound wins where it is set at all (KIP-937).
        let bound = |value: i64| if value == i64::MAX { difference } else { value };
        let config = Self {
            cleanup_compact: policy.iter().any(|word| word == "compact"),
            cleanup_delete: policy.iter().any(|word| word == "delete"),
            compression: compression(&get("compression.type")?.to_string()),
            compression_gzip_level: get("compression.gzip.level")?.int(),
            compression_zstd_level: get("compression.zstd.level")?.int(),
            delete_retention: get("delete.retention.ms")?.ms(),
            file_delete_delay: get("file.delete.delay.ms")?.ms(),
            flush_messages: limit(get("flush.messages")?.long()),
            flush_interval: limit(get("flush.ms")?.long()).map(Duration::from_millis),
            index_interval_bytes: get("index.interval.bytes")?.size(),
            index_bytes_max: get("segment.index.bytes")?.size(),
            message_bytes_max: get("max.message.bytes")?.size(),
            timestamp_type: timestamp_type(&get("message.timestamp.type")?.to_string()),
            timestamp_before_max_ms: bound(get("message.timestamp.before.max.ms")?.long()),
            timestamp_after_max_ms: bound(get("message.timestamp.after.max.ms")?.long()),
            min_cleanable_dirty_ratio: get("min.cleanable.dirty.ratio")?.double(),
            compaction_lag_min: get("min.compaction.lag.ms")?.ms(),
            compaction_lag_max: limit(get("max.compaction.lag.ms")?.long()).map(Duration::from_millis),
            min_insync_replicas: get("min.insync.replicas")?.size(),
            preallocate: get("preallocate")?.bool(),
            retention_bytes: limit(get("retention.bytes")?.long()),
            retention: limit(get("retention.ms")?.long()).map(Duration::from_millis),
            segment_bytes: get("segment.bytes")?.size(),
            segment_age_max: get("segment.ms")?.ms(),
            segment_jitter_max: get("segment.jitter.ms")?.ms(),
            unclean_leader_election: get("unclean.leader.election.enable")?.bool(),
            leader_throttled: ThrottledReplicas::parse(&get("leader.replication.throttled.replicas")?.list()),
            follower_throttled: ThrottledReplicas::parse(&get("follower.replication.throttled.replicas")?.list()),
            overrides: overrides.clone(),
        };
        config.check_lags(overrides)?;
        Ok(config)
    }

    /// Checks what a client wants to set on a topic (CreateTopics, AlterConfigs).
    ///
    /// # Errors
    /// As [`TopicConfig::resolve`]; further an unknown name, and tiered storage.
    pub fn validate(layers: &Layers, overrides: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        for (key, value) in overrides {
            let Some(setting) = find(key) else {
                return Err(ConfigError::Unknown { key: key.clone(), nearest: nearest::topic_setting(key) });
            };
            let parsed = setting.kind.parse(value);
            let parsed = parsed.map_err(|allowed| ConfigError::invalid(key, value, Origin::Dynamic, allowed))?;
            if setting.name == "remote.storage.enable" && parsed == Value::Bool(true) {
                let allowed = "false: tiered storage is not part of this version";
                return Err(ConfigError::invalid(key, value, Origin::Dynamic, allowed));
            }
        }
        Self::resolve(layers, overrides)
    }

    fn check_lags(&self, overrides: &BTreeMap<String, String>) -> Result<(), ConfigError> {
        match self.compaction_lag_max {
            Some(max) if max < self.compaction_lag_min => {
                let origin = if overrides.is_empty() { Origin::Default } else { Origin::Dynamic };
                let allowed = format!("at most max.compaction.lag.ms, which is {}", max.as_millis());
                Err(ConfigError::invalid("min.compaction.lag.ms", self.compaction_lag_min.as_millis(), origin, allowed))
            }
            _ => Ok(()),
        }
    }
}

fn value_of(layers: &Layers, overrides: &BTreeMap<String, String>, name: &'static str) -> Result<Value, ConfigError> {
    let Some(setting) = find(name) else { unreachable!("{name} is not in the table of topic settings") };
    let (text, origin) = match overrides.get(name) {
        Some(text) => (text.clone(), Origin::Dynamic),
        None => {
            let origin = setting.synonyms.first().map_or(Origin::Default, |(synonym, _)| layers.origin(synonym));
            (setting.broker_default(layers)?, origin)
        }
    };
    setting.kind.parse(&text).map_err(|allowed| ConfigError::invalid(name, text, origin, allowed))
}

fn limit(number: i64) -> Option<u64> {
    u64::try_from(number).ok().filter(|_| number != i64::MAX)
}

fn compression(word: &str) -> CompressionType {
    match word {
        "uncompressed" => CompressionType::Uncompressed,
        "gzip" => CompressionType::Gzip,
        "snappy" => CompressionType::Snappy,
        "lz4" => CompressionType::Lz4,
        "zstd" => CompressionType::Zstd,
        _ => CompressionType::Producer,
    }
}

fn timestamp_type(word: &str) -> TimestampType {
    if word == "LogAppendTime" { TimestampType::LogAppendTime } else { TimestampType::CreateTime }
}
