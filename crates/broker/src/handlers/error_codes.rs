//! Where error codes are in each answer, so that they can be counted.

use whimbrel_model::ErrorCode;
use whimbrel_wire::*;

/// An answer whose error codes can be seen.
pub trait ErrorCodes {
    /// Calls `see` with each error code that is not success, wherever it stands in the answer.
    fn each_error(&self, see: &mut dyn FnMut(ErrorCode));
}

/// Walks down a path of lists to an error code.
macro_rules! walk {
    ($of:expr, $see:ident, $code:ident) => {
        if $of.$code != 0 {
            $see(ErrorCode::from_code($of.$code));
        }
    };
    ($of:expr, $see:ident, $list:ident . $($rest:ident).+) => {
        for element in &$of.$list {
            walk!(element, $see, $($rest).+);
        }
    };
}

macro_rules! error_codes {
    ($($response:ident: $($($path:ident).+),+;)*) => { $(
        impl ErrorCodes for $response {
            fn each_error(&self, see: &mut dyn FnMut(ErrorCode)) {
                $(walk!(self, see, $($path).+);)+
            }
        }
    )* };
}

error_codes! {
    ProduceResponse: responses.partition_responses.error_code;
    FetchResponse: error_code, responses.partitions.error_code;
    ListOffsetsResponse: topics.partitions.error_code;
    MetadataResponse: topics.error_code, topics.partitions.error_code, error_code;
    OffsetCommitResponse: topics.partitions.error_code;
    OffsetFetchResponse: topics.partitions.error_code, error_code, groups.topics.partitions.error_code, groups.error_code;
    FindCoordinatorResponse: error_code, coordinators.error_code;
    JoinGroupResponse: error_code;
    HeartbeatResponse: error_code;
    LeaveGroupResponse: error_code, members.error_code;
    SyncGroupResponse: error_code;
    DescribeGroupsResponse: groups.error_code;
    ListGroupsResponse: error_code;
    ApiVersionsResponse: error_code;
    DeleteRecordsResponse: topics.partitions.error_code;
    OffsetForLeaderEpochResponse: topics.partitions.error_code;
    DescribeLogDirsResponse: error_code, results.error_code;
    DeleteGroupsResponse: results.error_code;
    OffsetDeleteResponse: error_code, topics.partitions.error_code;
    DescribeProducersResponse: topics.partitions.error_code;
    DescribeTopicPartitionsResponse: topics.error_code, topics.partitions.error_code;
    CreateTopicsResponse: topics.error_code;
    DeleteTopicsResponse: responses.error_code;
    InitProducerIdResponse: error_code;
    DescribeConfigsResponse: results.error_code;
    AlterConfigsResponse: responses.error_code;
    CreatePartitionsResponse: results.error_code;
    IncrementalAlterConfigsResponse: responses.error_code;
    DescribeClusterResponse: error_code;
    LeaderAndIsrResponse: error_code, partition_errors.error_code, topics.partition_errors.error_code;
    StopReplicaResponse: error_code, partition_errors.error_code;
    UpdateMetadataResponse: error_code;
    ControlledShutdownResponse: error_code;
    AlterPartitionResponse: error_code, topics.partitions.error_code;
    AllocateProducerIdsResponse: error_code;
    AlterPartitionReassignmentsResponse: error_code, responses.partitions.error_code;
    ListPartitionReassignmentsResponse: error_code;
    ElectLeadersResponse: error_code, replica_election_results.partition_result.error_code;
    WhimbrelLivenessResponse: error_code;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_seen_at_every_depth_and_success_is_not() {
        let partitions =
            vec![fetch::PartitionData::default(), fetch::PartitionData { error_code: 6, ..Default::default() }];
        let topic = fetch::FetchableTopicResponse { partitions, ..Default::default() };
        let response = FetchResponse { error_code: 70, responses: vec![topic], ..FetchResponse::default() };
        let mut seen = Vec::new();
        response.each_error(&mut |code| seen.push(code));
        assert_eq!(seen, [ErrorCode::FetchSessionIdNotFound, ErrorCode::NotLeaderOrFollower]);
    }
}
