//! OffsetCommit, API 8.

use whimbrel_model::Uuid;

use crate::Str;

message! {
    /// Stores a group's positions. 10 names topics by id (KIP-848).
    OffsetCommitRequest, valid "0-10", flexible "8+" {
        group_id: Str, "0+";
        /// -1 for a commit from outside the group.
        generation_id_or_member_epoch: i32, "1+", default -1, ignorable true;
        member_id: Str, "1+", ignorable true;
        /// Name of a static member (KIP-345).
        group_instance_id: Option<Str>, "7+", nullable "7+", default None;
        /// How long the broker keeps the offsets; -1 for its own setting.
        retention_time_ms: i64, "2-4", default -1, ignorable true;
        topics: Vec<OffsetCommitRequestTopic>, "0+";
    }

    /// One topic.
    OffsetCommitRequestTopic {
        name: Str, "0-9", ignorable true;
        topic_id: Uuid, "10+", ignorable true;
        partitions: Vec<OffsetCommitRequestPartition>, "0+";
    }

    /// One partition.
    OffsetCommitRequestPartition {
        partition_index: i32, "0+";
        committed_offset: i64, "0+";
        /// Leader epoch of the last record consumed, or -1.
        committed_leader_epoch: i32, "6+", default -1, ignorable true;
        /// Milliseconds since 1970; -1 for the time of arrival.
        commit_timestamp: i64, "1", default -1;
        /// The client's note on the offset.
        committed_metadata: Option<Str>, "0+", nullable "0+";
    }
}

message! {
    /// Result for each partition.
    OffsetCommitResponse, valid "0-10", flexible "8+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "3+", ignorable true;
        topics: Vec<OffsetCommitResponseTopic>, "0+";
    }

    /// One topic.
    OffsetCommitResponseTopic {
        name: Str, "0-9", ignorable true;
        topic_id: Uuid, "10+", ignorable true;
        partitions: Vec<OffsetCommitResponsePartition>, "0+";
    }

    /// One partition.
    OffsetCommitResponsePartition {
        partition_index: i32, "0+";
        error_code: i16, "0+";
    }
}
