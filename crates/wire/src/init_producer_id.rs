//! InitProducerId, API 22.

use crate::Str;

message! {
    /// Asks for a producer id, or for a new epoch of one (KIP-98, KIP-360).
    InitProducerIdRequest, valid "0-5", flexible "2+" {
        transactional_id: Option<Str>, "0+", nullable "0+";
        /// When to abort a transaction that is left open.
        transaction_timeout_ms: i32, "0+";
        producer_id: i64, "3+", default -1;
        producer_epoch: i16, "3+", default -1;
    }
}

message! {
    /// The producer id and its epoch.
    InitProducerIdResponse, valid "0-5", flexible "2+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "0+", ignorable true;
        error_code: i16, "0+";
        producer_id: i64, "0+", default -1;
        producer_epoch: i16, "0+";
    }
}
