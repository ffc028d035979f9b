//! SyncGroup, API 14.

use bytes::Bytes;

use crate::Str;

message! {
    /// Hands in the leader's assignment, and asks for one's own.
    SyncGroupRequest, valid "0-5", flexible "4+" {
        group_id: Str, "0+";
        generation_id: i32, "0+";
        member_id: Str, "0+";
        /// Name of a static member (KIP-345).
        group_instance_id: Option<Str>, "3+", nullable "3+", default None;
        protocol_type: Option<Str>, "5+", nullable "5+", default None, ignorable true;
        protocol_name: Option<Str>, "5+", nullable "5+", default None, ignorable true;
        assignments: Vec<SyncGroupRequestAssignment>, "0+";
    }

    /// What one member gets.
    SyncGroupRequestAssignment {
        member_id: Str, "0+";
        assignment: Bytes, "0+";
    }
}

message! {
    /// The member's assignment.
    SyncGroupResponse, valid "0-5", flexible "4+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "1+", ignorable true;
        error_code: i16, "0+";
        protocol_type: Option<Str>, "5+", nullable "5+", default None, ignorable true;
        protocol_name: Option<Str>, "5+", nullable "5+", default None, ignorable true;
        assignment: Bytes, "0+";
    }
}
