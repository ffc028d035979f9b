//! The system under test: one that the bench starts and stops itself, or somebody else's cluster.
//!
//! ```text
//! spec    what is wanted
//! layout  which servers that takes, with their commands and files   whimbrel, kafka, zookeeper, keeper
//! server  one process: started, killed, frozen, watched
//! network where servers run: on loopback, or in network namespaces so that they can be cut off
//! ```

mod asking;
mod folder;
mod jars;
mod java;
mod layout;
mod network;
mod server;
mod spec;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::cost::Roster;
use super::result::System;

use asking::{ANSWER_WAIT, Asking};
use folder::Folder;
use layout::Layout;
use network::Network;

pub use jars::Jars;
pub use server::{Server, pause};
pub use spec::{Coordination, KAFKA_VERSION, TargetName, TargetSpec, default_data};

#[cfg(test)]
use spec::Kind;

/// How long a server has until it serves. A JVM on a busy machine needs half of it.
const START_WAIT: Duration = Duration::from_secs(90);
/// An answer that may keep other faults waiting.
const SHORT_ANSWER_WAIT: Duration = Duration::from_millis(200);
/// Pause between two looks at a server that starts: short beside what the fastest takes.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// A system under test. Dropped, it kills what it started and removes its folder.
pub struct Target {
    system: System,
    bootstrap: String,
    /// ZooKeeper servers, or the keeper; none where brokers coordinate themselves.
    coordination: Vec<Server>,
    /// In the order of their numbers, from 1 on. Empty if the cluster is somebody else's.
    brokers: Vec<Server>,
    /// Where KRaft's controllers listen.
    controllers: Vec<String>,
    roster: Roster,
    asking: Asking,
    network: Network,
    /// Removed with it; none if the cluster is somebody else's.
    folder: Option<Folder>,
}

impl Target {
    /// Starts a system, and returns when every broker serves and knows of the others. Its data and its logs are in a
    /// new folder below `spec.data`.
    ///
    /// # Errors
    /// What is wanted does not exist, its programs are not there, or a server ends or does not serve in time: then with
    /// the end of its log.
    pub fn start(spec: &TargetSpec) -> anyhow::Result<Self> {
        let folder = Folder::make(&spec.data.clone().unwrap_or_else(default_data))?;
        let mut network = if spec.can_cut { Network::namespaces()? } else { Network::loopback() };
        let layout = Layout::plan(spec, folder.path(), &mut network)?;
        let roster = Roster::default();
        let servers = |recipes: Vec<server::Recipe>| {
            recipes.into_iter().map(|recipe| Server::new(recipe, folder.path(), roster.clone())).collect()
        };
        let mut target = Self {
            system: spec.system(layout.version),
            bootstrap: layout.bootstrap,
            coordination: servers(layout.coordination),
            brokers: servers(layout.brokers),
            controllers: layout.controllers,
            roster: roster.clone(),
            asking: Asking::new()?,
            network,
            folder: Some(folder),
        };
        target.network.release_ports();
        target.start_all()?;
        Ok(target)
    }

    fn start_all(&mut self) -> anyhow::Result<()> {
        for group in [&mut self.coordination, &mut self.brokers] {
            server::prepare_all(group)?;
            group.iter_mut().try_for_each(Server::start)?;
            let deadline = Instant::now() + START_WAIT;
            group.iter_mut().try_for_each(|server| wait_until_serving(server, &self.asking, deadline))?;
        }
        let deadline = Instant::now() + START_WAIT;
        while !self.is_whole() {
            self.check()?;
            anyhow::ensure!(Instant::now() < deadline, "the brokers do not find each other within {START_WAIT:?}");
            pause(LOOK_INTERVAL);
        }
        Ok(())
    }

    /// Attaches to a cluster that runs already; `pids` are its processes on this machine, whose cost is measured.
    ///
    /// # Errors
    /// No broker answers, or there is no such process.
    pub fn attach(bootstrap: &str, pids: &[u32]) -> anyhow::Result<Self> {
        let asking = Asking::new()?;
        let brokers = asking.metadata(bootstrap, Some(&[]))?.brokers.len();
        let roster = Roster::default();
        for pid in pids {
            let program = std::fs::read_to_string(format!("/proc/{pid}/comm"))
                .with_context(|| format!("there is no process {pid}"))?;
            roster.set(&format!("{} {pid}", program.trim()), *pid);
        }
        Ok(Self {
            system: System { name: bootstrap.to_owned(), brokers, ..System::default() },
            bootstrap: bootstrap.to_owned(),
            coordination: Vec::new(),
            brokers: Vec::new(),
            controllers: Vec::new(),
            roster,
            asking,
            network: Network::loopback(),
            folder: None,
        })
    }

    /// `host:port` of each broker, separated by commas.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Where the data and logs of what was started are; none if the cluster is somebody else's.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(Folder::path)
    }

    /// What is measured, but for the client.
    pub fn system(&self) -> System {
        self.system.clone()
    }

    /// Name and process id of what runs now.
    #[cfg(test)]
    pub fn processes(&self) -> Vec<(String, u32)> {
        self.roster.list()
    }

    /// Names and process ids of what runs, kept up to date over restarts.
    pub fn roster(&self) -> Roster {
        self.roster.clone()
    }

    /// Whether every process runs that should.
    ///
    /// # Errors
    /// One ended by itself: its name, how, and the end of its log.
    pub fn check(&mut self) -> anyhow::Result<()> {
        let deaths: Vec<String> = self.servers_mut().filter_map(Server::take_death).collect();
        if deaths.is_empty() { Ok(()) } else { Err(anyhow::anyhow!(deaths.join("\n"))) }
    }

    /// Ends what it started and removes its folder.
    ///
    /// # Errors
    /// A process had ended by itself before, as of [`Target::check`].
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.check()
    }

    /// Takes what the servers have written out of the page cache, so that it must come from the disk again. Does nothing
    /// for data in memory, or for a cluster that is somebody else's.
    ///
    /// # Errors
    /// A file cannot be synced, without which its pages stay.
    pub fn forget_cached(&self) -> std::io::Result<()> {
        self.folder.as_ref().map_or(Ok(()), Folder::forget_cached)
    }

    fn servers_mut(&mut self) -> impl Iterator<Item = &mut Server> {
        self.brokers.iter_mut().chain(&mut self.coordination)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // Nothing is kept, so nothing has to be written before.
        self.servers_mut().for_each(Server::kill);
    }
}

/// Names a server by its place in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Broker(usize),
    Coordination(usize),
}

/// What faults need of a target.
impl Target {
    pub(super) fn is_ours(&self) -> bool {
        !self.brokers.is_empty()
    }

    pub(super) fn can_cut(&self) -> bool {
        self.network.can_cut()
    }

    pub(super) fn broker_count(&self) -> usize {
        self.brokers.len()
    }

    pub(super) fn coordination_count(&self) -> usize {
        self.coordination.len()
    }

    pub(super) fn server(&mut self, place: Place) -> Option<&mut Server> {
        match place {
            Place::Broker(index) => self.brokers.get_mut(index),
            Place::Coordination(index) => self.coordination.get_mut(index),
        }
    }

    /// Whether a server answers without delay.
    pub(super) fn does_serve(&self, place: Place) -> bool {
        let server = match place {
            Place::Broker(index) => self.brokers.get(index),
            Place::Coordination(index) => self.coordination.get(index),
        };
        server.is_some_and(|server| self.asking.is_served(server.serves(), SHORT_ANSWER_WAIT))
    }

    /// The broker numbers of a partition's leader and followers; the first topic by name when none is named.
    ///
    /// # Errors
    /// No broker answers, there is no such partition, or nobody leads it.
    pub(super) fn replicas(&mut self, topic: Option<&str>) -> anyhow::Result<(String, i32, Vec<i32>)> {
        let bootstrap = self.answering_brokers();
        self.asking.replicas(&bootstrap, topic)
    }

    /// The broker number of the controller.
    ///
    /// # Errors
    /// Nobody that answers knows one.
    pub(super) fn controller(&mut self) -> anyhow::Result<i32> {
        match &self.controllers[..] {
            [] => {
                let bootstrap = self.answering_brokers();
                let id = self.asking.metadata(&bootstrap, Some(&[]))?.controller_id;
                anyhow::ensure!(0 <= id, "there is no controller");
                Ok(id)
            }
            // Brokers of KRaft name any of them.
            controllers => self.asking.quorum_leader(controllers),
        }
    }

    /// Those that are worth asking; all of them if there is none.
    fn answering_brokers(&mut self) -> String {
        let answering: Vec<&str> = self.brokers.iter_mut().filter_map(Server::address_if_answering).collect();
        if answering.is_empty() { self.bootstrap.clone() } else { answering.join(",") }
    }

    /// Where the machine itself, and so every client, is in the servers' network.
    pub(super) fn client_host(&self) -> IpAddr {
        self.network.host()
    }

    /// Stops every packet between a server and these hosts, or lets them through again.
    ///
    /// # Errors
    /// The rules of the kernel cannot be changed.
    pub(super) fn set_cut(&self, server: &server::Site, hosts: &[IpAddr], is_cut: bool) -> anyhow::Result<()> {
        self.network.set_cut(server, hosts, is_cut)
    }

    /// Whether every server runs and answers, and every broker knows of all others and of a controller.
    pub(super) fn is_whole(&mut self) -> bool {
        let asking = &self.asking;
        let mut servers = self.coordination.iter_mut().chain(&mut self.brokers);
        if !servers.all(|server| server.is_running() && asking.is_served(server.serves(), ANSWER_WAIT)) {
            return false;
        }
        let knows_all = |address| {
            let metadata = self.asking.metadata(address, Some(&[]));
            metadata.is_ok_and(|metadata| metadata.brokers.len() == self.brokers.len() && 0 <= metadata.controller_id)
        };
        // Each is asked: the one that was down longest is the last to know.
        self.bootstrap.split(',').all(knows_all)
    }

    /// Whether it is whole, and every replica of every partition is in sync.
    pub(super) fn is_settled(&mut self) -> bool {
        if !self.is_whole() {
            return false;
        }
        let Ok(metadata) = self.asking.metadata(&self.bootstrap, None) else { return false };
        let mut partitions = metadata.topics.values().flat_map(|topic| &topic.partitions);
        partitions.all(|partition| 0 <= partition.leader && partition.in_sync.len() == partition.replicas.len())
    }
}

/// Returns when a server answers.
fn wait_until_serving(server: &mut Server, asking: &Asking, deadline: Instant) -> anyhow::Result<()> {
    loop {
        if let Some(death) = server.take_death() {
            anyhow::bail!(death);
        }
        if asking.is_served(server.serves(), ANSWER_WAIT) {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "{} does not serve in time: {}", server.name(), server.log_end());
        pause(LOOK_INTERVAL);
    }
}
