//! Fetched bytes into records: decompression, control batches, and what aborted transactions left behind.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use whimbrel_model::record::{Batches, EndTxnMarker, RecordBatch, TimestampType};
use whimbrel_wire::fetch::AbortedTransaction;

use crate::RecordsError;

/// The most that one batch may decompress to.
const DECOMPRESSED_BYTES_MAX: usize = 128 * 1024 * 1024;

/// A record as it was fetched. Keys, values and headers are slices of the answer where it was not compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedRecord {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970; -1 for none.
    pub timestamp: i64,
    /// Whether the broker set the timestamp.
    pub is_append_time: bool,
    pub leader_epoch: i32,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// The records of one partition in an answer, from `position` on, and where to continue.
///
/// # Errors
/// A batch is damaged. The records before it are lost to the caller, which would read them again with the next fetch.
pub fn read_records(
    topic: &Arc<str>,
    partition: i32,
    position: i64,
    bytes: &Bytes,
    aborted: Option<&[AbortedTransaction]>,
) -> Result<(Vec<FetchedRecord>, i64), (i64, RecordsError)> {
    let mut records = Vec::new();
    let mut next = position;
    let mut filter = AbortedFilter::new(aborted);
    for batch in Batches::new(bytes) {
        let batch = batch.map_err(|error| (next, error.into()))?;
        let base = batch.header.base_offset.0;
        let damaged = |error| (base, error);
        batch.verify_crc().map_err(|error| damaged(error.into()))?;
        if filter.shows(&batch) {
            let body = batch.decompressed_from(bytes, DECOMPRESSED_BYTES_MAX).map_err(|error| damaged(error.into()))?;
            for record in batch.records(&body) {
                let record = record.map_err(|error| damaged(error.into()))?;
                if record.offset.0 < position {
                    continue;
                }
                let slice = |part: Option<&[u8]>| part.map(|part| body.slice_ref(part));
                records.push(FetchedRecord {
                    topic: topic.clone(),
                    partition,
                    offset: record.offset.0,
                    timestamp: record.timestamp,
                    is_append_time: batch.header.attributes.timestamp_type() == TimestampType::LogAppendTime,
                    leader_epoch: batch.header.partition_leader_epoch.0,
                    key: slice(record.key),
                    value: slice(record.value),
                    headers: record.headers.map(|header| (body.slice_ref(header.key), slice(header.value))).collect(),
                });
            }
        }
        next = next.max(batch.header.next_offset().0);
    }
    Ok((records, next))
}

/// Hides control batches, and for `read_committed` the batches of transactions that were aborted.
///
/// The broker lists the aborted transactions by their first offsets. One begins to hide its producer's batches there,
/// and ends with that producer's abort marker.
struct AbortedFilter {
    /// Producer and first offset, the lowest last.
    to_come: Vec<(i64, i64)>,
    hidden: BTreeSet<i64>,
}

impl AbortedFilter {
    fn new(aborted: Option<&[AbortedTransaction]>) -> Self {
        let mut to_come: Vec<(i64, i64)> =
            aborted.unwrap_or_default().iter().map(|aborted| (aborted.first_offset, aborted.producer_id)).collect();
        to_come.sort_unstable_by(|a, b| b.cmp(a));
        Self { to_come, hidden: BTreeSet::new() }
    }

    fn shows(&mut self, batch: &RecordBatch<'_>) -> bool {
        while let Some((_, producer)) =
            self.to_come.pop_if(|(first_offset, _)| *first_offset <= batch.header.last_offset().0)
        {
            self.hidden.insert(producer);
        }
        let producer = batch.header.producer_id.0;
        if batch.header.attributes.is_control() {
            if matches!(EndTxnMarker::from_batch(batch), Ok(Some(marker)) if !marker.is_commit) {
                self.hidden.remove(&producer);
            }
            return false;
        }
        !(batch.header.attributes.is_transactional() && self.hidden.contains(&producer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use whimbrel_model::record::{BatchBuilder, BatchOptions, Codec, Compression};
    use whimbrel_model::{Offset, ProducerEpoch, ProducerId};

    fn batch(base: i64, values: &[&str], options: BatchOptions) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchOptions { base_offset: Offset(base), ..options });
        for value in values {
            builder.append(7, None, Some(value.as_bytes()), []).unwrap();
        }
        builder.build().unwrap().to_vec()
    }

    fn values(records: &[FetchedRecord]) -> Vec<&str> {
        records.iter().map(|record| std::str::from_utf8(record.value.as_ref().unwrap()).unwrap()).collect()
    }

    #[test]
    fn records_before_the_position_and_a_cut_batch_are_left_out() {
        let compressed = BatchOptions { compression: Compression::new(Codec::Zstd), ..BatchOptions::default() };
        let mut bytes = batch(0, &["a", "b", "c"], compressed);
        bytes.extend(batch(3, &["d"], BatchOptions::default()));
        bytes.extend_from_slice(&batch(4, &["cut"], BatchOptions::default())[..40]);
        let (records, next) = read_records(&"t".into(), 0, 1, &bytes.into(), None).unwrap();
        assert_eq!(values(&records), ["b", "c", "d"]);
        assert_eq!(next, 4);
    }

    #[test]
    fn a_damaged_batch_is_named_by_its_offset() {
        let mut bytes = batch(0, &["a"], BatchOptions::default());
        *bytes.last_mut().unwrap() ^= 1;
        let (offset, error) = read_records(&"t".into(), 0, 0, &bytes.into(), None).unwrap_err();
        assert_eq!(offset, 0);
        assert!(matches!(error, RecordsError::Batch(_)), "{error}");
    }

    #[test]
    fn aborted_transactions_are_hidden_until_their_marker() {
        let of = |producer| BatchOptions {
            producer_id: ProducerId(producer),
            producer_epoch: ProducerEpoch(0),
            base_sequence: 0,
            is_transactional: true,
            ..BatchOptions::default()
        };
        let marker = |base: i64, is_commit| {
            let marker = EndTxnMarker { is_commit, coordinator_epoch: 0, timestamp: 7 };
            let mut bytes = marker.to_batch(ProducerId(1), ProducerEpoch(0)).unwrap().to_vec();
            bytes[..8].copy_from_slice(&base.to_be_bytes());
            bytes
        };
        let bytes: Bytes = [
            batch(0, &["lost"], of(1)),
            batch(1, &["kept"], of(2)),
            marker(2, false),
            batch(3, &["later"], of(1)),
            marker(4, true),
        ]
        .concat()
        .into();
        let aborted = [AbortedTransaction { producer_id: 1, first_offset: 0 }];
        let (records, next) = read_records(&"t".into(), 0, 0, &bytes, Some(&aborted)).unwrap();
        assert_eq!(values(&records), ["kept", "later"]);
        assert_eq!(next, 5);
        let (records, _) = read_records(&"t".into(), 0, 0, &bytes, None).unwrap();
        assert_eq!(values(&records), ["lost", "kept", "later"]);
    }
}
