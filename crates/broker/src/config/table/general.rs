//! Settings of the broker's identity, its coordination, topics, and those that are Whimbrel's own.

use crate::config::setting::{Setting, settings};

settings! {
    /// Identity and coordination.
    GENERAL:

    BROKER_ID = Setting::int("broker.id", -1).default("-1")
        .doc("The broker's number, unique in the cluster. -1 takes the number in `meta.properties`, or draws one above \
              `reserved.broker.max.id`.");

    NODE_ID = Setting::int("node.id", -1).default("-1")
        .doc("Another name for `broker.id`; when both are set they must agree.");

    BROKER_ID_GENERATION_ENABLE = Setting::bool("broker.id.generation.enable").default("true")
        .doc("Whether a number is drawn for a broker that has none. Without it `broker.id` is required.");

    RESERVED_BROKER_MAX_ID = Setting::int("reserved.broker.max.id", 0).default("1000")
        .doc("The largest number that may be set by hand as `broker.id`; drawn numbers begin above it.");

    BROKER_RACK = Setting::string("broker.rack")
        .doc("Where the broker stands. Replicas are spread over racks, and consumers are told it.");

    ZOOKEEPER_CONNECT = Setting::string("zookeeper.connect").default("")
        .differs("none, required", "a first start needs nothing else: the broker brings its own coordination service")
        .doc("The ZooKeeper ensemble, `host:port` separated by commas with an optional path behind the last one. \
              Empty: the broker starts the keeper in its own process and uses that.");

    ZOOKEEPER_SESSION_TIMEOUT_MS = Setting::int("zookeeper.session.timeout.ms", 1).default("18000")
        .doc("After this many milliseconds without a word, ZooKeeper declares the broker gone.");

    ZOOKEEPER_CONNECTION_TIMEOUT_MS = Setting::int("zookeeper.connection.timeout.ms", 1)
        .doc("How long to wait for the first connection to ZooKeeper, in milliseconds. Unset: \
              `zookeeper.session.timeout.ms`.");

    ZOOKEEPER_MAX_IN_FLIGHT_REQUESTS = Setting::int("zookeeper.max.in.flight.requests", 1).default("256")
        .differs("10", "reading the state of 100,000 partitions with ten requests at a time takes seconds, and a fail-over waits for it")
        .doc("How many requests to ZooKeeper may be under way at once.");

    ZOOKEEPER_SET_ACL = Setting::bool("zookeeper.set.acl").default("false")
        .doc("Whether only brokers may change what they keep in ZooKeeper, and only they may read its secrets. Needs \
              `whimbrel.zookeeper.auth`, the same on every broker.");

    WHIMBREL_ZOOKEEPER_AUTH = Setting::password("whimbrel.zookeeper.auth")
        .doc("As whom the broker speaks to ZooKeeper: a scheme and its credentials, such as `digest:kafka:secret` for \
              user `kafka` (ZooKeeper's `addauth`). Kafka's own way, a JAAS file with a `Client` section, uses SASL and \
              makes a different identity: nodes that Java brokers protected so cannot be changed with this one.");

    WHIMBREL_KEEPER_LISTENER = Setting::string("whimbrel.keeper.listener").default("127.0.0.1:0")
        .doc("Where the embedded keeper listens, `host:port`; port 0 takes a free one. It is used only while \
              `zookeeper.connect` is empty.");

    WHIMBREL_KEEPER_DIR = Setting::string("whimbrel.keeper.dir")
        .doc("The directory of the embedded keeper's store. Unset: the first log directory.");

    CONTROLLED_SHUTDOWN_ENABLE = Setting::bool("controlled.shutdown.enable").default("true")
        .doc("Whether a broker that is stopped has its leaderships moved away first, so that clients are never without a \
              leader.");

    CONTROLLED_SHUTDOWN_MAX_RETRIES = Setting::int("controlled.shutdown.max.retries", 1).default("3")
        .doc("A stop waits this many times `controlled.shutdown.retry.backoff.ms` for its leaderships to be moved; then \
              it goes on without.");

    CONTROLLED_SHUTDOWN_RETRY_BACKOFF_MS = Setting::long("controlled.shutdown.retry.backoff.ms", 1).default("5000")
        .doc("See `controlled.shutdown.max.retries`. Meanwhile the controller is asked several times a second.");

    WHIMBREL_HTTP_LISTENER = Setting::string("whimbrel.http.listener").default("127.0.0.1:9644")
        .doc("Where `/metrics` and `/health` are served, `host:port`. When the port is taken a free one is used and \
              named in the banner; with port 0 likewise. Empty: no HTTP.");
}

settings! {
    /// Topics, their creation and replication.
    TOPICS:

    NUM_PARTITIONS = Setting::int("num.partitions", 1).default("1")
        .doc("The partitions of a topic that is created without a number.");

    DEFAULT_REPLICATION_FACTOR = Setting::int_within("default.replication.factor", 1, i16::MAX as i32).default("1")
        .doc("The replicas of a topic that is created without a number.");

    AUTO_CREATE_TOPICS_ENABLE = Setting::bool("auto.create.topics.enable").default("true")
        .doc("Whether a topic that a client asks for by name is created when it does not exist.");

    DELETE_TOPIC_ENABLE = Setting::bool("delete.topic.enable").default("true")
        .doc("Whether topics may be deleted.");

    MIN_INSYNC_REPLICAS = Setting::int("min.insync.replicas", 1).default("1").cluster_wide()
        .doc("With `acks=all`: how many in-sync replicas must hold a record before it is acknowledged. While fewer are \
              in sync, produce requests are refused.");

    UNCLEAN_LEADER_ELECTION_ENABLE = Setting::bool("unclean.leader.election.enable").default("false").cluster_wide()
        .doc("Whether a replica that may lack acknowledged records can become leader when no other is left. Trades \
              records for availability.");

    AUTO_LEADER_REBALANCE_ENABLE = Setting::bool("auto.leader.rebalance.enable").default("true")
        .doc("Whether the controller gives leadership back to preferred leaders by itself.");

    LEADER_IMBALANCE_CHECK_INTERVAL_SECONDS = Setting::long("leader.imbalance.check.interval.seconds", 1).default("300")
        .doc("How often, in seconds, the controller looks whether brokers lead too few of the partitions that prefer \
              them.");

    LEADER_IMBALANCE_PER_BROKER_PERCENTAGE = Setting::int("leader.imbalance.per.broker.percentage", 0).default("10")
        .doc("Leadership is given back to a broker when more than this share of the partitions that prefer it, in \
              percent, is led elsewhere.");
}
