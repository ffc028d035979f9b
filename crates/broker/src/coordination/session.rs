//! One ZooKeeper session after another.
//!
//! A session outlives its connections: the client reconnects by itself, and calls made meanwhile wait. When the session
//! has expired a new one is opened, for as long as it takes; each is a new *generation*, and whoever holds something
//! that died with the old one (watches, ephemeral nodes, the controllership) starts over.
//!
//! A call whose connection was lost may or may not have taken effect, and may even be sent after the reconnect. Every
//! write that goes through [`Session::call`] must therefore be harmless when repeated, or be guarded by a version and
//! read back by its caller.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tracing::{info, warn};
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error, SessionState};

use super::error::CoordinationError;

/// Where coordination is and how long it may be silent.
#[derive(Debug, Clone)]
pub struct ConnectSettings {
    /// `zookeeper.connect`: `host:port,host:port/chroot`.
    pub connect: String,
    /// `zookeeper.session.timeout.ms`
    pub session_timeout: Duration,
    /// `zookeeper.connection.timeout.ms`
    pub connection_timeout: Duration,
}

/// Pause between attempts to open a session while no server answers.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

pub(super) const PERSISTENT: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());
pub(super) const EPHEMERAL: CreateOptions<'static> = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
pub(super) const SEQUENTIAL: CreateOptions<'static> = CreateMode::PersistentSequential.with_acls(Acls::anyone_all());

#[derive(Debug)]
pub(super) struct Session {
    settings: ConnectSettings,
    client: ArcSwap<Client>,
    /// Counts sessions, from 1.
    generation: watch::Sender<u64>,
}

impl Session {
    /// Opens the first session; the chroot is created when it is missing.
    pub(super) async fn open(settings: ConnectSettings) -> Result<Self, CoordinationError> {
        let client = connect(&settings).await?;
        Ok(Self { settings, client: ArcSwap::from_pointee(client), generation: watch::Sender::new(1) })
    }

    /// The client of the present session, which may be expired.
    pub(super) fn client(&self) -> Arc<Client> {
        self.client.load_full()
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

    /// Opens a new session, for as long as it takes.
    pub(super) async fn renew(&self) -> Arc<Client> {
        let began = Instant::now();
        loop {
            match connect(&self.settings).await {
                Ok(client) => {
                    info!(session = %client.session_id(), after = ?began.elapsed(), "new ZooKeeper session");
                    let client = Arc::new(client);
                    self.client.store(Arc::clone(&client));
                    return client;
                }
                Err(error) => {
                    warn!(%error, "no new ZooKeeper session yet");
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
        loop {
            match op(self.client()).await {
                // The client waits for the reconnect before it sends again, so this does not spin.
                Err(Error::ConnectionLoss) => tokio::task::yield_now().await,
                result => return result.map_err(|source| CoordinationError::operation(path, source)),
            }
        }
    }
}

/// Splits the chroot off: `h1:2181,h2:2181/a/b` gives the servers and `/a/b`.
fn split_chroot(connect: &str) -> (&str, &str) {
    match connect.find('/') {
        Some(at) => (&connect[..at], connect[at..].trim_end_matches('/')),
        None => (connect, ""),
    }
}

async fn connect(settings: &ConnectSettings) -> Result<Client, CoordinationError> {
    let (servers, chroot) = split_chroot(&settings.connect);
    let began = Instant::now();
    let unreachable = |source, waited| CoordinationError::Unreachable { servers: servers.to_owned(), waited, source };
    let attempt = Client::connector().with_session_timeout(settings.session_timeout).connect(servers);
    let client = match tokio::time::timeout(settings.connection_timeout, attempt).await {
        Ok(result) => result.map_err(|source| unreachable(source, began.elapsed()))?,
        Err(_) => return Err(unreachable(Error::Timeout, settings.connection_timeout)),
    };
    if chroot.is_empty() {
        return Ok(client);
    }
    client.mkdir(chroot, &PERSISTENT).await.map_err(|source| CoordinationError::operation(chroot, source))?;
    client
        .chroot(chroot.to_owned())
        .map_err(|_| CoordinationError::operation(chroot, Error::BadArguments(&"the chroot is not a path")))
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
