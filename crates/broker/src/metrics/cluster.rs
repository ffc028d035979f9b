//! What tells how a cluster does, with the meanings of Kafka's metrics: `UnderReplicatedPartitions`,
//! `UnderMinIsrPartitionCount`, `AtMinIsrPartitionCount`, `OfflinePartitionsCount`, `PreferredReplicaImbalanceCount`,
//! `IsrShrinksPerSec` and `IsrExpandsPerSec`, `LeaderElectionRateAndTimeMs`, `EventQueueSize`, `SessionExpireListener`.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FollowerLabel {
    follower: i32,
}

/// Gauges and counts of one broker's part in its cluster. Set by a probe before each scrape.
#[derive(Debug, Default)]
pub struct ClusterGauges {
    /// Led here, with fewer replicas in sync than there are.
    pub under_replicated: Gauge,
    /// Led here, with fewer in sync than `min.insync.replicas`.
    pub under_min_isr: Gauge,
    /// Led here, with just as many in sync as `min.insync.replicas`.
    pub at_min_isr: Gauge,
    /// Without a leader; counted on the controller alone, 0 elsewhere.
    pub offline: Gauge,
    /// Led by another than the preferred leader; on the controller alone.
    pub preferred_imbalance: Gauge,
    /// Brokers that this one knows to be alive.
    pub alive_brokers: Gauge,
    /// Events that the controller has not taken up.
    pub controller_queue: Gauge,
    /// The epoch of the controller that this broker heard last.
    pub controller_epoch: Gauge,
    /// The epoch of this broker's registration.
    pub broker_epoch: Gauge,
    /// The longest call to ZooKeeper since the last scrape.
    pub zookeeper_longest: Gauge<f64, AtomicU64>,
    follower_lag: Family<FollowerLabel, Gauge>,
    follower_lag_max: Family<FollowerLabel, Gauge>,
    isr_shrinks: Counter,
    isr_expands: Counter,
    elections: Counter,
    controller_writes: Counter,
    controller_write_seconds: Counter<f64, AtomicU64>,
    zookeeper_calls: Counter,
    zookeeper_seconds: Counter<f64, AtomicU64>,
    zookeeper_expirations: Counter,
}

/// What is counted elsewhere, from the start on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClusterCounts {
    pub isr_shrinks: u64,
    pub isr_expands: u64,
    /// Leader changes that this broker heard of.
    pub elections: u64,
    /// Batches of states that the controller wrote, and how long that took.
    pub controller_writes: u64,
    pub controller_write_time: Duration,
    pub zookeeper_calls: u64,
    pub zookeeper_time: Duration,
    pub zookeeper_expirations: u64,
}

impl ClusterGauges {
    /// How many records a follower lacks of what is led here: of all partitions together, and of the worst.
    pub fn follower_lag(&self, follower: i32, total: i64, worst: i64) {
        let label = FollowerLabel { follower };
        self.follower_lag.get_or_create(&label).set(total);
        self.follower_lag_max.get_or_create(&label).set(worst);
    }

    /// Forgets the followers, before those of the moment are set.
    pub fn clear_followers(&self) {
        self.follower_lag.clear();
        self.follower_lag_max.clear();
    }

    /// Brings the counters up to what was counted elsewhere.
    pub fn count(&self, counts: &ClusterCounts) {
        let raise = |counter: &Counter, to: u64| {
            counter.inc_by(to.saturating_sub(counter.get()));
        };
        let raise_seconds = |counter: &Counter<f64, AtomicU64>, to: Duration| {
            counter.inc_by((to.as_secs_f64() - counter.get()).max(0.0));
        };
        raise(&self.isr_shrinks, counts.isr_shrinks);
        raise(&self.isr_expands, counts.isr_expands);
        raise(&self.elections, counts.elections);
        raise(&self.controller_writes, counts.controller_writes);
        raise(&self.zookeeper_calls, counts.zookeeper_calls);
        raise(&self.zookeeper_expirations, counts.zookeeper_expirations);
        raise_seconds(&self.controller_write_seconds, counts.controller_write_time);
        raise_seconds(&self.zookeeper_seconds, counts.zookeeper_time);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let gauges = [
            ("under_replicated_partitions", "Partitions led here with replicas out of sync", &self.under_replicated),
            ("under_min_isr_partitions", "Partitions led here that refuse acks=all", &self.under_min_isr),
            ("at_min_isr_partitions", "Partitions led here that can lose no replica more", &self.at_min_isr),
            ("offline_partitions", "Partitions without a leader, on the controller", &self.offline),
            (
                "preferred_replica_imbalance",
                "Partitions not led by their preferred leader, on the controller",
                &self.preferred_imbalance,
            ),
            ("alive_brokers", "Brokers known to be alive", &self.alive_brokers),
            ("controller_event_queue", "Events that the controller has not taken up", &self.controller_queue),
            ("controller_epoch", "Epoch of the controller heard last", &self.controller_epoch),
            ("broker_epoch", "Epoch of the registration", &self.broker_epoch),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        registry.register("follower_lag_records", "Records that a follower lacks, in all", self.follower_lag.clone());
        registry.register(
            "follower_lag_records_max",
            "Records that a follower lacks in its worst partition",
            self.follower_lag_max.clone(),
        );
        registry.register("isr_shrinks", "In-sync sets that lost a replica", self.isr_shrinks.clone());
        registry.register("isr_expands", "In-sync sets that gained a replica", self.isr_expands.clone());
        registry.register("leader_elections", "Leader changes heard of", self.elections.clone());
        registry.register(
            "controller_writes",
            "Batches of partition states that the controller wrote",
            self.controller_writes.clone(),
        );
        registry.register(
            "controller_write_seconds",
            "Time taken by writes of partition states",
            self.controller_write_seconds.clone(),
        );
        registry.register("zookeeper_calls", "Calls to ZooKeeper", self.zookeeper_calls.clone());
        registry.register("zookeeper_call_seconds", "Time taken by calls to ZooKeeper", self.zookeeper_seconds.clone());
        registry.register(
            "zookeeper_longest_call_seconds",
            "The longest call to ZooKeeper since the last scrape",
            self.zookeeper_longest.clone(),
        );
        registry.register(
            "zookeeper_session_expirations",
            "Sessions that ZooKeeper has ended",
            self.zookeeper_expirations.clone(),
        );
    }
}
