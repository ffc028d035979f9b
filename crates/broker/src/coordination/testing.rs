//! A keeper of its own for each test.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use whimbrel_keeper::{Keeper, KeeperConfig, KeeperHandle};
use whimbrel_model::NodeId;
use whimbrel_state::controller::control::{Endpoint, SecurityProtocol};

use super::{ConnectSettings, Coordination, Registration};

/// A keeper on a free port, with its tree in a directory that goes with it.
pub(crate) struct Ensemble {
    keeper: Option<KeeperHandle>,
    at: SocketAddr,
    dir: tempfile::TempDir,
}

impl Ensemble {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut ensemble = Self { keeper: None, at: free, dir };
        ensemble.resume().await;
        ensemble
    }

    /// Stops answering; what was written stays.
    pub(crate) async fn pause(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.shutdown().await.expect("the keeper stops");
        }
    }

    /// Answers again, at the same address.
    pub(crate) async fn resume(&mut self) {
        let config = KeeperConfig::new(self.dir.path(), self.at).with_tick_time(Duration::from_millis(100));
        let keeper = Keeper::start(config).await.expect("the keeper starts");
        self.at = keeper.local_addr();
        self.keeper = Some(keeper);
    }

    /// Ends every session, as when nobody was heard for too long: nobody can reach it until that has happened.
    pub(crate) async fn expire_sessions(&mut self) {
        self.pause().await;
        let elsewhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = KeeperConfig::new(self.dir.path(), elsewhere).with_tick_time(Duration::from_millis(100));
        let keeper = Keeper::start(config).await.expect("the keeper starts");
        while keeper.stats().sessions != 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        keeper.shutdown().await.expect("the keeper stops");
        self.resume().await;
    }

    /// A copy of all that is stored. The ensemble must be paused.
    pub(crate) fn backup(&self) -> std::io::Result<tempfile::TempDir> {
        let copy = tempfile::tempdir()?;
        copy_files(self.dir.path(), copy.path())?;
        Ok(copy)
    }

    /// Puts the copy in the place of what is stored. The ensemble must be paused.
    pub(crate) fn restore(&self, copy: &Path) -> std::io::Result<()> {
        copy_files(copy, self.dir.path())
    }

    pub(crate) fn settings(&self) -> ConnectSettings {
        ConnectSettings {
            connect: format!("{}/some/chroot", self.at),
            session_timeout: Duration::from_millis(1000),
            connection_timeout: Duration::from_secs(10),
            in_flight_max: 256,
            auth: None,
            set_acl: false,
        }
    }

    /// A broker's handle, with its session file in `dir`.
    pub(crate) async fn open(&self, dir: &Path) -> Coordination {
        Coordination::open(self.settings(), dir).await.expect("the keeper answers")
    }
}

fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::create_dir_all(to.join(entry.file_name()))?;
            copy_files(&entry.path(), &to.join(entry.file_name()))?;
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// A registration on one plaintext listener.
pub(crate) fn registration(id: i32, port: i32) -> Registration {
    let endpoint = Endpoint {
        listener: "PLAINTEXT".into(),
        protocol: SecurityProtocol::Plaintext,
        host: "localhost".into(),
        port,
    };
    Registration { id: NodeId(id), endpoints: vec![endpoint], rack: None }
}

impl Coordination {
    /// Waits until the present session has ended.
    pub(crate) async fn session_ended(&self) {
        self.inner.session.ended().await;
    }

    /// Removes `/controller`, whoever holds it.
    pub(crate) async fn remove_controller(&self) -> Result<(), zookeeper_client::Error> {
        self.client().delete(super::paths::CONTROLLER, None).await
    }
}
