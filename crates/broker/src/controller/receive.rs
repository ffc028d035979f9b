//! Control requests on their last step: into the broker of this process, whether its own controller sent them or another.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Mutex;
use tracing::{error, warn};
use whimbrel_state::controller::control::{
    EPOCH_DURING_DELETE, LeaderAndIsrPartition, LeaderAndIsrRequest, LeaderAndIsrResponse, StopReplicaPartition,
    StopReplicaRequest, StopReplicaResponse, UpdateMetadataRequest, UpdateMetadataResponse,
};

use super::ControlledBroker;
use crate::coordination::Coordination;

/// How long the settings of new topics are waited for. A broker that cannot reach coordination must still hear who leads.
const SETTINGS_WAIT: Duration = Duration::from_secs(5);

/// Carries control requests out, one at a time and in the order in which they came. Log directories may be slow, so the
/// work is done where blocking is allowed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ControlReceiver {
    /// Weak: the broker holds this.
    broker: Weak<dyn ControlledBroker>,
    coordination: Coordination,
    /// A fair lock: a request that a controller repeats on another connection comes after its first copy.
    in_order: Arc<Mutex<()>>,
}

impl ControlReceiver {
    #[must_use]
    pub fn new(broker: &Arc<dyn ControlledBroker>, coordination: Coordination) -> Self {
        Self { broker: Arc::downgrade(broker), coordination, in_order: Arc::default() }
    }

    /// `None` if the broker is gone, or panicked over it, which is a bug that the log tells of.
    pub async fn leader_and_isr(&self, request: LeaderAndIsrRequest) -> Option<LeaderAndIsrResponse> {
        let _turn = self.in_order.lock().await;
        let is_new = |partitions: &[_]| partitions.iter().any(|partition: &LeaderAndIsrPartition| partition.is_new);
        let new: Vec<Arc<str>> =
            request.topics.iter().filter(|topic| is_new(&topic.partitions)).map(|topic| topic.name.clone()).collect();
        self.read_settings(&new).await;
        let broker = self.broker.upgrade()?;
        blocking(move || broker.become_leader_or_follower(request)).await
    }

    /// The log of a new replica is made with the topic's settings, and a topic that is new has no change to hear of.
    async fn read_settings(&self, new: &[Arc<str>]) {
        if new.is_empty() {
            return;
        }
        let error = match tokio::time::timeout(SETTINGS_WAIT, self.coordination.refresh_topic_configs(new)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("coordination does not answer within {SETTINGS_WAIT:?}"),
        };
        warn!(error, "the configuration of new topics could not be read; their logs start with the defaults");
    }

    /// As [`ControlReceiver::leader_and_isr`].
    pub async fn update_metadata(&self, request: UpdateMetadataRequest) -> Option<UpdateMetadataResponse> {
        let _turn = self.in_order.lock().await;
        let broker = self.broker.upgrade()?;
        blocking(move || broker.update_metadata(request)).await
    }

    /// As [`ControlReceiver::leader_and_isr`].
    pub async fn stop_replicas(&self, request: StopReplicaRequest) -> Option<StopReplicaResponse> {
        let _turn = self.in_order.lock().await;
        // A replica may also go because it moved, and others of its topic stay.
        let is_deleted = |partition: &StopReplicaPartition| partition.leader_epoch == EPOCH_DURING_DELETE;
        for topic in request.topics.iter().filter(|topic| topic.partitions.iter().any(is_deleted)) {
            self.coordination.forget_topic_config(&topic.name);
        }
        let broker = self.broker.upgrade()?;
        blocking(move || broker.stop_replicas(request)).await
    }
}

async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match tokio::task::spawn_blocking(call).await {
        Ok(result) => Some(result),
        Err(error) => {
            error!(%error, "a control request ended in a panic");
            None
        }
    }
}
