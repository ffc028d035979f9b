//! What to do about an error.

use whimbrel_client::ClientError;
use whimbrel_model::ErrorCode;

/// The next step, where one can be told.
pub fn for_error(error: &anyhow::Error) -> Option<String> {
    let client = error.chain().find_map(|cause| cause.downcast_ref::<ClientError>())?;
    for_client_error(client)
}

fn for_client_error(error: &ClientError) -> Option<String> {
    let text = match error {
        ClientError::Connect { source, .. } if source.kind() == std::io::ErrorKind::ConnectionRefused => {
            "nothing listens there: start a broker with `whimbrel start`, or name another one with --bootstrap-server"
        }
        ClientError::Connect { .. } | ClientError::NoBroker { .. } => {
            "check the address given by --bootstrap-server or WHIMBREL_BOOTSTRAP_SERVER"
        }
        ClientError::Closed { .. } | ClientError::FrameSize { .. } => {
            "check that this is a plaintext Kafka listener: TLS and SASL are not spoken by this version"
        }
        ClientError::Timeout { .. } => "try again with a longer --timeout, or look into the broker's log",
        ClientError::UnknownBroker(_) => "list the brokers with `whimbrel topic describe`",
        ClientError::Kafka { code, .. } => return for_code(*code).map(str::to_owned),
        _ => return None,
    };
    Some(text.to_owned())
}

fn for_code(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::UnknownTopicOrPartition => Some("list the topics with `whimbrel topic list`"),
        ErrorCode::TopicAlreadyExists => Some("give --if-not-exists if that is fine"),
        ErrorCode::InvalidReplicationFactor => {
            Some("there are fewer brokers than replicas: give a smaller --replication-factor")
        }
        ErrorCode::NonEmptyGroup => Some("stop the group's consumers first; `whimbrel group describe` lists them"),
        ErrorCode::UnknownMemberId | ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration => {
            Some("the group has members: stop them first; `whimbrel group describe` lists them")
        }
        ErrorCode::GroupIdNotFound => Some("list the groups with `whimbrel group list`"),
        ErrorCode::NotEnoughReplicas | ErrorCode::NotEnoughReplicasAfterAppend => {
            Some("fewer replicas are in sync than min.insync.replicas asks for; `whimbrel topic describe` shows them")
        }
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => {
            Some("raise max.message.bytes of the topic: `whimbrel config set topic NAME max.message.bytes=...`")
        }
        ErrorCode::UnsupportedVersion => Some("the cluster is too old for this request"),
        ErrorCode::CoordinatorNotAvailable => Some(
            "the topic __consumer_offsets may be missing replicas: offsets.topic.replication.factor may be above the number of brokers",
        ),
        _ => None,
    }
}
