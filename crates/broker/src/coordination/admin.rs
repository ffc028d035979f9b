//! What operators and brokers leave for the controller in ZooKeeper: the legacy requests below `/admin`, and
//! notifications. Source: Kafka 3.9 `ZkData.scala`, `KafkaController.scala`.

use whimbrel_model::{NodeId, TopicPartition};
use zookeeper_client::Error;

use super::codec::{LogDirEventNode, PartitionListNode, ReassignmentNode};
use super::controller::{FencedWriter, Outcome, Watched};
use super::error::CoordinationError;
use super::{Coordination, paths};

/// Where the replicas of partitions are to go.
pub type Reassignments = Vec<(TopicPartition, Vec<NodeId>)>;

/// Notifications, and the nodes that carry them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notifications<T> {
    pub content: Vec<T>,
    nodes: Vec<String>,
}

impl Coordination {
    /// The legacy request for reassignments, and a watch on it. Without the node there are none.
    ///
    /// # Errors
    /// When the session is lost. A node that cannot be decoded counts as empty, as in Kafka: it is removed.
    pub async fn watch_reassignments(&self) -> Result<Watched<Option<Reassignments>>, CoordinationError> {
        let Watched { value, watcher } = self.watch_node(paths::REASSIGN_PARTITIONS).await?;
        let value = value.map(|json| ReassignmentNode::decode(&json).unwrap_or_default());
        Ok(Watched { value, watcher })
    }

    /// The legacy request for preferred leaders, and a watch on it; `None` without the node.
    ///
    /// # Errors
    /// When the session is lost. A node that cannot be decoded counts as empty.
    pub async fn watch_preferred_elections(&self) -> Result<Watched<Option<Vec<TopicPartition>>>, CoordinationError> {
        let Watched { value, watcher } = self.watch_node(paths::PREFERRED_ELECTION).await?;
        let value = value.map(|json| PartitionListNode::decode(&json).unwrap_or_default());
        Ok(Watched { value, watcher })
    }

    async fn watch_node(&self, path: &'static str) -> Result<Watched<Option<Vec<u8>>>, CoordinationError> {
        let call = self.inner.session.call(path, async |client| Ok(client.check_and_watch_stat(path).await?.1));
        let watcher = call.await?;
        Ok(Watched { value: self.read(path).await?.map(|(json, _)| json), watcher })
    }

    /// The brokers that say that a log directory failed, and a watch on further ones.
    ///
    /// # Errors
    /// When the session is lost.
    pub async fn watch_log_dir_events(&self) -> Result<Watched<Notifications<NodeId>>, CoordinationError> {
        self.watch_notifications(paths::LOG_DIR_EVENTS, LogDirEventNode::failed_broker).await
    }

    /// The partitions whose state leaders without AlterPartition have changed, and a watch on further ones.
    ///
    /// # Errors
    /// When the session is lost.
    pub async fn watch_isr_changes(&self) -> Result<Watched<Notifications<TopicPartition>>, CoordinationError> {
        let Watched { value, watcher } =
            self.watch_notifications(paths::ISR_CHANGES, |json| PartitionListNode::decode(json).ok()).await?;
        let content = value.content.into_iter().flatten().collect();
        Ok(Watched { value: Notifications { content, nodes: value.nodes }, watcher })
    }

    async fn watch_notifications<T>(
        &self,
        parent: &'static str,
        decode: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Watched<Notifications<T>>, CoordinationError> {
        let Watched { value: names, watcher } = self.watch_children(parent).await?;
        let nodes: Vec<String> = names.iter().map(|name| format!("{parent}/{name}")).collect();
        let read = self.read_all(&nodes).await?;
        let content = read.iter().flatten().filter_map(|(json, _)| decode(json)).collect();
        Ok(Watched { value: Notifications { content, nodes }, watcher })
    }

    /// Tells the controller that a log directory of this broker has failed. Its next LeaderAndIsr is answered with the
    /// replicas that are lost.
    ///
    /// # Errors
    /// When the session is lost.
    pub async fn report_log_dir_failure(&self, broker: NodeId) -> Result<(), CoordinationError> {
        self.inner.continuity.break_off();
        self.ask_for_roles(broker).await
    }

    /// Has the controller tell this broker its roles once more: which of its replicas can serve has changed. Kafka's only
    /// way to ask for that is to say that a log directory failed.
    ///
    /// # Errors
    /// When the session is lost.
    pub async fn ask_for_roles(&self, broker: NodeId) -> Result<(), CoordinationError> {
        let (path, json) = (paths::LOG_DIR_EVENT_PREFIX, LogDirEventNode::failure(broker).encode());
        let options = self.inner.session.sequential(path);
        // A repeated notification only makes the controller ask once more.
        self.inner.session.call(path, async |client| client.create(path, &json, &options).await).await?;
        Ok(())
    }
}

impl FencedWriter {
    /// Removes notifications that have been acted on.
    ///
    /// # Errors
    /// `ControllerMoved`, or a lost session.
    pub async fn clear<T>(&self, notifications: &Notifications<T>) -> Result<(), CoordinationError> {
        self.delete_all(&notifications.nodes).await
    }

    /// Leaves these reassignments in the legacy node, which goes with the last of them.
    pub(super) async fn keep_reassignments(&self, kept: Reassignments) -> Result<(), CoordinationError> {
        let path = paths::REASSIGN_PARTITIONS;
        if kept.is_empty() {
            return self.delete(path).await;
        }
        let json = ReassignmentNode::new(&kept).encode();
        loop {
            let client = self.coordination().client();
            let mut multi = self.fenced(&client)?;
            multi.add_set_data(path, &json, None).map_err(|source| CoordinationError::operation(path, source))?;
            match self.commit(multi, path).await? {
                Outcome::Done | Outcome::Refused(Error::NoNode) => return Ok(()),
                Outcome::Refused(source) => return Err(CoordinationError::operation(path, source)),
                Outcome::Unknown => {}
            }
        }
    }
}
