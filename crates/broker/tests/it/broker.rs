//! A broker in this process: ephemeral ports, a temporary directory, the embedded keeper.

use std::net::SocketAddr;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use whimbrel_broker::config::{BrokerConfig, Layers};
use whimbrel_broker::{Broker, RunningBroker};

/// What both brokers of a comparison are told.
const SETTINGS: [&str; 11] = [
    "broker.id=0",
    "listeners=PLAINTEXT://127.0.0.1:0",
    "whimbrel.keeper.listener=127.0.0.1:0",
    "whimbrel.http.listener=127.0.0.1:0",
    "offsets.topic.replication.factor=1",
    "offsets.topic.num.partitions=4",
    "transaction.state.log.replication.factor=1",
    "transaction.state.log.min.isr=1",
    "group.initial.rebalance.delay.ms=0",
    "group.min.session.timeout.ms=1000",
    "zookeeper.session.timeout.ms=30000",
];

pub struct TestBroker {
    pub address: SocketAddr,
    pub running: Option<RunningBroker>,
    runtime: Runtime,
    _dir: TempDir,
}

impl TestBroker {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// A broker with these settings (`key=value`) over the common ones.
    pub fn with(settings: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut layers = Layers::default();
        let dirs = format!("log.dirs={}", dir.path().display());
        for pair in SETTINGS.into_iter().chain([dirs.as_str()]).chain(settings.iter().copied()) {
            layers.set_pair(pair).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let config = BrokerConfig::resolve(layers).unwrap();
        let running = runtime.block_on(Broker::start(config)).expect("the broker starts");
        let address = running.listeners.first().expect("there is a listener").1;
        Self { address, running: Some(running), runtime, _dir: dir }
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.shutdown());
        }
    }
}
