//! Reads the JSON lines of a run.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::bench::result::Line;

/// What a run's folder calls its results.
pub const RESULTS: &str = "results.jsonl";

/// The lines of a file, or of the results in a run's folder.
///
/// # Errors
/// If it cannot be read, or a line is none of a measurement; the error names file and line.
pub fn read(path: &Path) -> anyhow::Result<Vec<Line>> {
    let path = file_of(path);
    let file = File::open(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut lines = Vec::new();
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| format!("{} cannot be read", path.display()))?;
        if line.trim().is_empty() {
            continue;
        }
        let parsed = serde_json::from_str(&line)
            .with_context(|| format!("{}:{} is no result of a measurement", path.display(), index + 1))?;
        lines.push(parsed);
    }
    Ok(lines)
}

fn file_of(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(RESULTS) } else { path.to_owned() }
}
