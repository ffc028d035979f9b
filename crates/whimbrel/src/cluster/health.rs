//! `whimbrel cluster health`: what an operator has to look at, and nothing else.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::Serialize;
use whimbrel_client::admin::{self, ConfigResource};
use whimbrel_client::{Cluster, Metadata, PartitionMetadata};
use whimbrel_wire::DescribeClusterRequest;

use super::partitions;
use crate::output::{Output, ids};

/// Pause between two looks while all is to be well.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
#[error("the cluster is not well")]
struct Unwell;

#[derive(Serialize)]
struct Health {
    healthy: bool,
    brokers: usize,
    controller: Option<i32>,
    partitions: usize,
    problems: Vec<Problem>,
    /// What is going on and no trouble.
    notes: Vec<String>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Problem {
    kind: ProblemKind,
    /// A broker or a partition.
    what: String,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum ProblemKind {
    NoController,
    BrokerSilent,
    Offline,
    UnderMinIsr,
    UnderReplicated,
}

pub async fn run(wait: Option<Duration>, cluster: &Cluster, output: Output) -> anyhow::Result<()> {
    let deadline = wait.map(|wait| Instant::now() + wait);
    let health = loop {
        let may_wait = deadline.is_some_and(|deadline| Instant::now() + LOOK_INTERVAL < deadline);
        match look(cluster).await {
            Ok(health) if health.healthy || !may_wait => break health,
            // A broker that was asked may just be the one that stops.
            Err(error) if !may_wait => return Err(error),
            Ok(_) | Err(_) => tokio::time::sleep(LOOK_INTERVAL).await,
        }
    };
    if output.is_json() {
        output.json(&health)?;
    } else {
        print(&health);
    }
    if health.healthy { Ok(()) } else { Err(Unwell.into()) }
}

fn print(health: &Health) {
    for problem in &health.problems {
        println!("{}: {}", problem.what, problem.text);
    }
    for note in &health.notes {
        println!("{note}");
    }
    if health.healthy {
        println!("{} brokers, {} partitions: all is well", health.brokers, health.partitions);
    }
}

async fn look(cluster: &Cluster) -> anyhow::Result<Health> {
    let metadata = cluster.refresh(None, false).await?;
    let mut problems = silent_brokers(cluster, &metadata).await;
    if !metadata.brokers.contains_key(&metadata.controller_id) {
        let text = "no broker is controller: nothing can be elected or changed".to_owned();
        problems.push(Problem { kind: ProblemKind::NoController, what: "controller".to_owned(), text });
    }
    let short: BTreeSet<&str> =
        partitions(&metadata).filter(|(_, p)| p.in_sync.len() < p.replicas.len()).map(|(topic, _)| topic).collect();
    let mut minimums = std::collections::BTreeMap::new();
    for topic in short {
        minimums.insert(topic, min_insync_replicas(cluster, topic).await);
    }
    for (topic, partition) in partitions(&metadata) {
        problems.extend(judge(topic, partition, minimums.get(topic).copied().unwrap_or(1)));
    }
    let mut notes = Vec::new();
    // Clusters before 2.4 have no such request.
    if let Ok(ongoing) = admin::list_reassignments(cluster).await
        && !ongoing.is_empty()
    {
        notes.push(format!("{} partitions are being reassigned (`whimbrel reassign status`)", ongoing.len()));
    }
    Ok(Health {
        healthy: problems.is_empty(),
        brokers: metadata.brokers.len(),
        controller: (0 <= metadata.controller_id).then_some(metadata.controller_id),
        partitions: partitions(&metadata).count(),
        problems,
        notes,
    })
}

/// Brokers that are registered and do not answer.
async fn silent_brokers(cluster: &Cluster, metadata: &Metadata) -> Vec<Problem> {
    let mut silent = Vec::new();
    for (id, address) in &metadata.brokers {
        let asked = async { cluster.broker(*id).await?.call(DescribeClusterRequest::default()).await };
        if let Err(error) = asked.await {
            let text = format!("registered at {} and does not answer: {error}", address.address());
            silent.push(Problem { kind: ProblemKind::BrokerSilent, what: format!("broker {id}"), text });
        }
    }
    silent
}

async fn min_insync_replicas(cluster: &Cluster, topic: &str) -> usize {
    let entries = admin::describe_configs(cluster, &ConfigResource::Topic(topic.to_owned()), false).await;
    let found = entries.ok().and_then(|entries| entries.into_iter().find(|entry| entry.name == "min.insync.replicas"));
    found.and_then(|entry| entry.value?.parse().ok()).unwrap_or(1)
}

/// The worst that can be said of a partition.
fn judge(topic: &str, partition: &PartitionMetadata, min_insync: usize) -> Option<Problem> {
    let what = format!("{topic}-{}", partition.partition);
    let missing: Vec<i32> =
        partition.replicas.iter().copied().filter(|replica| !partition.in_sync.contains(replica)).collect();
    let (kind, text) = if partition.leader < 0 {
        let text = format!("no leader: of its in-sync replicas {} none is alive", ids(&partition.in_sync));
        (ProblemKind::Offline, text)
    } else if partition.in_sync.len() < min_insync.min(partition.replicas.len()) {
        let text = format!(
            "{} in sync, min.insync.replicas is {min_insync}: acks=all is refused; missing {}",
            partition.in_sync.len(),
            ids(&missing)
        );
        (ProblemKind::UnderMinIsr, text)
    } else if !missing.is_empty() {
        (ProblemKind::UnderReplicated, format!("replicas out of sync: {}", ids(&missing)))
    } else {
        return None;
    };
    Some(Problem { kind, what, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(leader: i32, in_sync: &[i32]) -> PartitionMetadata {
        PartitionMetadata {
            partition: 3,
            leader,
            leader_epoch: 0,
            replicas: vec![1, 2, 3],
            in_sync: in_sync.to_vec(),
            offline: Vec::new(),
        }
    }

    #[test]
    fn the_worst_is_named() {
        let kind = |partition: &PartitionMetadata| judge("t", partition, 2).map(|problem| problem.kind);
        assert_eq!(kind(&partition(1, &[1, 2, 3])), None);
        assert_eq!(kind(&partition(1, &[1, 2])), Some(ProblemKind::UnderReplicated));
        assert_eq!(kind(&partition(1, &[1])), Some(ProblemKind::UnderMinIsr));
        assert_eq!(kind(&partition(-1, &[1])), Some(ProblemKind::Offline));
        let problem = judge("t", &partition(1, &[1]), 2).unwrap();
        assert_eq!((problem.what.as_str(), problem.text.contains("missing 2,3")), ("t-3", true));
    }
}
