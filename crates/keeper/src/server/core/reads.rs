//! Requests that change nothing but watches.

use std::sync::Arc;

use super::{Core, Now, Output};
use crate::proto::{CreatedWatches, MultiItem, ReadOp, Reply, encode_event};
use crate::tree::{ErrorCode, EventKind, Id, Node, SessionId, Tree, check_acl, masked_acl, perms};
use crate::watch::{WatchMode, WatchSelector, WatcherId};

impl Core {
    /// Registers the watch even if there is no such node: it then fires when the node is created.
    pub(super) fn exists(&mut self, id: WatcherId, auth: &[Id], path: &str, watch: bool) -> Result<Reply, ErrorCode> {
        if path.contains('\0') {
            return Err(ErrorCode::BadArguments);
        }
        if let Some(node) = self.tree.node(path) {
            check_acl(&node.record.acl, perms::READ, auth)?;
        }
        if watch {
            self.watches.add_data(path, id);
        }
        self.tree.node(path).map(|node| Reply::Stat(node.stat())).ok_or(ErrorCode::NoNode)
    }

    pub(super) fn get_data(&mut self, id: WatcherId, auth: &[Id], path: &str, watch: bool) -> Result<Reply, ErrorCode> {
        let node = readable(&self.tree, auth, path)?;
        let reply = Reply::Data { data: node.record.data.clone(), stat: node.stat() };
        if watch {
            self.watches.add_data(path, id);
        }
        Ok(reply)
    }

    pub(super) fn get_children(
        &mut self,
        id: WatcherId,
        auth: &[Id],
        path: &str,
        watch: bool,
    ) -> Result<(Vec<String>, crate::tree::Stat), ErrorCode> {
        let node = readable(&self.tree, auth, path)?;
        let listed = (children(node), node.stat());
        if watch {
            self.watches.add_child(path, id);
        }
        Ok(listed)
    }

    /// Whoever may only read the node sees its digests masked.
    pub(super) fn get_acl(&self, auth: &[Id], path: &str) -> Result<Reply, ErrorCode> {
        let node = self.tree.node(path).ok_or(ErrorCode::NoNode)?;
        let acl = &node.record.acl;
        check_acl(acl, perms::READ | perms::ADMIN, auth)?;
        let stat = node.stat();
        Ok(match check_acl(acl, perms::ADMIN, auth) {
            Ok(()) => Reply::SharedAcl { acl: Arc::clone(acl), stat },
            Err(_) => Reply::Acl { acl: masked_acl(acl), stat },
        })
    }

    pub(super) fn descendants(&self, auth: &[Id], path: &str) -> Result<Reply, ErrorCode> {
        readable(&self.tree, auth, path)?;
        // Under its empty name the root is counted with what is below it.
        let count = self.tree.descendants(path) + usize::from(path.is_empty());
        Ok(Reply::Number(i32::try_from(count).unwrap_or(i32::MAX)))
    }

    pub(super) fn ephemerals(&self, session: SessionId, prefix: Option<&str>) -> Reply {
        // Java's `trim` takes control characters away too.
        let trimmed = |prefix: &str| prefix.trim_matches(|c| c <= ' ').to_owned();
        let prefix = prefix.filter(|prefix| !matches!(trimmed(prefix).as_str(), "" | "/")).unwrap_or_default();
        let owned = self.tree.ephemerals(session).filter(|path| path.starts_with(prefix));
        Reply::Children(owned.map(|path| path.to_string()).collect())
    }

    /// Each entry is answered for itself.
    pub(super) fn multi_read(&self, auth: &[Id], ops: &[ReadOp]) -> Reply {
        let read = |op: &ReadOp| match op {
            ReadOp::GetData(path) => {
                let node = readable(&self.tree, auth, path)?;
                Ok(MultiItem::Data { data: node.record.data.clone(), stat: node.stat() })
            }
            ReadOp::GetChildren(path) => Ok(MultiItem::Children(children(readable(&self.tree, auth, path)?))),
        };
        Reply::Multi(ops.iter().map(|op| read(op).unwrap_or_else(|error| MultiItem::Error(Some(error)))).collect())
    }

    /// The mode numbers of `addWatch`: 0 persistent, 1 persistent and recursive.
    pub(super) fn add_watch(&mut self, id: WatcherId, path: &str, mode: i32) -> Result<Reply, ErrorCode> {
        let mode = match mode {
            0 => WatchMode::Persistent,
            1 => WatchMode::PersistentRecursive,
            _ => return Err(ErrorCode::MarshallingError),
        };
        self.watches.add(path, id, mode);
        Ok(Reply::Done)
    }

    pub(super) fn check_watches(&mut self, id: WatcherId, path: &str, kind: i32) -> Result<Reply, ErrorCode> {
        let selector = WatchSelector::from_wire(kind).ok_or(ErrorCode::MarshallingError)?;
        if self.watches.contains(path, id, selector) { Ok(Reply::Empty) } else { Err(ErrorCode::NoWatcher) }
    }

    pub(super) fn remove_watches(&mut self, id: WatcherId, path: &str, kind: i32) -> Result<Reply, ErrorCode> {
        let selector = WatchSelector::from_wire(kind).ok_or(ErrorCode::MarshallingError)?;
        if self.watches.remove(path, id, selector) { Ok(Reply::Empty) } else { Err(ErrorCode::NoWatcher) }
    }

    /// Puts the watches of a returning client back, or fires those whose event it missed (`DataTree.setWatches`).
    pub(super) fn set_watches(&mut self, id: WatcherId, watches: &CreatedWatches, now: Now) {
        let since = watches.relative_zxid;
        for path in &watches.data {
            match self.tree.node(path).map(|node| node.record.mzxid) {
                None => self.missed(id, EventKind::NodeDeleted, path, now),
                Some(mzxid) if since < mzxid => self.missed(id, EventKind::NodeDataChanged, path, now),
                Some(_) => self.watches.add_data(path, id),
            }
        }
        for path in &watches.exist {
            match self.tree.node(path) {
                Some(_) => self.missed(id, EventKind::NodeCreated, path, now),
                None => self.watches.add_data(path, id),
            }
        }
        for path in &watches.child {
            match self.tree.node(path).map(|node| node.record.pzxid) {
                None => self.missed(id, EventKind::NodeDeleted, path, now),
                Some(pzxid) if since < pzxid => self.missed(id, EventKind::NodeChildrenChanged, path, now),
                Some(_) => self.watches.add_child(path, id),
            }
        }
        for path in &watches.persistent {
            self.watches.add(path, id, WatchMode::Persistent);
        }
        for path in &watches.persistent_recursive {
            self.watches.add(path, id, WatchMode::PersistentRecursive);
        }
    }

    fn missed(&mut self, id: WatcherId, kind: EventKind, path: &str, now: Now) {
        self.emit(id, Output::Frame(encode_event(kind, path, None)), now);
    }
}

fn readable<'a>(tree: &'a Tree, auth: &[Id], path: &str) -> Result<&'a Node, ErrorCode> {
    let node = tree.node(path).ok_or(ErrorCode::NoNode)?;
    check_acl(&node.record.acl, perms::READ, auth)?;
    Ok(node)
}

fn children(node: &Node) -> Vec<String> {
    node.children().map(str::to_owned).collect()
}
