//! One ZooKeeper session after another.
//!
//! A session outlives its connections: the client reconnects by itself, and calls made meanwhile wait. When the client
//! gives up, because it was cut off for longer than the session timeout, the same session is tried once more: servers
//! that were all down together have not expired it, and everything in it, the registration first of all, is still there.
//! Only when ZooKeeper says that it has expired is a new one opened, for as long as it takes. Either way the watches are
//! gone; each of these is a new *generation*, and whoever holds something that died with the old one starts over.
//!
//! A call whose connection was lost may or may not have taken effect, and may even be sent after the reconnect. Every
//! write that goes through [`Session::call`] must therefore be harmless when repeated, or be guarded by a version and
//! read back by its caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tracing::{error, info, warn};
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error, SessionInfo, SessionState};

use super::acl::{self, ZooKeeperAuth};
use super::error::CoordinationError;

/// Where coordination is, how long it may be silent, and as whom it is spoken to.
#[derive(Debug, Clone)]
pub struct ConnectSettings {
    /// `zookeeper.connect`: `host:port,host:port/chroot`.
    pub connect: String,
    /// `zookeeper.session.timeout.ms`
    pub session_timeout: Duration,
    /// `zookeeper.connection.timeout.ms`
    pub connection_timeout: Duration,
    /// `zookeeper.max.in.flight.requests`
    pub in_flight_max: usize,
    /// `whimbrel.zookeeper.auth`
    pub auth: Option<ZooKeeperAuth>,
    /// `zookeeper.set.acl`
    pub set_acl: bool,
}

/// Pause between attempts to open a session while no server answers.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

/// How a session was continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewed {
    /// The same session: what was registered in it is still there.
    Resumed,
    /// Another one: ZooKeeper has ended the earlier.
    New,
}

/// How long calls took, for metrics.
#[derive(Debug, Default)]
pub(super) struct Latency {
    pub(super) calls: AtomicU64,
    pub(super) nanos: AtomicU64,
    pub(super) longest_nanos: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Session {
    settings: ConnectSettings,
    client: ArcSwap<Client>,
    /// Counts sessions, from 1.
    generation: watch::Sender<u64>,
    pub(super) latency: Latency,
}

impl Session {
    /// Opens the first session; the chroot is created when it is missing.
    pub(super) async fn open(settings: ConnectSettings) -> Result<Self, CoordinationError> {
        let client = connect(&settings, None).await?;
        Ok(Self {
            settings,
            client: ArcSwap::from_pointee(client),
            generation: watch::Sender::new(1),
            latency: Latency::default(),
        })
    }

    /// The client of the present session, which may be expired.
    pub(super) fn client(&self) -> Arc<Client> {
        self.client.load_full()
    }

    /// The servers, without the chroot.
    pub(super) fn servers(&self) -> &str {
        split_chroot(&self.settings.connect).0
    }

    /// Requests that may be under way at once.
    pub(super) fn in_flight_max(&self) -> usize {
        self.settings.in_flight_max.max(1)
    }

    /// How a node is created at `path`.
    pub(super) fn persistent(&self, path: &str) -> CreateOptions<'static> {
        CreateMode::Persistent.with_acls(self.acls(path))
    }

    /// As [`Session::persistent`], for a node that ends with the session.
    pub(super) fn ephemeral(&self, path: &str) -> CreateOptions<'static> {
        CreateMode::Ephemeral.with_acls(self.acls(path))
    }

    /// As [`Session::persistent`], for a node that is given a number.
    pub(super) fn sequential(&self, path: &str) -> CreateOptions<'static> {
        CreateMode::PersistentSequential.with_acls(self.acls(path))
    }

    fn acls(&self, path: &str) -> Acls<'static> {
        if self.settings.set_acl { acl::secured(path) } else { Acls::anyone_all() }
    }

    /// The generation of the present session; marks it as seen in the receiver.
    pub(super) fn generations(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Waits until the present session has ended, whoever ended it.
    pub(super) async fn ended(&self) -> SessionState {
        let mut states = self.client().state_watcher();
        let mut state = states.peek_state();
        while !state.is_terminated() {
            if state == SessionState::Disconnected {
                warn!("the connection to ZooKeeper is lost; serving goes on, changes of state wait");
            }
            state = states.changed().await;
        }
        state
    }

    /// Opens a session that `check` accepts, for as long as it takes: the one that was lost if ZooKeeper still has it,
    /// else another.
    pub(super) async fn renew<F>(&self, check: impl Fn(Arc<Client>) -> F) -> Renewed
    where
        F: Future<Output = Result<(), CoordinationError>>,
    {
        let began = Instant::now();
        let mut lost = Some(self.client().session().clone());
        loop {
            let attempt = async {
                let client = Arc::new(connect(&self.settings, lost.clone()).await?);
                check(Arc::clone(&client)).await?;
                Ok(client)
            };
            match attempt.await {
                Ok(client) => {
                    let renewed = if lost.is_some() { Renewed::Resumed } else { Renewed::New };
                    info!(session = %client.session_id(), after = ?began.elapsed(), ?renewed, "ZooKeeper session");
                    self.client.store(client);
                    return renewed;
                }
                Err(CoordinationError::SessionLost) if lost.is_some() => lost = None,
                Err(error @ CoordinationError::WentBackwards { .. }) => {
                    error!("{error}");
                    lost = None;
                    tokio::time::sleep(self.settings.session_timeout).await;
                }
                Err(error) => {
                    warn!(%error, "no ZooKeeper session yet");
                    tokio::time::sleep(RECONNECT_PAUSE).await;
                }
            }
        }
    }

    /// Tells everyone that a new session is in use.
    pub(super) fn announce(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }

    /// Runs `op` until its connection holds. What it sends must be harmless when repeated.
    pub(super) async fn call<T, F>(&self, path: &str, op: impl Fn(Arc<Client>) -> F) -> Result<T, CoordinationError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let began = Instant::now();
        loop {
            match op(self.client()).await {
                // The client waits for the reconnect before it sends again, so this does not spin. `Custom` is what it
                // calls a connection that failed or fell silent.
                Err(Error::ConnectionLoss | Error::Custom(_)) => tokio::task::yield_now().await,
                result => {
                    self.latency.observe(began.elapsed());
                    return result.map_err(|source| CoordinationError::operation(path, source));
                }
            }
        }
    }
}

impl Latency {
    fn observe(&self, elapsed: Duration) {
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        self.longest_nanos.fetch_max(nanos, Ordering::Relaxed);
    }
}

/// Splits the chroot off: `h1:2181,h2:2181/a/b` gives the servers and `/a/b`.
fn split_chroot(connect: &str) -> (&str, &str) {
    match connect.find('/') {
        Some(at) => (&connect[..at], connect[at..].trim_end_matches('/')),
        None => (connect, ""),
    }
}

/// Opens a session, or continues `lost`.
///
/// # Errors
/// `SessionLost` when ZooKeeper has ended the session that was to be continued.
async fn connect(settings: &ConnectSettings, lost: Option<SessionInfo>) -> Result<Client, CoordinationError> {
    let (servers, chroot) = split_chroot(&settings.connect);
    let began = Instant::now();
    let mut connector = Client::connector().with_session_timeout(settings.session_timeout);
    if let Some(auth) = &settings.auth {
        connector = connector.with_auth(&auth.scheme, auth.credentials.as_bytes());
    }
    if let Some(lost) = lost {
        connector = connector.with_session(lost);
    }
    let client = match tokio::time::timeout(settings.connection_timeout, connector.connect(servers)).await {
        Ok(Ok(client)) => client,
        Ok(Err(Error::SessionExpired)) => return Err(CoordinationError::SessionLost),
        Ok(Err(source)) => return Err(unreachable(servers, began.elapsed(), source)),
        Err(_) => return Err(unreachable(servers, settings.connection_timeout, Error::Timeout)),
    };
    if chroot.is_empty() {
        return Ok(client);
    }
    // The chroot is above all that `zookeeper.set.acl` protects, as in Kafka.
    let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client.mkdir(chroot, &open).await.map_err(|source| CoordinationError::operation(chroot, source))?;
    client
        .chroot(chroot.to_owned())
        .map_err(|_| CoordinationError::operation(chroot, Error::BadArguments(&"the chroot is not a path")))
}

fn unreachable(servers: &str, waited: Duration, source: Error) -> CoordinationError {
    CoordinationError::Unreachable { servers: servers.to_owned(), waited, source }
}

#[cfg(test)]
mod tests {
    use super::split_chroot;

    #[test]
    fn chroot_is_what_follows_the_servers() {
        assert_eq!(split_chroot("h1:1,h2:2/a/b/"), ("h1:1,h2:2", "/a/b"));
        assert_eq!(split_chroot("h1:1"), ("h1:1", ""));
        assert_eq!(split_chroot("h1:1/"), ("h1:1", ""));
    }
}
