//! Settings of consumer groups, their offsets, and producer ids.

use crate::config::setting::{Setting, settings};

settings! {
    /// Consumer groups and committed offsets.
    GROUPS:

    GROUP_MIN_SESSION_TIMEOUT_MS = Setting::int("group.min.session.timeout.ms", 0).default("6000")
        .doc("The shortest session timeout that a group member may ask for, in milliseconds.");

    GROUP_MAX_SESSION_TIMEOUT_MS = Setting::int("group.max.session.timeout.ms", 0).default("1800000")
        .doc("The longest session timeout that a group member may ask for, in milliseconds.");

    GROUP_INITIAL_REBALANCE_DELAY_MS = Setting::int("group.initial.rebalance.delay.ms", 0).default("3000")
        .doc("How long an empty group waits for more members before the first rebalance, in milliseconds. Tests set 0.");

    GROUP_MAX_SIZE = Setting::int("group.max.size", 1).default("2147483647")
        .doc("The most members of one group.");

    OFFSETS_TOPIC_NUM_PARTITIONS = Setting::int("offsets.topic.num.partitions", 1).default("50")
        .doc("The partitions of `__consumer_offsets`. Not to be changed once the topic exists.");

    OFFSETS_TOPIC_REPLICATION_FACTOR = Setting::short("offsets.topic.replication.factor", 1, i16::MAX).default("3")
        .default_alone("1")
        .differs("3 (required even of a single broker)",
                 "with the embedded keeper the broker is alone, and groups would not work until it is set")
        .doc("The replicas of `__consumer_offsets`. Creating it fails while there are fewer brokers.");

    OFFSETS_TOPIC_SEGMENT_BYTES = Setting::int("offsets.topic.segment.bytes", 14).default("104857600")
        .doc("The segment size of `__consumer_offsets`, in bytes.");

    OFFSETS_TOPIC_COMPRESSION_CODEC = Setting::int_within("offsets.topic.compression.codec", 0, 4).default("0")
        .doc("The codec of `__consumer_offsets`: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.");

    OFFSETS_RETENTION_MINUTES = Setting::int("offsets.retention.minutes", 1).default("10080")
        .doc("How long the offsets of a group without members are kept, in minutes.");

    OFFSETS_RETENTION_CHECK_INTERVAL_MS = Setting::long("offsets.retention.check.interval.ms", 1).default("600000")
        .doc("How often expired offsets are looked for, in milliseconds.");

    OFFSETS_COMMIT_TIMEOUT_MS = Setting::int("offsets.commit.timeout.ms", 1).default("5000")
        .doc("How long an offset commit waits for the replicas of `__consumer_offsets`, in milliseconds.");

    OFFSETS_COMMIT_REQUIRED_ACKS = Setting::short("offsets.commit.required.acks", -1, i16::MAX).default("-1")
        .doc("The acknowledgements that an offset commit needs. Whimbrel always waits for all in-sync replicas (-1), whatever \
              is set.");

    OFFSETS_LOAD_BUFFER_SIZE = Setting::int("offsets.load.buffer.size", 1).default("5242880")
        .doc("How many bytes of `__consumer_offsets` are read at a time when groups are loaded.");

    OFFSET_METADATA_MAX_BYTES = Setting::int("offset.metadata.max.bytes", 0).default("4096")
        .doc("The longest text that a client may store with an offset, in bytes.");
}

settings! {
    /// Idempotent producers.
    PRODUCERS:

    PRODUCER_ID_EXPIRATION_MS = Setting::int("producer.id.expiration.ms", 1).default("86400000").cluster_wide()
        .doc("After this many milliseconds without a record, a partition forgets an idempotent producer.");

    PRODUCER_ID_EXPIRATION_CHECK_INTERVAL_MS =
        Setting::int("producer.id.expiration.check.interval.ms", 1).default("600000")
        .doc("How often producers to forget are looked for, in milliseconds.");
}
