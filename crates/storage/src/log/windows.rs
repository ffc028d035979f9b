//! The batches before a snapshot that its producers may still send again.
//!
//! A snapshot holds the last batch of each producer alone: its format is Kafka's. A producer that had five requests in
//! flight when the broker died sends all five again, and those before the last must be known as duplicates too.
//! Otherwise they are out of order, on which librdkafka gives the producer up. So a start reads the headers of the end
//! of the log before the snapshot. Kafka does not, and shows that error after two crashes in a row.

use std::sync::Arc;

use whimbrel_model::record::BatchHeader;

use super::{Log, State};
use crate::error::StorageError;
use crate::files::read::ReadMode;
use crate::scan::{Scanner, Step};
use crate::segment::{Kind, Segment};

/// Five requests of the default `max.request.size`, 1 MiB, with room for other producers between them.
const WINDOW_BYTES: u64 = 8 * 1024 * 1024;
/// Producers give a record up after two minutes (Java) or five (librdkafka) unless told otherwise.
const WINDOW_AGE_MS: i64 = 10 * 60 * 1000;

impl Log {
    /// Fills in what the producers of the snapshot at offset `snapshot` wrote shortly before it.
    pub(super) fn recall_windows(&self, state: &mut State, snapshot: i64, now_ms: i64) -> Result<(), StorageError> {
        let Some(index) = state.segment_index(snapshot - 1) else { return Ok(()) };
        let Some(segment) = state.segments.get(index).cloned() else { return Ok(()) };
        if state.producers.is_empty() || segment.last_modified_ms()? < now_ms - WINDOW_AGE_MS {
            return Ok(());
        }
        let end = segment
            .find(snapshot, segment.size(), ReadMode::MayBlock)?
            .map_or_else(|| segment.size(), |(position, _)| position);
        let start = window_start(&segment, snapshot, end)?;
        for header in producer_batches(&segment, start, end)? {
            state.producers.recall(&header);
        }
        Ok(())
    }
}

/// A batch boundary about `WINDOW_BYTES` before `end`, the position of offset `snapshot`.
fn window_start(segment: &Arc<Segment>, snapshot: i64, end: u64) -> Result<u64, StorageError> {
    let mut start = end;
    let mut offsets = 64;
    loop {
        let floor = segment.index_floor(snapshot - offsets, ReadMode::MayBlock)?;
        if start < end && WINDOW_BYTES < end - floor {
            return Ok(start);
        }
        start = floor;
        if snapshot - offsets <= segment.base {
            return Ok(start);
        }
        offsets *= 2;
    }
}

fn producer_batches(segment: &Arc<Segment>, start: u64, end: u64) -> Result<Vec<BatchHeader>, StorageError> {
    let file = segment.file(Kind::Log)?;
    let mut scanner = Scanner::new(&file, start, end, ReadMode::MayBlock);
    let mut headers = Vec::new();
    while let Step::Batch { position, meta } = scanner.step().map_err(|e| segment.io_error("read", Kind::Log, e))? {
        let header = scanner.last_header(position).filter(|header| !header.attributes.is_control());
        headers.extend(header.filter(|_| 0 <= meta.producer_id));
    }
    Ok(headers)
}
