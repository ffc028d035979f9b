//! Metadata, versions 0 to 13: who the brokers are and who leads (KIP-430, KIP-516, KIP-1102).

use std::collections::BTreeSet;
use std::sync::Arc;

use whimbrel_model::{ErrorCode, NodeId};
use whimbrel_state::controller::control::UpdateMetadataPartition;
use whimbrel_wire::metadata::{
    MetadataRequestTopic, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use whimbrel_wire::{MetadataRequest, MetadataResponse, Str};

use super::new_leaders::await_new_leaders;
use super::{RequestContext, authorized_operations};
use crate::metadata_cache::{MetadataImage, TopicMetadata};
use crate::topics;

/// The first version whose clients know every error code of a partition.
pub(super) const NEWEST_ERRORS: i16 = 6;

pub async fn handle(context: &RequestContext, request: MetadataRequest, version: i16) -> MetadataResponse {
    let wanted = match Wanted::parse(&request, version) {
        Ok(wanted) => wanted,
        Err(()) => return invalid(&request, version),
    };
    let created = create_missing(context, &wanted, &request, version).await;
    let broker = context.broker();
    await_new_leaders(broker, |image, vanished| wanted.is_led_by(image, vanished)).await;
    let image = broker.metadata.image();
    let with_operations = request.include_topic_authorized_operations;
    let mut described = BTreeSet::new();
    let topics = match wanted {
        Wanted::All => {
            let mut all: Vec<&Arc<TopicMetadata>> = image.topics().collect();
            all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            all.into_iter().map(|topic| describe(context, &image, topic, with_operations)).collect()
        }
        Wanted::Listed(listed) => listed
            .iter()
            .filter(|wanted| find(&image, wanted).is_none_or(|topic| described.insert(topic.name.clone())))
            .map(|wanted| match find(&image, wanted) {
                Some(topic) => describe(context, &image, topic, with_operations),
                None => missing(wanted, &created),
            })
            .collect(),
    };
    MetadataResponse {
        brokers: brokers(&image, &context.connection.listener),
        cluster_id: Some(Str::from(broker.cluster_id.clone())),
        controller_id: image.controller.map_or(-1, |(id, _)| id.0),
        topics,
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            authorized_operations::CLUSTER
        } else {
            authorized_operations::NOT_ASKED
        },
        ..Default::default()
    }
}

enum Wanted {
    All,
    Listed(Vec<MetadataRequestTopic>),
}

impl Wanted {
    fn is_led_by(&self, image: &MetadataImage, leaders: &BTreeSet<NodeId>) -> bool {
        let is_led = |topic: &Arc<TopicMetadata>| topic.partitions.values().any(|it| leaders.contains(&it.leader));
        match self {
            Self::All => image.topics().any(is_led),
            Self::Listed(listed) => listed.iter().filter_map(|wanted| find(image, wanted)).any(is_led),
        }
    }

    /// What is asked for; an error if the version cannot ask for it.
    fn parse(request: &MetadataRequest, version: i16) -> Result<Self, ()> {
        match &request.topics {
            None => Ok(Self::All),
            Some(topics) if version == 0 && topics.is_empty() => Ok(Self::All),
            Some(topics) => {
                let by_id = |topic: &MetadataRequestTopic| topic.name.is_none() || !topic.topic_id.is_zero();
                // Ids came with version 10, which could not say "no name" yet: nobody used them until 12.
                if version < 12 && topics.iter().any(by_id) {
                    return Err(());
                }
                // Each topic is answered once, however often and by whichever of its names it is listed.
                let mut seen = BTreeSet::new();
                let topics = topics.iter().cloned().map(named_by_id_or_name);
                let once = |topic: &MetadataRequestTopic| seen.insert((topic.name.clone(), topic.topic_id));
                Ok(Self::Listed(topics.filter(once).collect()))
            }
        }
    }
}

/// An id wins over the name beside it: the Java client sends an empty name with each id.
fn named_by_id_or_name(topic: MetadataRequestTopic) -> MetadataRequestTopic {
    if topic.topic_id.is_zero() { topic } else { MetadataRequestTopic { name: None, ..topic } }
}

fn invalid(request: &MetadataRequest, version: i16) -> MetadataResponse {
    let code = ErrorCode::InvalidRequest.code();
    let topics = request.topics.iter().flatten().map(|topic| MetadataResponseTopic {
        error_code: code,
        // Before version 12 a name cannot be null.
        name: if version < 12 { Some(topic.name.clone().unwrap_or_default()) } else { topic.name.clone() },
        topic_id: topic.topic_id,
        ..Default::default()
    });
    MetadataResponse { error_code: code, topics: topics.collect(), ..Default::default() }
}

/// Creates the listed topics that do not exist, where that is allowed. Returns what went wrong for which.
async fn create_missing(
    context: &RequestContext,
    wanted: &Wanted,
    request: &MetadataRequest,
    version: i16,
) -> Vec<(Str, ErrorCode)> {
    let broker = context.broker();
    let allowed = broker.config().topics.auto_create && (version < 4 || request.allow_auto_topic_creation);
    let Wanted::Listed(listed) = wanted else { return Vec::new() };
    if !allowed {
        return Vec::new();
    }
    let image = broker.metadata.image();
    let missing: BTreeSet<Str> = listed
        .iter()
        .filter_map(|topic| topic.name.clone())
        .filter(|name| image.topic(name).is_none() && topics::validate_name(name).is_ok())
        .collect();
    drop(image);
    if missing.is_empty() {
        return Vec::new();
    }
    broker.auto_create_topics(missing.into_iter().collect()).await
}

fn find<'a>(image: &'a MetadataImage, wanted: &MetadataRequestTopic) -> Option<&'a Arc<TopicMetadata>> {
    match &wanted.name {
        Some(name) => image.topic(name),
        None => image.topic_by_id(wanted.topic_id),
    }
}

fn missing(wanted: &MetadataRequestTopic, created: &[(Str, ErrorCode)]) -> MetadataResponseTopic {
    let code = match &wanted.name {
        None => ErrorCode::UnknownTopicId,
        Some(name) if topics::validate_name(name).is_err() => ErrorCode::InvalidTopicException,
        Some(name) => created
            .iter()
            .find(|(created, _)| created == name)
            .map_or(ErrorCode::UnknownTopicOrPartition, |(_, code)| *code),
    };
    MetadataResponseTopic {
        error_code: code.code(),
        name: wanted.name.clone(),
        topic_id: wanted.topic_id,
        is_internal: wanted.name.as_ref().is_some_and(|name| topics::is_internal(name)),
        ..Default::default()
    }
}

fn brokers(image: &MetadataImage, listener: &str) -> Vec<MetadataResponseBroker> {
    let reachable = image.brokers.values().filter_map(|broker| Some((broker, broker.endpoint(listener)?)));
    reachable
        .map(|(broker, endpoint)| MetadataResponseBroker {
            node_id: broker.id.0,
            host: Str::from(endpoint.host.clone()),
            port: endpoint.port,
            rack: broker.rack.clone().map(Str::from),
        })
        .collect()
}

fn describe(
    context: &RequestContext,
    image: &MetadataImage,
    topic: &TopicMetadata,
    with_operations: bool,
) -> MetadataResponseTopic {
    let listener = &context.connection.listener;
    let partitions = topic.partitions.values().map(|state| partition(image, listener, state, context.version));
    MetadataResponseTopic {
        name: Some(Str::from(topic.name.clone())),
        topic_id: topic.id,
        is_internal: topics::is_internal(&topic.name),
        partitions: partitions.collect(),
        topic_authorized_operations: if with_operations {
            authorized_operations::TOPIC
        } else {
            authorized_operations::NOT_ASKED
        },
        ..Default::default()
    }
}

pub(super) fn partition(
    image: &MetadataImage,
    listener: &str,
    state: &UpdateMetadataPartition,
    version: i16,
) -> MetadataResponsePartition {
    let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect::<Vec<_>>();
    let leader = image.brokers.get(&state.leader);
    let code = match leader {
        None => ErrorCode::LeaderNotAvailable,
        Some(leader) if leader.endpoint(listener).is_none() => {
            // Older clients do not know the newer code, and retry with this one.
            if NEWEST_ERRORS <= version { ErrorCode::ListenerNotFound } else { ErrorCode::LeaderNotAvailable }
        }
        Some(_) => ErrorCode::None,
    };
    MetadataResponsePartition {
        error_code: code.code(),
        partition_index: state.index,
        leader_id: if code.is_ok() { state.leader.0 } else { NodeId::NONE.0 },
        leader_epoch: state.leader_epoch.0,
        replica_nodes: ids(&state.replicas),
        isr_nodes: ids(&state.isr),
        offline_replicas: ids(&state.offline_replicas),
    }
}
