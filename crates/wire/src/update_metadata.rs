//! UpdateMetadata, API 6. Kafka 4 has removed it together with ZooKeeper.

use whimbrel_model::Uuid;

use crate::Str;

message! {
    /// The controller says who is alive and who leads.
    UpdateMetadataRequest, valid "0-8", flexible "6+" {
        controller_id: i32, "0+";
        /// Whether the sender is a KRaft controller, which leads brokers away from ZooKeeper (KIP-866).
        is_k_raft_controller: bool, "8+", default false;
        /// 0 unknown, 1 some of the cluster's partitions, 2 all of them.
        r#type: i8, "8+", tag 0 "8+", default 0;
        controller_epoch: i32, "0+";
        /// The receiver's incarnation; -1 to leave it unchecked.
        broker_epoch: i64, "5+", default -1, ignorable true;
        /// Each with its topic's name.
        ungrouped_partition_states: Vec<UpdateMetadataPartitionState>, "0-4";
        topic_states: Vec<UpdateMetadataTopicState>, "5+";
        /// All that are alive.
        live_brokers: Vec<UpdateMetadataBroker>, "0+";
    }

    /// One topic.
    UpdateMetadataTopicState {
        topic_name: Str, "5+";
        topic_id: Uuid, "7+", ignorable true;
        partition_states: Vec<UpdateMetadataPartitionState>, "5+";
    }

    /// One broker.
    UpdateMetadataBroker {
        id: i32, "0+";
        v0_host: Str, "0", ignorable true;
        v0_port: i32, "0", ignorable true;
        endpoints: Vec<UpdateMetadataEndpoint>, "1+", ignorable true;
        rack: Option<Str>, "2+", nullable "0+", ignorable true;
    }

    /// One advertised listener.
    UpdateMetadataEndpoint {
        port: i32, "1+";
        host: Str, "1+";
        listener: Str, "3+", ignorable true;
        /// 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
        security_protocol: i16, "1+";
    }

    /// One partition.
    UpdateMetadataPartitionState {
        topic_name: Str, "0-4", ignorable true;
        partition_index: i32, "0+";
        /// Of the controller that wrote this state.
        controller_epoch: i32, "0+";
        /// -1 for none, -2 while the topic is being deleted.
        leader: i32, "0+";
        leader_epoch: i32, "0+";
        isr: Vec<i32>, "0+";
        /// Version of the partition's state node.
        zk_version: i32, "0+";
        replicas: Vec<i32>, "0+";
        /// The part of `replicas` that cannot be reached or has lost its directory.
        offline_replicas: Vec<i32>, "4+", ignorable true;
    }
}

message! {
    /// Whether all of it was taken.
    UpdateMetadataResponse, valid "0-8", flexible "6+" {
        error_code: i16, "0+";
    }
}
