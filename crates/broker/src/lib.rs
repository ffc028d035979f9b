//! Listeners, handlers, drivers, coordination and the admin HTTP port.
//!
//! [`Broker`] is what all parts share. `server` moves bytes, `handlers` give them meaning, `replica_manager` holds the
//! partitions, `metadata_cache` what is known of the cluster, `purgatory` those who wait.

mod auto_creation;
mod broker;
pub mod config;
pub mod controller;
pub mod coordination;
mod failpoint;
mod gate;
pub mod group_coordinator;
mod handlers;
mod housekeeping;
pub mod http;
pub mod interbroker;
mod liveness;
mod local_broker;
mod metadata_cache;
pub mod metrics;
mod observe;
mod purgatory;
mod repair;
mod replica_fetcher;
mod replica_manager;
mod server;
mod startup;
mod time;
mod topics;

pub use broker::Broker;
pub use startup::{RunningBroker, StartError};
