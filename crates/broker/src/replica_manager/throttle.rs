//! The rates to which the copying of throttled replicas is held.

use parking_lot::Mutex;
use whimbrel_state::replication_quota::ReplicationQuota;

use crate::config::ReplicationConfig;
use crate::time;

/// On which side of replication a replica is throttled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Leader,
    Follower,
}

/// The two quotas of a broker.
#[derive(Debug)]
pub struct Throttles {
    leader: Mutex<ReplicationQuota>,
    follower: Mutex<ReplicationQuota>,
}

impl Throttles {
    pub fn new(config: &ReplicationConfig) -> Self {
        let sample_ms = i64::try_from(config.quota_sample.as_millis()).unwrap_or(i64::MAX);
        let quota = || Mutex::new(ReplicationQuota::new(config.quota_samples, sample_ms));
        let throttles = Self { leader: quota(), follower: quota() };
        throttles.set_rates(config);
        throttles
    }

    /// Puts other rates in force.
    pub fn set_rates(&self, config: &ReplicationConfig) {
        self.leader.lock().set_rate(config.leader_throttled_rate);
        self.follower.lock().set_rate(config.follower_throttled_rate);
    }

    /// Counts bytes of a throttled replica.
    pub fn record(&self, side: Side, bytes: u64) {
        self.quota(side).lock().record(time::monotonic_ms(), bytes);
    }

    /// Whether throttled replicas have to wait.
    pub fn is_exceeded(&self, side: Side) -> bool {
        self.quota(side).lock().is_exceeded(time::monotonic_ms())
    }

    fn quota(&self, side: Side) -> &Mutex<ReplicationQuota> {
        match side {
            Side::Leader => &self.leader,
            Side::Follower => &self.follower,
        }
    }
}
