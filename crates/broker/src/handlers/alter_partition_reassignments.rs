//! AlterPartitionReassignments, version 0 (KIP-455): starts and cancels reassignments. Only the active controller serves
//! it; an answer without an error says that the reassignment is recorded, not that it is done.

use whimbrel_model::{ErrorCode, NodeId, TopicPartition};
use whimbrel_state::controller::control::{
    AlterReassignmentsRequest, AlterReassignmentsResponse, ControllerRequest, ControllerResponse, Reassignment,
};
use whimbrel_wire::alter_partition_reassignments::{ReassignablePartitionResponse, ReassignableTopicResponse};
use whimbrel_wire::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, Str};

use super::RequestContext;

pub async fn handle(
    context: &RequestContext,
    request: AlterPartitionReassignmentsRequest,
    _version: i16,
) -> AlterPartitionReassignmentsResponse {
    let one = |topic: &Str, index: i32, replicas: &Option<Vec<i32>>| Reassignment {
        partition: TopicPartition::new(topic.as_str(), index),
        replicas: replicas.as_ref().map(|replicas| replicas.iter().copied().map(NodeId).collect()),
    };
    let partitions = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| one(&topic.name, partition.partition_index, &partition.replicas))
    });
    let asked = ControllerRequest::AlterReassignments(AlterReassignmentsRequest { partitions: partitions.collect() });
    let answer = match context.broker().ask_own_controller(asked).await {
        Some(ControllerResponse::AlterReassignments(answer)) => answer,
        _ => AlterReassignmentsResponse { error: ErrorCode::NotController, ..Default::default() },
    };
    AlterPartitionReassignmentsResponse {
        error_code: answer.error.code(),
        error_message: answer.message.map(Str::from),
        responses: topics(answer.partitions),
        ..Default::default()
    }
}

/// The outcomes by topic, in the order of the request.
fn topics(outcomes: Vec<whimbrel_state::controller::control::PartitionOutcome>) -> Vec<ReassignableTopicResponse> {
    let mut topics: Vec<ReassignableTopicResponse> = Vec::new();
    for outcome in outcomes {
        let partition = ReassignablePartitionResponse {
            partition_index: outcome.partition.partition,
            error_code: outcome.error.code(),
            error_message: outcome.message.map(Str::from),
        };
        match topics.last_mut().filter(|last| *last.name == *outcome.partition.topic) {
            Some(topic) => topic.partitions.push(partition),
            None => topics.push(ReassignableTopicResponse {
                name: Str::from(outcome.partition.topic.to_string()),
                partitions: vec![partition],
            }),
        }
    }
    topics
}
