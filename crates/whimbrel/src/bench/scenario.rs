//! Scenarios: what is measured, as a matrix of workloads, from a TOML file and the command line.
//!
//! ```toml
//! description = "one line"
//! rounds = 3
//!
//! [workload]                     # by the names of `Workload`; of lists, every combination is a point
//! record_bytes = [100, 1024]
//! rate = [10_000, "max"]
//!
//! [[variant]]                    # optional: the matrix is measured once for each
//! name = "defaults"
//! workload.batch_bytes = 16384   # stands over the matrix
//! settings."num.io.threads" = 8  # of the brokers that the bench starts
//! faults = ["kill leader at 10s for 20s"]            # as of `FaultPlan`
//! disturbances = ["create 1000 topics at 3s"]        # as of `Disturbance`
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::args::{MAX, keys, payload};
use super::disturbances::Disturbance;
use super::faults::FaultPlan;
use super::load::{FETCH_BYTES_MAX, NAME_BYTES, PRODUCERS_MAX};
use super::workload::{Acks, Workload};
use crate::UsageError;

/// The scenarios that come with the program.
pub const SHIPPED: [(&str, &str); 5] = [
    ("quick", include_str!("scenarios/quick.toml")),
    ("paper", include_str!("scenarios/paper.toml")),
    ("failover", include_str!("scenarios/failover.toml")),
    ("partitions", include_str!("scenarios/partitions.toml")),
    ("soak", include_str!("scenarios/soak.toml")),
];
/// The name of what is given by flags alone.
pub const CUSTOM: &str = "custom";
/// More than this is a mistake rather than a plan.
const POINTS_MAX: usize = 10_000;

/// What is measured.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    #[serde(skip)]
    pub name: String,
    pub description: String,
    pub rounds: Option<u32>,
    /// Systems to start, by their names.
    pub targets: Vec<String>,
    pub brokers: Option<usize>,
    /// Settings of the brokers, by Kafka's keys.
    pub settings: BTreeMap<String, Setting>,
    /// What is done to the system while it is measured.
    pub faults: Vec<FaultPlan>,
    /// What the system is asked besides the load.
    pub disturbances: Vec<Disturbance>,
    pub workload: Map<String, Value>,
    #[serde(rename = "variant")]
    pub variants: Vec<Variant>,
}

/// The matrix, with some of its values and settings replaced.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Variant {
    pub name: String,
    pub workload: Map<String, Value>,
    pub settings: BTreeMap<String, Setting>,
    /// Besides those of the scenario.
    pub faults: Vec<FaultPlan>,
    /// Besides those of the scenario.
    pub disturbances: Vec<Disturbance>,
}

/// A value of a setting; numbers and booleans need no quotes in TOML.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    Text(String),
    Number(i64),
    Flag(bool),
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
        }
    }
}

/// One workload, with the settings of the brokers it is put to.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedPoint {
    pub name: String,
    pub workload: Workload,
    pub settings: BTreeMap<String, String>,
    pub faults: Vec<FaultPlan>,
    pub disturbances: Vec<Disturbance>,
}

impl Scenario {
    /// A scenario that comes with the program, or one from a file.
    ///
    /// # Errors
    /// There is none of this name, or the file is no scenario.
    pub fn find(name: &str) -> anyhow::Result<Self> {
        if let Some((name, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            return Self::parse(name, text);
        }
        let path = Path::new(name);
        let is_path = path.extension().is_some_and(|extension| extension == "toml");
        if !is_path {
            let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
            let names = names.join(", ");
            return Err(UsageError(format!("there is no scenario \"{name}\": {names}, or a .toml file")).into());
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("scenario {name}"))?;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        Self::parse(&stem.unwrap_or_default(), &text)
    }

    fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
        let parsed: Result<Self, _> = toml::from_str(text);
        let mut scenario = parsed.map_err(|error| UsageError(format!("scenario {name}: {error}")))?;
        scenario.name = name.to_owned();
        Ok(scenario)
    }

    /// What flags alone ask for.
    pub fn custom() -> Self {
        Self { name: CUSTOM.to_owned(), ..Self::default() }
    }

    /// All points, in the order in which they are measured. `flags` stand over matrix and variants.
    ///
    /// # Errors
    /// A workload has an unknown key or an impossible value, or there are too many.
    pub fn points(&self, flags: &Map<String, Value>) -> Result<Vec<PlannedPoint>, UsageError> {
        let whole = [Variant::default()];
        let variants = if self.variants.is_empty() { &whole } else { &self.variants[..] };
        let mut points = Vec::new();
        for variant in variants {
            let mut matrix = self.workload.clone();
            matrix.extend(variant.workload.clone());
            matrix.extend(flags.clone());
            let settings = self.settings.iter().chain(&variant.settings);
            let settings: BTreeMap<_, _> = settings.map(|(key, value)| (key.clone(), value.to_string())).collect();
            for (values, varying) in combinations(&matrix)? {
                let words = std::iter::once(variant.name.clone()).filter(|name| !name.is_empty()).chain(varying);
                let name = words.collect::<Vec<_>>().join(" ");
                let name = if name.is_empty() { self.name.clone() } else { name };
                let (settings, faults) = (settings.clone(), [&self.faults[..], &variant.faults].concat());
                let disturbances = [&self.disturbances[..], &variant.disturbances].concat();
                points.push(PlannedPoint { workload: workload(values)?, settings, faults, disturbances, name });
            }
        }
        Ok(points)
    }
}

type Combination = (Map<String, Value>, Vec<String>);

/// Every combination of the values, each with words for those that differ.
fn combinations(matrix: &Map<String, Value>) -> Result<Vec<Combination>, UsageError> {
    let mut all: Vec<Combination> = vec![(Map::new(), Vec::new())];
    for (key, value) in matrix {
        let one = [value.clone()];
        let values = match value {
            Value::Array(values) => values.as_slice(),
            _ => &one,
        };
        if POINTS_MAX < all.len() * values.len() {
            return Err(UsageError(format!("more than {POINTS_MAX} combinations")));
        }
        let with = |(values_before, words): &Combination, value: &Value| {
            let (mut combined, mut words) = (values_before.clone(), words.clone());
            combined.insert(key.clone(), value.clone());
            if 1 < values.len() {
                words.push(format!("{key}={}", word(value)));
            }
            (combined, words)
        };
        all = all.iter().flat_map(|before| values.iter().map(move |value| with(before, value))).collect();
    }
    Ok(all)
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string().replace(['"', ' '], ""),
    }
}

/// A workload from its values. Rates, payloads and keys may be written as on the command line.
fn workload(mut values: Map<String, Value>) -> Result<Workload, UsageError> {
    if values.get("rate").is_some_and(|rate| rate == MAX) {
        values.insert("rate".into(), Value::Null);
    }
    if let Some(Value::String(text)) = values.get("payload") {
        let parsed = payload(text).map_err(UsageError)?;
        values.insert("payload".into(), json!(parsed));
    }
    if let Some(Value::String(text)) = values.get("keys") {
        let parsed = keys(text).map_err(UsageError)?;
        values.insert("keys".into(), json!(parsed));
    }
    let parsed = serde_json::from_value(Value::Object(values));
    let workload: Workload = parsed.map_err(|error| UsageError(format!("workload: {error}")))?;
    check(&workload)?;
    Ok(workload)
}

fn check(workload: &Workload) -> Result<(), UsageError> {
    let wrong = |text: String| Err(UsageError(text));
    if workload.record_bytes < NAME_BYTES {
        return wrong(format!("a record has {NAME_BYTES} bytes at least: they name it, so that it can be found again"));
    }
    if !(1..=PRODUCERS_MAX).contains(&workload.producers) {
        return wrong(format!("there may be 1 to {PRODUCERS_MAX} producers"));
    }
    if workload.topics < 1 || workload.partitions < 1 || workload.replicas < 1 {
        return wrong("topics, partitions and replicas are 1 at least".into());
    }
    if workload.in_flight < 1 || workload.batch_bytes < 1 || workload.groups < 1 {
        return wrong("in_flight, batch_bytes and groups are 1 at least".into());
    }
    if !(1..=FETCH_BYTES_MAX as usize).contains(&workload.fetch_min_bytes) {
        return wrong(format!("fetch_min_bytes is 1 to {FETCH_BYTES_MAX}"));
    }
    if workload.idempotent && (workload.acks != Acks::All || 5 < workload.in_flight) {
        return wrong("idempotence needs acks=all, and 5 requests in flight at most".into());
    }
    let is_time = |seconds: f64| (0.0..=1e6).contains(&seconds);
    if !is_time(workload.seconds) || workload.seconds <= 0.0 || !is_time(workload.warmup_seconds) {
        return wrong("seconds are more than 0".into());
    }
    if !(0.0..=1e6).contains(&workload.linger_ms) {
        return wrong("linger_ms is not negative".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
