//! `whimbrel bench`: measures any Kafka-compatible cluster.

mod cost;
mod faults;
mod limits;
mod machine;
mod result;
mod target;
mod uptime;
mod workload;
