//! The settings that the log needs, as plain numbers. The broker fills them from Kafka's keys.

use std::path::PathBuf;

use crate::validator::AppendRules;

/// Largest segment that Kafka allows: positions in the offset index are `i32`.
pub const SEGMENT_BYTES_MAX: u32 = i32::MAX as u32;

/// The topic-level settings of one log. Shared by all logs with equal settings: keep it behind one `Arc`.
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`.
    pub segment_bytes: u32,
    /// `segment.ms`, milliseconds.
    pub segment_ms: i64,
    /// `segment.jitter.ms`, milliseconds; each segment draws its own share.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`: an index is full at this size. Never preallocated here.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
    /// `retention.ms`; -1: no limit.
    pub retention_ms: i64,
    /// `retention.bytes`; -1: no limit.
    pub retention_bytes: i64,
    /// `cleanup.policy` contains `delete`.
    pub delete: bool,
    /// `cleanup.policy` contains `compact`.
    pub compact: bool,
    /// `flush.messages`: a flush is requested when this many records are not flushed. `i64::MAX`: never.
    pub flush_messages: i64,
    /// `flush.ms`: see [`crate::LogManager::flush_pass`]. `i64::MAX`: never.
    pub flush_ms: i64,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: i64,
    /// What a leader accepts. Its `segment_bytes` must be this one's.
    pub rules: AppendRules,
}

impl Default for LogConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            segment_bytes: 1024 * 1024 * 1024,
            segment_ms: 7 * 24 * 3600 * 1000,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 * 1024 * 1024,
            index_interval_bytes: 4096,
            retention_ms: 7 * 24 * 3600 * 1000,
            retention_bytes: -1,
            delete: true,
            compact: false,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            file_delete_delay_ms: 60_000,
            rules: AppendRules::default(),
        }
    }
}

/// The settings of all log directories of one broker.
#[derive(Debug, Clone)]
pub struct LogManagerConfig {
    /// `log.dirs`, in order. Created when absent.
    pub dirs: Vec<PathBuf>,
    /// Threads that load the logs of one directory; `None`: as many as the machine has cores.
    ///
    /// Kafka's `num.recovery.threads.per.data.dir` (default 1): scanning after a crash is what a restart waits for.
    pub recovery_threads: Option<usize>,
    /// Bound of the open segment and index files over all logs. They are reopened on use.
    pub open_files_max: usize,
    /// Bound of the newest batches that all logs together keep in memory for readers at their ends; 0 keeps none.
    pub tail_bytes_max: usize,
    /// Appends are refused before this much of a file system is all that is left.
    pub reserved_bytes: u64,
    /// What to write into `.lock`, so that a second process can say who holds the directory (for example an address).
    pub holder: String,
    /// The settings of logs found on disk until [`crate::LogManager::set_config`] says otherwise.
    pub default_log: LogConfig,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration_ms: i64,
}

/// Open files beside sockets: with this many, 10,000 busy partitions stay under 2,000 descriptors in all.
pub const OPEN_FILES_MAX_DEFAULT: usize = 1_500;

/// Newest batches in memory: a tenth of a second of all that two cores take in.
pub const TAIL_BYTES_MAX_DEFAULT: usize = 32 * 1024 * 1024;

/// Kept free on each file system, so that retention, checkpoints and snapshots still work on a full disk.
pub const RESERVED_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;

impl LogManagerConfig {
    /// Kafka's defaults for these directories.
    #[must_use]
    pub fn new(dirs: Vec<PathBuf>) -> Self {
        Self {
            dirs,
            recovery_threads: None,
            open_files_max: OPEN_FILES_MAX_DEFAULT,
            tail_bytes_max: TAIL_BYTES_MAX_DEFAULT,
            reserved_bytes: RESERVED_BYTES_DEFAULT,
            holder: String::new(),
            default_log: LogConfig::default(),
            producer_id_expiration_ms: 24 * 3600 * 1000,
        }
    }
}
