//! Kafka frames, message types and the one table of API versions.
