//! The records of a group coordinator in `__consumer_offsets`: committed offsets and classic groups.

use bytes::Bytes;

use crate::Str;

message! {
    /// Key of a record that stores one committed offset.
    OffsetCommitKey, valid "0-1", flexible "none" {
        group: Str, "0-1";
        topic: Str, "0-1";
        partition: i32, "0-1";
    }
}

message! {
    /// A committed offset.
    OffsetCommitValue, valid "0-4", flexible "4+" {
        offset: i64, "0+";
        /// -1 if unknown.
        leader_epoch: i32, "3+", default -1, ignorable true;
        metadata: Str, "0+";
        /// Milliseconds since 1970; -1 for the time of arrival.
        commit_timestamp: i64, "0+";
        expire_timestamp: i64, "1", default -1, ignorable true;
    }
}

message! {
    /// Key of a record that stores a classic group.
    GroupMetadataKey, valid "2", flexible "none" {
        group: Str, "2";
    }
}

message! {
    /// A classic group, as of its last rebalance.
    GroupMetadataValue, valid "0-4", flexible "4+" {
        protocol_type: Str, "0+";
        generation: i32, "0+";
        protocol: Option<Str>, "0+", nullable "0+";
        leader: Option<Str>, "0+", nullable "0+";
        current_state_timestamp: i64, "2+", default -1, ignorable true;
        members: Vec<MemberMetadata>, "0+";
    }

    /// One member.
    MemberMetadata {
        member_id: Str, "0+";
        /// Name of a static member (KIP-345).
        group_instance_id: Option<Str>, "3+", nullable "3+", default None, ignorable true;
        client_id: Str, "0+";
        /// Address the client connects from.
        client_host: Str, "0+";
        rebalance_timeout: i32, "1+", default -1, ignorable true;
        session_timeout: i32, "0+";
        subscription: Bytes, "0+";
        assignment: Bytes, "0+";
    }
}
