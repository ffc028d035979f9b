//! Settings of the log. Most are the defaults of the topic settings of similar name.

use crate::config::setting::{Setting, settings};

const NO_LIMIT: &str = "9223372036854775807";

settings! {
    /// The log: where it is, how it rolls, flushes and forgets.
    LOG:

    LOG_DIR = Setting::string("log.dir").default("./whimbrel-data")
        .differs("/tmp/kafka-logs", "what lies under /tmp is deleted by many systems at boot")
        .doc("The data directory, when `log.dirs` is unset.");

    LOG_DIRS = Setting::string("log.dirs")
        .doc("The data directories, separated by commas. A new partition goes to the one with the fewest partitions.");

    LOG_SEGMENT_BYTES = Setting::int("log.segment.bytes", 14).default("1073741824").cluster_wide()
        .doc("The largest a segment file grows, in bytes.");

    LOG_ROLL_MS = Setting::long("log.roll.ms", 1).cluster_wide()
        .doc("The longest a segment stays the active one, in milliseconds. Unset: `log.roll.hours`.");

    LOG_ROLL_HOURS = Setting::int("log.roll.hours", 1).default("168")
        .doc("The longest a segment stays the active one, in hours, when `log.roll.ms` is unset.");

    LOG_ROLL_JITTER_MS = Setting::long("log.roll.jitter.ms", 0).cluster_wide()
        .doc("The most that is taken off `log.roll.ms` at random, in milliseconds, so that segments of many partitions \
              do not roll together. Unset: `log.roll.jitter.hours`.");

    LOG_ROLL_JITTER_HOURS = Setting::int("log.roll.jitter.hours", 0).default("0")
        .doc("As `log.roll.jitter.ms`, in hours, when that is unset.");

    LOG_RETENTION_MS = Setting::long("log.retention.ms", -1).cluster_wide()
        .doc("How long records are kept, in milliseconds; -1 for ever. Unset: `log.retention.minutes`.");

    LOG_RETENTION_MINUTES = Setting::int("log.retention.minutes", i32::MIN)
        .doc("How long records are kept, in minutes, when `log.retention.ms` is unset. Unset: `log.retention.hours`.");

    LOG_RETENTION_HOURS = Setting::int("log.retention.hours", i32::MIN).default("168")
        .doc("How long records are kept, in hours, when neither of the finer settings is set.");

    LOG_RETENTION_BYTES = Setting::long("log.retention.bytes", -1).default("-1").cluster_wide()
        .doc("How many bytes of each partition are kept; -1 for no limit.");

    LOG_RETENTION_CHECK_INTERVAL_MS = Setting::long("log.retention.check.interval.ms", 1).default("300000")
        .doc("How often the log is searched for segments to delete, in milliseconds.");

    LOG_CLEANUP_POLICY = Setting::list("log.cleanup.policy", &["compact", "delete"]).default("delete").cluster_wide()
        .doc("What happens to old segments: `delete` drops them by time and size, `compact` keeps the last record of \
              each key. This version does not run the compaction: such topics keep everything.");

    LOG_INDEX_SIZE_MAX_BYTES = Setting::int("log.index.size.max.bytes", 4).default("10485760").cluster_wide()
        .doc("The largest an offset index grows, in bytes; the segment rolls when its index is full.");

    LOG_INDEX_INTERVAL_BYTES = Setting::int("log.index.interval.bytes", 0).default("4096").cluster_wide()
        .doc("An index entry is added after this many bytes of records.");

    LOG_FLUSH_INTERVAL_MESSAGES = Setting::long("log.flush.interval.messages", 1).default(NO_LIMIT).cluster_wide()
        .doc("Flush to disk after this many records. 1 makes every replica flush before a record is acknowledged with \
              `acks=all`, which survives the loss of power on all machines at once.");

    LOG_FLUSH_INTERVAL_MS = Setting::long("log.flush.interval.ms", 0).cluster_wide()
        .doc("The longest a record stays unflushed, in milliseconds. Unset: `log.flush.scheduler.interval.ms`.");

    LOG_FLUSH_SCHEDULER_INTERVAL_MS = Setting::long("log.flush.scheduler.interval.ms", 1).default(NO_LIMIT)
        .doc("How often the log is searched for records that are due for a flush, in milliseconds.");

    LOG_FLUSH_OFFSET_CHECKPOINT_INTERVAL_MS =
        Setting::int("log.flush.offset.checkpoint.interval.ms", 0).default("60000")
        .doc("How often the recovery points are written, in milliseconds. After a crash each partition is checked from \
              its recovery point on.");

    LOG_FLUSH_START_OFFSET_CHECKPOINT_INTERVAL_MS =
        Setting::int("log.flush.start.offset.checkpoint.interval.ms", 0).default("60000")
        .doc("How often the log start offsets are written, in milliseconds.");

    REPLICA_HIGH_WATERMARK_CHECKPOINT_INTERVAL_MS =
        Setting::long("replica.high.watermark.checkpoint.interval.ms", 1).default("5000")
        .doc("How often the high watermarks are written, in milliseconds.");

    LOG_SEGMENT_DELETE_DELAY_MS = Setting::long("log.segment.delete.delay.ms", 0).default("60000").cluster_wide()
        .doc("How long a deleted segment stays on disk with the suffix `.deleted`, in milliseconds.");

    LOG_INITIAL_TASK_DELAY_MS = Setting::long("log.initial.task.delay.ms", 0).default("30000")
        .doc("How long after start the recurring work on the log begins, in milliseconds.");

    LOG_PREALLOCATE = Setting::bool("log.preallocate").default("false").cluster_wide()
        .doc("Whether a new segment file gets its full size at once. Accepted for Kafka's tools; Whimbrel never preallocates.");

    NUM_RECOVERY_THREADS_PER_DATA_DIR =
        Setting::int("num.recovery.threads.per.data.dir", 1).default("1").cluster_wide()
        .doc("The threads for each data directory that load and check partitions at start. With 1 Whimbrel takes as many as \
              the machine has cores: a restart after a crash waits for them.");

    LOG_MESSAGE_TIMESTAMP_TYPE =
        Setting::choice("log.message.timestamp.type", &["CreateTime", "LogAppendTime"]).default("CreateTime").cluster_wide()
        .doc("Whether a record keeps its producer's time or gets the broker's.");

    LOG_MESSAGE_TIMESTAMP_BEFORE_MAX_MS =
        Setting::long("log.message.timestamp.before.max.ms", 0).default(NO_LIMIT).cluster_wide()
        .doc("How far a record's time may lie before the broker's, in milliseconds, with `CreateTime`.");

    LOG_MESSAGE_TIMESTAMP_AFTER_MAX_MS =
        Setting::long("log.message.timestamp.after.max.ms", 0).default(NO_LIMIT).cluster_wide()
        .doc("How far a record's time may lie after the broker's, in milliseconds, with `CreateTime`.");

    LOG_MESSAGE_TIMESTAMP_DIFFERENCE_MAX_MS =
        Setting::long("log.message.timestamp.difference.max.ms", 0).default(NO_LIMIT).cluster_wide()
        .doc("The older form of the two bounds above, for both directions; used where they are unset.");

    LOG_MESSAGE_DOWNCONVERSION_ENABLE = Setting::bool("log.message.downconversion.enable").default("true").cluster_wide()
        .doc("Whether records may be converted for consumers of the oldest message formats. This version refuses those \
              consumers in either case.");

    MESSAGE_MAX_BYTES = Setting::int("message.max.bytes", 0).default("1048588").cluster_wide()
        .doc("The largest record batch in bytes, compressed as it came.");

    COMPRESSION_TYPE = Setting::choice("compression.type", &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"])
        .default("producer").cluster_wide()
        .doc("The codec in which batches are stored; `producer` keeps what the producer chose.");

    COMPRESSION_GZIP_LEVEL = Setting::gzip_level("compression.gzip.level").default("-1").cluster_wide()
        .doc("The gzip level where the broker compresses.");

    COMPRESSION_LZ4_LEVEL = Setting::int_within("compression.lz4.level", 1, 17).default("9").cluster_wide()
        .doc("The lz4 level where the broker compresses. Accepted for compatibility: the encoder has one level.");

    COMPRESSION_ZSTD_LEVEL = Setting::int_within("compression.zstd.level", -131_072, 22).default("3").cluster_wide()
        .doc("The zstd level where the broker compresses.");

    LOG_CLEANER_DELETE_RETENTION_MS = Setting::long("log.cleaner.delete.retention.ms", 0).default("86400000").cluster_wide()
        .doc("How long compaction keeps a delete marker, in milliseconds.");

    LOG_CLEANER_MIN_CLEANABLE_RATIO = Setting::double("log.cleaner.min.cleanable.ratio", 0.0, 1.0).default("0.5").cluster_wide()
        .doc("The share of a log that must be uncompacted before it is compacted.");

    LOG_CLEANER_MIN_COMPACTION_LAG_MS = Setting::long("log.cleaner.min.compaction.lag.ms", 0).default("0").cluster_wide()
        .doc("How long a record is safe from compaction, in milliseconds.");

    LOG_CLEANER_MAX_COMPACTION_LAG_MS = Setting::long("log.cleaner.max.compaction.lag.ms", 1).default(NO_LIMIT).cluster_wide()
        .doc("How long a record may wait for compaction, in milliseconds.");

    WHIMBREL_LOG_OPEN_SEGMENTS_MAX = Setting::int("whimbrel.log.open.segments.max", 16).default("1000")
        .doc("How many segments are kept open. The one that was used longest ago is closed for the next; the most \
              partitions of a large broker are idle and need no open file.");

    WHIMBREL_LOG_TAIL_CACHE_BYTES = Setting::long("whimbrel.log.tail.cache.bytes", 0).default("33554432")
        .doc("How many of the newest bytes of all partitions are kept in memory for followers and for consumers that \
              keep up. Only partitions that somebody reads at their end take part. 0 keeps none.");

    WHIMBREL_LOG_DISK_RESERVE_BYTES = Setting::long("whimbrel.log.disk.reserve.bytes", 0).default("67108864")
        .doc("Produce requests are refused with a retriable error while the file system of a data directory has fewer \
              free bytes than this, so that checkpoints and retention still work.");
}
