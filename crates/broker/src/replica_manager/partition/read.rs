//! Reads, for consumers and for replicas.

use std::sync::Arc;

use tokio::task;
use whimbrel_model::{LeaderEpoch, Offset, ProducerId};
use whimbrel_state::partition::LeadershipError;
use whimbrel_storage::{self as storage, ReadMode, ReadResult, Sendable};

use super::Partition;
use crate::replica_manager::errors::ReadError;

/// Up to which offset a reader may see (KIP-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// The high watermark.
    ReadUncommitted,
    /// The last stable offset.
    ReadCommitted,
    /// Everything: replicas.
    LogEnd,
}

/// Who may be read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadableBy {
    /// Only the leader answers.
    Leader,
    /// A follower answers too, up to its own high watermark (KIP-392).
    AnyReplica,
}

/// The offsets of a partition at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    pub log_start: Offset,
    /// Only looked up for who reads committed data: it costs the log's lock.
    pub last_stable: Option<Offset>,
    pub high_watermark: Offset,
    pub log_end: Offset,
    isolation: Isolation,
}

impl Offsets {
    /// The offset below which the reader that they were looked up for may see records.
    pub fn upper(&self) -> Offset {
        match self.isolation {
            Isolation::LogEnd => self.log_end,
            Isolation::ReadUncommitted | Isolation::ReadCommitted => self.last_stable.unwrap_or(self.high_watermark),
        }
    }
}

/// What a fetch found. The offsets are those from before the read.
#[derive(Debug)]
pub struct FetchRead {
    pub records: Sendable,
    pub offsets: Offsets,
    /// Told to every fetcher, whether or not it is bound by it.
    pub last_stable: Offset,
    /// For `read_committed`: the aborted transactions among the records, by producer and first offset.
    pub aborted: Option<Vec<(ProducerId, Offset)>>,
}

/// Which record to look up by its timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampQuery {
    /// The first whose timestamp is at least this, milliseconds since 1970.
    AtOrAfter(i64),
    /// The one with the largest timestamp (KIP-734).
    Max,
}

/// Timestamp, offset and leader epoch of a record.
pub(in crate::replica_manager) type TimestampAnswer = (i64, Offset, Option<LeaderEpoch>);

impl Partition {
    /// Batches from `from` on, below what `isolation` allows. Reads that miss the page cache go to a thread that may
    /// block.
    ///
    /// # Errors
    /// This replica may not be read from in the epoch that the client knows, or `from` is outside the log.
    pub async fn fetch(
        self: &Arc<Self>,
        from: Offset,
        (known_epoch, readable_by): (Option<LeaderEpoch>, ReadableBy),
        isolation: Isolation,
        bytes_max: usize,
        min_one_batch: bool,
    ) -> Result<FetchRead, ReadError> {
        self.check_readable(known_epoch, readable_by)?;
        // A log that was deleted, or whose disk failed, has nothing new either, and its readers have to hear of that.
        self.log.check_usable().map_err(ReadError::Storage)?;
        let offsets = self.offsets(isolation);
        let upper = offsets.upper();
        if from < offsets.log_start || offsets.log_end < from {
            return Err(ReadError::OffsetOutOfRange { requested: from, log_start: offsets.log_start, upper });
        }
        // A reader may be ahead of what is committed here: a leader that was just elected learns late how far the
        // former one had come. It finds nothing until then.
        let in_memory = |mode| {
            let log = self.log.clone();
            move || log.read(from, upper, bytes_max, min_one_batch, mode).map(ReadResult::into_sendable)
        };
        let read = match isolation {
            // What a replica reads may be cut off again while it is sent.
            Isolation::LogEnd => in_memory(ReadMode::NoWait)(),
            _ => self.log.read_for_sending(from, upper, bytes_max, min_one_batch),
        };
        let read = match read {
            Err(storage::ReadError::WouldBlock) => {
                task::spawn_blocking(in_memory(ReadMode::MayBlock)).await.map_err(|_| ReadError::Stopped)?
            }
            read => read,
        }
        .map_err(|error| ReadError::from_storage(error, offsets))?;
        // The role may have changed during the read, and what was read may be cut off again: it must not go out as
        // if it were of the epoch that was asked for.
        self.check_readable(known_epoch, readable_by)?;
        let aborted = match isolation {
            Isolation::ReadUncommitted | Isolation::LogEnd => None,
            Isolation::ReadCommitted => {
                Some(self.log.aborted_transactions(from, read.next_offset).map_err(ReadError::Storage)?)
            }
        };
        let last_stable = offsets.last_stable.unwrap_or_else(|| self.log.last_stable_offset());
        Ok(FetchRead { records: read.records, offsets, last_stable, aborted })
    }

    /// What a replica finds that has the whole log, which most partitions of a fetch are. `None` if it has to read.
    pub fn nothing_to_replicate(&self, from: Offset, known_epoch: Option<LeaderEpoch>) -> Option<FetchRead> {
        let offsets = self.offsets(Isolation::LogEnd);
        let is_at_end =
            offsets.log_end == from && self.check_leader(known_epoch).is_ok() && self.log.check_usable().is_ok();
        is_at_end.then(|| FetchRead {
            records: Sendable::default(),
            offsets,
            // Of no use to a replica, and dear to look up.
            last_stable: offsets.high_watermark,
            aborted: None,
        })
    }

    /// Whether a reader that knows `known` may read here.
    ///
    /// # Errors
    /// The epoch is another one, or only the leader may answer.
    pub fn check_readable(&self, known: Option<LeaderEpoch>, by: ReadableBy) -> Result<(), LeadershipError> {
        let replica = self.replica.read();
        match by {
            ReadableBy::Leader => replica.check_leader(known).map(drop),
            // Who was never told a role knows nothing of what is committed.
            ReadableBy::AnyReplica if !replica.is_leader() && !replica.is_follower() => {
                replica.check_leader(known).map(drop)
            }
            ReadableBy::AnyReplica => replica.check_epoch(known),
        }
    }

    /// Looks a record up by timestamp.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn find_timestamp(self: &Arc<Self>, query: TimestampQuery) -> Result<Option<TimestampAnswer>, ReadError> {
        let log = self.log.clone();
        // May scan up to one index interval of the log, which need not be in the page cache.
        let found = task::spawn_blocking(move || match query {
            TimestampQuery::AtOrAfter(timestamp) => log.offset_for_timestamp(timestamp),
            TimestampQuery::Max => log.offset_of_max_timestamp(),
        })
        .await
        .map_err(|_| ReadError::Stopped)?
        .map_err(ReadError::Storage)?;
        Ok(found.map(|found| (found.timestamp, found.offset, self.log.epoch_for_offset(found.offset))))
    }

    /// Where the log of a fetcher has to be cut, if it is not a prefix of this one: its last record has `last_fetched`
    /// and it goes on at `from` (KIP-595). `None` if it is a prefix.
    ///
    /// # Errors
    /// `OffsetOutOfRange` if nothing is known of that epoch.
    pub fn diverging_epoch(
        &self,
        last_fetched: LeaderEpoch,
        from: Offset,
    ) -> Result<Option<(LeaderEpoch, Offset)>, ReadError> {
        let offsets = self.offsets(Isolation::LogEnd);
        let out_of_range =
            ReadError::OffsetOutOfRange { requested: from, log_start: offsets.log_start, upper: offsets.log_end };
        let (epoch, end) = self.log.offset_for_leader_epoch(last_fetched).ok_or(out_of_range)?;
        if from < offsets.log_start {
            return Err(ReadError::OffsetOutOfRange {
                requested: from,
                log_start: offsets.log_start,
                upper: offsets.log_end,
            });
        }
        Ok((epoch < last_fetched || end < from).then_some((epoch, end)))
    }

    pub fn offsets(&self, isolation: Isolation) -> Offsets {
        Offsets {
            log_start: self.log.log_start_offset(),
            last_stable: (isolation == Isolation::ReadCommitted).then(|| self.log.last_stable_offset()),
            high_watermark: self.log.high_watermark(),
            log_end: self.log.log_end_offset(),
            isolation,
        }
    }
}
