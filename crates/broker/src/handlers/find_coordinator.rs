//! FindCoordinator, versions 0 to 6: which broker coordinates a group. From version 4 for several at once (KIP-699).
//!
//! There is no coordinator for transactions, nor for share groups: INVALID_REQUEST, which no client retries. A producer
//! with a `transactional.id` thus fails at once, in `initTransactions`, with the message below; with
//! COORDINATOR_NOT_AVAILABLE it would ask again until its time-out and say nothing of the cause.

use std::collections::{BTreeMap, BTreeSet};

use whimbrel_model::{ErrorCode, NodeId};
use whimbrel_wire::find_coordinator::Coordinator;
use whimbrel_wire::{FindCoordinatorRequest, FindCoordinatorResponse, Str};

use super::RequestContext;
use super::new_leaders::await_new_leaders;
use crate::metadata_cache::MetadataImage;
use crate::topics;

/// Values of `key_type`.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// What the coordinator of one key is, or why it is not known.
struct Found {
    error: ErrorCode,
    message: Option<&'static str>,
    node_id: i32,
    host: Str,
    port: i32,
}

pub async fn handle(
    context: &RequestContext,
    request: FindCoordinatorRequest,
    version: i16,
) -> FindCoordinatorResponse {
    if request.key_type == GROUP {
        create_topic_if_missing(context).await;
        await_new_leaders(context.broker(), has_coordinator_in).await;
    }
    if version < 4 {
        let found = find(context, request.key_type, &request.key);
        return FindCoordinatorResponse {
            throttle_time_ms: 0,
            error_code: found.error.code(),
            error_message: Some(Str::from_static(found.message.unwrap_or(found.error.name()))),
            node_id: found.node_id,
            host: found.host,
            port: found.port,
            coordinators: Vec::new(),
        };
    }
    // Those who ask for a thousand groups have a handful of coordinators.
    let mut known: BTreeMap<i32, Str> = BTreeMap::new();
    let coordinators = request.coordinator_keys.into_iter().map(|key| {
        let found = find(context, request.key_type, &key);
        let host = known.entry(found.node_id).or_insert(found.host).clone();
        Coordinator {
            key,
            node_id: found.node_id,
            host,
            port: found.port,
            error_code: found.error.code(),
            // Never null, as in Kafka.
            error_message: Some(Str::from_static(found.message.unwrap_or_default())),
        }
    });
    FindCoordinatorResponse { coordinators: coordinators.collect(), ..Default::default() }
}

/// The first to ask for a group has `__consumer_offsets` created. Kafka does too, and lets the client ask again.
async fn create_topic_if_missing(context: &RequestContext) {
    let broker = context.broker();
    if broker.metadata.image().topic(topics::CONSUMER_OFFSETS).is_some() {
        return;
    }
    for (topic, error) in broker.auto_create_topics(vec![Str::from_static(topics::CONSUMER_OFFSETS)]).await {
        if !error.is_ok() {
            tracing::warn!("{topic} cannot be created: {error}");
        }
    }
}

/// Whether one of these brokers coordinates any group.
fn has_coordinator_in(image: &MetadataImage, brokers: &BTreeSet<NodeId>) -> bool {
    let topic = image.topic(topics::CONSUMER_OFFSETS);
    topic.is_some_and(|topic| topic.partitions.values().any(|partition| brokers.contains(&partition.leader)))
}

fn find(context: &RequestContext, key_type: i8, key: &str) -> Found {
    match key_type {
        GROUP => find_group(context, key).unwrap_or_else(|| failed(ErrorCode::CoordinatorNotAvailable, None)),
        TRANSACTION => failed(ErrorCode::InvalidRequest, Some("this broker does not coordinate transactions")),
        _ => failed(ErrorCode::InvalidRequest, Some("this broker only coordinates classic and simple groups")),
    }
}

/// The leader of the group's partition of `__consumer_offsets`, if it is alive and has a listener for this client.
fn find_group(context: &RequestContext, group_id: &str) -> Option<Found> {
    let broker = context.broker();
    let image = broker.metadata.image();
    let partition = image.partition(topics::CONSUMER_OFFSETS, broker.groups.partition_for(group_id))?;
    let leader = image.brokers.get(&partition.leader).filter(|_| partition.leader != NodeId::NONE)?;
    let endpoint = leader.endpoint(&context.connection.listener)?;
    Some(Found {
        error: ErrorCode::None,
        message: None,
        node_id: leader.id.0,
        host: Str::from(endpoint.host.clone()),
        port: endpoint.port,
    })
}

fn failed(error: ErrorCode, message: Option<&'static str>) -> Found {
    Found { error, message, node_id: NodeId::NONE.0, host: Str::default(), port: -1 }
}
