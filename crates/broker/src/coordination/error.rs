//! What can go wrong between a broker and coordination.

use std::path::PathBuf;
use std::time::Duration;

use super::codec::DecodeError;

/// An operation on coordination did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CoordinationError {
    #[error("no ZooKeeper server of {servers} answered within {waited:?}: {source}")]
    Unreachable { servers: String, waited: Duration, source: zookeeper_client::Error },
    /// The session is gone and a new one is not yet there. Nothing was written in the old one after it ended.
    #[error("the ZooKeeper session is lost; a new one is being opened")]
    SessionLost,
    #[error(
        "ZooKeeper went backwards: its {what} is {now}, and this broker has seen {seen}. An older copy of its data is in \
         use, or its servers lost some; going on could undo changes and lose records. Bring back the servers that have the \
         newer data. If the older state is meant, stop all brokers and delete {} of each", file.display()
    )]
    WentBackwards { what: &'static str, now: String, seen: String, file: PathBuf },
    #[error(
        "{path}: ZooKeeper does not let this broker in: the node belongs to another identity; whimbrel.zookeeper.auth must \
         be that of the brokers that made it"
    )]
    NotAllowed { path: String },
    #[error("{path}: {source}")]
    Operation { path: String, source: zookeeper_client::Error },
    #[error("{path} holds something else than Kafka writes there: {source}")]
    Content { path: String, source: DecodeError },
    /// Another broker became controller; this one's writes are refused.
    #[error("the controller has moved")]
    ControllerMoved,
    /// Configuration must not be written: the cluster is being moved to KRaft, or has no controller.
    #[error("{0}")]
    NotWritable(String),
    #[error("topic {0} exists")]
    TopicExists(String),
    #[error("topic {0} does not exist")]
    UnknownTopic(String),
    /// Someone else changed the node between our read and our write.
    #[error("{0} was changed by another at the same time")]
    Conflict(String),
}

impl CoordinationError {
    pub(super) fn operation(path: &str, source: zookeeper_client::Error) -> Self {
        use zookeeper_client::Error;
        match source {
            Error::SessionExpired | Error::ClientClosed | Error::AuthFailed => Self::SessionLost,
            Error::NoAuth => Self::NotAllowed { path: path.to_owned() },
            source => Self::Operation { path: path.to_owned(), source },
        }
    }

    pub(super) fn content(path: &str, source: DecodeError) -> Self {
        Self::Content { path: path.to_owned(), source }
    }
}

/// Why a broker cannot take its place in the cluster.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    #[error(transparent)]
    Coordination(#[from] CoordinationError),
    #[error(
        "broker id {id} is taken: {theirs} registered it at {since} in ZooKeeper session {session:#x} and that session is \
         alive; this broker is at {ours}. Stop the other broker, or give this one another broker.id"
    )]
    IdTaken { id: i32, theirs: String, since: String, session: i64, ours: String },
    #[error(
        "broker {other} is already registered with the address {address}; no two brokers may advertise the same one"
    )]
    AddressTaken { other: i32, address: String },
    #[error("broker.id is not set, none is in meta.properties, and broker.id.generation.enable is false")]
    NoBrokerId,
    #[error("broker.id {id} is above reserved.broker.max.id ({max}); ids above it are given by the cluster")]
    IdReserved { id: i32, max: i32 },
    #[error("the configured broker.id {configured} is not the one in meta.properties, {stored}")]
    IdChanged { configured: i32, stored: i32 },
    #[error("cannot write {}: {source}", path.display())]
    SessionFile { path: PathBuf, source: std::io::Error },
    #[error("the cluster relies on features that this broker does not have: {0}")]
    UnknownFeatures(String),
}
