//! ListGroups, API 16.

use crate::Str;

message! {
    /// Asks for the groups that this broker coordinates.
    ListGroupsRequest, valid "0-5", flexible "3+" {
        /// Group states to list; empty for all.
        states_filter: Vec<Str>, "4+";
        /// Group types to list; empty for all.
        types_filter: Vec<Str>, "5+";
    }
}

message! {
    /// The groups.
    ListGroupsResponse, valid "0-5", flexible "3+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "1+", ignorable true;
        error_code: i16, "0+";
        groups: Vec<ListedGroup>, "0+";
    }

    /// One group.
    ListedGroup {
        group_id: Str, "0+";
        protocol_type: Str, "0+";
        group_state: Str, "4+", ignorable true;
        group_type: Str, "5+", ignorable true;
    }
}
