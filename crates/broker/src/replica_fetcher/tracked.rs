//! One partition as its fetcher sees it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use whimbrel_model::{LeaderEpoch, Offset};
use whimbrel_wire::fetch::FetchPartition;

use super::session::Wanted;
use crate::replica_manager::{Partition, Side, Throttles};

/// The first pause after a failure. A leader that was just elected is often ready a moment later.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// A partition that is followed.
pub(super) struct Tracked {
    pub partition: Arc<Partition>,
    /// Followed in this leader epoch.
    pub epoch: LeaderEpoch,
    /// Where the next fetch begins; it is the end of the log.
    pub offset: Offset,
    last_fetched: Option<LeaderEpoch>,
    /// Not to be asked for before.
    pub paused_until: Option<Instant>,
    pause: Duration,
    /// The leader's high watermark was not above this log's end when it answered last.
    pub has_caught_up: bool,
    /// Not to be asked for until the controller says more.
    pub has_stopped: bool,
}

impl Tracked {
    /// Begins at the end of the log.
    pub fn new(partition: Arc<Partition>, epoch: LeaderEpoch) -> Self {
        let (offset, last_fetched) = (partition.log.log_end_offset(), partition.latest_epoch());
        Self {
            partition,
            epoch,
            offset,
            last_fetched,
            paused_until: None,
            pause: FIRST_PAUSE,
            has_caught_up: false,
            has_stopped: false,
        }
    }

    /// Reads again where the log ends.
    pub fn refresh(&mut self) {
        self.offset = self.partition.log.log_end_offset();
        self.last_fetched = self.partition.latest_epoch();
    }

    /// An answer was of use.
    pub fn succeeded(&mut self) {
        self.pause = FIRST_PAUSE;
    }

    /// Pauses, each time for longer up to `longest` (`replica.fetch.backoff.ms`).
    pub fn back_off(&mut self, now: Instant, longest: Duration) {
        self.paused_until = Some(now + self.pause.min(longest));
        self.pause = (self.pause * 2).min(longest.max(FIRST_PAUSE));
    }

    /// Whether it has to wait, since it is throttled, lags, and the rate is used up.
    pub fn is_held_back(&self, throttles: &Throttles) -> bool {
        !self.has_caught_up && self.partition.is_throttled(Side::Follower) && throttles.is_exceeded(Side::Follower)
    }

    /// Whether it is to be asked for now.
    pub fn is_ready(&mut self, now: Instant) -> bool {
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
        }
        self.paused_until.is_none() && !self.has_stopped
    }

    pub fn wanted(&self, bytes_max: i32) -> Wanted {
        Wanted {
            topic_id: self.partition.topic_id,
            partition: FetchPartition {
                partition: self.partition.topic_partition.partition,
                current_leader_epoch: self.epoch.0,
                fetch_offset: self.offset.0,
                last_fetched_epoch: self.last_fetched.unwrap_or(LeaderEpoch::NONE).0,
                log_start_offset: self.partition.log.log_start_offset().0,
                partition_max_bytes: bytes_max,
                ..FetchPartition::default()
            },
        }
    }
}
