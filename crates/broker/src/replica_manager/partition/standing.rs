//! How a partition that is led here stands, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use whimbrel_model::NodeId;

use super::Partition;

/// Counts of all partitions of a broker.
#[derive(Debug, Default)]
pub struct IsrChanges {
    shrinks: AtomicU64,
    expands: AtomicU64,
}

impl IsrChanges {
    /// The controller has agreed to a set of `after` replicas where there were `before`.
    pub(super) fn changed(&self, before: usize, after: usize) {
        let counter = if after < before { &self.shrinks } else { &self.expands };
        if before != after {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Shrinks and expands since the start.
    pub fn counts(&self) -> (u64, u64) {
        (self.shrinks.load(Ordering::Relaxed), self.expands.load(Ordering::Relaxed))
    }
}

/// The replicas of a partition that is led here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub replicas: usize,
    pub in_sync: usize,
    /// `min.insync.replicas`, at most the number of replicas.
    pub required: usize,
    /// How many records each follower lacks, as far as it has told.
    pub lags: Vec<(NodeId, i64)>,
}

impl Partition {
    /// `None` if this replica does not lead.
    pub fn standing(&self) -> Option<Standing> {
        let replica = self.replica.read();
        let leader = replica.lead()?;
        let end = self.log.log_end_offset();
        let lags = leader.followers().filter(|(_, at, _)| 0 <= at.0).map(|(node, at, _)| (node, (end.0 - at.0).max(0)));
        Some(Standing {
            replicas: leader.followers().count() + 1,
            in_sync: leader.isr().len(),
            required: leader.required(self.min_isr()),
            lags: lags.collect(),
        })
    }
}
