//! Appends as the leader, and when they are committed.

use std::sync::atomic::{Ordering, fence};

use bytes::Bytes;
use whimbrel_model::{LeaderEpoch, Offset};
use whimbrel_state::partition::{Leader, Replica};
use whimbrel_storage::{AppendInfo, AppendOrigin, LeaderAppend};

use super::Partition;
use crate::purgatory::{Event, Wakes};
use crate::replica_manager::errors::AppendError;

/// Who has to have a record before its append is answered (`acks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequiredAcks {
    /// 0 and 1: nobody, or this broker.
    Leader,
    /// -1: everyone in the in-sync set, which has at least `min.insync.replicas` members.
    All,
}

impl Partition {
    /// Appends as the leader. The records are in the log when this returns; they are committed when
    /// [`Partition::is_committed`] says so for the offset after the last one. With `acks=all` somebody has to ask for the
    /// flush that this may need: [`Partition::request_flush`]. Who waits for the records finds those of all partitions of a
    /// request if `wakes` lives until all are appended.
    ///
    /// # Errors
    /// This replica does not lead, too few replicas are in sync, or the log refuses the records.
    pub fn append(
        &self,
        records: &Bytes,
        acks: RequiredAcks,
        origin: AppendOrigin,
        now_ms: i64,
        wakes: &mut Wakes,
    ) -> Result<AppendInfo, AppendError> {
        let replica = self.replica.read();
        let leader_epoch = replica.check_leader(None)?;
        if acks == RequiredAcks::All {
            self.check_min_isr(&replica)?;
        }
        let info = self.log.append_as_leader(records, LeaderAppend { leader_epoch, origin, now_ms })?;
        self.advance_high_watermark(&replica, wakes);
        drop(replica);
        // The fence is for followers that register now: either they are seen here, or they see the new end.
        fence(Ordering::SeqCst);
        self.watches.grown(Event::LogEnd, info.last_offset + 1, || info.bytes, wakes);
        Ok(info)
    }

    /// Asks for the flush without which what is below `end` is not committed, if there is one. To be called when all of a
    /// request is appended: where syncs are fast, a flusher is woken once then and takes all of it.
    pub fn request_flush(&self, end: Offset) {
        if self.flushes_before_ack(&self.replica.read()) && self.log.flushed_offset() < end {
            self.log.request_flush();
        }
    }

    /// Whether everything below `end`, appended in `epoch`, is committed as an `acks=all` answer promises.
    ///
    /// # Errors
    /// This replica has not led since `epoch`, its directory failed, or the in-sync set shrank below the minimum.
    pub fn is_committed(&self, end: Offset, epoch: LeaderEpoch) -> Result<bool, AppendError> {
        let replica = self.replica.read();
        let leader = replica.check_led_since(epoch)?;
        self.log.check_usable()?;
        let is_durable = !self.flushes_before_ack(&replica) || end <= self.log.flushed_offset();
        if !is_durable || self.log.high_watermark() < end {
            return Ok(false);
        }
        let (in_sync, required) = (leader.maximal_isr_size(), leader.required(self.min_isr()));
        if in_sync < required {
            return Err(AppendError::NotEnoughReplicasAfterAppend { in_sync, required });
        }
        Ok(true)
    }

    /// Called by a flusher: everything below `to` is on disk.
    pub fn flushed(&self, to: Offset) {
        let mut wakes = Wakes::default();
        if self.flushes_each_message() {
            self.advance_high_watermark(&self.replica.read(), &mut wakes);
        }
        self.watches.reached(Event::Flushed, to, &mut wakes);
    }

    fn check_min_isr(&self, replica: &Replica) -> Result<(), AppendError> {
        let Some(leader) = replica.lead() else { return Ok(()) };
        let (in_sync, required) = (leader.isr().len(), leader.required(self.min_isr()));
        if in_sync < required {
            return Err(AppendError::NotEnoughReplicas { in_sync, required });
        }
        Ok(())
    }

    /// A record with no other copy, or of a topic that flushes each message, is on disk before it is acknowledged.
    fn flushes_before_ack(&self, replica: &Replica) -> bool {
        replica.lead().is_some_and(Leader::is_alone) || self.flushes_each_message()
    }
}
