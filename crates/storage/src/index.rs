//! Entries of the offset and time indexes (`OffsetIndex`, `TimeIndex`), and look-ups in their files.
//!
//! Files are read with positioned reads. An index that Kafka left preallocated is padded with zero entries at its end;
//! no real entry is all zeros, because the first one is written only after `index.interval.bytes` of data (offset index)
//! or carries a timestamp above -1 (time index).

use std::fs::File;
use std::io;

use crate::files::read::{ReadMode, read_exact_at};

/// Size of an entry of the offset index.
pub(crate) const OFFSET_BYTES: u64 = 8;
/// Size of an entry of the time index.
pub(crate) const TIME_BYTES: u64 = 12;

/// Entries are compared in blocks of this many bytes: one read instead of ten.
const BLOCK_BYTES: usize = 4080;
const _: () =
    assert!(BLOCK_BYTES.is_multiple_of(OFFSET_BYTES as usize) && BLOCK_BYTES.is_multiple_of(TIME_BYTES as usize));

/// An index entry as it lies in the file.
pub(crate) trait Entry: Sized + Copy {
    const SIZE: usize;
    /// `bytes` has `SIZE` bytes; `None` otherwise.
    fn parse(bytes: &[u8]) -> Option<Self>;
    fn is_padding(&self) -> bool;
    /// Whether an index may hold `next` after `self`.
    fn precedes(&self, next: &Self) -> bool;
    /// Offsets are relative to the base and never negative.
    fn is_sane(&self) -> bool;
}

/// The batch that ends at `base + relative` starts at byte `position`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub relative: u32,
    pub position: u32,
}

/// Up to the record at `base + relative`, no record has a timestamp above `timestamp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub timestamp: i64,
    pub relative: u32,
}

impl IndexEntry {
    pub(crate) fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        let (relative, position) = bytes.split_at_mut(4);
        relative.copy_from_slice(&self.relative.to_be_bytes());
        position.copy_from_slice(&self.position.to_be_bytes());
        bytes
    }
}

impl Entry for IndexEntry {
    const SIZE: usize = OFFSET_BYTES as usize;

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (relative, position) = bytes.split_at_checked(4)?;
        Some(Self {
            relative: u32::from_be_bytes(relative.try_into().ok()?),
            position: u32::from_be_bytes(position.try_into().ok()?),
        })
    }

    fn is_padding(&self) -> bool {
        self.relative == 0 && self.position == 0
    }

    fn precedes(&self, next: &Self) -> bool {
        self.relative < next.relative && self.position < next.position
    }

    fn is_sane(&self) -> bool {
        i32::try_from(self.relative).is_ok() && i32::try_from(self.position).is_ok()
    }
}

impl TimeEntry {
    pub(crate) fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        let (timestamp, relative) = bytes.split_at_mut(8);
        timestamp.copy_from_slice(&self.timestamp.to_be_bytes());
        relative.copy_from_slice(&self.relative.to_be_bytes());
        bytes
    }
}

impl Entry for TimeEntry {
    const SIZE: usize = TIME_BYTES as usize;

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (timestamp, relative) = bytes.split_at_checked(8)?;
        Some(Self {
            timestamp: i64::from_be_bytes(timestamp.try_into().ok()?),
            relative: u32::from_be_bytes(relative.try_into().ok()?),
        })
    }

    fn is_padding(&self) -> bool {
        self.timestamp == 0 && self.relative == 0
    }

    fn precedes(&self, next: &Self) -> bool {
        self.timestamp < next.timestamp && self.relative <= next.relative
    }

    fn is_sane(&self) -> bool {
        0 <= self.timestamp && i32::try_from(self.relative).is_ok()
    }
}

/// Entry number `n`.
pub(crate) fn entry<E: Entry>(file: &File, n: u32, mode: ReadMode) -> io::Result<E> {
    let mut bytes = [0; TIME_BYTES as usize];
    let bytes = bytes.get_mut(..E::SIZE).unwrap_or_default();
    read_exact_at(file, bytes, u64::from(n) * E::SIZE as u64, mode)?;
    E::parse(bytes).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// The number of entries before the padding, and the last of them. `None` if the file cannot be an index.
pub(crate) fn count<E: Entry>(file: &File, mode: ReadMode) -> io::Result<Option<(u32, Option<E>)>> {
    let size = file.metadata()?.len();
    if size % E::SIZE as u64 != 0 {
        return Ok(None);
    }
    let Ok(slots) = u32::try_from(size / E::SIZE as u64) else { return Ok(None) };
    let Some(last) = slots.checked_sub(1) else { return Ok(Some((0, None))) };
    let entries = if entry::<E>(file, last, mode)?.is_padding() {
        floor::<E, _>(file, slots, mode, |entry| !entry.is_padding())?.map_or(0, |(n, _)| n + 1)
    } else {
        slots
    };
    let Some(last) = entries.checked_sub(1) else { return Ok(Some((0, None))) };
    let last = entry::<E>(file, last, mode)?;
    Ok(last.is_sane().then_some((entries, Some(last))))
}

/// The last of the first `entries` entries for which `holds` is true; it must be true for a prefix of them.
pub(crate) fn floor<E: Entry, F: Fn(&E) -> bool>(
    file: &File,
    entries: u32,
    mode: ReadMode,
    holds: F,
) -> io::Result<Option<(u32, E)>> {
    let block = (BLOCK_BYTES / E::SIZE) as u32;
    // Invariant: `holds` is true for every entry before `low` and false from `high` on.
    let (mut low, mut high) = (0, entries);
    // Most look-ups are near the end: try the last block first, it is the one in the page cache.
    let mut probe = entries.saturating_sub(block);
    while block < high - low {
        if holds(&entry::<E>(file, probe, mode)?) {
            low = probe + 1;
        } else {
            high = probe;
        }
        probe = low + (high - low) / 2;
    }
    let first = low.saturating_sub(1);
    let mut bytes = [0; BLOCK_BYTES + TIME_BYTES as usize];
    let bytes = bytes.get_mut(..(high - first) as usize * E::SIZE).unwrap_or_default();
    read_exact_at(file, bytes, u64::from(first) * E::SIZE as u64, mode)?;
    let mut found = None;
    for (n, bytes) in (first..).zip(bytes.chunks_exact(E::SIZE)) {
        match E::parse(bytes) {
            Some(entry) if holds(&entry) => found = Some((n, entry)),
            _ => break,
        }
    }
    Ok(found)
}

/// Reads the first `entries` entries and tells how many of them are sane and in order. For recovery.
pub(crate) fn ordered_prefix<E: Entry>(file: &File, entries: u32) -> io::Result<Vec<E>> {
    let mut bytes = vec![0; entries as usize * E::SIZE];
    read_exact_at(file, &mut bytes, 0, ReadMode::MayBlock)?;
    let mut ordered: Vec<E> = Vec::with_capacity(entries as usize);
    for bytes in bytes.chunks_exact(E::SIZE) {
        match E::parse(bytes) {
            Some(entry) if entry.is_sane() && ordered.last().is_none_or(|last| last.precedes(&entry)) => {
                ordered.push(entry);
            }
            _ => break,
        }
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(entries: &[IndexEntry], padding: usize) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        for entry in entries {
            file.write_all(&entry.to_bytes()).expect("written");
        }
        file.write_all(&vec![0; padding * 8]).expect("written");
        file
    }

    fn entries(count: u32) -> Vec<IndexEntry> {
        (1..=count).map(|i| IndexEntry { relative: i * 10, position: i * 5000 }).collect()
    }

    #[test]
    fn padding_is_not_counted() {
        for count in [0, 1, 7, 509, 510, 511, 2000] {
            for padding in [0, 1, 600, 3000] {
                let (found, last) = super::count::<IndexEntry>(&file(&entries(count), padding), ReadMode::MayBlock)
                    .expect("read")
                    .expect("an index");
                assert_eq!((found, last), (count, entries(count).last().copied()), "{count} + {padding}");
            }
        }
    }

    #[test]
    fn floor_agrees_with_a_linear_search() {
        for count in [1, 2, 509, 510, 511, 1021, 3000] {
            let all = entries(count);
            let file = file(&all, 0);
            for target in [0, 9, 10, 11, 5095, 5100, 5105, count * 10 - 1, count * 10, count * 10 + 5] {
                let found =
                    floor::<IndexEntry, _>(&file, count, ReadMode::MayBlock, |e| e.relative <= target).expect("read");
                let expected = all.iter().rposition(|e| e.relative <= target);
                assert_eq!(found.map(|(n, _)| n as usize), expected, "{count} entries, target {target}");
            }
        }
    }

    #[test]
    fn a_size_that_is_no_multiple_is_not_an_index() {
        let mut file = file(&entries(2), 0);
        file.write_all(&[1]).expect("written");
        assert_eq!(count::<IndexEntry>(&file, ReadMode::MayBlock).expect("read"), None);
    }

    #[test]
    fn disorder_ends_the_trusted_prefix() {
        let mut all = entries(5);
        all[3].relative = 1;
        assert_eq!(ordered_prefix::<IndexEntry>(&file(&all, 0), 5).expect("read"), all[..3]);
    }
}
