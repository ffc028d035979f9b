//! `whimbrel bench`: measures any Kafka-compatible cluster.

mod limits;
mod machine;
mod result;
mod workload;
