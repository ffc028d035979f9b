//! Connections to Kafka brokers for replication, tools and benchmarks.
//!
//! ```text
//! Connection   one broker: versions negotiated, requests pipelined, answers in order
//! Cluster      bootstrap, metadata, leaders and coordinators, one connection per broker, retries
//! Producer, Consumer, GroupConsumer, admin functions: on a Cluster
//! ```
//!
//! Works with any broker from Kafka 0.11 on. What is subtle is in state machines without I/O ([`connection::Pipeline`],
//! the producer's batches, partitioning, assignment of partitions to members); the rest is a thin shell over tokio.

pub mod admin;
mod cluster;
pub mod connection;
pub mod consumer;
mod error;
mod metadata;
pub mod producer;

pub use cluster::{Cluster, ClusterOptions};
pub use connection::{Connection, ConnectionOptions, Pipeline, PipelineError};
pub use consumer::{Consumer, ConsumerOptions, FetchedRecord, GroupConsumer, GroupOptions, Isolation, Start};
pub use error::{ClientError, RecordsError};
pub use metadata::{BrokerAddress, Metadata, PartitionMetadata, TopicMetadata};
pub use producer::{Acks, Delivery, ProduceRecord, Producer, ProducerOptions};
pub(crate) use whimbrel_wire::Str;
