//! DescribeLogDirs, versions 0 to 5: what lies in which directory (KIP-113, KIP-827).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use whimbrel_model::ErrorCode;
use whimbrel_wire::describe_log_dirs::{DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic};
use whimbrel_wire::{DescribeLogDirsRequest, DescribeLogDirsResponse, Str};

use super::RequestContext;
use crate::replica_manager::{Partition, ReplicaManager};

/// Partitions by topic, for one directory.
type Contents = BTreeMap<Arc<str>, Vec<DescribeLogDirsPartition>>;

pub async fn handle(
    context: &RequestContext,
    request: DescribeLogDirsRequest,
    _version: i16,
) -> DescribeLogDirsResponse {
    let broker = context.broker().clone();
    let wanted = Wanted::from(request);
    // Asks the file systems for their free space.
    let results = tokio::task::spawn_blocking(move || describe(&broker.replicas, &wanted)).await;
    match results {
        Ok(results) => DescribeLogDirsResponse { results, ..Default::default() },
        Err(_) => DescribeLogDirsResponse { error_code: ErrorCode::UnknownServerError.code(), ..Default::default() },
    }
}

/// The partitions asked for; `None`: all.
struct Wanted(Option<HashMap<Str, HashSet<i32>>>);

impl From<DescribeLogDirsRequest> for Wanted {
    fn from(request: DescribeLogDirsRequest) -> Self {
        Self(request.topics.map(|topics| {
            topics.into_iter().map(|topic| (topic.topic, topic.partitions.into_iter().collect())).collect()
        }))
    }
}

impl Wanted {
    fn contains(&self, partition: &Partition) -> bool {
        let Some(topics) = &self.0 else { return true };
        let name = Str::from(partition.topic_partition.topic.clone());
        topics.get(&name).is_some_and(|partitions| partitions.contains(&partition.topic_partition.partition))
    }
}

fn describe(replicas: &ReplicaManager, wanted: &Wanted) -> Vec<DescribeLogDirsResult> {
    let mut contents: HashMap<PathBuf, Contents> = HashMap::default();
    for partition in replicas.partitions().iter().filter(|partition| wanted.contains(partition)) {
        let topics = contents.entry(partition.log.parent_dir()).or_default();
        topics.entry(partition.topic_partition.topic.clone()).or_default().push(DescribeLogDirsPartition {
            partition_index: partition.topic_partition.partition,
            partition_size: i64::try_from(partition.log.size_bytes()).unwrap_or(i64::MAX),
            // How far a replica that is being moved is behind; none is.
            offset_lag: 0,
            is_future_key: false,
        });
    }
    let dirs = replicas.logs().dirs().into_iter().map(|dir| {
        let log_dir = Str::from(dir.path.to_string_lossy().into_owned());
        if dir.offline.is_some() {
            let error_code = ErrorCode::KafkaStorageError.code();
            return DescribeLogDirsResult { error_code, log_dir, ..Default::default() };
        }
        let topics = contents.remove(&dir.path).unwrap_or_default();
        DescribeLogDirsResult {
            log_dir,
            topics: topics
                .into_iter()
                .map(|(name, mut partitions)| {
                    partitions.sort_unstable_by_key(|partition| partition.partition_index);
                    DescribeLogDirsTopic { name: Str::from(name), partitions }
                })
                .collect(),
            total_bytes: dir.total_bytes,
            usable_bytes: dir.usable_bytes,
            ..Default::default()
        }
    });
    dirs.collect()
}
