//! The metadata of a consumer that joins a classic group.

use bytes::Bytes;

use crate::Str;

message! {
    /// What a consumer tells the group's leader when it joins. A reader treats newer versions as the newest it knows.
    ConsumerProtocolSubscription, valid "0-3", flexible "none" {
        topics: Vec<Str>, "0+";
        user_data: Option<Bytes>, "0+", nullable "0+", default None;
        owned_partitions: Vec<TopicPartition>, "1+", ignorable true;
        generation_id: i32, "2+", default -1, ignorable true;
        /// For fetching from the closest replica (KIP-392).
        rack_id: Option<Str>, "3+", nullable "3+", default None, ignorable true;
    }

    /// Partitions of one topic.
    TopicPartition {
        topic: Str, "1+";
        partitions: Vec<i32>, "1+";
    }
}
