//! Which systems a run measures, and how each is started.

use std::collections::BTreeMap;

use clap::ValueEnum;

use super::args::RunArgs;
use super::scenario::{PlannedPoint, Scenario};
use super::target::{Coordination, Kind, Target, TargetSpec};
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
        let named = |name: &String| Kind::from_str(name, true).map_err(|error| UsageError(format!("targets: {error}")));
        let of_scenario = scenario.targets.iter().map(named).collect::<Result<Vec<_>, _>>()?;
        let kinds = [&args.target, &of_scenario].into_iter().find(|kinds| !kinds.is_empty());
        let kinds = kinds.map_or(&[Kind::Whimbrel][..], Vec::as_slice);
        kinds.iter().map(|kind| Ok(Self::Started(Box::new(spec(*kind, args, scenario)?)))).collect()
    }

    /// `whimbrel`, `kafka`, or where it is.
    pub fn name(&self) -> &str {
        match self {
            Self::Running { bootstrap, .. } => bootstrap,
            Self::Started(spec) => spec.kind.name(),
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

fn spec(kind: Kind, args: &RunArgs, scenario: &Scenario) -> Result<TargetSpec, UsageError> {
    let mut spec = TargetSpec::new(kind);
    spec.brokers = args.brokers.map(usize::from).or(scenario.brokers).unwrap_or(1);
    if ![1, 3].contains(&spec.brokers) {
        return Err(UsageError("a cluster that is started has 1 or 3 brokers".into()));
    }
    if let Some(version) = &args.kafka_version {
        spec.kafka_version.clone_from(version);
    }
    spec.coordination = args.coordination.unwrap_or_else(|| Coordination::default_for(kind, &spec.kafka_version));
    spec.kafka_jars.clone_from(&args.kafka_jars);
    spec.data.clone_from(&args.data);
    spec.whimbrel.clone_from(&args.whimbrel);
    spec.settings = args.set.iter().cloned().collect::<BTreeMap<_, _>>();
    Ok(spec)
}
