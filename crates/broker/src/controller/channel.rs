//! How control requests reach a broker: in order, one at a time.
//!
//! The broker of this process is called directly, every other over a connection of its own. A request is repeated, each
//! time on a new connection, until the broker answers or its channel is closed (Kafka's `RequestSendThread`): requests
//! are idempotent, and the epochs in them let the receiver refuse what has been overtaken.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;
use tracing::{debug, error, info, warn};
use whimbrel_model::{BrokerEpoch, ErrorCode, NodeId, TopicPartition};
use whimbrel_state::controller::control::{
    Endpoint, LeaderAndIsrRequest, LeaderAndIsrResponse, StopReplicaRequest, StopReplicaResponse,
    UpdateMetadataRequest, UpdateMetadataResponse,
};
use whimbrel_state::controller::{Broker, Input};
use whimbrel_wire::{
    self as wire, EncodeError, LeaderAndIsrRequest as WireLeaderAndIsr, Message, StopReplicaRequest as WireStopReplica,
    UpdateMetadataRequest as WireUpdateMetadata, Writer,
};

use super::receive::ControlReceiver;
use super::term::Event;
use crate::interbroker::convert::{EncodedUpdate, FromWire, ToWire, name_results, sent};
use crate::interbroker::{PeerConnection, PeerError, PeerOptions};

/// Between two attempts to deliver a request, as in Kafka.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// A broker that is back is given so long to answer on the connection that it has.
const ANSWER_WAIT: Duration = Duration::from_millis(500);

/// A control request on its way to one broker.
pub(super) enum Request {
    LeaderAndIsr(LeaderAndIsrRequest),
    UpdateMetadata(UpdateMetadataRequest),
    StopReplica(StopReplicaRequest),
    /// Nothing for the broker: reports that all before it has been done.
    Barrier,
}

/// The queue to one broker. Dropping it drops what waits and ends what is under way.
pub(super) struct Channel {
    requests: mpsc::UnboundedSender<Outgoing>,
    updates: Option<Arc<Updates>>,
    /// The local broker finishes what it was told; a connection to another is cut.
    remote: Option<AbortHandle>,
    back: Arc<Notify>,
    /// Where the broker is; `None` for the one of this process.
    endpoint: Option<watch::Sender<Endpoint>>,
}

/// A [`Request`] with what several channels share of it.
struct Outgoing {
    request: Request,
    update: Option<Arc<EncodedUpdate>>,
}

/// The last update of metadata, encoded once for all brokers that it goes to.
#[derive(Debug, Default)]
pub(super) struct Updates(Mutex<Option<Arc<EncodedUpdate>>>);

impl Updates {
    fn encoded(&self, request: &UpdateMetadataRequest) -> Arc<EncodedUpdate> {
        let mut last = self.0.lock();
        match last.as_ref().filter(|last| last.covers(request)) {
            Some(last) => last.clone(),
            None => last.insert(Arc::new(EncodedUpdate::new(request.clone()))).clone(),
        }
    }
}

impl Channel {
    /// The channel to the broker of this process.
    pub(super) fn local(id: NodeId, receiver: ControlReceiver, events: mpsc::UnboundedSender<Event>) -> Self {
        let (requests, inbox) = mpsc::unbounded_channel();
        tokio::spawn(Local { receiver, results: Results { id, events } }.run(inbox));
        Self { requests, updates: None, remote: None, back: Arc::default(), endpoint: None }
    }

    /// The channel to another broker, which is reached on its `listener`. `None`, and a line in the log, if it has none
    /// of that name.
    pub(super) fn remote(
        broker: &Broker,
        listener: &str,
        options: PeerOptions,
        updates: Arc<Updates>,
        events: mpsc::UnboundedSender<Event>,
    ) -> Option<Self> {
        let (id, epoch) = (broker.id, broker.epoch);
        let (sender, endpoint) = watch::channel(endpoint_of(broker, listener)?);
        let (requests, inbox) = mpsc::unbounded_channel();
        let back = Arc::new(Notify::new());
        let link = Link { id, endpoint, options, connection: None, failures: 0, back: back.clone() };
        let task = tokio::spawn(Remote { epoch, link, results: Results { id, events } }.run(inbox));
        let remote = Some(task.abort_handle());
        Some(Self { requests, updates: Some(updates), remote, back, endpoint: Some(sender) })
    }

    pub(super) fn send(&self, request: Request) {
        let update = match (&self.updates, &request) {
            (Some(updates), Request::UpdateMetadata(request)) => Some(updates.encoded(request)),
            _ => None,
        };
        // The receiver ends only with the term, and then nothing is to be sent any more.
        let _ended = self.requests.send(Outgoing { request, update });
    }
}

impl Channel {
    /// The broker was silent and answers again. If it only hung, it answers here too; if a link was cut, what waits for an
    /// answer is sent again on a new connection, because TCP may take as long as the break lasted to find out by itself.
    pub(super) fn reconnect(&self) {
        self.back.notify_waiters();
    }

    /// The broker has registered other endpoints. What waits for an answer is sent again on a new connection, and all
    /// that follows goes there.
    pub(super) fn move_to(&self, broker: &Broker, listener: &str) {
        if let Some(endpoint) = &self.endpoint
            && let Some(next) = endpoint_of(broker, listener)
        {
            endpoint.send_if_modified(|known| {
                let is_other = *known != next;
                *known = next;
                is_other
            });
        }
    }
}

/// Where the controller reaches a broker. `None`, and a line in the log, if it has no listener of this name.
fn endpoint_of(broker: &Broker, listener: &str) -> Option<Endpoint> {
    let endpoint = broker.endpoints.iter().find(|endpoint| &*endpoint.listener == listener);
    if endpoint.is_none() {
        let id = broker.id.0;
        error!(broker = id, listener, "the broker has no listener of this name; the controller cannot reach it");
    }
    endpoint.cloned()
}

impl Drop for Channel {
    fn drop(&mut self) {
        if let Some(task) = &self.remote {
            task.abort();
        }
    }
}

/// What answers become.
struct Results {
    id: NodeId,
    events: mpsc::UnboundedSender<Event>,
}

impl Results {
    /// False once the term is over.
    fn report(&self, event: Event) -> bool {
        self.events.send(event).is_ok()
    }

    /// Kafka's controller also does no more than log refusals of a whole request: a deposed controller learns of its
    /// end from coordination, and a broker whose epoch is newer than the request's has registered anew, which is told as
    /// a change of brokers, after which it is told everything.
    fn refused(&self, api: &str, error: ErrorCode) {
        if error != ErrorCode::None {
            error!(broker = self.id.0, error = error.name(), "the broker refused {api}");
        }
    }

    fn leader_and_isr(&self, response: LeaderAndIsrResponse) -> bool {
        self.refused("LeaderAndIsr", response.error);
        self.report(Event::Input(Input::LeaderAndIsrDone { broker: self.id, response }))
    }

    fn update_metadata(&self, response: UpdateMetadataResponse) -> bool {
        self.refused("UpdateMetadata", response.error);
        true
    }

    fn stop_replica(&self, deleted: Vec<TopicPartition>, response: StopReplicaResponse) -> bool {
        self.refused("StopReplica", response.error);
        self.report(Event::Input(Input::StopReplicaDone { broker: self.id, deleted, response }))
    }
}

/// The partitions that a request deletes.
fn deleted(request: &StopReplicaRequest) -> Vec<TopicPartition> {
    let topics = request.topics.iter();
    let partitions = topics.flat_map(|topic| {
        let gone = topic.partitions.iter().filter(|partition| partition.delete);
        gone.map(|partition| TopicPartition { topic: Arc::clone(&topic.name), partition: partition.index })
    });
    partitions.collect()
}

/// The broker of this process.
struct Local {
    receiver: ControlReceiver,
    results: Results,
}

impl Local {
    async fn run(self, mut requests: mpsc::UnboundedReceiver<Outgoing>) {
        while let Some(Outgoing { request, .. }) = requests.recv().await {
            let goes_on = match request {
                Request::LeaderAndIsr(request) => match self.receiver.leader_and_isr(request).await {
                    Some(response) => self.results.leader_and_isr(response),
                    None => true,
                },
                Request::UpdateMetadata(request) => match self.receiver.update_metadata(request).await {
                    Some(response) => self.results.update_metadata(response),
                    None => true,
                },
                Request::StopReplica(request) => {
                    let deleted = deleted(&request);
                    match self.receiver.stop_replicas(request).await {
                        Some(response) => self.results.stop_replica(deleted, response),
                        None => true,
                    }
                }
                Request::Barrier => self.results.report(Event::Settled),
            };
            if !goes_on {
                return;
            }
        }
    }
}

/// Another broker.
struct Remote {
    epoch: BrokerEpoch,
    link: Link,
    results: Results,
}

impl Remote {
    async fn run(mut self, mut requests: mpsc::UnboundedReceiver<Outgoing>) {
        while let Some(outgoing) = requests.recv().await {
            if !self.deliver(outgoing).await {
                return;
            }
        }
    }

    /// False once the term is over.
    async fn deliver(&mut self, outgoing: Outgoing) -> bool {
        match self.deliver_encoded(outgoing).await {
            Ok(goes_on) => goes_on,
            Err(error) => {
                error!(broker = self.link.id.0, "a control request cannot be encoded and is dropped: {error}");
                true
            }
        }
    }

    async fn deliver_encoded(&mut self, outgoing: Outgoing) -> Result<bool, EncodeError> {
        Ok(match outgoing.request {
            Request::LeaderAndIsr(request) => {
                let version = sent::LEADER_AND_ISR;
                let body = encoded::<WireLeaderAndIsr>(&request, version)?;
                let answer = self.link.deliver::<WireLeaderAndIsr>(&[body], version).await;
                let mut response = LeaderAndIsrResponse::from_wire(&answer, version);
                name_results(&mut response, &request);
                self.results.leader_and_isr(response)
            }
            Request::UpdateMetadata(request) => {
                let version = sent::UPDATE_METADATA;
                let update = outgoing.update.unwrap_or_else(|| Arc::new(EncodedUpdate::new(request)));
                let body = update.body(self.epoch)?;
                let answer = self.link.deliver::<WireUpdateMetadata>(&body, version).await;
                self.results.update_metadata(UpdateMetadataResponse::from_wire(&answer, version))
            }
            Request::StopReplica(request) => {
                let version = sent::STOP_REPLICA;
                let body = encoded::<WireStopReplica>(&request, version)?;
                let answer = self.link.deliver::<WireStopReplica>(&[body], version).await;
                self.results.stop_replica(deleted(&request), StopReplicaResponse::from_wire(&answer, version))
            }
            Request::Barrier => self.results.report(Event::Settled),
        })
    }
}

/// The body of a request, which may have to be sent several times.
fn encoded<W: Message>(request: &impl ToWire<W>, version: i16) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    request.to_wire(version).encode(&mut writer, version)?;
    Ok(writer.into_bytes())
}

/// The connection to one broker, made again after every failure.
struct Link {
    id: NodeId,
    endpoint: watch::Receiver<Endpoint>,
    options: PeerOptions,
    connection: Option<PeerConnection>,
    /// In a row. The first is worth a warning, the rest belong to the same trouble.
    failures: u32,
    /// Told when the broker answers again after a silence.
    back: Arc<Notify>,
}

impl Link {
    /// Repeats the request until it is answered.
    async fn deliver<R: wire::Request>(&mut self, body: &[Bytes], version: i16) -> R::Response {
        let back = Arc::clone(&self.back);
        let mut endpoint = self.endpoint.clone();
        loop {
            if endpoint.has_changed().unwrap_or(false) {
                endpoint.mark_unchanged();
                self.cut();
            }
            let too_late = async {
                tokio::select! {
                    () = back.notified() => tokio::time::sleep(ANSWER_WAIT).await,
                    () = moved(&mut endpoint) => {}
                }
            };
            tokio::select! {
                result = self.attempt::<R>(body, version) => match result {
                    Ok(answer) => {
                        self.failures = 0;
                        return answer;
                    }
                    Err(error) => self.failed(&error),
                },
                // A request that is cut off may have been carried out; to repeat it does no harm.
                () = too_late => {
                    self.cut();
                    continue;
                }
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn attempt<R: wire::Request>(&mut self, body: &[Bytes], version: i16) -> Result<R::Response, PeerError> {
        let connection = match self.connection.take() {
            Some(connection) => self.connection.insert(connection),
            None => {
                let endpoint = self.endpoint.borrow_and_update().clone();
                let connection = PeerConnection::connect(&endpoint, &self.options).await?;
                info!(broker = self.id.0, address = %connection.address(), "the controller is connected to the broker");
                self.connection.insert(connection)
            }
        };
        connection.call_encoded::<R>(body, version).await
    }

    fn cut(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.abort();
        }
    }

    fn failed(&mut self, error: &PeerError) {
        self.cut();
        self.failures = self.failures.saturating_add(1);
        if self.failures == 1 {
            warn!(broker = self.id.0, "a control request was not answered and is repeated until it is: {error}");
        } else {
            debug!(broker = self.id.0, failures = self.failures, "still not answered: {error}");
        }
    }
}

/// Waits until the broker is at another endpoint.
async fn moved(endpoint: &mut watch::Receiver<Endpoint>) {
    if endpoint.changed().await.is_err() {
        // The channel is closed, and this task with it.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
