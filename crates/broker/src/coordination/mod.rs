//! Coordination: everything the broker keeps in ZooKeeper, in Kafka's znodes.
//!
//! Nothing outside this module sees a znode, and nothing at all knows whether the server is Apache's or the keeper.
//!
//! [`Coordination`] is one broker's handle. Opening it connects and sees to the top-level nodes; [`Coordination::register`]
//! makes the broker a member; from then on a task keeps a session: when one expires (the broker was cut off for longer
//! than the session timeout) a new one is opened and the broker is registered again with a new broker epoch, while
//! serving goes on with the state it has. A ZooKeeper that went backwards is not used at all (`progress.rs`).

mod acl;
mod admin;
mod assignments;
mod codec;
mod configs;
mod consumer_offsets;
mod continuity;
mod controller;
mod ensemble;
mod error;
mod nodes;
mod paths;
mod producer_ids;
mod progress;
mod registration;
mod session;
mod session_file;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod topics;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::{error, info, warn};
use whimbrel_model::{BrokerEpoch, NodeId};
use zookeeper_client::{Client, Error, SessionState};

pub use acl::ZooKeeperAuth;
pub use admin::{Notifications, Reassignments};
pub use configs::{ConfigChange, ConfigEntity, Overrides};
pub use controller::{ControllerChange, Election, FencedWriter, Watched};
pub use error::{CoordinationError, RegistrationError};
pub use producer_ids::BlockRefusal;
pub use registration::{BrokerIdSettings, Registration};
pub use session::ConnectSettings;
pub use topics::VersionedTopic;

use progress::{Point, Progress};
use session::{Renewed, Session};
use session_file::SessionFile;

/// How long a clean stop waits for the session to be closed.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// How often the progress that coordination has shown is made durable, if there was any.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// One broker's access to coordination. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Coordination {
    inner: Arc<Inner>,
}

/// How long calls to ZooKeeper took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallTimes {
    pub calls: u64,
    pub total: Duration,
    pub longest: Duration,
}

#[derive(Debug)]
struct Inner {
    session: Session,
    session_file: SessionFile,
    progress: Progress,
    session_timeout: Duration,
    /// The last session of ours that surely cannot act any more: of an earlier process, or of this one.
    dead_session: Mutex<Option<i64>>,
    registration: Mutex<Option<Registration>>,
    continuity: continuity::Record,
    /// The broker epoch of the present registration; -1 before the first.
    broker_epoch: AtomicI64,
    /// Sessions that ZooKeeper has ended.
    expirations: AtomicU64,
    configs: configs::ConfigCache,
    /// What is left of the present block of producer ids. Held while the next block is taken.
    producer_ids: tokio::sync::Mutex<Option<RangeInclusive<i64>>>,
    closing: watch::Sender<bool>,
}

impl Coordination {
    /// Connects, creates the chroot and the top-level nodes, and remembers which earlier session of this broker is dead.
    ///
    /// `first_log_dir` must exist and its lock must be held by this process: that lock is the proof that the process of
    /// the earlier session is gone.
    ///
    /// # Errors
    /// `Unreachable` when no server answers within the connection timeout.
    pub async fn open(settings: ConnectSettings, first_log_dir: &Path) -> Result<Self, CoordinationError> {
        let session_timeout = settings.session_timeout;
        let session_file = SessionFile::new(first_log_dir);
        let progress = Progress::load(first_log_dir);
        let dead_session = Mutex::new(session_file.dead_session());
        let inner = Inner {
            session: Session::open(settings).await?,
            session_file,
            progress,
            session_timeout,
            dead_session,
            registration: Mutex::new(None),
            continuity: continuity::Record::default(),
            broker_epoch: AtomicI64::new(-1),
            expirations: AtomicU64::new(0),
            configs: configs::ConfigCache::default(),
            producer_ids: tokio::sync::Mutex::new(None),
            closing: watch::Sender::new(false),
        };
        let coordination = Self { inner: Arc::new(inner) };
        tokio::spawn(ensemble::report_versions(coordination.inner.session.servers().to_owned()));
        coordination.create_top_level().await?;
        Ok(coordination)
    }

    /// Sees to it that coordination has not gone backwards since this broker last looked. Done once the cluster id is
    /// known to be the right one: another cluster has another history.
    ///
    /// # Errors
    /// `WentBackwards` with both sides and what to do.
    pub async fn check_progress(&self) -> Result<(), CoordinationError> {
        let now = self.inner.session.call("the state of ZooKeeper", async |client| point_of(&client).await).await?;
        self.check_point(now)
    }

    async fn check_candidate(&self, client: Arc<Client>) -> Result<(), CoordinationError> {
        let now = point_of(&client).await;
        self.check_point(now.map_err(|source| CoordinationError::operation("the state of ZooKeeper", source))?)
    }

    fn check_point(&self, now: Point) -> Result<(), CoordinationError> {
        self.inner.progress.check(now)?;
        self.store_progress();
        Ok(())
    }

    fn store_progress(&self) {
        if let Err(error) = self.inner.progress.store() {
            warn!(%error, "what ZooKeeper has shown cannot be remembered");
        }
    }

    /// Takes in what the earlier life left in the log directories, all of them, so that the registration can say what
    /// it proves. `were_closed`: each was closed in order.
    pub fn continue_logs(&self, dirs: Vec<PathBuf>, were_closed: bool) {
        self.inner.continuity.load(dirs, were_closed);
    }

    /// The epoch of the present registration; -1 before the first (KIP-380).
    #[must_use]
    pub fn broker_epoch(&self) -> BrokerEpoch {
        BrokerEpoch(self.inner.broker_epoch.load(Ordering::Acquire))
    }

    /// Counts the sessions of this process. A change means that watches and ephemeral nodes are gone, and that the
    /// broker has been registered anew.
    #[must_use]
    pub fn sessions(&self) -> watch::Receiver<u64> {
        self.inner.session.generations()
    }

    /// Whether the broker is connected to coordination at this moment.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.inner.session.client().state() == SessionState::SyncConnected
    }

    /// True once [`Coordination::close`] was called.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        *self.inner.closing.borrow()
    }

    /// Waits until [`Coordination::close`] is called.
    pub async fn closed(&self) {
        let mut closing = self.inner.closing.subscribe();
        // The sender lives as long as `self`, so the wait ends only when it should.
        let _closing = closing.wait_for(|closing| *closing).await;
    }

    /// Leaves the cluster: the session is closed, and with it the registration and the controllership end at once.
    pub async fn close(&self) {
        self.inner.closing.send_replace(true);
        let client = self.inner.session.client();
        let registered = self.inner.registration.lock().as_ref().map(|registration| registration.id);
        let mut nodes = registered.map(paths::broker).into_iter().collect::<Vec<_>>();
        nodes.push(paths::CONTROLLER.to_owned());
        let leave = async {
            // In one step: a controller that is elected at once must not take this broker for a live one.
            let mut multi = client.new_multi_writer();
            for path in &nodes {
                // Owned by this session only if we are the controller, so look before deleting.
                if let Ok(Some(stat)) = client.check_stat(path).await
                    && stat.ephemeral_owner == client.session_id().0
                    && let Err(error) = multi.add_delete(path, Some(stat.version))
                {
                    error!(%error, path, "this is no path");
                }
            }
            if let Err(error) = multi.commit().await {
                error!(%error, "could not leave the cluster; it takes note when the session times out");
            }
        };
        if tokio::time::timeout(CLOSE_WAIT, leave).await.is_err() {
            error!("ZooKeeper does not answer; the registration stays until the session times out");
        }
    }

    /// Keeps a session for as long as the process lives. Run it in a task of its own after [`Coordination::register`].
    pub async fn keep_session(self) {
        let mut closing = self.inner.closing.subscribe();
        let keep = async {
            loop {
                let state = self.session_end().await;
                error!(?state, "the ZooKeeper session is lost; serving goes on while it is looked for");
                let lost = self.client().session_id().0;
                if self.inner.session.renew(|client| self.check_candidate(client)).await == Renewed::New {
                    *self.inner.dead_session.lock() = Some(lost);
                    self.inner.expirations.fetch_add(1, Ordering::Relaxed);
                }
                if self.register_again().await {
                    self.inner.session.announce();
                }
            }
        };
        tokio::select! {
            () = keep => {}
            _ = closing.wait_for(|closing| *closing) => {}
        }
    }

    /// Waits for the end of the session, and makes the progress that it shows durable.
    async fn session_end(&self) -> SessionState {
        loop {
            match tokio::time::timeout(PROGRESS_INTERVAL, self.inner.session.ended()).await {
                Ok(state) => return state,
                Err(_) => self.store_progress(),
            }
        }
    }

    /// Registers until it succeeds; false when the session has ended meanwhile. Until then the broker serves with the
    /// state it has, and is out of the cluster.
    async fn register_again(&self) -> bool {
        loop {
            let registration = self.inner.registration.lock().clone();
            let Some(registration) = registration else { return true };
            match self.register(registration).await {
                Ok(epoch) => {
                    info!(broker_epoch = epoch.0, "registered again");
                    return true;
                }
                Err(RegistrationError::Coordination(CoordinationError::SessionLost)) => return false,
                Err(error) => error!(%error, "could not register again; trying again"),
            }
            tokio::select! {
                () = tokio::time::sleep(self.inner.session_timeout) => {}
                _ = self.inner.session.ended() => return false,
            }
        }
    }

    /// How many sessions ZooKeeper has ended while this process ran.
    #[must_use]
    pub fn expirations(&self) -> u64 {
        self.inner.expirations.load(Ordering::Relaxed)
    }

    /// Calls to ZooKeeper so far, the time they took together, and the longest since this was last asked.
    #[must_use]
    pub fn latency(&self) -> CallTimes {
        let latency = &self.inner.session.latency;
        CallTimes {
            calls: latency.calls.load(Ordering::Relaxed),
            total: Duration::from_nanos(latency.nanos.load(Ordering::Relaxed)),
            longest: Duration::from_nanos(latency.longest_nanos.swap(0, Ordering::Relaxed)),
        }
    }

    fn set_broker_epoch(&self, epoch: BrokerEpoch) {
        self.inner.broker_epoch.store(epoch.0, Ordering::Release);
    }

    fn registered_id(&self) -> NodeId {
        self.inner.registration.lock().as_ref().map_or(NodeId::NONE, |registration| registration.id)
    }
}

/// How far the ensemble behind `client` is. The zxid is learned by writing a node that nobody reads with the content that
/// it has, because ZooKeeper tells it in no other way; the nodes are there in every cluster that a broker has seen.
async fn point_of(client: &Client) -> Result<Point, Error> {
    let stat = match client.set_data(paths::ISR_CHANGES, b"", None).await {
        // Everything is gone: as far back as can be.
        Err(Error::NoNode) => return Ok(Point::default()),
        result => result?,
    };
    let controller_epoch = match client.get_data(paths::CONTROLLER_EPOCH).await {
        Ok((text, _)) => String::from_utf8_lossy(&text).trim().parse().unwrap_or(0),
        Err(Error::NoNode) => 0,
        Err(error) => return Err(error),
    };
    Ok(Point { zxid: stat.mzxid, controller_epoch })
}

/// The time that Kafka writes into nodes: milliseconds since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
