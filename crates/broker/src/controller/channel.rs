//! How control requests reach a broker: in order, one at a time.
//!
//! The broker of this process is called directly. Its log directories may be slow, so the calls are made where blocking
//! is allowed. Requests for other brokers need the wire form of the three requests, which is not there yet; a broker
//! that this controller cannot reach is named in the log when it appears, rather than ignored in silence.

use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{error, warn};
use whimbrel_model::{ErrorCode, NodeId, TopicPartition};
use whimbrel_state::controller::Input;
use whimbrel_state::controller::control::{
    LeaderAndIsrPartition, LeaderAndIsrRequest, StopReplicaRequest, UpdateMetadataRequest,
};

use super::ControlledBroker;
use super::term::Event;
use crate::coordination::Coordination;

/// A control request on its way to one broker.
pub(super) enum Request {
    LeaderAndIsr(LeaderAndIsrRequest),
    UpdateMetadata(UpdateMetadataRequest),
    StopReplica(StopReplicaRequest),
    /// Nothing for the broker: reports that all before it has been done.
    Barrier,
}

/// The queue to one broker. Dropping it drops what waits.
pub(super) struct Channel {
    requests: Option<mpsc::UnboundedSender<Request>>,
}

impl Channel {
    /// The channel to the broker of this process.
    pub(super) fn local(
        id: NodeId,
        broker: Arc<dyn ControlledBroker>,
        coordination: Coordination,
        events: mpsc::UnboundedSender<Event>,
    ) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(Local { id, broker, coordination, events }.run(receiver));
        Self { requests: Some(sender) }
    }

    /// A broker that cannot be told anything.
    pub(super) fn unreachable(id: NodeId) -> Self {
        error!(broker = id.0, "this controller can serve only its own broker, and another is registered");
        Self { requests: None }
    }

    pub(super) fn send(&self, request: Request) {
        if let Some(requests) = &self.requests {
            // The receiver ends only with the term, and then nothing is to be sent any more.
            let _ended = requests.send(request);
        }
    }
}

struct Local {
    id: NodeId,
    broker: Arc<dyn ControlledBroker>,
    coordination: Coordination,
    events: mpsc::UnboundedSender<Event>,
}

impl Local {
    async fn run(self, mut requests: mpsc::UnboundedReceiver<Request>) {
        while let Some(request) = requests.recv().await {
            let done = match request {
                Request::LeaderAndIsr(request) => self.leader_and_isr(request).await,
                Request::UpdateMetadata(request) => self.update_metadata(request).await,
                Request::StopReplica(request) => self.stop_replica(request).await,
                Request::Barrier => Some(Event::Settled),
            };
            if let Some(event) = done
                && self.events.send(event).is_err()
            {
                return;
            }
        }
    }

    async fn leader_and_isr(&self, request: LeaderAndIsrRequest) -> Option<Event> {
        let is_new = |partitions: &[_]| partitions.iter().any(|partition: &LeaderAndIsrPartition| partition.is_new);
        let new: Vec<Arc<str>> =
            request.topics.iter().filter(|topic| is_new(&topic.partitions)).map(|topic| topic.name.clone()).collect();
        // The log of a new replica is made with the topic's settings, and a topic that is new has no change to hear of.
        if let Err(error) = self.coordination.refresh_topic_configs(&new).await {
            warn!(%error, "the configuration of new topics could not be read; their logs start with the defaults");
        }
        let broker = Arc::clone(&self.broker);
        let response = self.blocking(move || broker.become_leader_or_follower(request)).await?;
        Some(Event::Input(Input::LeaderAndIsrDone { broker: self.id, response }))
    }

    async fn update_metadata(&self, request: UpdateMetadataRequest) -> Option<Event> {
        let broker = Arc::clone(&self.broker);
        let response = self.blocking(move || broker.update_metadata(request)).await?;
        if response.error != ErrorCode::None {
            error!(error = response.error.name(), "the broker refused an update of its metadata");
        }
        None
    }

    async fn stop_replica(&self, request: StopReplicaRequest) -> Option<Event> {
        let mut deleted = Vec::new();
        for topic in &request.topics {
            let gone = topic.partitions.iter().filter(|partition| partition.delete);
            deleted.extend(gone.map(|p| TopicPartition { topic: Arc::clone(&topic.name), partition: p.index }));
            self.coordination.forget_topic_config(&topic.name);
        }
        let broker = Arc::clone(&self.broker);
        let response = self.blocking(move || broker.stop_replicas(request)).await?;
        Some(Event::Input(Input::StopReplicaDone { broker: self.id, deleted, response }))
    }

    async fn blocking<T: Send + 'static>(&self, call: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        match tokio::task::spawn_blocking(call).await {
            Ok(result) => Some(result),
            Err(error) => {
                error!(%error, "a control request ended in a panic");
                None
            }
        }
    }
}
