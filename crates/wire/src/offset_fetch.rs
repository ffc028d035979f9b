//! OffsetFetch, API 9.

use whimbrel_model::Uuid;

use crate::Str;

message! {
    /// Asks for a group's positions. From 8 for several groups (KIP-709); 10 names topics by id (KIP-848).
    OffsetFetchRequest, valid "0-10", flexible "6+" {
        group_id: Str, "0-7";
        topics: Option<Vec<OffsetFetchRequestTopic>>, "0-7", nullable "2-7";
        groups: Vec<OffsetFetchRequestGroup>, "8+";
        /// Whether to fail for offsets that an open transaction may still change (KIP-447).
        require_stable: bool, "7+";
    }

    /// One topic, up to version 7.
    OffsetFetchRequestTopic {
        name: Str, "0-7";
        partition_indexes: Vec<i32>, "0-7";
    }

    /// One group.
    OffsetFetchRequestGroup {
        group_id: Str, "8+";
        member_id: Option<Str>, "9+", nullable "9+", default None, ignorable true;
        /// Epoch of a member of the newer group protocol, or -1 (KIP-848).
        member_epoch: i32, "9+", default -1, ignorable true;
        topics: Option<Vec<OffsetFetchRequestTopics>>, "8+", nullable "8+";
    }

    /// One topic of a group.
    OffsetFetchRequestTopics {
        name: Str, "8-9", ignorable true;
        topic_id: Uuid, "10+", ignorable true;
        partition_indexes: Vec<i32>, "8+";
    }
}

message! {
    /// The positions.
    OffsetFetchResponse, valid "0-10", flexible "6+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "3+", ignorable true;
        topics: Vec<OffsetFetchResponseTopic>, "0-7";
        error_code: i16, "2-7", ignorable true;
        groups: Vec<OffsetFetchResponseGroup>, "8+";
    }

    /// One topic, up to version 7.
    OffsetFetchResponseTopic {
        name: Str, "0-7";
        partitions: Vec<OffsetFetchResponsePartition>, "0-7";
    }

    /// One partition, up to version 7.
    OffsetFetchResponsePartition {
        partition_index: i32, "0-7";
        committed_offset: i64, "0-7";
        /// Leader epoch of the last record consumed, or -1.
        committed_leader_epoch: i32, "5-7", default -1, ignorable true;
        metadata: Option<Str>, "0-7", nullable "0-7";
        error_code: i16, "0-7";
    }

    /// One group.
    OffsetFetchResponseGroup {
        group_id: Str, "8+";
        topics: Vec<OffsetFetchResponseTopics>, "8+";
        error_code: i16, "8+";
    }

    /// One topic of a group.
    OffsetFetchResponseTopics {
        name: Str, "8-9", ignorable true;
        topic_id: Uuid, "10+", ignorable true;
        partitions: Vec<OffsetFetchResponsePartitions>, "8+";
    }

    /// One partition of a group.
    OffsetFetchResponsePartitions {
        partition_index: i32, "8+";
        committed_offset: i64, "8+";
        /// Leader epoch of the last record consumed, or -1.
        committed_leader_epoch: i32, "8+", default -1, ignorable true;
        metadata: Option<Str>, "8+", nullable "8+";
        error_code: i16, "8+";
    }
}
