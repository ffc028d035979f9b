//! AlterPartitionReassignments, API 45.

use crate::Str;

message! {
    /// Starts and cancels reassignments (KIP-455).
    AlterPartitionReassignmentsRequest, valid "0-1", flexible "0+" {
        timeout_ms: i32, "0+", default 60000;
        /// Whether a partition may get more or fewer replicas than it has (KIP-860).
        allow_replication_factor_change: bool, "1+", default true;
        topics: Vec<ReassignableTopic>, "0+";
    }

    /// One topic.
    ReassignableTopic {
        name: Str, "0+";
        partitions: Vec<ReassignablePartition>, "0+";
    }

    /// One partition.
    ReassignablePartition {
        partition_index: i32, "0+";
        /// Where its replicas are to be; null to cancel a reassignment.
        replicas: Option<Vec<i32>>, "0+", nullable "0+", default None;
    }
}

message! {
    /// Result for each partition.
    AlterPartitionReassignmentsResponse, valid "0-1", flexible "0+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "0+";
        /// Of the request.
        allow_replication_factor_change: bool, "1+", default true, ignorable true;
        error_code: i16, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
        responses: Vec<ReassignableTopicResponse>, "0+";
    }

    /// One topic.
    ReassignableTopicResponse {
        name: Str, "0+";
        partitions: Vec<ReassignablePartitionResponse>, "0+";
    }

    /// One partition.
    ReassignablePartitionResponse {
        partition_index: i32, "0+";
        error_code: i16, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
    }
}
