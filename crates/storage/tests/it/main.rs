//! Logs in real files.

mod helpers;

mod append_and_read;
mod crash;
mod damaged;
mod disk;
mod kafka;
mod lifecycle;
mod model;
mod truncation;
