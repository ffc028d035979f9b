//! FindCoordinator, API 10.

use crate::Str;

message! {
    /// Asks which broker coordinates groups or transactions. From 4 several at once (KIP-699).
    FindCoordinatorRequest, valid "0-6", flexible "3+" {
        key: Str, "0-3";
        /// 0 group, 1 transaction, 2 share partition.
        key_type: i8, "1+";
        /// Groups, transactional ids or share partitions, by `key_type`.
        coordinator_keys: Vec<Str>, "4+";
    }
}

message! {
    /// The coordinators.
    FindCoordinatorResponse, valid "0-6", flexible "3+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "1+", ignorable true;
        error_code: i16, "0-3";
        error_message: Option<Str>, "1-3", nullable "1-3", ignorable true;
        node_id: i32, "0-3";
        host: Str, "0-3";
        port: i32, "0-3";
        coordinators: Vec<Coordinator>, "4+";
    }

    /// The coordinator of one key.
    Coordinator {
        key: Str, "4+";
        node_id: i32, "4+";
        host: Str, "4+";
        port: i32, "4+";
        error_code: i16, "4+";
        error_message: Option<Str>, "4+", nullable "4+", ignorable true;
    }
}
