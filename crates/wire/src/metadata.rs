//! Metadata, API 3.

use whimbrel_model::Uuid;

use crate::Str;

message! {
    /// Asks for brokers and topics. From version 1 null means all topics and empty means none; in version 0 empty means
    /// all.
    MetadataRequest, valid "0-13", flexible "9+" {
        topics: Option<Vec<MetadataRequestTopic>>, "0+", nullable "1+";
        /// Whether topics that are missing may be created.
        allow_auto_topic_creation: bool, "4+", default true;
        include_cluster_authorized_operations: bool, "8-10";
        include_topic_authorized_operations: bool, "8+";
    }

    /// A topic, by name or (from 12) by id.
    MetadataRequestTopic {
        topic_id: Uuid, "10+", ignorable true;
        name: Option<Str>, "0+", nullable "10+";
    }
}

message! {
    /// Brokers, and the leaders and replicas of partitions.
    MetadataResponse, valid "0-13", flexible "9+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "3+", ignorable true;
        brokers: Vec<MetadataResponseBroker>, "0+";
        cluster_id: Option<Str>, "2+", nullable "2+", default None, ignorable true;
        controller_id: i32, "1+", default -1, ignorable true;
        topics: Vec<MetadataResponseTopic>, "0+";
        /// Bit set of permitted operations; -2147483648 if not asked for.
        cluster_authorized_operations: i32, "8-10", default i32::MIN;
        error_code: i16, "13+", ignorable true;
    }

    /// A broker that is alive.
    MetadataResponseBroker {
        node_id: i32, "0+";
        host: Str, "0+";
        port: i32, "0+";
        rack: Option<Str>, "1+", nullable "1+", default None, ignorable true;
    }

    /// A topic.
    MetadataResponseTopic {
        error_code: i16, "0+";
        name: Option<Str>, "0+", nullable "12+";
        topic_id: Uuid, "10+", ignorable true;
        is_internal: bool, "1+", ignorable true;
        partitions: Vec<MetadataResponsePartition>, "0+";
        topic_authorized_operations: i32, "8+", default i32::MIN;
    }

    /// A partition.
    MetadataResponsePartition {
        error_code: i16, "0+";
        partition_index: i32, "0+";
        leader_id: i32, "0+";
        /// -1 if unknown.
        leader_epoch: i32, "7+", default -1, ignorable true;
        replica_nodes: Vec<i32>, "0+";
        isr_nodes: Vec<i32>, "0+";
        offline_replicas: Vec<i32>, "5+", ignorable true;
    }
}
