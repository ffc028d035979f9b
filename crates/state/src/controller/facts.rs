//! What the controller knows. No decisions here, only look-ups and bookkeeping.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use whimbrel_model::{BrokerEpoch, NodeId, TopicPartition, Uuid};

use super::deletion::Deletion;
use super::election::{PartitionState, Presence, Standing};
use super::tasks::{Flight, Task};
use super::{Broker, Snapshot, TopicAssignment, TopicSettings};

type HashMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;
type HashSet<T> = std::collections::HashSet<T, foldhash::fast::RandomState>;

/// One partition: its assignment, its committed state, and what is under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Partition {
    pub(super) replicas: Vec<NodeId>,
    pub(super) adding_replicas: Vec<NodeId>,
    pub(super) removing_replicas: Vec<NodeId>,
    /// `None` until its state node is known to exist.
    pub(super) state: Option<PartitionState>,
    /// The write of this partition that has been handed out and whose result is not in.
    pub(super) in_flight: Option<Flight>,
    /// What is to be done once nothing is in flight, in order.
    pub(super) tasks: VecDeque<Task>,
    /// Its replicas have yet to be told of its state. They are told when no further change of it is called for.
    pub(super) is_untold: bool,
    /// Its leader has yet to learn of the replicas as they are assigned: it takes a new leader epoch.
    pub(super) is_assignment_untold: bool,
    /// Its adding replicas are told of it for the first time.
    pub(super) are_adding_new: bool,
    /// It has moved, and coordination still lists the replicas that are gone.
    pub(super) owes_assignment: bool,
    /// The replicas that are to be deleted before coordination forgets them.
    pub(super) stopping: BTreeSet<NodeId>,
    /// Its replicas were never told of it: they may create their logs.
    pub(super) is_new: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) id: Uuid,
    pub(super) partitions: BTreeMap<i32, Partition>,
    pub(super) settings: TopicSettings,
    /// Set from the moment its deletion is asked for.
    pub(super) deletion: Option<Deletion>,
}

/// How the set of live brokers changed. A broker that bounced is in both lists.
#[derive(Debug, Default)]
pub(super) struct BrokerChange {
    pub(super) lost: Vec<NodeId>,
    pub(super) started: Vec<NodeId>,
    /// Same incarnation, other endpoints or features.
    pub(super) updated: Vec<NodeId>,
}

impl BrokerChange {
    pub(super) fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.started.is_empty() && self.updated.is_empty()
    }
}

#[derive(Debug, Default)]
pub(super) struct Facts {
    brokers: BTreeMap<NodeId, Broker>,
    /// Incarnations that give no sign of life.
    suspected: BTreeMap<NodeId, BrokerEpoch>,
    /// Brokers that are about to stop, until they are gone or have come back.
    shutting_down: BTreeSet<NodeId>,
    topics: BTreeMap<Arc<str>, Topic>,
    /// The names of the topics that have an id.
    topic_names: HashMap<Uuid, Arc<str>>,
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
            let state = self.with_epochs(state.clone());
            if let Some(partition) = self.partition_mut(name) {
                partition.state = Some(state);
            }
        }
    }

    /// The state with the epochs filled in that it does not record: those of the brokers as they are registered now.
    /// A broker that comes back later is then known to be another incarnation.
    pub(super) fn with_epochs(&self, mut state: PartitionState) -> PartitionState {
        for member in state.isr.iter_mut().filter(|member| member.epoch == BrokerEpoch::NONE) {
            member.epoch = self.brokers.get(&member.broker).map_or(BrokerEpoch::NONE, |broker| broker.epoch);
        }
        state
    }

    pub(super) fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.values()
    }

    /// The registered brokers that are not suspected.
    pub(super) fn live_brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.values().filter(|broker| !self.suspected.contains_key(&broker.id))
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
                Some(new) if new.endpoints != old.endpoints => change.updated.push(*id),
                Some(_) => {}
            }
        }
        let is_started = |new: &&Broker| self.brokers.get(&new.id).is_none_or(|old| old.epoch < new.epoch);
        change.started = next.values().filter(is_started).map(|broker| broker.id).collect();
        self.offline_replicas.retain(|(id, _)| !change.lost.contains(id));
        self.suspected.retain(|id, _| !change.lost.contains(id));
        self.shutting_down.retain(|id| !change.lost.contains(id));
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
        let TopicAssignment { name, id, partitions, settings } = assignment;
        if !id.is_zero() {
            self.topic_names.insert(id, Arc::clone(&name));
        }
        let topic = self.topics.entry(Arc::clone(&name)).or_insert_with(|| Topic {
            name: Arc::clone(&name),
            id,
            partitions: BTreeMap::new(),
            settings,
            deletion: None,
        });
        let mut added = Vec::new();
        for one in partitions {
            topic.partitions.entry(one.index).or_insert_with(|| {
                added.push(TopicPartition { topic: Arc::clone(&name), partition: one.index });
                Partition {
                    // Whether an earlier controller got so far as to tell its leader, nobody knows.
                    is_assignment_untold: !one.adding_replicas.is_empty() || !one.removing_replicas.is_empty(),
                    replicas: one.replicas,
                    adding_replicas: one.adding_replicas,
                    removing_replicas: one.removing_replicas,
                    ..Partition::default()
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
        let topic = self.topics.remove(name)?;
        self.topic_names.remove(&topic.id);
        Some(topic)
    }

    pub(super) fn set_topic_settings(&mut self, topic: &str, settings: TopicSettings) -> Vec<TopicPartition> {
        let Some(topic) = self.topics.get_mut(topic) else { return Vec::new() };
        topic.settings = settings;
        names_of(topic).collect()
    }

    /// The topic with this id.
    pub(super) fn topic_by_id(&self, id: Uuid) -> Option<&Topic> {
        self.topics.get(self.topic_names.get(&id)?)
    }

    pub(super) fn all_partitions(&self) -> Vec<TopicPartition> {
        self.topics.values().flat_map(names_of).collect()
    }

    /// The partitions that have a replica on one of these brokers, without a state or with one.
    pub(super) fn assigned_to(&self, brokers: &BTreeSet<NodeId>) -> Vec<TopicPartition> {
        self.partitions_where(|_, partition| partition.replicas.iter().any(|replica| brokers.contains(replica)))
    }

    /// The partitions that have moved and wait for a replica on this broker to be deleted.
    pub(super) fn stopping_on(&self, broker: NodeId) -> Vec<TopicPartition> {
        self.partitions_where(|_, partition| partition.stopping.contains(&broker))
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

    /// Marks an incarnation as suspected; true if that is news.
    pub(super) fn suspect(&mut self, broker: NodeId, epoch: BrokerEpoch) -> bool {
        self.brokers.get(&broker).is_some_and(|known| known.epoch == epoch)
            && self.suspected.insert(broker, epoch).is_none()
    }

    /// Clears the mark; true if that is news.
    pub(super) fn clear(&mut self, broker: NodeId) -> bool {
        self.suspected.remove(&broker).is_some()
    }

    /// Whether a broker is registered, not suspected, and not about to stop.
    pub(super) fn is_live(&self, broker: NodeId) -> bool {
        self.brokers.contains_key(&broker)
            && !self.suspected.contains_key(&broker)
            && !self.shutting_down.contains(&broker)
    }

    pub(super) fn shut_down(&mut self, broker: NodeId) {
        self.shutting_down.insert(broker);
    }

    /// Whether the replica of this partition can serve: its broker is alive and its directory has not failed.
    pub(super) fn is_online(&self, replica: NodeId, partition: &TopicPartition) -> bool {
        self.presence(replica, partition) == Presence::Online
    }

    fn presence(&self, replica: NodeId, partition: &TopicPartition) -> Presence {
        if !self.brokers.contains_key(&replica) {
            Presence::Offline
        } else if !self.offline_replicas.is_empty() && self.offline_replicas.contains(&(replica, partition.clone())) {
            Presence::DirectoryFailed
        } else if self.suspected.contains_key(&replica) {
            Presence::Suspected
        } else if self.shutting_down.contains(&replica) {
            Presence::ShuttingDown
        } else {
            Presence::Online
        }
    }

    /// What is known of the broker of this replica.
    pub(super) fn standing(&self, replica: NodeId, partition: &TopicPartition) -> Standing {
        let presence = self.presence(replica, partition);
        match self.brokers.get(&replica) {
            Some(broker) => Standing {
                presence,
                epoch: broker.epoch,
                intact_since: broker.intact_since,
                running_since: broker.running_since,
            },
            None => Standing {
                presence,
                epoch: BrokerEpoch::NONE,
                intact_since: BrokerEpoch::NONE,
                running_since: BrokerEpoch::NONE,
            },
        }
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
