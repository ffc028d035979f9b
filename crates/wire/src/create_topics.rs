//! CreateTopics, API 19.

use whimbrel_model::Uuid;

use crate::Str;

message! {
    /// Creates topics. From 4 partitions and replication may be -1, for the broker's defaults (KIP-464).
    CreateTopicsRequest, valid "0-7", flexible "5+" {
        topics: Vec<CreatableTopic>, "0+";
        /// How long to wait for the work to be done.
        timeout_ms: i32, "0+", default 60000;
        /// Whether to check only, and change nothing.
        validate_only: bool, "1+";
    }

    /// A topic to create.
    CreatableTopic {
        name: Str, "0+";
        num_partitions: i32, "0+";
        replication_factor: i16, "0+";
        assignments: Vec<CreatableReplicaAssignment>, "0+";
        configs: Vec<CreatableTopicConfig>, "0+";
    }

    /// The replicas of one partition.
    CreatableReplicaAssignment {
        partition_index: i32, "0+";
        broker_ids: Vec<i32>, "0+";
    }

    /// A setting of the topic.
    CreatableTopicConfig {
        name: Str, "0+";
        value: Option<Str>, "0+", nullable "0+";
    }
}

message! {
    /// Result for each topic, from 5 with its settings (KIP-525).
    CreateTopicsResponse, valid "0-7", flexible "5+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "2+", ignorable true;
        topics: Vec<CreatableTopicResult>, "0+";
    }

    /// One topic.
    CreatableTopicResult {
        name: Str, "0+";
        topic_id: Uuid, "7+", ignorable true;
        error_code: i16, "0+";
        error_message: Option<Str>, "1+", nullable "0+", ignorable true;
        topic_config_error_code: i16, "5+", tag 0 "5+", ignorable true;
        num_partitions: i32, "5+", default -1, ignorable true;
        replication_factor: i16, "5+", default -1, ignorable true;
        configs: Option<Vec<CreatableTopicConfigs>>, "5+", nullable "5+", ignorable true;
    }

    /// One setting, as it is in force.
    CreatableTopicConfigs {
        name: Str, "5+";
        value: Option<Str>, "5+", nullable "5+";
        read_only: bool, "5+";
        /// Where the value comes from: 1 topic, 2 one broker, 3 all brokers, 4 file, 5 built in, 6 logger,
        /// 7 client metrics, 8 group.
        config_source: i8, "5+", default -1, ignorable true;
        is_sensitive: bool, "5+";
    }
}
