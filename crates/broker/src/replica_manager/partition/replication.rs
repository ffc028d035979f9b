//! What a leader learns from its followers' fetches, and what a follower does with what it fetched.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLockReadGuard;
use whimbrel_model::record::BatchHeader;
use whimbrel_model::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset};
use whimbrel_state::partition::follower::FollowerLog;
use whimbrel_state::partition::{Altered, CommittedState, FollowerFetch, LeadershipError, Proposal, Replica};
use whimbrel_storage::{AppendError, StorageError};

use super::{IsrProposal, Partition};
use crate::purgatory::{Event, Wakes};
use crate::replica_manager::errors::ReadError;
use crate::time;

/// Where a follower wants to read, and what it says of itself.
#[derive(Debug, Clone, Copy)]
pub struct FollowerReads {
    pub follower: NodeId,
    /// Of its registration; -1 if it does not say.
    pub incarnation: BrokerEpoch,
    pub known_epoch: Option<LeaderEpoch>,
    pub from: Offset,
    pub last_fetched: Option<LeaderEpoch>,
    pub log_start: Offset,
}

/// What a leader answered for one partition.
#[derive(Debug, Clone)]
pub struct FetchedBatches {
    /// The epoch in which it was asked for, and the offset.
    pub epoch: LeaderEpoch,
    pub from: Offset,
    pub records: Bytes,
    pub high_watermark: Offset,
    pub log_start: Offset,
}

/// What an append as follower did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Followed {
    pub records: i64,
    pub bytes: u64,
    /// The topic flushes each message: the leader may count it only once it is on disk.
    pub waits_for_flush: bool,
}

/// A follower in the in-sync set, as its leader knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InSyncReplica {
    pub node: NodeId,
    pub log_start: Offset,
    pub log_end: Offset,
    /// Monotonic milliseconds.
    pub caught_up_ms: Option<i64>,
}

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum FollowerError {
    /// The replica has another role by now, or its log another end: what was fetched is of no use.
    #[error("the replica has moved on since it asked")]
    Moved,
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Partition {
    /// Takes a follower's fetch in: how far it is, whether it joins the in-sync set, what is committed by it. Returns
    /// where its log has to be cut if it is not a prefix of this one; it counts for nothing then.
    ///
    /// # Errors
    /// This replica does not lead in the epoch that the follower knows, the offset is outside the log, or the follower
    /// is an earlier incarnation of its broker.
    pub fn follower_reads(
        self: &Arc<Self>,
        reads: &FollowerReads,
        wakes: &mut Wakes,
    ) -> Result<Option<(LeaderEpoch, Offset)>, ReadError> {
        let mut replica = self.replica.write();
        replica.check_leader(reads.known_epoch)?;
        if let Some(last_fetched) = reads.last_fetched
            && let Some(diverging) = self.diverging_epoch(last_fetched, reads.from)?
        {
            return Ok(Some(diverging));
        }
        let (log_start, log_end) = (self.log.log_start_offset(), self.log.log_end_offset());
        if reads.from < log_start || log_end < reads.from {
            return Err(ReadError::OffsetOutOfRange { requested: reads.from, log_start, upper: log_end });
        }
        let fetch = FollowerFetch {
            follower: reads.follower,
            incarnation: reads.incarnation,
            offset: reads.from,
            log_start: reads.log_start,
            leader_end: log_end,
        };
        let high_watermark = self.log.high_watermark();
        let taken = match replica.lead_mut() {
            Some(leader) => self.with_limits(|limits| leader.fetched(limits, &fetch, high_watermark)),
            None => Ok(None),
        };
        let proposal = taken?;
        self.advance_high_watermark(&replica, wakes);
        let low_watermark = (!self.watches.is_empty()).then(|| self.low_watermark_of(&replica)).flatten();
        drop(replica);
        self.propose(proposal);
        if let Some(low_watermark) = low_watermark {
            self.watches.reached(Event::LowWatermark, low_watermark, wakes);
        }
        Ok(None)
    }

    /// The smallest log start offset of this replica and of its followers on live brokers.
    ///
    /// # Errors
    /// This replica does not lead.
    pub fn low_watermark(&self) -> Result<Offset, LeadershipError> {
        let replica = self.replica.read();
        replica.check_leader(None)?;
        Ok(self.low_watermark_of(&replica).unwrap_or_else(|| self.log.log_start_offset()))
    }

    fn low_watermark_of(&self, replica: &Replica) -> Option<Offset> {
        let image = self.cluster.metadata.image();
        let is_alive = |node| image.brokers.contains_key(&node);
        Some(replica.lead()?.low_watermark(self.log.log_start_offset(), is_alive))
    }

    /// The followers that are in sync and have fetched; `None` if this replica does not lead.
    pub fn in_sync_followers(&self) -> Option<Vec<InSyncReplica>> {
        let replica = self.replica.read();
        let leader = replica.lead()?;
        let in_sync = leader.followers().filter(|(node, ..)| leader.isr().contains(node));
        let known = in_sync.filter_map(|(node, log_end, caught_up_ms)| {
            let (log_start, _) = leader.progress(node)?;
            Some(InSyncReplica { node, log_start, log_end, caught_up_ms })
        });
        Some(known.collect())
    }

    /// Looks for members of the in-sync set that lag for too long.
    pub fn look_for_laggards(self: &Arc<Self>) {
        // Most partitions have nothing to do: they are passed without keeping readers out.
        if self.replica.read().lead().is_none_or(|leader| leader.is_pending() || leader.isr().len() < 2) {
            return;
        }
        let log_end = self.log.log_end_offset();
        let mut replica = self.replica.write();
        let proposal =
            replica.lead_mut().and_then(|leader| self.with_limits(|limits| leader.look_for_laggards(limits, log_end)));
        drop(replica);
        self.propose(proposal);
    }

    fn propose(self: &Arc<Self>, proposal: Option<Proposal>) {
        let Some(proposal) = proposal else { return };
        tracing::info!(partition = %self.topic_partition, isr = ?members(&proposal), "asking for another in-sync set");
        // Its receiver ends only with the broker.
        let _stopping = self.cluster.proposals.send(IsrProposal { partition: self.clone(), proposal });
    }

    /// Takes the controller's answer to a proposal in. Returns the proposal if it is to be sent again.
    pub fn altered(self: &Arc<Self>, ticket: u64, outcome: Result<&CommittedState, ErrorCode>) -> Option<Proposal> {
        let mut wakes = Wakes::default();
        let mut replica = self.replica.write();
        let leader = replica.lead_mut()?;
        let before = leader.isr().len();
        let altered = leader.altered(ticket, outcome);
        let again = match altered {
            Altered::Committed => {
                let isr = replica.lead().map(|leader| leader.isr().to_vec()).unwrap_or_default();
                self.cluster.isr_changes.changed(before, isr.len());
                tracing::info!(partition = %self.topic_partition, ?isr, "in-sync set changed");
                None
            }
            Altered::Reverted => {
                tracing::info!(partition = %self.topic_partition, ?outcome, "the in-sync set stays as it was");
                None
            }
            Altered::Waiting => {
                tracing::info!(partition = %self.topic_partition, ?outcome, "waiting for the controller's state");
                None
            }
            Altered::Again(proposal) => Some(proposal),
            Altered::Ignored => None,
        };
        self.advance_high_watermark(&replica, &mut wakes);
        drop(replica);
        // Who waits for a commit also hears that too few are in sync.
        self.watches.changed();
        again
    }

    /// Appends what was fetched from the leader, byte for byte, and follows its high watermark and log start. Blocks.
    ///
    /// # Errors
    /// `Moved` if the replica does not follow in that epoch any more, or its log ends elsewhere.
    pub fn append_fetched(&self, fetched: &FetchedBatches) -> Result<Followed, FollowerError> {
        let replica = self.replica.read();
        if replica.followed_in(fetched.epoch).is_none() || self.log.log_end_offset() != fetched.from {
            return Err(FollowerError::Moved);
        }
        let mut followed = Followed { records: 0, bytes: 0, waits_for_flush: false };
        if !fetched.records.is_empty() {
            self.begin_inside_a_batch(fetched)?;
            if let Some(info) = self.log.append_as_follower(&fetched.records, time::wall_clock_ms())? {
                followed.records = info.last_offset - info.first_offset + 1;
                followed.bytes = info.bytes;
                followed.waits_for_flush = self.flushes_each_message();
            }
        }
        let before = self.log.high_watermark();
        let high_watermark = fetched.high_watermark.min(self.log.log_end_offset());
        let moved = self.log.advance_high_watermark(high_watermark);
        if self.log.log_start_offset() < fetched.log_start {
            self.log.delete_records_before(fetched.log_start.min(self.log.high_watermark()))?;
        }
        drop(replica);
        if moved {
            let bytes = || self.log.bytes_between(before, high_watermark);
            self.watches.grown(Event::HighWatermark, high_watermark, bytes, &mut Wakes::default());
        }
        Ok(followed)
    }

    /// A log that is empty may have been told to begin within a batch, where the leader's log begins: it begins with
    /// that batch then, as on the leader.
    fn begin_inside_a_batch(&self, fetched: &FetchedBatches) -> Result<(), FollowerError> {
        let is_empty = self.log.log_start_offset() == self.log.log_end_offset();
        if is_empty
            && let Ok(header) = BatchHeader::parse(&fetched.records)
            && header.base_offset < fetched.from
        {
            self.log.truncate_fully_and_start_at(header.base_offset)?;
        }
        Ok(())
    }

    /// Runs `change` on the log if this replica still follows in `epoch`.
    ///
    /// # Errors
    /// `Moved`, or what `change` says.
    pub fn as_follower_in<T>(
        &self,
        epoch: LeaderEpoch,
        change: impl FnOnce(&Self) -> Result<T, StorageError>,
    ) -> Result<T, FollowerError> {
        let replica = self.replica.read();
        if replica.followed_in(epoch).is_none() {
            return Err(FollowerError::Moved);
        }
        Ok(change(self)?)
    }

    /// Keeps the role as it is while the guard lives, if this replica follows in `epoch`. Several partitions may be held
    /// at once: a change of role that waits for one of them does not keep others from being held.
    pub fn hold_following(&self, epoch: LeaderEpoch) -> Option<RwLockReadGuard<'_, Replica>> {
        let replica = self.replica.read_recursive();
        replica.followed_in(epoch).is_some().then_some(replica)
    }
}

fn members(proposal: &Proposal) -> Vec<i32> {
    proposal.isr.iter().map(|(node, _)| node.0).collect()
}

impl FollowerLog for Partition {
    fn end_of(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.log.offset_for_leader_epoch(epoch)
    }

    fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.log.latest_epoch()
    }

    fn log_end(&self) -> Offset {
        self.log.log_end_offset()
    }

    fn high_watermark(&self) -> Offset {
        self.log.high_watermark()
    }
}
