//! Reads.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use smallvec::SmallVec;
use whimbrel_model::record::{MAGIC_V2, RecordBatch};
use whimbrel_model::{FileSlice, Offset};

use super::{Log, State};
use crate::batch::{BatchMeta, HEADER_BYTES, HeaderError};
use crate::error::{ReadError, StorageError};
use crate::files::lend;
use crate::files::pool::Buffer;
use crate::files::read::{ReadMode, read_at};
use crate::segment::{Kind, Segment};

/// Whole record batches from one segment, or from the log's tail in memory.
#[derive(Debug, Clone)]
pub struct ReadResult<R = Slices> {
    /// The batches, as they lie in the file: the first may begin before the offset asked for. Empty if there is nothing
    /// to read below the upper bound, or if the first batch is larger than allowed.
    pub records: R,
    /// The offset after the last batch in `records`, or where the next batch begins; the offset asked for if it is empty.
    pub next_offset: Offset,
    /// The first batch was larger than `max_bytes` and was left out.
    pub first_batch_is_too_large: bool,
}

impl ReadResult {
    /// For those who send them, too.
    #[must_use]
    pub fn into_sendable(self) -> ReadResult<Sendable> {
        self.map(Sendable::Memory)
    }
}

impl<R> ReadResult<R> {
    fn nothing(from: i64) -> Self
    where
        R: From<Slices>,
    {
        Self { records: Slices::default().into(), next_offset: Offset(from), first_batch_is_too_large: false }
    }

    fn map<S>(self, convert: impl FnOnce(R) -> S) -> ReadResult<S> {
        ReadResult {
            records: convert(self.records),
            next_offset: self.next_offset,
            first_batch_is_too_large: self.first_batch_is_too_large,
        }
    }
}

/// Batches that go to a socket.
#[derive(Debug, Clone)]
pub enum Sendable {
    /// They were read.
    Memory(Slices),
    /// They are in the page cache, and sent from there.
    File(FileSlice),
}

impl Sendable {
    /// Size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(slices) => slices.len(),
            Self::File(slice) => slice.len(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Sendable {
    fn default() -> Self {
        Slices::default().into()
    }
}

impl From<Slices> for Sendable {
    fn from(slices: Slices) -> Self {
        Self::Memory(slices)
    }
}

/// Bytes in one or several pieces that follow each other, none of them empty.
#[derive(Debug, Clone, Default)]
pub struct Slices {
    pieces: SmallVec<[Bytes; 1]>,
}

impl Slices {
    pub(super) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.pieces.push(piece);
        }
    }

    /// Size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// All bytes in one run; copies only if there are several pieces.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        match self.pieces.len() {
            0 => Bytes::new(),
            1 => self.pieces.remove(0),
            _ => self.pieces.concat().into(),
        }
    }
}

impl From<Bytes> for Slices {
    fn from(bytes: Bytes) -> Self {
        let mut slices = Self::default();
        slices.push(bytes);
        slices
    }
}

impl IntoIterator for Slices {
    type Item = Bytes;
    type IntoIter = smallvec::IntoIter<[Bytes; 1]>;

    fn into_iter(self) -> Self::IntoIter {
        self.pieces.into_iter()
    }
}

/// Where a reader will go on: sequential readers need no index look-up.
#[derive(Debug, Clone, Copy, Default)]
struct Hint {
    offset: i64,
    base: i64,
    position: u64,
}

/// The places where the last readers stopped.
#[derive(Default)]
pub(super) struct Hints {
    hints: [Hint; 4],
    next: usize,
}

impl Hints {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn find(&self, offset: i64, base: i64) -> Option<u64> {
        self.hints.iter().find(|h| h.offset == offset && h.base == base && h.position != 0).map(|h| h.position)
    }

    fn put(&mut self, hint: Hint) {
        if self.find(hint.offset, hint.base).is_none() {
            if let Some(slot) = self.hints.get_mut(self.next) {
                *slot = hint;
            }
            self.next = (self.next + 1) % self.hints.len();
        }
    }
}

/// A truncation during a read makes it start again; more than a few in a row do not happen.
const ATTEMPTS_MAX: usize = 8;

/// One place to read from.
struct Place {
    segment: Arc<Segment>,
    end: u64,
    /// Known from a hint or because `from` is the segment's base.
    position: Option<u64>,
    generation: u32,
    /// Of the segment.
    cuts: u32,
}

/// What is read, as in [`Log::read`].
#[derive(Clone, Copy)]
struct Wanted {
    from: i64,
    upper: i64,
    max_bytes: usize,
    min_one_batch: bool,
    mode: ReadMode,
}

/// What was found in one segment.
struct Found<R> {
    result: ReadResult<R>,
    /// All records.
    bytes: usize,
    /// The position after them.
    stopped_at: u64,
}

impl Log {
    /// Whole record batches (still compressed) from the one that holds `from`, up to `max_bytes`, from one segment or
    /// from the tail in memory.
    ///
    /// Returns at least one batch if one is readable and `min_one_batch`, even above `max_bytes`, so that a consumer
    /// always progresses (KIP-74). `upper` is exclusive: the high watermark, the last stable offset, or the log end
    /// for replicas. Checksums are verified of what comes from the disk: in [`ReadMode::MayBlock`], and of what was there
    /// when the log was opened, the first time. Records behind a wrong one are read from their own offset on.
    ///
    /// # Errors
    /// `OffsetOutOfRange` below the log start or above the log end; `WouldBlock` in [`ReadMode::NoWait`].
    pub fn read(
        self: &Arc<Self>,
        from: Offset,
        upper: Offset,
        max_bytes: usize,
        min_one_batch: bool,
        mode: ReadMode,
    ) -> Result<ReadResult, ReadError> {
        self.read_with(Wanted { from: from.0, upper: upper.0, max_bytes, min_one_batch, mode }, Place::read)
    }

    /// As [`Self::read`] with [`ReadMode::NoWait`], for batches that go to a socket as they are: long runs that the page
    /// cache holds are not read but lent.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_for_sending(
        self: &Arc<Self>,
        from: Offset,
        upper: Offset,
        max_bytes: usize,
        min_one_batch: bool,
    ) -> Result<ReadResult<Sendable>, ReadError> {
        let wanted = Wanted { from: from.0, upper: upper.0, max_bytes, min_one_batch, mode: ReadMode::NoWait };
        self.read_with(wanted, Place::lend_or_read)
    }

    fn read_with<R: From<Slices>>(
        self: &Arc<Self>,
        wanted: Wanted,
        read: impl Fn(&Place, Wanted) -> Result<Option<Found<R>>, StorageError>,
    ) -> Result<ReadResult<R>, ReadError> {
        self.dir.check_online()?;
        let from = Offset(wanted.from);
        let (start, end) = (self.log_start_offset(), self.log_end_offset());
        if from < start || end < from {
            return Err(ReadError::OffsetOutOfRange { offset: from, start, end });
        }
        let wanted = Wanted { upper: wanted.upper.min(end.0), ..wanted };
        if wanted.upper <= wanted.from || (wanted.max_bytes == 0 && !wanted.min_one_batch) {
            // Who waits at the end of a log that is deleted must hear of it, or it reads nothing for ever.
            self.check_usable()?;
            return Ok(ReadResult::nothing(wanted.from));
        }
        if let Some(result) = self.read_tail(wanted.from, wanted.upper, wanted.max_bytes, wanted.min_one_batch) {
            return Ok(result.map(R::from));
        }
        for _ in 0..ATTEMPTS_MAX {
            match self.read_once(wanted, &read) {
                Ok(Some(result)) => return Ok(result),
                Ok(None) => {}
                Err(error) if error.is_would_block() => return Err(ReadError::WouldBlock),
                Err(error) => return Err(error.into()),
            }
            // Truncated meanwhile: the offset may be gone.
            let (start, end) = (self.log_start_offset(), self.log_end_offset());
            if from < start || end < from {
                return Err(ReadError::OffsetOutOfRange { offset: from, start, end });
            }
        }
        Ok(ReadResult::nothing(wanted.from))
    }

    /// `None` if the log was truncated during the read.
    fn read_once<R: From<Slices>>(
        self: &Arc<Self>,
        wanted: Wanted,
        read: impl Fn(&Place, Wanted) -> Result<Option<Found<R>>, StorageError>,
    ) -> Result<Option<ReadResult<R>>, StorageError> {
        let mut search = wanted.from;
        loop {
            let place = self.usable()?.place(search, wanted.from);
            let Some(place) = place else { return Ok(Some(ReadResult::nothing(wanted.from))) };
            let outcome = read(&place, wanted);
            let mut state = self.usable()?;
            if state.generation != place.generation {
                return Ok(None);
            }
            let Some(Found { result, bytes, stopped_at }) = outcome? else {
                // Compaction may have removed what was between `from` and the end of this segment.
                let Some(next) = state.segment_index(search).and_then(|i| state.segments.get(i + 1)) else {
                    return Ok(None);
                };
                search = next.base;
                continue;
            };
            if stopped_at != 0 {
                state.hints.put(Hint { offset: result.next_offset.0, base: place.segment.base, position: stopped_at });
            }
            if self.log_end_offset() == result.next_offset {
                self.begin_tail(&mut state);
            }
            self.dir.stats.read_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            return Ok(Some(result));
        }
    }
}

impl State {
    /// The segment to look into for `search`, which is `from` or the base of a later segment.
    fn place(&self, search: i64, from: i64) -> Option<Place> {
        let segment = self.segments.get(self.segment_index(search)?)?.clone();
        let position = if from <= segment.base { Some(0) } else { self.hints.find(from, segment.base) };
        let (end, cuts) = (segment.size(), segment.cuts());
        Some(Place { end, position, generation: self.generation, cuts, segment })
    }
}

impl Place {
    /// Where the batch that holds the offset begins, and how many bytes there are from it on; `None` if the segment ends
    /// before.
    fn find(&self, wanted: Wanted) -> Result<Option<(u64, usize)>, StorageError> {
        let position = match self.position {
            Some(position) => position,
            None => match self.segment.find(wanted.from, self.end, wanted.mode)? {
                Some((position, _)) => position,
                None => return Ok(None),
            },
        };
        let available = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
        Ok((available != 0).then_some((position, available)))
    }

    /// `None` if the segment ends before the offset.
    fn read(&self, wanted: Wanted) -> Result<Option<Found<Slices>>, StorageError> {
        let Some((position, available)) = self.find(wanted)? else { return Ok(None) };
        self.read_from(position, available, wanted).map(Some)
    }

    /// As [`Self::read`], for those who send what is found.
    fn lend_or_read(&self, wanted: Wanted) -> Result<Option<Found<Sendable>>, StorageError> {
        let Some((position, available)) = self.find(wanted)? else { return Ok(None) };
        if let Some(lent) = self.lend(position, wanted.max_bytes.min(available), wanted)? {
            return Ok(Some(lent));
        }
        let Found { result, bytes, stopped_at } = self.read_from(position, available, wanted)?;
        Ok(Some(Found { result: result.into_sendable(), bytes, stopped_at }))
    }

    fn read_from(&self, position: u64, available: usize, wanted: Wanted) -> Result<Found<Slices>, StorageError> {
        let Wanted { from, upper, max_bytes, min_one_batch, mode } = wanted;
        let mut buffer = self.fill(position, max_bytes.max(HEADER_BYTES).min(available), mode)?;
        let first = self.header(buffer.as_ref(), position)?;
        let is_too_large = max_bytes < first.size as usize;
        if first.base < upper && is_too_large && min_one_batch {
            buffer = self.fill(position, (first.size as usize).min(available), mode)?;
        }
        let limit = if is_too_large && min_one_batch { first.size as usize } else { max_bytes };
        let (mut length, mut last) = whole_batches(buffer.as_ref(), limit, upper);
        // Who may block reads what comes from the disk.
        if mode == ReadMode::MayBlock || self.segment.unverified().has(position, position + length as u64) {
            (length, last) = intact_batches(buffer.as_ref().get(..length).unwrap_or_default())
                .map_err(|what| StorageError::Damaged { path: self.segment.path(Kind::Log), position, what })?;
            self.segment.unverified().verified(position, position + length as u64);
        }
        let result = ReadResult {
            records: buffer.into_bytes(length).into(),
            next_offset: after(last, from),
            first_batch_is_too_large: length == 0 && is_too_large,
        };
        Ok(Found { result, bytes: length, stopped_at: position + length as u64 })
    }

    /// Lends the whole batches within `limit` bytes; `None` if they have to be read: they are few or small, not in the
    /// page cache, not verified, or no batches at all.
    fn lend(&self, position: u64, limit: usize, wanted: Wanted) -> Result<Option<Found<Sendable>>, StorageError> {
        if limit < lend::BYTES_MIN {
            return Ok(None);
        }
        let file = self.segment.file(Kind::Log)?;
        let Some((length, next_offset)) = self.whole_batches_in(&file, position, limit, wanted)? else {
            return Ok(None);
        };
        if length < lend::BYTES_MIN
            || self.segment.unverified().has(position, position + length as u64)
            || !lend::is_cached(&file, position, length)
        {
            return Ok(None);
        }
        let Some(source) = lend::lend(&self.segment, file, self.cuts) else { return Ok(None) };
        let result = ReadResult {
            records: Sendable::File(FileSlice::new(source, position, length)),
            next_offset: next_offset.max(Offset(wanted.from)),
            first_batch_is_too_large: false,
        };
        Ok(Some(Found { result, bytes: length, stopped_at: position + length as u64 }))
    }

    /// The length of the whole batches in the `limit` bytes from `position` on, and the offset after them; `None` if there
    /// is no batch at `position`, or if more headers would have to be looked at than that is worth. Of a long run the
    /// index tells where its last batches begin: only their headers are read then, and the first one.
    fn whole_batches_in(
        &self,
        file: &File,
        position: u64,
        limit: usize,
        wanted: Wanted,
    ) -> Result<Option<(usize, Offset)>, StorageError> {
        let end = position + limit as u64;
        // What lies further on goes out unseen, as with Kafka: who cannot use it asks for it by its own offset next. Damage
        // that is first has to be met here, or nobody hears of it but a reader that waits for ever.
        let Some(first) = self.header_before(file, position, end, wanted.mode)? else { return Ok(None) };
        let (mut length, mut next_offset, mut next) = (0, Offset(wanted.from), Some(first));
        // Only if what lies there can be that batch: an index is rebuilt from the log, never the other way round.
        if let Some((skipped, last)) = self.indexed(position, limit, wanted)
            && let Some(meta) = self.header_before(file, position + skipped as u64, end, wanted.mode)?
            && wanted.from < meta.base
            && meta.base <= last
        {
            (length, next_offset, next) = (skipped, Offset(meta.base), Some(meta));
        }
        let mut looked_at = 0;
        loop {
            let meta = match next.take() {
                Some(meta) => Some(meta),
                None => self.header_before(file, position + length as u64, end, wanted.mode)?,
            };
            let fits = |meta: &BatchMeta| meta.base < wanted.upper && length + meta.size as usize <= limit;
            let Some(meta) = meta.filter(fits) else { return Ok(Some((length, next_offset))) };
            (length, next_offset, looked_at) = (length + meta.size as usize, Offset(meta.last + 1), looked_at + 1);
            if length < looked_at * lend::BATCH_BYTES_MIN {
                return Ok(None);
            }
        }
    }

    /// How many of the `limit` bytes from `position` on lie before a batch that the index knows, and the offset that this
    /// batch begins at or before, which is below `upper`.
    fn indexed(&self, position: u64, limit: usize, wanted: Wanted) -> Option<(usize, i64)> {
        if limit < lend::INDEXED_BYTES_MIN {
            return None;
        }
        let within = position + (limit - HEADER_BYTES) as u64;
        // Whatever is wrong with an index, what it would have told can be found without it. Mostly it is not in the page
        // cache; having been asked, the kernel fetches it for the next time.
        let (begin, last) = self.segment.index_floor_within(within, wanted.upper, wanted.mode).ok()??;
        let skipped = usize::try_from(begin.checked_sub(position)?).ok()?;
        (skipped != 0).then_some((skipped, last))
    }

    /// The header at `position`; `None` if it does not lie before `end`, or if there is none.
    fn header_before(
        &self,
        file: &File,
        position: u64,
        end: u64,
        mode: ReadMode,
    ) -> Result<Option<BatchMeta>, StorageError> {
        if end < position + HEADER_BYTES as u64 {
            return Ok(None);
        }
        let mut header = [0; HEADER_BYTES];
        let read = read_at(file, &mut header, position, mode);
        let read = read.map_err(|e| self.segment.io_error("read", Kind::Log, e))?;
        Ok(BatchMeta::parse(header.get(..read).unwrap_or_default()).ok())
    }

    fn fill(&self, position: u64, length: usize, mode: ReadMode) -> Result<Buffer, StorageError> {
        let file = self.segment.file(Kind::Log)?;
        let mut buffer = Buffer::new(length);
        let read = read_at(&file, buffer.as_mut(), position, mode);
        let read = read.map_err(|e| self.segment.io_error("read", Kind::Log, e))?;
        buffer.shorten(read);
        Ok(buffer)
    }

    fn header(&self, bytes: &[u8], position: u64) -> Result<BatchMeta, StorageError> {
        BatchMeta::parse(bytes).map_err(|error| {
            let what = match error {
                HeaderError::Incomplete => "the batch header is cut off",
                HeaderError::Damaged(what) => what,
            };
            StorageError::Damaged { path: self.segment.path(Kind::Log), position, what }
        })
    }
}

/// The offset to go on at after `last`.
fn after(last: Option<i64>, from: i64) -> Offset {
    Offset(last.map_or(from, |last| (last + 1).max(from)))
}

/// Length of the whole batches in `bytes` within `limit` that begin below `upper`, and the last offset in them.
///
/// Kafka sends a cut-off batch at the end, which clients skip; leaving it out saves its bytes.
fn whole_batches(bytes: &[u8], limit: usize, upper: i64) -> (usize, Option<i64>) {
    let mut length = 0;
    let mut last = None;
    while let Ok(meta) = BatchMeta::parse(bytes.get(length..).unwrap_or_default()) {
        let next = length + meta.size as usize;
        if upper <= meta.base || limit.min(bytes.len()) < next {
            break;
        }
        length = next;
        last = Some(meta.last);
    }
    (length, last)
}

/// Length of the `batches` whose checksums are right, up to the first one that is wrong, and the last offset in them.
/// Whole batches go in; those of old formats have another checksum and are taken as they are.
fn intact_batches(batches: &[u8]) -> Result<(usize, Option<i64>), &'static str> {
    let mut length = 0;
    let mut last = None;
    while let Ok(meta) = BatchMeta::parse(batches.get(length..).unwrap_or_default()) {
        let batch = batches.get(length..length + meta.size as usize).unwrap_or_default();
        let is_intact =
            meta.magic < MAGIC_V2 || RecordBatch::parse(batch).is_ok_and(|batch| batch.verify_crc().is_ok());
        if !is_intact && length == 0 {
            return Err("the checksum of the batch is wrong");
        }
        if !is_intact {
            break;
        }
        (length, last) = (length + meta.size as usize, Some(meta.last));
    }
    Ok((length, last))
}
