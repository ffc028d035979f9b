//! What a follower does with its leader's answers: append, cut its log, wait, or stop.
//!
//! A follower names the leader epoch of its last record with each fetch. A leader whose log does not have that record
//! there answers with the largest epoch that both may have and where it ends (KIP-595); the follower cuts its log by
//! that and asks again, until its log is a prefix of the leader's (KIP-101, KIP-279). It never cuts to its own high
//! watermark: that may lag behind what is committed.
//! Source: `kafka.server.AbstractFetcherThread`.

use whimbrel_model::{ErrorCode, LeaderEpoch, Offset};

use super::rules::{self, Rule};

/// What a follower's log says of itself.
pub trait FollowerLog {
    /// The largest epoch it knows that is not above `epoch`, and where that ended; if all that it knows are above, this
    /// epoch with the start of the first. `None` if it knows none, or `epoch` is above all of them.
    fn end_of(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)>;

    /// The epoch of its last record, or of a leadership of its own after that.
    fn latest_epoch(&self) -> Option<LeaderEpoch>;

    fn log_end(&self) -> Offset;

    fn high_watermark(&self) -> Offset;
}

/// Where a log has to end before it follows anybody, if that is not where it ends. A log without epochs has no lineage
/// to compare: only what is known to be committed may stay.
#[must_use]
pub fn truncation_before_following(log: &impl FollowerLog) -> Option<Offset> {
    let has_lineage = rules::holds(Rule::TruncateByEpoch) && log.latest_epoch().is_some();
    (!has_lineage && log.high_watermark() < log.log_end()).then(|| log.high_watermark())
}

/// Where a follower's log has to end before it fetches again, when the leader has answered that it diverges after
/// `epoch`, which ends at `end` there; `fetched_from` is the offset of the fetch.
#[must_use]
pub fn truncation(log: &impl FollowerLog, (epoch, end): (LeaderEpoch, Offset), fetched_from: Offset) -> Offset {
    if end.0 < 0 {
        // The leader knows nothing of it.
        return fetched_from;
    }
    let cut = match log.end_of(epoch) {
        Some((local, _)) if local != epoch && !rules::holds(Rule::WalkBack) => end,
        // Unknown here: what this log has after the largest epoch below it is not in the leader's. Another round
        // follows, with that epoch.
        Some((local, local_end)) if local != epoch => local_end,
        Some((_, local_end)) => local_end.min(end),
        None => end,
    };
    cut.min(log.log_end())
}

/// How a partition that cannot be fetched goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recourse {
    /// Ask the leader where its log begins and ends.
    AskForEnds,
    /// Try again after a pause.
    BackOff,
    /// Wait for the controller: it has, or soon will have, told this replica of another leader epoch.
    Stop,
}

/// What to do about an error of one partition in the answer to a fetch that was made in `asked_in`.
#[must_use]
pub fn recourse(error: ErrorCode, asked_in: LeaderEpoch, current: LeaderEpoch) -> Recourse {
    match error {
        ErrorCode::OffsetOutOfRange => Recourse::AskForEnds,
        // The leader is in a later epoch than this replica. Fetching is of no use until that is known here too.
        ErrorCode::FencedLeaderEpoch if asked_in == current => Recourse::Stop,
        _ => Recourse::BackOff,
    }
}

/// What a follower does whose fetch offset the leader does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Realign {
    /// Cut to where the leader's log ends: this one is longer.
    TruncateTo(Offset),
    /// Drop everything and begin where the leader's log begins: all of this log is older.
    StartAt(Offset),
    /// This log ends within the leader's; only its start moves.
    GoOn,
}

/// Compares a follower's log end with the leader's `start` and `end`.
#[must_use]
pub fn realign(log_end: Offset, start: Offset, end: Offset) -> Realign {
    if end < log_end {
        Realign::TruncateTo(end)
    } else if log_end < start {
        Realign::StartAt(start)
    } else {
        Realign::GoOn
    }
}
