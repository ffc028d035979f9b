//! The one binary: a broker, a keeper, and the tools for both. The tools work against any Kafka cluster.
//!
//! Exit codes: 0 done, 1 it failed, 2 the command line or the configuration is wrong.

mod advice;
mod args;
mod bench;
mod cluster;
mod config;
mod consume;
mod group;
mod keeper;
mod leader;
mod local_servers;
mod log_dump;
mod logging;
mod output;
mod produce;
mod progress;
mod reassign;
mod signals;
mod start;
mod template;
mod times;
mod topic;

use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::{Cli, Command, Common};
use crate::cluster::{ClusterArgs, ClusterCommand};
use crate::output::Output;

// Buffers are freed on other threads than those that made them; mimalloc is several times faster at that than glibc.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The command line or the configuration is wrong: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

fn main() -> ExitCode {
    refuse_huge_pages(true);
    let (command, common) = Cli::read();
    match run(command, &common) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("whimbrel: {}", with_causes(&error));
            if let Some(advice) = advice::for_error(&error) {
                eprintln!("  {advice}");
            }
            if error.is::<UsageError>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Where the kernel gives huge pages to who did not ask for them (`always`), an idle broker would hold 14 MB where 4 are
/// in use: its threads take one each and fill little of it. Buffers are reused, so that page faults are not what costs.
fn refuse_huge_pages(are_refused: bool) {
    // A kernel that does not know the call has no huge pages to refuse, and nothing is lost but memory.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(are_refused);
}

/// The error with its causes, each said once: some texts name their cause themselves.
fn with_causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        said if said.contains(&cause) => text,
        _ => format!("{text}: {cause}"),
    })
}

fn run(command: Command, common: &Common) -> anyhow::Result<()> {
    match command {
        Command::Start(args) => start::run(&args),
        Command::Keeper(args) => keeper::run(&args),
        Command::Cluster(ClusterArgs { command: ClusterCommand::Start { playground, logging } }) => {
            cluster::start(&playground, &logging)
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "whimbrel", &mut std::io::stdout());
            Ok(())
        }
        Command::Log(args) => log_dump::run(&args, common.format),
        Command::Bench(args) => {
            // What it starts inherits this, Kafka among it.
            refuse_huge_pages(false);
            bench::run(args, common)
        }
        remote => {
            logging::for_tools();
            let output = Output::new(common.format);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let done = runtime.block_on(run_remote(remote, common, output));
            // A blocked read of the standard input must not keep the process.
            runtime.shutdown_background();
            done
        }
    }
}

async fn run_remote(command: Command, common: &Common, output: Output) -> anyhow::Result<()> {
    let cluster = common.cluster();
    match command {
        Command::Topic(args) => topic::run(args, &cluster, output).await,
        Command::Group(args) => group::run(args, &cluster, output).await,
        Command::Produce(args) => produce::run(args, cluster, common.timeout, output).await,
        Command::Consume(args) => consume::run(args, cluster, output).await,
        Command::Config(args) => config::run(args, &cluster, output).await,
        Command::Cluster(args) => cluster::run(args, &cluster, output).await,
        Command::Reassign(args) => reassign::run(args, &cluster, output).await,
        Command::Leader(args) => leader::run(args, &cluster, output).await,
        Command::Start(_) | Command::Keeper(_) | Command::Completions { .. } | Command::Log(_) | Command::Bench(_) => {
            Ok(())
        }
    }
}
