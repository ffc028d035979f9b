//! The throttle of a reassignment, as Kafka's tool sets it: a rate on each broker that takes part, and on each topic the
//! replicas that it holds for (KIP-73).

use std::collections::{BTreeMap, BTreeSet};

use whimbrel_client::admin::{self, ConfigResource, ConfigSource};
use whimbrel_client::{ClientError, Cluster, Metadata};

use super::plan::PartitionName;

const RATES: [&str; 2] = ["leader.replication.throttled.rate", "follower.replication.throttled.rate"];
const LEADERS: &str = "leader.replication.throttled.replicas";
const FOLLOWERS: &str = "follower.replication.throttled.replicas";

/// Limits the traffic of these moves to `bytes` per second on each broker.
///
/// # Errors
/// A broker's, with its text.
pub(super) async fn set(
    cluster: &Cluster,
    metadata: &Metadata,
    moves: &[(PartitionName, Vec<i32>)],
    bytes: u64,
) -> Result<(), ClientError> {
    let mut brokers = BTreeSet::new();
    let mut topics: BTreeMap<&str, (Vec<String>, Vec<String>)> = BTreeMap::new();
    for ((topic, partition), replicas) in moves {
        let found =
            metadata.topics.get(topic).and_then(|topic| topic.partitions.iter().find(|p| p.partition == *partition));
        let now = found.map(|found| found.replicas.clone()).unwrap_or_default();
        let coming: Vec<i32> = replicas.iter().copied().filter(|id| !now.contains(id)).collect();
        if coming.is_empty() {
            continue;
        }
        brokers.extend(now.iter().chain(&coming).copied());
        let (leaders, followers) = topics.entry(topic).or_default();
        // Any of the present replicas may lead while the others catch up.
        leaders.extend(now.iter().map(|id| format!("{partition}:{id}")));
        followers.extend(coming.iter().map(|id| format!("{partition}:{id}")));
    }
    let rates: Vec<(String, String)> = RATES.iter().map(|key| ((*key).to_owned(), bytes.to_string())).collect();
    for broker in brokers {
        admin::alter_configs(cluster, &ConfigResource::Broker(broker), &rates, &[]).await?;
    }
    for (topic, (leaders, followers)) in topics {
        let values = [(LEADERS.to_owned(), leaders.join(",")), (FOLLOWERS.to_owned(), followers.join(","))];
        admin::alter_configs(cluster, &ConfigResource::Topic(topic.to_owned()), &values, &[]).await?;
    }
    Ok(())
}

/// Takes back every throttle of the cluster.
///
/// # Errors
/// A broker's, with its text.
pub(super) async fn clear(cluster: &Cluster) -> Result<(), ClientError> {
    let metadata = cluster.refresh(None, false).await?;
    for broker in metadata.brokers.keys() {
        clear_of(cluster, &ConfigResource::Broker(*broker), ConfigSource::DynamicBroker, &RATES).await?;
    }
    for topic in metadata.topics.keys() {
        let resource = ConfigResource::Topic(topic.clone());
        clear_of(cluster, &resource, ConfigSource::Topic, &[LEADERS, FOLLOWERS]).await?;
    }
    Ok(())
}

async fn clear_of(
    cluster: &Cluster,
    resource: &ConfigResource,
    source: ConfigSource,
    keys: &[&str],
) -> Result<(), ClientError> {
    let entries = admin::describe_configs(cluster, resource, false).await?;
    let is_set = |entry: &&admin::ConfigEntry| keys.contains(&entry.name.as_str()) && entry.source == source;
    let set: Vec<String> = entries.iter().filter(is_set).map(|entry| entry.name.clone()).collect();
    if set.is_empty() { Ok(()) } else { admin::alter_configs(cluster, resource, &[], &set).await }
}
