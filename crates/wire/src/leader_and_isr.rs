//! LeaderAndIsr, API 4. Kafka 4 has removed it together with ZooKeeper.

use whimbrel_model::Uuid;

use crate::Str;

message! {
    /// The controller makes the receiver leader or follower of partitions.
    LeaderAndIsrRequest, valid "0-7", flexible "4+" {
        controller_id: i32, "0+";
        /// Whether the sender is a KRaft controller, which leads brokers away from ZooKeeper (KIP-866).
        is_k_raft_controller: bool, "7+", default false;
        controller_epoch: i32, "0+";
        /// The receiver's incarnation; -1 to leave it unchecked.
        broker_epoch: i64, "2+", default -1, ignorable true;
        /// 0 unknown, 1 some of the receiver's partitions, 2 all that it has.
        r#type: i8, "5+";
        /// Each with its topic's name.
        ungrouped_partition_states: Vec<LeaderAndIsrPartitionState>, "0-1";
        topic_states: Vec<LeaderAndIsrTopicState>, "2+";
        /// Where the leaders among `topic_states` are reached.
        live_leaders: Vec<LeaderAndIsrLiveLeader>, "0+";
    }

    /// One topic.
    LeaderAndIsrTopicState {
        topic_name: Str, "2+";
        topic_id: Uuid, "5+", ignorable true;
        partition_states: Vec<LeaderAndIsrPartitionState>, "2+";
    }

    /// One leader.
    LeaderAndIsrLiveLeader {
        broker_id: i32, "0+";
        host_name: Str, "0+";
        port: i32, "0+";
    }

    /// One partition.
    LeaderAndIsrPartitionState {
        topic_name: Str, "0-1", ignorable true;
        partition_index: i32, "0+";
        /// Of the controller that wrote this state.
        controller_epoch: i32, "0+";
        /// -1 for none.
        leader: i32, "0+";
        leader_epoch: i32, "0+";
        isr: Vec<i32>, "0+";
        /// Version of the partition's state node.
        partition_epoch: i32, "0+";
        replicas: Vec<i32>, "0+";
        /// The part of `replicas` that a reassignment adds (KIP-455).
        adding_replicas: Vec<i32>, "3+", ignorable true;
        /// The part of `replicas` that a reassignment removes.
        removing_replicas: Vec<i32>, "3+", ignorable true;
        /// The receiver has never had this replica.
        is_new: bool, "1+", default false, ignorable true;
        /// 1 while the partition recovers from an unclean election (KIP-704).
        leader_recovery_state: i8, "6+", default 0;
    }
}

message! {
    /// Result for each partition.
    LeaderAndIsrResponse, valid "0-7", flexible "4+" {
        error_code: i16, "0+";
        partition_errors: Vec<LeaderAndIsrPartitionError>, "0-4";
        topics: Vec<LeaderAndIsrTopicError>, "5+";
    }

    /// One topic.
    LeaderAndIsrTopicError {
        topic_id: Uuid, "5+";
        partition_errors: Vec<LeaderAndIsrPartitionError>, "5+";
    }

    /// One partition.
    LeaderAndIsrPartitionError {
        topic_name: Str, "0-4", ignorable true;
        partition_index: i32, "0+";
        error_code: i16, "0+";
    }
}
