//! DeleteGroups, API 42.

use crate::Str;

message! {
    /// Deletes empty groups with their offsets (KIP-229).
    DeleteGroupsRequest, valid "0-2", flexible "2+" {
        groups_names: Vec<Str>, "0+";
    }
}

message! {
    /// Result for each group.
    DeleteGroupsResponse, valid "0-2", flexible "2+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "0+";
        results: Vec<DeletableGroupResult>, "0+";
    }

    /// One group.
    DeletableGroupResult {
        group_id: Str, "0+";
        error_code: i16, "0+";
    }
}
