//! `whimbrel bench run`: all points of a scenario, on each system in turn.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;

use super::args::RunArgs;
use super::histogram::latency;
use super::load::{Load, LoadResult};
use super::output::lines::Lines;
use super::output::live::{LiveView, Place};
use super::output::{hgrm, table};
use super::result::{Line, Machine, Point, Run, System};
use super::scenario::{PlannedPoint, Scenario};
use crate::args::{Common, Format};
use crate::logging;

/// What a point takes besides its seconds, for the estimate of the time left.
const POINT_OVERHEAD_SECONDS: f64 = 1.5;

/// Measures what `args` ask for.
///
/// # Errors
/// The command line is wrong, or the cluster cannot be measured.
pub fn run(args: &RunArgs, common: &Common) -> anyhow::Result<()> {
    logging::for_tools();
    let scenario = match &args.scenario {
        Some(name) => Scenario::find(name)?,
        None => Scenario::custom(),
    };
    let points = scenario.points(&args.workload.matrix())?;
    let rounds = args.rounds.or(scenario.rounds).unwrap_or(1);
    let mut report = Report::new(args, common.format)?;
    report.add(Line::Run(description(&scenario)))?;
    for round in 1..=rounds {
        for (index, planned) in points.iter().enumerate() {
            let behind = &points[index + 1..];
            let seconds = |planned: &PlannedPoint| {
                planned.workload.seconds + planned.workload.warmup_seconds + POINT_OVERHEAD_SECONDS
            };
            let place = Place {
                what: format!("{}/{} {}", index + 1, points.len(), planned.name),
                seconds_behind: behind.iter().map(seconds).sum(),
            };
            let load = Load::prepare(&common.bootstrap_server, &planned.workload, &run_name(), !args.no_verify)?;
            let live = LiveView::start(load.shared().clone(), place);
            let result = load.run(|| {})?;
            drop(live);
            let system =
                System { name: common.bootstrap_server.clone(), client: "whimbrel".into(), ..System::default() };
            report.histograms(planned, &system, round, &result)?;
            report.add(Line::Point(Box::new(point(planned, system, round, result))))?;
        }
    }
    report.finish()
}

/// Told apart from all other runs on the same cluster.
fn run_name() -> String {
    let now = jiff::Timestamp::now();
    format!("{}-{}", now.as_millisecond(), std::process::id())
}

fn description(scenario: &Scenario) -> Run {
    Run {
        scenario: scenario.name.clone(),
        command: std::env::args().collect(),
        started: jiff::Timestamp::now().to_string(),
        bench_version: env!("CARGO_PKG_VERSION").to_owned(),
        machine: Machine::default(),
        limits: BTreeMap::new(),
    }
}

fn point(planned: &PlannedPoint, system: System, round: u32, result: LoadResult) -> Point {
    let LoadResult { recorded, generator, verification, errors } = result;
    Point {
        name: planned.name.clone(),
        system,
        round,
        workload: planned.workload.clone(),
        seconds: planned.workload.seconds,
        produced: recorded.produced,
        consumed: recorded.consumed,
        ack_latency: latency(&recorded.ack_latency),
        end_to_end_latency: latency(&recorded.end_to_end_latency),
        series: recorded.series,
        generator,
        cost: Vec::new(),
        verification,
        errors,
        faults: Vec::new(),
        uptime: None,
    }
}

/// Where results go.
struct Report {
    folder: Option<PathBuf>,
    lines: Option<Lines<File>>,
    stdout: Option<Lines<std::io::Stdout>>,
    points: Vec<Point>,
}

impl Report {
    fn new(args: &RunArgs, format: Format) -> anyhow::Result<Self> {
        let folder = args.output.clone();
        let lines = match &folder {
            None => None,
            Some(folder) => {
                fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
                Some(Lines::new(File::create(folder.join("results.jsonl"))?))
            }
        };
        let stdout = (format == Format::Json).then(|| Lines::new(std::io::stdout()));
        Ok(Self { folder, lines, stdout, points: Vec::new() })
    }

    fn add(&mut self, line: Line) -> anyhow::Result<()> {
        if let Some(lines) = &mut self.lines {
            lines.write(&line)?;
        }
        if let Some(stdout) = &mut self.stdout {
            stdout.write(&line)?;
        }
        if let Line::Point(point) = line {
            self.points.push(*point);
        }
        Ok(())
    }

    fn histograms(
        &self,
        planned: &PlannedPoint,
        system: &System,
        round: u32,
        found: &LoadResult,
    ) -> anyhow::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        for (what, histogram) in
            [("ack", &found.recorded.ack_latency), ("end-to-end", &found.recorded.end_to_end_latency)]
        {
            if !histogram.is_empty() {
                let name = format!("{} {} {round} {what}", planned.name, system.name);
                let name: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
                fs::write(folder.join(format!("{name}.hgrm")), hgrm::text(histogram))?;
            }
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        if self.stdout.is_none() {
            table::print(&self.points)?;
        }
        if let Some(folder) = &self.folder {
            writeln!(std::io::stderr(), "results are in {}", folder.display())?;
        }
        Ok(())
    }
}
