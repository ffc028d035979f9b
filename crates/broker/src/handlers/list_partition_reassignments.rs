//! ListPartitionReassignments, version 0 (KIP-455). Only the active controller serves it.

use whimbrel_model::{ErrorCode, NodeId, TopicPartition};
use whimbrel_state::controller::control::{
    ControllerRequest, ControllerResponse, ListReassignmentsRequest, OngoingReassignment,
};
use whimbrel_wire::list_partition_reassignments::{OngoingPartitionReassignment, OngoingTopicReassignment};
use whimbrel_wire::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, Str};

use super::RequestContext;

pub async fn handle(
    context: &RequestContext,
    request: ListPartitionReassignmentsRequest,
    _version: i16,
) -> ListPartitionReassignmentsResponse {
    let partitions = request.topics.map(|topics| {
        let names = topics.iter().flat_map(|topic| {
            topic.partition_indexes.iter().map(|&index| TopicPartition::new(topic.name.as_str(), index))
        });
        names.collect()
    });
    let asked = ControllerRequest::ListReassignments(ListReassignmentsRequest { partitions });
    match context.broker().ask_own_controller(asked).await {
        Some(ControllerResponse::ListReassignments(answer)) => {
            ListPartitionReassignmentsResponse { topics: topics(answer.partitions), ..Default::default() }
        }
        _ => ListPartitionReassignmentsResponse { error_code: ErrorCode::NotController.code(), ..Default::default() },
    }
}

fn topics(ongoing: Vec<OngoingReassignment>) -> Vec<OngoingTopicReassignment> {
    let ids = |replicas: &[NodeId]| replicas.iter().map(|replica| replica.0).collect();
    let mut topics: Vec<OngoingTopicReassignment> = Vec::new();
    for one in ongoing {
        let partition = OngoingPartitionReassignment {
            partition_index: one.partition.partition,
            replicas: ids(&one.replicas),
            adding_replicas: ids(&one.adding_replicas),
            removing_replicas: ids(&one.removing_replicas),
        };
        match topics.last_mut().filter(|last| *last.name == *one.partition.topic) {
            Some(topic) => topic.partitions.push(partition),
            None => topics.push(OngoingTopicReassignment {
                name: Str::from(one.partition.topic.to_string()),
                partitions: vec![partition],
            }),
        }
    }
    topics
}
