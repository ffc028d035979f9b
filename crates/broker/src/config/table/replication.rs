//! Settings of replication between brokers.

use crate::config::setting::{Setting, settings};

settings! {
    /// Replication between brokers.
    REPLICATION:

    REPLICA_LAG_TIME_MAX_MS = Setting::long("replica.lag.time.max.ms", 0).default("30000")
        .doc("A follower that has not caught up with its leader for this long leaves the in-sync set, in milliseconds. \
              Looked at every half of it.");

    REPLICA_FETCH_WAIT_MAX_MS = Setting::int("replica.fetch.wait.max.ms", 0).default("500")
        .doc("How long a leader may hold a follower's fetch back while there is nothing new, in milliseconds. Less than \
              `replica.lag.time.max.ms`, or followers of quiet partitions leave the in-sync set.");

    REPLICA_FETCH_MIN_BYTES = Setting::int("replica.fetch.min.bytes", 0).default("1")
        .doc("How many bytes a follower waits for in one fetch, up to `replica.fetch.wait.max.ms`.");

    REPLICA_FETCH_MAX_BYTES = Setting::int("replica.fetch.max.bytes", 0).default("1048576")
        .doc("The bytes that a follower asks for in each partition of one fetch. A larger batch still comes whole.");

    REPLICA_FETCH_RESPONSE_MAX_BYTES = Setting::int("replica.fetch.response.max.bytes", 0).default("10485760")
        .doc("The bytes that a follower asks for in one fetch over all partitions. A larger first batch still comes whole.");

    REPLICA_FETCH_BACKOFF_MS = Setting::int("replica.fetch.backoff.ms", 0).default("1000")
        .doc("The longest pause of a follower before it asks again for a partition that could not be fetched, in \
              milliseconds. The first pauses are shorter, since a new leader often is ready a moment later.");

    REPLICA_SOCKET_TIMEOUT_MS = Setting::int("replica.socket.timeout.ms", 1).default("30000")
        .doc("How long a follower waits for the answer to a fetch, in milliseconds. At least `replica.fetch.wait.max.ms`.");

    NUM_REPLICA_FETCHERS = Setting::int("num.replica.fetchers", 1).default("1")
        .doc("Threads, and connections, that fetch from each leader.");

    REPLICA_SELECTOR_CLASS = Setting::string("replica.selector.class").default("")
        .doc("Which replica consumers are sent to (KIP-392): \
              `org.apache.kafka.common.replica.RackAwareReplicaSelector` for one in the consumer's `client.rack`; \
              `org.apache.kafka.common.replica.LeaderSelector`, or nothing, for the leader.");

    LEADER_REPLICATION_THROTTLED_RATE = Setting::long("leader.replication.throttled.rate", 0)
        .default("9223372036854775807").cluster_wide()
        .doc("The bytes per second that this broker sends for throttled replicas of partitions that it leads. Set it as a \
              dynamic setting for the time of a reassignment.");

    FOLLOWER_REPLICATION_THROTTLED_RATE = Setting::long("follower.replication.throttled.rate", 0)
        .default("9223372036854775807").cluster_wide()
        .doc("The bytes per second that this broker fetches for its throttled replicas. Set it as a dynamic setting for \
              the time of a reassignment.");

    REPLICATION_QUOTA_WINDOW_NUM = Setting::int("replication.quota.window.num", 1).default("11")
        .doc("How many samples the throttled rates are measured over.");

    REPLICATION_QUOTA_WINDOW_SIZE_SECONDS = Setting::int("replication.quota.window.size.seconds", 1).default("1")
        .doc("How long one such sample is, in seconds.");
}
