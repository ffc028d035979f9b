//! A whole broker in this process, spoken to over TCP.

mod admin;
mod support;
