//! JoinGroup, API 11.

use bytes::Bytes;

use crate::Str;

message! {
    /// Joins a classic group, or rejoins it for the next generation.
    JoinGroupRequest, valid "0-9", flexible "6+" {
        group_id: Str, "0+";
        /// The member is out when it is silent for so long.
        session_timeout_ms: i32, "0+";
        /// How long the coordinator waits for members to rejoin.
        rebalance_timeout_ms: i32, "1+", default -1, ignorable true;
        member_id: Str, "0+";
        /// Name of a static member (KIP-345).
        group_instance_id: Option<Str>, "5+", nullable "5+", default None;
        protocol_type: Str, "0+";
        /// Assignors that the member supports, in order of preference.
        protocols: Vec<JoinGroupRequestProtocol>, "0+";
        /// Why, for the broker's log (KIP-800).
        reason: Option<Str>, "8+", nullable "8+", default None, ignorable true;
    }

    /// An assignor, with the member's metadata for it.
    JoinGroupRequestProtocol {
        name: Str, "0+";
        metadata: Bytes, "0+";
    }
}

message! {
    /// The generation; for its leader, with all members.
    JoinGroupResponse, valid "0-9", flexible "6+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "2+", ignorable true;
        error_code: i16, "0+";
        generation_id: i32, "0+", default -1;
        protocol_type: Option<Str>, "7+", nullable "7+", default None, ignorable true;
        protocol_name: Option<Str>, "0+", nullable "7+";
        leader: Str, "0+";
        /// Whether the leader need not compute an assignment, because it has just come back (KIP-814).
        skip_assignment: bool, "9+";
        member_id: Str, "0+";
        members: Vec<JoinGroupResponseMember>, "0+";
    }

    /// A member, as the leader needs it to assign.
    JoinGroupResponseMember {
        member_id: Str, "0+";
        /// Name of a static member (KIP-345).
        group_instance_id: Option<Str>, "5+", nullable "5+", default None, ignorable true;
        metadata: Bytes, "0+";
    }
}
