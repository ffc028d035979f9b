//! A keeper for one test.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use whimbrel_keeper::{Keeper, KeeperConfig, KeeperHandle};

/// A keeper on a free port, with its data in a directory that goes with it.
pub struct TestKeeper {
    pub handle: KeeperHandle,
    pub directory: TempDir,
}

pub fn config(directory: &Path) -> KeeperConfig {
    let mut config = KeeperConfig::new(directory, SocketAddr::from(([127, 0, 0, 1], 0)));
    config.tick_time = Duration::from_millis(50);
    config.min_session_timeout = Duration::from_millis(100);
    config.max_session_timeout = Duration::from_secs(20);
    config.reap_interval = Duration::from_millis(50);
    config.four_letter_words = vec!["*".to_owned()];
    config
}

impl TestKeeper {
    pub async fn start() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let handle = Keeper::start(config(directory.path())).await.expect("the keeper starts");
        Self { handle, directory }
    }

    pub fn address(&self) -> String {
        self.handle.local_addr().to_string()
    }

    /// Stops the keeper and starts it again on what it left.
    pub async fn restart(self) -> Self {
        let Self { handle, directory } = self;
        handle.shutdown().await.expect("the store is sound");
        let handle = Keeper::start(config(directory.path())).await.expect("the keeper starts again");
        Self { handle, directory }
    }
}
