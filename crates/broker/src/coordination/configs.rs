//! Dynamic configuration: reading, writing, and hearing of changes. Source: Kafka 3.9 `AdminZkClient.scala`,
//! `ZkNodeChangeNotificationListener.scala`.
//!
//! A writer replaces the entity's node and then adds a sequential node below `/config/changes` that names the entity.
//! Every broker watches that directory and reads again what is named: the notification is a pointer, the entity's node
//! is the truth. A topic that is new has no notification; its configuration is read when its log is created.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc;
use tracing::{info, warn};
use whimbrel_model::NodeId;
use zookeeper_client::{Error, MultiWriteError, Stat};

use super::codec::{ConfigNode, ControllerNode, config_change, decode_config_change};
use super::error::CoordinationError;
use super::{Coordination, now_ms, paths};

/// The settings that an entity has of its own, by Kafka's name.
pub type Overrides = BTreeMap<String, String>;

/// Notifications older than this (ms) are removed by whoever sees them.
const CHANGE_EXPIRATION_MS: i64 = 15 * 60 * 1000;

/// The name of the entity that stands for all brokers.
const DEFAULT_ENTITY: &str = "<default>";

/// Something that has dynamic configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ConfigEntity {
    Topic(Arc<str>),
    Broker(NodeId),
    /// What holds for every broker that has nothing of its own.
    AllBrokers,
}

impl ConfigEntity {
    fn parse(path: &str) -> Option<Self> {
        match path.split_once('/')? {
            ("topics", name) => Some(Self::Topic(name.into())),
            ("brokers", DEFAULT_ENTITY) => Some(Self::AllBrokers),
            ("brokers", id) => id.parse().ok().map(|id| Self::Broker(NodeId(id))),
            _ => None,
        }
    }

    fn path(&self) -> String {
        format!("/config/{self}")
    }
}

/// The entity path, such as `topics/t` or `brokers/<default>`.
impl fmt::Display for ConfigEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topics/{name}"),
            Self::Broker(id) => write!(f, "brokers/{id}"),
            Self::AllBrokers => write!(f, "brokers/{DEFAULT_ENTITY}"),
        }
    }
}

/// The configuration of an entity changed; `overrides` is all that it now has of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigChange {
    pub entity: ConfigEntity,
    pub overrides: Arc<Overrides>,
}

/// What was last read of each topic's configuration.
#[derive(Debug)]
pub(super) struct ConfigCache {
    topics: RwLock<HashMap<Arc<str>, Arc<Overrides>>>,
    /// The last notification that was acted on; -1 when there was none.
    last_change: AtomicI64,
    listeners: Mutex<Vec<mpsc::UnboundedSender<ConfigChange>>>,
}

impl Default for ConfigCache {
    fn default() -> Self {
        Self { topics: RwLock::default(), last_change: AtomicI64::new(-1), listeners: Mutex::default() }
    }
}

impl Coordination {
    /// Reads the overrides of every topic, and from here on hears of each change. Done once, before the logs are opened.
    ///
    /// # Errors
    /// When the session is lost or a node cannot be read.
    pub async fn load_topic_configs(&self) -> Result<HashMap<Arc<str>, Arc<Overrides>>, CoordinationError> {
        // Before the entities are read: what changes meanwhile is then read twice rather than not at all.
        let changes = self.children(paths::CONFIG_CHANGES).await?;
        let last = changes.iter().filter_map(|name| sequence(name)).max().unwrap_or(-1);
        self.inner.configs.last_change.store(last, Ordering::Release);
        let names: Vec<Arc<str>> = self.children("/config/topics").await?.into_iter().map(Arc::from).collect();
        self.refresh_topic_configs(&names).await?;
        Ok(self.inner.configs.topics.read().clone())
    }

    /// Reads the overrides of these topics again, such as of topics that are new to this broker.
    ///
    /// # Errors
    /// When the session is lost or a node cannot be read.
    pub async fn refresh_topic_configs(&self, topics: &[Arc<str>]) -> Result<(), CoordinationError> {
        let paths: Vec<String> = topics.iter().map(|name| paths::config("topics", name)).collect();
        let nodes = self.read_all(&paths).await?;
        let mut read = Vec::with_capacity(nodes.len());
        for ((topic, path), node) in topics.iter().zip(&paths).zip(nodes) {
            let json = node.map(|(json, _)| json).unwrap_or_default();
            read.push((Arc::clone(topic), Arc::new(decode_or_empty(path, &json))));
        }
        self.inner.configs.topics.write().extend(read);
        Ok(())
    }

    /// Reads the overrides of those of these topics that were never read.
    pub(crate) async fn read_missing_topic_configs(&self, topics: &[Arc<str>]) -> Result<(), CoordinationError> {
        let missing: Vec<Arc<str>> = {
            let known = self.inner.configs.topics.read();
            topics.iter().filter(|topic| !known.contains_key(*topic)).cloned().collect()
        };
        self.refresh_topic_configs(&missing).await
    }

    /// The overrides of a topic as last read; empty for a topic that was never read.
    #[must_use]
    pub fn topic_config(&self, topic: &str) -> Arc<Overrides> {
        self.inner.configs.topics.read().get(topic).cloned().unwrap_or_default()
    }

    /// Forgets what was read of a topic that is gone.
    pub fn forget_topic_config(&self, topic: &str) {
        self.inner.configs.topics.write().remove(topic);
    }

    /// What was changed while brokers ran, for all of them and for this one, read now.
    ///
    /// # Errors
    /// As [`Coordination::read_config`].
    pub async fn read_broker_configs(&self, node_id: NodeId) -> Result<(Overrides, Overrides), CoordinationError> {
        let (all, this) = (ConfigEntity::AllBrokers, ConfigEntity::Broker(node_id));
        tokio::try_join!(self.read_config(&all), self.read_config(&this))
    }

    /// The overrides of an entity, read now.
    ///
    /// # Errors
    /// When the session is lost or the node cannot be read.
    pub async fn read_config(&self, entity: &ConfigEntity) -> Result<Overrides, CoordinationError> {
        let path = entity.path();
        match self.read(&path).await? {
            Some((json, _)) => ConfigNode::decode(&json).map_err(|source| CoordinationError::content(&path, source)),
            None => Ok(Overrides::new()),
        }
    }

    /// Replaces the overrides of an entity by what `change` makes of them, and notifies every broker.
    ///
    /// `change` may run several times: when another writer comes between, it is given what that one wrote.
    ///
    /// # Errors
    /// `E` from `change`, with nothing written; `NotWritable` while there is no controller that would accept the change.
    pub async fn change_config<E: From<CoordinationError>>(
        &self,
        entity: &ConfigEntity,
        mut change: impl FnMut(Overrides) -> Result<Overrides, E>,
    ) -> Result<(), E> {
        let path = entity.path();
        let mut attempted: Option<Vec<u8>> = None;
        loop {
            let controller_version = self.writable_controller().await?;
            let current = self.read(&path).await?;
            if let (Some(attempted), Some((json, _))) = (&attempted, &current)
                && attempted == json
            {
                break;
            }
            let (json, version) = match current {
                Some((json, stat)) => (json, Some(stat.version)),
                None => (Vec::new(), None),
            };
            let overrides = ConfigNode::decode(&json).map_err(|source| CoordinationError::content(&path, source))?;
            let next = ConfigNode::new(&change(overrides)?).encode();
            match self.try_write_config(&path, &next, version, controller_version).await? {
                true => break,
                false => attempted = Some(next),
            }
        }
        self.notify_config_change(entity).await?;
        Ok(())
    }

    /// One attempt; false when it has to be made again after a look at what is there.
    async fn try_write_config(
        &self,
        path: &str,
        json: &[u8],
        version: Option<i32>,
        controller_version: i32,
    ) -> Result<bool, CoordinationError> {
        let Some(version) = version else {
            return self.create_with_parents(path, json).await;
        };
        let client = self.client();
        let mut multi = client.new_multi_writer();
        multi
            .add_check_version(paths::CONTROLLER, controller_version)
            .and_then(|()| multi.add_set_data(path, json, Some(version)))
            .map_err(|source| CoordinationError::operation(path, source))?;
        match multi.commit().await {
            Ok(_) => Ok(true),
            Err(
                MultiWriteError::OperationFailed { source: Error::BadVersion | Error::NoNode, .. }
                | MultiWriteError::RequestFailed { source: Error::ConnectionLoss | Error::Custom(_) },
            ) => Ok(false),
            Err(error) => Err(CoordinationError::operation(path, error.into())),
        }
    }

    /// The version of `/controller`, which must name a broker: during a move to KRaft configuration is not ours to write.
    async fn writable_controller(&self) -> Result<i32, CoordinationError> {
        let path = paths::CONTROLLER;
        let Some((json, Stat { version, .. })) = self.read(path).await? else {
            return Err(CoordinationError::NotWritable("the cluster has no controller at the moment".into()));
        };
        let node = ControllerNode::decode(&json).map_err(|source| CoordinationError::content(path, source))?;
        if node.is_kraft() {
            return Err(CoordinationError::NotWritable("a KRaft controller owns the cluster's metadata".into()));
        }
        Ok(version)
    }

    /// Harmless when repeated: brokers read the entity once more.
    async fn notify_config_change(&self, entity: &ConfigEntity) -> Result<(), CoordinationError> {
        let data = config_change(&entity.to_string());
        let path = paths::CONFIG_CHANGE_PREFIX;
        let options = self.inner.session.sequential(path);
        self.inner.session.call(path, async |client| client.create(path, &data, &options).await).await?;
        Ok(())
    }

    /// What changes from here on, in order. Heard only while [`Coordination::follow_configs`] runs.
    #[must_use]
    pub fn config_changes(&self) -> mpsc::UnboundedReceiver<ConfigChange> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.inner.configs.listeners.lock().push(sender);
        receiver
    }

    /// Follows the notifications until the broker leaves, and tells `changes` among others. Run it in a task of its own
    /// after [`Coordination::load_topic_configs`].
    pub async fn follow_configs(self, changes: mpsc::UnboundedSender<ConfigChange>) {
        self.inner.configs.listeners.lock().push(changes);
        let mut sessions = self.sessions();
        while !self.is_closing() {
            sessions.mark_unchanged();
            if let Err(error) = self.follow_in_session().await {
                warn!(%error, "configuration changes are not heard until the session is back");
                if sessions.changed().await.is_err() {
                    return;
                }
            }
        }
    }

    /// Ends without an error when a watch has fired: the next call looks again.
    async fn follow_in_session(&self) -> Result<(), CoordinationError> {
        let path = paths::CONFIG_CHANGES;
        let listed = self.inner.session.call(path, async |client| client.list_and_watch_children(path).await);
        let (mut names, watcher) = listed.await?;
        names.sort();
        let last = self.inner.configs.last_change.load(Ordering::Acquire);
        for name in &names {
            let Some(sequence) = sequence(name).filter(|sequence| last < *sequence) else { continue };
            if let Some(change) = self.read_change(name).await? {
                info!(entity = %change.entity, "configuration changed");
                self.inner.configs.listeners.lock().retain(|listener| listener.send(change.clone()).is_ok());
            }
            self.inner.configs.last_change.store(sequence, Ordering::Release);
        }
        self.purge_changes(&names).await?;
        let mut closing = self.inner.closing.subscribe();
        tokio::select! {
            event = watcher.changed() => match event.event_type {
                zookeeper_client::EventType::Session => Err(CoordinationError::SessionLost),
                _ => Ok(()),
            },
            _ = closing.wait_for(|closing| *closing) => Ok(()),
        }
    }

    /// What a notification points at. One that is gone, unreadable or of no concern to this broker is `None`.
    async fn read_change(&self, name: &str) -> Result<Option<ConfigChange>, CoordinationError> {
        let path = format!("{}/{name}", paths::CONFIG_CHANGES);
        let Some((json, _)) = self.read(&path).await? else { return Ok(None) };
        let entity_path = match decode_config_change(&json) {
            Ok(entity_path) => entity_path,
            Err(error) => {
                warn!(%error, path, "ignoring a configuration change");
                return Ok(None);
            }
        };
        let Some(entity) = ConfigEntity::parse(&entity_path) else { return Ok(None) };
        let overrides = match &entity {
            ConfigEntity::Topic(topic) => {
                self.refresh_topic_configs(std::slice::from_ref(topic)).await?;
                self.topic_config(topic)
            }
            ConfigEntity::Broker(_) | ConfigEntity::AllBrokers => Arc::new(self.read_config(&entity).await?),
        };
        Ok(Some(ConfigChange { entity, overrides }))
    }

    async fn purge_changes(&self, names: &[String]) -> Result<(), CoordinationError> {
        let now = now_ms();
        // Sorted by age: the first one that is young ends the search.
        for name in names {
            let path = format!("{}/{name}", paths::CONFIG_CHANGES);
            let Some((_, stat)) = self.read(&path).await? else { continue };
            if now - stat.ctime <= CHANGE_EXPIRATION_MS {
                break;
            }
            match self.inner.session.call(&path, async |client| client.delete(&path, None).await).await {
                // Another broker was faster.
                Err(CoordinationError::Operation { source: Error::NoNode, .. }) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The ten digits that ZooKeeper appends.
fn sequence(name: &str) -> Option<i64> {
    name.rsplit_once('_').and_then(|(_, digits)| digits.parse().ok())
}

/// A topic whose configuration cannot be read must still be served: with the defaults, and a warning.
fn decode_or_empty(path: &str, json: &[u8]) -> Overrides {
    ConfigNode::decode(json).unwrap_or_else(|error| {
        warn!(%error, path, "the configuration is not readable and counts as empty");
        Overrides::new()
    })
}
