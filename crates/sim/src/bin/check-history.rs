//! Checks the history of one test run: `check-history FILE...`. Exits with 1 when a promise is broken.

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use whimbrel_sim::{checker, history};

/// More than these are counted only.
const SHOWN_MAX: usize = 50;

fn main() -> anyhow::Result<ExitCode> {
    let mut lines = Vec::new();
    for path in std::env::args().skip(1) {
        let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        lines.extend(history::parse(&text).with_context(|| path.clone())?);
    }
    let (counts, violations) = checker::check(lines);
    println!("{counts}");
    ensure!(0 < counts.acknowledged && 0 < counts.stored, "the history proves nothing");
    for violation in violations.iter().take(SHOWN_MAX) {
        println!("{violation}");
    }
    println!("{} broken promises", violations.len());
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
