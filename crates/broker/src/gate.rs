//! Something that happens once, and those who wait for it.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Opens once. Looking at it when it is open costs one load.
#[derive(Debug, Default)]
pub struct Gate {
    is_open: AtomicBool,
    opened: Notify,
}

impl Gate {
    pub fn open(&self) {
        self.is_open.store(true, Ordering::Release);
        self.opened.notify_waiters();
    }

    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Returns once it is open.
    pub async fn passed(&self) {
        while !self.is_open() {
            let opened = self.opened.notified();
            // Made before the second look, so that an opening between the two is not missed.
            if !self.is_open() {
                opened.await;
            }
        }
    }
}
