//! The load: producers and consumers on threads of their own, against any Kafka cluster.
//!
//! ```text
//! clock       when each record is to be sent        payload, batch   what it is
//! batches     what one partition has to send        sending          to which broker, and what became of it
//! producer    one thread: hands over, sends, waits  consumer         one thread: fetches, notes, checks
//! leaders     one thread: who leads what            link, links      sockets
//! ```
//! Nothing here knows which system is behind the brokers, or what is done with what was measured.

mod batch;
mod batches;
pub mod clock;
mod consumer;
mod leaders;
mod link;
mod links;
mod payload;
mod producer;
mod run;
mod sending;
mod session;
mod shared;
mod topics;

pub use batch::{NAME_BYTES, PRODUCERS_MAX};
pub use consumer::BYTES_MAX as FETCH_BYTES_MAX;
pub use payload::Pool;
pub use run::{Bounds, Load, LoadOptions, LoadResult};
pub use shared::Shared;
pub use topics::{DELETE_DELAY_MS, Topics};
