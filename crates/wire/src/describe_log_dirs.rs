//! DescribeLogDirs, API 35.

use crate::Str;

message! {
    /// Asks what is in the broker's log directories (KIP-113).
    DescribeLogDirsRequest, valid "0-5", flexible "2+" {
        topics: Option<Vec<DescribableLogDirTopic>>, "0+", nullable "0+";
    }

    /// One topic.
    DescribableLogDirTopic {
        topic: Str, "0+";
        partitions: Vec<i32>, "0+";
    }
}

message! {
    /// Size and contents of each directory.
    DescribeLogDirsResponse, valid "0-5", flexible "2+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "0+";
        error_code: i16, "3+", ignorable true;
        results: Vec<DescribeLogDirsResult>, "0+";
    }

    /// One directory.
    DescribeLogDirsResult {
        error_code: i16, "0+";
        log_dir: Str, "0+";
        topics: Vec<DescribeLogDirsTopic>, "0+";
        total_bytes: i64, "4+", default -1, ignorable true;
        usable_bytes: i64, "4+", default -1, ignorable true;
        /// Whether the directory takes no new partitions (KIP-1066).
        is_cordoned: bool, "5+", ignorable true;
    }

    /// One topic.
    DescribeLogDirsTopic {
        name: Str, "0+";
        partitions: Vec<DescribeLogDirsPartition>, "0+";
    }

    /// One partition.
    DescribeLogDirsPartition {
        partition_index: i32, "0+";
        partition_size: i64, "0+";
        /// How far the replica is behind, in offsets.
        offset_lag: i64, "0+";
        /// Whether it is the copy being built in another directory.
        is_future_key: bool, "0+";
    }
}
