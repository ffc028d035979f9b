//! One producer.

use whimbrel_model::record::{BatchHeader, NO_SEQUENCE, NO_TIMESTAMP, decrement_sequence, increment_sequence};
use whimbrel_model::{Offset, ProducerEpoch};

/// Batches remembered to recognise duplicates: as many as a producer may have in flight.
pub const BATCHES_KEPT: usize = 5;

/// More sequences in a row than this are not counted: numbers wrap at 2³¹, and older ones could be taken for newer.
const IN_ROW_MAX: u32 = 1 << 30;

/// Where a batch of a producer lies in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchMetadata {
    pub last_offset: Offset,
    /// The batch's largest timestamp.
    pub timestamp: i64,
    pub last_sequence: i32,
    /// Offsets, and sequences, from the first to the last record.
    pub offset_delta: i32,
}

impl BatchMetadata {
    pub(super) fn of(header: &BatchHeader) -> Self {
        Self {
            last_offset: header.last_offset(),
            timestamp: header.max_timestamp,
            last_sequence: header.last_sequence(),
            offset_delta: header.last_offset_delta,
        }
    }

    #[must_use]
    pub fn base_offset(&self) -> Offset {
        Offset(self.last_offset.0.saturating_sub(i64::from(self.offset_delta)))
    }

    #[must_use]
    pub fn base_sequence(&self) -> i32 {
        decrement_sequence(self.last_sequence, self.offset_delta)
    }

    fn records(&self) -> u32 {
        u32::try_from(self.offset_delta).unwrap_or(0).saturating_add(1)
    }
}

/// What a log remembers of a producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerEntry {
    pub epoch: ProducerEpoch,
    /// Of the coordinator that wrote the last end marker; -1 if none did.
    pub coordinator_epoch: i32,
    /// Of the last batch or marker; -1 for none.
    pub last_timestamp: i64,
    /// Where the open transaction starts.
    pub current_txn_first_offset: Option<Offset>,
    /// The latest batches of `epoch`, oldest first, in the first `batch_count` places.
    batches: [BatchMetadata; BATCHES_KEPT],
    batch_count: u8,
    /// So many sequences up to the last one were seen to come one after the other in `epoch`: at least those of
    /// `batches`, as far as these have no gap.
    in_row: u32,
}

impl Default for ProducerEntry {
    /// A producer of which nothing is known.
    fn default() -> Self {
        Self {
            epoch: ProducerEpoch::NONE,
            coordinator_epoch: -1,
            last_timestamp: NO_TIMESTAMP,
            current_txn_first_offset: None,
            batches: [BatchMetadata::default(); BATCHES_KEPT],
            batch_count: 0,
            in_row: 0,
        }
    }
}

impl ProducerEntry {
    /// The batches that are remembered, oldest first.
    #[must_use]
    pub fn batches(&self) -> &[BatchMetadata] {
        self.batches.get(..usize::from(self.batch_count)).unwrap_or_default()
    }

    #[must_use]
    pub fn last_batch(&self) -> Option<&BatchMetadata> {
        self.batches().last()
    }

    /// -1 if no batch of the epoch is known.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        self.last_batch().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    /// The remembered batch with the epoch and exactly the sequences of `header`.
    pub(super) fn duplicate_of(&self, header: &BatchHeader) -> Option<BatchMetadata> {
        if header.producer_epoch != self.epoch {
            return None;
        }
        let sequences = (header.base_sequence, header.last_sequence());
        let is_same = |batch: &&BatchMetadata| (batch.base_sequence(), batch.last_sequence) == sequences;
        self.batches().iter().find(is_same).copied()
    }

    /// If the records of `header` are surely in the log, before every batch that is remembered: the offset they lie
    /// below. They are if the producer's sequences were seen to come without a gap from there to here.
    pub(super) fn forgotten(&self, header: &BatchHeader) -> Option<Offset> {
        let oldest = self.batches().first().filter(|_| header.producer_epoch == self.epoch)?;
        let behind = |sequence: i32| i64::from(decrement_sequence(self.last_sequence(), sequence));
        let (first, last) = (behind(header.base_sequence), behind(header.last_sequence()));
        let is_known = behind(oldest.base_sequence()) < last && last <= first && first < i64::from(self.in_row);
        is_known.then(|| oldest.base_offset())
    }

    /// Another epoch starts without batches.
    pub(super) fn set_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.batch_count = 0;
            self.in_row = 0;
            self.epoch = epoch;
        }
    }

    pub(super) fn add_batch(&mut self, epoch: ProducerEpoch, batch: BatchMetadata) {
        self.set_epoch(epoch);
        self.last_timestamp = batch.timestamp;
        let follows = self.batch_count != 0 && increment_sequence(self.last_sequence(), 1) == batch.base_sequence();
        let before = if follows { self.in_row } else { 0 };
        self.in_row = before.saturating_add(batch.records()).min(IN_ROW_MAX);
        if usize::from(self.batch_count) == BATCHES_KEPT {
            self.batches.rotate_left(1);
            self.batch_count -= 1;
        }
        if let Some(place) = self.batches.get_mut(usize::from(self.batch_count)) {
            *place = batch;
            self.batch_count += 1;
        }
    }

    /// Puts an older batch directly before the last one; what is at or behind the last one is known already.
    pub(super) fn insert_before_last(&mut self, older: BatchMetadata) {
        let Some(last) = self.last_batch().copied().filter(|last| older.last_offset < last.last_offset) else { return };
        let timestamp = self.last_timestamp;
        self.batch_count -= 1;
        self.in_row = self.in_row.saturating_sub(last.records());
        self.add_batch(self.epoch, older);
        self.add_batch(self.epoch, last);
        // An end marker may be younger than the last batch.
        self.last_timestamp = timestamp;
    }

    pub(super) fn is_expired(&self, now_ms: i64, expiration_ms: i64) -> bool {
        self.current_txn_first_offset.is_none() && expiration_ms <= now_ms.saturating_sub(self.last_timestamp)
    }
}
