//! Listeners, handlers, drivers, coordination and the admin HTTP port.
pub mod config;
