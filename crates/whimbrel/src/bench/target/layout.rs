//! Which servers a system takes, with their commands and files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::jars::Jars;
use super::java::Java;
use super::network::Network;
use super::server::{Recipe, Serves, Site};
use super::spec::{Coordination, Kind, TargetSpec};
use crate::UsageError;
use crate::bench::load::DELETE_DELAY_MS;
use crate::local_servers::replication;

/// Any will do: 16 bytes in base64.
const CLUSTER_ID: &str = "d2hpbWJyZWwtYmVuY2gtMQ";

/// The servers of a system, none of them started.
pub struct Layout {
    pub version: String,
    pub coordination: Vec<Recipe>,
    pub brokers: Vec<Recipe>,
    /// The brokers' addresses, separated by commas.
    pub bootstrap: String,
    /// Where KRaft's controllers listen.
    pub controllers: Vec<String>,
}

impl Layout {
    /// Chooses addresses and writes the files of every server into `folder`.
    ///
    /// # Errors
    /// What is wanted does not exist, or its programs are not there.
    pub fn plan(spec: &TargetSpec, folder: &Path, network: &mut Network) -> anyhow::Result<Self> {
        if spec.brokers != 1 && spec.brokers != 3 {
            return Err(UsageError(format!("{} brokers: the bench starts one or three", spec.brokers)).into());
        }
        let (programs, version) = Programs::find(spec, folder)?;
        check_combination(spec, &version)?;
        let mut planner = Planner { spec, folder, network, programs };
        let (coordination, connect) = match spec.coordination {
            Coordination::Zookeeper => planner.zookeepers()?,
            Coordination::Keeper if !planner.is_keeper_embedded() => planner.keeper()?,
            Coordination::Keeper | Coordination::Kraft => (Vec::new(), String::new()),
        };
        let (brokers, controllers) = match spec.coordination {
            Coordination::Kraft => planner.kraft_nodes()?,
            Coordination::Zookeeper | Coordination::Keeper => (planner.zookeeper_brokers(&connect)?, Vec::new()),
        };
        let bootstrap: Vec<String> = brokers.iter().map(|broker| address(broker).to_string()).collect();
        Ok(Self { version, coordination, brokers, bootstrap: bootstrap.join(","), controllers })
    }
}

fn address(recipe: &Recipe) -> SocketAddr {
    let (Serves::Kafka(address) | Serves::ZooKeeper(address)) = recipe.serves;
    address
}

fn check_combination(spec: &TargetSpec, version: &str) -> Result<(), UsageError> {
    if spec.coordination.is_possible_for(spec.kind, version) {
        return Ok(());
    }
    let (kind, coordination) = (spec.kind.name(), spec.coordination.name());
    Err(UsageError(format!("{kind} {version} does not coordinate through {coordination}")))
}

/// What servers are started with. Java's are looked for only where they are needed.
struct Programs {
    whimbrel: PathBuf,
    java: Option<Java>,
}

impl Programs {
    /// With the version of the broker.
    fn find(spec: &TargetSpec, folder: &Path) -> anyhow::Result<(Self, String)> {
        let whimbrel = match &spec.whimbrel {
            Some(binary) => std::path::absolute(binary)?,
            None => std::env::current_exe()?,
        };
        let needs_java = spec.kind == Kind::Kafka || spec.coordination == Coordination::Zookeeper;
        let jars = needs_java.then(|| Jars::find(spec.kafka_jars.as_deref(), &spec.kafka_version)).transpose()?;
        let version = match (spec.kind, &jars) {
            (Kind::Kafka, Some(jars)) => jars.version.clone(),
            _ => whimbrel_version(spec)?,
        };
        let java = jars.map(|jars| Java::new(jars, folder)).transpose()?;
        Ok((Self { whimbrel, java }, version))
    }

    fn java(&self) -> anyhow::Result<&Java> {
        self.java.as_ref().context("Java's servers were not looked for")
    }
}

/// `whimbrel 0.1.0` without its name.
fn whimbrel_version(spec: &TargetSpec) -> anyhow::Result<String> {
    let Some(binary) = &spec.whimbrel else { return Ok(env!("CARGO_PKG_VERSION").to_owned()) };
    let said = Command::new(binary).arg("--version").output();
    let said = said.with_context(|| format!("{} cannot be run", binary.display()))?;
    let said = String::from_utf8_lossy(&said.stdout);
    Ok(said.split_whitespace().last().unwrap_or_default().to_owned())
}

struct Planner<'a> {
    spec: &'a TargetSpec,
    folder: &'a Path,
    network: &'a mut Network,
    programs: Programs,
}

type Properties = BTreeMap<String, String>;

impl Planner<'_> {
    /// A single Whimbrel broker has it inside.
    fn is_keeper_embedded(&self) -> bool {
        self.spec.kind == Kind::Whimbrel && self.spec.brokers == 1
    }

    fn keeper(&mut self) -> anyhow::Result<(Vec<Recipe>, String)> {
        let site = self.network.site()?;
        let address = self.network.address(&site)?;
        let data = self.folder.join("keeper");
        let words = [self.programs.whimbrel.clone().into(), "keeper".into(), "start".into()];
        let words =
            words.into_iter().chain(["--data".into(), data.into(), "--listen".into(), address.to_string().into()]);
        let words = words.collect();
        let recipe =
            Recipe { name: "keeper".into(), site, words, preparation: None, serves: Serves::ZooKeeper(address) };
        Ok((vec![recipe], address.to_string()))
    }

    /// As many ZooKeeper servers as there are brokers, and what brokers connect to.
    fn zookeepers(&mut self) -> anyhow::Result<(Vec<Recipe>, String)> {
        let mut members = Vec::new();
        for _ in 0..self.spec.brokers {
            let site = self.network.site()?;
            let [clients, peers, votes] =
                [self.network.address(&site)?, self.network.address(&site)?, self.network.address(&site)?];
            members.push((site, clients, format!("{}:{}:{}", peers.ip(), peers.port(), votes.port())));
        }
        let mut ensemble = Properties::new();
        if 1 < members.len() {
            for (number, (_, _, peer)) in (1..).zip(&members) {
                ensemble.insert(format!("server.{number}"), peer.clone());
            }
        }
        let connect: Vec<String> = members.iter().map(|(_, clients, _)| clients.to_string()).collect();
        let recipes = (1..).zip(members).map(|(number, (site, clients, _))| {
            let config = self.write_zookeeper(number, clients, &ensemble)?;
            let words = self.programs.java()?.zookeeper(&config);
            let (name, serves) = (format!("zookeeper {number}"), Serves::ZooKeeper(clients));
            Ok(Recipe { name, site, words, preparation: None, serves })
        });
        Ok((recipes.collect::<anyhow::Result<_>>()?, connect.join(",")))
    }

    /// Ticks and limits are those of ZooKeeper's own example.
    fn write_zookeeper(&self, number: u32, clients: SocketAddr, ensemble: &Properties) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join(format!("zookeeper-{number}"));
        let data = folder.join("data");
        fs::create_dir_all(&data)?;
        fs::write(data.join("myid"), format!("{number}\n"))?;
        let own = [
            ("dataDir", data.display().to_string()),
            ("clientPort", clients.port().to_string()),
            ("clientPortAddress", clients.ip().to_string()),
            ("tickTime", "2000".into()),
            ("initLimit", "10".into()),
            ("syncLimit", "5".into()),
            ("maxClientCnxns", "0".into()),
            ("admin.enableServer", "false".into()),
            ("4lw.commands.whitelist", "srvr".into()),
        ];
        let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
        write_properties(&folder, "zoo.cfg", &own.chain(ensemble.clone()).collect())
    }

    /// Brokers that coordinate through ZooKeeper's protocol.
    fn zookeeper_brokers(&mut self, connect: &str) -> anyhow::Result<Vec<Recipe>> {
        let brokers = 1..=self.spec.brokers;
        let recipe = |id: usize| {
            let site = self.network.site()?;
            let address = self.network.address(&site)?;
            let mut properties = self.broker_properties(id, &listener("PLAINTEXT", address));
            properties.insert("broker.id".into(), id.to_string());
            if !connect.is_empty() {
                properties.insert("zookeeper.connect".into(), connect.to_owned());
            }
            let file = self.write_broker(id, properties)?;
            let words = match self.spec.kind {
                Kind::Whimbrel => {
                    vec![self.programs.whimbrel.clone().into(), "start".into(), "--config".into(), file.into()]
                }
                Kind::Kafka => self.programs.java()?.kafka(&file),
            };
            Ok(broker(id, site, address, words, None))
        };
        brokers.map(recipe).collect()
    }

    /// Nodes that are broker and controller, and where their controllers listen.
    fn kraft_nodes(&mut self) -> anyhow::Result<(Vec<Recipe>, Vec<String>)> {
        let mut nodes = Vec::new();
        for _ in 0..self.spec.brokers {
            let site = self.network.site()?;
            nodes.push((self.network.address(&site)?, self.network.address(&site)?, site));
        }
        let controllers: Vec<String> = nodes.iter().map(|(_, controller, _)| controller.to_string()).collect();
        let voters: Vec<String> =
            (1..).zip(&controllers).map(|(id, address): (u32, _)| format!("{id}@{address}")).collect();
        let recipes = (1..).zip(nodes).map(|(id, (address, controller, site))| {
            let listeners = format!("{},{}", listener("PLAINTEXT", address), listener("CONTROLLER", controller));
            let mut properties = self.broker_properties(id, &listeners);
            for (key, value) in [
                ("process.roles", "broker,controller"),
                ("node.id", &id.to_string()),
                ("controller.listener.names", "CONTROLLER"),
                ("inter.broker.listener.name", "PLAINTEXT"),
                ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"),
                ("controller.quorum.voters", &voters.join(",")),
            ] {
                properties.insert(key.into(), value.into());
            }
            let file = self.write_broker(id, properties)?;
            let java = self.programs.java()?;
            let preparation = java.format_storage(&file, CLUSTER_ID);
            Ok(broker(id, site, address, java.kafka(&file), Some(preparation)))
        });
        Ok((recipes.collect::<anyhow::Result<_>>()?, controllers))
    }

    /// What every broker is told, whatever its kind, where it means the same.
    fn broker_properties(&self, id: usize, listeners: &str) -> Properties {
        let brokers = self.spec.brokers;
        let own = [
            ("listeners", listeners.to_owned()),
            ("log.dirs", self.broker_folder(id).join("data").display().to_string()),
            // Points follow each other, and data directories in memory are small: what a deleted topic leaves is kept for a
            // minute otherwise. (Kafka looks at the topic's own setting for segments alone.)
            ("log.segment.delete.delay.ms", DELETE_DELAY_MS.to_string()),
            // Groups do not wait for members that do not come.
            ("group.initial.rebalance.delay.ms", "0".to_owned()),
        ];
        let of_kind = match self.spec.kind {
            Kind::Whimbrel => vec![("whimbrel.http.listener", format!("{}:0", Ipv4Addr::LOCALHOST))],
            Kind::Kafka => internal_topics(brokers),
        };
        let all = own.into_iter().chain(replication(brokers)).chain(of_kind);
        all.map(|(key, value)| (key.to_owned(), value)).collect()
    }

    fn write_broker(&self, id: usize, mut properties: Properties) -> anyhow::Result<PathBuf> {
        properties.extend(self.spec.settings.clone());
        write_properties(&self.broker_folder(id), "server.properties", &properties)
    }

    fn broker_folder(&self, id: usize) -> PathBuf {
        self.folder.join(format!("broker-{id}"))
    }
}

fn broker(
    id: usize,
    site: Site,
    address: SocketAddr,
    words: Vec<OsString>,
    preparation: Option<Vec<OsString>>,
) -> Recipe {
    Recipe { name: format!("broker {id}"), site, words, preparation, serves: Serves::Kafka(address) }
}

fn listener(name: &str, address: SocketAddr) -> String {
    format!("{name}://{address}")
}

/// Topics of Kafka's own have three replicas by default, which one broker cannot give them.
fn internal_topics(brokers: usize) -> Vec<(&'static str, String)> {
    let [(_, replicas), _, (_, in_sync)] = replication(brokers);
    vec![
        ("transaction.state.log.replication.factor", replicas.clone()),
        ("transaction.state.log.min.isr", in_sync.clone()),
        ("share.coordinator.state.topic.replication.factor", replicas),
        ("share.coordinator.state.topic.min.isr", in_sync),
    ]
}

fn write_properties(folder: &Path, name: &str, properties: &Properties) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let lines: String = properties.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    let path = folder.join(name);
    fs::write(&path, lines)?;
    Ok(path)
}
