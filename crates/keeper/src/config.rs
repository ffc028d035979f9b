//! What a keeper is told at start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The largest request and the largest value, as in ZooKeeper (`jute.maxbuffer`).
pub const JUTE_MAX_BUFFER: usize = 0xf_ffff;

/// Settings of a keeper. `KeeperConfig::new` gives ZooKeeper's defaults.
#[derive(Clone, Debug)]
pub struct KeeperConfig {
    /// Where the tree is kept. Created if it is missing; one keeper at a time may use it.
    pub data_dir: PathBuf,
    /// Addresses to listen on; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// The unit of session timeouts: sessions expire at multiples of it.
    pub tick_time: Duration,
    /// Shorter wishes of clients are raised to this. Two ticks by default.
    pub min_session_timeout: Duration,
    /// Longer wishes are lowered to this. Twenty ticks by default.
    pub max_session_timeout: Duration,
    /// Connections from one address; zero for no limit.
    pub max_client_connections: usize,
    /// Connections in all; zero for no limit.
    pub max_connections: usize,
    /// Bytes of one request. A longer one closes its connection.
    pub jute_max_buffer: usize,
    /// Answers and events that may wait for a client that does not read them; beyond, it is disconnected.
    pub outbound_bytes_max: usize,
    /// Four-letter commands that are answered. `*` stands for all.
    pub four_letter_words: Vec<String>,
    /// How often empty containers and nodes whose time to live is over are looked for.
    pub reap_interval: Duration,
}

impl KeeperConfig {
    /// A keeper on `listen`, with its tree in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        let tick_time = Duration::from_secs(2);
        Self {
            data_dir: data_dir.into(),
            listen: vec![listen],
            tick_time,
            min_session_timeout: tick_time * 2,
            max_session_timeout: tick_time * 20,
            max_client_connections: 60,
            max_connections: 0,
            jute_max_buffer: JUTE_MAX_BUFFER,
            outbound_bytes_max: 64 << 20,
            four_letter_words: ["ruok", "srvr", "stat", "mntr", "conf", "cons", "isro", "envi"]
                .map(String::from)
                .to_vec(),
            reap_interval: Duration::from_secs(60),
        }
    }

    /// Sets the tick, and the bounds of session timeouts to ZooKeeper's multiples of it.
    #[must_use]
    pub fn with_tick_time(mut self, tick_time: Duration) -> Self {
        self.tick_time = tick_time;
        self.min_session_timeout = tick_time * 2;
        self.max_session_timeout = tick_time * 20;
        self
    }

    pub(crate) fn answers_command(&self, command: &str) -> bool {
        self.four_letter_words.iter().any(|word| word == "*" || word == command)
    }
}
