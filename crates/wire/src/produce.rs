//! Produce, API 0.

use whimbrel_model::Uuid;

use crate::{Records, Str};

message! {
    /// Appends record batches. With acks=0 there is no response.
    ///
    /// From 3 only record batches v2; 13 names topics by id (KIP-516).
    ProduceRequest, valid "0-13", flexible "9+" {
        transactional_id: Option<Str>, "3+", nullable "3+", default None;
        /// Replicas that must have the records before the response: 0 (and no response), 1, or -1 for all in sync.
        acks: i16, "0+";
        /// How long to wait for the work to be done.
        timeout_ms: i32, "0+";
        topic_data: Vec<TopicProduceData>, "0+";
    }

    /// Records for one topic.
    TopicProduceData {
        name: Str, "0-12", ignorable true;
        topic_id: Uuid, "13+", ignorable true;
        partition_data: Vec<PartitionProduceData>, "0+";
    }

    /// Records for one partition.
    PartitionProduceData {
        index: i32, "0+";
        records: Option<Records>, "0+", nullable "0+";
    }
}

message! {
    /// What became of each partition's records.
    ProduceResponse, valid "0-13", flexible "9+" {
        responses: Vec<TopicProduceResponse>, "0+";
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "1+", ignorable true;
        /// Addresses of the leaders named in this response (KIP-951).
        node_endpoints: Vec<NodeEndpoint>, "10+", tag 0 "10+";
    }

    /// Results for one topic.
    TopicProduceResponse {
        name: Str, "0-12", ignorable true;
        topic_id: Uuid, "13+", ignorable true;
        partition_responses: Vec<PartitionProduceResponse>, "0+";
    }

    /// Result for one partition.
    PartitionProduceResponse {
        index: i32, "0+";
        error_code: i16, "0+";
        /// Offset of the first record, as assigned by the broker.
        base_offset: i64, "0+";
        /// Set where the topic uses the broker's time; else -1.
        log_append_time_ms: i64, "2+", default -1, ignorable true;
        /// First offset that is left.
        log_start_offset: i64, "5+", default -1, ignorable true;
        /// Records for which the whole batch was refused (KIP-467).
        record_errors: Vec<BatchIndexAndErrorMessage>, "8+", ignorable true;
        error_message: Option<Str>, "8+", nullable "8+", default None, ignorable true;
        /// Who leads now, if it is not this broker.
        current_leader: LeaderIdAndEpoch, "10+", tag 0 "10+";
    }

    /// One record that was refused.
    BatchIndexAndErrorMessage {
        /// Index of the record in its batch.
        batch_index: i32, "8+";
        batch_index_error_message: Option<Str>, "8+", nullable "8+", default None;
    }

    /// The current leader (KIP-951).
    LeaderIdAndEpoch {
        leader_id: i32, "10+", default -1;
        /// -1 if unknown.
        leader_epoch: i32, "10+", default -1;
    }

    /// Address of a broker.
    NodeEndpoint {
        node_id: i32, "10+";
        host: Str, "10+";
        port: i32, "10+";
        rack: Option<Str>, "10+", nullable "10+", default None;
    }
}
