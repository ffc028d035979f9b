//! Offsets by time, and the ends of partitions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use whimbrel_wire::ListOffsetsRequest;
use whimbrel_wire::list_offsets::{ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopic};

use crate::cluster::is_stale_leader;
use crate::cluster::retry;
use crate::{ClientError, Cluster};

/// Which offset is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetQuery {
    /// The first that is left.
    Earliest,
    /// Where the next record will be (the last stable offset for `read_committed`).
    Latest,
    /// The first whose timestamp is at or after this, in milliseconds since 1970.
    At(i64),
}

impl OffsetQuery {
    fn timestamp(self) -> i64 {
        match self {
            Self::Earliest => -2,
            Self::Latest => -1,
            Self::At(timestamp) => timestamp.max(0),
        }
    }
}

/// An offset that was found; -1 when no record is that young.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedOffset {
    pub offset: i64,
    /// Of the record; -1 for the ends.
    pub timestamp: i64,
}

/// A partition of a topic.
pub(crate) type Target = (Arc<str>, i32);

/// Looks up one offset for each partition. Leaders are asked side by side.
///
/// # Errors
/// The error of a partition that did not pass in time.
pub async fn list_offsets(
    cluster: &Cluster,
    wanted: &[(Target, OffsetQuery)],
    read_committed: bool,
) -> Result<BTreeMap<Target, ListedOffset>, ClientError> {
    let mut found = BTreeMap::new();
    retry!(cluster, {
        let left: Vec<_> = wanted.iter().filter(|(target, _)| !found.contains_key(target)).collect();
        let mut by_leader: HashMap<i32, Vec<&(Target, OffsetQuery)>> = HashMap::new();
        for wanted in left {
            let (leader, _) = cluster.leader(&wanted.0.0, wanted.0.1).await?;
            by_leader.entry(leader).or_default().push(wanted);
        }
        let mut asked = Vec::new();
        for (leader, wanted) in by_leader {
            let connection = cluster.broker(leader).await?;
            let request = request(&wanted, read_committed);
            asked.push(tokio::spawn(async move { connection.call(request).await }));
        }
        for answer in asked {
            // The task neither panics nor is it aborted.
            let Ok(answer) = answer.await else { continue };
            for topic in answer?.topics {
                let name: Arc<str> = Arc::from(topic.name.as_str());
                for partition in topic.partitions {
                    let target = (name.clone(), partition.partition_index);
                    let offset = listed(&target, &partition);
                    if offset.as_ref().is_err_and(is_stale_leader) {
                        cluster.forget(&name);
                    }
                    found.insert(target, offset?);
                }
            }
        }
        Ok(())
    })?;
    Ok(found)
}

fn request(wanted: &[&(Target, OffsetQuery)], read_committed: bool) -> ListOffsetsRequest {
    let mut topics: BTreeMap<&Arc<str>, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for ((topic, partition), query) in wanted {
        topics.entry(topic).or_default().push(ListOffsetsPartition {
            partition_index: *partition,
            timestamp: query.timestamp(),
            ..ListOffsetsPartition::default()
        });
    }
    let topic = |(name, partitions): (&Arc<str>, _)| ListOffsetsTopic { name: name.into(), partitions };
    ListOffsetsRequest {
        replica_id: -1,
        isolation_level: i8::from(read_committed),
        topics: topics.into_iter().map(topic).collect(),
        ..ListOffsetsRequest::default()
    }
}

fn listed(target: &Target, found: &ListOffsetsPartitionResponse) -> Result<ListedOffset, ClientError> {
    ClientError::check(found.error_code, None, || format!("offsets of {}-{}", target.0, target.1))?;
    // The oldest form of the answer is a list, newest first.
    let offset = found.old_style_offsets.first().copied().unwrap_or(found.offset);
    Ok(ListedOffset { offset, timestamp: found.timestamp })
}
