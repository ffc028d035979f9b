//! The jars of Apache Kafka: from a folder, or fetched by Maven once for each version.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use super::spec::is_without_zookeeper;

const COPY_DEPENDENCIES: &str = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies";
/// Lines of what Maven says that make an error; the others are advice about Maven.
const OUTPUT_LINES: usize = 2;

/// A folder of jars that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jars {
    pub folder: PathBuf,
    /// Of Kafka, as the name of its jar tells.
    pub version: String,
}

impl Jars {
    /// The jars in `given`; without it those of `version`, from the cache (`$XDG_CACHE_HOME/whimbrel/kafka-VERSION`) or
    /// fetched by Maven, which may take minutes.
    ///
    /// # Errors
    /// Kafka's jar is not in the folder, or Maven is not there or fails.
    pub fn find(given: Option<&Path>, version: &str) -> anyhow::Result<Self> {
        if let Some(folder) = given {
            return Self::in_folder(folder);
        }
        let is_version = version.starts_with(|first: char| first.is_ascii_digit())
            && version.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-');
        anyhow::ensure!(is_version, "\"{version}\" is no version of Kafka such as 3.9.2");
        let folder = cache()?.join(format!("kafka-{version}"));
        if !folder.is_dir() {
            fetch(version, &folder)?;
        }
        Self::in_folder(&folder)
    }

    fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        let entries = fs::read_dir(folder).with_context(|| format!("{}: no folder of jars", folder.display()))?;
        let version = entries.filter_map(Result::ok).find_map(|entry| version_of(entry.file_name().to_str()?));
        let version = version.with_context(|| format!("{}: Kafka's server is not in there", folder.display()))?;
        Ok(Self { folder: std::path::absolute(folder)?, version })
    }

    /// All of them, for Java.
    pub fn class_path(&self) -> PathBuf {
        self.folder.join("*")
    }
}

/// The version in the name of the server's jar, `kafka_2.13-3.9.2.jar`.
fn version_of(jar: &str) -> Option<String> {
    let (scala, version) = jar.strip_prefix("kafka_")?.strip_suffix(".jar")?.split_once('-')?;
    let is_server = scala.starts_with("2.") && !version.contains("sources") && !version.contains("test");
    is_server.then(|| version.to_owned())
}

fn cache() -> anyhow::Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let cache =
        cache.context("there is no place to keep Kafka's jars: set XDG_CACHE_HOME, or give a folder of jars")?;
    Ok(cache.join("whimbrel"))
}

/// Fetches into another folder, which gets its name when it is complete.
fn fetch(version: &str, folder: &Path) -> anyhow::Result<()> {
    eprintln!("fetching Apache Kafka {version} with Maven into {}", folder.display());
    let unfinished = folder.with_extension(format!("part-{}", std::process::id()));
    fs::create_dir_all(&unfinished).with_context(|| format!("{} cannot be made", unfinished.display()))?;
    let fetched = run_maven(version, &unfinished);
    // Another bench may have been faster: then its folder is as good.
    if fetched.is_err() || fs::rename(&unfinished, folder).is_err() {
        fs::remove_dir_all(&unfinished)?;
    }
    fetched
}

fn run_maven(version: &str, folder: &Path) -> anyhow::Result<()> {
    let project = folder.join("pom.xml");
    fs::write(&project, project_model(version))?;
    let mut command = Command::new("mvn");
    command.args(["--quiet", "--batch-mode", "-Dstyle.color=never", "-f"]).arg(&project).arg(COPY_DEPENDENCIES);
    command.arg(format!("-DoutputDirectory={}", folder.display())).stdin(Stdio::null());
    let done = match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            anyhow::bail!("Maven (mvn) is not there: install it, or give a folder of Kafka's jars")
        }
        done => done?,
    };
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let errors =
        said.lines().filter_map(|line| Some(line.split_once("[ERROR] ")?.1.trim())).filter(|line| !line.is_empty());
    let errors: Vec<&str> = errors.take(OUTPUT_LINES).collect();
    anyhow::ensure!(done.status.success(), "Maven does not fetch Kafka {version}: {}", errors.join("\n"));
    Ok(())
}

/// What Maven is asked for: the server, its tools, and a logger, as Kafka's own distribution has them.
fn project_model(version: &str) -> String {
    let kafka = |artifact| dependency("org.apache.kafka", artifact, version);
    let mut dependencies = vec![kafka("kafka_2.13"), kafka("kafka-tools")];
    if is_without_zookeeper(version) {
        dependencies.push(dependency("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.4"));
    } else {
        dependencies.extend([
            // 3.9.3 has a regression that loses data (ZOOKEEPER-4925).
            ZOOKEEPER.to_owned(),
            // The ZooKeeper server needs these, and does not declare them to those who use it as a library.
            dependency("io.dropwizard.metrics", "metrics-core", "4.1.12.1"),
            dependency("org.xerial.snappy", "snappy-java", "1.1.10.5"),
            dependency("commons-cli", "commons-cli", "1.5.0"),
            dependency("org.slf4j", "slf4j-reload4j", "1.7.36"),
        ]);
    }
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>whimbrel.bench</groupId>
  <artifactId>kafka-jars</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
{}
  </dependencies>
</project>
"#,
        dependencies.join("\n")
    )
}

/// Without the second logger that it brings.
const ZOOKEEPER: &str = "    <dependency><groupId>org.apache.zookeeper</groupId><artifactId>zookeeper</artifactId>\
    <version>3.9.4</version><exclusions><exclusion><groupId>ch.qos.logback</groupId><artifactId>*</artifactId>\
    </exclusion></exclusions></dependency>";

fn dependency(group: &str, artifact: &str, version: &str) -> String {
    format!(
        "    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
         <version>{version}</version></dependency>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_jar_tells_the_version() {
        assert_eq!(version_of("kafka_2.13-4.3.1.jar").as_deref(), Some("4.3.1"));
        assert_eq!(version_of("kafka_2.13-3.9.2-sources.jar"), None);
        assert_eq!(version_of("kafka-clients-3.9.2.jar"), None);
        let folder = tempfile::tempdir().unwrap();
        let missing = Jars::find(Some(folder.path()), "3.9.2").unwrap_err();
        assert!(missing.to_string().contains("Kafka's server is not in there"), "{missing}");
        fs::write(folder.path().join("kafka_2.13-3.8.0.jar"), "").unwrap();
        assert_eq!(Jars::find(Some(folder.path()), "3.9.2").unwrap().version, "3.8.0");
    }

    #[test]
    fn only_a_version_is_put_into_the_project() {
        for version in ["", "../3", "3.9.2</version>", "latest"] {
            let refused = Jars::find(None, version).unwrap_err();
            assert!(refused.to_string().contains("is no version of Kafka"), "{refused}");
        }
    }

    #[test]
    fn zookeeper_is_fetched_for_versions_that_have_it() {
        assert!(project_model("3.9.2").contains("<artifactId>zookeeper</artifactId>"));
        assert!(!project_model("4.3.1").contains("zookeeper"));
    }
}
