//! DescribeProducers, API 61.

use crate::Str;

message! {
    /// Asks for the producers that are active in partitions (KIP-664).
    DescribeProducersRequest, valid "0", flexible "0+" {
        topics: Vec<TopicRequest>, "0+";
    }

    /// One topic.
    TopicRequest {
        name: Str, "0+";
        partition_indexes: Vec<i32>, "0+";
    }
}

message! {
    /// The producers of each partition.
    DescribeProducersResponse, valid "0", flexible "0+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "0+";
        topics: Vec<TopicResponse>, "0+";
    }

    /// One topic.
    TopicResponse {
        name: Str, "0+";
        partitions: Vec<PartitionResponse>, "0+";
    }

    /// One partition.
    PartitionResponse {
        partition_index: i32, "0+";
        error_code: i16, "0+";
        error_message: Option<Str>, "0+", nullable "0+", default None;
        active_producers: Vec<ProducerState>, "0+";
    }

    /// One producer.
    ProducerState {
        producer_id: i64, "0+";
        producer_epoch: i32, "0+";
        /// Sequence number of the last record.
        last_sequence: i32, "0+", default -1;
        last_timestamp: i64, "0+", default -1;
        /// Epoch of the transaction coordinator that wrote the last marker, or -1.
        coordinator_epoch: i32, "0+";
        /// -1 if no transaction is open.
        current_txn_start_offset: i64, "0+", default -1;
    }
}
