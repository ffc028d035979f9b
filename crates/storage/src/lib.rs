//! Kafka's log on disk: segments, indexes, recovery, retention.

pub mod producer_state;
pub mod validator;
