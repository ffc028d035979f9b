//! The batches just written, kept in memory for those who read at the log's end.
//!
//! A follower, and a consumer that keeps up, ask for a batch within milliseconds of its append. Served from here, the
//! read costs no system call and no copy. Who reads anywhere else reads from the file.
//!
//! A log keeps its tail only while somebody reads there: a read that reaches the log's end buys the next [`PATIENCE_BYTES`]
//! of appends a place. What all logs keep together is bounded; beyond the bound the log that began first lets go.
//!
//! The tail is a run of consecutive batches that ends at the log's end. It is part of the log's state: whoever cuts the
//! log drops it under the same lock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use whimbrel_model::Offset;

use super::read::{ReadResult, Slices};
use super::{Log, State};
use crate::batch::BatchMeta;

/// Appended bytes that are kept after the last read at the log's end.
const PATIENCE_BYTES: usize = 4 * 1024 * 1024;
/// Kept of one log at most: more than a round trip's worth of a fast producer.
const LOG_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The bound on what all logs keep.
pub(crate) struct TailBudget {
    max_bytes: usize,
    used_bytes: AtomicUsize,
    /// Logs with a tail, those that began first at the front. A log may be listed although its tail is gone.
    logs: Mutex<VecDeque<Weak<Log>>>,
}

impl TailBudget {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, used_bytes: AtomicUsize::new(0), logs: Mutex::default() }
    }

    pub(crate) fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Takes tails away until the rest is within the bound. The caller holds no log's lock. A log that is busy keeps
    /// its tail: the next append looks again.
    fn enforce(&self) {
        let listed = self.logs.lock().len();
        for _ in 0..listed {
            if self.used_bytes() <= self.max_bytes {
                return;
            }
            let Some(first) = self.logs.lock().pop_front() else { return };
            let Some(log) = first.upgrade() else { continue };
            match log.state.try_lock() {
                Some(mut state) => state.tail = None,
                None => self.logs.lock().push_back(first),
            }
        }
    }
}

/// One batch, header and body in one run.
struct Kept {
    base: i64,
    last: i64,
    /// Bytes that were ever added, up to the end of this batch.
    end_bytes: u64,
    bytes: Bytes,
}

/// The kept batches of one log.
pub(super) struct Tail {
    budget: Arc<TailBudget>,
    batches: VecDeque<Kept>,
    bytes: usize,
    patience_bytes: usize,
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.budget.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Tail {
    fn add(&mut self, meta: &BatchMeta, pieces: [&[u8]; 2]) {
        let size = pieces.iter().map(|piece| piece.len()).sum();
        let mut bytes = Vec::with_capacity(size);
        pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
        let end_bytes = self.end_bytes() + size as u64;
        self.batches.push_back(Kept { base: meta.base, last: meta.last, end_bytes, bytes: bytes.into() });
        self.bytes += size;
        self.budget.used_bytes.fetch_add(size, Ordering::Relaxed);
        self.patience_bytes = self.patience_bytes.saturating_sub(size);
        while LOG_BYTES_MAX < self.bytes
            && let Some(oldest) = self.batches.pop_front()
        {
            self.bytes -= oldest.bytes.len();
            self.budget.used_bytes.fetch_sub(oldest.bytes.len(), Ordering::Relaxed);
        }
    }

    fn end_bytes(&self) -> u64 {
        self.batches.back().map_or(0, |last| last.end_bytes)
    }

    /// The batch that holds `from`, or the next one if none does, by its place in `batches`. `None` if it is not here.
    fn find(&self, from: i64) -> Option<(usize, &Kept)> {
        let at = self.batches.partition_point(|kept| kept.last < from);
        let kept = self.batches.get(at)?;
        // Before the first batch there may be others that are not here.
        (kept.base <= from || at != 0).then_some((at, kept))
    }

    /// Bytes from the batch that holds `from` to the log's end; `None` if that batch is not here.
    pub(super) fn bytes_from(&self, from: i64) -> Option<u64> {
        let (_, first) = self.find(from)?;
        Some(self.end_bytes() - first.end_bytes + first.bytes.len() as u64)
    }

    /// As [`Log::read`]; `None` if the batch that holds `from` is not here.
    fn read(&self, from: i64, upper: i64, max_bytes: usize, min_one_batch: bool) -> Option<ReadResult> {
        let (at, first) = self.find(from)?;
        let mut result = ReadResult {
            records: Slices::default(),
            next_offset: Offset(from),
            first_batch_is_too_large: max_bytes < first.bytes.len() && !min_one_batch,
        };
        let mut left = max_bytes;
        for kept in self.batches.range(at..).take_while(|kept| kept.base < upper) {
            let is_first = result.records.is_empty();
            if left < kept.bytes.len() && !(is_first && min_one_batch) {
                break;
            }
            left = left.saturating_sub(kept.bytes.len());
            result.next_offset = Offset(kept.last + 1);
            result.records.push(kept.bytes.clone());
        }
        Some(result)
    }
}

impl Log {
    /// Keeps batches that were just written, if somebody reads at the log's end.
    pub(super) fn keep_tail(&self, state: &mut State, metas: &[BatchMeta], pieces: &[&[u8]; 2]) {
        let Some(tail) = &mut state.tail else { return };
        if tail.patience_bytes == 0 {
            state.tail = None;
            return;
        }
        if let ([meta], [header, body]) = (metas, pieces) {
            tail.add(meta, [header, body]);
            return;
        }
        let mut rest = pieces[0];
        for meta in metas {
            let Some((batch, after)) = rest.split_at_checked(meta.size as usize) else {
                // Not the shape that `write` was given: better no tail than one with a gap.
                state.tail = None;
                return;
            };
            tail.add(meta, [batch, &[]]);
            rest = after;
        }
    }

    /// To be called after an append, without the lock.
    pub(super) fn enforce_tail_budget(&self) {
        if self.tails.max_bytes < self.tails.used_bytes() {
            self.tails.enforce();
        }
    }

    pub(super) fn read_tail(
        self: &Arc<Self>,
        from: i64,
        upper: i64,
        max_bytes: usize,
        min_one_batch: bool,
    ) -> Option<ReadResult> {
        let mut state = self.state.lock();
        if state.is_closed {
            return None;
        }
        let found = state.tail.as_ref()?.read(from, upper, max_bytes, min_one_batch)?;
        if let Some(tail) = &mut state.tail {
            tail.patience_bytes = PATIENCE_BYTES;
        }
        Some(found)
    }

    /// A reader has reached the log's end by way of the file: from now on there is a tail for it.
    pub(super) fn begin_tail(self: &Arc<Self>, state: &mut State) {
        if state.tail.is_some() || self.tails.max_bytes == 0 {
            return;
        }
        state.tail = Some(Box::new(Tail {
            budget: self.tails.clone(),
            batches: VecDeque::new(),
            bytes: 0,
            patience_bytes: PATIENCE_BYTES,
        }));
        let mut listed = self.tails.logs.lock();
        // Those that are gone would otherwise gather while the bound is never reached.
        if listed.len() == listed.capacity() {
            listed.retain(|log| log.strong_count() != 0);
        }
        listed.push_back(Arc::downgrade(self));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(budget: &Arc<TailBudget>, batches: &[(i64, i64, usize)]) -> Tail {
        let mut tail =
            Tail { budget: budget.clone(), batches: VecDeque::new(), bytes: 0, patience_bytes: PATIENCE_BYTES };
        for &(base, last, size) in batches {
            let size_bytes = size as u32;
            let meta = BatchMeta {
                base,
                last,
                size: size_bytes,
                max_timestamp: -1,
                leader_epoch: 0,
                magic: 2,
                producer_id: -1,
            };
            tail.add(&meta, [&vec![1; size / 2], &vec![2; size - size / 2]]);
        }
        tail
    }

    #[test]
    fn whole_batches_are_found_and_what_was_let_go_is_not() {
        let budget = Arc::new(TailBudget::new(1000));
        let tail = tail(&budget, &[(10, 12, 100), (13, 13, 50), (14, 20, 200)]);
        assert!(tail.read(9, 21, 1000, true).is_none());
        assert!(tail.read(21, 21, 1000, true).is_none());
        assert_eq!((tail.bytes_from(9), tail.bytes_from(11), tail.bytes_from(13)), (None, Some(350), Some(250)));
        let read = |from, upper, max, one| tail.read(from, upper, max, one).map(|r| (r.records.len(), r.next_offset.0));
        assert_eq!(read(11, 21, 1000, true), Some((350, 21)));
        assert_eq!(read(13, 14, 1000, true), Some((50, 14)));
        assert_eq!(read(13, 21, 100, true), Some((50, 14)));
        assert_eq!(read(14, 21, 100, true), Some((200, 21)));
        assert_eq!(read(14, 21, 100, false), Some((0, 14)));
        assert!(tail.read(14, 21, 100, false).is_some_and(|read| read.first_batch_is_too_large));
        drop(tail);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn one_log_keeps_no_more_than_its_share() {
        let budget = Arc::new(TailBudget::new(usize::MAX));
        let batches: Vec<_> = (0..40).map(|n| (n, n, LOG_BYTES_MAX / 16)).collect();
        let tail = tail(&budget, &batches);
        assert_eq!(budget.used_bytes(), LOG_BYTES_MAX);
        assert!(tail.read(23, 40, usize::MAX, true).is_none());
        assert!(tail.read(24, 40, usize::MAX, true).is_some_and(|read| read.records.len() == LOG_BYTES_MAX));
    }
}
