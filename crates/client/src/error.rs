//! What can go wrong between this program and a Kafka cluster.

use std::time::Duration;

use whimbrel_model::ErrorCode;
use whimbrel_model::record::{BatchError, BuildError, CompressionError, RecordError};
use whimbrel_wire::{DecodeError, EncodeError};

/// A request that was not answered as hoped.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("cannot connect to {address}: {source}")]
    Connect { address: String, source: std::io::Error },
    #[error("no broker answers at {}: {last}", .tried.join(", "))]
    NoBroker { tried: Vec<String>, last: Box<ClientError> },
    /// The connection ended while the request was on its way: it may have been carried out.
    #[error("{address} closed the connection{}", reason(.cause))]
    Closed { address: String, cause: Option<String> },
    #[error("{address} did not answer {api} within {after:?}")]
    Timeout { address: String, api: &'static str, after: Duration },
    #[error("{address} does not speak Kafka's protocol: it sent a frame of {size} bytes")]
    FrameSize { address: String, size: i64 },
    #[error("{address} serves {api} from version {low} to {high}, this program needs {wanted_low} to {wanted_high}")]
    Version { address: String, api: &'static str, low: i16, high: i16, wanted_low: i16, wanted_high: i16 },
    #[error("{address} does not serve {api}")]
    NotServed { address: String, api: &'static str },
    #[error("answer to {api}: {source}")]
    Decode { api: &'static str, source: DecodeError },
    #[error("request {api}: {source}")]
    Encode { api: &'static str, source: EncodeError },
    /// A Kafka error code, with the broker's own text when it sent one.
    #[error("{subject}: {code}{}", reason(.message))]
    Kafka { subject: String, code: ErrorCode, message: Option<String> },
    #[error("broker {0} is not in the cluster's metadata")]
    UnknownBroker(i32),
    #[error("{topic}-{partition} has no leader")]
    NoLeader { topic: String, partition: i32 },
    #[error("records of {topic}-{partition} at offset {offset}: {source}")]
    Records { topic: String, partition: i32, offset: i64, source: RecordsError },
    #[error("batch for {topic}-{partition}: {source}")]
    Build { topic: String, partition: i32, source: BuildError },
    #[error("a record of {size} bytes is larger than the {limit} bytes that a request may have")]
    TooLarge { size: usize, limit: usize },
    #[error("the producer was closed")]
    ProducerClosed,
}

/// Why fetched bytes are not records.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Compression(#[from] CompressionError),
    #[error(transparent)]
    Record(#[from] RecordError),
}

fn reason(text: &Option<String>) -> String {
    text.as_ref().map(|text| format!(": {text}")).unwrap_or_default()
}

impl ClientError {
    /// `Ok` for no error, else the code with what it is about.
    ///
    /// # Errors
    /// `code` is not 0.
    pub fn check(
        code: i16,
        message: Option<&whimbrel_wire::Str>,
        subject: impl FnOnce() -> String,
    ) -> Result<(), ClientError> {
        match ErrorCode::from_code(code) {
            ErrorCode::None => Ok(()),
            code => Err(Self::Kafka { subject: subject(), code, message: message.map(ToString::to_string) }),
        }
    }

    /// The Kafka error code, if a broker sent one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Kafka { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the same request may succeed when it is repeated after a while, with fresh metadata.
    ///
    /// A request that was on its way when the connection ended counts: whoever repeats what is not idempotent must
    /// look at [`ClientError::Closed`] itself.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::NoBroker { .. } | Self::Closed { .. } | Self::Timeout { .. } => true,
            Self::UnknownBroker(_) | Self::NoLeader { .. } => true,
            Self::Kafka { code, .. } => code.is_retriable(),
            Self::FrameSize { .. } | Self::Version { .. } | Self::NotServed { .. } | Self::Decode { .. } => false,
            Self::Encode { .. } | Self::Records { .. } | Self::Build { .. } | Self::TooLarge { .. } => false,
            Self::ProducerClosed => false,
        }
    }
}
