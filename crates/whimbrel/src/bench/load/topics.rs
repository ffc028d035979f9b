//! The topics of a load: made before it, deleted after it, and its own numbering of their partitions.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use whimbrel_client::admin::{NewTopic, create_topic, delete_topic, told_by_all};
use whimbrel_client::consumer::{OffsetQuery, list_offsets};
use whimbrel_client::{Cluster, Metadata};
use whimbrel_wire::Str;

use crate::bench::workload::Workload;

/// How long a cluster has until all partitions have leaders.
const READY_WAIT: Duration = Duration::from_secs(120);
/// How long brokers keep the files of a deleted topic; a minute unless they are told otherwise.
pub const DELETE_DELAY_MS: u32 = 1000;
const READY_PAUSE: Duration = Duration::from_millis(20);

/// Topics with as many partitions each. A partition's index is `topic × partitions + partition`.
#[derive(Debug, Clone)]
pub struct Topics {
    names: Vec<Str>,
    partitions: usize,
}

impl Topics {
    /// Names that no other load has.
    pub fn new(workload: &Workload, run: &str) -> Self {
        let name = |index| Str::from(format!("whimbrel-bench-{run}-{index}").as_str());
        Self {
            names: (0..workload.topics).map(name).collect(),
            partitions: usize::try_from(workload.partitions).unwrap_or(1),
        }
    }

    /// Partitions of all topics.
    pub fn len(&self) -> usize {
        self.names.len() * self.partitions
    }

    /// Partitions of one topic.
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    pub fn count(&self) -> usize {
        self.names.len()
    }

    pub fn names(&self) -> Vec<&str> {
        self.names.iter().map(Str::as_str).collect()
    }

    /// Topic and partition of an index.
    #[inline]
    pub fn target(&self, index: usize) -> (&Str, i32) {
        (&self.names[index / self.partitions], (index % self.partitions) as i32)
    }

    /// The index of a partition of the `topic`-th topic.
    #[inline]
    pub fn index_of(&self, topic: usize, partition: i32) -> Option<usize> {
        let partition = usize::try_from(partition).ok().filter(|partition| *partition < self.partitions)?;
        Some(topic * self.partitions + partition)
    }

    /// The index of a partition of a topic by name.
    pub fn index_by_name(&self, name: &str, partition: i32) -> Option<usize> {
        let topic = self.names.iter().position(|known| known.as_str() == name)?;
        self.index_of(topic, partition)
    }

    /// Creates the topics and waits until each partition has a leader that serves it.
    ///
    /// # Errors
    /// The cluster refuses, or does not get ready.
    pub async fn create(&self, cluster: &Cluster, workload: &Workload) -> anyhow::Result<Metadata> {
        // What the last point wrote is gone when the next one begins: data directories in memory are small.
        let quick_deletion = ("file.delete.delay.ms".to_owned(), DELETE_DELAY_MS.to_string());
        let mut configs = std::collections::BTreeMap::from([quick_deletion]);
        configs.extend(workload.topic_config.clone());
        for name in self.names() {
            let topic = NewTopic {
                name: name.to_owned(),
                partitions: Some(workload.partitions),
                replication_factor: Some(workload.replicas),
                configs: configs.clone().into_iter().collect(),
                ..NewTopic::default()
            };
            create_topic(cluster, &topic, false).await.with_context(|| format!("topic {name} cannot be created"))?;
        }
        let ready = async {
            loop {
                if let Ok(metadata) = cluster.refresh(Some(&self.names()), false).await
                    && self.is_ready(&metadata)
                    && self.are_known_to_all(cluster).await
                {
                    return Metadata::clone(&metadata);
                }
                tokio::time::sleep(READY_PAUSE).await;
            }
        };
        let ready = tokio::time::timeout(READY_WAIT, ready).await;
        ready.with_context(|| {
            format!("after {READY_WAIT:?} there are partitions without a leader, or brokers that do not know it")
        })
    }

    /// Asks for the end of each partition, in the order of their indexes.
    pub fn ends(&self) -> Vec<((Arc<str>, i32), OffsetQuery)> {
        let end = |index: usize| {
            let (name, partition) = self.target(index);
            ((Arc::from(name.as_str()), partition), OffsetQuery::Latest)
        };
        (0..self.len()).map(end).collect()
    }

    /// Whether all brokers know the leaders, and those that they lead: both are told to each of them, apart and in time.
    /// What is sent to one that does not know yet is refused; and if what follows is not, an idempotent producer can never
    /// send the first again.
    async fn are_known_to_all(&self, cluster: &Cluster) -> bool {
        let told = told_by_all(cluster, &self.names()).await;
        let told = told.is_ok_and(|told| told.iter().all(|metadata| self.is_ready(metadata)));
        told && list_offsets(cluster, &self.ends(), false).await.is_ok()
    }

    /// Whether each partition has a leader.
    fn is_ready(&self, metadata: &Metadata) -> bool {
        self.names().iter().all(|name| {
            metadata.topic(name).is_ok_and(|topic| {
                topic.partitions.len() == self.partitions
                    && topic.partitions.iter().all(|partition| 0 <= partition.leader)
            })
        })
    }

    /// Deletes the topics; what cannot be deleted is left, with a warning.
    pub async fn delete(&self, cluster: &Cluster) {
        for name in self.names() {
            if let Err(error) = delete_topic(cluster, name).await {
                tracing::warn!(topic = name, %error, "not deleted");
            }
        }
    }
}
