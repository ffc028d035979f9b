//! The time-outs of all groups on one wheel, with one task that waits for the next.

use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use whimbrel_state::group::Timer;
use whimbrel_state::timer::TimerWheel;

use super::GroupCoordinator;
use super::shard::GroupCell;

#[derive(Default)]
pub(super) struct Timers {
    /// A group that has been deleted is not kept for its timers.
    wheel: Mutex<TimerWheel<(Weak<GroupCell>, Timer)>>,
    /// The next deadline has become earlier, or the coordinator stops.
    changed: Notify,
}

impl Timers {
    pub fn insert(&self, at: Duration, cell: &Arc<GroupCell>, timer: Timer) {
        let mut wheel = self.wheel.lock();
        let is_earlier = wheel.next_deadline().is_none_or(|next| at < next);
        wheel.insert(at, (Arc::downgrade(cell), timer));
        drop(wheel);
        if is_earlier {
            self.changed.notify_one();
        }
    }

    pub fn wake(&self) {
        self.changed.notify_one();
    }
}

impl GroupCoordinator {
    pub(super) async fn run_timers(self: Arc<Self>) {
        let mut due = Vec::new();
        while self.is_active.load(Ordering::SeqCst) {
            let next = self.timers.wheel.lock().next_deadline();
            let changed = self.timers.changed.notified();
            match next {
                None => changed.await,
                Some(at) => {
                    let wait = at.saturating_sub(Self::now().elapsed);
                    // Both outcomes lead to another look at the wheel.
                    let _ = tokio::time::timeout(wait, changed).await;
                }
            }
            self.timers.wheel.lock().advance(Self::now().elapsed, &mut due);
            for (cell, timer) in due.drain(..) {
                if let Some(cell) = cell.upgrade() {
                    self.drive(&cell, |group, now, settings, effects| {
                        group.on_timer(now, &timer, settings, effects);
                    });
                }
            }
        }
    }
}
