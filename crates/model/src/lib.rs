//! Ids, offsets, record batches, compression and error codes. Depends on nothing else of the project.

mod error_code;
mod file_slice;
mod ids;
pub mod record;
mod uuid;

pub use error_code::ErrorCode;
pub use file_slice::{FileSlice, Piece, SliceSource};
pub use ids::{
    BrokerEpoch, ControllerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch, ProducerEpoch, ProducerId,
    TopicPartition,
};
pub use uuid::{ParseUuidError, Uuid};
