//! WhimbrelLiveness, API 20000: brokers of Whimbrel watch each other (docs/adr/0007). Kafka has no such request, and no
//! key near it; it is sent only to peers that say they serve it.

message! {
    /// Says that the sender is alive, and asks what the receiver sees of brokers that the sender does not hear.
    WhimbrelLivenessRequest, valid "0", flexible "0+" {
        broker_id: i32, "0+";
        /// The sender's incarnation.
        broker_epoch: i64, "0+", default -1;
        suspects: Vec<i32>, "0+";
    }
}

message! {
    /// Says that the receiver is alive, and what it sees of those that it watches.
    WhimbrelLivenessResponse, valid "0", flexible "0+" {
        error_code: i16, "0+";
        /// The receiver's incarnation.
        broker_epoch: i64, "0+", default -1;
        sightings: Vec<WhimbrelSighting>, "0+";
    }

    /// One broker as the receiver sees it.
    WhimbrelSighting {
        broker_id: i32, "0+";
        /// Time since its last answer.
        silent_ms: i32, "0+";
        /// Its host refuses connections.
        is_refused: bool, "0+";
    }
}
