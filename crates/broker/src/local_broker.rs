//! What the parts of this process tell the broker: its controller, the flushers of its log directories, and the
//! followers of dynamic configuration.

use std::path::Path;
use std::sync::Arc;

use whimbrel_model::{Offset, TopicPartition};
use whimbrel_state::controller::control::{
    LeaderAndIsrRequest, LeaderAndIsrResponse, LiveLeader, StopReplicaRequest, StopReplicaResponse,
    UpdateMetadataRequest, UpdateMetadataResponse,
};
use whimbrel_storage::StorageListener;

use crate::Broker;
use crate::config::TopicConfig;
use crate::controller::ControlledBroker;
use crate::coordination::{ConfigChange, ConfigEntity};
use crate::handlers::ToErrorCode;
use crate::replica_manager::{Partition, ReplicaManager, RoleChanges};
use crate::topics;

impl ControlledBroker for Broker {
    fn become_leader_or_follower(&self, request: LeaderAndIsrRequest) -> LeaderAndIsrResponse {
        let (response, changes) = self.replicas.become_leader_or_follower(&request, &|topic| self.topic_config(topic));
        self.roles_changed(&changes, &request.live_leaders);
        response
    }

    fn update_metadata(&self, request: UpdateMetadataRequest) -> UpdateMetadataResponse {
        match self.replicas.update_metadata(&request) {
            Ok(deleted) => {
                self.coordination.note_controller_epoch(request.header.controller_epoch);
                self.groups.on_partitions_deleted(deleted);
                UpdateMetadataResponse::default()
            }
            Err(error) => UpdateMetadataResponse { error: error.error_code() },
        }
    }

    fn stop_replicas(&self, request: StopReplicaRequest) -> StopReplicaResponse {
        let (response, changes) = self.replicas.stop_replicas(&request);
        self.roles_changed(&changes, &[]);
        response
    }

    fn lets_others_lead(&self) -> bool {
        self.liveness().is_some_and(|monitor| monitor.is_cut_off())
    }
}

impl Broker {
    /// The settings of a topic: its own over the broker's.
    pub fn topic_config(&self, topic: &str) -> Arc<TopicConfig> {
        let config = self.config();
        let overrides = self.coordination.topic_config(topic);
        if overrides.is_empty() {
            return self.default_topic_config();
        }
        match TopicConfig::resolve(&config.layers, &overrides) {
            Ok(resolved) => Arc::new(resolved),
            Err(error) => {
                // Written by someone who checked less. The topic is served with what the broker would give it.
                tracing::error!(topic, "the topic's configuration is not used: {error}");
                self.default_topic_config()
            }
        }
    }

    /// Fetchers follow what is led elsewhere, coordinators load what is led here, and both let go of the rest.
    pub(crate) fn roles_changed(&self, changes: &RoleChanges, leaders: &[LiveLeader]) {
        self.fetchers.apply(changes, leaders);
        let holds_groups = |partition: &Partition| *partition.topic_partition.topic == *topics::CONSUMER_OFFSETS;
        for (partition, epoch) in changes.leaders.iter().filter(|(partition, _)| holds_groups(partition)) {
            self.groups.on_become_leader(partition, *epoch);
        }
        let followers = changes.followers.iter().map(|role| (&role.partition, role.epoch));
        let resigned = followers.chain(changes.stopped.iter().map(|(partition, epoch)| (partition, *epoch)));
        for (partition, epoch) in resigned.filter(|(partition, _)| holds_groups(partition)) {
            // A partition that is being deleted has a negative epoch.
            let epoch = (0 <= epoch.0).then_some(epoch);
            self.groups.on_resign(partition.topic_partition.partition, epoch);
        }
    }

    /// Puts a change of dynamic configuration in force.
    pub fn apply_config_change(&self, change: &ConfigChange) {
        match &change.entity {
            ConfigEntity::Topic(topic) => {
                tracing::info!(%topic, overrides = ?change.overrides, "topic configuration changed");
                self.replicas.set_topic_config(topic, &self.topic_config(topic));
            }
            ConfigEntity::Broker(id) if *id != self.node_id => {}
            ConfigEntity::Broker(_) => self.set_dynamic(None, Some(&change.overrides)),
            ConfigEntity::AllBrokers => self.set_dynamic(Some(&change.overrides), None),
        }
    }
}

/// Hears of flushes from the log directories.
pub struct FlushedTo(pub Arc<ReplicaManager>);

impl StorageListener for FlushedTo {
    fn flushed(&self, partition: &TopicPartition, flushed: Offset) {
        self.0.flushed(partition, flushed);
    }

    fn dir_offline(&self, dir: &Path, reason: &str) {
        tracing::error!(dir = %dir.display(), "the log directory is out of use until a restart: {reason}");
        self.0.directory_failed();
    }
}
