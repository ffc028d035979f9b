//! Kafka's log on disk: segments, indexes, checkpoints, recovery, retention.
//!
//! A log directory is Kafka's (`kafka.log`, `org.apache.kafka.storage`): Kafka opens what is written here and the other
//! way round. [`LogManager`] owns the directories, [`Log`] is one partition.
//!
//! What this crate does not know: requests, replicas other than this one, ZooKeeper, time (the caller passes it) and
//! async. Calls may wait for the disk; appends and reads with [`ReadMode::NoWait`] do so only when the kernel does.

mod batch;
mod checkpoint;
mod config;
mod dir;
mod epochs;
mod error;
mod files;
mod flusher;
mod index;
mod log;
mod manager;
mod meta;
mod names;
pub mod producer_state;
mod scan;
mod segment;
mod txn_index;
pub mod validator;

pub use config::{
    LogConfig, LogManagerConfig, OPEN_FILES_MAX_DEFAULT, RESERVED_BYTES_DEFAULT, SEGMENT_BYTES_MAX,
    TAIL_BYTES_MAX_DEFAULT,
};
pub use dir::StorageListener;
pub use epochs::EpochEntry;
pub use error::{OpenError, ReadError, SetAsideError, StorageError};
pub use files::read::ReadMode;
pub use log::{
    AppendError, AppendInfo, LeaderAppend, Log, PartitionLoad, ReadResult, RetentionOutcome, Sendable, Slices,
    TimestampOffset, Truncated,
};
pub use manager::{Creation, DirReport, DirStatus, LoadReport, LogManager, RetentionTotals};
pub use meta::{MetaProperties, read_meta_properties, write_meta_properties};
pub use validator::{AppendOrigin, AppendRules, TargetCompression};
