//! A whole broker in this process, spoken to over TCP.
//!
//! `scenarios` are sequences of requests whose answers are compared with those of Apache Kafka 3.9.2, which lie in
//! `kafka-3.9.2/` as text. The other modules check what a comparison of answers cannot show.

mod admin;
mod broker;
mod client;
mod cluster;
mod damaged;
mod frames;
mod listeners;
mod placement;
mod replication;
mod scenarios;
mod session;
mod support;
mod text;
mod transcript;
