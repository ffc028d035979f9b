//! AllocateProducerIds, API 67.

message! {
    /// A broker asks the controller for a block of producer ids (KIP-730).
    AllocateProducerIdsRequest, valid "0", flexible "0+" {
        broker_id: i32, "0+";
        /// The sender's incarnation.
        broker_epoch: i64, "0+", default -1;
    }
}

message! {
    /// The block, which nobody else gets.
    AllocateProducerIdsResponse, valid "0", flexible "0+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "0+";
        error_code: i16, "0+";
        /// First id of the block.
        producer_id_start: i64, "0+";
        /// Ids in the block.
        producer_id_len: i32, "0+";
    }
}
