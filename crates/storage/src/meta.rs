//! `meta.properties` and `partition.metadata`.

use std::path::Path;

use whimbrel_model::Uuid;

use crate::error::StorageError;
use crate::files::small;
use crate::names;

/// What `meta.properties` (version 0, the ZooKeeper mode's) says about a log directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetaProperties {
    pub cluster_id: Option<String>,
    pub broker_id: Option<i32>,
    /// Other keys, kept as they are when the file is written again.
    pub other: Vec<(String, String)>,
}

impl MetaProperties {
    /// Parses Java properties as Kafka writes them.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let mut meta = Self::default();
        let mut version = None;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '!'])) {
            let (key, value) = line.split_once(['=', ':']).ok_or("a line is no property")?;
            match (key.trim(), value.trim()) {
                ("version", value) => version = Some(value.to_owned()),
                ("cluster.id", value) => meta.cluster_id = Some(value.to_owned()),
                ("broker.id", value) => meta.broker_id = Some(value.parse().map_err(|_| "the broker id is no number")?),
                (key, value) => meta.other.push((key.to_owned(), value.to_owned())),
            }
        }
        match version.as_deref() {
            Some("0") => Ok(meta),
            // Version 1 is KRaft's: its directories are not ours to use.
            Some("1") => Err("the directory belongs to a KRaft broker"),
            _ => Err("the version is not 0"),
        }
    }

    fn format(&self) -> String {
        let mut text = String::from("#\n");
        for (key, value) in &self.other {
            text.push_str(&format!("{key}={value}\n"));
        }
        if let Some(id) = &self.cluster_id {
            text.push_str(&format!("cluster.id={id}\n"));
        }
        if let Some(id) = self.broker_id {
            text.push_str(&format!("broker.id={id}\n"));
        }
        text + "version=0\n"
    }
}

/// Reads a log directory's `meta.properties`; `None` in a new directory.
///
/// # Errors
/// `Damaged` if it is not version 0.
pub fn read_meta_properties(dir: &Path) -> Result<Option<MetaProperties>, StorageError> {
    let path = dir.join(names::META_PROPERTIES);
    let content = small::read_if_present(&path).map_err(|e| StorageError::io("read", &path, e))?;
    let Some(content) = content else { return Ok(None) };
    let parsed = std::str::from_utf8(&content).map_err(|_| "not text").and_then(MetaProperties::parse);
    parsed.map(Some).map_err(|what| StorageError::Damaged { path, position: 0, what })
}

/// Durably replaces a log directory's `meta.properties`.
///
/// # Errors
/// The file cannot be written.
pub fn write_meta_properties(dir: &Path, meta: &MetaProperties) -> Result<(), StorageError> {
    small::replace(dir, names::META_PROPERTIES, meta.format().as_bytes())
        .map_err(|e| StorageError::io("write", &dir.join(names::META_PROPERTIES), e))
}

/// The topic id in a partition's `partition.metadata`; `None` without the file (a topic older than topic ids).
pub(crate) fn read_partition_metadata(dir: &Path) -> Result<Option<Uuid>, StorageError> {
    let path = dir.join(names::PARTITION_METADATA);
    let content = small::read_if_present(&path).map_err(|e| StorageError::io("read", &path, e))?;
    let Some(content) = content else { return Ok(None) };
    let damaged = |what| StorageError::Damaged { path: path.clone(), position: 0, what };
    let text = std::str::from_utf8(&content).map_err(|_| damaged("not text"))?;
    let mut lines = text.lines();
    if lines.next().map(str::trim) != Some("version: 0") {
        return Err(damaged("the version is not 0"));
    }
    let id =
        lines.next().and_then(|line| line.trim().strip_prefix("topic_id: ")).and_then(|id| id.parse::<Uuid>().ok());
    match id {
        Some(id) if !id.is_zero() => Ok(Some(id)),
        _ => Err(damaged("the topic id is not readable")),
    }
}

/// No trailing newline: Kafka's writer leaves none.
///
/// Not synced by itself: it is written with the partition's directory, and found missing it is written again.
pub(crate) fn write_partition_metadata(dir: &Path, id: Uuid) -> Result<(), StorageError> {
    small::replace_unsynced(dir, names::PARTITION_METADATA, format!("version: 0\ntopic_id: {id}").as_bytes())
        .map_err(|e| StorageError::io("write", &dir.join(names::PARTITION_METADATA), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_properties_round_trip_with_unknown_keys() {
        let text = "#\n#Tue Oct 22 10:00:00 UTC 2024\ncluster.id=AAAA-bb\ndirectory.id=x\nbroker.id=3\nversion=0\n";
        let meta = MetaProperties::parse(text).expect("parsed");
        assert_eq!((meta.cluster_id.as_deref(), meta.broker_id), (Some("AAAA-bb"), Some(3)));
        assert_eq!(MetaProperties::parse(&meta.format()), Ok(meta));
    }

    #[test]
    fn a_kraft_directory_is_refused() {
        assert!(MetaProperties::parse("version=1\nnode.id=1\n").is_err());
        assert!(MetaProperties::parse("broker.id=1\n").is_err());
        assert!(MetaProperties::parse("version=0\nbroker.id=x\n").is_err());
    }

    #[test]
    fn partition_metadata_is_kafkas_text() {
        let dir = tempfile::tempdir().expect("a directory");
        let id = Uuid([7; 16]);
        assert_eq!(read_partition_metadata(dir.path()).expect("read"), None);
        write_partition_metadata(dir.path(), id).expect("written");
        assert_eq!(read_partition_metadata(dir.path()).expect("read"), Some(id));
        let text = std::fs::read_to_string(dir.path().join("partition.metadata")).expect("text");
        assert_eq!(text, format!("version: 0\ntopic_id: {id}"));
        std::fs::write(dir.path().join("partition.metadata"), "version: 0\ntopic_id: AAAA").expect("written");
        assert!(read_partition_metadata(dir.path()).is_err());
    }
}
