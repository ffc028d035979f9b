//! What only a controller does: being elected, reading everything, and writing under its epoch.
//!
//! Every write of a controller is a multi whose first operation checks the version of `/controller_epoch`. Once another
//! broker has been elected that check fails, whatever is still under way from the old controller, and `ControllerMoved`
//! tells the driver to step down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracing::{info, warn};
use whimbrel_model::{ControllerEpoch, NodeId, PartitionEpoch, TopicPartition, Uuid};
use whimbrel_state::controller::election::PartitionState;
use whimbrel_state::controller::{Broker, TopicAssignment, TopicSettings, Write, Written};
use zookeeper_client::{Client, CreateOptions, Error, EventType, MultiWriteError, MultiWriter, OneshotWatcher, Stat};

use super::codec::{ControllerNode, FeatureNode, PartitionStateNode, TopicNode};
use super::error::CoordinationError;
use super::nodes::random_uuid;
use super::{Coordination, now_ms, paths};
use crate::failpoint;

/// Operations in one multi. A request stays far below ZooKeeper's limit of 1 MiB (`jute.maxbuffer`) even with the
/// longest topic names: 64 · 2 · (249 + ~300 bytes).
const OPERATIONS_MAX: usize = 64;

/// Rounds of a deletion, each of which goes on where the last one was cut off. A connection that breaks in every one of
/// them is not one that a controller can work with.
const DELETE_ROUNDS_MAX: usize = 100;

/// Something that was read, and the means to hear when it changes. Dropping it stops listening.
#[derive(Debug)]
pub struct Watched<T> {
    pub value: T,
    pub(super) watcher: OneshotWatcher,
}

/// What a [`Watched`] thing has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControllerChange {
    /// It changed, appeared or is gone: read it again.
    Changed,
    /// The session ended; nothing more will be heard.
    SessionEnded,
}

impl<T> Watched<T> {
    /// The value, and what waits for its change.
    pub fn split(self) -> (T, Watched<()>) {
        (self.value, Watched { value: (), watcher: self.watcher })
    }

    /// Waits for the next change. Changes while the connection was down are reported after the reconnect.
    pub async fn changed(self) -> ControllerChange {
        match self.watcher.changed().await.event_type {
            EventType::Session => ControllerChange::SessionEnded,
            _ => ControllerChange::Changed,
        }
    }
}

/// How an attempt to become controller ended.
#[derive(Debug)]
pub enum Election {
    Won(FencedWriter),
    /// Another broker, or another attempt, was first.
    Lost,
}

/// The right to write as controller of one epoch.
#[derive(Debug, Clone)]
pub struct FencedWriter {
    coordination: Coordination,
    epoch: ControllerEpoch,
    /// The version of `/controller_epoch` after our election.
    epoch_version: i32,
}

impl Coordination {
    /// Who is controller; `None` while nobody is.
    ///
    /// # Errors
    /// When the session is lost or the node cannot be read.
    pub async fn watch_controller(&self) -> Result<Watched<Option<NodeId>>, CoordinationError> {
        let path = paths::CONTROLLER;
        let call = self.inner.session.call(path, async |client| {
            let (stat, watcher) = client.check_and_watch_stat(path).await?;
            Ok((stat.is_some(), watcher))
        });
        let (exists, watcher) = call.await?;
        let node = if exists { self.read(path).await? } else { None };
        let id = match node {
            Some((json, _)) => {
                let node = ControllerNode::decode(&json).map_err(|source| CoordinationError::content(path, source))?;
                Some(node.id())
            }
            None => None,
        };
        Ok(Watched { value: id, watcher })
    }

    /// Tries to become controller: the node and the next epoch in one step, so that exactly one candidate wins.
    ///
    /// # Errors
    /// When the session is lost or a node cannot be read.
    pub async fn elect(&self) -> Result<Election, CoordinationError> {
        let (epoch, version) = self.controller_epoch().await?;
        let next = ControllerEpoch(epoch.0 + 1);
        let client = self.client();
        let mut multi = client.new_multi_writer();
        let json = ControllerNode::new(self.registered_id(), now_ms()).encode();
        multi
            .add_create(paths::CONTROLLER, &json, &self.inner.session.ephemeral(paths::CONTROLLER))
            .and_then(|()| multi.add_set_data(paths::CONTROLLER_EPOCH, next.to_string().as_bytes(), Some(version)))
            .map_err(|source| CoordinationError::operation(paths::CONTROLLER, source))?;
        let won = match multi.commit().await {
            Ok(_) => true,
            Err(MultiWriteError::OperationFailed { source: Error::NodeExists | Error::BadVersion, .. })
            | Err(MultiWriteError::RequestFailed { source: Error::ConnectionLoss | Error::Custom(_) }) => {
                self.won_unheard(next, version).await?
            }
            Err(error) => return Err(CoordinationError::operation(paths::CONTROLLER, error.into())),
        };
        let writer = FencedWriter { coordination: self.clone(), epoch: next, epoch_version: version + 1 };
        Ok(if won { Election::Won(writer) } else { Election::Lost })
    }

    /// Whether an election whose answer was lost was won after all.
    async fn won_unheard(&self, epoch: ControllerEpoch, version_before: i32) -> Result<bool, CoordinationError> {
        let (now, version) = self.controller_epoch().await?;
        let Some((_, stat)) = self.read(paths::CONTROLLER).await? else { return Ok(false) };
        let is_ours = stat.ephemeral_owner == self.client().session_id().0;
        Ok(is_ours && now == epoch && version == version_before + 1)
    }

    /// The epoch of the controller that was elected last.
    ///
    /// # Errors
    /// When the session is lost or the node cannot be read.
    pub async fn newest_controller_epoch(&self) -> Result<ControllerEpoch, CoordinationError> {
        Ok(self.controller_epoch().await?.0)
    }

    /// The epoch of the last controller and the version of its node, which is made when it is missing.
    async fn controller_epoch(&self) -> Result<(ControllerEpoch, i32), CoordinationError> {
        let path = paths::CONTROLLER_EPOCH;
        loop {
            let Some((text, stat)) = self.read(path).await? else {
                self.create_with_parents(path, b"0").await?;
                continue;
            };
            let epoch = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
            let epoch = epoch.ok_or_else(|| {
                CoordinationError::content(path, super::codec::DecodeError::Content("not a number".into()))
            })?;
            return Ok((ControllerEpoch(epoch), stat.version));
        }
    }

    /// Removes `/controller` if it belongs to a session of ours that is surely dead, or to the present one: whoever
    /// registers leads no more, and a session that was resumed has lost the watches of its controllership.
    pub(super) async fn clear_dead_controller(&self) -> Result<(), CoordinationError> {
        let ours = [*self.inner.dead_session.lock(), Some(self.client().session_id().0)];
        // The epoch first: if another is elected after this read, the removal below is refused.
        let (_, epoch_version) = self.controller_epoch().await?;
        let Some((_, stat)) = self.read(paths::CONTROLLER).await? else { return Ok(()) };
        if !ours.contains(&Some(stat.ephemeral_owner)) {
            return Ok(());
        }
        let session = format!("{:#x}", stat.ephemeral_owner);
        info!(session, "ending an earlier controllership of this broker");
        self.open_office(epoch_version).await.map(drop)
    }

    /// Which term the controller of this id is in, as the version of the epoch's node; `None` if it is not controller.
    ///
    /// # Errors
    /// When the session is lost or a node cannot be read.
    pub async fn controller_term(&self, id: NodeId) -> Result<Option<i32>, CoordinationError> {
        // The epoch first: a term that begins between the two reads has a later one.
        let (_, epoch_version) = self.controller_epoch().await?;
        let Some((json, _)) = self.read(paths::CONTROLLER).await? else { return Ok(None) };
        let node =
            ControllerNode::decode(&json).map_err(|source| CoordinationError::content(paths::CONTROLLER, source))?;
        Ok((node.id() == id).then_some(epoch_version))
    }

    /// Takes the office from a controller that is gone, so that another can be elected before its session ends. With
    /// `term` only if that term is still on: see [`Coordination::controller_term`]. True if this call did it.
    ///
    /// # Errors
    /// When the session is lost or a node cannot be read.
    pub async fn depose_controller(&self, id: NodeId, term: Option<i32>) -> Result<bool, CoordinationError> {
        match self.controller_term(id).await? {
            Some(now) if term.is_none_or(|term| term == now) => self.open_office(now).await,
            _ => Ok(false),
        }
    }

    /// Removes `/controller` unless another was elected after the epoch's node had this version. True if this call did it.
    async fn open_office(&self, epoch_version: i32) -> Result<bool, CoordinationError> {
        let client = self.client();
        let mut multi = client.new_multi_writer();
        multi
            .add_check_version(paths::CONTROLLER_EPOCH, epoch_version)
            .and_then(|()| multi.add_delete(paths::CONTROLLER, None))
            .map_err(|source| CoordinationError::operation(paths::CONTROLLER, source))?;
        match multi.commit().await {
            Ok(_) => Ok(true),
            Err(MultiWriteError::OperationFailed { .. })
            | Err(MultiWriteError::RequestFailed { source: Error::ConnectionLoss | Error::Custom(_) }) => Ok(false),
            Err(error) => Err(CoordinationError::operation(paths::CONTROLLER, error.into())),
        }
    }

    /// All registered brokers, and a watch on who comes and goes.
    ///
    /// # Errors
    /// When the session is lost or a registration cannot be decoded.
    pub async fn watch_brokers(&self) -> Result<Watched<Vec<Broker>>, CoordinationError> {
        let Watched { watcher, .. } = self.watch_children(paths::BROKER_IDS).await?;
        Ok(Watched { value: self.brokers().await?, watcher })
    }

    /// A watch on the registration of a broker.
    ///
    /// # Errors
    /// When the session is lost.
    pub async fn watch_broker(&self, id: NodeId) -> Result<Watched<()>, CoordinationError> {
        let path = paths::broker(id);
        let call = self.inner.session.call(&path, async |client| Ok(client.check_and_watch_stat(&path).await?.1));
        Ok(Watched { value: (), watcher: call.await? })
    }

    /// The names of all topics, and a watch on their coming and going.
    ///
    /// # Errors
    /// When the session is lost.
    pub async fn watch_topics(&self) -> Result<Watched<Vec<Arc<str>>>, CoordinationError> {
        self.watch_children(paths::TOPICS).await
    }

    /// The topics whose deletion is asked for, and a watch on it.
    ///
    /// # Errors
    /// When the session is lost.
    pub async fn watch_deletions(&self) -> Result<Watched<Vec<Arc<str>>>, CoordinationError> {
        self.watch_children(paths::DELETE_TOPICS).await
    }

    pub(super) async fn watch_children(&self, path: &'static str) -> Result<Watched<Vec<Arc<str>>>, CoordinationError> {
        let call = self.inner.session.call(path, async |client| client.list_and_watch_children(path).await);
        let (names, watcher) = call.await?;
        Ok(Watched { value: names.into_iter().map(Arc::from).collect(), watcher })
    }

    /// The topics of these names with a watch on each; those that are gone are left out. The overrides that elections
    /// depend on are those last read, see [`Coordination::refresh_topic_configs`].
    ///
    /// # Errors
    /// When the session is lost or a node cannot be decoded.
    pub async fn watch_assignments(
        &self,
        names: &[Arc<str>],
    ) -> Result<Vec<Watched<TopicAssignment>>, CoordinationError> {
        let mut topics = Vec::with_capacity(names.len());
        for chunk in names.chunks(self.inner.session.in_flight_max()) {
            let client = self.client();
            let paths: Vec<String> = chunk.iter().map(|name| paths::topic(name)).collect();
            let pending: Vec<_> = paths.iter().map(|path| client.get_and_watch_data(path)).collect();
            for ((name, path), answer) in chunk.iter().zip(&paths).zip(pending) {
                let (json, watcher) = match answer.await {
                    Ok((json, _, watcher)) => (json, watcher),
                    Err(Error::NoNode) => continue,
                    Err(Error::ConnectionLoss | Error::Custom(_)) => match self.watch_data(path).await? {
                        Some(read) => read,
                        None => continue,
                    },
                    Err(source) => return Err(CoordinationError::operation(path, source)),
                };
                let topic = TopicNode::decode(&json).and_then(|node| node.into_assignment(Arc::clone(name)));
                let mut topic = topic.map_err(|source| CoordinationError::content(path, source))?;
                topic.settings = self.topic_settings(name);
                topics.push(Watched { value: topic, watcher });
            }
        }
        Ok(topics)
    }

    /// The settings of a topic that elections depend on, as last read.
    #[must_use]
    pub fn topic_settings(&self, topic: &str) -> TopicSettings {
        let overrides = self.topic_config(topic);
        TopicSettings {
            unclean_leader_election: overrides
                .get("unclean.leader.election.enable")
                .map(|value| value.eq_ignore_ascii_case("true")),
            min_insync_replicas: overrides.get("min.insync.replicas").and_then(|value| value.parse().ok()),
        }
    }

    async fn watch_data(&self, path: &str) -> Result<Option<(Vec<u8>, OneshotWatcher)>, CoordinationError> {
        let call = self.inner.session.call(path, async |client| {
            let (json, _, watcher) = client.get_and_watch_data(path).await?;
            Ok((json, watcher))
        });
        match call.await {
            Err(CoordinationError::Operation { source: Error::NoNode, .. }) => Ok(None),
            result => result.map(Some),
        }
    }

    /// The committed states of these partitions; those that have none are left out.
    ///
    /// # Errors
    /// When the session is lost or a node cannot be decoded.
    pub async fn partition_states(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, PartitionState)>, CoordinationError> {
        let paths: Vec<String> = partitions.iter().map(paths::state).collect();
        let mut states = Vec::with_capacity(partitions.len());
        for ((name, path), node) in partitions.iter().zip(&paths).zip(self.read_all(&paths).await?) {
            let Some((json, stat)) = node else { continue };
            let state = PartitionStateNode::decode(&json, stat.version);
            states.push((name.clone(), state.map_err(|source| CoordinationError::content(path, source))?));
        }
        Ok(states)
    }
}

impl FencedWriter {
    pub(super) fn coordination(&self) -> &Coordination {
        &self.coordination
    }

    #[must_use]
    pub fn epoch(&self) -> ControllerEpoch {
        self.epoch
    }

    /// Makes `/feature` say that the feature system is on; what is finalized stays.
    ///
    /// # Errors
    /// `ControllerMoved`, or a lost session.
    pub async fn enable_features(&self) -> Result<(), CoordinationError> {
        let path = paths::FEATURE;
        let content = |source| CoordinationError::content(path, source);
        loop {
            let current = self.coordination.read(path).await?;
            let client = self.coordination.client();
            let mut multi = self.fenced(&client)?;
            let prepared = match &current {
                None => multi.add_create(path, &FeatureNode::enabled().encode(), &self.persistent(path)),
                Some((json, stat)) => match FeatureNode::decode(json).map_err(content)?.to_enable() {
                    None => return Ok(()),
                    Some(node) => multi.add_set_data(path, &node.encode(), Some(stat.version)),
                },
            };
            prepared.map_err(|source| CoordinationError::operation(path, source))?;
            if let Outcome::Done = self.commit(multi, path).await? {
                return Ok(());
            }
        }
    }

    /// Gives a topic an id if it has none (it was created by a broker older than 2.8).
    ///
    /// # Errors
    /// `ControllerMoved`, or a lost session.
    pub async fn give_id(&self, topic: &mut TopicAssignment) -> Result<(), CoordinationError> {
        let path = paths::topic(&topic.name);
        while topic.id.is_zero() {
            let Some(current) = self.coordination.topic(&topic.name).await? else { return Ok(()) };
            if !current.assignment.id.is_zero() {
                topic.id = current.assignment.id;
                return Ok(());
            }
            let json = TopicNode::new(random_uuid(), &current.assignment.partitions).encode();
            let client = self.coordination.client();
            let mut multi = self.fenced(&client)?;
            multi.add_set_data(&path, &json, None).map_err(|source| CoordinationError::operation(&path, source))?;
            // Whatever became of it, the next look says.
            self.commit(multi, &path).await?;
        }
        Ok(())
    }

    /// Gives up the controllership, so that another broker is elected at once.
    pub async fn resign(&self) {
        let client = self.coordination.client();
        let Ok(mut multi) = self.fenced(&client) else { return };
        if multi.add_delete(paths::CONTROLLER, None).is_ok()
            && let Err(error) = multi.commit().await
        {
            warn!(%error, "could not give up the controllership; the next controller ends it");
        }
    }

    /// Makes the machine's writes and reports what became of each. Many go into one request and many requests are under
    /// way at once; where one of a request is refused, each of it is made alone.
    ///
    /// # Errors
    /// `ControllerMoved`, or a lost session. Some writes may then have been made.
    pub async fn write(&self, writes: Vec<Write>) -> Result<Vec<Written>, CoordinationError> {
        let mut written = Vec::with_capacity(writes.len());
        let (states, others): (Vec<_>, Vec<_>) = writes
            .into_iter()
            .partition(|write| matches!(write, Write::CreatePartition { .. } | Write::SetState { .. }));
        // Leaders first: nobody waits for the rest as clients wait for them.
        for window in states.chunks(OPERATIONS_MAX * self.coordination.inner.session.in_flight_max().div_ceil(2)) {
            self.write_states(window, &mut written).await?;
        }
        let mut assignments: BTreeMap<Arc<str>, (Uuid, Vec<_>)> = BTreeMap::new();
        for write in others {
            match write {
                // These were taken out above.
                Write::CreatePartition { .. } | Write::SetState { .. } => {}
                Write::DeleteTopic { topic, id } => {
                    self.delete_topic(&topic, id).await?;
                    written.push(Written::TopicDeleted { topic, id });
                }
                Write::ForgetDeletion { topic } => self.delete(&paths::delete_topic(&topic)).await?,
                Write::ForgetPreferredElection => self.delete(paths::PREFERRED_ELECTION).await?,
                Write::KeepReassignments(kept) => self.keep_reassignments(kept).await?,
                Write::SetAssignment { topic, id, assignment } => {
                    assignments.entry(topic).or_insert_with(|| (id, Vec::new())).1.push(assignment);
                }
            }
        }
        self.set_assignments(assignments, &mut written).await?;
        Ok(written)
    }

    async fn write_states(&self, writes: &[Write], written: &mut Vec<Written>) -> Result<(), CoordinationError> {
        let mut parents = self.missing_parents(writes).await?;
        let client = self.coordination.client();
        let mut pending = Vec::new();
        for chunk in writes.chunks(OPERATIONS_MAX) {
            let mut multi = self.fenced(&client)?;
            for write in chunk {
                let needs_parent =
                    matches!(write, Write::CreatePartition { partition, .. } if parents.remove(&partition.topic));
                add_state_write(&mut multi, write, needs_parent, &self.persistent(paths::TOPICS))
                    .map_err(|source| CoordinationError::operation("a partition's state", source))?;
            }
            failpoint::reached("controller-write")?;
            pending.push((chunk, multi.commit()));
        }
        for (chunk, answer) in pending {
            match answer.await {
                Ok(_) => {
                    failpoint::reached("controller-written")?;
                    written.extend(chunk.iter().filter_map(done));
                }
                Err(MultiWriteError::OperationFailed { index: 0, .. }) => {
                    return Err(CoordinationError::ControllerMoved);
                }
                Err(
                    MultiWriteError::OperationFailed { .. }
                    | MultiWriteError::RequestFailed { source: Error::ConnectionLoss | Error::Custom(_) },
                ) => {
                    for write in chunk {
                        written.extend(self.write_one(write).await?);
                    }
                }
                Err(error) => return Err(CoordinationError::operation("a partition's state", error.into())),
            }
        }
        Ok(())
    }

    /// The topics whose `partitions` node has yet to be made.
    async fn missing_parents(&self, writes: &[Write]) -> Result<BTreeSet<Arc<str>>, CoordinationError> {
        let created = writes.iter().filter_map(|write| match write {
            Write::CreatePartition { partition, .. } => Some(Arc::clone(&partition.topic)),
            _ => None,
        });
        let topics: BTreeSet<Arc<str>> = created.collect();
        let paths: Vec<String> = topics.iter().map(|topic| paths::partitions(topic)).collect();
        let nodes = self.coordination.read_all(&paths).await?;
        Ok(topics.into_iter().zip(nodes).filter(|(_, node)| node.is_none()).map(|(topic, _)| topic).collect())
    }

    /// One write by itself: what is missing is made first, what is in the way is read and reported.
    async fn write_one(&self, write: &Write) -> Result<Option<Written>, CoordinationError> {
        let (Write::CreatePartition { partition, state } | Write::SetState { partition, state }) = write else {
            return Ok(None);
        };
        let path = paths::state(partition);
        let is_new = matches!(write, Write::CreatePartition { .. });
        let expected = if is_new { state.partition_epoch } else { PartitionEpoch(state.partition_epoch.0 + 1) };
        loop {
            if let Some((json, Stat { version, .. })) = self.coordination.read(&path).await? {
                let current = PartitionStateNode::decode(&json, version)
                    .map_err(|source| CoordinationError::content(&path, source))?;
                let ours = PartitionState { partition_epoch: expected, ..state.clone() };
                if current == ours {
                    return Ok(Some(Written::State { partition: partition.clone(), state: ours }));
                }
                if is_new || current.partition_epoch != state.partition_epoch {
                    return Ok(Some(Written::Conflict { partition: partition.clone(), current: Some(current) }));
                }
            } else if !is_new || !self.make_parents(partition).await? {
                return Ok(Some(Written::Conflict { partition: partition.clone(), current: None }));
            }
            let client = self.coordination.client();
            let mut multi = self.fenced(&client)?;
            let json = PartitionStateNode::new(state).encode();
            let prepared = if is_new {
                multi.add_create(&path, &json, &self.persistent(&path))
            } else {
                multi.add_set_data(&path, &json, Some(state.partition_epoch.0))
            };
            prepared.map_err(|source| CoordinationError::operation(&path, source))?;
            // Whatever became of it, the look at the top of the loop says.
            self.commit(multi, &path).await?;
        }
    }

    /// Makes the nodes above a partition's state; false if the topic itself is gone.
    async fn make_parents(&self, partition: &TopicPartition) -> Result<bool, CoordinationError> {
        for path in [paths::partitions(&partition.topic), paths::partition(partition)] {
            let client = self.coordination.client();
            let mut multi = self.fenced(&client)?;
            multi
                .add_create(&path, b"", &self.persistent(&path))
                .map_err(|source| CoordinationError::operation(&path, source))?;
            if let Outcome::Refused(Error::NoNode) = self.commit(multi, &path).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes all of a topic. The last step takes its node, its configuration and the request together, so that a new
    /// topic of the same name never meets the old one's.
    async fn delete_topic(&self, topic: &Arc<str>, id: Uuid) -> Result<(), CoordinationError> {
        let parent = paths::partitions(topic);
        loop {
            let current = self.coordination.topic(topic).await?;
            if current.is_some_and(|current| current.assignment.id != id) {
                // An earlier round did it, unheard, and the name is in use again.
                return Ok(());
            }
            let names = self.coordination.children(&parent).await?;
            let mut below = Vec::with_capacity(names.len() * 2);
            for name in &names {
                below.push(format!("{parent}/{name}/state"));
                below.push(format!("{parent}/{name}"));
            }
            self.delete_all(&below).await?;
            let last =
                [parent.clone(), paths::topic(topic), paths::config("topics", topic), paths::delete_topic(topic)];
            let nodes = self.coordination.read_all(&last).await?;
            let left: Vec<&String> =
                last.iter().zip(nodes).filter(|(_, node)| node.is_some()).map(|(path, _)| path).collect();
            if left.is_empty() {
                return Ok(());
            }
            let client = self.coordination.client();
            let mut multi = self.fenced(&client)?;
            for path in left {
                multi.add_delete(path, None).map_err(|source| CoordinationError::operation(path, source))?;
            }
            // Otherwise something appeared or vanished meanwhile, or the answer was lost: the next round sees.
            if let Outcome::Done = self.commit(multi, &last[1]).await? {
                return Ok(());
            }
        }
    }

    /// Deletes nodes, children before their parents; those that are not there are fine.
    pub(super) async fn delete_all(&self, paths: &[String]) -> Result<(), CoordinationError> {
        let mut left = paths.to_vec();
        for _ in 0..DELETE_ROUNDS_MAX {
            if left.is_empty() || self.try_delete_all(&left).await? {
                return Ok(());
            }
            // Something is gone already, or an answer was lost: what is still there goes with the next round.
            let nodes = self.coordination.read_all(&left).await?;
            left = left.into_iter().zip(nodes).filter(|(_, node)| node.is_some()).map(|(path, _)| path).collect();
        }
        match left.first() {
            None => Ok(()),
            // Somebody has put nodes below it that are not Kafka's.
            Some(path) => Err(CoordinationError::operation(path, Error::NotEmpty)),
        }
    }

    /// One round; false if some of it may not have been done.
    async fn try_delete_all(&self, paths: &[String]) -> Result<bool, CoordinationError> {
        let client = self.coordination.client();
        let mut pending = Vec::new();
        for chunk in paths.chunks(OPERATIONS_MAX) {
            let mut multi = self.fenced(&client)?;
            for path in chunk {
                multi.add_delete(path, None).map_err(|source| CoordinationError::operation(path, source))?;
            }
            failpoint::reached("controller-write")?;
            pending.push(multi.commit());
        }
        let mut is_done = true;
        for answer in pending {
            match answer.await {
                Ok(_) => failpoint::reached("controller-written")?,
                Err(MultiWriteError::OperationFailed { index: 0, .. }) => {
                    return Err(CoordinationError::ControllerMoved);
                }
                Err(
                    MultiWriteError::OperationFailed { .. }
                    | MultiWriteError::RequestFailed { source: Error::ConnectionLoss | Error::Custom(_) },
                ) => is_done = false,
                Err(error) => return Err(CoordinationError::operation("nodes to delete", error.into())),
            }
        }
        Ok(is_done)
    }

    /// Deletes one node; one that is not there is fine.
    pub(super) async fn delete(&self, path: &str) -> Result<(), CoordinationError> {
        loop {
            let client = self.coordination.client();
            let mut multi = self.fenced(&client)?;
            multi.add_delete(path, None).map_err(|source| CoordinationError::operation(path, source))?;
            match self.commit(multi, path).await? {
                Outcome::Done | Outcome::Refused(Error::NoNode) => return Ok(()),
                Outcome::Refused(source) => return Err(CoordinationError::operation(path, source)),
                Outcome::Unknown => {}
            }
        }
    }

    /// A multi that begins with the check of our epoch.
    pub(super) fn fenced<'a>(&self, client: &'a Client) -> Result<MultiWriter<'a>, CoordinationError> {
        let mut multi = client.new_multi_writer();
        multi
            .add_check_version(paths::CONTROLLER_EPOCH, self.epoch_version)
            .map_err(|source| CoordinationError::operation(paths::CONTROLLER_EPOCH, source))?;
        Ok(multi)
    }

    /// How a node is created at `path`.
    fn persistent(&self, path: &str) -> CreateOptions<'static> {
        self.coordination.inner.session.persistent(path)
    }

    pub(super) async fn commit(&self, mut multi: MultiWriter<'_>, path: &str) -> Result<Outcome, CoordinationError> {
        failpoint::reached("controller-write")?;
        match multi.commit().await {
            Ok(_) => {
                failpoint::reached("controller-written")?;
                Ok(Outcome::Done)
            }
            Err(MultiWriteError::OperationFailed { index: 0, .. }) => Err(CoordinationError::ControllerMoved),
            Err(MultiWriteError::OperationFailed { source, .. }) => Ok(Outcome::Refused(source)),
            Err(MultiWriteError::RequestFailed { source: Error::ConnectionLoss | Error::Custom(_) }) => {
                Ok(Outcome::Unknown)
            }
            Err(error) => Err(CoordinationError::operation(path, error.into())),
        }
    }
}

/// What became of a fenced multi.
pub(super) enum Outcome {
    Done,
    /// The epoch is ours, but an operation could not be made.
    Refused(Error),
    /// The connection broke; it may or may not have been made.
    Unknown,
}

/// `options`: how nodes below `/brokers/topics` are created.
fn add_state_write(
    multi: &mut MultiWriter<'_>,
    write: &Write,
    needs_parent: bool,
    options: &CreateOptions<'_>,
) -> Result<(), Error> {
    match write {
        Write::CreatePartition { partition, state } => {
            if needs_parent {
                multi.add_create(&paths::partitions(&partition.topic), b"", options)?;
            }
            multi.add_create(&paths::partition(partition), b"", options)?;
            multi.add_create(&paths::state(partition), &PartitionStateNode::new(state).encode(), options)
        }
        Write::SetState { partition, state } => {
            let json = PartitionStateNode::new(state).encode();
            multi.add_set_data(&paths::state(partition), &json, Some(state.partition_epoch.0))
        }
        _ => Ok(()),
    }
}

/// The report of a state write that was made: a new node has version 0, a replaced one the next version.
fn done(write: &Write) -> Option<Written> {
    match write {
        Write::CreatePartition { partition, state } => {
            Some(Written::State { partition: partition.clone(), state: state.clone() })
        }
        Write::SetState { partition, state } => {
            let partition_epoch = PartitionEpoch(state.partition_epoch.0 + 1);
            Some(Written::State {
                partition: partition.clone(),
                state: PartitionState { partition_epoch, ..state.clone() },
            })
        }
        _ => None,
    }
}
