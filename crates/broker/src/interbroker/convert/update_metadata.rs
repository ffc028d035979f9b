//! UpdateMetadata, versions 0 to 8. Up to version 4 each partition names its topic; version 0 knows one plain address
//! of each broker, and versions 1 and 2 have no names of listeners.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use whimbrel_model::{BrokerEpoch, ControllerEpoch, LeaderEpoch, NodeId, PartitionEpoch, Uuid};
use whimbrel_state::controller::control::{
    Endpoint, LiveBroker, SecurityProtocol, UpdateMetadataPartition, UpdateMetadataRequest, UpdateMetadataResponse,
    UpdateMetadataTopic,
};
use whimbrel_wire::update_metadata::{
    self as wire, UpdateMetadataBroker, UpdateMetadataEndpoint, UpdateMetadataPartitionState, UpdateMetadataTopicState,
};
use whimbrel_wire::{EncodeError, Message, Writer};

use super::{FromWire, ToWire, by_topic, code, header, ids, nodes, sent, shared, text};

/// From here on, partitions are grouped by topic.
const GROUPED: i16 = 5;
/// From here on, brokers have lists of endpoints.
const ENDPOINTS: i16 = 1;
/// From here on, endpoints have the names of their listeners.
const LISTENER_NAMES: i16 = 3;

impl ToWire<wire::UpdateMetadataRequest> for UpdateMetadataRequest {
    fn to_wire(&self, version: i16) -> wire::UpdateMetadataRequest {
        let grouped = GROUPED <= version;
        let topic_state = |topic: &UpdateMetadataTopic| UpdateMetadataTopicState {
            topic_name: text(&topic.name),
            topic_id: topic.id,
            partition_states: topic.partitions.iter().map(|partition| state(partition, None)).collect(),
        };
        let ungrouped = self.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|partition| state(partition, (!grouped).then_some(&topic.name)))
        });
        wire::UpdateMetadataRequest {
            controller_id: self.header.controller_id.0,
            controller_epoch: self.header.controller_epoch.0,
            broker_epoch: self.header.broker_epoch.0,
            ungrouped_partition_states: if grouped { Vec::new() } else { ungrouped.collect() },
            topic_states: if grouped { self.topics.iter().map(topic_state).collect() } else { Vec::new() },
            live_brokers: self.live_brokers.iter().map(|broker| live_broker(broker, version)).collect(),
            ..Default::default()
        }
    }
}

fn state(partition: &UpdateMetadataPartition, topic: Option<&Arc<str>>) -> UpdateMetadataPartitionState {
    UpdateMetadataPartitionState {
        topic_name: topic.map(text).unwrap_or_default(),
        partition_index: partition.index,
        controller_epoch: partition.controller_epoch.0,
        leader: partition.leader.0,
        leader_epoch: partition.leader_epoch.0,
        isr: ids(&partition.isr),
        zk_version: partition.partition_epoch.0,
        replicas: ids(&partition.replicas),
        offline_replicas: ids(&partition.offline_replicas),
    }
}

fn live_broker(broker: &LiveBroker, version: i16) -> UpdateMetadataBroker {
    let plain = broker.endpoints.iter().find(|endpoint| endpoint.protocol == SecurityProtocol::Plaintext);
    let plain = plain.filter(|_| version < ENDPOINTS);
    let endpoint = |endpoint: &Endpoint| UpdateMetadataEndpoint {
        port: endpoint.port,
        host: text(&endpoint.host),
        listener: text(&endpoint.listener),
        security_protocol: endpoint.protocol.code(),
    };
    UpdateMetadataBroker {
        id: broker.id.0,
        v0_host: plain.map(|endpoint| text(&endpoint.host)).unwrap_or_default(),
        v0_port: plain.map_or(0, |endpoint| endpoint.port),
        endpoints: broker.endpoints.iter().map(endpoint).collect(),
        rack: broker.rack.as_ref().map(text),
    }
}

impl FromWire<wire::UpdateMetadataRequest> for UpdateMetadataRequest {
    fn from_wire(message: &wire::UpdateMetadataRequest, version: i16) -> Self {
        let topics: Vec<UpdateMetadataTopic> = if GROUPED <= version {
            let topic = |topic: &UpdateMetadataTopicState| UpdateMetadataTopic {
                name: shared(&topic.topic_name),
                id: topic.topic_id,
                partitions: topic.partition_states.iter().map(partition).collect(),
            };
            message.topic_states.iter().map(topic).collect()
        } else {
            let flat = message.ungrouped_partition_states.iter();
            let flat = flat.map(|state| (state.topic_name.clone(), partition(state)));
            let topic = |(name, partitions)| UpdateMetadataTopic { name, id: Uuid::ZERO, partitions };
            by_topic(flat).into_iter().map(topic).collect()
        };
        let live_brokers: Vec<LiveBroker> = message.live_brokers.iter().map(|broker| known(broker, version)).collect();
        Self {
            header: header(message.controller_id, message.controller_epoch, message.broker_epoch),
            topics: topics.into(),
            live_brokers: live_brokers.into(),
        }
    }
}

fn partition(state: &UpdateMetadataPartitionState) -> UpdateMetadataPartition {
    UpdateMetadataPartition {
        index: state.partition_index,
        controller_epoch: ControllerEpoch(state.controller_epoch),
        leader: NodeId(state.leader),
        leader_epoch: LeaderEpoch(state.leader_epoch),
        isr: nodes(&state.isr),
        partition_epoch: PartitionEpoch(state.zk_version),
        replicas: nodes(&state.replicas),
        offline_replicas: nodes(&state.offline_replicas),
    }
}

fn known(broker: &UpdateMetadataBroker, version: i16) -> LiveBroker {
    let endpoints = if version < ENDPOINTS {
        let protocol = SecurityProtocol::Plaintext;
        let host = shared(&broker.v0_host);
        vec![Endpoint { listener: protocol.name().into(), protocol, host, port: broker.v0_port }]
    } else {
        // A protocol that is not Kafka's cannot be spoken: such an endpoint does not exist for us.
        let endpoint = |endpoint: &UpdateMetadataEndpoint| {
            let protocol = SecurityProtocol::from_code(endpoint.security_protocol)?;
            let named = LISTENER_NAMES <= version;
            let listener = if named { shared(&endpoint.listener) } else { protocol.name().into() };
            Some(Endpoint { listener, protocol, host: shared(&endpoint.host), port: endpoint.port })
        };
        broker.endpoints.iter().filter_map(endpoint).collect()
    };
    LiveBroker { id: NodeId(broker.id), endpoints, rack: broker.rack.as_ref().map(shared) }
}

impl ToWire<wire::UpdateMetadataResponse> for UpdateMetadataResponse {
    fn to_wire(&self, _version: i16) -> wire::UpdateMetadataResponse {
        wire::UpdateMetadataResponse { error_code: self.error.code() }
    }
}

impl FromWire<wire::UpdateMetadataResponse> for UpdateMetadataResponse {
    fn from_wire(message: &wire::UpdateMetadataResponse, _version: i16) -> Self {
        Self { error: code(message.error_code) }
    }
}

/// Where the broker epoch is in an encoded request of the version that is sent: behind the controller's id, a flag and
/// the controller's epoch.
const BROKER_EPOCH: Range<usize> = 9..17;

/// One update for many brokers: their requests differ in eight bytes, so they share all others. Encoded when the first
/// of them is sent.
#[derive(Debug)]
pub struct EncodedUpdate {
    request: UpdateMetadataRequest,
    encoded: OnceLock<Result<Bytes, EncodeError>>,
}

impl EncodedUpdate {
    #[must_use]
    pub fn new(request: UpdateMetadataRequest) -> Self {
        Self { request, encoded: OnceLock::new() }
    }

    /// Whether `other` differs in the broker epoch at most.
    #[must_use]
    pub fn covers(&self, other: &UpdateMetadataRequest) -> bool {
        let (ours, theirs) = (&self.request.header, &other.header);
        Arc::ptr_eq(&self.request.topics, &other.topics)
            && Arc::ptr_eq(&self.request.live_brokers, &other.live_brokers)
            && ours.controller_id == theirs.controller_id
            && ours.controller_epoch == theirs.controller_epoch
    }

    /// The body of the request to one incarnation of a broker, in [`sent::UPDATE_METADATA`].
    ///
    /// # Errors
    /// The request cannot be encoded.
    pub fn body(&self, broker_epoch: BrokerEpoch) -> Result<[Bytes; 3], EncodeError> {
        let encoded = self.encoded.get_or_init(|| {
            let version = sent::UPDATE_METADATA;
            let mut writer = Writer::new();
            self.request.to_wire(version).encode(&mut writer, version).map(|()| writer.into_bytes())
        });
        let encoded = encoded.as_ref().map_err(Clone::clone)?;
        let epoch = Bytes::copy_from_slice(&broker_epoch.0.to_be_bytes());
        Ok([encoded.slice(..BROKER_EPOCH.start), epoch, encoded.slice(BROKER_EPOCH.end..)])
    }
}
