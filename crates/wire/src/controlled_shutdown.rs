//! ControlledShutdown, API 7. Kafka 4 has removed it together with ZooKeeper.

use crate::Str;

message! {
    /// A broker that is about to stop asks the controller to move its leaderships away.
    ///
    /// Version 0 has a request header of its own, without the client id.
    ControlledShutdownRequest, valid "0-3", flexible "3+" {
        broker_id: i32, "0+";
        /// The sender's incarnation; -1 to leave it unchecked.
        broker_epoch: i64, "2+", default -1, ignorable true;
    }
}

message! {
    /// What the broker still leads.
    ControlledShutdownResponse, valid "0-3", flexible "3+" {
        error_code: i16, "0+";
        remaining_partitions: Vec<RemainingPartition>, "0+";
    }

    /// One partition.
    RemainingPartition {
        topic_name: Str, "0+";
        partition_index: i32, "0+";
    }
}
