//! Kafka's frames and messages: what crosses the network, and the records that coordinators and consumers write in
//! the same notation.
//!
//! Each API has one file (`produce`, `fetch`, …) that declares its request and its response once, in the shape of
//! Kafka's own schemas: every field with its type, the versions it lives in, nullable versions, tag and default. From
//! that declaration come the Rust types, [`Message::decode`], [`Message::encode`] and the encoded size, and a constant
//! [`spec::MessageSpec`] that `cargo xtask schemas` compares with the schemas inside Kafka's jars.
//!
//! [`API_TABLE`] lists all of them. A new API is one file and one line in `api.rs`.
//!
//! What this crate does not know: what a request means, which versions a broker chooses to offer, and what is inside
//! record batches. Nothing here does I/O.
//!
//! Both ways are free of copies: decoded strings, bytes and records are slices of the received frame, and an encoded
//! [`Frame`] carries large byte fields as they are. A slice keeps its whole frame in memory: [`Str::detach`] what
//! outlives the request. Lengths are checked against the bytes that are there before anything is allocated.

#[macro_use]
mod codec;
mod api;
mod frame;
mod header;
mod stored;

pub mod consumer_assignment;
pub mod consumer_subscription;
pub mod group_records;
pub mod spec;

pub use api::{API_TABLE, Api, ApiKey, Request, STORED_MESSAGES, WHIMBREL_KEYS_MIN};
pub use codec::{DecodeError, EncodeError, Message, Reader, Records, Str, Writer};
pub use frame::Frame;
pub use header::{RequestHeader, ResponseHeader};
pub use stored::{decode_versioned, decode_versioned_or_newer, encode_versioned, stored_version};

/// The modules of all APIs, and the two messages of each at the root.
macro_rules! modules {
    ($($name:ident = $code:literal, $module:ident::{$request:ident, $response:ident};)*) => { $(
        pub mod $module;
        pub use $module::{$request, $response};
    )* };
}

for_each_api!(modules);

#[cfg(test)]
mod tests;
