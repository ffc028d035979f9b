//! Carries changes of in-sync sets to the controller, and looks for members that lag.
//!
//! One request is under way at a time and holds all changes that wait (`AlterPartitionManager.scala`). Whatever keeps it
//! from being answered, it is sent again: a change is pending in its partition until the controller has said what became
//! of it, and repeating one that was made is answered with the state that it made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use whimbrel_model::{BrokerEpoch, ErrorCode, TopicPartition};
use whimbrel_state::controller::control::{
    AlterPartitionData, AlterPartitionError, AlterPartitionRequest, AlterPartitionResponse, AlterPartitionTopic,
    AlteredPartition, IsrMember, LeaderRecoveryState,
};
use whimbrel_state::partition::CommittedState;

use super::ReplicaManager;
use super::partition::IsrProposal;
use crate::Broker;

/// Before what failed is sent again, as in Kafka.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A request is given this long to reach a controller before it is made anew, with what has changed meanwhile.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Asks every partition that is led here, at half of `replica.lag.time.max.ms`, whether its followers keep up.
pub async fn watch_laggards(replicas: Arc<ReplicaManager>, lag_max: Duration, stop: CancellationToken) {
    let mut ticks = interval((lag_max / 2).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        for partition in replicas.partitions() {
            partition.look_for_laggards();
        }
    }
}

/// Sends what the partitions propose, until `stop`.
pub async fn send_proposals(broker: Arc<Broker>, stop: CancellationToken) {
    let Some(mut proposals) = broker.replicas.take_proposals() else { return };
    let work = async {
        let mut waiting: BTreeMap<TopicPartition, IsrProposal> = BTreeMap::new();
        loop {
            if waiting.is_empty() {
                let Some(first) = proposals.recv().await else { return };
                add(&mut waiting, first);
            }
            while let Ok(more) = proposals.try_recv() {
                add(&mut waiting, more);
            }
            let request = request(&broker.replicas, &waiting);
            let answer = broker.to_controller.alter_partition(request, Instant::now() + ATTEMPT).await;
            match answer {
                Ok(response) if response.error.is_ok() => waiting = answered(waiting, response),
                Ok(response) => tracing::warn!("the controller refuses changes of in-sync sets: {}", response.error),
                Err(error) => tracing::warn!("in-sync sets cannot be changed: {error}"),
            }
            if !waiting.is_empty() {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// A newer proposal of a partition takes the place of the one before: that is over.
fn add(waiting: &mut BTreeMap<TopicPartition, IsrProposal>, proposal: IsrProposal) {
    waiting.insert(proposal.partition.topic_partition.clone(), proposal);
}

fn request(replicas: &ReplicaManager, waiting: &BTreeMap<TopicPartition, IsrProposal>) -> AlterPartitionRequest {
    let (own, own_epoch) = (replicas.own(), replicas.broker_epoch());
    let mut topics: Vec<AlterPartitionTopic> = Vec::new();
    for (key, IsrProposal { partition, proposal }) in waiting {
        let member = |(broker, epoch): &(_, BrokerEpoch)| IsrMember {
            broker: *broker,
            epoch: if *broker == own { own_epoch } else { *epoch },
        };
        let data = AlterPartitionData {
            index: key.partition,
            leader_epoch: proposal.leader_epoch,
            new_isr: proposal.isr.iter().map(member).collect(),
            recovery_state: LeaderRecoveryState::Recovered,
            partition_epoch: proposal.partition_epoch,
        };
        match topics.last_mut() {
            Some(topic) if topic.name == key.topic => topic.partitions.push(data),
            _ => topics.push(AlterPartitionTopic {
                name: key.topic.clone(),
                id: partition.topic_id,
                partitions: vec![data],
            }),
        }
    }
    AlterPartitionRequest { broker: own, broker_epoch: own_epoch, topics }
}

/// Gives each partition its answer. Returns what has to be asked again.
fn answered(
    mut waiting: BTreeMap<TopicPartition, IsrProposal>,
    response: AlterPartitionResponse,
) -> BTreeMap<TopicPartition, IsrProposal> {
    // From version 2 on topics are named by their ids alone.
    let names: BTreeMap<_, _> = waiting.iter().map(|(key, it)| (it.partition.topic_id, key.topic.clone())).collect();
    let mut again = BTreeMap::new();
    for topic in response.topics {
        let name = if topic.name.is_empty() { names.get(&topic.id).cloned() } else { Some(topic.name) };
        let Some(name) = name else { continue };
        for result in topic.partitions {
            let key = TopicPartition { topic: name.clone(), partition: result.index };
            let Some(IsrProposal { partition, proposal }) = waiting.remove(&key) else { continue };
            let state = result.result.map(committed).map_err(error_code);
            if let Some(proposal) = partition.altered(proposal.ticket, state.as_ref().map_err(|code| *code)) {
                again.insert(key, IsrProposal { partition, proposal });
            }
        }
    }
    // What the controller left out is asked again.
    again.append(&mut waiting);
    again
}

fn committed(state: AlteredPartition) -> CommittedState {
    CommittedState { leader_epoch: state.leader_epoch, partition_epoch: state.partition_epoch, isr: state.isr }
}

fn error_code(error: AlterPartitionError) -> ErrorCode {
    match error {
        AlterPartitionError::UnknownTopicId => ErrorCode::UnknownTopicId,
        AlterPartitionError::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
        AlterPartitionError::StaleController => ErrorCode::NotController,
        AlterPartitionError::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
        AlterPartitionError::StalePartitionEpoch => ErrorCode::InvalidUpdateVersion,
        AlterPartitionError::InvalidRequest => ErrorCode::InvalidRequest,
        AlterPartitionError::IneligibleReplica => ErrorCode::IneligibleReplica,
    }
}
