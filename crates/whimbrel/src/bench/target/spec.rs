//! What a system under test is to be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::bench::result::System;

/// The version of Kafka that Whimbrel takes the place of.
pub const KAFKA_VERSION: &str = "3.9.2";

/// Whose broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Whimbrel,
    /// Apache Kafka, in Java.
    Kafka,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Whimbrel => "whimbrel",
            Self::Kafka => "kafka",
        }
    }
}

/// A system by its name: `whimbrel`, `kafka`, or `kafka-4.3.1` for a version of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetName {
    pub kind: Kind,
    pub kafka_version: Option<String>,
}

impl std::fmt::Display for TargetName {
    /// As it is read.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind.name())?;
        self.kafka_version.as_ref().map_or(Ok(()), |version| write!(f, "-{version}"))
    }
}

impl std::str::FromStr for TargetName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, kafka_version) = match text.split_once('-') {
            Some(("kafka", version)) if version.starts_with(|first: char| first.is_ascii_digit()) => {
                (Kind::Kafka, Some(version.to_owned()))
            }
            _ => match text {
                "whimbrel" => (Kind::Whimbrel, None),
                "kafka" => (Kind::Kafka, None),
                _ => return Err(format!("\"{text}\" is none of whimbrel, kafka, kafka-VERSION")),
            },
        };
        Ok(Self { kind, kafka_version })
    }
}

/// What brokers agree through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Coordination {
    /// Whimbrel's ZooKeeper server: inside a single Whimbrel broker, else a process of its own.
    Keeper,
    /// Apache ZooKeeper, as many servers as there are brokers.
    Zookeeper,
    /// Every broker is a controller too.
    Kraft,
}

impl Coordination {
    /// What is meant when nothing is said.
    pub fn default_for(kind: Kind, kafka_version: &str) -> Self {
        match kind {
            Kind::Whimbrel => Self::Keeper,
            Kind::Kafka if is_without_zookeeper(kafka_version) => Self::Kraft,
            Kind::Kafka => Self::Zookeeper,
        }
    }

    /// Whether brokers can agree through it.
    pub fn is_possible_for(self, kind: Kind, kafka_version: &str) -> bool {
        match (kind, self) {
            (Kind::Whimbrel, Self::Kraft) => false,
            (Kind::Kafka, Self::Zookeeper | Self::Keeper) => !is_without_zookeeper(kafka_version),
            (Kind::Whimbrel, Self::Zookeeper | Self::Keeper) | (Kind::Kafka, Self::Kraft) => true,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Keeper => "keeper",
            Self::Zookeeper => "zookeeper",
            Self::Kraft => "kraft",
        }
    }
}

/// Whether this version of Kafka knows KRaft only: 4.0 was the first.
pub(super) fn is_without_zookeeper(kafka_version: &str) -> bool {
    let major = kafka_version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| 4 <= major)
}

/// A system that the bench starts and stops itself.
#[derive(Debug, Clone)]
pub struct TargetSpec {
    /// As it was asked for.
    pub name: String,
    pub kind: Kind,
    /// 1 or 3.
    pub brokers: usize,
    pub coordination: Coordination,
    /// What is fetched when there are no `kafka_jars`, which tell their version themselves.
    pub kafka_version: String,
    /// A folder with the jars of Apache Kafka and, for ZooKeeper, of Apache ZooKeeper; otherwise Maven fetches them.
    pub kafka_jars: Option<PathBuf>,
    /// Settings of every broker, by Kafka's keys; they stand over those of the bench.
    pub settings: BTreeMap<String, String>,
    /// Below this a new folder is made for data and logs; otherwise below [`default_data`].
    pub data: Option<PathBuf>,
    /// Whimbrel's binary; otherwise this very program.
    pub whimbrel: Option<PathBuf>,
    /// Servers run in network namespaces, so that they can be cut off; that needs root.
    pub can_cut: bool,
}

impl TargetSpec {
    /// One broker with the defaults.
    pub fn new(kind: Kind) -> Self {
        Self {
            name: kind.name().to_owned(),
            kind,
            brokers: 1,
            coordination: Coordination::default_for(kind, KAFKA_VERSION),
            kafka_version: KAFKA_VERSION.to_owned(),
            kafka_jars: None,
            settings: BTreeMap::new(),
            data: None,
            whimbrel: None,
            can_cut: false,
        }
    }

    pub(super) fn system(&self, version: String) -> System {
        System {
            name: self.kind.name().to_owned(),
            version,
            brokers: self.brokers,
            coordination: self.coordination.name().to_owned(),
            settings: self.settings.clone(),
            client: String::new(),
        }
    }
}

/// Memory if the machine has a folder for it, so that the disk is not what is measured; else the temporary folder.
pub fn default_data() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}
