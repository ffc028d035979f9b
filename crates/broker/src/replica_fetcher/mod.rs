//! Followers' side of replication: what this broker does not lead it fetches from who does.
//!
//! ```text
//!   LeaderAndIsr ──▶ ReplicaFetchers ──inbox──▶ fetcher of leader 2 (thread) ── one connection ──▶ broker 2
//!                                     └─inbox──▶ fetcher of leader 3 (thread) ── one connection ──▶ broker 3
//! ```
//!
//! Each fetcher is one thread with one connection and a fetch session (KIP-227), and up to `num.replica.fetchers` of them
//! fetch from one leader. What an answer holds is appended on that thread: it may block, and nobody else waits for it.
//! A fetcher names the leader epoch in which it was told to follow; a replica that has another role by the time the
//! answer comes drops it (R2, R9). Source: `AbstractFetcherManager.scala`, `ReplicaFetcherThread.scala`.

mod apply;
mod fetcher;
mod session;
mod tracked;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use whimbrel_model::{NodeId, TopicPartition};
use whimbrel_state::controller::control::{Endpoint, LiveLeader, SecurityProtocol};

use crate::config::ReplicationConfig;
use crate::metadata_cache::MetadataCache;
use crate::replica_manager::{FollowerRole, ReplicaManager, RoleChanges};
use fetcher::Fetcher;

/// The fetchers of one broker.
pub struct ReplicaFetchers {
    shared: Arc<Shared>,
    running: Mutex<Running>,
}

/// What all fetchers need.
pub(crate) struct Shared {
    pub replicas: Arc<ReplicaManager>,
    pub metadata: Arc<MetadataCache>,
    pub config: ReplicationConfig,
    /// The listener on which brokers reach each other.
    pub listener: Arc<str>,
    /// Where leaders are as LeaderAndIsr told, which comes before the metadata.
    told: Mutex<BTreeMap<NodeId, LiveLeader>>,
}

#[derive(Default)]
struct Running {
    fetchers: BTreeMap<(NodeId, u32), Handle>,
    /// Which fetcher has a partition.
    placed: BTreeMap<TopicPartition, (NodeId, u32)>,
    is_stopped: bool,
}

struct Handle {
    inbox: Arc<Inbox>,
    thread: JoinHandle<()>,
    partitions: usize,
}

/// What a fetcher is told between two fetches.
#[derive(Default)]
pub(crate) struct Inbox {
    pub orders: Mutex<Orders>,
    pub news: Notify,
}

#[derive(Default)]
pub(crate) struct Orders {
    /// The newest order for each partition: the epoch in which to follow, or `None` to stop.
    pub partitions: BTreeMap<TopicPartition, Option<FollowerRole>>,
    /// The fetcher ends.
    pub stop: bool,
}

impl ReplicaFetchers {
    /// Fetchers for `replicas`; none runs yet.
    pub fn new(
        replicas: Arc<ReplicaManager>,
        metadata: Arc<MetadataCache>,
        config: ReplicationConfig,
        listener: &str,
    ) -> Self {
        let shared = Shared { replicas, metadata, config, listener: listener.into(), told: Mutex::default() };
        Self { shared: Arc::new(shared), running: Mutex::default() }
    }

    /// Follows and stops following as the controller said. Called in the order in which it said so.
    pub fn apply(&self, changes: &RoleChanges, leaders: &[LiveLeader]) {
        if !leaders.is_empty() {
            let mut told = self.shared.told.lock();
            told.extend(leaders.iter().map(|leader| (leader.id, leader.clone())));
        }
        let mut running = self.running.lock();
        if running.is_stopped {
            return;
        }
        for (partition, _) in &changes.stopped {
            running.unplace(&partition.topic_partition);
        }
        // Two control requests may end at the same time: only what is still so counts.
        for (partition, _) in changes.leaders.iter().filter(|(partition, epoch)| partition.leader_epoch() == *epoch) {
            running.unplace(&partition.topic_partition);
        }
        for role in changes.followers.iter().filter(|role| role.partition.leader_epoch() == role.epoch) {
            running.unplace(&role.partition.topic_partition);
            if role.leader != NodeId::NONE && role.leader != self.shared.replicas.own() {
                self.place(&mut running, role);
            }
        }
        running.tell();
        running.end_idle();
    }

    fn place(&self, running: &mut Running, role: &FollowerRole) {
        let topic_partition = &role.partition.topic_partition;
        let index = fetcher_index(topic_partition, self.shared.config.fetchers_per_leader);
        let key = (role.leader, index);
        let handle = match running.fetchers.entry(key) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(free) => {
                let inbox = Arc::new(Inbox::default());
                let fetcher = Fetcher::new(self.shared.clone(), inbox.clone(), role.leader, index);
                let name = format!("fetch-{}-{index}", role.leader);
                match std::thread::Builder::new().name(name).spawn(move || fetcher.run()) {
                    Ok(thread) => free.insert(Handle { inbox, thread, partitions: 0 }),
                    Err(error) => {
                        tracing::error!(partition = %topic_partition, "no thread to follow its leader with: {error}");
                        return;
                    }
                }
            }
        };
        handle.partitions += 1;
        handle.inbox.orders.lock().partitions.insert(topic_partition.clone(), Some(role.clone()));
        running.placed.insert(topic_partition.clone(), key);
    }

    /// Stops all fetchers and waits for them. Blocks.
    pub fn stop(&self) {
        let mut running = self.running.lock();
        running.is_stopped = true;
        running.placed.clear();
        let fetchers = std::mem::take(&mut running.fetchers);
        drop(running);
        for handle in fetchers.values() {
            handle.inbox.end();
        }
        for handle in fetchers.into_values() {
            if handle.thread.join().is_err() {
                tracing::error!("a replica fetcher panicked");
            }
        }
    }
}

impl Running {
    fn unplace(&mut self, topic_partition: &TopicPartition) {
        let Some(key) = self.placed.remove(topic_partition) else { return };
        if let Some(handle) = self.fetchers.get_mut(&key) {
            handle.partitions -= 1;
            handle.inbox.orders.lock().partitions.insert(topic_partition.clone(), None);
        }
    }

    fn tell(&self) {
        for handle in self.fetchers.values() {
            if !handle.inbox.orders.lock().partitions.is_empty() {
                handle.inbox.news.notify_one();
            }
        }
    }

    /// A fetcher without partitions ends by itself once it is told.
    fn end_idle(&mut self) {
        self.fetchers.retain(|_, handle| {
            if handle.partitions == 0 {
                handle.inbox.end();
            }
            handle.partitions != 0
        });
    }
}

impl Inbox {
    fn end(&self) {
        self.orders.lock().stop = true;
        self.news.notify_one();
    }
}

impl Shared {
    /// Where the leader is reached by other brokers, as far as this broker knows.
    pub fn endpoint(&self, leader: NodeId) -> Option<Endpoint> {
        if let Some(broker) = self.metadata.image().brokers.get(&leader)
            && let Some(endpoint) = broker.endpoint(&self.listener)
        {
            return Some(endpoint.clone());
        }
        let told = self.told.lock();
        let leader = told.get(&leader)?;
        Some(Endpoint {
            listener: self.listener.clone(),
            protocol: SecurityProtocol::Plaintext,
            host: leader.host.clone(),
            port: leader.port,
        })
    }

    /// A fetch is not answered within this: the connection is given up.
    pub fn request_timeout(&self) -> Duration {
        self.config.fetch_timeout
    }
}

/// Kafka's placement: by the hash of the topic's name and the partition's number.
fn fetcher_index(topic_partition: &TopicPartition, fetchers: u32) -> u32 {
    let hash = topic_partition
        .topic
        .encode_utf16()
        .fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    let mixed = hash.wrapping_mul(31).wrapping_add(topic_partition.partition);
    mixed.checked_abs().unwrap_or(0).unsigned_abs() % fetchers.max(1)
}

impl std::fmt::Debug for ReplicaFetchers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplicaFetchers").field("fetchers", &self.running.lock().fetchers.len()).finish_non_exhaustive()
    }
}
