//! Compares the declarations of the wire crate with the schemas that Kafka's jars carry.
//!
//! Two releases are asked, because neither knows all: Kafka 4 dropped old versions, and 3.9 lacks new ones. Each
//! declaration must agree with both, field by field and version by version, where both know the version; it must start
//! at the lowest version of 3.9.2 and end at the highest stable one of 4.3.1. What 4.3.1 no longer serves at all, the
//! requests of a ZooKeeper controller, is compared with 3.9.2 alone, at both ends.

mod compare;
mod jar;
mod kafka;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use whimbrel_wire::spec::MessageSpec;
use whimbrel_wire::{API_TABLE, STORED_MESSAGES, WHIMBREL_KEYS_MIN};

use compare::Ends;
use jar::Jar;
use kafka::Schema;

const OLD: &str = "3.9.2";
const NEW: &str = "4.3.1";

/// Schemas of the group coordinator's records. Kafka 4 has the same with another notation of the keys' versions.
const COORDINATOR: &str = "kafka-group-coordinator";
const CLIENTS: &str = "kafka-clients";

/// Prints every difference. Returns whether there was none.
pub fn run(dirs: &[PathBuf]) -> Result<bool> {
    let old = jar::open(&find(dirs, CLIENTS, OLD)?)?;
    let new = jar::open(&find(dirs, CLIENTS, NEW)?)?;
    let coordinator = jar::open(&find(dirs, COORDINATOR, OLD)?)?;

    let mut differences = Vec::new();
    let mut compared = 0;
    let mut check = |spec: &MessageSpec, schema: &Schema, key: Option<i16>, release: &str, ends: Ends| {
        let found = compare::compare(spec, key, schema, ends);
        differences.extend(found.into_iter().map(|difference| format!("{difference} (Kafka {release})")));
    };
    for api in API_TABLE.iter().filter(|api| api.key.code() < WHIMBREL_KEYS_MIN) {
        let removed = schema(&new, api.request, NEW)?.valid.is_empty();
        let releases: &[_] =
            if removed { &[(OLD, &old, Ends::Both)] } else { &[(OLD, &old, Ends::Low), (NEW, &new, Ends::High)] };
        for &(release, jar, ends) in releases {
            let request = schema(jar, api.request, release)?;
            let mut response = schema(jar, api.response, release)?;
            // Kafka says so at the request only.
            response.latest_unstable = request.latest_unstable;
            check(api.request, &request, Some(api.key.code()), release, ends);
            check(api.response, &response, Some(api.key.code()), release, ends);
        }
        compared += 2;
    }
    for spec in STORED_MESSAGES {
        if coordinator.contains(spec.body.name) {
            check(spec, &schema(&coordinator, spec, OLD)?, None, OLD, Ends::Both);
        } else {
            check(spec, &schema(&old, spec, OLD)?, None, OLD, Ends::Low);
            check(spec, &schema(&new, spec, NEW)?, None, NEW, Ends::High);
        }
        compared += 1;
    }

    for difference in &differences {
        eprintln!("{difference}");
    }
    println!("{compared} messages compared with Kafka {OLD} and {NEW}: {} differences", differences.len());
    Ok(differences.is_empty())
}

/// Kafka's schema of a declared message.
fn schema(jar: &Jar, spec: &MessageSpec, release: &str) -> Result<Schema> {
    let name = spec.body.name;
    let text = jar.schema(name)?.with_context(|| format!("Kafka {release} has no schema {name}"))?;
    Schema::parse(&text).with_context(|| format!("schema {name} of Kafka {release}"))
}

/// The jar of one artifact, somewhere below one of the directories.
fn find(dirs: &[PathBuf], artifact: &str, version: &str) -> Result<PathBuf> {
    let file = format!("{artifact}-{version}.jar");
    for dir in dirs {
        if let Some(path) = find_below(dir, &file)? {
            return Ok(path);
        }
    }
    bail!(
        "{file} is not below {}; `mvn dependency:get -Dartifact=org.apache.kafka:{artifact}:{version}` gets it",
        dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(" or ")
    )
}

fn find_below(dir: &Path, file: &str) -> Result<Option<PathBuf>> {
    let path = dir.join(file);
    if path.is_file() {
        return Ok(Some(path));
    }
    for entry in std::fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir()
            && let Some(path) = find_below(&entry.path(), file)?
        {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
