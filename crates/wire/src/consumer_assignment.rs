//! The assignment of a consumer in a classic group.

use bytes::Bytes;

use crate::Str;

message! {
    /// What the group's leader assigns to a consumer.
    ConsumerProtocolAssignment, valid "0-3", flexible "none" {
        assigned_partitions: Vec<TopicPartition>, "0+";
        user_data: Option<Bytes>, "0+", nullable "0+", default None;
    }

    /// Partitions of one topic.
    TopicPartition {
        topic: Str, "0+";
        partitions: Vec<i32>, "0+";
    }
}
