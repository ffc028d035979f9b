//! How far one follower is.

use whimbrel_model::{BrokerEpoch, Offset};

use super::leader::{FollowerFetch, Limits};

/// Nothing was fetched yet: below every offset.
pub(super) const UNKNOWN: Offset = Offset(-1);

/// No broker epoch is known.
pub(super) const ANY_EPOCH: BrokerEpoch = BrokerEpoch(-1);

/// How far one follower is, as its fetches tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    /// Where the follower's log ends: the offset of its last fetch.
    pub log_end: Offset,
    pub log_start: Offset,
    /// The leader's log end, and the time, at its last fetch.
    pub leader_end_then: Offset,
    pub fetched_ms: Option<i64>,
    /// When it last had all that the leader had; `None` if it never did.
    pub caught_up_ms: Option<i64>,
    /// -1 until a fetch tells.
    pub incarnation: BrokerEpoch,
    /// The controller has just said that it must not join: it is being stopped, or registered anew a moment ago.
    pub is_refused: bool,
    /// After a refusal, when it may be proposed again.
    pub proposed_from_ms: i64,
}

/// How long a follower that the controller refused is not proposed again. Until then nothing waits for it: a broker that
/// is being stopped goes on fetching to its end, and its leader would wait for what it will never fetch.
const REFUSED_FOR_MS: i64 = 500;

impl Progress {
    /// Of a follower that has not fetched yet.
    pub const fn unknown(caught_up_ms: Option<i64>) -> Self {
        Self {
            log_end: UNKNOWN,
            log_start: UNKNOWN,
            leader_end_then: UNKNOWN,
            fetched_ms: None,
            caught_up_ms,
            incarnation: ANY_EPOCH,
            is_refused: false,
            proposed_from_ms: i64::MIN,
        }
    }

    /// Whether it has all that the leader has, or had it a short time ago.
    pub fn is_caught_up(&self, leader_end: Offset, limits: &Limits<'_>) -> bool {
        self.log_end == leader_end
            || self.caught_up_ms.is_some_and(|caught_up| limits.now_ms - caught_up <= limits.lag_max_ms)
    }

    /// Whether the controller would take it, as far as its answers tell.
    pub fn may_join(&self, now_ms: i64) -> bool {
        !self.is_refused && self.proposed_from_ms <= now_ms
    }

    /// Takes a fetch in.
    pub fn fetched(&mut self, now_ms: i64, fetch: &FollowerFetch) {
        if std::mem::take(&mut self.is_refused) {
            self.proposed_from_ms = now_ms + REFUSED_FOR_MS;
        }
        let caught_up = if fetch.leader_end <= fetch.offset {
            Some(now_ms)
        } else if self.leader_end_then <= fetch.offset {
            // It now has all that there was when it asked the last time.
            self.fetched_ms
        } else {
            None
        };
        self.caught_up_ms = self.caught_up_ms.max(caught_up);
        self.log_end = fetch.offset;
        self.log_start = fetch.log_start;
        self.leader_end_then = self.leader_end_then.max(fetch.leader_end);
        self.fetched_ms = Some(now_ms);
        self.incarnation = fetch.incarnation;
    }
}
