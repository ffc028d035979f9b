//! Topics: creating, asking for deletion, adding partitions. The controller reacts to what is written here.

use std::sync::Arc;

use whimbrel_model::Uuid;
use whimbrel_state::controller::{PartitionAssignment, TopicAssignment};
use zookeeper_client::{Error, EventType, MultiWriteError};

use super::codec::{ConfigNode, TopicNode};
use super::configs::Overrides;
use super::error::CoordinationError;
use super::nodes::random_uuid;
use super::{Coordination, paths};

/// A topic's node, and its version for a guarded write.
#[derive(Debug, Clone)]
pub struct VersionedTopic {
    pub assignment: TopicAssignment,
    version: i32,
}

impl VersionedTopic {
    pub(super) fn version(&self) -> i32 {
        self.version
    }
}

impl Coordination {
    /// The names of all topics, unordered; those being deleted are among them until they are gone.
    ///
    /// # Errors
    /// When the session is lost.
    pub async fn topic_names(&self) -> Result<Vec<String>, CoordinationError> {
        self.children(paths::TOPICS).await
    }

    /// The topics whose deletion was asked for and is not finished.
    ///
    /// # Errors
    /// When the session is lost.
    pub async fn topics_in_deletion(&self) -> Result<Vec<String>, CoordinationError> {
        self.children(paths::DELETE_TOPICS).await
    }

    /// A topic as its node describes it; `None` if there is none.
    ///
    /// # Errors
    /// When the session is lost or the node cannot be read.
    pub async fn topic(&self, name: &str) -> Result<Option<VersionedTopic>, CoordinationError> {
        let path = paths::topic(name);
        let Some((json, stat)) = self.read(&path).await? else { return Ok(None) };
        let assignment = TopicNode::decode(&json)
            .and_then(|node| node.into_assignment(Arc::from(name)))
            .map_err(|source| CoordinationError::content(&path, source))?;
        Ok(Some(VersionedTopic { assignment, version: stat.version }))
    }

    /// Writes a new topic: its configuration (always, even without overrides) and its assignment, in one step. The
    /// result is its id.
    ///
    /// # Errors
    /// `TopicExists`, also for a topic that is being deleted.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: &[PartitionAssignment],
        overrides: &Overrides,
    ) -> Result<Uuid, CoordinationError> {
        let id = random_uuid();
        let (topic_path, config_path) = (paths::topic(name), paths::config("topics", name));
        let (topic_json, config_json) = (TopicNode::new(id, partitions).encode(), ConfigNode::new(overrides).encode());
        // Overrides may be left of a topic that was created or deleted halfway.
        let mut config_exists = false;
        loop {
            let client = self.client();
            let mut multi = client.new_multi_writer();
            let config = if config_exists {
                multi.add_set_data(&config_path, &config_json, None)
            } else {
                multi.add_create(&config_path, &config_json, &self.inner.session.persistent(&config_path))
            };
            config
                .and_then(|()| multi.add_create(&topic_path, &topic_json, &self.inner.session.persistent(&topic_path)))
                .map_err(|source| CoordinationError::operation(&topic_path, source))?;
            match multi.commit().await {
                Ok(_) => return Ok(id),
                Err(MultiWriteError::OperationFailed { index: 0, source: Error::NodeExists }) => {
                    if self.topic(name).await?.is_some() {
                        return self.created_by(name, id).await;
                    }
                    config_exists = true;
                }
                Err(MultiWriteError::OperationFailed { index: 0, source: Error::NoNode }) => config_exists = false,
                Err(MultiWriteError::OperationFailed { source: Error::NodeExists, .. }) => {
                    return self.created_by(name, id).await;
                }
                Err(MultiWriteError::RequestFailed { source: Error::ConnectionLoss | Error::Custom(_) }) => {}
                Err(error) => return Err(CoordinationError::operation(&topic_path, error.into())),
            }
        }
    }

    /// After a lost answer, the topic that exists may be the one that we wrote: its id tells.
    async fn created_by(&self, name: &str, id: Uuid) -> Result<Uuid, CoordinationError> {
        match self.topic(name).await? {
            Some(topic) if topic.assignment.id == id => Ok(id),
            _ => Err(CoordinationError::TopicExists(name.to_owned())),
        }
    }

    /// Waits until nothing of a topic is left, so that its name can be used again.
    ///
    /// # Errors
    /// When the session is lost.
    pub async fn topic_gone(&self, name: &str) -> Result<(), CoordinationError> {
        let path = paths::topic(name);
        loop {
            let call = self.inner.session.call(&path, async |client| client.check_and_watch_stat(&path).await);
            let (stat, watcher) = call.await?;
            if stat.is_none() {
                return Ok(());
            }
            if watcher.changed().await.event_type == EventType::Session {
                return Err(CoordinationError::SessionLost);
            }
        }
    }

    /// Asks the controller to delete a topic. Asking twice is fine.
    ///
    /// # Errors
    /// `UnknownTopic` if there is none.
    pub async fn request_deletion(&self, name: &str) -> Result<(), CoordinationError> {
        let (topic_path, path) = (paths::topic(name), paths::delete_topic(name));
        loop {
            let client = self.client();
            let mut multi = client.new_multi_writer();
            // Without this check a request could stay behind for a topic that another broker just removed, and hit
            // the next topic of that name.
            multi
                .add_check_version(&topic_path, -1)
                .and_then(|()| multi.add_create(&path, b"", &self.inner.session.persistent(&path)))
                .map_err(|source| CoordinationError::operation(&path, source))?;
            match multi.commit().await {
                Ok(_) | Err(MultiWriteError::OperationFailed { source: Error::NodeExists, .. }) => return Ok(()),
                Err(MultiWriteError::OperationFailed { index: 0, source: Error::NoNode }) => {
                    return Err(CoordinationError::UnknownTopic(name.to_owned()));
                }
                Err(MultiWriteError::RequestFailed { source: Error::ConnectionLoss | Error::Custom(_) }) => {}
                Err(error) => return Err(CoordinationError::operation(&path, error.into())),
            }
        }
    }

    /// Replaces a topic's assignment by one with more partitions.
    ///
    /// # Errors
    /// `Conflict` if the node changed since `topic` was read, `UnknownTopic` if it is gone.
    pub async fn add_partitions(
        &self,
        topic: &VersionedTopic,
        added: &[PartitionAssignment],
    ) -> Result<(), CoordinationError> {
        let TopicAssignment { name, id, partitions, .. } = &topic.assignment;
        let path = paths::topic(name);
        let all: Vec<_> = partitions.iter().chain(added).cloned().collect();
        let json = TopicNode::new(*id, &all).encode();
        loop {
            match self.client().set_data(&path, &json, Some(topic.version)).await {
                Ok(_) => return Ok(()),
                Err(Error::NoNode) => return Err(CoordinationError::UnknownTopic(name.to_string())),
                Err(Error::BadVersion) => return Err(CoordinationError::Conflict(path)),
                Err(Error::ConnectionLoss | Error::Custom(_)) => {}
                Err(source) => return Err(CoordinationError::operation(&path, source)),
            }
            // The answer was lost: it took effect if the node is as we meant it, one version on.
            match self.read(&path).await? {
                Some((_, stat)) if stat.version == topic.version => {}
                Some((current, stat)) if current == json && stat.version == topic.version + 1 => return Ok(()),
                _ => return Err(CoordinationError::Conflict(path)),
            }
        }
    }
}
