//! Questions to brokers and ZooKeeper servers, asked by code that blocks.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Runtime;
use whimbrel_client::{Cluster, ClusterOptions, Connection, ConnectionOptions, Metadata};
use whimbrel_wire::DescribeClusterRequest;

use super::server::Serves;

/// A server that answers later is taken for one that does not.
pub const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// In DescribeCluster: controllers, not brokers (KIP-919).
const CONTROLLERS: i8 = 2;

/// Asks. Every question has connections of its own: between two of them servers may have been killed.
pub struct Asking {
    runtime: Runtime,
}

impl Asking {
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()? })
    }

    /// Whether a server answers within `wait`.
    pub fn is_served(&self, serves: &Serves, wait: Duration) -> bool {
        match serves {
            Serves::Kafka(address) => {
                self.runtime.block_on(Connection::connect(&address.to_string(), &connection(wait))).is_ok()
            }
            // A server without a majority behind it answers, but not with its mode.
            Serves::ZooKeeper(address) => {
                four_letter_word(*address, "srvr", wait).is_ok_and(|said| said.contains("Mode:"))
            }
        }
    }

    /// The brokers, the controller, and what is known of `topics` (`None`: of all).
    ///
    /// # Errors
    /// No broker answers.
    pub fn metadata(&self, bootstrap: &str, topics: Option<&[&str]>) -> anyhow::Result<Metadata> {
        let mut options = ClusterOptions::new(bootstrap);
        options.connection = connection(ANSWER_WAIT);
        options.retry_for = ANSWER_WAIT;
        let cluster = Cluster::new(options);
        let metadata = self.runtime.block_on(cluster.refresh(topics, false))?;
        Ok(metadata.as_ref().clone())
    }

    /// Name, leader and followers in sync of a partition 0; of the first topic by name when none is named.
    ///
    /// # Errors
    /// No broker answers, there is no such topic, or nobody leads the partition.
    pub fn replicas(&self, bootstrap: &str, topic: Option<&str>) -> anyhow::Result<(String, i32, Vec<i32>)> {
        let named = topic.map(|topic| [topic]);
        let metadata = self.metadata(bootstrap, named.as_ref().map(|names| &names[..]))?;
        let topic = match topic {
            Some(topic) => metadata.topic(topic)?,
            None => metadata.topics.values().find(|topic| !topic.is_internal).context("there is no topic")?,
        };
        let (leader, _) = metadata.leader(&topic.name, 0)?;
        let partition = topic.partitions.first().with_context(|| format!("{} has no partition", topic.name))?;
        let followers = partition.in_sync.iter().copied().filter(|replica| *replica != leader).collect();
        Ok((format!("{}-0", topic.name), leader, followers))
    }

    /// The node that leads KRaft's quorum.
    ///
    /// # Errors
    /// None of the controllers at these addresses knows one.
    pub fn quorum_leader(&self, controllers: &[String]) -> anyhow::Result<i32> {
        let leader = |address: &String| {
            self.runtime.block_on(async {
                let connection = Connection::connect(address, &connection(ANSWER_WAIT)).await.ok()?;
                let request = DescribeClusterRequest { endpoint_type: CONTROLLERS, ..Default::default() };
                let id = connection.call(request).await.ok()?.controller_id;
                (0 <= id).then_some(id)
            })
        };
        controllers.iter().find_map(leader).context("no controller knows who leads them")
    }
}

fn connection(wait: Duration) -> ConnectionOptions {
    ConnectionOptions { connect_timeout: wait, request_timeout: wait, ..ConnectionOptions::default() }
}

/// What a ZooKeeper server answers to one of its four-letter commands.
fn four_letter_word(address: SocketAddr, word: &str, wait: Duration) -> std::io::Result<String> {
    let mut connection = TcpStream::connect_timeout(&address, wait)?;
    connection.set_read_timeout(Some(wait))?;
    connection.write_all(word.as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}
