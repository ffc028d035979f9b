//! OffsetDelete, API 47.

use crate::Str;

message! {
    /// Forgets a group's positions (KIP-496).
    OffsetDeleteRequest, valid "0", flexible "none" {
        group_id: Str, "0+";
        topics: Vec<OffsetDeleteRequestTopic>, "0+";
    }

    /// One topic.
    OffsetDeleteRequestTopic {
        name: Str, "0+";
        partitions: Vec<OffsetDeleteRequestPartition>, "0+";
    }

    /// One partition.
    OffsetDeleteRequestPartition {
        partition_index: i32, "0+";
    }
}

message! {
    /// Result for each partition.
    OffsetDeleteResponse, valid "0", flexible "none" {
        error_code: i16, "0+";
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "0+", ignorable true;
        topics: Vec<OffsetDeleteResponseTopic>, "0+";
    }

    /// One topic.
    OffsetDeleteResponseTopic {
        name: Str, "0+";
        partitions: Vec<OffsetDeleteResponsePartition>, "0+";
    }

    /// One partition.
    OffsetDeleteResponsePartition {
        partition_index: i32, "0+";
        error_code: i16, "0+";
    }
}
