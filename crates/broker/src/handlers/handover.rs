//! Produce requests that reach a broker while it hands its leaderships over and is being stopped.
//!
//! A producer that is told NOT_LEADER_OR_FOLLOWER waits for its back-off (100 ms in librdkafka) before it goes to the next
//! leader, although that one is named in the answer. For a moment the old leader therefore passes the records on, answers
//! what the new leader answered, and names that one (KIP-951): the producer goes there with its next request, and has
//! noticed nothing. Whoever does not take the hint gets the error when the moment is over.
//!
//! One client's records are passed on in the order in which they came, and only as long as all of them are taken: the
//! client sends again what was not, and what is behind it must not come first.
//!
//! Passing on is what the client would do itself. Records that were appended here before the leadership went are passed
//! on only if they are of an idempotent producer: the new leader may have them, and knows them by their sequence.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::Instant;
use whimbrel_model::record::BatchHeader;
use whimbrel_model::{ErrorCode, NodeId};
use whimbrel_wire::produce::{PartitionProduceData, PartitionProduceResponse, TopicProduceData};
use whimbrel_wire::{ProduceRequest, Records};

use super::errors::current_leader;
use crate::Broker;
use crate::interbroker::{PeerConnection, PeerError, PeerOptions};

/// The version in which records are passed on: the newest that Kafka 3.9 brokers serve and that names topics.
const VERSION: i16 = 11;
/// How long the new leader has to take its office up.
const PATIENCE: Duration = Duration::from_millis(500);
/// Pause before it is asked again.
const PAUSE: Duration = Duration::from_millis(3);

/// How one client's records are passed on.
#[derive(Debug, Default)]
pub struct Handovers {
    connections: Mutex<BTreeMap<NodeId, PeerConnection>>,
    /// Something of this client was refused, and it will send that again: what comes behind must not overtake it.
    is_over: AtomicBool,
    /// Produce requests of this client that are not answered.
    unanswered: AtomicUsize,
}

impl Handovers {
    /// Counts one more Produce request that waits for its answer.
    pub fn waits(&self) {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one less; true if the client has no other under way. Only then is it told who leads now: librdkafka waits
    /// for the answers to all others before it goes there, and then for up to a second more.
    pub fn answers_last(&self) -> bool {
        self.unanswered.fetch_sub(1, Ordering::Relaxed) == 1
    }

    /// From here on nothing of this client is passed on.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Records of one partition that its next leader is to have.
pub struct Handover {
    pub topic: Arc<str>,
    pub partition: i32,
    pub records: Bytes,
    pub acks: i16,
}

/// Whether the new leader would know these records again.
pub fn is_idempotent(records: &Bytes) -> bool {
    BatchHeader::parse(records).is_ok_and(|header| 0 <= header.producer_id.0)
}

impl Handover {
    /// What the new leader answered; `None` if it took nothing, so that the client may be told to go there itself.
    pub async fn pass_on(&self, broker: &Broker, handovers: &Handovers) -> Option<PartitionProduceResponse> {
        if handovers.is_over.load(Ordering::Relaxed) {
            return None;
        }
        let answer = self.try_pass_on(broker, handovers).await;
        if answer.as_ref().is_none_or(|answer| answer.error_code != 0) {
            handovers.end();
        }
        answer
    }

    async fn try_pass_on(&self, broker: &Broker, handovers: &Handovers) -> Option<PartitionProduceResponse> {
        let deadline = Instant::now() + PATIENCE;
        let mut connections = handovers.connections.lock().await;
        while Instant::now() < deadline {
            let Some(leader) = self.leader(broker) else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            match self.ask(broker, leader, &mut connections).await {
                Ok(answer) if is_too_early(answer.error_code) => {}
                Ok(answer) => return Some(answer),
                // Nothing was sent.
                Err(PeerError::Connect { .. } | PeerError::Protocol { .. } | PeerError::Encode { .. }) => return None,
                Err(error) => {
                    tracing::debug!(topic = %self.topic, partition = self.partition, "passing on: {error}");
                    connections.remove(&leader);
                    if !is_idempotent(&self.records) {
                        let error_code = ErrorCode::RequestTimedOut.code();
                        let index = self.partition;
                        return Some(PartitionProduceResponse {
                            index,
                            error_code,
                            base_offset: -1,
                            ..Default::default()
                        });
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        None
    }

    /// Who leads now, if it is another broker.
    fn leader(&self, broker: &Broker) -> Option<NodeId> {
        let image = broker.metadata.image();
        let hosted = broker.replicas.partition(&self.topic, self.partition).ok();
        let (leader, _) = current_leader(hosted.as_deref(), image.partition(&self.topic, self.partition))?;
        (leader != broker.node_id && image.brokers.contains_key(&leader)).then_some(leader)
    }

    async fn ask(
        &self,
        broker: &Broker,
        leader: NodeId,
        connections: &mut BTreeMap<NodeId, PeerConnection>,
    ) -> Result<PartitionProduceResponse, PeerError> {
        if !connections.get(&leader).is_some_and(PeerConnection::is_usable) {
            let config = broker.config();
            let listener = config.listeners.inter_broker.clone();
            let options =
                PeerOptions { connect_timeout: PATIENCE, ..PeerOptions::of_broker(broker.node_id, &config.network) };
            drop(config);
            let endpoint = broker.metadata.image().brokers.get(&leader).and_then(|it| it.endpoint(&listener).cloned());
            let Some(endpoint) = endpoint else { return Ok(too_early(self.partition)) };
            connections.insert(leader, PeerConnection::connect(&endpoint, &options).await?);
        }
        let Some(connection) = connections.get_mut(&leader) else { return Ok(too_early(self.partition)) };
        let records = Some(Records::from(self.records.clone()));
        let topic = TopicProduceData {
            name: self.topic.clone().into(),
            partition_data: vec![PartitionProduceData { index: self.partition, records }],
            ..Default::default()
        };
        let request = ProduceRequest {
            acks: self.acks,
            timeout_ms: i32::try_from(PATIENCE.as_millis()).unwrap_or(i32::MAX),
            topic_data: vec![topic],
            ..Default::default()
        };
        let answer = connection.call(&request, VERSION).await?;
        let found = answer.responses.into_iter().flat_map(|topic| topic.partition_responses).next();
        Ok(found.unwrap_or_else(|| too_early(self.partition)))
    }
}

fn too_early(index: i32) -> PartitionProduceResponse {
    let error_code = ErrorCode::NotLeaderOrFollower.code();
    PartitionProduceResponse { index, error_code, ..Default::default() }
}

/// The broker that was asked does not lead yet: it took nothing.
fn is_too_early(code: i16) -> bool {
    matches!(ErrorCode::from_code(code), ErrorCode::NotLeaderOrFollower | ErrorCode::UnknownTopicOrPartition)
}
