//! Topic deletion. Source: Kafka 3.9 `TopicDeletionManager.scala`.
//!
//! ```text
//! Requested ──no write in flight, every replica online──▶ Deleting ──all replicas deleted──▶ Erasing ──▶ forgotten
//!     ▲                                                      │
//!     └──────── a replica went away or refused ──────────────┘   (tried again when a broker starts)
//! ```
//!
//! From `Deleting` on, data is being lost: there is no way back to a topic that serves. A topic leaves clients' sight
//! when it enters `Requested`.

use std::collections::BTreeSet;
use std::sync::Arc;

use whimbrel_model::{ErrorCode, NodeId, TopicPartition, Uuid};

use super::control::StopReplicaResponse;
use super::facts::names_of;
use super::rules::{self, Rule};
use super::{Controller, Write};

/// How far the deletion of a topic has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Deletion {
    /// Asked for; `blocked` until a broker starts.
    Requested { blocked: bool },
    /// Brokers were told to delete; these replicas have not confirmed.
    Deleting { left: BTreeSet<(NodeId, i32)> },
    /// Every replica is gone; the topic's nodes are being removed.
    Erasing,
}

/// A deletion that does not go on by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingDeletion {
    pub topic: Arc<str>,
    /// The brokers that must be there, with the directories of their replicas, before anything is deleted.
    pub brokers: BTreeSet<NodeId>,
}

impl Controller {
    /// The deletions that wait for brokers, sorted by topic. A broker in the list that is alive has refused, or a log
    /// directory of it has failed.
    #[must_use]
    pub fn waiting_deletions(&self) -> Vec<WaitingDeletion> {
        let waits = |deletion: &Option<Deletion>| matches!(deletion, Some(Deletion::Requested { blocked: true }));
        let waiting = self.facts.topics().filter(|topic| waits(&topic.deletion)).map(|topic| {
            let mut brokers = BTreeSet::new();
            for name in names_of(topic) {
                let replicas = topic.partitions.get(&name.partition).map_or(&[][..], |one| &one.replicas[..]);
                brokers.extend(replicas.iter().filter(|&&replica| !self.facts.is_online(replica, &name)));
            }
            WaitingDeletion { topic: Arc::clone(&topic.name), brokers }
        });
        waiting.collect()
    }

    /// Takes in the requests to delete topics. Those for unknown topics, or all while deletion is disabled, are removed.
    pub(super) fn request_deletions(&mut self, topics: Vec<Arc<str>>) {
        for name in topics {
            match self.facts.topic_mut(&name) {
                Some(topic) if self.options.delete_topics => {
                    if topic.deletion.is_none() {
                        topic.deletion = Some(Deletion::Requested { blocked: false });
                        let partitions: Vec<_> = names_of(topic).collect();
                        self.outbox.publish(partitions);
                    }
                }
                _ => self.outbox.write(Write::ForgetDeletion { topic: name }),
            }
        }
        self.start_deletions();
    }

    /// Tries again what waited for a broker.
    pub(super) fn resume_deletions(&mut self) {
        let waiting: Vec<Arc<str>> =
            self.facts.topics().filter(|t| t.deletion.is_some()).map(|t| t.name.clone()).collect();
        for name in waiting {
            if let Some(Deletion::Requested { blocked }) =
                self.facts.topic_mut(&name).and_then(|topic| topic.deletion.as_mut())
            {
                *blocked = false;
            }
        }
        self.start_deletions();
    }

    /// A broker left: what it was to delete waits for its return.
    pub(super) fn suspend_deletions(&mut self, broker: NodeId) {
        let affected = |deletion: &Option<Deletion>| matches!(deletion, Some(Deletion::Deleting { left }) if left.iter().any(|(id, _)| *id == broker));
        let names: Vec<Arc<str>> =
            self.facts.topics().filter(|topic| affected(&topic.deletion)).map(|topic| topic.name.clone()).collect();
        for name in names {
            self.block_deletion(&name);
        }
    }

    /// Notes which replicas a broker has deleted.
    pub(super) fn stop_replica_done(
        &mut self,
        broker: NodeId,
        deleted: &[TopicPartition],
        response: &StopReplicaResponse,
    ) {
        let error_of = |partition: &TopicPartition| {
            let topic = response.topics.iter().find(|topic| topic.name == partition.topic)?;
            topic.partitions.iter().find(|result| result.index == partition.partition).map(|result| result.error)
        };
        self.moved_replicas_stopped(broker, deleted);
        for partition in deleted {
            let error = if response.error.is_ok() { error_of(partition).unwrap_or_default() } else { response.error };
            if error == ErrorCode::None {
                self.replica_deleted(broker, partition);
            } else {
                self.block_deletion(&partition.topic);
            }
        }
    }

    fn replica_deleted(&mut self, broker: NodeId, partition: &TopicPartition) {
        let Some(topic) = self.facts.topic_mut(&partition.topic) else { return };
        let Some(Deletion::Deleting { left }) = &mut topic.deletion else { return };
        left.remove(&(broker, partition.partition));
        if left.is_empty() {
            topic.deletion = Some(Deletion::Erasing);
            self.outbox.write(Write::DeleteTopic { topic: Arc::clone(&topic.name), id: topic.id });
        }
    }

    /// The topic's nodes are gone: forget it.
    pub(super) fn topic_deleted(&mut self, name: &str, id: Uuid) {
        if self.facts.topic(name).is_some_and(|topic| topic.id != id) {
            return;
        }
        if let Some(topic) = self.facts.forget_topic(name) {
            // Brokers forgot it when its deletion was asked for; those that started since may not have.
            self.forgotten(topic);
        }
    }

    fn block_deletion(&mut self, name: &str) {
        if let Some(topic) = self.facts.topic_mut(name)
            && matches!(topic.deletion, Some(Deletion::Deleting { .. }))
        {
            topic.deletion = Some(Deletion::Requested { blocked: true });
        }
    }

    /// Starts the deletions that nothing blocks.
    pub(super) fn start_deletions(&mut self) {
        let waits = |deletion: &Option<Deletion>| matches!(deletion, Some(Deletion::Requested { blocked: false }));
        let names: Vec<Arc<str>> =
            self.facts.topics().filter(|topic| waits(&topic.deletion)).map(|topic| topic.name.clone()).collect();
        for name in names {
            self.start_deletion(&name);
        }
    }

    fn start_deletion(&mut self, name: &str) {
        let Some(topic) = self.facts.topic(name) else { return };
        // A write whose result is unknown could create a state node after the topic's nodes were listed for removal.
        if topic.partitions.values().any(|partition| partition.in_flight.is_some()) {
            return;
        }
        let mut left = BTreeSet::new();
        let mut is_online = true;
        for partition in names_of(topic) {
            let replicas = topic.partitions.get(&partition.partition).map_or(&[][..], |one| &one.replicas[..]);
            left.extend(replicas.iter().map(|&replica| (replica, partition.partition)));
            is_online &= replicas.iter().all(|&replica| self.facts.is_online(replica, &partition));
        }
        let (name, id) = (Arc::clone(&topic.name), topic.id);
        let next = match (is_online, left.is_empty() || !rules::holds(Rule::ReplicasFirst)) {
            (false, _) => Deletion::Requested { blocked: true },
            (true, true) => {
                self.outbox.write(Write::DeleteTopic { topic: Arc::clone(&name), id });
                Deletion::Erasing
            }
            (true, false) => {
                for &(replica, partition) in &left {
                    self.outbox.stop_and_delete(replica, TopicPartition { topic: Arc::clone(&name), partition });
                }
                Deletion::Deleting { left }
            }
        };
        if let Some(topic) = self.facts.topic_mut(&name) {
            topic.deletion = Some(next);
        }
    }
}
