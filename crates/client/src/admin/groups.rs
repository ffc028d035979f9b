//! Consumer groups and their committed offsets.

use std::collections::BTreeMap;
use std::sync::Arc;

use whimbrel_wire::consumer_assignment::ConsumerProtocolAssignment;
use whimbrel_wire::describe_groups::{DescribedGroup, DescribedGroupMember};
use whimbrel_wire::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use whimbrel_wire::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics};
use whimbrel_wire::{
    DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest, OffsetCommitRequest, OffsetFetchRequest,
    OffsetFetchResponse, Str,
};

use super::topics::unanswered;
use crate::cluster::retry;
use crate::consumer::read_member_data;
use crate::{ClientError, Cluster};

/// A partition of a topic.
type Target = (Arc<str>, i32);

/// A group as it is listed. Brokers before Kafka 2.6 do not tell the state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupListing {
    pub group: String,
    /// `consumer` for consumers; empty for a group that only stores offsets.
    pub protocol_type: String,
    pub state: Option<String>,
    pub coordinator: i32,
}

/// A group with its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    pub group: String,
    pub state: String,
    pub protocol_type: String,
    /// The assignor.
    pub protocol: String,
    pub members: Vec<MemberDescription>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberDescription {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub host: String,
    pub assignment: Vec<Target>,
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    pub offset: i64,
    pub metadata: Option<String>,
}

/// On whose behalf offsets are committed. The default is somebody outside of the group, which must then be empty.
#[derive(Debug, Clone)]
pub struct CommitAs {
    pub generation: i32,
    pub member_id: Str,
    pub instance_id: Option<Str>,
}

impl Default for CommitAs {
    fn default() -> Self {
        Self { generation: -1, member_id: Str::default(), instance_id: None }
    }
}

/// All groups of the cluster, by name. Every broker is asked for those that it coordinates.
///
/// # Errors
/// A broker does not answer, or refuses.
pub async fn list_groups(cluster: &Cluster) -> Result<Vec<GroupListing>, ClientError> {
    retry!(cluster, {
        let mut listings = Vec::new();
        for (coordinator, response) in cluster.ask_all(&ListGroupsRequest::default()).await? {
            ClientError::check(response.error_code, None, || format!("groups of broker {coordinator}"))?;
            listings.extend(response.groups.into_iter().map(|group| GroupListing {
                group: group.group_id.into(),
                protocol_type: group.protocol_type.into(),
                state: Some(String::from(group.group_state)).filter(|state| !state.is_empty()),
                coordinator,
            }));
        }
        listings.sort();
        Ok(listings)
    })
}

/// A group with its members. A group that does not exist is described as `Dead`, by brokers of all ages.
///
/// # Errors
/// The coordinator's.
pub async fn describe_groups(cluster: &Cluster, group: &str) -> Result<GroupDescription, ClientError> {
    retry!(cluster, {
        let connection = cluster.coordinator(group).await?;
        let request = DescribeGroupsRequest { groups: vec![group.into()], ..DescribeGroupsRequest::default() };
        let response = connection.call(request).await?;
        let subject = || format!("group {group}");
        let Some(described) = response.groups.into_iter().next() else { return Err(unanswered(subject())) };
        if described.error_code == whimbrel_model::ErrorCode::GroupIdNotFound.code() {
            let state = "Dead".to_owned();
            let (protocol_type, protocol, members) = Default::default();
            return Ok(GroupDescription { group: group.to_owned(), state, protocol_type, protocol, members });
        }
        ClientError::check(described.error_code, described.error_message.as_ref(), subject)?;
        description(described)
    })
}

fn description(described: DescribedGroup) -> Result<GroupDescription, ClientError> {
    let is_consumer = described.protocol_type.as_str() == "consumer";
    Ok(GroupDescription {
        group: described.group_id.into(),
        state: described.group_state.into(),
        protocol_type: described.protocol_type.into(),
        protocol: described.protocol_data.into(),
        members: described
            .members
            .into_iter()
            .map(|member| self::member(member, is_consumer))
            .collect::<Result<_, _>>()?,
    })
}

fn member(member: DescribedGroupMember, is_consumer: bool) -> Result<MemberDescription, ClientError> {
    // Connect and Streams have forms of their own.
    let assignment: ConsumerProtocolAssignment =
        if is_consumer { read_member_data(&member.member_assignment, "DescribeGroups")? } else { Default::default() };
    let mut targets: Vec<Target> = Vec::new();
    for topic in assignment.assigned_partitions {
        let name: Arc<str> = Arc::from(topic.topic.as_str());
        targets.extend(topic.partitions.into_iter().map(|partition| (name.clone(), partition)));
    }
    targets.sort();
    Ok(MemberDescription {
        member_id: member.member_id.into(),
        instance_id: member.group_instance_id.map(String::from),
        client_id: member.client_id.into(),
        host: member.client_host.into(),
        assignment: targets,
    })
}

/// Deletes an empty group with its offsets.
///
/// # Errors
/// The coordinator's: the group has members, or does not exist.
pub async fn delete_groups(cluster: &Cluster, group: &str) -> Result<(), ClientError> {
    retry!(cluster, {
        let connection = cluster.coordinator(group).await?;
        let response = connection.call(DeleteGroupsRequest { groups_names: vec![group.into()] }).await?;
        let subject = || format!("group {group}");
        let Some(result) = response.results.first() else { return Err(unanswered(subject())) };
        ClientError::check(result.error_code, None, subject)
    })
}

/// The offsets that a group has committed, for these partitions or for all. Partitions without one are left out.
///
/// # Errors
/// The coordinator's.
pub async fn committed_offsets(
    cluster: &Cluster,
    group: &str,
    targets: Option<&[Target]>,
) -> Result<BTreeMap<Target, Committed>, ClientError> {
    retry!(cluster, {
        let connection = cluster.coordinator(group).await?;
        let version = connection.version_of::<OffsetFetchRequest>()?;
        let response = connection.call(fetch_request(group, targets, version)).await?;
        committed(group, response)
    })
}

fn fetch_request(group: &str, targets: Option<&[Target]>, version: i16) -> OffsetFetchRequest {
    let topics = targets.map(by_topic);
    if version < 8 {
        let topic = |(name, partition_indexes): (Str, _)| OffsetFetchRequestTopic { name, partition_indexes };
        let topics = topics.map(|topics| topics.into_iter().map(topic).collect());
        return OffsetFetchRequest { group_id: group.into(), topics, ..OffsetFetchRequest::default() };
    }
    let topic = |(name, partition_indexes): (Str, _)| OffsetFetchRequestTopics {
        name,
        partition_indexes,
        ..OffsetFetchRequestTopics::default()
    };
    let topics = topics.map(|topics| topics.into_iter().map(topic).collect());
    let group = OffsetFetchRequestGroup { group_id: group.into(), topics, ..OffsetFetchRequestGroup::default() };
    OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() }
}

fn by_topic(targets: &[Target]) -> BTreeMap<Str, Vec<i32>> {
    let mut topics: BTreeMap<Str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in targets {
        topics.entry(topic.into()).or_default().push(*partition);
    }
    topics
}

fn committed(group: &str, response: OffsetFetchResponse) -> Result<BTreeMap<Target, Committed>, ClientError> {
    ClientError::check(response.error_code, None, || format!("offsets of group {group}"))?;
    let mut found = BTreeMap::new();
    let mut take = |topic: &Str, partition: i32, code: i16, offset: i64, metadata: Option<Str>| {
        ClientError::check(code, None, || format!("offset of group {group} in {topic}-{partition}"))?;
        if 0 <= offset {
            let metadata = metadata.map(String::from).filter(|text| !text.is_empty());
            found.insert((Arc::from(topic.as_str()), partition), Committed { offset, metadata });
        }
        Ok::<(), ClientError>(())
    };
    for topic in response.topics {
        for partition in topic.partitions {
            let (index, offset) = (partition.partition_index, partition.committed_offset);
            take(&topic.name, index, partition.error_code, offset, partition.metadata)?;
        }
    }
    for answered in response.groups {
        ClientError::check(answered.error_code, None, || format!("offsets of group {group}"))?;
        for topic in answered.topics {
            for partition in topic.partitions {
                let (index, offset) = (partition.partition_index, partition.committed_offset);
                take(&topic.name, index, partition.error_code, offset, partition.metadata)?;
            }
        }
    }
    Ok(found)
}

/// Commits offsets: for each partition the next one to read.
///
/// # Errors
/// The coordinator's, for the first partition that was refused.
pub async fn commit_offsets(
    cluster: &Cluster,
    group: &str,
    commit_as: &CommitAs,
    offsets: &[(Target, i64)],
) -> Result<(), ClientError> {
    let mut topics: BTreeMap<Str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for ((topic, partition_index), committed_offset) in offsets {
        topics.entry(topic.into()).or_default().push(OffsetCommitRequestPartition {
            partition_index: *partition_index,
            committed_offset: *committed_offset,
            committed_metadata: Some(Str::default()),
            ..OffsetCommitRequestPartition::default()
        });
    }
    let topic =
        |(name, partitions)| OffsetCommitRequestTopic { name, partitions, ..OffsetCommitRequestTopic::default() };
    let request = OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: commit_as.generation,
        member_id: commit_as.member_id.clone(),
        group_instance_id: commit_as.instance_id.clone(),
        retention_time_ms: -1,
        topics: topics.into_iter().map(topic).collect(),
    };
    retry!(cluster, {
        let response = cluster.coordinator(group).await?.call(request.clone()).await?;
        for topic in response.topics {
            for partition in topic.partitions {
                let subject = || format!("commit of group {group} in {}-{}", topic.name, partition.partition_index);
                ClientError::check(partition.error_code, None, subject)?;
            }
        }
        Ok(())
    })
}
