//! One node of the tree.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::types::{AclList, Owner, Stat};

/// A node's own part: everything but its children, which follow from the other nodes' paths.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeRecord {
    /// `None` and empty are different answers to a client.
    pub data: Option<Bytes>,
    pub acl: AclList,
    pub czxid: i64,
    pub mzxid: i64,
    /// The last change of the list of children.
    pub pzxid: i64,
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    /// How many children were ever created. Clients see `2 * cversion - children`: each deletion counts too.
    pub cversion: i32,
    pub aversion: i32,
    /// As in `Owner::to_raw`.
    pub owner: i64,
}

impl NodeRecord {
    pub fn new(data: Option<Bytes>, acl: AclList, owner: Owner, zxid: i64, time_ms: i64) -> Self {
        Self {
            data,
            acl,
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time_ms,
            mtime: time_ms,
            version: 0,
            cversion: 0,
            aversion: 0,
            owner: owner.to_raw(),
        }
    }

    pub fn data_len(&self) -> usize {
        self.data.as_ref().map_or(0, Bytes::len)
    }
}

/// A node in its tree.
#[derive(Clone, Debug)]
pub struct Node {
    pub record: NodeRecord,
    /// Sorted, so that a replay lists them in the same order.
    children: BTreeSet<Box<str>>,
}

impl Node {
    pub fn new(record: NodeRecord) -> Self {
        Self { record, children: BTreeSet::new() }
    }

    pub fn children(&self) -> impl Iterator<Item = &str> {
        self.children.iter().map(AsRef::as_ref)
    }

    pub fn child_count(&self) -> usize {
        self.children.len()
    }

    pub fn add_child(&mut self, name: &str) {
        self.children.insert(name.into());
    }

    pub fn remove_child(&mut self, name: &str) {
        self.children.remove(name);
    }

    /// The statistics as clients see them.
    pub fn stat(&self) -> Stat {
        let record = &self.record;
        let children = i32::try_from(self.child_count()).unwrap_or(i32::MAX);
        Stat {
            czxid: record.czxid,
            mzxid: record.mzxid,
            ctime: record.ctime,
            mtime: record.mtime,
            version: record.version,
            cversion: record.cversion.wrapping_mul(2).wrapping_sub(children),
            aversion: record.aversion,
            ephemeral_owner: match Owner::from_raw(record.owner) {
                Owner::Session(session) => session.0,
                Owner::None | Owner::Container | Owner::Ttl { .. } => 0,
            },
            data_length: i32::try_from(record.data_len()).unwrap_or(i32::MAX),
            num_children: children,
            pzxid: record.pzxid,
        }
    }
}
