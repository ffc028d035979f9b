//! ElectLeaders, API 43.

use crate::Str;

message! {
    /// Elects preferred leaders, or any that is alive (KIP-183, KIP-460).
    ElectLeadersRequest, valid "0-2", flexible "2+" {
        /// 0 preferred, 1 unclean.
        election_type: i8, "1+";
        /// Null for all.
        topic_partitions: Option<Vec<TopicPartitions>>, "0+", nullable "0+";
        timeout_ms: i32, "0+", default 60000;
    }

    /// One topic.
    TopicPartitions {
        topic: Str, "0+";
        partitions: Vec<i32>, "0+";
    }
}

message! {
    /// Result for each partition.
    ElectLeadersResponse, valid "0-2", flexible "2+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "0+";
        error_code: i16, "1+";
        replica_election_results: Vec<ReplicaElectionResult>, "0+";
    }

    /// One topic.
    ReplicaElectionResult {
        topic: Str, "0+";
        partition_result: Vec<PartitionResult>, "0+";
    }

    /// One partition.
    PartitionResult {
        partition_id: i32, "0+";
        error_code: i16, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
    }
}
