//! Recovery of a log that was not closed in order (`LogLoader.recoverLog`, `LogSegment.recover`).
//!
//! Only what lies past the recovery point is in doubt. There every batch's checksum is verified; at the first one that
//! is wrong the log is cut, and what follows is dropped: it was never flushed. Below the recovery point only the chain
//! of headers is followed, from an index entry that is checked against its batch; a chain that breaks there is damage,
//! reported with its place, and nothing is cut.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use whimbrel_model::{LeaderEpoch, Offset};

use super::load::{LoadedFrom, PartitionLoad, Truncated};
use crate::batch::{BatchMeta, checksum_is_right};
use crate::epochs::EpochCache;
use crate::error::StorageError;
use crate::files::read::{ReadMode, read_exact_at};
use crate::files::small;
use crate::index::{self, IndexEntry, TimeEntry};
use crate::names;
use crate::scan::{Scanner, Step};
use crate::segment::{IndexBuilder, Kind, Segment};

/// What depends on who wrote the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Only the active segment may be empty. Another one that is has lost its bytes in a power cut that spared a later
    /// file. Kafka's cleaner leaves empty segments itself.
    ///
    /// A gap between two segments proves nothing: truncations and followers of compacted logs make them.
    pub(super) empty_segments_are_losses: bool,
}

/// Where and why a segment's batches end early.
struct Break {
    position: u64,
    what: &'static str,
}

/// Verifies the segments from the recovery point on and rebuilds their indexes; returns the log end offset.
pub(super) fn recover(
    segments: &mut Vec<Arc<Segment>>,
    epochs: &mut EpochCache,
    from: &LoadedFrom,
    report: &mut PartitionLoad,
    rules: Rules,
) -> Result<i64, StorageError> {
    let recovery_point = from.recovery_point.0;
    let first = segments.partition_point(|segment| segment.base <= recovery_point).saturating_sub(1);
    let mut end = segments.get(first).map_or(0, |segment| segment.base);
    for i in first..segments.len() {
        let Some(segment) = segments.get(i).cloned() else { break };
        let (segment_end, broken) =
            recover_segment(&segment, end.max(segment.base), i + 1 == segments.len(), from, epochs, report)?;
        end = segment_end;
        let is_emptied = rules.empty_segments_are_losses && segment.size() == 0 && recovery_point <= end;
        let is_lost = is_emptied && i + 1 < segments.len();
        let lost = is_lost.then_some(Break { position: 0, what: "the segment is empty, a later one is not" });
        let Some(broken) = broken.or(lost) else { continue };
        let rest = segments.split_off(i + 1);
        let later: u64 = rest.iter().map(|segment| segment.size()).sum();
        report.truncated = Some(Truncated {
            path: segment.path(Kind::Log),
            position: broken.position,
            bytes: segment.size() - broken.position + later,
            offset: Offset(end),
            reason: broken.what,
            is_below_high_watermark: end < from.high_watermark.0,
        });
        segment.cut_to(broken.position)?;
        for segment in rest {
            remove_segment(&segment)?;
        }
        break;
    }
    if end < recovery_point {
        report.missing_below_recovery_point = Some(Offset(end));
    }
    Ok(end)
}

/// Walks one segment; returns the offset after its last good batch and where it breaks, if it does.
fn recover_segment(
    segment: &Arc<Segment>,
    expected: i64,
    is_last: bool,
    from: &LoadedFrom,
    epochs: &mut EpochCache,
    report: &mut PartitionLoad,
) -> Result<(i64, Option<Break>), StorageError> {
    let recovery_point = from.recovery_point.0;
    let interval = from.config.index_interval_bytes;
    let (start, mut builder) = trusted_start(segment, recovery_point, interval)?;
    if segment.size() == 0 {
        // Without opening it: most logs of a broker with many partitions are empty or idle.
        return Ok((expected, None));
    }
    let mut next = expected;
    let mut checked = Vec::new();
    let file = segment.file(Kind::Log)?;
    let mut scanner = Scanner::new(&file, start, segment.size(), ReadMode::MayBlock);
    let broken = loop {
        let (position, meta) = match scanner.step().map_err(|e| segment.io_error("read", Kind::Log, e))? {
            Step::End => break None,
            Step::Broken { position, what } => break Some(Break { position, what }),
            Step::Batch { position, meta } => (position, meta),
        };
        if meta.last < next || !segment.fits(meta.last) {
            break Some(Break { position, what: "the offsets are out of order" });
        }
        if recovery_point <= meta.last {
            checked.resize(meta.size as usize, 0);
            read_exact_at(&file, &mut checked, position, ReadMode::MayBlock)
                .map_err(|e| segment.io_error("read", Kind::Log, e))?;
            if !checksum_is_right(&checked, meta.magic) {
                break Some(Break { position, what: "the checksum is wrong" });
            }
        }
        builder.add(position, &meta);
        note_epoch(epochs, &meta);
        next = meta.last + 1;
    };
    report.scanned_bytes += scanner.position() - start;
    if let Some(broken) = &broken
        && next < recovery_point
    {
        return Err(StorageError::Damaged {
            path: segment.path(Kind::Log),
            position: broken.position,
            what: broken.what,
        });
    }
    builder.write(segment, is_last || broken.is_some())?;
    Ok((next, broken))
}

/// A batch boundary below the recovery point that an index entry leads to, with the indexes cut to what is before it.
/// The start of the segment if there is none that can be trusted.
fn trusted_start(
    segment: &Arc<Segment>,
    recovery_point: i64,
    interval: u32,
) -> Result<(u64, IndexBuilder), StorageError> {
    let kept = if segment.base < recovery_point { trusted_entries(segment, recovery_point)? } else { None };
    let Some((entries, entry)) = kept else {
        segment.truncate_indexes(0, 0)?;
        return Ok((0, IndexBuilder::new(segment.base, interval)));
    };
    let file = segment.file(Kind::TimeIndex)?;
    let read = |e| segment.io_error("read", Kind::TimeIndex, e);
    let times = index::count::<TimeEntry>(&file, ReadMode::MayBlock).map_err(read)?.map_or(0, |(n, _)| n);
    let mut times = index::ordered_prefix::<TimeEntry>(&file, times).map_err(read)?;
    times.truncate(times.partition_point(|time| time.relative <= entry.relative));
    let last =
        times.last().map_or((-1, segment.base), |time| (time.timestamp, segment.base + i64::from(time.relative)));
    segment.truncate_indexes(entries, times.len() as u32)?;
    let position = u64::from(entry.position);
    Ok((position, IndexBuilder::resume(segment.base, interval, position, last)))
}

/// How many index entries may be kept, and the last of them. All of them are in order and the last one is right.
fn trusted_entries(segment: &Arc<Segment>, recovery_point: i64) -> Result<Option<(u32, IndexEntry)>, StorageError> {
    let file = segment.file(Kind::Index)?;
    let read = |e| segment.io_error("read", Kind::Index, e);
    let Some((entries, _)) = index::count::<IndexEntry>(&file, ReadMode::MayBlock).map_err(read)? else {
        return Ok(None);
    };
    let mut entries = index::ordered_prefix::<IndexEntry>(&file, entries).map_err(read)?;
    entries.truncate(entries.partition_point(|entry| segment.base + i64::from(entry.relative) < recovery_point));
    let Some(&last) = entries.last() else { return Ok(None) };
    let log = segment.file(Kind::Log)?;
    let mut scanner = Scanner::new(&log, u64::from(last.position), segment.size(), ReadMode::MayBlock);
    let step = scanner.step().map_err(|e| segment.io_error("read", Kind::Log, e))?;
    let is_right = matches!(step, Step::Batch { meta, .. } if meta.last == segment.base + i64::from(last.relative));
    Ok(is_right.then_some((entries.len() as u32, last)))
}

/// A batch of a later epoch than any known begins it.
pub(super) fn note_epoch(epochs: &mut EpochCache, meta: &BatchMeta) {
    if 0 <= meta.leader_epoch && epochs.latest().is_none_or(|latest| latest.epoch.0 < meta.leader_epoch) {
        epochs.assign(LeaderEpoch(meta.leader_epoch), Offset(meta.base));
    }
}

pub(super) fn remove_segment(segment: &Arc<Segment>) -> Result<(), StorageError> {
    tracing::warn!(path = %segment.path(Kind::Log).display(), "removing a segment");
    for path in Kind::ALL.map(|kind| segment.path(kind)).into_iter().chain([segment.txn_index_path()]) {
        small::remove_if_present(&path).map_err(|e| StorageError::io("remove", &path, e))?;
    }
    Ok(())
}

/// Finishes or undoes what a deletion or a compaction had begun.
///
/// `.deleted` and `.cleaned` files go. A `.swap` file is complete, unless a `.cleaned` file of the same or a lower base
/// shows that its compaction was not: then it goes too. Otherwise it takes its place, and the segments it was made of go.
pub(super) fn settle_leftovers(dir: &Path, leftovers: &[String]) -> Result<(), StorageError> {
    let base = |name: &str| names::parse_file_name(name).map(|(base, _)| base);
    let with = |suffix: &'static str| {
        leftovers.iter().filter(move |name| name.rsplit_once('.').is_some_and(|(_, s)| s == suffix)).map(String::as_str)
    };
    let remove = |name: &str| {
        let path = dir.join(name);
        small::remove_if_present(&path).map_err(|e| StorageError::io("remove", &path, e))
    };
    let lowest_cleaned = with(names::CLEANED).filter_map(base).min();
    let (undone, complete): (Vec<&str>, Vec<&str>) =
        with(names::SWAP).partition(|name| lowest_cleaned.is_some_and(|lowest| base(name).is_none_or(|b| lowest <= b)));
    // The swap files first: without the `.cleaned` ones they would look complete after another crash.
    for name in undone.into_iter().chain(with(names::CLEANED)).chain(with(names::DELETED)) {
        remove(name)?;
    }
    remove_replaced(dir, &complete)?;
    for name in complete {
        let to = dir.join(name.strip_suffix(".swap").unwrap_or(name));
        fs::rename(dir.join(name), &to).map_err(|e| StorageError::io("rename", &to, e))?;
    }
    small::sync_dir(dir).map_err(|e| StorageError::io("sync", dir, e))
}

/// Removes the segments that the complete `.swap` files replace: those within the offsets they cover.
fn remove_replaced(dir: &Path, swaps: &[&str]) -> Result<(), StorageError> {
    let mut covered: Option<(i64, i64)> = None;
    for name in swaps {
        let Some((base, "log.swap")) = names::parse_file_name(name) else { continue };
        let end = swap_end(&dir.join(name), base)?;
        let (low, high) = covered.unwrap_or((base, end));
        covered = Some((low.min(base), high.max(end)));
    }
    let Some((low, high)) = covered else { return Ok(()) };
    for entry in fs::read_dir(dir).map_err(|e| StorageError::io("list", dir, e))? {
        let entry = entry.map_err(|e| StorageError::io("list", dir, e))?;
        let name = entry.file_name();
        let Some((base, rest)) = name.to_str().and_then(names::parse_file_name) else { continue };
        if (low..high).contains(&base) && !rest.ends_with(names::SWAP) {
            let path = entry.path();
            small::remove_if_present(&path).map_err(|e| StorageError::io("remove", &path, e))?;
        }
    }
    Ok(())
}

/// The offset after the last batch of a `.log.swap` file.
fn swap_end(path: &Path, base: i64) -> Result<i64, StorageError> {
    let read = |e| StorageError::io("read", path, e);
    let file = fs::File::open(path).map_err(read)?;
    let size = file.metadata().map_err(read)?.len();
    let mut scanner = Scanner::new(&file, 0, size, ReadMode::MayBlock);
    let mut end = base;
    while let Step::Batch { meta, .. } = scanner.step().map_err(read)? {
        end = meta.last + 1;
    }
    Ok(end)
}
