//! The znode tree: a deterministic state machine.
//!
//! `apply` is the only way to change it. It has no clock, no randomness and does no I/O: time, transaction ids and
//! session ids come in with each transaction. The same transactions, in the same order, give the same tree, so the
//! machine can sit behind a store today and behind a consensus library later.
//!
//! ```text
//!   Txn ──prepare (reads the tree, refuses or decides)──▶ changes ──carry out (cannot fail)──▶ result + events
//! ```
//!
//! Invariants: every node but the root has its parent in the tree; a node lists exactly those children whose paths
//! are in the tree; a session's list of ephemerals is exactly the nodes that it owns; an ephemeral has no children.

mod acl;
mod node;
pub mod path;
mod prepare;
mod quota;
#[cfg(test)]
mod tests;
mod types;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

pub use acl::{check as check_acl, masked as masked_acl};
pub use node::{Node, NodeRecord};
pub use prepare::flags_are_known;
pub use types::{
    Acl, AclList, CreateKind, ErrorCode, Event, EventKind, Id, Op, OpResult, Owner, PASSWORD_BYTES, SessionId, Stat,
    Txn, TxnOp, TxnResult, perms,
};

use prepare::{Change, Preparation};

const ROOT: &str = "/";
const CONFIG: &str = "/zookeeper/config";

type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// A session as the tree knows it. When it was last heard of is not part of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    pub timeout_ms: i32,
    pub password: [u8; PASSWORD_BYTES],
}

/// What a transaction came to, and what watches may want to know of it.
#[derive(Debug)]
pub struct Applied {
    /// An error means that nothing was changed.
    pub result: Result<TxnResult, ErrorCode>,
    pub events: Vec<Event>,
}

/// Everything that differs from the state at the last call of `take_changes`: what a store must write.
#[derive(Debug, Default)]
pub struct ChangeSet {
    /// `None` is a node that is gone.
    pub nodes: Vec<(Arc<str>, Option<NodeRecord>)>,
    pub sessions: Vec<(SessionId, Option<SessionRecord>)>,
}

/// The tree, the sessions, and the indexes over both.
#[derive(Debug)]
pub struct Tree {
    nodes: FastMap<Arc<str>, Node>,
    sessions: BTreeMap<SessionId, SessionRecord>,
    ephemerals: BTreeMap<SessionId, BTreeSet<Arc<str>>>,
    /// Containers and nodes with a time to live: those that are removed when they are empty.
    reapable: BTreeSet<Arc<str>>,
    quotas: quota::Quotas,
    /// Nodes and sessions that differ from what the store has.
    dirty_nodes: BTreeSet<Arc<str>>,
    dirty_sessions: BTreeSet<SessionId>,
    /// The last transaction that changed something.
    zxid: i64,
    data_bytes: usize,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// A tree as a new server has it: the root and ZooKeeper's own nodes, all marked as changed.
    pub fn new() -> Self {
        let mut tree = Self::empty();
        let open: AclList = Arc::new([Acl { perms: perms::ALL, id: Id::new("world", "anyone") }]);
        let read: AclList = Arc::new([Acl { perms: perms::READ, id: Id::new("world", "anyone") }]);
        for path in [ROOT, "/zookeeper", quota::ROOT, CONFIG] {
            let acl = if path == CONFIG { &read } else { &open };
            let mut record = NodeRecord::new(Some(Bytes::new()), Arc::clone(acl), Owner::None, 0, 0);
            if path == CONFIG {
                record.aversion = -1;
            }
            tree.insert(path.into(), record);
            tree.dirty_nodes.insert(path.into());
        }
        tree
    }

    fn empty() -> Self {
        Self {
            nodes: FastMap::default(),
            sessions: BTreeMap::new(),
            ephemerals: BTreeMap::new(),
            reapable: BTreeSet::new(),
            quotas: quota::Quotas::default(),
            dirty_nodes: BTreeSet::new(),
            dirty_sessions: BTreeSet::new(),
            zxid: 0,
            data_bytes: 0,
        }
    }

    /// A tree from what a store holds. Parents must come before their children, as sorted paths do.
    ///
    /// # Errors
    /// The path of the first node whose parent is missing.
    pub fn restore(
        nodes: impl IntoIterator<Item = (Arc<str>, NodeRecord)>,
        sessions: impl IntoIterator<Item = (SessionId, SessionRecord)>,
        zxid: i64,
    ) -> Result<Self, Arc<str>> {
        let mut tree = Self::empty();
        for (path, record) in nodes {
            let has_parent = path::parent(&path).is_some_and(|p| tree.nodes.contains_key(path::canonical(p)));
            if &*path != ROOT && !has_parent {
                return Err(path);
            }
            tree.insert(path, record);
        }
        if !tree.nodes.contains_key(ROOT) {
            return Err(ROOT.into());
        }
        tree.sessions = sessions.into_iter().collect();
        tree.zxid = zxid;
        Ok(tree)
    }

    /// Applies one transaction, all of it or, if it is refused, nothing.
    pub fn apply(&mut self, txn: &Txn) -> Applied {
        assert!(self.zxid < txn.zxid, "transaction {:#x} after {:#x}", txn.zxid, self.zxid);
        let mut events = Vec::new();
        let result = match &txn.op {
            TxnOp::CreateSession { timeout_ms, password } => {
                let record = SessionRecord { timeout_ms: *timeout_ms, password: *password };
                self.sessions.insert(txn.session, record);
                self.dirty_sessions.insert(txn.session);
                Ok(TxnResult::Session)
            }
            TxnOp::CloseSession => {
                self.close_session(txn, &mut events);
                Ok(TxnResult::Session)
            }
            TxnOp::Single(op) => Preparation::new(self, txn.session, &txn.auth)
                .prepare(op)
                .map(|change| TxnResult::Single(self.carry_out(change, txn, &mut events))),
            TxnOp::Multi(ops) => Ok(TxnResult::Multi(self.apply_multi(ops, txn, &mut events))),
        };
        if result.is_ok() {
            self.zxid = txn.zxid;
        }
        Applied { result, events }
    }

    /// The node of exactly this path.
    pub fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path::canonical(path))
    }

    /// How many nodes are below `path`, at any depth.
    pub fn descendants(&self, path: &str) -> usize {
        let mut count = 0;
        let mut pending = vec![path::canonical(path).to_owned()];
        while let Some(current) = pending.pop() {
            let Some(node) = self.nodes.get(current.as_str()) else { continue };
            count += node.child_count();
            pending.extend(node.children().map(|child| path::join(&current, child)));
        }
        count
    }

    pub fn session(&self, session: SessionId) -> Option<&SessionRecord> {
        self.sessions.get(&session)
    }

    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, &SessionRecord)> {
        self.sessions.iter().map(|(id, record)| (*id, record))
    }

    /// The nodes that vanish with `session`, sorted.
    pub fn ephemerals(&self, session: SessionId) -> impl Iterator<Item = &Arc<str>> {
        self.ephemerals.get(&session).into_iter().flatten()
    }

    /// Sessions that own nodes, with those nodes.
    pub fn ephemeral_owners(&self) -> impl Iterator<Item = (SessionId, &BTreeSet<Arc<str>>)> {
        self.ephemerals.iter().map(|(id, paths)| (*id, paths))
    }

    /// Containers that are empty but were not always so, and nodes without children whose time to live is over
    /// at `now_ms`.
    pub fn reapable(&self, now_ms: i64) -> Vec<Arc<str>> {
        let is_due = |path: &&Arc<str>| {
            let Some(node) = self.nodes.get(&***path) else { return false };
            if node.child_count() > 0 {
                return false;
            }
            match Owner::from_raw(node.record.owner) {
                // A container that never had a child may be about to get its first.
                Owner::Container => node.record.cversion > 0,
                Owner::Ttl { ttl_ms } => ttl_ms < now_ms.saturating_sub(node.record.mtime),
                Owner::None | Owner::Session(_) => false,
            }
        };
        self.reapable.iter().filter(is_due).cloned().collect()
    }

    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    pub fn ephemeral_count(&self) -> usize {
        self.ephemerals.values().map(BTreeSet::len).sum()
    }

    /// Bytes in paths and data.
    pub fn data_bytes(&self) -> usize {
        self.data_bytes
    }

    /// Whether `take_changes` would give anything.
    pub fn is_dirty(&self) -> bool {
        !self.dirty_nodes.is_empty() || !self.dirty_sessions.is_empty()
    }

    /// What changed since the last call, as it is now.
    pub fn take_changes(&mut self) -> ChangeSet {
        let nodes = std::mem::take(&mut self.dirty_nodes);
        let sessions = std::mem::take(&mut self.dirty_sessions);
        ChangeSet {
            nodes: nodes
                .into_iter()
                .map(|path| {
                    let record = self.nodes.get(&path).map(|node| node.record.clone());
                    (path, record)
                })
                .collect(),
            sessions: sessions.into_iter().map(|id| (id, self.sessions.get(&id).copied())).collect(),
        }
    }

    /// A transaction of several operations. All are judged before any is carried out.
    fn apply_multi(
        &mut self,
        ops: &[Op],
        txn: &Txn,
        events: &mut Vec<Event>,
    ) -> Vec<Result<OpResult, Option<ErrorCode>>> {
        let mut preparation = Preparation::new(self, txn.session, &txn.auth);
        let mut changes = Vec::with_capacity(ops.len());
        for op in ops {
            match preparation.prepare(op) {
                Ok(change) => changes.push(change),
                Err(code) => return refused_multi(ops.len(), changes.len(), code),
            }
        }
        changes.into_iter().map(|change| Ok(self.carry_out(change, txn, events))).collect()
    }

    fn close_session(&mut self, txn: &Txn, events: &mut Vec<Event>) {
        for path in self.ephemerals.remove(&txn.session).unwrap_or_default() {
            self.remove(&path, txn.zxid, events);
        }
        if self.sessions.remove(&txn.session).is_some() {
            self.dirty_sessions.insert(txn.session);
        }
    }

    fn carry_out(&mut self, change: Change, txn: &Txn, events: &mut Vec<Event>) -> OpResult {
        match change {
            Change::Create { kind, path, data, acl, owner, parent_cversion } => {
                let record = NodeRecord::new(data, acl, owner, txn.zxid, txn.time_ms);
                let stat = self.create(&path, record, parent_cversion, events);
                OpResult::Created { kind, path, stat }
            }
            Change::Delete { path } => {
                self.remove(&path, txn.zxid, events);
                OpResult::Deleted
            }
            Change::SetData { path, data, version } => {
                OpResult::DataSet { stat: self.set_data(&path, data, version, txn, events) }
            }
            Change::SetAcl { path, acl, version } => {
                let node = self.nodes.get_mut(path.as_str()).expect("a prepared change names a node that exists");
                node.record.acl = acl;
                node.record.aversion = version;
                let stat = node.stat();
                self.dirty_nodes.insert(path.into());
                OpResult::AclSet { stat }
            }
            Change::Check => OpResult::Checked,
        }
    }

    fn create(&mut self, path: &str, record: NodeRecord, parent_cversion: i32, events: &mut Vec<Event>) -> Stat {
        let zxid = record.czxid;
        let acl = Arc::clone(&record.acl);
        let bytes = record.data_len() as i64;
        let path: Arc<str> = path.into();
        let parent_path = path::canonical(path::parent(&path).unwrap_or(ROOT));
        let parent = self.nodes.get_mut(parent_path).expect("a prepared creation has a parent");
        let parent_acl = Arc::clone(&parent.record.acl);
        // A replay may meet a parent that is ahead; it never goes back.
        if parent.record.cversion < parent_cversion {
            parent.record.cversion = parent_cversion;
            parent.record.pzxid = zxid;
        }
        self.insert(Arc::clone(&path), record);
        self.dirty_nodes.insert(parent_path.into());
        self.dirty_nodes.insert(Arc::clone(&path));
        let stat = self.nodes.get(&path).map(Node::stat).unwrap_or_default();
        self.quota_created(&path, bytes);
        events.push(Event { kind: EventKind::NodeCreated, path: Arc::clone(&path), zxid, acl });
        let kind = EventKind::NodeChildrenChanged;
        events.push(Event { kind, path: parent_path.into(), zxid, acl: parent_acl });
        stat
    }

    fn set_data(&mut self, path: &str, data: Option<Bytes>, version: i32, txn: &Txn, events: &mut Vec<Event>) -> Stat {
        let node = self.nodes.get_mut(path).expect("a prepared change names a node that exists");
        let before = node.record.data_len();
        node.record.data = data;
        node.record.version = version;
        node.record.mzxid = txn.zxid;
        node.record.mtime = txn.time_ms;
        let after = node.record.data_len();
        let stat = node.stat();
        let acl = Arc::clone(&node.record.acl);
        self.data_bytes = self.data_bytes + after - before;
        let path: Arc<str> = path.into();
        self.dirty_nodes.insert(Arc::clone(&path));
        self.quota_used(&path, after as i64 - before as i64, 0);
        events.push(Event { kind: EventKind::NodeDataChanged, path, zxid: txn.zxid, acl });
        stat
    }

    fn remove(&mut self, path: &str, zxid: i64, events: &mut Vec<Event>) {
        let Some((path, node)) = self.nodes.remove_entry(path) else { return };
        self.data_bytes -= path.len() + node.record.data_len();
        match Owner::from_raw(node.record.owner) {
            Owner::Session(session) => {
                if let Some(owned) = self.ephemerals.get_mut(&session) {
                    owned.remove(&path);
                    if owned.is_empty() {
                        self.ephemerals.remove(&session);
                    }
                }
            }
            Owner::Container | Owner::Ttl { .. } => {
                self.reapable.remove(&path);
            }
            Owner::None => {}
        }
        self.dirty_nodes.insert(Arc::clone(&path));
        events.push(Event {
            kind: EventKind::NodeDeleted,
            path: Arc::clone(&path),
            zxid,
            acl: node.record.acl.clone(),
        });
        let parent_path = path::canonical(path::parent(&path).unwrap_or(ROOT));
        if let Some(parent) = self.nodes.get_mut(parent_path) {
            parent.remove_child(path::name(&path));
            parent.record.pzxid = parent.record.pzxid.max(zxid);
            let acl = Arc::clone(&parent.record.acl);
            self.dirty_nodes.insert(parent_path.into());
            events.push(Event { kind: EventKind::NodeChildrenChanged, path: parent_path.into(), zxid, acl });
        }
        self.quota_deleted(&path, node.record.data_len() as i64);
    }

    /// Puts a node in place, with its parent's list of children and the indexes.
    fn insert(&mut self, path: Arc<str>, record: NodeRecord) {
        if &*path != ROOT {
            let parent_path = path::canonical(path::parent(&path).unwrap_or(ROOT));
            if let Some(parent) = self.nodes.get_mut(parent_path) {
                parent.add_child(path::name(&path));
            }
        }
        match Owner::from_raw(record.owner) {
            Owner::Session(session) => {
                self.ephemerals.entry(session).or_default().insert(Arc::clone(&path));
            }
            Owner::Container | Owner::Ttl { .. } => {
                self.reapable.insert(Arc::clone(&path));
            }
            Owner::None => {}
        }
        if let Some(limited) = quota::limited_by(&path) {
            self.quotas.add(limited);
        }
        self.data_bytes += path.len() + record.data_len();
        self.nodes.insert(path, Node::new(record));
    }
}

/// The answer to a transaction whose operation `failed` was refused: those before it are fine in themselves, those
/// after it were not looked at.
fn refused_multi(count: usize, failed: usize, code: ErrorCode) -> Vec<Result<OpResult, Option<ErrorCode>>> {
    (0..count)
        .map(|index| match index.cmp(&failed) {
            std::cmp::Ordering::Less => Err(None),
            std::cmp::Ordering::Equal => Err(Some(code)),
            std::cmp::Ordering::Greater => Err(Some(ErrorCode::RuntimeInconsistency)),
        })
        .collect()
}
