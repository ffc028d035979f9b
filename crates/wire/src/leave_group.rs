//! LeaveGroup, API 13.

use crate::Str;

message! {
    /// Takes members out of a group. From 3 several at once (KIP-345).
    LeaveGroupRequest, valid "0-5", flexible "4+" {
        group_id: Str, "0+";
        member_id: Str, "0-2";
        members: Vec<MemberIdentity>, "3+";
    }

    /// A member to take out.
    MemberIdentity {
        member_id: Str, "3+";
        /// Name of a static member (KIP-345).
        group_instance_id: Option<Str>, "3+", nullable "3+", default None;
        /// Why, for the broker's log (KIP-800).
        reason: Option<Str>, "5+", nullable "5+", default None, ignorable true;
    }
}

message! {
    /// Who has left.
    LeaveGroupResponse, valid "0-5", flexible "4+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "1+", ignorable true;
        error_code: i16, "0+";
        members: Vec<MemberResponse>, "3+";
    }

    /// Result for one member.
    MemberResponse {
        member_id: Str, "3+";
        /// Name of a static member (KIP-345).
        group_instance_id: Option<Str>, "3+", nullable "3+";
        error_code: i16, "3+";
    }
}
