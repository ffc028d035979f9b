//! Connections to Kafka brokers for replication, tools and benchmarks.
