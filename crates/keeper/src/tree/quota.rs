//! Quota nodes: the usage of a subtree, kept in a node that clients read.
//!
//! A client asks for it by creating `/zookeeper/quota<path>/zookeeper_limits` and `…/zookeeper_stats`; from then on
//! the statistics node holds the count and bytes of `<path>` and everything below it (`DataTree`, `StatsTrack`).
//! As in ZooKeeper by default, limits are not enforced.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::{Tree, path};

pub(super) const ROOT: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// The paths that have a limit.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    paths: BTreeSet<Box<str>>,
}

impl Quotas {
    pub(super) fn add(&mut self, limited: &str) {
        self.paths.insert(limited.into());
    }

    /// The nearest limited path at or above `path`.
    fn covering<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.paths.is_empty() {
            return None;
        }
        path::with_ancestors(path).find(|candidate| *candidate != "/" && self.paths.contains(*candidate))
    }
}

/// The path that a limits node is about.
pub(super) fn limited_by(path: &str) -> Option<&str> {
    quota_parent(path, LIMITS)
}

fn quota_parent<'a>(path: &'a str, leaf: &str) -> Option<&'a str> {
    path.strip_prefix(ROOT)?.strip_suffix(leaf)?.strip_suffix('/').filter(|limited| !limited.is_empty())
}

fn stats_path(limited: &str) -> String {
    format!("{ROOT}{limited}/{STATS}")
}

impl Tree {
    pub(super) fn quota_created(&mut self, created: &str, bytes: i64) {
        if let Some(counted) = quota_parent(created, STATS) {
            let (count, bytes) = self.usage(counted);
            self.write_usage(counted, count, bytes);
        }
        self.quota_used(created, bytes, 1);
    }

    pub(super) fn quota_deleted(&mut self, deleted: &str, bytes: i64) {
        if let Some(limited) = limited_by(deleted) {
            self.quotas.paths.remove(limited);
        }
        self.quota_used(deleted, -bytes, -1);
    }

    /// Notes that the usage at `path` grew.
    pub(super) fn quota_used(&mut self, path: &str, bytes: i64, count: i64) {
        let Some(limited) = self.quotas.covering(path) else { return };
        let Some(node) = self.node(&stats_path(limited)) else { return };
        let (old_count, old_bytes) = parse_usage(node.record.data.as_deref().unwrap_or_default());
        self.write_usage(limited, old_count.saturating_add(count), old_bytes.saturating_add(bytes));
    }

    /// Nodes and bytes at and below `path`.
    fn usage(&self, path: &str) -> (i64, i64) {
        let mut total = (0, 0);
        let mut pending = vec![path.to_owned()];
        while let Some(current) = pending.pop() {
            let Some(node) = self.node(&current) else { continue };
            total.0 += 1;
            total.1 += node.record.data_len() as i64;
            pending.extend(node.children().map(|child| path::join(&current, child)));
        }
        total
    }

    /// The version and times of the node stay: nobody wrote it.
    fn write_usage(&mut self, limited: &str, count: i64, bytes: i64) {
        let path: Arc<str> = stats_path(limited).into();
        let Some(node) = self.nodes.get_mut(&path) else { return };
        let before = node.record.data_len();
        node.record.data = Some(Bytes::from(format!("count={count},bytes={bytes}")));
        self.data_bytes = self.data_bytes + node.record.data_len() - before;
        self.dirty_nodes.insert(path);
    }
}

/// `count=3,bytes=20`; what is missing is -1, as ZooKeeper has it.
fn parse_usage(data: &[u8]) -> (i64, i64) {
    let text = String::from_utf8_lossy(data);
    let value = |key: &str| {
        text.split([',', ';'])
            .filter_map(|pair| pair.split_once('='))
            .find(|(name, _)| *name == key)
            .and_then(|(_, value)| value.trim_end_matches('=').parse().ok())
            .unwrap_or(-1)
    };
    (value("count"), value("bytes"))
}
