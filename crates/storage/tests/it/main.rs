//! Logs in real files.

mod helpers;

mod append_and_read;
mod lifecycle;
