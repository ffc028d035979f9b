//! Work on the repository: `cargo xtask schemas` checks the messages, `cargo xtask dist` builds what is shipped.

mod dist;
mod schemas;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask schemas [--jars DIR]...
       cargo xtask dist

schemas compares the message declarations of the wire crate with the schemas inside Kafka's jars. DIR is searched for
kafka-clients-3.9.2.jar, kafka-clients-4.3.1.jar and kafka-group-coordinator-3.9.2.jar, with its sub-directories;
without it, the local Maven repository is.

dist builds the binary that is shipped, target/pgo/whimbrel, optimized for what a broker does under load. It needs
rustup's component llvm-tools, and a quarter of an hour on two cores.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(command) = Command::parse(&args) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match command.run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

enum Command {
    Dist,
    /// The directories to search.
    Schemas(Vec<PathBuf>),
}

impl Command {
    fn parse(args: &[String]) -> Option<Self> {
        let (command, rest) = args.split_first()?;
        match command.as_str() {
            "dist" => rest.is_empty().then_some(Self::Dist),
            "schemas" => parse_dirs(rest).map(Self::Schemas),
            _ => None,
        }
    }

    /// Whether all is well.
    fn run(self) -> anyhow::Result<bool> {
        match self {
            Self::Dist => {
                println!("{}", dist::run()?.display());
                Ok(true)
            }
            Self::Schemas(dirs) => schemas::run(&dirs),
        }
    }
}

fn parse_dirs(mut rest: &[String]) -> Option<Vec<PathBuf>> {
    let mut dirs = Vec::new();
    while let Some((option, values)) = rest.split_first() {
        let (dir, others) = values.split_first()?;
        if option != "--jars" {
            return None;
        }
        dirs.push(PathBuf::from(dir));
        rest = others;
    }
    if dirs.is_empty() {
        dirs.push(std::env::home_dir()?.join(".m2/repository/org/apache/kafka"));
    }
    Some(dirs)
}
