//! Decides what an operation would change, without changing anything (ZooKeeper's `PrepRequestProcessor`).
//!
//! The operations of one transaction see each other through an overlay of the nodes that the earlier ones touch.
//! When one is refused the overlay is dropped, and the tree never knew.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::Tree;
use super::acl;
use super::path;
use super::types::{Acl, AclList, CreateKind, ErrorCode, Id, Op, Owner, SessionId, TTL_MAX_MS, perms};

/// A change that is known to be valid. Carrying it out cannot fail.
#[derive(Debug)]
pub(super) enum Change {
    Create { kind: CreateKind, path: String, data: Option<Bytes>, acl: AclList, owner: Owner, parent_cversion: i32 },
    Delete { path: String },
    SetData { path: String, data: Option<Bytes>, version: i32 },
    SetAcl { path: String, acl: AclList, version: i32 },
    Check,
}

/// What validation needs to know of a node.
#[derive(Clone)]
struct View {
    version: i32,
    cversion: i32,
    aversion: i32,
    owner: Owner,
    acl: AclList,
    child_count: usize,
}

/// One transaction being prepared.
pub(super) struct Preparation<'a> {
    tree: &'a Tree,
    session: SessionId,
    auth: &'a [Id],
    /// Nodes touched so far; `None` is a node that was deleted.
    overlay: HashMap<String, Option<View>, foldhash::fast::RandomState>,
}

/// The create flags of the protocol, taken apart (`CreateMode`).
#[derive(Clone, Copy)]
struct CreateMode {
    ephemeral: bool,
    sequential: bool,
    ttl: bool,
}

impl CreateMode {
    fn from_flags(flags: i32) -> Result<Self, ErrorCode> {
        let mode = |ephemeral, sequential, ttl| Ok(Self { ephemeral, sequential, ttl });
        match flags {
            0 | 4 => mode(false, false, false),
            1 => mode(true, false, false),
            2 => mode(false, true, false),
            3 => mode(true, true, false),
            5 => mode(false, false, true),
            6 => mode(false, true, true),
            _ => Err(ErrorCode::BadArguments),
        }
    }
}

/// Whether the flags of a create request name a mode at all.
pub fn flags_are_known(flags: i32) -> bool {
    CreateMode::from_flags(flags).is_ok()
}

impl<'a> Preparation<'a> {
    pub(super) fn new(tree: &'a Tree, session: SessionId, auth: &'a [Id]) -> Self {
        Self { tree, session, auth, overlay: HashMap::default() }
    }

    /// The change that `op` comes to.
    ///
    /// The order of the checks decides which error a client gets, so it is ZooKeeper's.
    pub(super) fn prepare(&mut self, op: &Op) -> Result<Change, ErrorCode> {
        match op {
            Op::Create { kind, path, data, acl, flags, ttl_ms } => {
                self.create(*kind, path, data.as_ref(), acl, *flags, *ttl_ms)
            }
            Op::Delete { path, version } => self.delete(path, *version),
            Op::SetData { path, data, version } => self.set_data(path, data.as_ref(), *version),
            Op::SetAcl { path, acl, version } => self.set_acl(path, acl, *version),
            Op::Check { path, version } => self.check(path, *version),
            Op::DeleteContainer { path } => self.delete_container(path),
        }
    }

    fn create(
        &mut self,
        kind: CreateKind,
        path: &str,
        data: Option<&Bytes>,
        acl: &[Acl],
        flags: i32,
        ttl_ms: i64,
    ) -> Result<Change, ErrorCode> {
        let mode = CreateMode::from_flags(flags)?;
        let ttl_is_valid = if mode.ttl { (1..=TTL_MAX_MS).contains(&ttl_ms) } else { ttl_ms < 0 };
        if !ttl_is_valid || (kind == CreateKind::Ttl && !mode.ttl) {
            return Err(ErrorCode::BadArguments);
        }
        let parent_path = path::canonical(path::parent(path).ok_or(ErrorCode::BadArguments)?);
        let resolved = acl::resolve(acl, self.auth)?;
        let mut parent = self.node(parent_path)?;
        acl::check(&parent.acl, perms::CREATE, self.auth)?;
        // The name of a sequential node is the count of children ever created below its parent.
        let path = if mode.sequential { format!("{path}{:010}", parent.cversion) } else { path.to_owned() };
        if !path::is_valid(&path) {
            return Err(ErrorCode::BadArguments);
        }
        if self.node(&path).is_ok() {
            return Err(ErrorCode::NodeExists);
        }
        if matches!(parent.owner, Owner::Session(_)) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let owner = match kind {
            CreateKind::Container => Owner::Container,
            CreateKind::Ttl => Owner::Ttl { ttl_ms },
            CreateKind::Create | CreateKind::Create2 if mode.ephemeral => Owner::Session(self.session),
            CreateKind::Create | CreateKind::Create2 => Owner::None,
        };
        let parent_cversion = parent.cversion.wrapping_add(1);
        parent.cversion = parent_cversion;
        parent.child_count += 1;
        let view = View { version: 0, cversion: 0, aversion: 0, owner, acl: Arc::clone(&resolved), child_count: 0 };
        self.put(parent_path, Some(parent));
        self.put(&path, Some(view));
        Ok(Change::Create { kind, path, data: data.cloned(), acl: resolved, owner, parent_cversion })
    }

    fn delete(&mut self, path: &str, version: i32) -> Result<Change, ErrorCode> {
        let parent_path = deletable_parent(path)?;
        let parent = self.node(parent_path)?;
        acl::check(&parent.acl, perms::DELETE, self.auth)?;
        let node = self.node(path)?;
        next_version(node.version, version)?;
        if node.child_count > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        Ok(self.deleted(path, parent_path, parent))
    }

    fn delete_container(&mut self, path: &str) -> Result<Change, ErrorCode> {
        let parent_path = deletable_parent(path)?;
        let node = self.node(path)?;
        if node.child_count > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        if matches!(node.owner, Owner::Session(_)) {
            return Err(ErrorCode::BadVersion);
        }
        let parent = self.node(parent_path)?;
        Ok(self.deleted(path, parent_path, parent))
    }

    fn deleted(&mut self, path: &str, parent_path: &str, mut parent: View) -> Change {
        parent.child_count = parent.child_count.saturating_sub(1);
        self.put(parent_path, Some(parent));
        self.put(path, None);
        Change::Delete { path: path.to_owned() }
    }

    fn set_data(&mut self, path: &str, data: Option<&Bytes>, version: i32) -> Result<Change, ErrorCode> {
        let mut node = self.valid_node(path)?;
        acl::check(&node.acl, perms::WRITE, self.auth)?;
        let version = next_version(node.version, version)?;
        node.version = version;
        self.put(path, Some(node));
        Ok(Change::SetData { path: path.to_owned(), data: data.cloned(), version })
    }

    fn set_acl(&mut self, path: &str, acl: &[Acl], version: i32) -> Result<Change, ErrorCode> {
        if !path::is_valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        let resolved = acl::resolve(acl, self.auth)?;
        let mut node = self.node(path)?;
        acl::check(&node.acl, perms::ADMIN, self.auth)?;
        let version = next_version(node.aversion, version)?;
        node.aversion = version;
        // The operations that follow in the same transaction are judged by the rules that were there before it,
        // as ZooKeeper keeps them in its outstanding changes.
        self.put(path, Some(node));
        Ok(Change::SetAcl { path: path.to_owned(), acl: resolved, version })
    }

    fn check(&mut self, path: &str, version: i32) -> Result<Change, ErrorCode> {
        let node = self.valid_node(path)?;
        acl::check(&node.acl, perms::READ, self.auth)?;
        next_version(node.version, version)?;
        Ok(Change::Check)
    }

    fn valid_node(&self, path: &str) -> Result<View, ErrorCode> {
        if !path::is_valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        self.node(path)
    }

    fn node(&self, path: &str) -> Result<View, ErrorCode> {
        let path = path::canonical(path);
        if let Some(view) = self.overlay.get(path) {
            return view.clone().ok_or(ErrorCode::NoNode);
        }
        let node = self.tree.node(path).ok_or(ErrorCode::NoNode)?;
        Ok(View {
            version: node.record.version,
            cversion: node.record.cversion,
            aversion: node.record.aversion,
            owner: Owner::from_raw(node.record.owner),
            acl: Arc::clone(&node.record.acl),
            child_count: node.child_count(),
        })
    }

    fn put(&mut self, path: &str, view: Option<View>) {
        self.overlay.insert(path::canonical(path).to_owned(), view);
    }
}

/// The parent of a node that may be deleted: the root and ZooKeeper's own nodes may not.
fn deletable_parent(path: &str) -> Result<&str, ErrorCode> {
    if matches!(path, "/" | "/zookeeper" | "/zookeeper/quota" | "/zookeeper/config") {
        return Err(ErrorCode::BadArguments);
    }
    path::parent(path).map(path::canonical).ok_or(ErrorCode::BadArguments)
}

/// The version after the next write, if `expected` is the present one or -1, which is any.
/// -1 is never a version, because no client could ask for it (ZOOKEEPER-4743).
fn next_version(current: i32, expected: i32) -> Result<i32, ErrorCode> {
    if expected != -1 && expected != current {
        return Err(ErrorCode::BadVersion);
    }
    Ok(match current.wrapping_add(1) {
        -1 => 0,
        next => next,
    })
}
