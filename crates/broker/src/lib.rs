//! Listeners, handlers, drivers, coordination and the admin HTTP port.
pub mod config;
pub mod http;
pub mod metrics;
