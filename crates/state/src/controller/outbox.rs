//! Collects what one input leads to, and turns it into as few requests as possible.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use whimbrel_model::{ControllerEpoch, LeaderEpoch, NodeId, PartitionEpoch, TopicPartition};

use super::control::{
    ControlHeader, ControllerResponse, EPOCH_DURING_DELETE, LEADER_DURING_DELETE, LeaderAndIsrPartition,
    LeaderAndIsrRequest, LeaderAndIsrTopic, LiveBroker, LiveLeader, RequestId, StopReplicaPartition,
    StopReplicaRequest, StopReplicaTopic, UpdateMetadataPartition, UpdateMetadataRequest, UpdateMetadataTopic,
};
use super::facts::{Facts, Partition, Topic};
use super::{Action, Broker, ControllerOptions, Write};

/// What is to be said since the last flush. Partition states are read at the flush, so nothing here can be stale.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    writes: Vec<Write>,
    /// Per broker, the partitions whose role it must be told, and whether the replica is new to it.
    roles: BTreeMap<NodeId, BTreeMap<TopicPartition, bool>>,
    /// Brokers that must get an UpdateMetadata even if no partition changed.
    announce: BTreeSet<NodeId>,
    /// Partitions that changed, for all brokers.
    published: BTreeSet<TopicPartition>,
    /// Further partitions for these brokers only.
    published_to: Option<(Vec<NodeId>, Vec<TopicPartition>)>,
    /// Topics that are gone from coordination and no longer among the facts.
    deleted: Vec<Topic>,
    /// Per broker, the replicas to stop, and those to delete.
    stops: BTreeMap<NodeId, BTreeMap<TopicPartition, (LeaderEpoch, bool)>>,
    legacy_reassignments: Option<Vec<(TopicPartition, Vec<NodeId>)>>,
    answers: Vec<(RequestId, ControllerResponse)>,
}

impl Outbox {
    pub(super) fn write(&mut self, write: Write) {
        self.writes.push(write);
    }

    /// Tells a broker its role in a partition. `is_new` sticks until the flush.
    pub(super) fn tell(&mut self, broker: NodeId, partition: TopicPartition, is_new: bool) {
        *self.roles.entry(broker).or_default().entry(partition).or_insert(false) |= is_new;
    }

    pub(super) fn announce_brokers(&mut self, to: impl IntoIterator<Item = NodeId>) {
        self.announce.extend(to);
    }

    pub(super) fn publish(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) {
        self.published.extend(partitions);
    }

    pub(super) fn publish_to(&mut self, brokers: &[NodeId], partitions: Vec<TopicPartition>) {
        self.published_to = Some((brokers.to_vec(), partitions));
    }

    pub(super) fn publish_deleted(&mut self, topic: Topic) {
        self.deleted.push(topic);
    }

    pub(super) fn stop_and_delete(&mut self, broker: NodeId, partition: TopicPartition) {
        self.stop(broker, partition, EPOCH_DURING_DELETE, true);
    }

    pub(super) fn stop(&mut self, broker: NodeId, partition: TopicPartition, epoch: LeaderEpoch, delete: bool) {
        self.stops.entry(broker).or_default().insert(partition, (epoch, delete));
    }

    /// Leaves these in the legacy request for reassignments.
    pub(super) fn keep_legacy_reassignments(&mut self, kept: Vec<(TopicPartition, Vec<NodeId>)>) {
        self.legacy_reassignments = Some(kept);
    }

    pub(super) fn answer(&mut self, id: RequestId, response: ControllerResponse) {
        self.answers.push((id, response));
    }

    /// Turns all that was collected into actions: writes, then LeaderAndIsr, UpdateMetadata and StopReplica.
    pub(super) fn flush(&mut self, options: &ControllerOptions, facts: &Facts, actions: &mut Vec<Action>) {
        let mut all = std::mem::take(self);
        let header = |broker: &Broker| ControlHeader {
            controller_id: options.id,
            controller_epoch: options.epoch,
            broker_epoch: broker.epoch,
        };
        all.writes.extend(all.legacy_reassignments.take().map(Write::KeepReassignments));
        if !all.writes.is_empty() {
            actions.push(Action::Write(std::mem::take(&mut all.writes)));
        }
        for (broker, partitions) in &all.roles {
            let Some(broker) = facts.broker(*broker) else { continue };
            let topics = role_topics(facts, partitions);
            if !topics.is_empty() {
                let live_leaders = live_leaders(options, facts, &topics);
                let request = LeaderAndIsrRequest { header: header(broker), topics, live_leaders };
                actions.push(Action::LeaderAndIsr(broker.id, request));
            }
        }
        all.metadata(facts, header, actions);
        for (broker, partitions) in &all.stops {
            let Some(broker) = facts.broker(*broker) else { continue };
            let request = StopReplicaRequest { header: header(broker), topics: stop_topics(partitions) };
            actions.push(Action::StopReplica(broker.id, request));
        }
        actions.extend(all.answers.into_iter().map(|(id, response)| Action::Answer { id, response }));
    }

    fn metadata(&self, facts: &Facts, header: impl Fn(&Broker) -> ControlHeader, actions: &mut Vec<Action>) {
        let mut topics = metadata_topics(facts, &self.published);
        topics.extend(self.deleted.iter().map(deleted_topic));
        let common: Arc<[UpdateMetadataTopic]> = topics.into();
        let (only, extra) = match &self.published_to {
            Some((brokers, partitions)) => {
                let all: BTreeSet<_> = partitions.iter().chain(&self.published).cloned().collect();
                (brokers.as_slice(), metadata_topics(facts, &all).into())
            }
            None => ([].as_slice(), Arc::<[UpdateMetadataTopic]>::from([])),
        };
        if common.is_empty() && self.announce.is_empty() && only.is_empty() {
            return;
        }
        // A suspect stays among them while it is registered: a client that sees a broker vanish from the list (librdkafka)
        // drops what it has queued for it, and then takes a second longer to find the new leader.
        let live_brokers: Arc<[LiveBroker]> = facts.brokers().map(Broker::as_live).collect();
        for broker in facts.brokers() {
            let is_addressed = self.announce.contains(&broker.id) || only.contains(&broker.id) || !common.is_empty();
            if is_addressed {
                let topics = Arc::clone(if only.contains(&broker.id) { &extra } else { &common });
                let live_brokers = Arc::clone(&live_brokers);
                let request = UpdateMetadataRequest { header: header(broker), topics, live_brokers };
                actions.push(Action::UpdateMetadata(broker.id, request));
            }
        }
    }
}

/// Groups names, which are sorted, by topic.
fn by_topic<'a>(names: impl IntoIterator<Item = &'a TopicPartition>) -> Vec<(&'a Arc<str>, Vec<&'a TopicPartition>)> {
    let mut groups: Vec<(&Arc<str>, Vec<&TopicPartition>)> = Vec::new();
    for name in names {
        match groups.last_mut() {
            Some((topic, members)) if *topic == &name.topic => members.push(name),
            _ => groups.push((&name.topic, vec![name])),
        }
    }
    groups
}

fn role_topics(facts: &Facts, partitions: &BTreeMap<TopicPartition, bool>) -> Vec<LeaderAndIsrTopic> {
    let role = |topic: &Topic, name: &TopicPartition| {
        let partition = topic.partitions.get(&name.partition)?;
        let state = partition.state.as_ref()?;
        Some(LeaderAndIsrPartition {
            index: name.partition,
            controller_epoch: state.controller_epoch,
            leader: state.leader,
            leader_epoch: state.leader_epoch,
            isr: state.isr_brokers(),
            partition_epoch: state.partition_epoch,
            replicas: partition.replicas.clone(),
            adding_replicas: partition.adding_replicas.clone(),
            removing_replicas: partition.removing_replicas.clone(),
            is_new: partitions.get(name).copied().unwrap_or(false),
            recovery_state: state.recovery_state,
        })
    };
    let mut topics = Vec::new();
    for (name, members) in by_topic(partitions.keys()) {
        let Some(topic) = facts.topic(name).filter(|topic| topic.deletion.is_none()) else { continue };
        let partitions: Vec<_> = members.into_iter().filter_map(|member| role(topic, member)).collect();
        if !partitions.is_empty() {
            topics.push(LeaderAndIsrTopic { name: Arc::clone(name), id: topic.id, partitions });
        }
    }
    topics
}

fn live_leaders(options: &ControllerOptions, facts: &Facts, topics: &[LeaderAndIsrTopic]) -> Vec<LiveLeader> {
    let leaders: BTreeSet<NodeId> =
        topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.leader).collect();
    let address = |leader: NodeId| {
        let endpoint =
            facts.broker(leader)?.endpoints.iter().find(|endpoint| endpoint.listener == options.control_listener)?;
        Some(LiveLeader { id: leader, host: Arc::clone(&endpoint.host), port: endpoint.port })
    };
    leaders.into_iter().filter_map(address).collect()
}

/// The topics of an UpdateMetadata. Partitions without a state are left out; those of topics in deletion are removed.
fn metadata_topics(facts: &Facts, names: &BTreeSet<TopicPartition>) -> Vec<UpdateMetadataTopic> {
    let mut topics = Vec::new();
    for (name, members) in by_topic(names) {
        let Some(topic) = facts.topic(name) else { continue };
        if topic.deletion.is_some() {
            topics.push(deleted_topic(topic));
            continue;
        }
        let entry = |name: &TopicPartition| published(facts, name, topic.partitions.get(&name.partition)?);
        let partitions: Vec<_> = members.into_iter().filter_map(entry).collect();
        if !partitions.is_empty() {
            topics.push(UpdateMetadataTopic { name: Arc::clone(name), id: topic.id, partitions });
        }
    }
    topics
}

fn published(facts: &Facts, name: &TopicPartition, partition: &Partition) -> Option<UpdateMetadataPartition> {
    let state = partition.state.as_ref()?;
    let offline = partition.replicas.iter().copied().filter(|&replica| !facts.is_online(replica, name));
    Some(UpdateMetadataPartition {
        index: name.partition,
        controller_epoch: state.controller_epoch,
        leader: state.leader,
        leader_epoch: state.leader_epoch,
        isr: state.isr_brokers(),
        partition_epoch: state.partition_epoch,
        replicas: partition.replicas.clone(),
        offline_replicas: offline.collect(),
    })
}

/// All partitions of a topic with the leader that tells receivers to forget them.
fn deleted_topic(topic: &Topic) -> UpdateMetadataTopic {
    let gone = |(&index, partition): (&i32, &Partition)| UpdateMetadataPartition {
        index,
        controller_epoch: partition.state.as_ref().map_or(ControllerEpoch(0), |state| state.controller_epoch),
        leader: LEADER_DURING_DELETE,
        leader_epoch: LeaderEpoch(0),
        isr: Vec::new(),
        partition_epoch: PartitionEpoch(0),
        replicas: partition.replicas.clone(),
        offline_replicas: Vec::new(),
    };
    let partitions = topic.partitions.iter().map(gone).collect();
    UpdateMetadataTopic { name: Arc::clone(&topic.name), id: topic.id, partitions }
}

fn stop_topics(partitions: &BTreeMap<TopicPartition, (LeaderEpoch, bool)>) -> Vec<StopReplicaTopic> {
    let stop = |name: &TopicPartition| {
        let &(leader_epoch, delete) = partitions.get(name)?;
        Some(StopReplicaPartition { index: name.partition, leader_epoch, delete })
    };
    by_topic(partitions.keys())
        .into_iter()
        .map(|(name, members)| StopReplicaTopic {
            name: Arc::clone(name),
            partitions: members.into_iter().filter_map(stop).collect(),
        })
        .collect()
}
