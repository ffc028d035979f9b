//! IncrementalAlterConfigs, API 44.

use crate::Str;

message! {
    /// Changes single settings of topics and brokers (KIP-339).
    IncrementalAlterConfigsRequest, valid "0-1", flexible "1+" {
        resources: Vec<AlterConfigsResource>, "0+";
        /// Whether to check only, and change nothing.
        validate_only: bool, "0+";
    }

    /// One resource.
    AlterConfigsResource {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8, "0+";
        resource_name: Str, "0+";
        configs: Vec<AlterableConfig>, "0+";
    }

    /// One setting.
    AlterableConfig {
        name: Str, "0+";
        /// 0 set, 1 delete, 2 append, 3 subtract.
        config_operation: i8, "0+";
        value: Option<Str>, "0+", nullable "0+";
    }
}

message! {
    /// Result for each resource.
    IncrementalAlterConfigsResponse, valid "0-1", flexible "1+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "0+";
        responses: Vec<AlterConfigsResourceResponse>, "0+";
    }

    /// One resource.
    AlterConfigsResourceResponse {
        error_code: i16, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8, "0+";
        resource_name: Str, "0+";
    }
}
