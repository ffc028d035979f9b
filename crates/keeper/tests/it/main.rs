//! The keeper, driven over its socket.

mod client;
mod support;
