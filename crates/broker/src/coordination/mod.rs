//! Coordination: everything the broker keeps in ZooKeeper, in Kafka's znodes.
//!
//! Nothing outside this module sees a znode, and nothing at all knows whether the server is Apache's or the keeper.
//!
//! [`Coordination`] is one broker's handle. Opening it connects and sees to the top-level nodes; [`Coordination::register`]
//! makes the broker a member; from then on a task keeps a session: when one expires (the broker was cut off for longer
//! than the session timeout) a new one is opened and the broker is registered again with a new broker epoch, while
//! serving goes on with the state it has.

mod codec;
mod configs;
mod consumer_offsets;
mod controller;
mod error;
mod nodes;
mod paths;
mod producer_ids;
mod registration;
mod session;
mod session_file;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod topics;

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::{error, info};
use whimbrel_model::{BrokerEpoch, NodeId};
use zookeeper_client::SessionState;

pub use configs::{ConfigChange, ConfigEntity, Overrides};
pub use controller::{ControllerChange, Election, FencedWriter, Watched};
pub use error::{CoordinationError, RegistrationError};
pub use registration::{BrokerIdSettings, Registration};
pub use session::ConnectSettings;
pub use topics::VersionedTopic;

use session::Session;
use session_file::SessionFile;

/// How long a clean stop waits for the session to be closed.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// One broker's access to coordination. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Coordination {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    session: Session,
    session_file: SessionFile,
    session_timeout: Duration,
    /// The last session of ours that surely cannot act any more: of an earlier process, or of this one.
    dead_session: Mutex<Option<i64>>,
    registration: Mutex<Option<Registration>>,
    /// The broker epoch of the present registration; -1 before the first.
    broker_epoch: AtomicI64,
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
        let dead_session = Mutex::new(session_file.dead_session());
        let inner = Inner {
            session: Session::open(settings).await?,
            session_file,
            session_timeout,
            dead_session,
            registration: Mutex::new(None),
            broker_epoch: AtomicI64::new(-1),
            configs: configs::ConfigCache::default(),
            producer_ids: tokio::sync::Mutex::new(None),
            closing: watch::Sender::new(false),
        };
        let coordination = Self { inner: Arc::new(inner) };
        coordination.create_top_level().await?;
        Ok(coordination)
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
            for path in nodes {
                // Owned by this session only if we are the controller, so look before deleting.
                if let Ok(Some(stat)) = client.check_stat(&path).await
                    && stat.ephemeral_owner == client.session_id().0
                    && let Err(error) = client.delete(&path, Some(stat.version)).await
                {
                    error!(%error, path, "could not remove the node; it goes when the session times out");
                }
            }
        };
        if tokio::time::timeout(CLOSE_WAIT, leave).await.is_err() {
            error!("ZooKeeper does not answer; the registration stays until the session times out");
        }
    }

    /// Keeps a session for as long as the process lives. Run it in a task of its own after [`Coordination::register`].
    pub async fn keep_session(self) {
        let mut closing = self.inner.closing.subscribe();
        loop {
            let state = tokio::select! {
                state = self.inner.session.ended() => state,
                _ = closing.wait_for(|closing| *closing) => return,
            };
            error!(?state, "the ZooKeeper session ended; opening a new one and registering again");
            *self.inner.dead_session.lock() = Some(self.inner.session.client().session_id().0);
            self.inner.session.renew().await;
            let registration = self.inner.registration.lock().clone();
            if let Some(registration) = registration {
                match self.register(registration).await {
                    Ok(epoch) => info!(broker_epoch = epoch.0, "registered again"),
                    Err(error) => {
                        // The next session tries again; until then the broker serves and is out of the cluster.
                        error!(%error, "could not register again");
                        if !matches!(error, RegistrationError::Coordination(CoordinationError::SessionLost)) {
                            tokio::time::sleep(self.inner.session_timeout).await;
                        }
                    }
                }
            }
            self.inner.session.announce();
        }
    }

    fn set_broker_epoch(&self, epoch: BrokerEpoch) {
        self.inner.broker_epoch.store(epoch.0, Ordering::Release);
    }

    fn registered_id(&self) -> NodeId {
        self.inner.registration.lock().as_ref().map_or(NodeId::NONE, |registration| registration.id)
    }
}

/// The time that Kafka writes into nodes: milliseconds since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
