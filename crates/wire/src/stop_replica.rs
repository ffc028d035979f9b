//! StopReplica, API 5. Kafka 4 has removed it together with ZooKeeper.

use crate::Str;

message! {
    /// The controller makes the receiver stop replicas, and delete some of them.
    StopReplicaRequest, valid "0-4", flexible "2+" {
        controller_id: i32, "0+";
        /// Whether the sender is a KRaft controller, which leads brokers away from ZooKeeper (KIP-866).
        is_k_raft_controller: bool, "4+", default false;
        controller_epoch: i32, "0+";
        /// The receiver's incarnation; -1 to leave it unchecked.
        broker_epoch: i64, "1+", default -1, ignorable true;
        /// Whether all of them are deleted too.
        delete_partitions: bool, "0-2";
        ungrouped_partitions: Vec<StopReplicaPartitionV0>, "0";
        topics: Vec<StopReplicaTopicV1>, "1-2";
        topic_states: Vec<StopReplicaTopicState>, "3+";
    }

    /// One partition, in the first version.
    StopReplicaPartitionV0 {
        topic_name: Str, "0";
        partition_index: i32, "0";
    }

    /// One topic, before partitions had a state.
    StopReplicaTopicV1 {
        name: Str, "1-2";
        partition_indexes: Vec<i32>, "1-2";
    }

    /// One topic.
    StopReplicaTopicState {
        topic_name: Str, "3+";
        partition_states: Vec<StopReplicaPartitionState>, "3+";
    }

    /// One partition.
    StopReplicaPartitionState {
        partition_index: i32, "3+";
        /// -1 if none is known, -2 while the topic is being deleted (KIP-570).
        leader_epoch: i32, "3+", default -1;
        delete_partition: bool, "3+";
    }
}

message! {
    /// Result for each partition.
    StopReplicaResponse, valid "0-4", flexible "2+" {
        error_code: i16, "0+";
        partition_errors: Vec<StopReplicaPartitionError>, "0+";
    }

    /// One partition.
    StopReplicaPartitionError {
        topic_name: Str, "0+";
        partition_index: i32, "0+";
        error_code: i16, "0+";
    }
}
