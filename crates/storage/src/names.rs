//! Names of files and directories in a log directory (`LogFileUtils`, `LocalLog`).

use std::path::{Path, PathBuf};

use whimbrel_model::TopicPartition;

pub(crate) const LOG: &str = "log";
pub(crate) const INDEX: &str = "index";
pub(crate) const TIME_INDEX: &str = "timeindex";
pub(crate) const TXN_INDEX: &str = "txnindex";
pub(crate) const SNAPSHOT: &str = "snapshot";
/// A file that is out of use and goes away after `file.delete.delay.ms`.
pub(crate) const DELETED: &str = "deleted";
/// Output of a compaction that had not finished.
pub(crate) const CLEANED: &str = "cleaned";
/// Output of a compaction that is complete but not yet in its place.
pub(crate) const SWAP: &str = "swap";

pub(crate) const LEADER_EPOCH_CHECKPOINT: &str = "leader-epoch-checkpoint";
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";
pub(crate) const META_PROPERTIES: &str = "meta.properties";
pub(crate) const LOCK: &str = ".lock";
pub(crate) const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
pub(crate) const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
pub(crate) const LOG_STARTS: &str = "log-start-offset-checkpoint";
pub(crate) const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";

const DELETE_DIR: &str = "-delete";
const FUTURE_DIR: &str = "-future";
const STRAY_DIR: &str = "-stray";
const NAME_MAX: usize = 255;
/// A topic's name in a renamed directory may be cut to no less than this: dash, ten digits, dot, 32 digits, suffix.
const DIR_NAME_TOPIC_MAX: usize = NAME_MAX - 1 - 10 - 1 - 32 - DELETE_DIR.len();

/// `00000000000000000042.log` for offset 42.
pub(crate) fn file_name(base: i64, extension: &str) -> String {
    format!("{base:020}.{extension}")
}

pub(crate) fn file_path(dir: &Path, base: i64, extension: &str) -> PathBuf {
    dir.join(file_name(base, extension))
}

/// The base offset and the rest (`log`, `index.swap`, …) of a file that carries an offset in its name.
pub(crate) fn parse_file_name(name: &str) -> Option<(i64, &str)> {
    let (digits, rest) = name.split_once('.')?;
    // Kafka writes 20 digits and takes any number of them.
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, rest))
}

/// What a directory inside a log directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DirKind {
    /// `<topic>-<partition>`.
    Partition(TopicPartition),
    /// `….<id>-delete`: waits to be removed.
    Delete,
    /// `….<id>-future`: the target of a move between log directories.
    Future,
    /// `….<id>-stray`: put aside, for an operator to look at; left alone. The partition that it was.
    Stray(TopicPartition),
    /// Not in Kafka's form; left alone.
    Other,
}

pub(crate) fn parse_dir_name(name: &str) -> DirKind {
    for suffix in [DELETE_DIR, FUTURE_DIR, STRAY_DIR] {
        if let Some(stem) = name.strip_suffix(suffix) {
            // Only `<topic>-<partition>.<id>-delete` is Kafka's; a topic named `x` with partition `delete` is nothing.
            let parsed = stem.rsplit_once('.').and_then(|(partition, _)| parse_partition(partition));
            return match parsed {
                Some(partition) if suffix == STRAY_DIR => DirKind::Stray(partition),
                Some(_) if suffix == FUTURE_DIR => DirKind::Future,
                _ if suffix == DELETE_DIR && stem.contains('.') => DirKind::Delete,
                _ => DirKind::Other,
            };
        }
    }
    parse_partition(name).map_or(DirKind::Other, DirKind::Partition)
}

fn parse_partition(name: &str) -> Option<TopicPartition> {
    let (topic, partition) = name.rsplit_once('-')?;
    let partition: i32 = partition.parse().ok()?;
    (!topic.is_empty() && 0 <= partition).then(|| TopicPartition::new(topic, partition))
}

/// The name that a partition's directory takes while it waits to be removed. `unique` makes it differ from others.
pub(crate) fn delete_dir_name(partition: &TopicPartition, unique: u128) -> String {
    dir_name(partition, unique, DELETE_DIR)
}

/// The name that a partition's directory takes when it is set aside. Kafka serves and removes nothing that is named so.
pub(crate) fn stray_dir_name(partition: &TopicPartition, unique: u128) -> String {
    dir_name(partition, unique, STRAY_DIR)
}

/// Whether a directory that was renamed, and names `found`, may be of `partition`: a long topic's name is cut.
pub(crate) fn may_be_named_for(found: &TopicPartition, partition: &TopicPartition) -> bool {
    let is_cut = DIR_NAME_TOPIC_MAX <= found.topic.len() && partition.topic.starts_with(&*found.topic);
    found.partition == partition.partition && (found.topic == partition.topic || is_cut)
}

fn dir_name(partition: &TopicPartition, unique: u128, state: &str) -> String {
    let suffix = format!("-{}.{unique:032x}{state}", partition.partition);
    let mut keep = partition.topic.len().min(NAME_MAX.saturating_sub(suffix.len()));
    while !partition.topic.is_char_boundary(keep) {
        keep -= 1;
    }
    format!("{}{suffix}", &partition.topic[..keep])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_round_trip() {
        assert_eq!(file_name(42, LOG), "00000000000000000042.log");
        assert_eq!(parse_file_name("00000000000000000042.index.swap"), Some((42, "index.swap")));
        assert_eq!(parse_file_name("leader-epoch-checkpoint"), None);
        assert_eq!(parse_file_name("partition.metadata"), None);
        assert_eq!(parse_file_name(".log"), None);
    }

    #[test]
    fn directories_are_told_apart() {
        let tp = TopicPartition::new("a-b", 3);
        assert_eq!(parse_dir_name("a-b-3"), DirKind::Partition(tp.clone()));
        assert_eq!(parse_dir_name(&delete_dir_name(&tp, 7)), DirKind::Delete);
        assert_eq!(parse_dir_name(&stray_dir_name(&tp, 7)), DirKind::Stray(tp));
        assert_eq!(parse_dir_name("a-b-3.00ff-future"), DirKind::Future);
        assert_eq!(parse_dir_name("lost+found"), DirKind::Other);
        assert_eq!(parse_dir_name("topic-delete"), DirKind::Other);
    }

    #[test]
    fn a_long_topic_name_is_cut_in_the_deletion_name() {
        let tp = TopicPartition::new("t".repeat(249), 100_000);
        assert_eq!(delete_dir_name(&tp, u128::MAX).len(), NAME_MAX);
        let aside = parse_dir_name(&stray_dir_name(&tp, u128::MAX));
        assert!(matches!(aside, DirKind::Stray(found) if found != tp && may_be_named_for(&found, &tp)));
        assert!(!may_be_named_for(&TopicPartition::new("t", 100_000), &tp));
    }
}
