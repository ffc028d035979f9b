//! Where partitions are and who leads them: elections and reassignments.

use whimbrel_model::ErrorCode;
use whimbrel_wire::alter_partition_reassignments::{ReassignablePartition, ReassignableTopic};
use whimbrel_wire::describe_topic_partitions::{Cursor, TopicRequest};
use whimbrel_wire::elect_leaders::TopicPartitions;
use whimbrel_wire::{
    AlterPartitionReassignmentsRequest, DescribeTopicPartitionsRequest, ElectLeadersRequest,
    ListPartitionReassignmentsRequest, Str,
};

use super::{CHANGE_TIMEOUT, CHANGE_TIMEOUT_MS};
use crate::cluster::retry;
use crate::{ClientError, Cluster};

/// A topic and the number of one of its partitions.
pub type PartitionName = (String, i32);

/// How a leader is chosen (KIP-460).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElectionKind {
    /// The first replica, if it is in sync.
    Preferred,
    /// Any replica that is alive, even if it lacks records; only where there is no leader.
    Unclean,
}

/// What came of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionOutcome {
    pub partition: PartitionName,
    pub code: ErrorCode,
    pub message: Option<String>,
}

/// A reassignment under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reassigning {
    pub partition: PartitionName,
    /// All, those that come and those that go included.
    pub replicas: Vec<i32>,
    pub adding: Vec<i32>,
    pub removing: Vec<i32>,
}

/// Partitions by topic, as requests carry them.
fn by_topic<T, P>(items: impl IntoIterator<Item = (String, T)>, wrap: impl Fn(Str, Vec<T>) -> P) -> Vec<P> {
    let mut topics: std::collections::BTreeMap<String, Vec<T>> = std::collections::BTreeMap::new();
    for (topic, item) in items {
        topics.entry(topic).or_default().push(item);
    }
    topics.into_iter().map(|(topic, items)| wrap(topic.into(), items)).collect()
}

fn outcome(topic: &Str, partition: i32, code: i16, message: Option<Str>) -> PartitionOutcome {
    let partition = (topic.to_string(), partition);
    PartitionOutcome { partition, code: ErrorCode::from_code(code), message: message.map(String::from) }
}

/// Elects leaders of these partitions, or of all. What needed no election is left out by some versions, and has
/// ELECTION_NOT_NEEDED in others.
///
/// # Errors
/// The controller's, with its text, if it concerns the whole request.
pub async fn elect_leaders(
    cluster: &Cluster,
    kind: ElectionKind,
    partitions: Option<&[PartitionName]>,
) -> Result<Vec<PartitionOutcome>, ClientError> {
    retry!(cluster, {
        let connection = cluster.controller().await?;
        let topic_partitions = partitions.map(|partitions| {
            by_topic(partitions.iter().cloned(), |topic, partitions| TopicPartitions { topic, partitions })
        });
        let election_type = match kind {
            ElectionKind::Preferred => 0,
            ElectionKind::Unclean => 1,
        };
        let request = ElectLeadersRequest { election_type, topic_partitions, timeout_ms: CHANGE_TIMEOUT_MS };
        let response = connection.call_for(request, CHANGE_TIMEOUT).await?;
        ClientError::check(response.error_code, None, || "the election".to_owned())?;
        let mut outcomes = Vec::new();
        for topic in response.replica_election_results {
            let results = topic.partition_result.into_iter();
            outcomes
                .extend(results.map(|one| outcome(&topic.topic, one.partition_id, one.error_code, one.error_message)));
        }
        Ok(outcomes)
    })
}

/// Starts reassignments of partitions to these replicas, or cancels those under way (`None`).
///
/// # Errors
/// The controller's, with its text, if it concerns the whole request.
pub async fn alter_reassignments(
    cluster: &Cluster,
    targets: &[(PartitionName, Option<Vec<i32>>)],
) -> Result<Vec<PartitionOutcome>, ClientError> {
    retry!(cluster, {
        let connection = cluster.controller().await?;
        let each = targets
            .iter()
            .cloned()
            .map(|((topic, partition_index), replicas)| (topic, ReassignablePartition { partition_index, replicas }));
        let topics = by_topic(each, |name, partitions| ReassignableTopic { name, partitions });
        let request =
            AlterPartitionReassignmentsRequest { timeout_ms: CHANGE_TIMEOUT_MS, topics, ..Default::default() };
        let response = connection.call_for(request, CHANGE_TIMEOUT).await?;
        ClientError::check(response.error_code, response.error_message.as_ref(), || "the reassignment".to_owned())?;
        let mut outcomes = Vec::new();
        for topic in response.responses {
            let results = topic.partitions.into_iter();
            outcomes.extend(
                results.map(|one| outcome(&topic.name, one.partition_index, one.error_code, one.error_message)),
            );
        }
        Ok(outcomes)
    })
}

/// The reassignments under way.
///
/// # Errors
/// The controller's, with its text.
pub async fn list_reassignments(cluster: &Cluster) -> Result<Vec<Reassigning>, ClientError> {
    retry!(cluster, {
        let connection = cluster.controller().await?;
        let request = ListPartitionReassignmentsRequest { timeout_ms: CHANGE_TIMEOUT_MS, topics: None };
        let response = connection.call_for(request, CHANGE_TIMEOUT).await?;
        ClientError::check(response.error_code, response.error_message.as_ref(), || "reassignments".to_owned())?;
        let mut ongoing = Vec::new();
        for topic in response.topics {
            ongoing.extend(topic.partitions.into_iter().map(|one| Reassigning {
                partition: (topic.name.to_string(), one.partition_index),
                replicas: one.replicas,
                adding: one.adding_replicas,
                removing: one.removing_replicas,
            }));
        }
        Ok(ongoing)
    })
}

/// The replicas that may lead a partition though they are out of sync (KIP-966), where there are such. Empty if the
/// cluster is too old to tell.
///
/// # Errors
/// No broker answers.
pub async fn eligible_leaders(
    cluster: &Cluster,
    topics: &[&str],
) -> Result<Vec<(PartitionName, Vec<i32>)>, ClientError> {
    let mut found = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let connection = cluster.any().await?;
        if topics.is_empty() || connection.version_of::<DescribeTopicPartitionsRequest>().is_err() {
            return Ok(found);
        }
        let request = DescribeTopicPartitionsRequest {
            topics: topics.iter().map(|&name| TopicRequest { name: name.into() }).collect(),
            cursor: cursor.take(),
            ..Default::default()
        };
        let response = connection.call(request).await?;
        for topic in response.topics {
            let name = topic.name.map(String::from).unwrap_or_default();
            for partition in topic.partitions {
                let eligible = partition.eligible_leader_replicas.unwrap_or_default();
                if !eligible.is_empty() {
                    found.push(((name.clone(), partition.partition_index), eligible));
                }
            }
        }
        match response.next_cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(found),
        }
    }
}
