//! DescribeConfigs, API 32.

use crate::Str;

message! {
    /// Asks for the settings of topics and brokers (KIP-133, KIP-226).
    DescribeConfigsRequest, valid "0-4", flexible "4+" {
        resources: Vec<DescribeConfigsResource>, "0+";
        include_synonyms: bool, "1+";
        include_documentation: bool, "3+";
    }

    /// One resource.
    DescribeConfigsResource {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8, "0+";
        resource_name: Str, "0+";
        /// Null for all.
        configuration_keys: Option<Vec<Str>>, "0+", nullable "0+";
    }
}

message! {
    /// The settings of each resource.
    DescribeConfigsResponse, valid "0-4", flexible "4+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "0+";
        results: Vec<DescribeConfigsResult>, "0+";
    }

    /// One resource.
    DescribeConfigsResult {
        error_code: i16, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8, "0+";
        resource_name: Str, "0+";
        configs: Vec<DescribeConfigsResourceResult>, "0+";
    }

    /// One setting.
    DescribeConfigsResourceResult {
        name: Str, "0+";
        value: Option<Str>, "0+", nullable "0+";
        read_only: bool, "0+";
        is_default: bool, "0";
        /// Where the value comes from: 1 topic, 2 one broker, 3 all brokers, 4 file, 5 built in, 6 logger,
        /// 7 client metrics, 8 group.
        config_source: i8, "1+", default -1, ignorable true;
        is_sensitive: bool, "0+";
        synonyms: Vec<DescribeConfigsSynonym>, "1+", ignorable true;
        /// 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password.
        config_type: i8, "3+", ignorable true;
        documentation: Option<Str>, "3+", nullable "0+", ignorable true;
    }

    /// Another source of the setting, in order of precedence.
    DescribeConfigsSynonym {
        name: Str, "1+";
        value: Option<Str>, "1+", nullable "0+";
        source: i8, "1+";
    }
}
