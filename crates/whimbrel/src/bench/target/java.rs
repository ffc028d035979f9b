//! Java servers, as an operator would run them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::jars::Jars;

/// What Kafka's own scripts and guides give a broker, with a heap that suits one machine for all.
const BROKER_OPTIONS: [&str; 7] = [
    "-Xms1g",
    "-Xmx1g",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];
/// As Kafka's script for ZooKeeper has it.
const ZOOKEEPER_HEAP: [&str; 2] = ["-Xms512m", "-Xmx512m"];

/// INFO on the standard output, as Whimbrel logs; for Kafka 3 and ZooKeeper.
const LOG4J: &str = "\
log4j.rootLogger=INFO, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=[%d] %p %m (%c)%n
";
/// The same for Kafka 4.
const LOG4J2: &str = "\
rootLogger.level=INFO
rootLogger.appenderRef.stdout.ref=stdout
appender.stdout.type=Console
appender.stdout.name=stdout
appender.stdout.layout.type=PatternLayout
appender.stdout.layout.pattern=[%d] %p %m (%c)%n
";

/// How Java programs out of some jars are started.
#[derive(Debug)]
pub struct Java {
    jars: Jars,
    /// Holds the logging configurations.
    folder: PathBuf,
}

impl Java {
    /// # Errors
    /// The configuration of the logs cannot be written into `folder`.
    pub fn new(jars: Jars, folder: &Path) -> anyhow::Result<Self> {
        fs::write(folder.join("log4j.properties"), LOG4J)?;
        fs::write(folder.join("log4j2.properties"), LOG4J2)?;
        Ok(Self { jars, folder: folder.to_owned() })
    }

    /// A broker, or a node that is a controller too.
    pub fn kafka(&self, properties: &Path) -> Vec<OsString> {
        self.program(&BROKER_OPTIONS, &["kafka.Kafka".into(), properties.into()])
    }

    pub fn zookeeper(&self, config: &Path) -> Vec<OsString> {
        let options = [&ZOOKEEPER_HEAP, &BROKER_OPTIONS[2..]].concat();
        self.program(&options, &["org.apache.zookeeper.server.quorum.QuorumPeerMain".into(), config.into()])
    }

    /// What gives the log directories of a KRaft node their identity.
    pub fn format_storage(&self, properties: &Path, cluster_id: &str) -> Vec<OsString> {
        let words = ["kafka.tools.StorageTool", "format", "--cluster-id", cluster_id, "--config"];
        let words: Vec<OsString> = words.iter().map(OsString::from).chain([properties.into()]).collect();
        self.program(&["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"], &words)
    }

    fn program(&self, options: &[&str], words: &[OsString]) -> Vec<OsString> {
        let home = std::env::var_os("JAVA_HOME").filter(|home| !home.is_empty());
        let java = home.map_or_else(|| "java".into(), |home| Path::new(&home).join("bin/java").into_os_string());
        let file = |key: &str, name: &str| format!("-D{key}=file:{}", self.folder.join(name).display()).into();
        let logging =
            [file("log4j.configuration", "log4j.properties"), file("log4j2.configurationFile", "log4j2.properties")];
        let class_path = ["-cp".into(), self.jars.class_path().into_os_string()];
        let options = options.iter().map(OsString::from);
        [java].into_iter().chain(options).chain(logging).chain(class_path).chain(words.iter().cloned()).collect()
    }
}
