//! What the controller knows. No decisions here, only look-ups and bookkeeping.

use std::collections::BTreeMap;
use std::sync::Arc;

use whimbrel_model::{NodeId, TopicPartition, Uuid};

use super::deletion::Deletion;
use super::election::PartitionState;
use super::{Broker, Snapshot, TopicAssignment};

type HashSet<T> = std::collections::HashSet<T, foldhash::fast::RandomState>;

/// One partition: its assignment and its committed state.
#[derive(Debug, Clone, Default)]
pub(super) struct Partition {
    pub(super) replicas: Vec<NodeId>,
    pub(super) adding_replicas: Vec<NodeId>,
    pub(super) removing_replicas: Vec<NodeId>,
    /// `None` until its state node is known to exist.
    pub(super) state: Option<PartitionState>,
    /// A write of this partition's state has been handed out and its result is not in.
    pub(super) in_flight: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) id: Uuid,
    pub(super) partitions: BTreeMap<i32, Partition>,
    pub(super) unclean_leader_election: Option<bool>,
    /// Set from the moment its deletion is asked for.
    pub(super) deletion: Option<Deletion>,
}

/// How the set of live brokers changed. A broker that bounced is in both lists.
#[derive(Debug, Default)]
pub(super) struct BrokerChange {
    pub(super) lost: Vec<NodeId>,
    pub(super) started: Vec<NodeId>,
    /// Same incarnation, other endpoints or features.
    pub(super) updated: bool,
}

impl BrokerChange {
    pub(super) fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.started.is_empty() && !self.updated
    }
}

#[derive(Debug, Default)]
pub(super) struct Facts {
    brokers: BTreeMap<NodeId, Broker>,
    topics: BTreeMap<Arc<str>, Topic>,
    /// Replicas on a failed directory of a broker that is alive.
    offline_replicas: HashSet<(NodeId, TopicPartition)>,
}

impl Facts {
    pub(super) fn load(&mut self, snapshot: &Snapshot) {
        self.brokers = snapshot.brokers.iter().map(|broker| (broker.id, broker.clone())).collect();
        for topic in &snapshot.topics {
            self.upsert_topic(topic.clone());
        }
        for (name, state) in &snapshot.states {
            if let Some(partition) = self.partition_mut(name) {
                partition.state = Some(state.clone());
            }
        }
    }

    pub(super) fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.values()
    }

    pub(super) fn broker_ids(&self) -> Vec<NodeId> {
        self.brokers.keys().copied().collect()
    }

    pub(super) fn broker(&self, id: NodeId) -> Option<&Broker> {
        self.brokers.get(&id)
    }

    /// Replaces the set of live brokers. The directories of a new incarnation count as good until it says otherwise.
    pub(super) fn replace_brokers(&mut self, brokers: Vec<Broker>) -> BrokerChange {
        let next: BTreeMap<NodeId, Broker> = brokers.into_iter().map(|broker| (broker.id, broker)).collect();
        let mut change = BrokerChange::default();
        for (id, old) in &self.brokers {
            match next.get(id) {
                None => change.lost.push(*id),
                Some(new) if old.epoch < new.epoch => change.lost.push(*id),
                Some(new) => change.updated |= new.endpoints != old.endpoints,
            }
        }
        let is_started = |new: &&Broker| self.brokers.get(&new.id).is_none_or(|old| old.epoch < new.epoch);
        change.started = next.values().filter(is_started).map(|broker| broker.id).collect();
        self.offline_replicas.retain(|(id, _)| !change.lost.contains(id));
        self.brokers = next;
        change
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.values()
    }

    pub(super) fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    pub(super) fn topic_mut(&mut self, name: &str) -> Option<&mut Topic> {
        self.topics.get_mut(name)
    }

    pub(super) fn partition(&self, name: &TopicPartition) -> Option<&Partition> {
        self.topics.get(&name.topic)?.partitions.get(&name.partition)
    }

    pub(super) fn partition_mut(&mut self, name: &TopicPartition) -> Option<&mut Partition> {
        self.topics.get_mut(&name.topic)?.partitions.get_mut(&name.partition)
    }

    /// Adds a topic or takes over its new partitions; the partitions that are new are returned.
    ///
    /// The replicas of partitions that exist do not change here: that is a reassignment, which has its own steps.
    pub(super) fn upsert_topic(&mut self, assignment: TopicAssignment) -> Vec<TopicPartition> {
        let TopicAssignment { name, id, partitions, unclean_leader_election } = assignment;
        let topic = self.topics.entry(Arc::clone(&name)).or_insert_with(|| Topic {
            name: Arc::clone(&name),
            id,
            partitions: BTreeMap::new(),
            unclean_leader_election,
            deletion: None,
        });
        let mut added = Vec::new();
        for one in partitions {
            topic.partitions.entry(one.index).or_insert_with(|| {
                added.push(TopicPartition { topic: Arc::clone(&name), partition: one.index });
                Partition {
                    replicas: one.replicas,
                    adding_replicas: one.adding_replicas,
                    removing_replicas: one.removing_replicas,
                    state: None,
                    in_flight: false,
                }
            });
        }
        added
    }

    /// Forgets topics that are not listed; they are returned.
    pub(super) fn forget_all_topics_but(&mut self, names: &[Arc<str>]) -> Vec<Topic> {
        let kept: HashSet<&str> = names.iter().map(|name| &**name).collect();
        let gone: Vec<Arc<str>> = self.topics.keys().filter(|name| !kept.contains(&***name)).cloned().collect();
        gone.iter().filter_map(|name| self.forget_topic(name)).collect()
    }

    pub(super) fn forget_topic(&mut self, name: &str) -> Option<Topic> {
        self.offline_replicas.retain(|(_, partition)| &*partition.topic != name);
        self.topics.remove(name)
    }

    pub(super) fn set_unclean_election(&mut self, topic: &str, allowed: Option<bool>) -> Vec<TopicPartition> {
        let Some(topic) = self.topics.get_mut(topic) else { return Vec::new() };
        topic.unclean_leader_election = allowed;
        names_of(topic).collect()
    }

    pub(super) fn all_partitions(&self) -> Vec<TopicPartition> {
        self.topics.values().flat_map(names_of).collect()
    }

    pub(super) fn partitions_with_state(&self) -> Vec<TopicPartition> {
        self.partitions_where(|_, partition| partition.state.is_some())
    }

    /// The partitions with a state that have a replica on this broker, those of topics in deletion excepted.
    pub(super) fn partitions_on(&self, broker: NodeId) -> Vec<TopicPartition> {
        self.partitions_where(|topic, partition| {
            topic.deletion.is_none() && partition.state.is_some() && partition.replicas.contains(&broker)
        })
    }

    fn partitions_where(&self, keep: impl Fn(&Topic, &Partition) -> bool) -> Vec<TopicPartition> {
        let mut names = Vec::new();
        for topic in self.topics.values() {
            let kept = topic.partitions.iter().filter(|(_, partition)| keep(topic, partition));
            names.extend(kept.map(|(&partition, _)| TopicPartition { topic: Arc::clone(&topic.name), partition }));
        }
        names
    }

    /// Whether the replica of this partition can serve: its broker is alive and its directory has not failed.
    pub(super) fn is_online(&self, replica: NodeId, partition: &TopicPartition) -> bool {
        self.brokers.contains_key(&replica)
            && (self.offline_replicas.is_empty() || !self.offline_replicas.contains(&(replica, partition.clone())))
    }

    /// Marks a replica as on a failed directory; true if that is news.
    pub(super) fn set_replica_offline(&mut self, broker: NodeId, partition: &TopicPartition) -> bool {
        self.offline_replicas.insert((broker, partition.clone()))
    }

    /// Clears the mark; true if that is news.
    pub(super) fn set_replica_online(&mut self, broker: NodeId, partition: &TopicPartition) -> bool {
        !self.offline_replicas.is_empty() && self.offline_replicas.remove(&(broker, partition.clone()))
    }
}

/// The names of a topic's partitions, by index.
pub(super) fn names_of(topic: &Topic) -> impl Iterator<Item = TopicPartition> {
    topic.partitions.keys().map(|&partition| TopicPartition { topic: Arc::clone(&topic.name), partition })
}
