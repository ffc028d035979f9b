//! ApiVersions, API 18.

use crate::Str;

message! {
    /// Asks which APIs and versions the broker serves (KIP-35, KIP-511).
    ApiVersionsRequest, valid "0-4", flexible "3+" {
        client_software_name: Str, "3+", ignorable true;
        client_software_version: Str, "3+", ignorable true;
    }
}

message! {
    /// The versions of each API, and the cluster's feature levels (KIP-584).
    ApiVersionsResponse, valid "0-4", flexible "3+" {
        error_code: i16, "0+";
        api_keys: Vec<ApiVersion>, "0+";
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "1+", ignorable true;
        supported_features: Vec<SupportedFeatureKey>, "3+", tag 0 "3+", ignorable true;
        /// -1 if unknown.
        finalized_features_epoch: i64, "3+", tag 1 "3+", default -1, ignorable true;
        finalized_features: Vec<FinalizedFeatureKey>, "3+", tag 2 "3+", ignorable true;
        /// Whether a KRaft controller quorum may take over (KIP-866).
        zk_migration_ready: bool, "3+", tag 3 "3+", ignorable true;
    }

    /// One API.
    ApiVersion {
        api_key: i16, "0+";
        min_version: i16, "0+";
        max_version: i16, "0+";
    }

    /// The levels of a feature that this broker knows.
    SupportedFeatureKey {
        name: Str, "3+";
        min_version: i16, "3+";
        max_version: i16, "3+";
    }

    /// The levels of a feature that the cluster has agreed on.
    FinalizedFeatureKey {
        name: Str, "3+";
        max_version_level: i16, "3+";
        min_version_level: i16, "3+";
    }
}
