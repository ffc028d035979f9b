//! DeleteRecords, API 21.

use crate::Str;

message! {
    /// Deletes records below an offset (KIP-107).
    DeleteRecordsRequest, valid "0-2", flexible "2+" {
        topics: Vec<DeleteRecordsTopic>, "0+";
        /// How long to wait for the work to be done.
        timeout_ms: i32, "0+";
    }

    /// One topic.
    DeleteRecordsTopic {
        name: Str, "0+";
        partitions: Vec<DeleteRecordsPartition>, "0+";
    }

    /// One partition, with the first offset to keep; -1 for the high watermark.
    DeleteRecordsPartition {
        partition_index: i32, "0+";
        offset: i64, "0+";
    }
}

message! {
    /// Result for each partition.
    DeleteRecordsResponse, valid "0-2", flexible "2+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "0+";
        topics: Vec<DeleteRecordsTopicResult>, "0+";
    }

    /// One topic.
    DeleteRecordsTopicResult {
        name: Str, "0+";
        partitions: Vec<DeleteRecordsPartitionResult>, "0+";
    }

    /// One partition.
    DeleteRecordsPartitionResult {
        partition_index: i32, "0+";
        /// Log start offset afterwards, the lowest of all replicas.
        low_watermark: i64, "0+";
        error_code: i16, "0+";
    }
}
