//! The running server: sockets, threads and time around the machines.

mod commit;
mod connection;
mod core;
mod digest;
mod four_letter;
mod listener;
mod outbound;
mod stats;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tracing::info;

use self::core::{Core, Now};
use crate::config::KeeperConfig;
use crate::store::{Loaded, Store, StoreError};

/// Why a keeper does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("start a thread")]
    Thread(#[source] std::io::Error),
    #[error("the keeper has no address to listen on")]
    NoAddress,
}

/// What all parts of one server share.
#[derive(Debug)]
struct Shared {
    config: Arc<KeeperConfig>,
    core: Mutex<Core>,
    /// The commit thread waits here.
    work: Condvar,
    epoch: Instant,
    local_addresses: Vec<SocketAddr>,
}

impl Shared {
    fn now(&self) -> Now {
        clock(self.epoch)
    }

    /// Works on the core, and wakes the commit thread if that left it something to do.
    fn locked<T>(&self, work: impl FnOnce(&mut Core, Now) -> T) -> T {
        let now = self.now();
        let mut core = self.core.lock();
        let result = work(&mut core, now);
        let wake = core.needs_commit();
        drop(core);
        if wake {
            self.work.notify_one();
        }
        result
    }
}

fn clock(epoch: Instant) -> Now {
    // A clock before 1970 is the operator's to mend; nodes are then stamped with zero.
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now {
        wall_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
        steady_us: u64::try_from(epoch.elapsed().as_micros()).unwrap_or(u64::MAX),
    }
}

/// A ZooKeeper server in this process.
#[derive(Debug)]
pub struct Keeper;

/// A running keeper. Dropping it stops the keeper without waiting; `shutdown` waits.
#[derive(Debug)]
pub struct KeeperHandle {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    ended: Option<oneshot::Receiver<Result<(), StoreError>>>,
}

/// A few figures about a running keeper.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KeeperStats {
    pub connections: usize,
    pub sessions: usize,
    pub znodes: usize,
    pub ephemerals: usize,
    pub watches: usize,
    /// Bytes in paths and data.
    pub data_bytes: usize,
    /// The last transaction id given out.
    pub zxid: i64,
    pub requests: u64,
    /// Durable writes so far, and how long one took.
    pub commits: u64,
    pub commit_average: Duration,
    pub commit_max: Duration,
    /// The store failed and the keeper serves nobody any more.
    pub failed: bool,
}

impl Keeper {
    /// Opens the store, listens, and serves until the handle is shut down or dropped.
    ///
    /// Must be called inside a tokio runtime, whose workers then serve the connections.
    pub async fn start(config: KeeperConfig) -> Result<KeeperHandle, StartError> {
        let config = Arc::new(config);
        let (store, loaded) = open_store(&config).await?;
        Self::serve(config, store, loaded).await
    }

    async fn serve(config: Arc<KeeperConfig>, store: Store, loaded: Loaded) -> Result<KeeperHandle, StartError> {
        let (listeners, local_addresses) = listener::bind(&config.listen).await?;
        let epoch = Instant::now();
        let (znodes, sessions) = (loaded.tree.node_count(), loaded.tree.sessions().count());
        let core = Core::new(Arc::clone(&config), loaded.tree, loaded.zxid, clock(epoch));
        let core = Mutex::new(core);
        let shared = Arc::new(Shared { config, core, work: Condvar::new(), epoch, local_addresses });
        let (end_sender, ended) = oneshot::channel();
        commit::spawn(Arc::clone(&shared), store, end_sender).map_err(StartError::Thread)?;
        shared.work.notify_one();

        let (stop, stopped) = watch::channel(false);
        let mut tasks = vec![tokio::spawn(keep_time(Arc::clone(&shared), stopped.clone()))];
        let admission = Arc::new(listener::Admission::default());
        for listener in listeners {
            let accept = listener::accept(Arc::clone(&shared), listener, Arc::clone(&admission), stopped.clone());
            tasks.push(tokio::spawn(accept));
        }
        info!(addresses = ?shared.local_addresses, znodes, sessions, zxid = loaded.zxid, "keeper started");
        Ok(KeeperHandle { shared, stop, tasks, ended: Some(ended) })
    }
}

/// Opening may have to repair after a crash: not on a worker of the runtime.
async fn open_store(config: &Arc<KeeperConfig>) -> Result<(Store, Loaded), StartError> {
    let (sender, receiver) = oneshot::channel();
    let directory = config.data_dir.clone();
    let open = move || {
        // The caller may have given up waiting.
        let _unheard = sender.send(Store::open(&directory));
    };
    std::thread::Builder::new().name("keeper-open".into()).spawn(open).map_err(StartError::Thread)?;
    match receiver.await {
        Ok(opened) => Ok(opened?),
        Err(_) => Err(StartError::Thread(std::io::Error::other("the thread that opens the store ended"))),
    }
}

/// Expires sessions at tick boundaries and reaps containers.
async fn keep_time(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut next_reap = Instant::now() + shared.config.reap_interval;
    loop {
        let now = shared.now();
        let next_tick_ms = shared.core.lock().clock.next_check_ms(now.steady_ms());
        let wait = Duration::from_millis(next_tick_ms.saturating_sub(now.steady_ms()));
        let wake_at = (Instant::now() + wait).min(next_reap);
        tokio::select! {
            () = tokio::time::sleep_until(wake_at.into()) => {}
            _ = stopped.changed() => return,
        }
        for session in shared.locked(|core, now| core.expire_sessions(now)) {
            info!(session = format_args!("{:#x}", session.0), "session expired");
        }
        if next_reap <= Instant::now() {
            next_reap = Instant::now() + shared.config.reap_interval;
            shared.locked(|core, now| core.reap(now));
        }
    }
}

impl KeeperHandle {
    /// The first address that the keeper listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.local_addresses.first().copied().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// All addresses that the keeper listens on.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.shared.local_addresses
    }

    pub fn stats(&self) -> KeeperStats {
        let core = self.shared.core.lock();
        let commits = core.stats.commit_latency;
        KeeperStats {
            connections: core.connections.len(),
            sessions: core.tree.sessions().count(),
            znodes: core.tree.node_count(),
            ephemerals: core.tree.ephemeral_count(),
            watches: core.watches.count(),
            data_bytes: core.tree.data_bytes(),
            zxid: core.last_zxid(),
            requests: core.stats.received,
            commits: core.stats.commits,
            commit_average: Duration::from_micros(commits.total_us.checked_div(commits.count).unwrap_or(0)),
            commit_max: Duration::from_micros(commits.max_us),
            failed: core.has_failed(),
        }
    }

    /// Waits until the keeper cannot serve any more, which is until its store fails. May be dropped and called again.
    ///
    /// # Errors
    /// The store's error.
    pub async fn ended(&mut self) -> Result<(), StoreError> {
        match &mut self.ended {
            None => Ok(()),
            Some(ended) => {
                let result = ended.await.unwrap_or(Ok(()));
                self.ended = None;
                result
            }
        }
    }

    /// Stops: no new connections, what is in progress becomes durable and is answered, the store is closed.
    /// Sessions live on: they go on counting when the keeper starts again.
    ///
    /// # Errors
    /// The store's error, if it failed at any time.
    pub async fn shutdown(mut self) -> Result<(), StoreError> {
        self.begin_stop();
        for task in self.tasks.drain(..) {
            // A task that panicked has ended too.
            let _ended = task.await;
        }
        match self.ended.take() {
            Some(ended) => ended.await.unwrap_or(Ok(())),
            None => Ok(()),
        }
    }

    fn begin_stop(&self) {
        // Nobody listens if all tasks have ended.
        let _unheard = self.stop.send(true);
        self.shared.locked(|core, now| {
            core.stopping = true;
            core.end_all(now);
        });
        self.shared.work.notify_one();
    }
}

impl Drop for KeeperHandle {
    fn drop(&mut self) {
        self.begin_stop();
    }
}
