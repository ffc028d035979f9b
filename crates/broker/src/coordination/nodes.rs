//! Small operations on nodes that the rest of the module is made of.

use std::sync::Arc;

use whimbrel_model::Uuid;
use zookeeper_client::{Client, Error, MultiReadResult, MultiWriteError, Stat};

use super::error::CoordinationError;
use super::{Coordination, codec, paths};

/// Nodes read by one request, so that the answer stays far below `jute.maxbuffer` (1 MiB) with nodes of a KiB each.
const READS_IN_ONE: usize = 128;
/// Such requests under way at once.
const READS_UNDER_WAY: usize = 32;

/// What is in a node.
type Node = (Vec<u8>, Stat);

impl Coordination {
    /// Sees to the nodes that every broker creates when it starts. Two round trips on a new cluster, one otherwise.
    pub(super) async fn create_top_level(&self) -> Result<(), CoordinationError> {
        loop {
            let client = self.inner.session.client();
            let mut missing = Vec::new();
            let stats: Vec<_> = paths::TOP_LEVEL.iter().map(|path| (path, client.check_stat(path))).collect();
            for (path, stat) in stats {
                match stat.await {
                    Ok(None) => missing.push(*path),
                    Ok(Some(_)) => {}
                    Err(Error::ConnectionLoss | Error::Custom(_)) => missing.push(*path),
                    Err(source) => return Err(CoordinationError::operation(path, source)),
                }
            }
            if missing.is_empty() {
                return Ok(());
            }
            let mut create = client.new_multi_writer();
            for path in &missing {
                create
                    .add_create(path, b"", &self.inner.session.persistent(path))
                    .map_err(|source| CoordinationError::operation(path, source))?;
            }
            match create.commit().await {
                Ok(_) => return Ok(()),
                // Another broker starts at the same time, or the connection broke: look again.
                Err(MultiWriteError::OperationFailed { source: Error::NodeExists, .. })
                | Err(MultiWriteError::RequestFailed { source: Error::ConnectionLoss | Error::Custom(_) }) => {}
                Err(error) => return Err(CoordinationError::operation("the top-level nodes", error.into())),
            }
        }
    }

    /// Reads a node; `None` if it does not exist.
    pub(super) async fn read(&self, path: &str) -> Result<Option<(Vec<u8>, Stat)>, CoordinationError> {
        let result = self.inner.session.call(path, async |client| client.get_data(path).await).await;
        match result {
            Err(CoordinationError::Operation { source: Error::NoNode, .. }) => Ok(None),
            result => {
                let node = result?;
                self.inner.progress.note_zxid(node.1.mzxid);
                Ok(Some(node))
            }
        }
    }

    /// Reads many nodes at once; those that do not exist are `None`. Results are in the order of `paths`.
    pub(super) async fn read_all(&self, paths: &[String]) -> Result<Vec<Option<Node>>, CoordinationError> {
        let mut nodes = Vec::with_capacity(paths.len());
        for window in paths.chunks(READS_IN_ONE * READS_UNDER_WAY) {
            let client = self.inner.session.client();
            let mut pending = Vec::new();
            for chunk in window.chunks(READS_IN_ONE) {
                let mut reader = client.new_multi_reader();
                for path in chunk {
                    reader.add_get_data(path).map_err(|source| CoordinationError::operation(path, source))?;
                }
                pending.push((chunk, reader.commit()));
            }
            for (chunk, answer) in pending {
                match answer.await {
                    Ok(results) if results.len() == chunk.len() => {
                        for (path, result) in chunk.iter().zip(results) {
                            nodes.push(match result {
                                MultiReadResult::Data { data, stat } => Some((data, stat)),
                                MultiReadResult::Error { err: Error::NoNode } => None,
                                _ => self.read(path).await?,
                            });
                        }
                    }
                    // A server before 3.6 cannot read several nodes at once; a connection that broke is made again.
                    Ok(_)
                    | Err(Error::Unimplemented | Error::ConnectionLoss | Error::Custom(_) | Error::MarshallingError) => {
                        nodes.extend(self.read_one_by_one(chunk).await?);
                    }
                    Err(source) => {
                        return Err(CoordinationError::operation(chunk.first().map_or("", String::as_str), source));
                    }
                }
            }
        }
        Ok(nodes)
    }

    async fn read_one_by_one(&self, paths: &[String]) -> Result<Vec<Option<Node>>, CoordinationError> {
        let client = self.inner.session.client();
        let pending: Vec<_> = paths.iter().map(|path| client.get_data(path)).collect();
        let mut nodes = Vec::with_capacity(paths.len());
        for (path, answer) in paths.iter().zip(pending) {
            nodes.push(match answer.await {
                Ok(node) => Some(node),
                Err(Error::NoNode) => None,
                Err(Error::ConnectionLoss | Error::Custom(_)) => self.read(path).await?,
                Err(source) => return Err(CoordinationError::operation(path, source)),
            });
        }
        Ok(nodes)
    }

    /// The children of a node, unordered; none if it does not exist.
    pub(super) async fn children(&self, path: &str) -> Result<Vec<String>, CoordinationError> {
        match self.inner.session.call(path, async |client| client.list_children(path).await).await {
            Err(CoordinationError::Operation { source: Error::NoNode, .. }) => Ok(Vec::new()),
            result => result,
        }
    }

    /// Creates a persistent node with its parents; false if it was there. Harmless when repeated.
    pub(super) async fn create_with_parents(&self, path: &str, data: &[u8]) -> Result<bool, CoordinationError> {
        if let Some((parent, _)) = path.rsplit_once('/')
            && !parent.is_empty()
        {
            let options = self.inner.session.persistent(parent);
            self.inner.session.call(parent, async |client| client.mkdir(parent, &options).await).await?;
        }
        let options = self.inner.session.persistent(path);
        match self.inner.session.call(path, async |client| client.create(path, data, &options).await).await {
            Ok(_) => Ok(true),
            Err(CoordinationError::Operation { source: Error::NodeExists, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The cluster's id. The first broker ever draws it.
    ///
    /// # Errors
    /// When the session is lost or the node cannot be read.
    pub async fn cluster_id(&self) -> Result<String, CoordinationError> {
        loop {
            if let Some((json, _)) = self.read(paths::CLUSTER_ID).await? {
                return codec::decode_cluster_id(&json)
                    .map_err(|source| CoordinationError::content(paths::CLUSTER_ID, source));
            }
            let id = random_uuid().to_string();
            self.create_with_parents(paths::CLUSTER_ID, &codec::encode_cluster_id(&id)).await?;
        }
    }

    pub(super) fn client(&self) -> Arc<Client> {
        self.inner.session.client()
    }
}

/// A random id as Kafka draws them.
pub(super) fn random_uuid() -> Uuid {
    loop {
        if let Some(id) = Uuid::from_random(rand::random()) {
            return id;
        }
    }
}
