//! From what was read to the response, and what the session remembers of it.

use whimbrel_model::{ErrorCode, Offset, Uuid};
use whimbrel_state::fetch_session::SessionTopic;
use whimbrel_storage::Sendable;
use whimbrel_wire::fetch::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use whimbrel_wire::{FetchResponse, Records, Str};

use super::super::RequestContext;
use super::super::errors::{current_leader, leader_hint};
use super::serve::{Found, Served};
use super::{FetchedBy, Kind, session_error};
use crate::time;

/// Makes the response, and opens or moves on the session.
pub(super) fn respond(
    context: &RequestContext,
    version: i16,
    session: (i32, i32),
    (kind, fetched_by): (Kind, FetchedBy),
    served: Vec<Served>,
) -> FetchResponse {
    let broker = context.broker();
    let mut response = FetchResponse::default();
    match kind {
        Kind::Sessionless => {}
        Kind::Opening => {
            let opened = served.iter().map(|one| (one.wanted.clone(), one.outcome()));
            let id = broker.fetch_sessions.lock().open(
                time::monotonic_ms(),
                fetched_by.is_replica(),
                13 <= version,
                opened,
                || rand::random::<i32>() & i32::MAX,
            );
            response.session_id = id.unwrap_or(0);
        }
        Kind::Incremental => {
            response.session_id = session.0;
            let outcomes = served.iter().map(|one| (&one.wanted.topic, one.wanted.partition, one.outcome()));
            // An empty session was closed by its own request; there is nothing to send then.
            match broker.fetch_sessions.lock().finish(session, outcomes) {
                Ok(sent) => return complete(context, version, response, served.into_iter().zip(sent)),
                Err(_) if served.is_empty() => response.session_id = 0,
                Err(error) => response.error_code = session_error(error).code(),
            }
            return response;
        }
    }
    complete(context, version, response, served.into_iter().map(|one| (one, true)))
}

fn complete(
    context: &RequestContext,
    version: i16,
    mut response: FetchResponse,
    served: impl Iterator<Item = (Served, bool)>,
) -> FetchResponse {
    let image = context.broker().metadata.image();
    let mut leaders = Vec::new();
    for (Served { wanted, partition, found }, sent) in served {
        if !sent {
            continue;
        }
        let mut data = partition_data(wanted.partition, found);
        if 16 <= version
            && [ErrorCode::NotLeaderOrFollower.code(), ErrorCode::FencedLeaderEpoch.code()].contains(&data.error_code)
        {
            let topic = match &wanted.topic {
                SessionTopic::Id(id) => image.topic_by_id(*id),
                SessionTopic::Name(name) => image.topic(name),
            };
            let known = topic.and_then(|topic| topic.partitions.get(&wanted.partition));
            if let Some((leader, epoch)) = current_leader(partition.as_deref(), known) {
                data.current_leader = LeaderIdAndEpoch { leader_id: leader.0, leader_epoch: epoch.0 };
                leaders.push(leader);
            }
        }
        push(&mut response.responses, wanted.topic, data);
    }
    let nodes = leader_hint(&image, &context.connection.listener, leaders);
    response.node_endpoints = nodes
        .map(|node| NodeEndpoint { node_id: node.id, host: node.host, port: node.port, rack: node.rack })
        .collect();
    response
}

/// Adds a partition, to the last topic if it is the same: the order in which partitions were served is kept.
fn push(topics: &mut Vec<FetchableTopicResponse>, topic: SessionTopic, data: PartitionData) {
    let (name, topic_id) = match topic {
        SessionTopic::Id(id) => (Str::default(), id),
        SessionTopic::Name(name) => (Str::from(name), Uuid::ZERO),
    };
    match topics.last_mut() {
        Some(last) if last.topic == name && last.topic_id == topic_id => last.partitions.push(data),
        _ => topics.push(FetchableTopicResponse { topic: name, topic_id, partitions: vec![data] }),
    }
}

fn partition_data(index: i32, found: Found) -> PartitionData {
    let empty = PartitionData {
        partition_index: index,
        high_watermark: -1,
        aborted_transactions: None,
        records: Some(Records::new()),
        ..Default::default()
    };
    match found {
        // Kafka leaves the default of the field where it never came to read.
        Found::Failed(code @ (ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId)) => {
            PartitionData { error_code: code.code(), aborted_transactions: Some(Vec::new()), ..empty }
        }
        Found::Failed(code) => PartitionData { error_code: code.code(), ..empty },
        Found::Diverging { epoch, end_offset, offsets } => PartitionData {
            high_watermark: offsets.high_watermark.0,
            last_stable_offset: offsets.last_stable.map_or(-1, |offset| offset.0),
            log_start_offset: offsets.log_start.0,
            diverging_epoch: EpochEndOffset { epoch: epoch.0, end_offset: end_offset.0 },
            ..empty
        },
        Found::Preferred { replica, offsets } => PartitionData {
            high_watermark: offsets.high_watermark.0,
            last_stable_offset: offsets.last_stable.map_or(-1, |offset| offset.0),
            log_start_offset: offsets.log_start.0,
            preferred_read_replica: replica.0,
            ..empty
        },
        Found::Read(read) => PartitionData {
            high_watermark: read.offsets.high_watermark.0,
            last_stable_offset: read.last_stable.0,
            log_start_offset: read.offsets.log_start.0,
            aborted_transactions: read.aborted.map(|aborted| {
                let entry = |(producer, first): &(whimbrel_model::ProducerId, Offset)| AbortedTransaction {
                    producer_id: producer.0,
                    first_offset: first.0,
                };
                aborted.iter().map(entry).collect()
            }),
            records: Some(match read.records {
                Sendable::Memory(slices) => slices.into_iter().collect(),
                Sendable::File(slice) => slice.into(),
            }),
            ..empty
        },
    }
}
