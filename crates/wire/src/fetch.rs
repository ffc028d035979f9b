//! Fetch, API 1.

use whimbrel_model::Uuid;

use crate::{Records, Str};

message! {
    /// Reads record batches, for consumers and followers.
    ///
    /// 7 brings sessions (KIP-227), 12 flexible encoding and divergence detection, 13 topic ids (KIP-516), 15 the
    /// replica's state as a tagged field.
    FetchRequest, valid "0-18", flexible "12+" {
        cluster_id: Option<Str>, "12+", nullable "12+", tag 0 "12+", default None, ignorable true;
        /// Broker id of a follower; -1 for a consumer.
        replica_id: i32, "0-14", default -1;
        /// Who is fetching: a follower with its broker epoch, or a consumer (KIP-903).
        replica_state: ReplicaState, "15+", tag 1 "15+";
        /// How long to wait for `min_bytes`.
        max_wait_ms: i32, "0+";
        /// What to wait for before answering.
        min_bytes: i32, "0+";
        /// Upper bound of the whole response; the first batch is returned even if larger (KIP-74).
        max_bytes: i32, "3+", default i32::MAX, ignorable true;
        /// 0 `read_uncommitted`, 1 `read_committed`.
        isolation_level: i8, "4+", ignorable true;
        /// Fetch session (KIP-227); 0 for none.
        session_id: i32, "7+", ignorable true;
        /// Counts the requests of a session; 0 opens one and -1 closes it.
        session_epoch: i32, "7+", default -1, ignorable true;
        topics: Vec<FetchTopic>, "0+";
        /// Partitions to drop from the fetch session (KIP-227).
        forgotten_topics_data: Vec<ForgottenTopic>, "7+";
        /// For fetching from the closest replica (KIP-392).
        rack_id: Str, "11+", ignorable true;
    }

    /// Identity of a fetching follower.
    ReplicaState {
        /// Broker id of a follower; -1 for a consumer.
        replica_id: i32, "15+", default -1;
        /// Broker epoch of the follower, or -1.
        replica_epoch: i64, "15+", default -1;
    }

    /// One topic to read.
    FetchTopic {
        topic: Str, "0-12", ignorable true;
        topic_id: Uuid, "13+", ignorable true;
        partitions: Vec<FetchPartition>, "0+";
    }

    /// One partition to read.
    FetchPartition {
        partition: i32, "0+";
        /// The client's knowledge, for fencing; -1 for none.
        current_leader_epoch: i32, "9+", default -1, ignorable true;
        fetch_offset: i64, "0+";
        /// Leader epoch of the last record that the follower has, or -1.
        last_fetched_epoch: i32, "12+", default -1;
        /// First offset that the follower has; -1 from a consumer.
        log_start_offset: i64, "5+", default -1, ignorable true;
        /// Upper bound for this partition, except for a first batch that is larger.
        partition_max_bytes: i32, "0+";
        /// Log directory of the follower (KIP-853).
        replica_directory_id: Uuid, "17+", tag 0 "17+", ignorable true;
        /// The high watermark that the follower knows: -1 if it knows none, the default if it does not say (KIP-1166).
        high_watermark: i64, "18+", tag 1 "18+", default i64::MAX, ignorable true;
    }

    /// Partitions of one topic to drop from the session.
    ForgottenTopic {
        topic: Str, "7-12", ignorable true;
        topic_id: Uuid, "13+", ignorable true;
        partitions: Vec<i32>, "7+";
    }
}

message! {
    /// Record batches, with the offsets that bound what is readable.
    FetchResponse, valid "0-18", flexible "12+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "1+", ignorable true;
        error_code: i16, "7+", ignorable true;
        /// Fetch session (KIP-227); 0 for none.
        session_id: i32, "7+";
        responses: Vec<FetchableTopicResponse>, "0+";
        /// Addresses of the leaders named in this response (KIP-951).
        node_endpoints: Vec<NodeEndpoint>, "16+", tag 0 "16+";
    }

    /// Records of one topic.
    FetchableTopicResponse {
        topic: Str, "0-12", ignorable true;
        topic_id: Uuid, "13+", ignorable true;
        partitions: Vec<PartitionData>, "0+";
    }

    /// Records of one partition.
    PartitionData {
        partition_index: i32, "0+";
        error_code: i16, "0+";
        /// First offset not yet committed.
        high_watermark: i64, "0+";
        /// First offset that an open transaction may still change.
        last_stable_offset: i64, "4+", default -1, ignorable true;
        /// First offset that is left.
        log_start_offset: i64, "5+", default -1, ignorable true;
        /// Set if the follower's log has diverged: the largest epoch in common and its end offset (KIP-595).
        diverging_epoch: EpochEndOffset, "12+", tag 0 "12+";
        /// Who leads now, if it is not this broker.
        current_leader: LeaderIdAndEpoch, "12+", tag 1 "12+";
        /// Only in the metadata quorum: the snapshot to read instead.
        snapshot_id: SnapshotId, "12+", tag 2 "12+";
        /// Transactions whose records a `read_committed` reader drops; null for other readers.
        aborted_transactions: Option<Vec<AbortedTransaction>>, "4+", nullable "4+", ignorable true;
        /// Where the consumer should rather fetch, or -1 (KIP-392).
        preferred_read_replica: i32, "11+", default -1;
        records: Option<Records>, "0+", nullable "0+";
    }

    /// Where a leader epoch ends.
    EpochEndOffset {
        epoch: i32, "12+", default -1;
        /// First offset after the epoch, or -1.
        end_offset: i64, "12+", default -1;
    }

    /// The current leader (KIP-951).
    LeaderIdAndEpoch {
        leader_id: i32, "12+", default -1;
        /// -1 if unknown.
        leader_epoch: i32, "12+", default -1;
    }

    /// A snapshot of the metadata log.
    SnapshotId {
        end_offset: i64, "0+", default -1;
        epoch: i32, "0+", default -1;
    }

    /// A producer's transaction that was aborted.
    AbortedTransaction {
        producer_id: i64, "4+";
        /// First offset of the transaction.
        first_offset: i64, "4+";
    }

    /// Address of a broker.
    NodeEndpoint {
        node_id: i32, "16+";
        host: Str, "16+";
        port: i32, "16+";
        rack: Option<Str>, "16+", nullable "16+", default None;
    }
}
