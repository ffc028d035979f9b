//! DescribeTopicPartitions, API 75. Request and response share `Cursor`.

use whimbrel_model::Uuid;

use crate::Str;

message! {
    /// Asks for topics page by page (KIP-966).
    DescribeTopicPartitionsRequest, valid "0", flexible "0+" {
        topics: Vec<TopicRequest>, "0+";
        /// Partitions in the response at most.
        response_partition_limit: i32, "0+", default 2000;
        /// Where to continue; null to start.
        cursor: Option<Cursor>, "0+", nullable "0+", default None;
    }

    /// One topic.
    TopicRequest {
        name: Str, "0+";
    }

    /// A place in the list of all partitions, which is ordered by topic name.
    Cursor {
        topic_name: Str, "0+";
        partition_index: i32, "0+";
    }
}

message! {
    /// One page of partitions.
    DescribeTopicPartitionsResponse, valid "0", flexible "0+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "0+", ignorable true;
        topics: Vec<DescribeTopicPartitionsResponseTopic>, "0+";
        /// Where the next request continues; null if this is the end.
        next_cursor: Option<Cursor>, "0+", nullable "0+", default None;
    }

    /// One topic.
    DescribeTopicPartitionsResponseTopic {
        error_code: i16, "0+";
        name: Option<Str>, "0+", nullable "0+";
        topic_id: Uuid, "0+", ignorable true;
        is_internal: bool, "0+", ignorable true;
        partitions: Vec<DescribeTopicPartitionsResponsePartition>, "0+";
        topic_authorized_operations: i32, "0+", default i32::MIN;
    }

    /// One partition.
    DescribeTopicPartitionsResponsePartition {
        error_code: i16, "0+";
        partition_index: i32, "0+";
        leader_id: i32, "0+";
        /// -1 if unknown.
        leader_epoch: i32, "0+", default -1, ignorable true;
        replica_nodes: Vec<i32>, "0+";
        isr_nodes: Vec<i32>, "0+";
        /// Replicas that may lead though they are out of sync (KIP-966).
        eligible_leader_replicas: Option<Vec<i32>>, "0+", nullable "0+", default None;
        /// The eligible leader replicas before the last unclean change.
        last_known_elr: Option<Vec<i32>>, "0+", nullable "0+", default None;
        offline_replicas: Vec<i32>, "0+", ignorable true;
    }
}
