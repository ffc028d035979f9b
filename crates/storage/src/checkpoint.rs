//! Text checkpoints: one offset per partition (`OffsetCheckpointFile`), and the leader epochs of one partition
//! (`LeaderEpochCheckpointFile`). Line 1 is the version 0, line 2 the number of entries, then one entry per line.

use std::fmt::Write as _;
use std::path::Path;

use foldhash::{HashMap, HashMapExt};
use whimbrel_model::{LeaderEpoch, Offset, TopicPartition};

use crate::epochs::EpochEntry;
use crate::error::StorageError;
use crate::files::small;

const VERSION: &str = "0";

/// Why a checkpoint's text is not Kafka's; the text names the line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Malformed {
    line: usize,
    what: &'static str,
}

/// Calls `entry` with each line after the two header lines, checking version and count.
fn parse_lines<'a>(
    text: &'a str,
    mut entry: impl FnMut(&mut dyn Iterator<Item = &'a str>) -> Option<()>,
) -> Result<(), Malformed> {
    // Kafka creates the file empty, before it has anything to write.
    if text.is_empty() {
        return Ok(());
    }
    let mut lines = text.lines();
    if lines.next().map(str::trim) != Some(VERSION) {
        return Err(Malformed { line: 1, what: "the version is not 0" });
    }
    let count = lines.next().and_then(|line| line.trim().parse::<usize>().ok());
    let count = count.ok_or(Malformed { line: 2, what: "the number of entries is missing" })?;
    let mut seen = 0;
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        seen += 1;
        if entry(&mut words).is_none() || words.next().is_some() {
            return Err(Malformed { line: seen + 2, what: "the entry is not readable" });
        }
    }
    if seen != count {
        return Err(Malformed { line: 2, what: "the number of entries is wrong" });
    }
    Ok(())
}

fn read<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, Malformed>) -> Result<Option<T>, StorageError> {
    let content = small::read_if_present(path).map_err(|e| StorageError::io("read", path, e))?;
    let Some(content) = content else { return Ok(None) };
    let text = std::str::from_utf8(&content).map_err(|_| Malformed { line: 1, what: "not text" });
    text.and_then(parse).map(Some).map_err(|e| StorageError::Damaged {
        path: path.to_owned(),
        position: content.split_inclusive(|&b| b == b'\n').take(e.line - 1).map(<[u8]>::len).sum::<usize>() as u64,
        what: e.what,
    })
}

/// Reads one of the four offset checkpoints; no file is an empty checkpoint.
///
/// # Errors
/// [`StorageError::Damaged`] if it is not in Kafka's format.
pub(crate) fn read_offsets(path: &Path) -> Result<HashMap<TopicPartition, Offset>, StorageError> {
    let offsets = read(path, |text| {
        let mut offsets = HashMap::new();
        parse_lines(text, |words| {
            let topic = words.next()?;
            let partition = words.next()?.parse().ok()?;
            let offset = words.next()?.parse().ok()?;
            offsets.insert(TopicPartition::new(topic, partition), Offset(offset));
            Some(())
        })?;
        Ok(offsets)
    })?;
    Ok(offsets.unwrap_or_default())
}

/// Durably replaces an offset checkpoint.
pub(crate) fn write_offsets<'a>(
    dir: &Path,
    name: &str,
    offsets: impl ExactSizeIterator<Item = (&'a TopicPartition, Offset)>,
) -> Result<(), StorageError> {
    let mut text = format!("{VERSION}\n{}\n", offsets.len());
    for (partition, offset) in offsets {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{} {} {offset}", partition.topic, partition.partition);
    }
    small::replace(dir, name, text.as_bytes()).map_err(|e| StorageError::io("write", &dir.join(name), e))
}

/// The epochs in `leader-epoch-checkpoint`, in file order; no file means none.
pub(crate) fn read_epochs(path: &Path) -> Result<Vec<EpochEntry>, StorageError> {
    let entries = read(path, |text| {
        let mut entries = Vec::new();
        parse_lines(text, |words| {
            let epoch = words.next()?.parse().ok()?;
            let start = words.next()?.parse().ok()?;
            entries.push(EpochEntry { epoch: LeaderEpoch(epoch), start: Offset(start) });
            Some(())
        })?;
        Ok(entries)
    })?;
    Ok(entries.unwrap_or_default())
}

/// The text of `leader-epoch-checkpoint`.
pub(crate) fn format_epochs(entries: &[EpochEntry]) -> String {
    let mut text = format!("{VERSION}\n{}\n", entries.len());
    for entry in entries {
        let _ = writeln!(text, "{} {}", entry.epoch, entry.start);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary directory")
    }

    #[test]
    fn offsets_round_trip_in_kafkas_text() {
        let dir = dir();
        let entries = [(TopicPartition::new("a.b", 0), Offset(7)), (TopicPartition::new("c-d", 12), Offset(0))];
        write_offsets(dir.path(), "x", entries.iter().map(|(p, o)| (p, *o))).expect("written");
        let path = dir.path().join("x");
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "0\n2\na.b 0 7\nc-d 12 0\n");
        let read = read_offsets(&path).expect("read");
        assert_eq!(read.len(), 2);
        assert_eq!(read.get(&entries[1].0), Some(&Offset(0)));
    }

    #[test]
    fn a_missing_checkpoint_is_empty() {
        let dir = dir();
        assert!(read_offsets(&dir.path().join("none")).expect("no error").is_empty());
        std::fs::write(dir.path().join("empty"), "").expect("written");
        assert!(read_offsets(&dir.path().join("empty")).expect("no error").is_empty());
    }

    #[test]
    fn damage_is_reported_with_its_place() {
        let dir = dir();
        let path = dir.path().join("x");
        for text in ["1\n0\n", "0\n", "0\nx\n", "0\n2\na 0 1\n", "0\n1\na 0\n", "0\n1\na 0 1 2\n", "0\n1\na b 1\n"] {
            std::fs::write(&path, text).expect("written");
            assert!(matches!(read_offsets(&path), Err(StorageError::Damaged { .. })), "{text:?}");
        }
        std::fs::write(&path, "0\n2\na 0 1\nbad\n").expect("written");
        assert!(matches!(read_offsets(&path), Err(StorageError::Damaged { position: 10, .. })));
    }

    #[test]
    fn epochs_round_trip() {
        let dir = dir();
        let entries = vec![
            EpochEntry { epoch: LeaderEpoch(0), start: Offset(0) },
            EpochEntry { epoch: LeaderEpoch(4), start: Offset(19) },
        ];
        small::replace_unsynced(dir.path(), "e", format_epochs(&entries).as_bytes()).expect("written");
        assert_eq!(read_epochs(&dir.path().join("e")).expect("read"), entries);
    }
}
