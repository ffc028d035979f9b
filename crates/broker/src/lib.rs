//! Listeners, handlers, drivers, coordination and the admin HTTP port.
pub mod config;
pub mod controller;
pub mod coordination;
pub mod http;
pub mod metrics;
