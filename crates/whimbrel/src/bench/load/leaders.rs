//! Who leads which partition, kept up to date by one thread for all clients of a load: a client that waited for metadata
//! itself would not send to the brokers that are well.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use whimbrel_client::{Cluster, ClusterOptions, Metadata};

use super::topics::Topics;

/// Between two questions, however many clients ask for them.
const PAUSE: Duration = Duration::from_millis(50);
/// A broker that hangs must not keep the question from the others for long.
const PATIENCE: Duration = Duration::from_secs(1);
/// What the answer takes longer for each partition that it tells of.
const PATIENCE_PER_PARTITION: Duration = Duration::from_micros(50);

/// Where the partitions are, at one time.
#[derive(Debug, Default)]
pub struct Leaders {
    /// By the load's own index of partitions; -1 while there is none.
    pub leader: Vec<i32>,
    /// `host:port`.
    pub addresses: BTreeMap<i32, String>,
}

/// Keeps [`Leaders`]. Dropped, it stops.
pub struct LeaderWatch {
    shared: Arc<Shared>,
}

struct Shared {
    current: RwLock<Arc<Leaders>>,
    /// Grows with each change of `current`.
    generation: AtomicU64,
    asked: Notify,
    stop: Notify,
}

impl Drop for LeaderWatch {
    fn drop(&mut self) {
        self.shared.stop.notify_one();
    }
}

impl LeaderWatch {
    /// Begins with what `metadata` tells.
    ///
    /// # Errors
    /// The thread or its runtime cannot be made.
    pub fn start(bootstrap: &str, topics: Arc<Topics>, metadata: &Metadata) -> anyhow::Result<Self> {
        let current = RwLock::new(Arc::new(leaders(&topics, metadata, &Leaders::default())));
        let (generation, asked, stop) = (AtomicU64::new(1), Notify::new(), Notify::new());
        let shared = Arc::new(Shared { current, generation, asked, stop });
        let cluster = Cluster::new(options(bootstrap, topics.len()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let watched = shared.clone();
        std::thread::Builder::new().name("bench-metadata".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = watch(&watched, &cluster, &topics) => {}
                    () = watched.stop.notified() => {}
                }
            });
        })?;
        Ok(Self { shared })
    }

    /// What is known now.
    pub fn current(&self) -> Arc<Leaders> {
        self.shared.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Differs from what it was before once [`LeaderWatch::current`] does.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    /// Has it asked again; returns at once.
    pub fn refresh(&self) {
        self.shared.asked.notify_one();
    }
}

fn options(bootstrap: &str, partitions: usize) -> ClusterOptions {
    let mut options = ClusterOptions::new(bootstrap);
    options.connection.connect_timeout = PATIENCE;
    options.connection.request_timeout =
        PATIENCE + PATIENCE_PER_PARTITION * u32::try_from(partitions).unwrap_or(u32::MAX);
    options
}

async fn watch(shared: &Shared, cluster: &Cluster, topics: &Topics) {
    loop {
        shared.asked.notified().await;
        match cluster.refresh(Some(&topics.names()), false).await {
            Ok(metadata) => publish(shared, topics, &metadata),
            // Asked again with the next request for it, which comes soon where something is amiss.
            Err(error) => tracing::debug!(%error, "no metadata"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn publish(shared: &Shared, topics: &Topics, metadata: &Metadata) {
    let mut current = shared.current.write().unwrap_or_else(PoisonError::into_inner);
    *current = Arc::new(leaders(topics, metadata, &current));
    shared.generation.fetch_add(1, Ordering::Release);
}

/// Topics that the answer does not tell of stay as they were.
fn leaders(topics: &Topics, metadata: &Metadata, before: &Leaders) -> Leaders {
    let mut leader = before.leader.clone();
    leader.resize(topics.len(), -1);
    for (index, name) in topics.names().into_iter().enumerate() {
        let Ok(topic) = metadata.topic(name) else { continue };
        for partition in &topic.partitions {
            if let Some(at) = topics.index_of(index, partition.partition).and_then(|at| leader.get_mut(at)) {
                *at = partition.leader;
            }
        }
    }
    let addresses = metadata.brokers.iter().map(|(id, broker)| (*id, broker.address())).collect();
    Leaders { leader, addresses }
}
