//! When sessions expire: a machine without a clock.
//!
//! As in ZooKeeper, sessions are grouped by tick: a session expires at the first tick boundary after its timeout,
//! so up to one tick late and never early. Times are milliseconds on any steady clock, passed in.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::tree::SessionId;

/// The sessions that are alive, and when each would expire if nothing were heard of it.
///
/// Invariant: a session is in exactly one bucket, the one that `deadlines` names.
#[derive(Debug)]
pub struct SessionClock {
    tick_ms: u64,
    deadlines: HashMap<SessionId, u64, foldhash::fast::RandomState>,
    buckets: BTreeMap<u64, BTreeSet<SessionId>>,
    /// The last time that `expired` was asked.
    last_check_ms: Option<u64>,
}

impl SessionClock {
    /// `tick_ms` of zero counts as one.
    pub fn new(tick_ms: u64) -> Self {
        Self { tick_ms: tick_ms.max(1), deadlines: HashMap::default(), buckets: BTreeMap::new(), last_check_ms: None }
    }

    /// Something was heard of a session: it lives for `timeout_ms` from now.
    pub fn touch(&mut self, session: SessionId, timeout_ms: u64, now_ms: u64) {
        let deadline = self.round_up(now_ms.saturating_add(timeout_ms));
        let before = self.deadlines.insert(session, deadline);
        if before == Some(deadline) {
            return;
        }
        if let Some(before) = before {
            self.leave(session, before);
        }
        self.buckets.entry(deadline).or_default().insert(session);
    }

    /// A session was closed.
    pub fn remove(&mut self, session: SessionId) {
        if let Some(deadline) = self.deadlines.remove(&session) {
            self.leave(session, deadline);
        }
    }

    /// The sessions whose time is over, which are then forgotten.
    ///
    /// If the caller itself was held up for more than two ticks (a stopped process, a machine asleep), nobody
    /// could be heard in that time: it is added to every deadline.
    pub fn expired(&mut self, now_ms: u64) -> Vec<SessionId> {
        let held_up_ms = self.last_check_ms.map_or(0, |last| now_ms.saturating_sub(last));
        self.last_check_ms = Some(now_ms);
        if held_up_ms > 3 * self.tick_ms {
            self.postpone(held_up_ms);
        }
        let mut expired = Vec::new();
        while let Some(bucket) = self.buckets.first_entry().filter(|bucket| *bucket.key() <= now_ms) {
            expired.extend(bucket.remove());
        }
        for session in &expired {
            self.deadlines.remove(session);
        }
        expired
    }

    /// The next tick boundary after `now_ms`: when to call `expired` again.
    pub fn next_check_ms(&self, now_ms: u64) -> u64 {
        self.round_up(now_ms)
    }

    /// The buckets: deadline and sessions, earliest first (the `dump` command).
    pub fn buckets(&self) -> impl Iterator<Item = (u64, &BTreeSet<SessionId>)> {
        self.buckets.iter().map(|(deadline, sessions)| (*deadline, sessions))
    }

    fn postpone(&mut self, by_ms: u64) {
        let by_ms = self.round_up(by_ms);
        self.buckets = std::mem::take(&mut self.buckets).into_iter().map(|(at, set)| (at + by_ms, set)).collect();
        for deadline in self.deadlines.values_mut() {
            *deadline += by_ms;
        }
    }

    fn round_up(&self, time_ms: u64) -> u64 {
        (time_ms / self.tick_ms + 1) * self.tick_ms
    }

    fn leave(&mut self, session: SessionId, deadline: u64) {
        if let Some(bucket) = self.buckets.get_mut(&deadline) {
            bucket.remove(&session);
            if bucket.is_empty() {
                self.buckets.remove(&deadline);
            }
        }
    }
}
