//! CreatePartitions, API 37.

use crate::Str;

message! {
    /// Raises the number of partitions of topics (KIP-195).
    CreatePartitionsRequest, valid "0-3", flexible "2+" {
        topics: Vec<CreatePartitionsTopic>, "0+";
        /// How long to wait for the work to be done.
        timeout_ms: i32, "0+";
        /// Whether to check only, and change nothing.
        validate_only: bool, "0+";
    }

    /// A topic with its new number of partitions.
    CreatePartitionsTopic {
        name: Str, "0+";
        count: i32, "0+";
        assignments: Option<Vec<CreatePartitionsAssignment>>, "0+", nullable "0+";
    }

    /// The replicas of one new partition.
    CreatePartitionsAssignment {
        broker_ids: Vec<i32>, "0+";
    }
}

message! {
    /// Result for each topic.
    CreatePartitionsResponse, valid "0-3", flexible "2+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "0+";
        results: Vec<CreatePartitionsTopicResult>, "0+";
    }

    /// One topic.
    CreatePartitionsTopicResult {
        name: Str, "0+";
        error_code: i16, "0+";
        error_message: Option<Str>, "0+", nullable "0+", default None;
    }
}
