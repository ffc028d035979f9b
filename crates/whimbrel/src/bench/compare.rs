//! `whimbrel bench compare`: runs side by side, with ratios to the first and what is beyond the noise.

mod judge;
mod matching;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use self::judge::Verdict;
use super::report::lines;
use super::report::metric::{COMPARED, Metric};
use super::report::model::{PointResults, Results};
use super::report::stats::Spread;
use super::report::units::ratio;
use super::result::Line;
use crate::UsageError;
use crate::args::Format;
use crate::output::{Column, Output};

/// What runs are called in the columns of the table.
const LETTERS: [&str; 8] = ["A", "B", "C", "D", "E", "F", "G", "H"];
const RATIOS: [&str; 8] = ["", "B/A", "C/A", "D/A", "E/A", "F/A", "G/A", "H/A"];

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Results of runs: files of JSON lines, or the folders of runs. The others are compared with the first
    #[arg(required = true, num_args = 2..=LETTERS.len(), value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Fail if a figure got worse by more than this and by more than the noise
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    fail_on_regression: Option<f64>,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if percent.is_finite() && 0.0 <= percent => Ok(percent),
        _ => Err(format!("\"{text}\" is no percentage such as 10")),
    }
}

/// Prints the comparison.
///
/// # Errors
/// If a run cannot be read, if a figure got worse by more than was allowed, or if that cannot be told.
pub fn run(args: &CompareArgs, format: Format) -> anyhow::Result<()> {
    let mut runs = Vec::new();
    for path in &args.runs {
        runs.push((path.display().to_string(), lines::read(path)?));
    }
    table(&runs, format)?;
    match args.fail_on_regression {
        Some(percent) => refuse_regressions(&compare(&runs), percent),
        None => Ok(()),
    }
}

/// Prints runs side by side: their names and lines.
///
/// # Errors
/// If nothing can be printed.
pub fn table(runs: &[(String, Vec<Line>)], format: Format) -> anyhow::Result<()> {
    let output = Output::new(format);
    let comparison = compare(runs);
    if output.is_json() {
        output.json(&comparison)?;
        return Ok(());
    }
    comparison.print_head()?;
    let count = runs.len().min(LETTERS.len());
    let mut columns =
        vec![Column::Text("POINT"), Column::Text("SYSTEM"), Column::Text("FIGURE"), Column::Number(LETTERS[0])];
    for index in 1..count {
        columns.extend([Column::Number(LETTERS[index]), Column::Number(RATIOS[index]), Column::Text("")]);
    }
    let mut rows: Vec<Row<'_>> = Vec::new();
    for figure in &comparison.figures {
        let above = rows.last().map(|row| (&row.figure.point, &row.figure.system));
        rows.push(Row { figure, begins: above != Some((&figure.point, &figure.system)) });
    }
    output.list(&rows, &columns, |row| row.cells(count))?;
    Ok(())
}

/// Everything that was found, as it is printed in JSON.
#[derive(Debug, Serialize)]
struct Comparison {
    /// The names of the runs, in the order of all values.
    runs: Vec<String>,
    /// How noise is judged.
    noise: &'static str,
    /// What was not measured in every run.
    missing: Vec<Missing>,
    /// Measurements of each run whose load generator was the bottleneck.
    bottlenecks: Vec<usize>,
    figures: Vec<Figure>,
}

#[derive(Debug, Serialize)]
struct Missing {
    run: String,
    point: String,
    system: String,
}

/// One figure of one point and system in every run.
#[derive(Debug, Serialize)]
struct Figure {
    point: String,
    system: String,
    figure: &'static str,
    /// Over the rounds of each run; `None` where it was not measured.
    values: Vec<Option<Value>>,
    #[serde(skip)]
    metric: Metric,
}

/// What one run found.
#[derive(Debug, Clone, Copy, Serialize)]
struct Value {
    median: f64,
    min: f64,
    max: f64,
    rounds: usize,
    /// Of a latency: the quantile of all rounds as one distribution.
    all_rounds: Option<f64>,
    /// To the first run; `None` in the first and where that is zero.
    ratio: Option<f64>,
    /// Against the first run; `None` in the first.
    verdict: Option<Verdict>,
}

/// A row of the table; point and system stand in the first of a block only.
#[derive(Serialize)]
struct Row<'a> {
    figure: &'a Figure,
    begins: bool,
}

impl Row<'_> {
    fn cells(&self, runs: usize) -> Vec<String> {
        let once = |text: &str| if self.begins { text.to_owned() } else { String::new() };
        let mut cells = vec![once(&self.figure.point), once(&self.figure.system), self.figure.metric.title.to_owned()];
        for (index, value) in self.figure.values.iter().take(runs).enumerate() {
            cells.push(value.map_or_else(|| "–".to_owned(), |value| self.figure.metric.show(value.median)));
            if 0 < index {
                let shown = value.and_then(|value| value.ratio).map_or_else(|| "–".to_owned(), ratio);
                let verdict = value.and_then(|value| value.verdict).map_or("", Verdict::mark);
                cells.extend([shown, verdict.to_owned()]);
            }
        }
        cells
    }
}

impl Comparison {
    fn print_head(&self) -> std::io::Result<()> {
        use std::io::Write;
        let mut out = std::io::stdout().lock();
        for ((letter, run), late) in LETTERS.iter().zip(&self.runs).zip(&self.bottlenecks) {
            writeln!(out, "{letter}  {run}")?;
            if 0 < *late {
                writeln!(out, "   the load generator was the bottleneck in {late} measurements")?;
            }
        }
        for missing in &self.missing {
            writeln!(out, "{} on {} was not measured in {}", missing.point, missing.system, missing.run)?;
        }
        writeln!(out, "{}\n", self.noise)
    }
}

fn compare(runs: &[(String, Vec<Line>)]) -> Comparison {
    let results: Vec<Results<'_>> = runs.iter().map(|(_, lines)| Results::of(lines)).collect();
    let matched = matching::matched(&results);
    let mut figures = Vec::new();
    let mut missing = Vec::new();
    for found in &matched {
        figures.extend(COMPARED.iter().filter_map(|metric| figure(found, metric)));
        for (run, _) in runs.iter().zip(&found.points).filter(|(_, point)| point.is_none()) {
            missing.push(Missing { run: run.0.clone(), point: found.point.to_owned(), system: found.system.clone() });
        }
    }
    let late =
        |results: &Results<'_>| results.rounds().filter(|(_, round)| round.generator.bottleneck.is_some()).count();
    Comparison {
        runs: runs.iter().map(|(name, _)| name.clone()).collect(),
        noise: judge::EXPLANATION,
        missing,
        bottlenecks: results.iter().map(late).collect(),
        figures,
    }
}

/// `None` if no run knows the figure.
fn figure(found: &matching::Matched<'_, '_>, metric: &Metric) -> Option<Figure> {
    let spread =
        |place: &Option<(&PointResults<'_>, usize)>| place.and_then(|(point, system)| point.spread(system, metric));
    let spreads: Vec<Option<Spread>> = found.points.iter().map(spread).collect();
    if spreads.iter().all(Option::is_none) {
        return None;
    }
    let first = spreads.first().copied().flatten();
    let values = spreads.iter().zip(&found.points).enumerate().map(|(index, (spread, place))| {
        let spread = (*spread)?;
        let base = first.filter(|_| 0 < index);
        Some(Value {
            median: spread.median,
            min: spread.min,
            max: spread.max,
            rounds: spread.rounds,
            all_rounds: place.and_then(|(point, system)| metric.of_all(point.of(system))),
            ratio: base.filter(|base| base.median != 0.0).map(|base| spread.median / base.median),
            verdict: base.map(|base| judge::judge(metric, &base, &spread)),
        })
    });
    let values = values.collect();
    Some(Figure {
        point: found.point.to_owned(),
        system: found.system.clone(),
        figure: metric.key,
        values,
        metric: *metric,
    })
}

/// # Errors
/// Names every figure that got worse by more than `percent` and the noise, and every point that the first run has and
/// another has not. If there are too few rounds to tell the noise of a figure it is the command line that is wrong.
fn refuse_regressions(comparison: &Comparison, percent: f64) -> anyhow::Result<()> {
    let judged =
        || comparison.figures.iter().flat_map(|figure| figure.values.iter().skip(1).map(move |value| (figure, value)));
    let mut worse: Vec<String> =
        judged().filter_map(|(figure, value)| regression(figure, (*value)?, percent)).collect();
    let first = comparison.runs.first();
    worse.extend(
        comparison
            .missing
            .iter()
            .filter(|missing| Some(&missing.run) != first)
            .map(|missing| format!("{} on {}: not measured in {}", missing.point, missing.system, missing.run)),
    );
    if !worse.is_empty() {
        anyhow::bail!("worse by more than {percent} % and the noise:\n  {}", worse.join("\n  "));
    }
    let is_unknown = |value: Option<Value>| value.is_some_and(|value| value.verdict == Some(Verdict::Unknown));
    match judged().filter(|(_, value)| is_unknown(**value)).count() {
        0 => Ok(()),
        unknown => {
            let min = judge::ROUNDS_MIN;
            Err(UsageError(format!(
                "{unknown} figures cannot be judged: noise is known from {min} rounds on, in both runs"
            ))
            .into())
        }
    }
}

fn regression(figure: &Figure, value: Value, percent: f64) -> Option<String> {
    let base = figure.values.first().copied().flatten()?;
    let change = figure.metric.worsening(base.median, value.median) * 100.0;
    let is_worse = value.verdict == Some(Verdict::Worse) && (figure.metric.is_breach || percent < change);
    is_worse.then(|| {
        let (before, after) = (figure.metric.show(base.median), figure.metric.show(value.median));
        format!("{} on {}: {} was {before}, is {after}", figure.point, figure.system, figure.metric.title)
    })
}
