//! Holds a history against the promises of a broker, or of a cluster (C1 to C8).
//!
//! | check | promise |
//! |---|---|
//! | C1 | every acknowledged record is read, at the offset that was acknowledged |
//! | C2 | an idempotent producer's record is stored once, and its batches follow one another as it numbered them |
//! | C3 | an ordered producer's records are stored in the order in which they were sent |
//! | C4 | nothing is read that was not sent there, or that certainly failed |
//! | C5 | below the high watermark, every replica has the same bytes |
//! | C6 | readers, high watermarks, log starts and committed offsets never go back; a commit is never beyond what was processed; a group processes everything |
//! | C7 | one offset holds one record, for every reader and every acknowledgement |
//! | C8 | a leader epoch has one leader |
//!
//! One small function per promise, over one `Facts` that is collected from the events first.

mod delivery;
mod facts;
mod groups;
mod order;
mod replicas;
#[cfg(test)]
mod tests;

use std::fmt;

use self::facts::Facts;
use crate::history::{Line, Partition, Record, Sequence};

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("C1: {record} was acknowledged at {partition}@{offset}, and is not there")]
    Lost { record: Record, partition: Partition, offset: u64 },
    #[error("C1: {record} was acknowledged in {partition}, and is not there")]
    LostSomewhere { record: Record, partition: Partition },
    #[error("C2: {record} of an idempotent producer is at {partition}@{first} and again at @{second}")]
    Duplicate { record: Record, partition: Partition, first: u64, second: u64 },
    #[error("C2: {partition}@{offset} on broker {broker} has {sequence}, and before it {before}")]
    SequenceBroken { partition: Partition, broker: u32, offset: u64, sequence: Sequence, before: Sequence },
    #[error("C3: {earlier} was sent before {later}, and is stored behind it, at {partition}@{offset}")]
    Reordered { earlier: Record, later: Record, partition: Partition, offset: u64 },
    #[error("C4: {record} was read at {partition}@{offset}, and was never sent there")]
    NeverSent { record: Record, partition: Partition, offset: u64 },
    #[error("C4: {record} was read at {partition}@{offset}, and had been refused")]
    ReadAfterFailure { record: Record, partition: Partition, offset: u64 },
    #[error("C5: {partition}@{offset} has other bytes on broker {broker} than on broker {other}")]
    ReplicaDiffers { partition: Partition, broker: u32, other: u32, offset: u64 },
    #[error("C5: broker {broker} has {partition} up to {to}, below the high watermark {end}")]
    ReplicaIsShort { partition: Partition, broker: u32, to: u64, end: u64 },
    #[error("C6: {reader} read {partition}@{offset} after @{before}")]
    ReaderWentBack { reader: String, partition: Partition, before: u64, offset: u64 },
    #[error("C6: {reader} read {partition}@{offset}, and then skipped to @{next}")]
    ReaderSkipped { reader: String, partition: Partition, offset: u64, next: u64 },
    #[error("C6: {partition} ended at {before}, and later at {offset}")]
    EndWentBack { partition: Partition, before: u64, offset: u64 },
    #[error("C6: {partition} began at {before}, and later at {offset}")]
    StartWentBack { partition: Partition, before: u64, offset: u64 },
    #[error("C6: group {group} committed {partition}@{before}, and was later told @{offset}")]
    CommitWentBack { group: String, partition: Partition, before: u64, offset: u64 },
    #[error("C6: group {group} was told to go on from {partition}@{offset}, and had processed only up to @{processed}")]
    CommitBeyondProcessed { group: String, partition: Partition, offset: u64, processed: u64 },
    #[error("C6: group {group} never processed {partition}@{offset}")]
    NeverProcessed { group: String, partition: Partition, offset: u64 },
    #[error("C7: {partition}@{offset} is {one} and also {other}")]
    TwoRecords { partition: Partition, offset: u64, one: Record, other: Record },
    #[error("C8: {partition} has leader {one} in epoch {epoch}, and also {other}")]
    TwoLeaders { partition: Partition, epoch: u32, one: u32, other: u32 },
    #[error("the history has no complete reading of {partition}")]
    NotDrained { partition: Partition },
}

/// What a history contained, for the report: a run that did nothing proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub sent: usize,
    pub acknowledged: usize,
    pub stored: usize,
    pub processed: usize,
    pub commits: usize,
    /// Copies of partitions that were compared.
    pub replicas: usize,
    /// Records that their client stored again under a new producer epoch.
    pub renumbered: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, acknowledged, stored, processed, commits, replicas, renumbered } = self;
        write!(
            f,
            "{sent} sent, {acknowledged} acknowledged, {stored} stored, {processed} processed, {commits} commits, \
             {replicas} replicas"
        )?;
        if *renumbered == 0 {
            return Ok(());
        }
        write!(f, ", {renumbered} stored again by their client under a new producer epoch")
    }
}

/// Every broken promise in a history. The lines may be in any order; their times decide.
pub fn check(mut lines: Vec<Line>) -> (Counts, Vec<Violation>) {
    lines.sort_by_key(|line| line.t);
    let (facts, mut violations) = Facts::collect(&lines);
    violations.extend(delivery::acknowledged_records_are_there(&facts));
    violations.extend(delivery::idempotent_records_are_stored_once(&facts));
    violations.extend(delivery::only_sent_records_are_read(&facts));
    violations.extend(order::producers_order_is_kept(&facts));
    violations.extend(order::readers_and_ends_go_forward(&lines));
    violations.extend(replicas::replicas_are_equal(&facts));
    violations.extend(replicas::sequences_follow_one_another(&facts));
    violations.extend(replicas::epochs_have_one_leader(&lines));
    violations.extend(groups::commits_go_forward(&lines));
    violations.extend(groups::commits_follow_processing(&lines));
    violations.extend(groups::everything_is_processed(&facts));
    let renumbered = delivery::stored_again(&facts).filter(|again| again.is_renumbered(&facts)).count();
    (facts.counts(renumbered), violations)
}
