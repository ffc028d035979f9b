//! One segment: its files, sizes and look-ups.
//!
//! A segment holds no open file of its own (see [`crate::files::cache`]) and learns the number of its index entries when
//! they are first asked for. What changes with appends is kept beside the segments, in the log's `Active`.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::batch::BatchMeta;
use crate::error::StorageError;
use crate::files::cache::{FileCache, FileSlot};
use crate::files::read::ReadMode;
use crate::index::{self, IndexEntry, TimeEntry};
use crate::names;
use crate::scan::{Scanner, Step};

/// Which file of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Log,
    Index,
    TimeIndex,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Log, Self::Index, Self::TimeIndex];

    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Log => names::LOG,
            Self::Index => names::INDEX,
            Self::TimeIndex => names::TIME_INDEX,
        }
    }
}

/// The directory of one partition. Renamed once at most: when the partition is deleted.
pub(crate) struct Home {
    path: RwLock<Arc<Path>>,
}

impl Home {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: RwLock::new(path.into()) }
    }

    pub(crate) fn path(&self) -> Arc<Path> {
        self.path.read().clone()
    }

    pub(crate) fn moved_to(&self, path: &Path) {
        *self.path.write() = path.into();
    }
}

const UNKNOWN: u32 = u32::MAX;
/// Entries of an index that are written together.
const UNWRITTEN_MAX: usize = 32;
const UNKNOWN_TIMESTAMP: i64 = i64::MIN;

/// One segment. `size` and the entry counts only grow while it is active; truncation sets them back under the log's lock.
pub(crate) struct Segment {
    pub(crate) base: i64,
    home: Arc<Home>,
    cache: Arc<FileCache>,
    slots: [FileSlot; 3],
    size: AtomicU64,
    /// How often the `.log` file was cut back.
    cuts: AtomicU32,
    unverified: Unverified,
    /// Counted with those that are not written yet.
    index_entries: AtomicU32,
    time_entries: AtomicU32,
    largest_timestamp: AtomicI64,
    /// Index entries that are not in their files yet.
    unwritten: Mutex<Unwritten>,
}

/// The part of a `.log` file that was there when the segment was opened, and that no read has verified since.
///
/// What this process wrote was verified before. What it found may have gone bad while nobody looked: its checksums are
/// verified when it is read for the first time. Of what was verified one run is remembered, in positions of the file,
/// which is what readers that go from front to back need.
#[derive(Debug)]
pub(crate) struct Unverified {
    found: AtomicU32,
    /// First position and the one after the last, each in half of the bits.
    verified: AtomicU64,
}

impl Unverified {
    fn new(size: u64) -> Self {
        Self { found: AtomicU32::new(position(size)), verified: AtomicU64::new(0) }
    }

    /// Whether something between the positions `from` and `to` has to be verified.
    pub(crate) fn has(&self, from: u64, to: u64) -> bool {
        let to = position(to).min(self.found.load(Ordering::Relaxed));
        let (start, end) = run(self.verified.load(Ordering::Relaxed));
        position(from) < to && (position(from) < start || end < to)
    }

    /// What lies between is as it was written.
    pub(crate) fn verified(&self, from: u64, to: u64) {
        let (from, to) = (position(from), position(to));
        let longer = |known| {
            let (start, end) = run(known);
            let (start, end) = if end < from || to < start { (from, to) } else { (start.min(from), end.max(to)) };
            Some(u64::from(start) << 32 | u64::from(end))
        };
        // It always succeeds: `longer` never says no.
        let _known = self.verified.fetch_update(Ordering::Relaxed, Ordering::Relaxed, longer);
    }

    /// What is written from here on is new.
    fn cut_to(&self, size: u64) {
        self.found.fetch_min(position(size), Ordering::Relaxed);
    }
}

/// A segment ends below 2 GiB. A longer file is none of Kafka's; beyond 4 GiB it would be taken for verified.
fn position(position: u64) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

fn run(verified: u64) -> (u32, u32) {
    ((verified >> 32) as u32, verified as u32)
}

/// Entries of the offset and the time index on their way to the files.
///
/// With batches above `index.interval.bytes` each append has an entry in both indexes. Writing them one by one made two
/// of the five system calls of a small append. A crash loses what is here: look-ups then scan a little further, as they
/// do after any crash that is not followed by a rebuild.
#[derive(Default)]
struct Unwritten {
    index: Vec<u8>,
    times: Vec<u8>,
}

impl Unwritten {
    fn of(&mut self, kind: Kind) -> Option<&mut Vec<u8>> {
        match kind {
            Kind::Log => None,
            Kind::Index => Some(&mut self.index),
            Kind::TimeIndex => Some(&mut self.times),
        }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        for slot in &self.slots {
            self.cache.close(slot);
        }
    }
}

impl Segment {
    /// A segment whose `.log` file is there and has `size` bytes.
    pub(crate) fn existing(home: Arc<Home>, cache: Arc<FileCache>, base: i64, size: u64) -> Arc<Self> {
        Arc::new(Self {
            base,
            home,
            cache,
            slots: Default::default(),
            size: AtomicU64::new(size),
            cuts: AtomicU32::new(0),
            unverified: Unverified::new(size),
            index_entries: AtomicU32::new(UNKNOWN),
            time_entries: AtomicU32::new(UNKNOWN),
            largest_timestamp: AtomicI64::new(UNKNOWN_TIMESTAMP),
            unwritten: Mutex::default(),
        })
    }

    /// Creates the three empty files. Files of that name that are in the way are emptied, as Kafka removes them.
    pub(crate) fn create(home: Arc<Home>, cache: Arc<FileCache>, base: i64) -> Result<Arc<Self>, StorageError> {
        let segment = Self::existing(home, cache, base, 0);
        for kind in Kind::ALL {
            let path = segment.path(kind);
            File::create(&path).map_err(|e| StorageError::io("create", &path, e))?;
        }
        crate::files::small::remove_if_present(&segment.txn_index_path())
            .map_err(|e| StorageError::io("remove", &segment.txn_index_path(), e))?;
        segment.index_entries.store(0, Ordering::Relaxed);
        segment.time_entries.store(0, Ordering::Relaxed);
        Ok(segment)
    }

    pub(crate) fn slot(&self, kind: Kind) -> &FileSlot {
        let [log, index, time_index] = &self.slots;
        match kind {
            Kind::Log => log,
            Kind::Index => index,
            Kind::TimeIndex => time_index,
        }
    }

    pub(crate) fn path(&self, kind: Kind) -> PathBuf {
        names::file_path(&self.home.path(), self.base, kind.extension())
    }

    pub(crate) fn txn_index_path(&self) -> PathBuf {
        names::file_path(&self.home.path(), self.base, names::TXN_INDEX)
    }

    /// The open file; opened if need be. An index file that is missing is created empty; it holds all entries that
    /// were added before.
    pub(crate) fn file(self: &Arc<Self>, kind: Kind) -> Result<Arc<File>, StorageError> {
        self.write_entries(kind)?;
        self.open_file(kind)
    }

    fn open_file(self: &Arc<Self>, kind: Kind) -> Result<Arc<File>, StorageError> {
        if let Some(file) = self.slot(kind).get() {
            return Ok(file);
        }
        let path = self.path(kind);
        let create = kind != Kind::Log;
        self.cache
            .insert(self, kind, || OpenOptions::new().read(true).write(true).create(create).truncate(false).open(&path))
            .map_err(|e| StorageError::io("open", &path, e))
    }

    pub(crate) fn io_error(&self, action: &'static str, kind: Kind, source: io::Error) -> StorageError {
        StorageError::Io { action, path: self.path(kind), source }
    }

    /// Closes the files; they reopen on use.
    pub(crate) fn close_files(&self) {
        for slot in &self.slots {
            self.cache.close(slot);
        }
    }

    /// Bytes of whole batches in the `.log` file.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Release: a reader that sees the new size sees the bytes.
    pub(crate) fn set_size(&self, size: u64) {
        self.size.store(size, Ordering::Release);
    }

    /// How often bytes that had been readable were cut off, for those who send from the file.
    pub(crate) fn cuts(&self) -> u32 {
        self.cuts.load(Ordering::Acquire)
    }

    /// Cuts the `.log` file back to `size`.
    pub(crate) fn cut_to(self: &Arc<Self>, size: u64) -> Result<(), StorageError> {
        // Before any byte goes, so that whoever still sees the old count has sent what was there.
        self.cuts.fetch_add(1, Ordering::AcqRel);
        self.unverified.cut_to(size);
        self.set_size(size);
        let file = self.file(Kind::Log)?;
        file.set_len(size).map_err(|e| self.io_error("truncate", Kind::Log, e))
    }

    /// What of the `.log` file nobody has looked at yet.
    pub(crate) fn unverified(&self) -> &Unverified {
        &self.unverified
    }

    /// Time of the last change of the `.log` file, milliseconds since the epoch.
    pub(crate) fn last_modified_ms(&self) -> Result<i64, StorageError> {
        let path = self.path(Kind::Log);
        let modified =
            std::fs::metadata(&path).and_then(|m| m.modified()).map_err(|e| StorageError::io("stat", &path, e))?;
        let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Ok(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Look-ups.
impl Segment {
    /// Number of entries in the offset index. Rebuilds it when it is missing or cannot be Kafka's.
    pub(crate) fn index_entries(self: &Arc<Self>, mode: ReadMode) -> Result<u32, StorageError> {
        match self.index_entries.load(Ordering::Acquire) {
            UNKNOWN => {
                self.learn_indexes(mode)?;
                Ok(self.index_entries.load(Ordering::Acquire))
            }
            known => Ok(known),
        }
    }

    pub(crate) fn time_entries(self: &Arc<Self>, mode: ReadMode) -> Result<u32, StorageError> {
        match self.time_entries.load(Ordering::Acquire) {
            UNKNOWN => {
                self.learn_indexes(mode)?;
                Ok(self.time_entries.load(Ordering::Acquire))
            }
            known => Ok(known),
        }
    }

    pub(crate) fn set_entries(&self, index: u32, time: u32) {
        self.index_entries.store(index, Ordering::Release);
        self.time_entries.store(time, Ordering::Release);
    }

    /// Counts the entries of both indexes; Kafka leaves the active ones zero-padded to `segment.index.bytes`.
    fn learn_indexes(self: &Arc<Self>, mode: ReadMode) -> Result<(), StorageError> {
        let counted = self.count_entries(mode)?;
        if let Some((index, time)) = counted {
            self.set_entries(index, time);
            return Ok(());
        }
        if mode == ReadMode::NoWait {
            return Err(self.io_error("rebuild", Kind::Index, io::ErrorKind::WouldBlock.into()));
        }
        tracing::warn!(path = %self.path(Kind::Index).display(), "rebuilding the indexes of a segment");
        self.rebuild_indexes(crate::log::REBUILD_INTERVAL_BYTES)
    }

    /// `None` if the indexes must be rebuilt.
    fn count_entries(self: &Arc<Self>, mode: ReadMode) -> Result<Option<(u32, u32)>, StorageError> {
        let missing = |kind: Kind| self.slot(kind).get().is_none() && !self.path(kind).exists();
        if missing(Kind::Index) || missing(Kind::TimeIndex) {
            return Ok((self.size() == 0).then_some((0, 0)));
        }
        let file = self.file(Kind::Index)?;
        let Some((entries, last)) =
            index::count::<IndexEntry>(&file, mode).map_err(|e| self.io_error("read", Kind::Index, e))?
        else {
            return Ok(None);
        };
        // An index that points past the file belongs to bytes that are gone.
        if last.is_some_and(|last| self.size() <= u64::from(last.position)) {
            return Ok(None);
        }
        let file = self.file(Kind::TimeIndex)?;
        let times = index::count::<TimeEntry>(&file, mode).map_err(|e| self.io_error("read", Kind::TimeIndex, e))?;
        Ok(times.map(|(times, _)| (entries, times)))
    }

    /// A position at or before the batch that holds `offset`, from the index.
    pub(crate) fn index_floor(self: &Arc<Self>, offset: i64, mode: ReadMode) -> Result<u64, StorageError> {
        let Ok(relative) = u32::try_from((offset - self.base).clamp(0, i64::from(i32::MAX))) else { return Ok(0) };
        let entries = self.index_entries(mode)?;
        if entries == 0 {
            return Ok(0);
        }
        let file = self.file(Kind::Index)?;
        let found = index::floor::<IndexEntry, _>(&file, entries, mode, |entry| entry.relative <= relative);
        let found = found.map_err(|e| self.io_error("read", Kind::Index, e))?;
        Ok(found.map_or(0, |(_, entry)| u64::from(entry.position)))
    }

    /// Where the index says that a batch begins, and an offset that this batch begins at or before: the last one at or
    /// before `position` with that offset below `upper`.
    pub(crate) fn index_floor_within(
        self: &Arc<Self>,
        position: u64,
        upper: i64,
        mode: ReadMode,
    ) -> Result<Option<(u64, i64)>, StorageError> {
        let entries = self.index_entries(mode)?;
        let Some(relative) = upper.checked_sub(self.base).filter(|_| entries != 0) else { return Ok(None) };
        let file = self.file(Kind::Index)?;
        let holds = |entry: &IndexEntry| u64::from(entry.position) <= position && i64::from(entry.relative) < relative;
        let found = index::floor(&file, entries, mode, holds).map_err(|e| self.io_error("read", Kind::Index, e))?;
        Ok(found.map(|(_, entry)| (u64::from(entry.position), self.base + i64::from(entry.relative))))
    }

    /// The first batch with a last offset at or above `offset`, at or after `from` and wholly before `end`.
    pub(crate) fn find_from(
        self: &Arc<Self>,
        offset: i64,
        from: u64,
        end: u64,
        mode: ReadMode,
    ) -> Result<Option<(u64, BatchMeta)>, StorageError> {
        let file = self.file(Kind::Log)?;
        let mut scanner = Scanner::new(&file, from, end, mode);
        loop {
            match scanner.step().map_err(|e| self.io_error("read", Kind::Log, e))? {
                Step::Batch { position, meta } if offset <= meta.last => return Ok(Some((position, meta))),
                Step::Batch { .. } => {}
                Step::End => return Ok(None),
                Step::Broken { position, what } => {
                    return Err(StorageError::Damaged { path: self.path(Kind::Log), position, what });
                }
            }
        }
    }

    /// The first batch with a last offset at or above `offset`.
    pub(crate) fn find(
        self: &Arc<Self>,
        offset: i64,
        end: u64,
        mode: ReadMode,
    ) -> Result<Option<(u64, BatchMeta)>, StorageError> {
        let from = self.index_floor(offset, mode)?;
        self.find_from(offset, from, end, mode)
    }

    /// The last entry of the time index; `(-1, base)` if there is none.
    pub(crate) fn last_time_entry(self: &Arc<Self>, mode: ReadMode) -> Result<(i64, i64), StorageError> {
        let entries = self.time_entries(mode)?;
        let Some(last) = entries.checked_sub(1) else { return Ok((-1, self.base)) };
        let file = self.file(Kind::TimeIndex)?;
        let entry =
            index::entry::<TimeEntry>(&file, last, mode).map_err(|e| self.io_error("read", Kind::TimeIndex, e))?;
        Ok((entry.timestamp, self.base + i64::from(entry.relative)))
    }

    /// The offset of the last time index entry with a timestamp at or below `timestamp`; the base offset if none.
    pub(crate) fn time_floor(self: &Arc<Self>, timestamp: i64, mode: ReadMode) -> Result<i64, StorageError> {
        let entries = self.time_entries(mode)?;
        if entries == 0 {
            return Ok(self.base);
        }
        let file = self.file(Kind::TimeIndex)?;
        let found = index::floor::<TimeEntry, _>(&file, entries, mode, |entry| entry.timestamp <= timestamp);
        let found = found.map_err(|e| self.io_error("read", Kind::TimeIndex, e))?;
        Ok(found.map_or(self.base, |(_, entry)| self.base + i64::from(entry.relative)))
    }

    /// The largest timestamp before `end` and the last offset of the first batch that has it: the last entry of the
    /// time index, or a batch after it. Of an empty segment nothing is opened: each pass for retention asks every log.
    pub(crate) fn max_timestamp(self: &Arc<Self>, end: u64, mode: ReadMode) -> Result<(i64, i64), StorageError> {
        if end == 0 {
            return Ok((-1, self.base));
        }
        let mut largest = self.last_time_entry(mode)?;
        let from = self.index_floor(largest.1, mode)?;
        let file = self.file(Kind::Log)?;
        let mut scanner = Scanner::new(&file, from, end, mode);
        while let Step::Batch { meta, .. } = scanner.step().map_err(|e| self.io_error("read", Kind::Log, e))? {
            if largest.0 < meta.max_timestamp {
                largest = (meta.max_timestamp, meta.last);
            }
        }
        Ok(largest)
    }

    /// The largest timestamp in an inactive segment: its last time index entry. -1 if no batch has one.
    pub(crate) fn largest_timestamp(self: &Arc<Self>, mode: ReadMode) -> Result<i64, StorageError> {
        match self.largest_timestamp.load(Ordering::Relaxed) {
            UNKNOWN_TIMESTAMP => {
                let (timestamp, _) = self.last_time_entry(mode)?;
                self.largest_timestamp.store(timestamp, Ordering::Relaxed);
                Ok(timestamp)
            }
            known => Ok(known),
        }
    }

    pub(crate) fn forget_largest_timestamp(&self) {
        self.largest_timestamp.store(UNKNOWN_TIMESTAMP, Ordering::Relaxed);
    }
}

/// Writes to the indexes. Only the holder of the log's lock calls these, or the loader.
impl Segment {
    /// Whether `last` fits the indexes' 32-bit offsets.
    pub(crate) fn fits(&self, last: i64) -> bool {
        last.checked_sub(self.base).is_some_and(|relative| (0..=i64::from(i32::MAX)).contains(&relative))
    }

    pub(crate) fn append_index(self: &Arc<Self>, last: i64, position: u64) -> Result<(), StorageError> {
        // Learned before the first entry is added: the files are counted only while all entries are in them.
        self.index_entries(ReadMode::MayBlock)?;
        let entry = IndexEntry { relative: (last - self.base) as u32, position: position as u32 };
        if self.add_entry(Kind::Index, &entry.to_bytes()) < UNWRITTEN_MAX { Ok(()) } else { self.write_all_entries() }
    }

    pub(crate) fn append_time(self: &Arc<Self>, timestamp: i64, offset: i64) -> Result<(), StorageError> {
        self.time_entries(ReadMode::MayBlock)?;
        let entry = TimeEntry { timestamp, relative: (offset - self.base) as u32 };
        self.add_entry(Kind::TimeIndex, &entry.to_bytes());
        Ok(())
    }

    /// Returns how many entries are not written yet.
    fn add_entry(&self, kind: Kind, entry: &[u8]) -> usize {
        let mut unwritten = self.unwritten.lock();
        let Some((bytes, counter)) = unwritten.of(kind).zip(self.counter(kind)) else { return 0 };
        bytes.extend_from_slice(entry);
        counter.fetch_add(1, Ordering::AcqRel);
        bytes.len() / entry.len()
    }

    fn counter(&self, kind: Kind) -> Option<&AtomicU32> {
        match kind {
            Kind::Log => None,
            Kind::Index => Some(&self.index_entries),
            Kind::TimeIndex => Some(&self.time_entries),
        }
    }

    /// Writes the entries of both indexes that are not in their files yet.
    pub(crate) fn write_all_entries(self: &Arc<Self>) -> Result<(), StorageError> {
        self.write_entries(Kind::Index)?;
        self.write_entries(Kind::TimeIndex)
    }

    /// Entries that cannot be written are given up: the index stays sparser.
    fn write_entries(self: &Arc<Self>, kind: Kind) -> Result<(), StorageError> {
        let size = if kind == Kind::Index { index::OFFSET_BYTES } else { index::TIME_BYTES };
        // Held during the write: whoever opens the file meanwhile must find it complete.
        let mut unwritten = self.unwritten.lock();
        let Some((bytes, counter)) = unwritten.of(kind).zip(self.counter(kind)) else { return Ok(()) };
        if bytes.is_empty() {
            return Ok(());
        }
        let count = bytes.len() as u64 / size;
        let position = (u64::from(counter.load(Ordering::Acquire)) - count) * size;
        let written = self
            .open_file(kind)
            .and_then(|file| file.write_all_at(bytes, position).map_err(|e| self.io_error("write", kind, e)));
        if written.is_err() {
            counter.fetch_sub(count as u32, Ordering::AcqRel);
        }
        bytes.clear();
        written
    }

    /// The length of a file with all entries that were added to it, without opening it; `None` if it is not there.
    fn written_len(self: &Arc<Self>, kind: Kind) -> Result<Option<u64>, StorageError> {
        self.write_entries(kind)?;
        let found = match self.slot(kind).get() {
            Some(file) => file.metadata(),
            None => std::fs::metadata(self.path(kind)),
        };
        match found {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.io_error("stat", kind, error)),
        }
    }

    /// Cuts both index files to these numbers of entries.
    pub(crate) fn truncate_indexes(self: &Arc<Self>, index: u32, time: u32) -> Result<(), StorageError> {
        let sizes = [
            (Kind::Index, u64::from(index) * index::OFFSET_BYTES),
            (Kind::TimeIndex, u64::from(time) * index::TIME_BYTES),
        ];
        for (kind, size) in sizes {
            // Most files are right already after a crash, and a change costs a journal entry.
            if self.written_len(kind)? != Some(size) {
                let truncated = self.file(kind)?.set_len(size);
                truncated.map_err(|e| self.io_error("truncate", kind, e))?;
            }
        }
        self.set_entries(index, time);
        self.forget_largest_timestamp();
        Ok(())
    }

    /// Writes both indexes anew from the batch headers.
    pub(crate) fn rebuild_indexes(self: &Arc<Self>, interval: u32) -> Result<(), StorageError> {
        self.truncate_indexes(0, 0)?;
        let mut builder = IndexBuilder::new(self.base, interval);
        let file = self.file(Kind::Log)?;
        let mut scanner = Scanner::new(&file, 0, self.size(), ReadMode::MayBlock);
        while let Step::Batch { position, meta } = scanner.step().map_err(|e| self.io_error("read", Kind::Log, e))? {
            builder.add(position, &meta);
        }
        // Which segment is active is not known here; the closing entry does no harm in the active one.
        builder.write(self, false)
    }
}

/// Collects the entries that a walk over whole batches gives, by Kafka's rule: one before each batch that starts more
/// than `interval` bytes after the last one that got an entry (or after the start).
pub(crate) struct IndexBuilder {
    base: i64,
    interval: u64,
    last_entry_at: u64,
    index: Vec<u8>,
    times: Vec<u8>,
    last_time: i64,
    /// Largest timestamp so far and the last offset of the first batch that has it.
    pub(crate) max_timestamp: (i64, i64),
}

impl IndexBuilder {
    pub(crate) fn new(base: i64, interval: u32) -> Self {
        Self::resume(base, interval, 0, (-1, base))
    }

    /// Goes on after the entry that points to `position`, with the last time entry there was.
    pub(crate) fn resume(base: i64, interval: u32, position: u64, last_time: (i64, i64)) -> Self {
        Self {
            base,
            interval: u64::from(interval),
            last_entry_at: position,
            index: Vec::new(),
            times: Vec::new(),
            last_time: last_time.0,
            max_timestamp: last_time,
        }
    }

    pub(crate) fn add(&mut self, position: u64, meta: &BatchMeta) {
        if self.max_timestamp.0 < meta.max_timestamp {
            self.max_timestamp = (meta.max_timestamp, meta.last);
        }
        if self.interval < position - self.last_entry_at {
            let entry = IndexEntry { relative: (meta.last - self.base) as u32, position: position as u32 };
            self.index.extend_from_slice(&entry.to_bytes());
            self.add_time();
            self.last_entry_at = position;
        }
    }

    fn add_time(&mut self) {
        let (timestamp, offset) = self.max_timestamp;
        if self.last_time < timestamp {
            let entry = TimeEntry { timestamp, relative: (offset - self.base) as u32 };
            self.times.extend_from_slice(&entry.to_bytes());
            self.last_time = timestamp;
        }
    }

    /// Appends the collected entries to the segment's index files. The closing time entry is left out of the active
    /// segment's index: appends go on, and start from the largest timestamp in the batches.
    pub(crate) fn write(mut self, segment: &Arc<Segment>, is_active: bool) -> Result<(), StorageError> {
        if !is_active {
            self.add_time();
        }
        let index = segment.index_entries(ReadMode::MayBlock)?;
        let times = segment.time_entries(ReadMode::MayBlock)?;
        for (kind, bytes, at) in [
            (Kind::Index, &self.index, u64::from(index) * index::OFFSET_BYTES),
            (Kind::TimeIndex, &self.times, u64::from(times) * index::TIME_BYTES),
        ] {
            if !bytes.is_empty() {
                segment.file(kind)?.write_all_at(bytes, at).map_err(|e| segment.io_error("write", kind, e))?;
            }
        }
        let added = |bytes: &[u8], size: u64| (bytes.len() as u64 / size) as u32;
        segment.set_entries(
            index + added(&self.index, index::OFFSET_BYTES),
            times + added(&self.times, index::TIME_BYTES),
        );
        segment.forget_largest_timestamp();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_of_what_was_verified_is_remembered() {
        let unverified = Unverified::new(1000);
        assert!(unverified.has(0, 10) && unverified.has(990, 2000));
        assert!(!unverified.has(1000, 2000), "this process wrote it");
        unverified.verified(100, 200);
        unverified.verified(200, 300);
        unverified.verified(50, 100);
        assert!(
            !unverified.has(50, 300) && !unverified.has(60, 70) && unverified.has(40, 60) && unverified.has(250, 301)
        );
        // Elsewhere: the new run is the one that counts.
        unverified.verified(600, 1500);
        assert!(!unverified.has(600, 1000) && !unverified.has(700, 5000) && unverified.has(50, 300));
        unverified.cut_to(500);
        assert!(!unverified.has(500, 600) && unverified.has(400, 600));
    }
}
