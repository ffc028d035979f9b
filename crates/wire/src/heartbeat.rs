//! Heartbeat, API 12.

use crate::Str;

message! {
    /// Says that a member is alive.
    HeartbeatRequest, valid "0-4", flexible "4+" {
        group_id: Str, "0+";
        generation_id: i32, "0+";
        member_id: Str, "0+";
        /// Name of a static member (KIP-345).
        group_instance_id: Option<Str>, "3+", nullable "3+", default None;
    }
}

message! {
    /// Tells the member whether to rejoin.
    HeartbeatResponse, valid "0-4", flexible "4+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "1+", ignorable true;
        error_code: i16, "0+";
    }
}
