//! AlterPartition, API 56.

use whimbrel_model::Uuid;

use crate::Str;

pub use response::AlterPartitionResponse;

message! {
    /// A leader asks the controller to change an ISR (KIP-497).
    AlterPartitionRequest, valid "0-3", flexible "0+" {
        broker_id: i32, "0+";
        /// The sender's incarnation.
        broker_epoch: i64, "0+", default -1;
        topics: Vec<TopicData>, "0+";
    }

    /// One topic.
    TopicData {
        topic_name: Str, "0-1", ignorable true;
        topic_id: Uuid, "2+", ignorable true;
        partitions: Vec<PartitionData>, "0+";
    }

    /// One partition.
    PartitionData {
        partition_index: i32, "0+";
        leader_epoch: i32, "0+";
        /// Broker ids.
        new_isr: Vec<i32>, "0-2";
        /// Broker incarnations (KIP-903).
        new_isr_with_epochs: Vec<BrokerState>, "3+";
        /// 1 while the partition recovers from an unclean election (KIP-704).
        leader_recovery_state: i8, "1+", default 0;
        /// The partition's state that the leader knows and wants to change.
        partition_epoch: i32, "0+";
    }

    /// One member of the ISR.
    BrokerState {
        broker_id: i32, "3+";
        /// Its incarnation; -1 if the leader does not know it.
        broker_epoch: i64, "3+", default -1;
    }
}

/// The response has structures of the same names.
pub mod response {
    use super::*;

    message! {
        /// Result for each partition.
        AlterPartitionResponse, valid "0-3", flexible "0+" {
            /// How long the client should pause to stay within its quota.
            throttle_time_ms: i32, "0+";
            error_code: i16, "0+";
            topics: Vec<TopicData>, "0+";
        }

        /// One topic.
        TopicData {
            topic_name: Str, "0-1", ignorable true;
            topic_id: Uuid, "2+", ignorable true;
            partitions: Vec<PartitionData>, "0+";
        }

        /// One partition as it is from now on.
        PartitionData {
            partition_index: i32, "0+";
            error_code: i16, "0+";
            leader_id: i32, "0+";
            leader_epoch: i32, "0+";
            isr: Vec<i32>, "0+";
            /// 1 while the partition recovers from an unclean election (KIP-704).
            leader_recovery_state: i8, "1+", default 0, ignorable true;
            /// Version of the partition's state node.
            partition_epoch: i32, "0+";
        }
    }
}
