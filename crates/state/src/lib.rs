//! State machines without I/O: groups, controller, partitions, fetch sessions.

pub mod controller;
