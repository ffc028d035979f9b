//! The client's side of an incremental fetch session (KIP-227): after the first request only what changed is sent, so
//! that a hundred thousand quiet partitions cost nothing. No I/O.

use std::collections::BTreeSet;

use whimbrel_model::ErrorCode;

/// The epoch of a request that asks for a new session with all that is in it.
const INITIAL_EPOCH: i32 = 0;

/// What is read from one broker.
#[derive(Debug, Default)]
pub struct Session {
    /// 0 while there is none, and for good where the broker keeps none.
    id: i32,
    epoch: i32,
    wanted: BTreeSet<usize>,
    /// New to the broker, or at another offset than it knows.
    fresh: BTreeSet<usize>,
    forgotten: BTreeSet<usize>,
}

/// What the next request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub id: i32,
    pub epoch: i32,
    pub partitions: Vec<usize>,
    pub forgotten: Vec<usize>,
}

impl Session {
    /// Reads this partition too; its offset is told with the next request.
    pub fn want(&mut self, partition: usize) {
        self.wanted.insert(partition);
        self.fresh.insert(partition);
        self.forgotten.remove(&partition);
    }

    /// Reads this partition no more.
    pub fn leave(&mut self, partition: usize) {
        if self.wanted.remove(&partition) {
            self.fresh.remove(&partition);
            self.forgotten.insert(partition);
        }
    }

    /// The partition is to be read from another offset.
    pub fn moved(&mut self, partition: usize) {
        if self.wanted.contains(&partition) {
            self.fresh.insert(partition);
        }
    }

    pub fn wants(&self, partition: usize) -> bool {
        self.wanted.contains(&partition)
    }

    /// Whether there is something to read here.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// The next request.
    pub fn next(&mut self) -> Asked {
        let (fresh, forgotten) = (std::mem::take(&mut self.fresh), std::mem::take(&mut self.forgotten));
        if self.id == 0 {
            let partitions = self.wanted.iter().copied().collect();
            return Asked { id: 0, epoch: INITIAL_EPOCH, partitions, forgotten: Vec::new() };
        }
        let (partitions, forgotten) = (fresh.into_iter().collect(), forgotten.into_iter().collect());
        Asked { id: self.id, epoch: self.epoch, partitions, forgotten }
    }

    /// Takes over what an answer says of the session.
    pub fn answered(&mut self, id: i32, code: ErrorCode) {
        if code != ErrorCode::None || id == 0 {
            return self.reset();
        }
        // The epoch wraps to 1: 0 begins a session.
        self.epoch = if self.id == id { self.epoch.checked_add(1).unwrap_or(1) } else { 1 };
        self.id = id;
    }

    /// The broker knows nothing any more: a new connection, or it says so.
    pub fn reset(&mut self) {
        (self.id, self.epoch) = (0, INITIAL_EPOCH);
        self.fresh.clear();
        self.forgotten.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(id: i32, epoch: i32, partitions: &[usize], forgotten: &[usize]) -> Asked {
        Asked { id, epoch, partitions: partitions.to_vec(), forgotten: forgotten.to_vec() }
    }

    #[test]
    fn only_what_changed_is_told() {
        let mut session = Session::default();
        (0..4).for_each(|partition| session.want(partition));
        assert_eq!(session.next(), asked(0, 0, &[0, 1, 2, 3], &[]));
        session.answered(9, ErrorCode::None);
        session.moved(2);
        assert_eq!(session.next(), asked(9, 1, &[2], &[]));
        session.answered(9, ErrorCode::None);
        session.leave(1);
        session.moved(1);
        assert_eq!(session.next(), asked(9, 2, &[], &[1]));
        session.answered(9, ErrorCode::None);
        session.want(1);
        assert_eq!(session.next(), asked(9, 3, &[1], &[]));
    }

    #[test]
    fn without_a_session_all_is_told_each_time() {
        let mut session = Session::default();
        session.want(5);
        session.want(6);
        for _ in 0..2 {
            assert_eq!(session.next(), asked(0, 0, &[5, 6], &[]));
            session.answered(0, ErrorCode::None);
        }
        session.answered(3, ErrorCode::None);
        session.answered(3, ErrorCode::FetchSessionIdNotFound);
        assert_eq!(session.next(), asked(0, 0, &[5, 6], &[]));
    }
}
