//! ZooKeeper's wire protocol: jute records in frames of a four-byte length.
//!
//! Decoding is bounded by the frame: no length or count is believed beyond the bytes that are there.

mod read;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod write;

pub use read::{DecodeError, Reader};
pub use request::{ConnectRequest, CreatedWatches, ReadOp, Request, RequestHeader, op};
pub use response::{ConnectResponse, MultiItem, Reply, ReplyHeader, encode_event, encode_reply, xid};
