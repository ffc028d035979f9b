//! DescribeGroups, API 15.

use bytes::Bytes;

use crate::Str;

message! {
    /// Asks about classic groups.
    DescribeGroupsRequest, valid "0-6", flexible "5+" {
        groups: Vec<Str>, "0+";
        include_authorized_operations: bool, "3+";
    }
}

message! {
    /// State and members of each group.
    DescribeGroupsResponse, valid "0-6", flexible "5+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "1+", ignorable true;
        groups: Vec<DescribedGroup>, "0+";
    }

    /// One group.
    DescribedGroup {
        error_code: i16, "0+";
        error_message: Option<Str>, "6+", nullable "6+", default None;
        group_id: Str, "0+";
        group_state: Str, "0+";
        protocol_type: Str, "0+";
        /// What each assignor that the member supports needs to know; in order of preference.
        protocol_data: Str, "0+";
        members: Vec<DescribedGroupMember>, "0+";
        /// Bit set of permitted operations; -2147483648 if not asked for.
        authorized_operations: i32, "3+", default i32::MIN;
    }

    /// One member.
    DescribedGroupMember {
        member_id: Str, "0+";
        /// Name of a static member (KIP-345).
        group_instance_id: Option<Str>, "4+", nullable "4+", default None, ignorable true;
        client_id: Str, "0+";
        /// Address the client connects from.
        client_host: Str, "0+";
        member_metadata: Bytes, "0+";
        member_assignment: Bytes, "0+";
    }
}
