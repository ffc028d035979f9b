//! `whimbrel bench report`: results to look at, as one page and as plots for documents.
//!
//! Made from the lines of a run alone. What comes from them is text: nothing in it is taken as markup.

mod describe;
mod escape;
mod histogram;
mod html;
pub mod lines;
pub mod metric;
pub mod model;
mod plots;
pub mod stats;
mod svg;
pub mod units;

#[cfg(test)]
pub mod sample;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use self::model::Results;
use super::result::Line;

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Results of runs: files of JSON lines, or the folders of runs
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Where the page goes; by default beside the results of the first run
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write each plot as a file of its own, too
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
}

/// Writes the page, and the plots if asked for.
///
/// # Errors
/// If a run cannot be read or a file cannot be written.
pub fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for run in &args.runs {
        all.extend(lines::read(run)?);
    }
    let output = args.output.clone().or_else(|| args.runs.first().map(|run| beside(run))).unwrap_or_default();
    write(&output, &html(&all))?;
    println!("{}", output.display());
    if let Some(folder) = &args.svg {
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        for (name, svg) in svgs(&all) {
            write(&folder.join(name), &svg)?;
        }
        println!("{}", folder.display());
    }
    Ok(())
}

fn beside(run: &Path) -> PathBuf {
    if run.is_dir() { run.join("report.html") } else { run.with_extension("html") }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// One page with everything, that needs nothing but itself.
pub fn html(lines: &[Line]) -> String {
    html::page(&Results::of(lines))
}

/// Every plot as a file: its name and its SVG.
pub fn svgs(lines: &[Line]) -> Vec<(String, String)> {
    let figures = plots::all(&Results::of(lines));
    figures.iter().map(|figure| (format!("{}.svg", figure.name), figure.file())).collect()
}
