//! Incremental fetch sessions (KIP-227): the server remembers what a fetcher asks for, so that requests and responses
//! carry only what changed.
//!
//! ```text
//!   (0, 0) or (old id, 0)  full request, wants a session   ──open──▶ id, next epoch 1   (old id closed)
//!   (id, n)                incremental                     ──begin──▶ epoch n+1 ──finish──▶ only what changed
//!   (id, -1)               full request, wants no session  ──close──▶ gone
//! ```
//!
//! After 2³¹−1 the epoch wraps to 1, never to 0. A response is made only if the session's epoch is still the one that
//! its request moved it to, so that a repeated request cannot make the two sides disagree.
//! Source: `kafka.server.FetchSession`.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use whimbrel_model::{LeaderEpoch, Offset, Uuid};

/// The epoch of a request that wants a new session.
pub const INITIAL_EPOCH: i32 = 0;
/// The epoch of a full request that wants no session.
pub const FINAL_EPOCH: i32 = -1;
/// A session unused for this long may be replaced by any other.
pub const EVICTION_MS: i64 = 120_000;

/// How a session names its topics: by id from Fetch version 13 on, by name before. One session never mixes them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SessionTopic {
    Id(Uuid),
    Name(Arc<str>),
}

/// What a fetcher asks of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchParams {
    pub fetch_offset: Offset,
    /// The follower's log start offset; -1 from consumers.
    pub fetcher_log_start: i64,
    pub partition_bytes_max: i32,
    /// Fences a fetcher that knows another leader epoch (KIP-320); `None` if it does not say.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// The epoch of the last record that the fetcher has; `None` if it does not say.
    pub last_fetched_epoch: Option<LeaderEpoch>,
}

/// One partition of a fetch, in the order in which it is to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchPartition {
    pub topic: SessionTopic,
    pub partition: i32,
    pub params: FetchParams,
    /// The high watermark that the fetcher was told last in its session; -1 if none.
    pub told_high_watermark: i64,
}

/// What a partition's part of a response holds, as far as it decides whether it has to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    pub high_watermark: i64,
    pub log_start: i64,
    pub has_records: bool,
    pub has_error: bool,
    /// A preferred read replica or a diverging epoch: always sent.
    pub has_directive: bool,
}

/// Why an incremental request is refused; the client then opens a new session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    #[error("no fetch session has this id")]
    IdNotFound,
    #[error("the fetch session is at another epoch")]
    InvalidEpoch,
    #[error("the fetch session mixes topic ids and topic names")]
    TopicIdMismatch,
}

/// The epoch after `epoch`.
#[must_use]
pub fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

type Key = (SessionTopic, i32);

#[derive(Debug)]
struct Cached {
    key: Key,
    params: FetchParams,
    /// What the fetcher was last told; -1 so that the next response tells it in any case.
    high_watermark: i64,
    log_start: i64,
}

#[derive(Debug)]
struct Session {
    privileged: bool,
    uses_topic_ids: bool,
    created_ms: i64,
    used_ms: i64,
    /// The epoch that the next request must have.
    epoch: i32,
    /// In serving order. `place` maps each key to its position here.
    order: BTreeMap<u64, Cached>,
    place: HashMap<Key, u64>,
    next_place: u64,
}

impl Session {
    fn push(&mut self, cached: Cached) {
        self.place.insert(cached.key.clone(), self.next_place);
        self.order.insert(self.next_place, cached);
        self.next_place += 1;
    }

    fn set(&mut self, key: Key, params: FetchParams) {
        match self.place.get(&key).and_then(|place| self.order.get_mut(place)) {
            Some(cached) => cached.params = params,
            None => self.push(Cached { key, params, high_watermark: -1, log_start: -1 }),
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(place) = self.place.remove(key) {
            self.order.remove(&place);
        }
    }

    /// Whether `outcome` has to be sent. A partition with records moves to the end, so that the others come first in
    /// the next round: none is starved by the byte limit.
    fn settle(&mut self, key: &Key, outcome: &Outcome) -> bool {
        let Some(&place) = self.place.get(key) else { return true };
        let Some(cached) = self.order.get_mut(&place) else { return true };
        let send = outcome.has_records
            || outcome.has_error
            || outcome.has_directive
            || cached.high_watermark != outcome.high_watermark
            || cached.log_start != outcome.log_start;
        // After an error the partition is sent again as soon as the error is gone.
        cached.high_watermark = if outcome.has_error { -1 } else { outcome.high_watermark };
        cached.log_start = outcome.log_start;
        if outcome.has_records
            && let Some(cached) = self.order.remove(&place)
        {
            self.push(cached);
        }
        send
    }

    /// Sessions with the lowest value give way first.
    fn value(&self) -> (bool, usize) {
        (self.privileged, self.order.len())
    }
}

/// The sessions of one broker, or one shard of them.
#[derive(Debug)]
pub struct FetchSessions {
    slots_max: usize,
    sessions: HashMap<i32, Session>,
    evictions: u64,
}

impl FetchSessions {
    /// Room for `slots_max` sessions (`max.incremental.fetch.session.cache.slots`).
    #[must_use]
    pub fn new(slots_max: usize) -> Self {
        Self { slots_max, sessions: HashMap::new(), evictions: 0 }
    }

    /// Remembers a full request and what was answered. `None` when there is no room: the fetcher then goes on without.
    /// `draw_id` gives random positive ids until one is free.
    pub fn open(
        &mut self,
        now_ms: i64,
        privileged: bool,
        uses_topic_ids: bool,
        served: impl ExactSizeIterator<Item = (FetchPartition, Outcome)>,
        mut draw_id: impl FnMut() -> i32,
    ) -> Option<i32> {
        if self.sessions.len() >= self.slots_max && !self.evict(now_ms, (privileged, served.len())) {
            return None;
        }
        let id = std::iter::repeat_with(&mut draw_id).find(|id| *id > 0 && !self.sessions.contains_key(id))?;
        let mut session = Session {
            privileged,
            uses_topic_ids,
            created_ms: now_ms,
            used_ms: now_ms,
            epoch: next_epoch(INITIAL_EPOCH),
            order: BTreeMap::new(),
            place: HashMap::with_capacity(served.len()),
            next_place: 0,
        };
        for (FetchPartition { topic, partition, params, .. }, outcome) in served {
            let key = (topic, partition);
            // A partition that a hostile request names twice is kept once.
            session.forget(&key);
            let high_watermark = if outcome.has_error { -1 } else { outcome.high_watermark };
            session.push(Cached { key, params, high_watermark, log_start: outcome.log_start });
        }
        self.sessions.insert(id, session);
        Some(id)
    }

    /// Applies an incremental request and lists every partition of the session, in serving order. The session's epoch
    /// has moved on when this returns. An empty list means that the session ended, since it holds no partition.
    ///
    /// # Errors
    /// There is no such session, or it is at another epoch, or names topics the other way.
    pub fn begin(
        &mut self,
        now_ms: i64,
        (id, epoch): (i32, i32),
        uses_topic_ids: bool,
        changed: impl Iterator<Item = FetchPartition>,
        forgotten: impl Iterator<Item = (SessionTopic, i32)>,
    ) -> Result<Vec<FetchPartition>, SessionError> {
        let session = self.sessions.get_mut(&id).ok_or(SessionError::IdNotFound)?;
        if session.epoch != epoch {
            return Err(SessionError::InvalidEpoch);
        }
        if session.uses_topic_ids != uses_topic_ids {
            return Err(SessionError::TopicIdMismatch);
        }
        for FetchPartition { topic, partition, params, .. } in changed {
            session.set((topic, partition), params);
        }
        for key in forgotten {
            session.forget(&key);
        }
        session.used_ms = now_ms;
        session.epoch = next_epoch(epoch);
        let partitions: Vec<FetchPartition> = session
            .order
            .values()
            .map(|cached| FetchPartition {
                topic: cached.key.0.clone(),
                partition: cached.key.1,
                params: cached.params,
                told_high_watermark: cached.high_watermark,
            })
            .collect();
        if partitions.is_empty() {
            self.sessions.remove(&id);
        }
        Ok(partitions)
    }

    /// Decides for each partition of an answer to the incremental request `(id, epoch)` whether it is sent.
    ///
    /// # Errors
    /// The session is gone or has moved on since: the answer must not be sent.
    pub fn finish<'a>(
        &mut self,
        (id, epoch): (i32, i32),
        outcomes: impl Iterator<Item = (&'a SessionTopic, i32, Outcome)>,
    ) -> Result<Vec<bool>, SessionError> {
        let session = self.sessions.get_mut(&id).ok_or(SessionError::IdNotFound)?;
        if session.epoch != next_epoch(epoch) {
            return Err(SessionError::InvalidEpoch);
        }
        Ok(outcomes.map(|(topic, partition, outcome)| session.settle(&(topic.clone(), partition), &outcome)).collect())
    }

    /// Ends the session, if there is one.
    pub fn close(&mut self, id: i32) {
        self.sessions.remove(&id);
    }

    /// Sessions open now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// True while no session is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Sessions that had to give way so far.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Frees one slot for a session of the given value: the longest unused one if it is stale, else the least valuable
    /// one that is older than [`EVICTION_MS`] (or that a follower may displace), if it is worth no more than the new one.
    fn evict(&mut self, now_ms: i64, (privileged, size): (bool, usize)) -> bool {
        let stale = self
            .sessions
            .iter()
            .min_by_key(|(id, session)| (session.used_ms, **id))
            .filter(|(_, session)| now_ms - session.used_ms > EVICTION_MS)
            .map(|(id, _)| *id);
        let victim = stale.or_else(|| {
            self.sessions
                .iter()
                .filter(|(_, session)| now_ms - session.created_ms > EVICTION_MS || (privileged && !session.privileged))
                .min_by_key(|(id, session)| (session.value(), **id))
                .filter(|(_, session)| session.value() <= (privileged, size))
                .map(|(id, _)| *id)
        });
        let Some(victim) = victim else { return false };
        self.sessions.remove(&victim);
        self.evictions += 1;
        true
    }
}

#[cfg(test)]
#[path = "fetch_session_tests.rs"]
mod tests;
