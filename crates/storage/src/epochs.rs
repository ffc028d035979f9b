//! The leader epochs of one log and where each began (`LeaderEpochFileCache`, KIP-101, KIP-279).

use whimbrel_model::{LeaderEpoch, Offset};

/// One epoch and the offset of its first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEntry {
    pub epoch: LeaderEpoch,
    pub start: Offset,
}

/// Entries with strictly increasing epoch and strictly increasing start.
///
/// In memory only: the log writes the checkpoint when a method says that something changed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct EpochCache {
    entries: Vec<EpochEntry>,
}

impl EpochCache {
    /// From the entries of a checkpoint; entries out of order push out those they contradict, as in Kafka.
    pub(crate) fn from_entries(entries: impl IntoIterator<Item = EpochEntry>) -> Self {
        let mut cache = Self::default();
        for entry in entries {
            cache.assign(entry.epoch, entry.start);
        }
        cache.entries.shrink_to_fit();
        cache
    }

    pub(crate) fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    pub(crate) fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    pub(crate) fn earliest(&self) -> Option<EpochEntry> {
        self.entries.first().copied()
    }

    /// Notes that `epoch` begins at `start`; entries with a higher or equal epoch or start give way.
    ///
    /// Returns whether anything changed: nothing does if `epoch` is the latest and began no later.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if epoch.0 < 0 || start.0 < 0 {
            return false;
        }
        if self.latest().is_some_and(|last| last.epoch == epoch && last.start <= start) {
            return false;
        }
        while self.latest().is_some_and(|last| epoch <= last.epoch || start <= last.start) {
            self.entries.pop();
        }
        self.entries.push(EpochEntry { epoch, start });
        true
    }

    /// The largest epoch not above `epoch`, and where it ended: the start of the next one, or `log_end` for the latest.
    ///
    /// `None` if `epoch` is unknown here: negative, above the latest, or nothing is known. If every known epoch is
    /// above `epoch`, that epoch is given back with the start of the first known one.
    pub(crate) fn end_offset_for(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        if epoch.0 < 0 {
            return None;
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= epoch);
        match self.entries.get(above) {
            Some(next) => {
                let floor = above.checked_sub(1).and_then(|i| self.entries.get(i));
                Some((floor.map_or(epoch, |entry| entry.epoch), next.start))
            }
            None => self.latest().filter(|last| last.epoch == epoch).map(|last| (last.epoch, log_end)),
        }
    }

    /// The epoch of the record at `offset`.
    pub(crate) fn epoch_for(&self, offset: Offset) -> Option<LeaderEpoch> {
        let above = self.entries.partition_point(|entry| entry.start <= offset);
        above.checked_sub(1).and_then(|i| self.entries.get(i)).map(|entry| entry.epoch)
    }

    /// Forgets epochs that began at or after `end`; returns whether there were any.
    pub(crate) fn truncate_from_end(&mut self, end: Offset) -> bool {
        let keep = self.entries.partition_point(|entry| entry.start < end);
        let changed = keep < self.entries.len() && 0 <= end.0;
        if changed {
            self.entries.truncate(keep);
        }
        changed
    }

    /// Forgets epochs that ended before `start`; the one that covers it now begins there. Returns whether it changed.
    pub(crate) fn truncate_from_start(&mut self, start: Offset) -> bool {
        let passed = self.entries.partition_point(|entry| entry.start <= start);
        let Some(covering) = passed.checked_sub(1) else { return false };
        let changed = 0 < covering || self.entries.first().is_some_and(|entry| entry.start != start);
        self.entries.drain(..covering);
        if let Some(first) = self.entries.first_mut() {
            first.start = start;
        }
        changed
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, i64)]) -> EpochCache {
        EpochCache::from_entries(
            entries.iter().map(|&(epoch, start)| EpochEntry { epoch: LeaderEpoch(epoch), start: Offset(start) }),
        )
    }

    fn end(cache: &EpochCache, epoch: i32) -> Option<(i32, i64)> {
        cache.end_offset_for(LeaderEpoch(epoch), Offset(100)).map(|(e, o)| (e.0, o.0))
    }

    #[test]
    fn end_offsets_follow_kip_279() {
        let cache = cache(&[(2, 10), (4, 20), (7, 50)]);
        assert_eq!(end(&cache, 7), Some((7, 100)));
        assert_eq!(end(&cache, 8), None);
        assert_eq!(end(&cache, 4), Some((4, 50)));
        assert_eq!(end(&cache, 6), Some((4, 50)), "the floor epoch, with its end");
        assert_eq!(end(&cache, 1), Some((1, 10)), "older than all that is known");
        assert_eq!(end(&cache, -1), None);
        assert_eq!(end(&EpochCache::default(), 0), None);
    }

    #[test]
    fn a_contradicting_epoch_pushes_out_what_it_contradicts() {
        let mut cache = cache(&[(1, 0), (2, 10), (3, 20)]);
        assert!(!cache.assign(LeaderEpoch(3), Offset(25)), "the same epoch began earlier");
        assert!(cache.assign(LeaderEpoch(4), Offset(10)));
        assert_eq!(cache, super::tests::cache(&[(1, 0), (4, 10)]));
        assert!(!cache.assign(LeaderEpoch(-1), Offset(30)));
    }

    #[test]
    fn truncation_from_both_ends() {
        let mut c = cache(&[(1, 0), (2, 10), (3, 20)]);
        assert!(c.truncate_from_end(Offset(20)));
        assert!(!c.truncate_from_end(Offset(20)));
        assert_eq!(c, cache(&[(1, 0), (2, 10)]));
        assert!(c.truncate_from_start(Offset(15)));
        assert_eq!(c, cache(&[(2, 15)]));
        assert!(!c.truncate_from_start(Offset(15)));
        assert!(!cache(&[(5, 30)]).truncate_from_start(Offset(20)));
    }

    #[test]
    fn the_epoch_of_an_offset() {
        let cache = cache(&[(1, 5), (3, 20)]);
        assert_eq!(cache.epoch_for(Offset(4)), None);
        assert_eq!(cache.epoch_for(Offset(5)), Some(LeaderEpoch(1)));
        assert_eq!(cache.epoch_for(Offset(19)), Some(LeaderEpoch(1)));
        assert_eq!(cache.epoch_for(Offset(99)), Some(LeaderEpoch(3)));
    }
}
