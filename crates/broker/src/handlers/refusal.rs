//! Why an administrative request is refused: the code for programs, the text for people.

use whimbrel_model::ErrorCode;
use whimbrel_state::controller::assignment::PlacementError;
use whimbrel_wire::Str;

use super::ToErrorCode;
use crate::config::ConfigError;
use crate::coordination::CoordinationError;
use crate::topics::InvalidTopicName;

/// A refusal of one topic or resource of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    /// `None`: the code says it all.
    pub(super) message: Option<String>,
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()) }
    }

    pub(super) fn bare(code: ErrorCode) -> Self {
        Self { code, message: None }
    }

    pub(super) fn unknown_topic(name: &str) -> Self {
        Self::new(ErrorCode::UnknownTopicOrPartition, format!("topic '{name}' does not exist"))
    }

    pub(super) fn topic_exists(name: &str) -> Self {
        Self::new(ErrorCode::TopicAlreadyExists, format!("topic '{name}' already exists"))
    }
}

/// Code and message as they go on the wire: both empty when nothing was refused.
pub(super) fn on_wire(result: &Result<(), Refusal>) -> (i16, Option<Str>) {
    match result {
        Ok(()) => (ErrorCode::None.code(), None),
        Err(Refusal { code, message }) => (code.code(), message.clone().map(Str::from)),
    }
}

impl ToErrorCode for CoordinationError {
    fn error_code(&self) -> ErrorCode {
        match self {
            // All retriable: nothing was written, or repeating it finds what was.
            Self::Unreachable { .. } | Self::SessionLost | Self::Operation { .. } => ErrorCode::RequestTimedOut,
            Self::ControllerMoved => ErrorCode::NotController,
            // No client can do anything about what others wrote into coordination.
            Self::Content { .. } | Self::NotAllowed { .. } => ErrorCode::UnknownServerError,
            // Nothing was written, and the newer servers may come back.
            Self::WentBackwards { .. } => ErrorCode::RequestTimedOut,
            Self::NotWritable(_) => ErrorCode::NotController,
            Self::TopicExists(_) => ErrorCode::TopicAlreadyExists,
            Self::UnknownTopic(_) => ErrorCode::UnknownTopicOrPartition,
            Self::Conflict(_) => ErrorCode::RequestTimedOut,
        }
    }
}

impl From<CoordinationError> for Refusal {
    fn from(error: CoordinationError) -> Self {
        if matches!(error, CoordinationError::Content { .. } | CoordinationError::NotAllowed { .. }) {
            tracing::error!("{error}");
        }
        Self::new(error.error_code(), error.to_string())
    }
}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        Self::new(ErrorCode::InvalidConfig, error.to_string())
    }
}

impl From<InvalidTopicName> for Refusal {
    fn from(error: InvalidTopicName) -> Self {
        Self::new(ErrorCode::InvalidTopicException, error.to_string())
    }
}

impl From<PlacementError> for Refusal {
    fn from(error: PlacementError) -> Self {
        let code = match error {
            PlacementError::NoPartitions => ErrorCode::InvalidPartitions,
            PlacementError::NoReplicas | PlacementError::TooFewBrokers { .. } => ErrorCode::InvalidReplicationFactor,
        };
        Self::new(code, error.to_string())
    }
}
