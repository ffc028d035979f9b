//! ListOffsets, API 2.

use crate::Str;

message! {
    /// Looks up offsets by timestamp.
    ///
    /// Special timestamps: -1 latest, -2 earliest, -3 largest timestamp (KIP-734), -4 earliest local, -5 latest tiered,
    /// -6 earliest pending upload.
    ListOffsetsRequest, valid "0-11", flexible "6+" {
        /// Broker id of a follower; -1 for a consumer.
        replica_id: i32, "0+";
        /// 0 `read_uncommitted`, 1 `read_committed`.
        isolation_level: i8, "2+";
        topics: Vec<ListOffsetsTopic>, "0+";
        /// How long to wait for the work to be done.
        timeout_ms: i32, "10+", ignorable true;
    }

    /// One topic.
    ListOffsetsTopic {
        name: Str, "0+";
        partitions: Vec<ListOffsetsPartition>, "0+";
    }

    /// One partition.
    ListOffsetsPartition {
        partition_index: i32, "0+";
        /// The client's knowledge, for fencing; -1 for none.
        current_leader_epoch: i32, "4+", default -1, ignorable true;
        timestamp: i64, "0+";
        /// How many offsets to return at most.
        max_num_offsets: i32, "0", default 1;
    }
}

message! {
    /// The offset of the first record at or after each timestamp.
    ListOffsetsResponse, valid "0-11", flexible "6+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "2+", ignorable true;
        topics: Vec<ListOffsetsTopicResponse>, "0+";
    }

    /// One topic.
    ListOffsetsTopicResponse {
        name: Str, "0+";
        partitions: Vec<ListOffsetsPartitionResponse>, "0+";
    }

    /// One partition.
    ListOffsetsPartitionResponse {
        partition_index: i32, "0+";
        error_code: i16, "0+";
        /// Several offsets, newest first.
        old_style_offsets: Vec<i64>, "0";
        timestamp: i64, "1+", default -1;
        offset: i64, "1+", default -1;
        /// -1 if unknown.
        leader_epoch: i32, "4+", default -1;
    }
}
