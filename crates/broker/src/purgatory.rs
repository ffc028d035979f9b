//! Requests that wait for a partition to move: produce with `acks=all`, fetch with `min.bytes`.
//!
//! A waiting request is one [`Waiter`], registered at each partition it waits for with the offset that it wants to see
//! passed. Whoever moves the partition wakes only those whose offset is reached. The waiting task holds its own deadline
//! on the runtime's timer wheel; a partition has neither timer nor task, and an empty list costs one word and a lock.

use std::cell::LazyCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::Notify;
use whimbrel_model::Offset;

use crate::server::current_worker;

/// What a waiter wants to see moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The high watermark of the partition.
    HighWatermark,
    /// The offset below which everything is on disk.
    Flushed,
    /// The end of the log: replicas wait for it.
    LogEnd,
    /// The smallest log start offset of all live replicas.
    LowWatermark,
}

/// One waiting request. Woken when any of its registrations fires.
#[derive(Debug, Default)]
pub struct Waiter {
    woken: Notify,
    /// The worker that did it last, plus one; 0 for another thread.
    by: AtomicUsize,
    /// Bytes that have to come before it is worth waking. May be too few, never too many.
    missing_bytes: AtomicI64,
}

impl Waiter {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Returns when woken since the last call, or when `deadline` has passed (`false`).
    pub async fn woken_before(&self, deadline: tokio::time::Instant) -> bool {
        tokio::time::timeout_at(deadline, self.woken.notified()).await.is_ok()
    }

    /// What grows by less than `bytes` in all need not wake it. To be called before it is registered.
    pub fn wants(&self, bytes: u64) {
        self.missing_bytes.store(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// So many of the bytes that it wants are there. Said of bytes that wake-ups have counted too, it is woken too early,
    /// which does no harm.
    pub fn found(&self, bytes: u64) {
        self.comes(bytes);
    }

    /// Whether this is the last that it wants.
    fn comes(&self, bytes: u64) -> bool {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.missing_bytes.fetch_sub(bytes, Ordering::SeqCst) <= bytes
    }

    /// The worker that woke it last, if it was one.
    pub fn woken_by(&self) -> Option<usize> {
        self.by.load(Ordering::Relaxed).checked_sub(1)
    }

    /// As [`Waiter::woken_before`], counted from now.
    pub async fn woken_within(&self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.woken.notified()).await.is_ok()
    }
}

/// The waiters of one partition.
#[derive(Debug, Default)]
pub struct WatchList {
    /// Lets the hot path pass by without the lock. Changed under the lock.
    count: AtomicUsize,
    watches: Mutex<Vec<Watch>>,
}

#[derive(Debug)]
struct Watch {
    event: Event,
    /// Wake once the event's offset is at least this.
    target: Offset,
    waiter: Arc<Waiter>,
}

/// Those who are to be woken: when this is dropped, with no lock held, and once for all that a request does. Waking may be
/// a system call, after which the one who was woken runs at once on another core.
#[derive(Debug, Default)]
pub struct Wakes(SmallVec<[Arc<Waiter>; 8]>);

impl Drop for Wakes {
    fn drop(&mut self) {
        let by = current_worker().map_or(0, |worker| worker + 1);
        for waiter in &self.0 {
            waiter.by.store(by, Ordering::Relaxed);
            waiter.woken.notify_one();
        }
    }
}

/// Something that can be waited for.
pub trait Watched {
    fn watches(&self) -> &WatchList;
}

/// A registration; dropping it takes the waiter off the list.
#[derive(Debug)]
pub struct Registration<P: Watched> {
    owner: Arc<P>,
    waiter: Arc<Waiter>,
    event: Event,
}

impl WatchList {
    /// Puts `waiter` on the list of `owner` until the registration is dropped. The caller looks at the partition
    /// *again* after this, since it may have moved in between.
    pub fn register<P: Watched>(owner: &Arc<P>, waiter: &Arc<Waiter>, event: Event, target: Offset) -> Registration<P> {
        let list = owner.watches();
        let mut watches = list.watches.lock();
        watches.push(Watch { event, target, waiter: waiter.clone() });
        list.count.store(watches.len(), Ordering::SeqCst);
        drop(watches);
        Registration { owner: owner.clone(), waiter: waiter.clone(), event }
    }

    /// Notes those that wait for `event` to reach `at` or less.
    pub fn reached(&self, event: Event, at: Offset, wakes: &mut Wakes) {
        // SeqCst on both sides: either the mover sees the registration here, or the registered one sees the move when
        // it looks again.
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let watches = self.watches.lock();
        let meant = watches.iter().filter(|watch| watch.event == event && watch.target <= at);
        wakes.0.extend(meant.map(|watch| watch.waiter.clone()));
    }

    /// As [`WatchList::reached`], by something that brought `bytes` (only counted if it matters; 0 where that cannot be
    /// told): those who want more than one and do not have enough yet sleep on.
    pub fn grown(&self, event: Event, at: Offset, bytes: impl FnOnce() -> u64, wakes: &mut Wakes) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let bytes = LazyCell::new(|| Some(bytes()).filter(|bytes| *bytes != 0).unwrap_or(u64::MAX));
        let watches = self.watches.lock();
        let meant = watches.iter().filter(|watch| {
            let wants_one = || watch.waiter.missing_bytes.load(Ordering::SeqCst) <= 1;
            watch.event == event && watch.target <= at && (wants_one() || watch.waiter.comes(*bytes))
        });
        wakes.0.extend(meant.map(|watch| watch.waiter.clone()));
    }

    /// Wakes all, since the partition changed its leader, went offline or was truncated.
    pub fn changed(&self) {
        let mut wakes = Wakes::default();
        wakes.0.extend(self.watches.lock().iter().map(|watch| watch.waiter.clone()));
    }

    /// Registrations now.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<P: Watched> Drop for Registration<P> {
    fn drop(&mut self) {
        let list = self.owner.watches();
        let mut watches = list.watches.lock();
        let own = |watch: &Watch| watch.event == self.event && Arc::ptr_eq(&watch.waiter, &self.waiter);
        if let Some(at) = watches.iter().position(own) {
            watches.swap_remove(at);
        }
        if watches.is_empty() {
            // An idle partition keeps no memory for the waiters it once had.
            *watches = Vec::new();
        }
        list.count.store(watches.len(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Partition(WatchList);
    impl Watched for Partition {
        fn watches(&self) -> &WatchList {
            &self.0
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_those_whose_offset_is_reached_are_woken() {
        let partition = Arc::new(Partition(WatchList::default()));
        let (near, far) = (Waiter::new(), Waiter::new());
        let near_watch = WatchList::register(&partition, &near, Event::HighWatermark, Offset(5));
        let _far_watch = WatchList::register(&partition, &far, Event::HighWatermark, Offset(9));
        let limit = Duration::from_secs(1);
        let mut wakes = Wakes::default();
        partition.0.reached(Event::Flushed, Offset(100), &mut wakes);
        partition.0.reached(Event::HighWatermark, Offset(5), &mut wakes);
        assert!(!near.woken_within(limit).await, "not before the request is done");
        drop(wakes);
        assert!(near.woken_within(limit).await);
        assert!(!far.woken_within(limit).await);
        drop(near_watch);
        assert_eq!(partition.0.len(), 1);
        partition.0.changed();
        assert!(far.woken_within(limit).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_wants_many_bytes_sleeps_until_they_are_there() {
        let partition = Arc::new(Partition(WatchList::default()));
        let waiter = Waiter::new();
        waiter.wants(100);
        let _watch = WatchList::register(&partition, &waiter, Event::HighWatermark, Offset(5));
        let grown = |at, bytes| partition.0.grown(Event::HighWatermark, Offset(at), || bytes, &mut Wakes::default());
        let limit = Duration::from_secs(1);
        grown(4, 1000);
        grown(5, 60);
        waiter.found(30);
        assert!(!waiter.woken_within(limit).await);
        grown(6, 10);
        assert!(waiter.woken_within(limit).await);
        waiter.wants(100);
        partition.0.changed();
        assert!(waiter.woken_within(limit).await, "whatever it wants, it has to hear of that");
        waiter.wants(100);
        grown(5, 0);
        assert!(waiter.woken_within(limit).await, "nobody knows how much that was");
        waiter.wants(0);
        partition.0.grown(Event::HighWatermark, Offset(5), || panic!("not counted"), &mut Wakes::default());
        assert!(waiter.woken_within(limit).await);
    }
}
