//! Creating, growing and deleting topics.

use whimbrel_model::ErrorCode;
use whimbrel_wire::create_partitions::CreatePartitionsTopic;
use whimbrel_wire::create_topics::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
use whimbrel_wire::delete_topics::DeleteTopicState;
use whimbrel_wire::metadata::MetadataRequestTopic;
use whimbrel_wire::{CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest};

use super::{CHANGE_TIMEOUT, CHANGE_TIMEOUT_MS};
use crate::cluster::retry;
use crate::{ClientError, Cluster, Metadata};

/// A topic to be created.
#[derive(Debug, Clone, Default)]
pub struct NewTopic {
    pub name: String,
    /// `None`: the broker's default.
    pub partitions: Option<i32>,
    /// `None`: the broker's default.
    pub replication_factor: Option<i16>,
    /// The replicas of each partition, if they are to be chosen by hand. Then neither number is given.
    pub assignments: Vec<Vec<i32>>,
    pub configs: Vec<(String, String)>,
}

/// A topic that was created. Brokers before Kafka 2.4 do not tell the numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    pub partitions: Option<i32>,
    pub replication_factor: Option<i16>,
}

/// What each broker tells of `topics`. Brokers hear of a change one after the other.
///
/// # Errors
/// One of them does not answer.
pub async fn told_by_all(cluster: &Cluster, topics: &[&str]) -> Result<Vec<Metadata>, ClientError> {
    let named = |name: &&str| MetadataRequestTopic { name: Some((*name).into()), ..MetadataRequestTopic::default() };
    let request = MetadataRequest {
        topics: Some(topics.iter().map(named).collect()),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let answers = cluster.ask_all(&request).await?;
    Ok(answers.into_iter().map(|(_, response)| Metadata::from(response)).collect())
}

/// Creates a topic, or only checks whether it could be.
///
/// # Errors
/// The controller's, with its text.
pub async fn create_topic(
    cluster: &Cluster,
    topic: &NewTopic,
    validate_only: bool,
) -> Result<CreatedTopic, ClientError> {
    let created = retry!(cluster, {
        let connection = cluster.controller().await?;
        let version = connection.version_of::<CreateTopicsRequest>()?;
        let request = CreateTopicsRequest {
            topics: vec![creatable(topic, version)],
            timeout_ms: CHANGE_TIMEOUT_MS,
            validate_only,
        };
        let response = connection.call_for(request, CHANGE_TIMEOUT).await?;
        let subject = || format!("topic {}", topic.name);
        let Some(result) = response.topics.into_iter().next() else { return Err(unanswered(subject())) };
        ClientError::check(result.error_code, result.error_message.as_ref(), subject)?;
        Ok(CreatedTopic {
            partitions: (0 < result.num_partitions).then_some(result.num_partitions),
            replication_factor: (0 < result.replication_factor).then_some(result.replication_factor),
        })
    });
    cluster.forget(&topic.name);
    created
}

fn creatable(topic: &NewTopic, version: i16) -> CreatableTopic {
    // Before version 4 the broker's defaults cannot be asked for; 1 is what they are unless somebody changed them.
    let default = if version < 4 && topic.assignments.is_empty() { 1 } else { -1 };
    let assignment = |(partition_index, broker_ids): (i32, &Vec<i32>)| CreatableReplicaAssignment {
        partition_index,
        broker_ids: broker_ids.clone(),
    };
    let config =
        |(name, value): &(String, String)| CreatableTopicConfig { name: name.into(), value: Some(value.into()) };
    CreatableTopic {
        name: topic.name.as_str().into(),
        num_partitions: topic.partitions.unwrap_or(default),
        replication_factor: topic.replication_factor.unwrap_or(i16::from(default == 1) * 2 - 1),
        assignments: (0..).zip(&topic.assignments).map(assignment).collect(),
        configs: topic.configs.iter().map(config).collect(),
    }
}

/// Deletes a topic with all its records.
///
/// # Errors
/// The controller's, with its text.
pub async fn delete_topic(cluster: &Cluster, name: &str) -> Result<(), ClientError> {
    let mut attempts = 0;
    let deleted = retry!(cluster, {
        attempts += 1;
        let connection = cluster.controller().await?;
        let mut request = DeleteTopicsRequest { timeout_ms: CHANGE_TIMEOUT_MS, ..DeleteTopicsRequest::default() };
        if connection.version_of::<DeleteTopicsRequest>()? < 6 {
            request.topic_names = vec![name.into()];
        } else {
            request.topics = vec![DeleteTopicState { name: Some(name.into()), ..DeleteTopicState::default() }];
        }
        let response = connection.call_for(request, CHANGE_TIMEOUT).await?;
        let subject = || format!("topic {name}");
        let Some(result) = response.responses.first() else { return Err(unanswered(subject())) };
        match ErrorCode::from_code(result.error_code) {
            // A repeated attempt finds what the first one did.
            ErrorCode::UnknownTopicOrPartition if 1 < attempts => Ok(Ok(())),
            // The code counts as passing elsewhere; a topic that is not there need not be waited for.
            ErrorCode::UnknownTopicOrPartition => {
                Ok(ClientError::check(result.error_code, result.error_message.as_ref(), subject))
            }
            _ => ClientError::check(result.error_code, result.error_message.as_ref(), subject).map(Ok),
        }
    });
    cluster.forget(name);
    deleted?
}

/// Raises the number of partitions of a topic to `count`.
///
/// # Errors
/// The controller's, with its text: the number may only grow.
pub async fn create_partitions(cluster: &Cluster, name: &str, count: i32) -> Result<(), ClientError> {
    let created = retry!(cluster, {
        let connection = cluster.controller().await?;
        let topic = CreatePartitionsTopic { name: name.into(), count, assignments: None };
        let request =
            CreatePartitionsRequest { topics: vec![topic], timeout_ms: CHANGE_TIMEOUT_MS, validate_only: false };
        let response = connection.call_for(request, CHANGE_TIMEOUT).await?;
        let subject = || format!("topic {name}");
        let Some(result) = response.results.first() else { return Err(unanswered(subject())) };
        let checked = ClientError::check(result.error_code, result.error_message.as_ref(), subject);
        let is_missing = result.error_code == ErrorCode::UnknownTopicOrPartition.code();
        if is_missing { Ok(checked) } else { checked.map(Ok) }
    });
    cluster.forget(name);
    created?
}

/// The answer has no line for what was asked.
pub(super) fn unanswered(subject: String) -> ClientError {
    let message = Some("the answer does not mention it".to_owned());
    ClientError::Kafka { subject, code: ErrorCode::UnknownServerError, message }
}
