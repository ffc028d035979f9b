//! `whimbrel bench`: what a cluster delivers, how late, at what cost, and through which faults.

mod compare;
mod report;
mod result;
mod workload;

use clap::{Args, Subcommand};

use crate::args::Format;

#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Make a page of a run's results, to look at in a browser
    Report(report::ReportArgs),
    /// Put runs side by side
    Compare(compare::CompareArgs),
}

/// Carries out a `bench` command.
pub fn run(args: &BenchArgs, format: Format) -> anyhow::Result<()> {
    match &args.command {
        BenchCommand::Report(args) => report::run(args),
        BenchCommand::Compare(args) => compare::run(args, format),
    }
}
