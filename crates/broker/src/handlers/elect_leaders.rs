//! ElectLeaders, versions 0 to 2 (KIP-183, KIP-460). Only the active controller serves it. The answer leaves when clients
//! of this broker are told of the new leaders, or when the time of the request is over.

use std::time::Duration;

use whimbrel_model::{ErrorCode, NodeId, TopicPartition};
use whimbrel_state::controller::control::{
    ControllerRequest, ControllerResponse, ElectLeadersRequest as Meaning, ElectionKind, PartitionOutcome,
};
use whimbrel_wire::elect_leaders::{PartitionResult, ReplicaElectionResult};
use whimbrel_wire::{ElectLeadersRequest, ElectLeadersResponse, Str};

use super::RequestContext;
use crate::Broker;

pub async fn handle(context: &RequestContext, request: ElectLeadersRequest, version: i16) -> ElectLeadersResponse {
    let broker = context.broker();
    // Version 0 knows preferred leaders alone.
    let kind =
        if version == 0 { Some(ElectionKind::Preferred) } else { ElectionKind::from_code(request.election_type) };
    let Some(kind) = kind else {
        return ElectLeadersResponse { error_code: ErrorCode::InvalidRequest.code(), ..Default::default() };
    };
    let partitions: Option<Vec<TopicPartition>> = request.topic_partitions.map(|topics| {
        let names = topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|&index| TopicPartition::new(topic.topic.as_str(), index)));
        names.collect()
    });
    let asked = ControllerRequest::ElectLeaders(Meaning { kind, partitions: partitions.clone() });
    let Some(ControllerResponse::ElectLeaders(answer)) = broker.ask_own_controller(asked).await else {
        return not_controller(partitions.unwrap_or_default());
    };
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let late = not_yet_known(broker, answer.elected, timeout).await;
    let mut outcomes = answer.partitions;
    for outcome in &mut outcomes {
        if late.contains(&outcome.partition) {
            outcome.error = ErrorCode::RequestTimedOut;
        }
    }
    ElectLeadersResponse {
        error_code: answer.error.code(),
        replica_election_results: results(outcomes),
        ..Default::default()
    }
}

/// Version 0 has no place for an error of the whole request, so each partition gets it too.
fn not_controller(partitions: Vec<TopicPartition>) -> ElectLeadersResponse {
    let error = ErrorCode::NotController;
    let outcomes = partitions.into_iter().map(|partition| PartitionOutcome { partition, error, message: None });
    ElectLeadersResponse {
        error_code: error.code(),
        replica_election_results: results(outcomes.collect()),
        ..Default::default()
    }
}

/// Waits until this broker tells clients of these leaders; those that it does not tell of in time are returned.
async fn not_yet_known(
    broker: &Broker,
    mut elected: Vec<(TopicPartition, NodeId)>,
    timeout: Duration,
) -> Vec<TopicPartition> {
    let known = broker.metadata.wait_for(|image| {
        elected.retain(|(name, leader)| {
            let partition = image.topic(&name.topic).and_then(|topic| topic.partitions.get(&name.partition));
            // A partition that was deleted, or moved on meanwhile, is not waited for.
            partition.is_some_and(|partition| partition.leader != *leader)
        });
        elected.is_empty().then_some(())
    });
    match tokio::time::timeout(timeout, known).await {
        Ok(()) => Vec::new(),
        Err(_) => elected.into_iter().map(|(name, _)| name).collect(),
    }
}

fn results(outcomes: Vec<PartitionOutcome>) -> Vec<ReplicaElectionResult> {
    let mut results: Vec<ReplicaElectionResult> = Vec::new();
    for outcome in outcomes {
        let partition = PartitionResult {
            partition_id: outcome.partition.partition,
            error_code: outcome.error.code(),
            error_message: outcome.message.map(Str::from),
        };
        match results.iter_mut().find(|topic| *topic.topic == *outcome.partition.topic) {
            Some(topic) => topic.partition_result.push(partition),
            None => results.push(ReplicaElectionResult {
                topic: Str::from(outcome.partition.topic.to_string()),
                partition_result: vec![partition],
            }),
        }
    }
    results
}
