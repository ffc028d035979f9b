//! Checks of the repository: `cargo xtask schemas`.

mod schemas;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask schemas [--jars DIR]...

Compares the message declarations of the wire crate with the schemas inside Kafka's jars. DIR is searched for
kafka-clients-3.9.2.jar, kafka-clients-4.3.1.jar and kafka-group-coordinator-3.9.2.jar, with its sub-directories;
without it, the local Maven repository is.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(dirs) = parse(&args) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match schemas::run(&dirs) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The directories to search.
fn parse(args: &[String]) -> Option<Vec<PathBuf>> {
    let (command, mut rest) = args.split_first()?;
    if command != "schemas" {
        return None;
    }
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
