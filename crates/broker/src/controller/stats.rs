//! What the controller of this process has done, for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Shared by the driver, which counts, and whoever looks. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ControllerStats(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    queue: AtomicUsize,
    writes: AtomicU64,
    write_nanos: AtomicU64,
}

impl ControllerStats {
    pub(super) fn queued(&self, events: usize) {
        self.0.queue.store(events, Ordering::Relaxed);
    }

    pub(super) fn wrote(&self, elapsed: Duration) {
        self.0.writes.fetch_add(1, Ordering::Relaxed);
        self.0.write_nanos.fetch_add(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Events that wait.
    #[must_use]
    pub fn queue(&self) -> usize {
        self.0.queue.load(Ordering::Relaxed)
    }

    /// Batches of states that were written, and the time it took.
    #[must_use]
    pub fn writes(&self) -> (u64, Duration) {
        let nanos = self.0.write_nanos.load(Ordering::Relaxed);
        (self.0.writes.load(Ordering::Relaxed), Duration::from_nanos(nanos))
    }
}
