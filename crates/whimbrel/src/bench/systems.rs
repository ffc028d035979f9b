//! Which systems a run measures, and how each is started.

use std::collections::BTreeMap;

use super::args::RunArgs;
use super::scenario::{PlannedPoint, Scenario};
use super::target::{Coordination, Jars, Target, TargetName, TargetSpec};
use crate::UsageError;
use crate::args::Common;

/// A system that is measured.
#[derive(Debug, Clone)]
pub enum SystemPlan {
    /// Somebody else's, with its processes on this machine.
    Running { bootstrap: String, pids: Vec<u32> },
    /// Started and stopped by the bench.
    Started(Box<TargetSpec>),
}

impl SystemPlan {
    /// All systems that are asked for: targets on the command line, else a cluster named there or in the environment,
    /// else the scenario's targets, else one Whimbrel.
    ///
    /// # Errors
    /// What is asked for contradicts itself.
    pub fn all(args: &RunArgs, scenario: &Scenario, common: &Common) -> Result<Vec<Self>, UsageError> {
        if common.is_bootstrap_given && args.target.is_empty() {
            return Ok(vec![Self::Running { bootstrap: common.bootstrap_server.clone(), pids: args.pid.clone() }]);
        }
        if !args.pid.is_empty() {
            return Err(UsageError("--pid is of a cluster that runs already: name it by --bootstrap-server".into()));
        }
        let parse = |name: &str| name.parse().map_err(|error| UsageError(format!("targets: {error}")));
        let mut names = args.target.clone();
        if names.is_empty() {
            names = scenario.targets.iter().map(|name| parse(name)).collect::<Result<_, _>>()?;
        }
        if names.is_empty() {
            names.push(parse("whimbrel")?);
        }
        names.iter().map(|name| Ok(Self::Started(Box::new(spec(name, args, scenario)?)))).collect()
    }

    /// `whimbrel`, `kafka`, `kafka-4.3.1`, or where it is.
    pub fn name(&self) -> &str {
        match self {
            Self::Running { bootstrap, .. } => bootstrap,
            Self::Started(spec) => &spec.name,
        }
    }

    /// Starts it for a point, or attaches to it.
    ///
    /// # Errors
    /// It does not start, or nobody answers.
    pub fn start(&self, planned: &PlannedPoint) -> anyhow::Result<Target> {
        match self {
            Self::Running { bootstrap, pids } => Target::attach(bootstrap, pids),
            Self::Started(spec) => {
                let mut spec = spec.clone();
                // What the command line says stands over the scenario.
                let said = std::mem::take(&mut spec.settings);
                spec.settings = planned.settings.clone().into_iter().chain(said).collect();
                spec.can_cut = planned.faults.iter().any(super::faults::FaultPlan::is_cut);
                Target::start(&spec)
            }
        }
    }
}

fn spec(name: &TargetName, args: &RunArgs, scenario: &Scenario) -> Result<TargetSpec, UsageError> {
    let mut spec = TargetSpec::new(name.kind);
    spec.name = name.to_string();
    spec.brokers = args.brokers.map(usize::from).or(scenario.brokers).unwrap_or(1);
    if ![1, 3].contains(&spec.brokers) {
        return Err(UsageError("a cluster that is started has 1 or 3 brokers".into()));
    }
    // A target with a version of its own stands beside others, which the flags are for.
    let is_apart = name.kafka_version.is_some();
    let version = match (&args.kafka_version, &args.kafka_jars) {
        (None, Some(folder)) if !is_apart => {
            Some(Jars::find(Some(folder), "").map_err(|error| UsageError(format!("{error:#}")))?.version)
        }
        (flag, _) => name.kafka_version.clone().or_else(|| flag.clone()),
    };
    if let Some(version) = version {
        spec.kafka_version = version;
    }
    let is_possible = |asked: &Coordination| !is_apart || asked.is_possible_for(name.kind, &spec.kafka_version);
    let asked = args.coordination.filter(is_possible);
    spec.coordination = asked.unwrap_or_else(|| Coordination::default_for(name.kind, &spec.kafka_version));
    spec.kafka_jars = args.kafka_jars.clone().filter(|_| !is_apart);
    spec.data.clone_from(&args.data);
    spec.whimbrel.clone_from(&args.whimbrel);
    spec.settings = args.set.iter().cloned().collect::<BTreeMap<_, _>>();
    Ok(spec)
}
