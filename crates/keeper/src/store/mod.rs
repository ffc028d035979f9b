//! The durable copy of the tree: one redb file.
//!
//! The tables *are* the state: a commit writes the nodes and sessions that changed since the last one, so there is
//! no log to replay and no snapshot to take. One commit covers every transaction applied before it (group commit)
//! and is one `fdatasync`.
//!
//! redb's one-phase commit is used: after a crash it verifies the checksums of the last commit and falls back to
//! the one before if that was torn. It then walks the file once, which costs no more than reading the tree, which a
//! start does anyway; so quick-repair, with its second flush in every commit, would buy nothing.

mod codec;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableError};

pub use codec::CodecError;

use crate::tree::{ChangeSet, SessionId, Tree};

const FILE_NAME: &str = "keeper.redb";
/// The tree lives in memory; the file's pages need no large cache beside it.
const CACHE_BYTES: usize = 4 << 20;

const NODES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("nodes");
const SESSIONS: TableDefinition<'_, i64, &[u8]> = TableDefinition::new("sessions");
const META: TableDefinition<'_, &str, i64> = TableDefinition::new("meta");
/// No zxid above this one was ever shown to a client.
const META_ZXID_CEILING: &str = "zxid-ceiling";

/// Why the store cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("prepare the directory {path}")]
    Directory {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is in use by another process")]
    InUse { path: PathBuf },
    #[error("{path}: {source}")]
    Database {
        path: PathBuf,
        #[source]
        source: Box<redb::Error>,
    },
    #[error("the stored node {path} is damaged: {source}")]
    Node {
        path: String,
        #[source]
        source: CodecError,
    },
    #[error("the stored session {session:#x} is damaged: {source}")]
    Session {
        session: i64,
        #[source]
        source: CodecError,
    },
    #[error("the stored node {path} has no parent")]
    Orphan { path: String },
}

/// The file, open and locked.
#[derive(Debug)]
pub struct Store {
    database: Database,
    path: PathBuf,
}

/// What the store held.
#[derive(Debug)]
pub struct Loaded {
    pub tree: Tree,
    pub zxid: i64,
}

impl Store {
    /// Opens the store in `directory`, which is created if it is missing. A new store gives a new tree.
    pub fn open(directory: &Path) -> Result<(Self, Loaded), StoreError> {
        std::fs::create_dir_all(directory)
            .map_err(|source| StoreError::Directory { path: directory.to_owned(), source })?;
        let path = directory.join(FILE_NAME);
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(&path).map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: path.clone() },
            other => database_error(&path, other),
        })?;
        sync_entries(directory).map_err(|source| StoreError::Directory { path: directory.to_owned(), source })?;
        Self::on(database, path)
    }

    /// The store in an open database; `path` is for messages.
    pub(crate) fn on(database: Database, path: PathBuf) -> Result<(Self, Loaded), StoreError> {
        let store = Self { database, path };
        let loaded = store.load()?;
        Ok((store, loaded))
    }

    /// Makes `changes` durable, and `zxid_ceiling` with them. When this returns they survive a crash.
    pub fn commit(&self, changes: &ChangeSet, zxid_ceiling: i64) -> Result<(), StoreError> {
        self.write(changes, zxid_ceiling).map_err(|error| database_error(&self.path, error))
    }

    fn write(&self, changes: &ChangeSet, zxid_ceiling: i64) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        if !changes.nodes.is_empty() {
            let mut nodes = transaction.open_table(NODES)?;
            for (path, record) in &changes.nodes {
                match record {
                    Some(record) => nodes.insert(&**path, codec::encode_node(record).as_slice())?,
                    None => nodes.remove(&**path)?,
                };
            }
        }
        if !changes.sessions.is_empty() {
            let mut sessions = transaction.open_table(SESSIONS)?;
            for (id, record) in &changes.sessions {
                match record {
                    Some(record) => sessions.insert(id.0, codec::encode_session(record).as_slice())?,
                    None => sessions.remove(id.0)?,
                };
            }
        }
        transaction.open_table(META)?.insert(META_ZXID_CEILING, zxid_ceiling)?;
        transaction.commit()?;
        Ok(())
    }

    fn load(&self) -> Result<Loaded, StoreError> {
        let failed = |error: redb::Error| database_error(&self.path, error);
        let transaction = self.database.begin_read().map_err(|error| failed(error.into()))?;
        let nodes = match transaction.open_table(NODES) {
            Ok(nodes) => nodes,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Loaded { tree: Tree::new(), zxid: 0 }),
            Err(error) => return Err(failed(error.into())),
        };
        let meta = transaction.open_table(META).map_err(|error| failed(error.into()))?;
        let ceiling = meta.get(META_ZXID_CEILING).map_err(|error| failed(error.into()))?;
        let zxid = ceiling.map_or(0, |ceiling| ceiling.value());

        let mut shared = None;
        let mut loaded_nodes = Vec::new();
        for entry in nodes.iter().map_err(|error| failed(error.into()))? {
            let (path, value) = entry.map_err(|error| failed(error.into()))?;
            let path: Arc<str> = path.value().into();
            let record = codec::decode_node(value.value(), &mut shared)
                .map_err(|source| StoreError::Node { path: path.to_string(), source })?;
            loaded_nodes.push((path, record));
        }
        let mut loaded_sessions = Vec::new();
        if let Ok(sessions) = transaction.open_table(SESSIONS) {
            for entry in sessions.iter().map_err(|error| failed(error.into()))? {
                let (id, value) = entry.map_err(|error| failed(error.into()))?;
                let record = codec::decode_session(value.value())
                    .map_err(|source| StoreError::Session { session: id.value(), source })?;
                loaded_sessions.push((SessionId(id.value()), record));
            }
        }
        let tree = Tree::restore(loaded_nodes, loaded_sessions, zxid)
            .map_err(|path| StoreError::Orphan { path: path.to_string() })?;
        Ok(Loaded { tree, zxid })
    }
}

/// A new file or directory is only durable once the directory that names it is.
fn sync_entries(directory: &Path) -> std::io::Result<()> {
    let directory = directory.canonicalize()?;
    for named in [Some(directory.as_path()), directory.parent()].into_iter().flatten() {
        std::fs::File::open(named)?.sync_all()?;
    }
    Ok(())
}

fn database_error(path: &Path, error: impl Into<redb::Error>) -> StoreError {
    StoreError::Database { path: path.to_owned(), source: Box::new(error.into()) }
}
