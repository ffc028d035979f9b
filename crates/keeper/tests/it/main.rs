//! The keeper, driven over its socket.

mod client;
mod commands;
mod durability;
mod hostile;
mod ordering;
mod raw;
mod sessions;
mod support;
