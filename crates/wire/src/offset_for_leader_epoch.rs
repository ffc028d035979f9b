//! OffsetForLeaderEpoch, API 23.

use crate::Str;

message! {
    /// Asks where leader epochs end, to find where logs diverge (KIP-101, KIP-320).
    OffsetForLeaderEpochRequest, valid "0-4", flexible "4+" {
        /// Broker id of a follower; -1 for a consumer, -2 for a debugging one.
        replica_id: i32, "3+", default -2, ignorable true;
        topics: Vec<OffsetForLeaderTopic>, "0+";
    }

    /// One topic.
    OffsetForLeaderTopic {
        topic: Str, "0+";
        partitions: Vec<OffsetForLeaderPartition>, "0+";
    }

    /// One partition.
    OffsetForLeaderPartition {
        partition: i32, "0+";
        /// The client's knowledge, for fencing; -1 for none.
        current_leader_epoch: i32, "2+", default -1, ignorable true;
        /// Whose end is asked for.
        leader_epoch: i32, "0+";
    }
}

message! {
    /// The end of each epoch.
    OffsetForLeaderEpochResponse, valid "0-4", flexible "4+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "2+", ignorable true;
        topics: Vec<OffsetForLeaderTopicResult>, "0+";
    }

    /// One topic.
    OffsetForLeaderTopicResult {
        topic: Str, "0+";
        partitions: Vec<EpochEndOffset>, "0+";
    }

    /// Where a leader epoch ends.
    EpochEndOffset {
        error_code: i16, "0+";
        partition: i32, "0+";
        /// The largest epoch up to the one asked for, or -1.
        leader_epoch: i32, "1+", default -1, ignorable true;
        /// First offset after the epoch, or -1.
        end_offset: i64, "0+", default -1;
    }
}
