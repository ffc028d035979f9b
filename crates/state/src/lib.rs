//! State machines without I/O: groups, controller, partitions, fetch sessions.
//!
//! Time and events come in as arguments; what is to be done comes back as values. Nothing here reads a clock, draws a
//! random number, sees bytes or awaits.

pub mod controller;
pub mod fetch_session;
pub mod group;
pub mod liveness;
pub mod partition;
pub mod replication_quota;
pub mod timer;
