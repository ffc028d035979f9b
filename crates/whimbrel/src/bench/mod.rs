//! `whimbrel bench`: what any Kafka-compatible cluster does with records: how late, how many, at what cost, and what is
//! left of it while brokers die.
//!
//! ```text
//! args, scenario ─▶ run ─▶ load (producers, consumers) ─▶ histogram, verify ─▶ result ─▶ output
//! ```
//! All that was found is in the lines of [`result`]; table, histograms and report are made from them alone.

mod args;
mod compare;
mod cost;
mod disturbances;
mod external;
mod faults;
mod histogram;
mod limits;
mod load;
mod machine;
mod output;
mod report;
pub mod result;
mod room;
mod run;
mod scenario;
mod systems;
mod target;
mod uptime;
mod verify;
pub mod workload;

pub use args::BenchArgs;

use args::BenchCommand;
use scenario::{SHIPPED, Scenario};

use crate::args::Common;
use crate::output::{Column, Output};

/// Carries out a command of `whimbrel bench`.
///
/// # Errors
/// The command line is wrong, or the cluster cannot be measured.
pub fn run(args: BenchArgs, common: &Common) -> anyhow::Result<()> {
    match args.command {
        BenchCommand::Run(args) => run::run(&args, common),
        BenchCommand::Report(args) => report::run(&args),
        BenchCommand::Compare(args) => compare::run(&args, common.format),
        BenchCommand::Scenarios => list_scenarios(Output::new(common.format)),
    }
}

#[derive(serde::Serialize)]
struct ScenarioEntry {
    name: &'static str,
    points: usize,
    description: String,
}

fn list_scenarios(output: Output) -> anyhow::Result<()> {
    let entry = |(name, _): &(&'static str, &str)| -> anyhow::Result<ScenarioEntry> {
        let scenario = Scenario::find(name)?;
        let points = scenario.points(&serde_json::Map::new())?.len();
        Ok(ScenarioEntry { name, points, description: scenario.description })
    };
    let entries = SHIPPED.iter().map(entry).collect::<anyhow::Result<Vec<_>>>()?;
    let columns = [Column::Text("SCENARIO"), Column::Number("POINTS"), Column::Text("WHAT")];
    output.list(&entries, &columns, |entry| {
        vec![entry.name.to_owned(), entry.points.to_string(), entry.description.clone()]
    })?;
    Ok(())
}
