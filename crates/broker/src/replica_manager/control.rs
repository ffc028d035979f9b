//! LeaderAndIsr, StopReplica and UpdateMetadata, as `ReplicaManager.scala` takes them.
//!
//! Each request is checked against the newest controller epoch and this broker's epoch, and carried out under one lock.
//! These calls create, open and remove files: they block.

use std::collections::BTreeMap;
use std::sync::Arc;

use whimbrel_model::{ErrorCode, LeaderEpoch, NodeId, TopicPartition, Uuid};
use whimbrel_state::controller::control::{
    ControlHeader, EPOCH_DURING_DELETE, LeaderAndIsrPartition, LeaderAndIsrRequest, LeaderAndIsrResponse,
    LeaderAndIsrTopic, LeaderAndIsrTopicResult, PartitionResult, StopReplicaPartition, StopReplicaRequest,
    StopReplicaResponse, StopReplicaTopicResult, UpdateMetadataRequest,
};
use whimbrel_state::partition::{Assigned, Assignment};

use whimbrel_storage::Creation;

use super::errors::ControlError;
use super::{ConfigFor, Epochs, HostedTopic, Partition, ReplicaManager};
use crate::handlers::ToErrorCode;
use crate::metadata_cache::DeletedPartition;
use crate::time;

/// Partitions whose role on this broker changed: coordinators load or unload by it, fetchers start and stop.
#[derive(Debug, Default)]
pub struct RoleChanges {
    pub leaders: Vec<(Arc<Partition>, LeaderEpoch)>,
    pub followers: Vec<FollowerRole>,
    /// No longer served by this broker at all.
    pub stopped: Vec<(Arc<Partition>, LeaderEpoch)>,
}

/// A partition that this broker follows from now on.
#[derive(Debug, Clone)]
pub struct FollowerRole {
    pub partition: Arc<Partition>,
    pub epoch: LeaderEpoch,
    /// `NodeId::NONE` while there is nobody to follow.
    pub leader: NodeId,
}

impl ReplicaManager {
    /// Makes this broker leader or follower of the listed partitions, creating logs that are missing.
    pub fn become_leader_or_follower(
        &self,
        request: &LeaderAndIsrRequest,
        config_for: ConfigFor<'_>,
    ) -> (LeaderAndIsrResponse, RoleChanges) {
        let mut changes = RoleChanges::default();
        let mut epochs = self.control.lock();
        if let Err(error) = epochs.admit(&request.header) {
            tracing::warn!(controller = %request.header.controller_id, "LeaderAndIsr refused: {error}");
            return (LeaderAndIsrResponse { error: error.error_code(), topics: Vec::new() }, changes);
        }
        let topics = request.topics.iter().map(|topic| LeaderAndIsrTopicResult {
            name: topic.name.clone(),
            id: topic.id,
            partitions: self.assign_topic(topic, config_for, &mut changes),
        });
        let response = LeaderAndIsrResponse { error: ErrorCode::None, topics: topics.collect() };
        if 0 < self.logs.damaged_count() {
            self.damaged.note_told(request, &self.logs);
        }
        (response, changes)
    }

    fn assign_topic(
        &self,
        topic: &LeaderAndIsrTopic,
        config_for: ConfigFor<'_>,
        changes: &mut RoleChanges,
    ) -> Vec<PartitionResult> {
        let known = self.topics.pin().get(&topic.name).cloned();
        let hosted = known.unwrap_or_default();
        let before = hosted.partitions.load_full();
        let mut added = BTreeMap::new();
        let mut results = Vec::with_capacity(topic.partitions.len());
        for wanted in &topic.partitions {
            let error = match self.open(topic, wanted, before.get(&wanted.index), config_for) {
                Ok(partition) => {
                    let error = assign(&partition, wanted, changes);
                    if !before.contains_key(&wanted.index) {
                        added.insert(wanted.index, partition);
                    }
                    error
                }
                Err(code) => code,
            };
            results.push(PartitionResult { index: wanted.index, error });
        }
        if !added.is_empty() {
            let mut all = BTreeMap::clone(&before);
            all.append(&mut added);
            hosted.partitions.store(Arc::new(all));
            self.topics.pin().insert(topic.name.clone(), hosted);
        }
        results
    }

    /// The partition with its log, created if it is not there.
    fn open(
        &self,
        topic: &LeaderAndIsrTopic,
        wanted: &LeaderAndIsrPartition,
        known: Option<&Arc<Partition>>,
        config_for: ConfigFor<'_>,
    ) -> Result<Arc<Partition>, ErrorCode> {
        if let Some(partition) = known {
            let is_other = !topic.id.is_zero() && !partition.topic_id.is_zero() && partition.topic_id != topic.id;
            return match is_other {
                true => Err(ErrorCode::InconsistentTopicId),
                false if self.is_removed(partition, wanted) => Err(ErrorCode::UnknownTopicOrPartition),
                // The controller learns of a failed directory by this code alone.
                false if partition.log.check_usable().is_err() => Err(ErrorCode::KafkaStorageError),
                false => Ok(partition.clone()),
            };
        }
        if !wanted.replicas.contains(&self.own) {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        let topic_partition = TopicPartition::new(topic.name.clone(), wanted.index);
        let config = config_for(&topic.name);
        let topic_id = (!topic.id.is_zero()).then_some(topic.id);
        let how = Creation { topic_id, is_new: wanted.is_new, now_ms: time::wall_clock_ms() };
        let log_config = super::log_config(&config);
        let log = self.logs.get_or_create(&topic_partition, log_config, how).map_err(|error| {
            tracing::error!(%topic_partition, "the log cannot be opened: {error}");
            ErrorCode::KafkaStorageError
        })?;
        let held = log.topic_id().unwrap_or(Uuid::ZERO);
        if !topic.id.is_zero() && held != topic.id {
            tracing::error!(%topic_partition, "the log on disk belongs to topic id {held}, not to {}", topic.id);
            return Err(ErrorCode::InconsistentTopicId);
        }
        Ok(Arc::new(Partition::new(self.cluster.clone(), topic_partition, held, log, config)))
    }

    /// The newer assignment has no replica on this broker; StopReplica follows.
    fn is_removed(&self, partition: &Partition, wanted: &LeaderAndIsrPartition) -> bool {
        partition.leader_epoch() < wanted.leader_epoch && !wanted.replicas.contains(&self.own)
    }

    /// Stops serving the listed partitions; removes their logs where asked.
    pub fn stop_replicas(&self, request: &StopReplicaRequest) -> (StopReplicaResponse, RoleChanges) {
        let mut changes = RoleChanges::default();
        let mut epochs = self.control.lock();
        if let Err(error) = epochs.admit(&request.header) {
            tracing::warn!(controller = %request.header.controller_id, "StopReplica refused: {error}");
            return (StopReplicaResponse { error: error.error_code(), topics: Vec::new() }, changes);
        }
        let topics = request.topics.iter().map(|topic| StopReplicaTopicResult {
            name: topic.name.clone(),
            partitions: self.stop_topic(&topic.name, &topic.partitions, &mut changes),
        });
        let response = StopReplicaResponse { error: ErrorCode::None, topics: topics.collect() };
        (response, changes)
    }

    fn stop_topic(
        &self,
        name: &Arc<str>,
        stopped: &[StopReplicaPartition],
        changes: &mut RoleChanges,
    ) -> Vec<PartitionResult> {
        let hosted = self.topics.pin().get(name).cloned().unwrap_or_default();
        let mut left = BTreeMap::clone(&hosted.partitions.load());
        let mut results = Vec::with_capacity(stopped.len());
        for wanted in stopped {
            let error = match left.get(&wanted.index) {
                Some(partition) if is_fenced(partition, wanted.leader_epoch) => ErrorCode::FencedLeaderEpoch,
                known => {
                    changes.stopped.extend(known.map(|partition| (partition.clone(), wanted.leader_epoch)));
                    // One that is not deleted stays, without fetching, until the controller tells it another role.
                    if wanted.delete {
                        left.remove(&wanted.index);
                    }
                    ErrorCode::None
                }
            };
            results.push(PartitionResult { index: wanted.index, error });
        }
        self.replace(name, &hosted, left);
        // Only now, when no new request finds them: whoever still holds one gets an error from its log.
        let deleted: Vec<TopicPartition> = stopped
            .iter()
            .zip(&results)
            .filter(|(wanted, result)| wanted.delete && result.error.is_ok())
            .map(|(wanted, _)| TopicPartition::new(name.clone(), wanted.index))
            .collect();
        if let Err(error) = self.logs.delete(&deleted, time::wall_clock_ms()) {
            tracing::error!(topic = %name, "logs cannot be deleted: {error}");
            for (_, result) in stopped.iter().zip(&mut results).filter(|(wanted, _)| wanted.delete) {
                result.error = ErrorCode::KafkaStorageError;
            }
        }
        self.damaged.forget_sound(&self.logs);
        for (partition, _) in &changes.stopped {
            partition.wake_all();
        }
        results
    }

    pub(super) fn replace(&self, name: &Arc<str>, hosted: &Arc<HostedTopic>, left: BTreeMap<i32, Arc<Partition>>) {
        if left.is_empty() {
            self.topics.pin().remove(name);
        }
        hosted.partitions.store(Arc::new(left));
    }

    /// Takes the newest view of the cluster. Returns the partitions that are gone.
    ///
    /// # Errors
    /// The request is from an earlier controller, or for an earlier life of this broker.
    pub fn update_metadata(&self, request: &UpdateMetadataRequest) -> Result<Vec<DeletedPartition>, ControlError> {
        self.control.lock().admit(&request.header)?;
        Ok(self.metadata.apply_update(request))
    }

    /// Partitions that are led here.
    pub fn leader_count(&self) -> usize {
        self.partitions().iter().filter(|partition| partition.is_leader()).count()
    }
}

impl Epochs {
    /// A broker epoch above ours passes: the controller may have seen a new registration before we knew of it.
    fn admit(&mut self, header: &ControlHeader) -> Result<(), ControlError> {
        if 0 <= header.broker_epoch.0 && header.broker_epoch < self.broker {
            return Err(ControlError::StaleBrokerEpoch);
        }
        if header.controller_epoch < self.controller {
            return Err(ControlError::StaleControllerEpoch);
        }
        self.controller = header.controller_epoch;
        Ok(())
    }
}

/// Epochs below zero stand for "deleted" and "does not say": they always pass.
fn is_fenced(partition: &Partition, epoch: LeaderEpoch) -> bool {
    EPOCH_DURING_DELETE < epoch && LeaderEpoch::NONE < epoch && epoch < partition.leader_epoch()
}

fn assign(partition: &Arc<Partition>, wanted: &LeaderAndIsrPartition, changes: &mut RoleChanges) -> ErrorCode {
    let assignment = Assignment {
        leader: wanted.leader,
        leader_epoch: wanted.leader_epoch,
        partition_epoch: wanted.partition_epoch,
        isr: wanted.isr.clone(),
        replicas: wanted.replicas.clone(),
    };
    match partition.assign(&assignment) {
        Ok(Assigned::Leader) => changes.leaders.push((partition.clone(), wanted.leader_epoch)),
        Ok(Assigned::Follower) => {
            let (partition, epoch) = (partition.clone(), wanted.leader_epoch);
            changes.followers.push(FollowerRole { partition, epoch, leader: wanted.leader });
        }
        Ok(Assigned::Stale) => return ErrorCode::StaleControllerEpoch,
        Err(error) => {
            tracing::error!(partition = %partition.topic_partition, "the leader epoch cannot be recorded: {error}");
            return ErrorCode::KafkaStorageError;
        }
    }
    ErrorCode::None
}
