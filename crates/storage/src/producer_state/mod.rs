//! What a log knows of its idempotent and transactional producers (KIP-98), as a machine without I/O and clock.
//!
//! One producer in one partition, by what reaches the log:
//! ```text
//!   unknown ──any data batch──▶ known { epoch, last five batches } ──data batch, next sequence──▶ known
//!      ▲                          │                    │ transactional batch
//!      └──expired, no open txn────┘                    ▼
//!                               known ◀──end marker── in transaction { first offset } ──transactional batch──▶ same
//! ```
//! A higher epoch fences the lower ones and starts its sequences at 0. [`ProducerStates::check`] decides about a batch
//! and changes nothing; [`ProducerStates::apply`] takes the decision in once the batch is in the log. Between the two
//! nothing else may be applied: both happen under the log's lock.
//!
//! Invariants: `ongoing` holds exactly the first offset of each producer's open transaction. `unreplicated` holds the
//! transactions whose end marker the high watermark has not passed: readers of committed data must not pass their
//! first offset either, or a leader that fails would leave them with a decision that its successor does not know.
//!
//! What is repeated from before the last five batches is out of order for Kafka, and Java's producer then repeats it
//! until it gives up: it was sent to a leader that was cut off, and everything behind it went to the next one. Here it is
//! known as long as the sequences have no gap ([`Verdict::Forgotten`]), and answered with DUPLICATE_SEQUENCE_NUMBER,
//! which every client takes for success.
//!
//! Source: Kafka 3.9's `ProducerStateManager`, `ProducerAppendInfo`, `ProducerStateEntry`. Left out: the guards of
//! transaction verification (KIP-890), which come with transactions.

mod entry;
mod snapshot;

#[cfg(test)]
mod tests;

pub use entry::{BATCHES_KEPT, BatchMetadata, ProducerEntry};
pub use snapshot::{SnapshotEntry, SnapshotError, decode_snapshot};

use crate::validator::AppendOrigin;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap};
use whimbrel_model::record::{BatchHeader, EndTxnMarker};
use whimbrel_model::{ErrorCode, Offset, ProducerEpoch, ProducerId};

/// Why a producer may not append a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProducerError {
    #[error("producer {producer_id} sent epoch {epoch}, the latest is {latest}")]
    StaleEpoch { producer_id: ProducerId, epoch: ProducerEpoch, latest: ProducerEpoch },
    #[error("producer {producer_id} sent sequence {sequence} after {last_sequence}")]
    OutOfOrderSequence { producer_id: ProducerId, sequence: i32, last_sequence: i32 },
    #[error("producer {producer_id} starts epoch {epoch} with sequence {sequence}")]
    NewEpochSequence { producer_id: ProducerId, epoch: ProducerEpoch, sequence: i32 },
    #[error("producer {producer_id} wrote outside of its open transaction")]
    NotTransactional { producer_id: ProducerId },
    #[error("coordinator of producer {producer_id} has epoch {epoch}, the latest is {latest}")]
    StaleCoordinator { producer_id: ProducerId, epoch: i32, latest: i32 },
}

impl ProducerError {
    /// What the producer or the coordinator is told.
    #[must_use]
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::StaleEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            Self::OutOfOrderSequence { .. } | Self::NewEpochSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            Self::NotTransactional { .. } => ErrorCode::InvalidTxnState,
            Self::StaleCoordinator { .. } => ErrorCode::TransactionCoordinatorFenced,
        }
    }
}

/// What to do with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Append it, then [`ProducerStates::apply`] the update.
    Append(ProducerUpdate),
    /// It is in the log already: answer with these facts and append nothing.
    Duplicate(BatchMetadata),
    /// It is in the log already, below `before`; where, is not remembered. Append nothing.
    Forgotten { before: Offset },
}

/// The change that an accepted batch makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerUpdate(Change);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// No producer id, or a control batch that ends no transaction.
    Nothing,
    Data {
        producer_id: ProducerId,
        epoch: ProducerEpoch,
        batch: BatchMetadata,
        starts_txn: bool,
    },
    EndTxn {
        producer_id: ProducerId,
        epoch: ProducerEpoch,
        marker: EndTxnMarker,
        marker_offset: Offset,
    },
}

/// A transaction whose end marker is in the log. An aborted one belongs into the transaction index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompletedTxn {
    pub producer_id: ProducerId,
    pub first_offset: Offset,
    /// Offset of the end marker.
    pub last_offset: Offset,
    pub is_aborted: bool,
    /// Where readers of committed data may read up to once the marker is replicated.
    pub last_stable_offset: Offset,
}

/// The producers of one log. Without any it takes one pointer.
#[derive(Debug, Default)]
pub struct ProducerStates {
    inner: Option<Box<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Boxed, so that the empty slots of the table are small.
    producers: HashMap<ProducerId, Box<ProducerEntry>, RandomState>,
    /// First offset of each open transaction.
    ongoing: BTreeMap<Offset, ProducerId>,
    /// First offset of each ended transaction that is not fully replicated, and the offset of its marker.
    unreplicated: BTreeMap<Offset, Offset>,
}

impl ProducerStates {
    #[must_use]
    pub const fn new() -> Self {
        Self { inner: None }
    }

    /// Decides about a batch whose offsets are assigned. `marker` is what a control batch says, `None` for data.
    ///
    /// # Errors
    /// The first that applies, in Kafka's order. Replicated batches were judged by the leader: of those only a write
    /// outside of an open transaction is an error, which the leader would not have accepted either.
    pub fn check(
        &self,
        header: &BatchHeader,
        marker: Option<&EndTxnMarker>,
        origin: AppendOrigin,
    ) -> Result<Verdict, ProducerError> {
        if !header.has_producer_id() {
            return Ok(Verdict::Append(ProducerUpdate(Change::Nothing)));
        }
        let known = self.get(header.producer_id);
        if origin == AppendOrigin::Client
            && let Some(duplicate) = known.and_then(|entry| entry.duplicate_of(header))
        {
            return Ok(Verdict::Duplicate(duplicate));
        }
        if origin == AppendOrigin::Client
            && let Some(before) = known.and_then(|entry| entry.forgotten(header))
        {
            return Ok(Verdict::Forgotten { before });
        }
        if header.attributes.is_control() {
            let Some(marker) = marker else { return Ok(Verdict::Append(ProducerUpdate(Change::Nothing))) };
            return check_marker(known, header, marker, origin);
        }
        check_data(known, header, origin)
    }

    /// Takes in a batch that is now in the log. Returns the transaction that it ended.
    pub fn apply(&mut self, update: &ProducerUpdate) -> Option<CompletedTxn> {
        match update.0 {
            Change::Nothing => None,
            Change::Data { producer_id, epoch, batch, starts_txn } => {
                let inner = self.inner.get_or_insert_default();
                let entry = inner.producers.entry(producer_id).or_default();
                entry.add_batch(epoch, batch);
                if starts_txn {
                    entry.current_txn_first_offset = Some(batch.base_offset());
                    inner.ongoing.insert(batch.base_offset(), producer_id);
                }
                None
            }
            Change::EndTxn { producer_id, epoch, marker, marker_offset } => {
                let inner = self.inner.get_or_insert_default();
                let entry = inner.producers.entry(producer_id).or_default();
                entry.set_epoch(epoch);
                entry.coordinator_epoch = marker.coordinator_epoch;
                entry.last_timestamp = marker.timestamp;
                let first_offset = entry.current_txn_first_offset.take()?;
                inner.ongoing.remove(&first_offset);
                inner.unreplicated.insert(first_offset, marker_offset);
                let still_open = inner.ongoing.first_key_value().map(|(&offset, _)| offset);
                Some(CompletedTxn {
                    producer_id,
                    first_offset,
                    last_offset: marker_offset,
                    is_aborted: !marker.is_commit,
                    last_stable_offset: still_open.unwrap_or(marker_offset + 1),
                })
            }
        }
    }

    /// Takes in a batch that is in the log already: recovery, or a follower's append.
    ///
    /// # Errors
    /// As [`Self::check`] for replicated batches.
    pub fn replay(
        &mut self,
        header: &BatchHeader,
        marker: Option<&EndTxnMarker>,
    ) -> Result<Option<CompletedTxn>, ProducerError> {
        match self.check(header, marker, AppendOrigin::Replication)? {
            Verdict::Append(update) => Ok(self.apply(&update)),
            Verdict::Duplicate(_) | Verdict::Forgotten { .. } => Ok(None),
        }
    }

    /// Remembers a batch that lies before the last one of its producer, as after [`Self::load`]: a snapshot holds the
    /// last one only. Batches come in the order of the log; others than data batches of the current epoch say nothing.
    pub fn recall(&mut self, header: &BatchHeader) {
        let entry = self.inner.as_mut().and_then(|inner| inner.producers.get_mut(&header.producer_id));
        if let Some(entry) = entry.filter(|entry| entry.epoch == header.producer_epoch) {
            entry.insert_before_last(BatchMetadata::of(header));
        }
    }

    /// Forgets producers that wrote nothing for `expiration_ms` and have no open transaction.
    pub fn remove_expired(&mut self, now_ms: i64, expiration_ms: i64) {
        let Some(inner) = &mut self.inner else { return };
        inner.producers.retain(|_, entry| !entry.is_expired(now_ms, expiration_ms));
        if inner.producers.is_empty() && inner.unreplicated.is_empty() {
            self.inner = None;
        }
    }

    /// The high watermark, or the log start offset, is now `offset`: ended transactions below it are settled.
    pub fn settle_below(&mut self, offset: Offset) {
        if let Some(inner) = &mut self.inner {
            inner.unreplicated.retain(|_, marker_offset| offset <= *marker_offset);
        }
    }

    /// First offset of the earliest open transaction.
    #[must_use]
    pub fn first_undecided_offset(&self) -> Option<Offset> {
        self.inner.as_ref()?.ongoing.first_key_value().map(|(&offset, _)| offset)
    }

    /// First offset of the earliest transaction that is open, or ended without its marker being replicated. The last
    /// stable offset is this one, or the high watermark if there is none.
    #[must_use]
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        let unreplicated = self.inner.as_ref()?.unreplicated.first_key_value().map(|(&offset, _)| offset);
        [self.first_undecided_offset(), unreplicated].into_iter().flatten().min()
    }

    /// When the producer of the earliest open transaction last wrote; tells hanging transactions.
    #[must_use]
    pub fn oldest_txn_last_timestamp(&self) -> Option<i64> {
        let (_, &producer_id) = self.inner.as_ref()?.ongoing.first_key_value()?;
        self.get(producer_id).map(|entry| entry.last_timestamp)
    }

    #[must_use]
    pub fn get(&self, producer_id: ProducerId) -> Option<&ProducerEntry> {
        self.inner.as_ref()?.producers.get(&producer_id).map(AsRef::as_ref)
    }

    /// All producers, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (ProducerId, &ProducerEntry)> {
        self.inner.iter().flat_map(|inner| inner.producers.iter().map(|(&id, entry)| (id, entry.as_ref())))
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.as_ref().map_or(0, |inner| inner.producers.len())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything, as when the log is truncated; the caller then loads a snapshot and replays.
    pub fn clear(&mut self) {
        self.inner = None;
    }

    /// The bytes of a `.snapshot` file that says all this.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let mut entries: Vec<_> = self.iter().map(|(id, entry)| SnapshotEntry::new(id, entry)).collect();
        entries.sort_unstable_by_key(|entry| entry.producer_id);
        snapshot::encode_snapshot(&entries)
    }

    /// Replaces the state by that of a snapshot, without the producers that have expired since.
    pub fn load(&mut self, entries: &[SnapshotEntry], now_ms: i64, expiration_ms: i64) {
        self.inner = None;
        for snapshot in entries {
            let entry = snapshot.to_entry();
            if entry.is_expired(now_ms, expiration_ms) {
                continue;
            }
            let inner = self.inner.get_or_insert_default();
            if let Some(first_offset) = entry.current_txn_first_offset {
                inner.ongoing.insert(first_offset, snapshot.producer_id);
            }
            inner.producers.insert(snapshot.producer_id, Box::new(entry));
        }
    }
}

fn check_epoch(known: Option<&ProducerEntry>, header: &BatchHeader, origin: AppendOrigin) -> Result<(), ProducerError> {
    let latest = known.map_or(ProducerEpoch::NONE, |entry| entry.epoch);
    if header.producer_epoch < latest && origin != AppendOrigin::Replication {
        let (producer_id, epoch) = (header.producer_id, header.producer_epoch);
        return Err(ProducerError::StaleEpoch { producer_id, epoch, latest });
    }
    Ok(())
}

fn check_data(
    known: Option<&ProducerEntry>,
    header: &BatchHeader,
    origin: AppendOrigin,
) -> Result<Verdict, ProducerError> {
    check_epoch(known, header, origin)?;
    if origin == AppendOrigin::Client {
        check_sequence(known, header)?;
    }
    let producer_id = header.producer_id;
    let is_in_txn = known.is_some_and(|entry| entry.current_txn_first_offset.is_some());
    let is_transactional = header.attributes.is_transactional();
    if is_in_txn && !is_transactional {
        return Err(ProducerError::NotTransactional { producer_id });
    }
    Ok(Verdict::Append(ProducerUpdate(Change::Data {
        producer_id,
        epoch: header.producer_epoch,
        batch: BatchMetadata::of(header),
        starts_txn: is_transactional && !is_in_txn,
    })))
}

fn check_sequence(known: Option<&ProducerEntry>, header: &BatchHeader) -> Result<(), ProducerError> {
    // A producer nobody remembers may start anywhere: its records may have been deleted by retention.
    let Some(entry) = known.filter(|entry| entry.epoch != ProducerEpoch::NONE) else { return Ok(()) };
    let (producer_id, sequence) = (header.producer_id, header.base_sequence);
    if header.producer_epoch != entry.epoch {
        if sequence != 0 {
            return Err(ProducerError::NewEpochSequence { producer_id, epoch: header.producer_epoch, sequence });
        }
        return Ok(());
    }
    let last_sequence = entry.last_sequence();
    let follows = if last_sequence == i32::MAX { 0 } else { last_sequence + 1 };
    if sequence != follows {
        return Err(ProducerError::OutOfOrderSequence { producer_id, sequence, last_sequence });
    }
    Ok(())
}

fn check_marker(
    known: Option<&ProducerEntry>,
    header: &BatchHeader,
    marker: &EndTxnMarker,
    origin: AppendOrigin,
) -> Result<Verdict, ProducerError> {
    check_epoch(known, header, origin)?;
    let producer_id = header.producer_id;
    let latest = known.map_or(-1, |entry| entry.coordinator_epoch);
    if marker.coordinator_epoch < latest && origin != AppendOrigin::Replication {
        let epoch = marker.coordinator_epoch;
        return Err(ProducerError::StaleCoordinator { producer_id, epoch, latest });
    }
    Ok(Verdict::Append(ProducerUpdate(Change::EndTxn {
        producer_id,
        epoch: header.producer_epoch,
        marker: *marker,
        marker_offset: header.base_offset,
    })))
}
