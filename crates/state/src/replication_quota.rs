//! How fast throttled replicas may be copied: bytes per second over a sliding window of samples.
//!
//! A sum of `samples` (`replication.quota.window.num`) of `sample_ms` (`replication.quota.window.size.seconds`) each, as
//! Kafka's `ReplicationQuotaManager`. What is copied is counted after it has been copied, so that the rate is kept on
//! average and not by each request.

use std::collections::VecDeque;

/// The samples of one direction.
#[derive(Debug)]
pub struct ReplicationQuota {
    /// `None`: no bound.
    bytes_per_second: Option<u64>,
    samples: usize,
    sample_ms: i64,
    /// When each sample began, monotonic milliseconds, and its bytes; the oldest first.
    window: VecDeque<(i64, u64)>,
}

impl ReplicationQuota {
    /// Without a bound.
    #[must_use]
    pub fn new(samples: usize, sample_ms: i64) -> Self {
        Self { bytes_per_second: None, samples: samples.max(1), sample_ms: sample_ms.max(1), window: VecDeque::new() }
    }

    /// Puts another bound in force.
    pub fn set_rate(&mut self, bytes_per_second: Option<u64>) {
        self.bytes_per_second = bytes_per_second;
    }

    /// Counts bytes that were copied for a throttled replica.
    pub fn record(&mut self, now_ms: i64, bytes: u64) {
        self.forget(now_ms);
        match self.window.back_mut() {
            Some((began, sum)) if now_ms - *began < self.sample_ms => *sum += bytes,
            _ => self.window.push_back((now_ms, bytes)),
        }
    }

    /// Whether more was copied than the bound allows.
    pub fn is_exceeded(&mut self, now_ms: i64) -> bool {
        let Some(bound) = self.bytes_per_second else { return false };
        self.forget(now_ms);
        let Some((oldest, _)) = self.window.front() else { return false };
        let bytes: u64 = self.window.iter().map(|(_, sum)| sum).sum();
        // A window that has just begun counts as one whole sample.
        let elapsed_ms = (now_ms - oldest).max(self.sample_ms).unsigned_abs();
        u128::from(bound) * u128::from(elapsed_ms) < u128::from(bytes) * 1000
    }

    fn forget(&mut self, now_ms: i64) {
        let span_ms = self.sample_ms.saturating_mul(i64::try_from(self.samples).unwrap_or(i64::MAX));
        while self.window.front().is_some_and(|(began, _)| span_ms <= now_ms - began) {
            self.window.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_on_average() {
        let mut quota = ReplicationQuota::new(11, 1000);
        quota.record(0, 5000);
        assert!(!quota.is_exceeded(0), "there is no bound");
        quota.set_rate(Some(1000));
        assert!(quota.is_exceeded(0));
        assert!(quota.is_exceeded(4999));
        assert!(!quota.is_exceeded(5000), "5000 bytes in five seconds");
        quota.record(5000, 1);
        assert!(quota.is_exceeded(5000));
        assert!(!quota.is_exceeded(16_001), "what is older than the window is forgotten");
    }
}
