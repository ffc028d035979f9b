//! ListPartitionReassignments, API 46.

use crate::Str;

message! {
    /// Asks which reassignments are under way (KIP-455).
    ListPartitionReassignmentsRequest, valid "0", flexible "0+" {
        timeout_ms: i32, "0+", default 60000;
        /// Null for all.
        topics: Option<Vec<ListPartitionReassignmentsTopics>>, "0+", nullable "0+", default None;
    }

    /// One topic.
    ListPartitionReassignmentsTopics {
        name: Str, "0+";
        partition_indexes: Vec<i32>, "0+";
    }
}

message! {
    /// The partitions that are being reassigned.
    ListPartitionReassignmentsResponse, valid "0", flexible "0+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "0+";
        error_code: i16, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
        topics: Vec<OngoingTopicReassignment>, "0+";
    }

    /// One topic.
    OngoingTopicReassignment {
        name: Str, "0+";
        partitions: Vec<OngoingPartitionReassignment>, "0+";
    }

    /// One partition.
    OngoingPartitionReassignment {
        partition_index: i32, "0+";
        /// All, those that come and those that go included.
        replicas: Vec<i32>, "0+";
        adding_replicas: Vec<i32>, "0+";
        removing_replicas: Vec<i32>, "0+";
    }
}
