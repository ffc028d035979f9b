//! `whimbrel bench run`: all points of a scenario, on each system in turn, round by round.

use std::sync::atomic::{AtomicBool, Ordering};

use super::args::RunArgs;
use super::cost::{CostMeter, Roster};
use super::disturbances::Disturber;
use super::external::{self, Client};
use super::load::{Bounds, Load, LoadOptions, LoadResult};
use super::output::live::{LiveView, Place};
use super::output::results::Results;
use super::result::{Fault, Line, Point, ProcessCost, Run};
use super::room::{Room, RoomWatch};
use super::scenario::{PlannedPoint, Scenario};
use super::systems::SystemPlan;
use super::target::{Target, default_data};
use super::{faults, limits, machine};
use crate::args::Common;
use crate::logging;

/// What a point takes besides its seconds, for the estimate of the time left.
const POINT_OVERHEAD_SECONDS: f64 = 1.5;

/// Measures what `args` ask for.
///
/// # Errors
/// The command line is wrong, or a system cannot be started or measured. What was found before is written.
pub fn run(args: &RunArgs, common: &Common) -> anyhow::Result<()> {
    logging::for_tools();
    let scenario = match &args.scenario {
        Some(name) => Scenario::find(name)?,
        None => Scenario::custom(),
    };
    let mut points = scenario.points(&args.workload.matrix())?;
    for point in &mut points {
        point.faults.extend(args.fault.iter().cloned());
        point.disturbances.extend(&args.disturb);
    }
    let systems = SystemPlan::all(args, &scenario, common)?;
    let mut results = Results::new(args.output.as_deref(), common.format)?;
    results.add(Line::Run(description(&scenario, args)))?;
    let rounds = args.rounds.or(scenario.rounds).unwrap_or(1);
    let mut plan = Plan { args, points: &points, seconds_left: 0.0 };
    plan.seconds_left = f64::from(rounds) * systems.len() as f64 * points.iter().map(seconds).sum::<f64>();
    let measured = (1..=rounds)
        .try_for_each(|round| systems.iter().try_for_each(|system| plan.measure(system, round, &mut results)));
    // What was found is told, even if the rest failed.
    results.finish()?;
    measured
}

fn description(scenario: &Scenario, args: &RunArgs) -> Run {
    let data = args.data.clone().unwrap_or_else(default_data);
    Run {
        scenario: scenario.name.clone(),
        command: std::env::args().collect(),
        started: jiff::Timestamp::now().to_string(),
        bench_version: env!("CARGO_PKG_VERSION").to_owned(),
        machine: machine::describe(&data),
        limits: limits::measure(&data),
    }
}

fn seconds(planned: &PlannedPoint) -> f64 {
    planned.workload.seconds + planned.workload.warmup_seconds + POINT_OVERHEAD_SECONDS
}

/// A run on its way.
struct Plan<'a> {
    args: &'a RunArgs,
    points: &'a [PlannedPoint],
    seconds_left: f64,
}

impl Plan<'_> {
    /// Measures all points on one system.
    fn measure(&mut self, system: &SystemPlan, round: u32, results: &mut Results) -> anyhow::Result<()> {
        let mut running: Option<(&PlannedPoint, Target, Option<Room>)> = None;
        for (index, planned) in self.points.iter().enumerate() {
            // Points that need the same brokers share them.
            let (mut target, room) = match running.take() {
                Some((before, target, room)) if planned.needs_same_brokers(before) => {
                    if let (Some(room), Some(folder)) = (room, target.folder()) {
                        room.wait_for_half(folder);
                    }
                    (target, room)
                }
                other => {
                    if let Some((_, target, _)) = other {
                        target.stop()?;
                    }
                    let target = system.start(planned)?;
                    let room = target.folder().and_then(|folder| Room::of(folder).ok());
                    (target, room)
                }
            };
            self.seconds_left -= seconds(planned);
            let place = Place {
                what: format!("{} {}/{} round {round}: {}", system.name(), index + 1, self.points.len(), planned.name),
                seconds_behind: self.seconds_left,
            };
            self.measure_point(&mut target, planned, round, place, results)?;
            target.check()?;
            running = Some((planned, target, room));
        }
        running.map_or(Ok(()), |(_, target, _)| target.stop())
    }

    fn measure_point(
        &self,
        target: &mut Target,
        planned: &PlannedPoint,
        round: u32,
        place: Place,
        results: &mut Results,
    ) -> anyhow::Result<()> {
        faults::check(target, &planned.faults)?;
        let mut meter = Meter::new(target.roster());
        let (found, faults, recorded) = match self.args.client {
            Client::Whimbrel => {
                let (found, faults) = self.load(target, planned, place, &mut meter)?;
                let LoadResult { found, ack_latency, end_to_end_latency } = found;
                (found, faults, Some((ack_latency, end_to_end_latency)))
            }
            other => (external::run(other, self.args, target.bootstrap(), planned, &mut meter)?, Vec::new(), None),
        };
        let mut system = target.system();
        system.client = self.args.client.name().to_owned();
        let point = Point {
            name: planned.name.clone(),
            system,
            round,
            workload: planned.workload.clone(),
            seconds: found.seconds,
            produced: found.produced,
            consumed: found.consumed,
            ack_latency: found.ack_latency,
            end_to_end_latency: found.end_to_end_latency,
            series: found.series,
            generator: found.generator,
            cost: meter.cost,
            verification: found.verification,
            errors: found.errors,
            faults,
            uptime: found.uptime,
        };
        if let Some((ack, end_to_end)) = recorded {
            results.histograms(&point, &[("ack", &ack), ("end-to-end", &end_to_end)])?;
        }
        results.add(Line::Point(Box::new(point)))
    }

    /// Runs the load, with faults and disturbances on threads beside it.
    fn load(
        &self,
        target: &mut Target,
        planned: &PlannedPoint,
        place: Place,
        meter: &mut Meter,
    ) -> anyhow::Result<(LoadResult, Vec<Fault>)> {
        let options = LoadOptions {
            is_verified: !self.args.no_verify,
            has_uptime: self.args.uptime || !planned.faults.is_empty(),
        };
        let run = run_name();
        let disturber = match &planned.disturbances[..] {
            [] => None,
            plans => Some(Disturber::prepare(plans, &planned.workload, &run, target)?),
        };
        let load = Load::prepare(target.bootstrap(), &planned.workload, &run, options)?;
        let _live = LiveView::start(load.shared().clone(), place);
        let shared = load.shared().clone();
        let _room = target.folder().map(|folder| RoomWatch::start(folder.to_owned(), move |why| shared.cut_short(why)));
        let clock = load.shared().clock.clone();
        let began = clock.instant_of(clock.measured_from_ns);
        let is_over = &meter.is_over.clone();
        std::thread::scope(|scope| {
            let beside = [
                disturber.map(|disturber| scope.spawn(move || disturber.carry_out(began, is_over))),
                (!planned.faults.is_empty())
                    .then(|| scope.spawn(move || faults::inject(target, &planned.faults, began, is_over))),
            ];
            let found = load.run(meter);
            is_over.store(true, Ordering::Relaxed);
            let done = beside.into_iter().flatten().map(|thread| {
                thread.join().map_err(|_| anyhow::anyhow!("a thread that injects faults or disturbs panicked"))
            });
            let mut done = done.collect::<anyhow::Result<Vec<_>>>()?.concat();
            done.sort_by_key(|fault| fault.at_ms);
            Ok((found?, done))
        })
    }
}

impl PlannedPoint {
    fn needs_same_brokers(&self, other: &Self) -> bool {
        let is_cut = |point: &Self| point.faults.iter().any(faults::FaultPlan::is_cut);
        self.settings == other.settings && is_cut(self) == is_cut(other)
    }
}

/// Told apart from all other runs on the same cluster.
pub fn run_name() -> String {
    let now = jiff::Timestamp::now();
    format!("{}-{}", now.as_millisecond(), std::process::id())
}

/// Measures what the processes under test use between the bounds.
struct Meter {
    roster: Roster,
    running: Option<CostMeter>,
    cost: Vec<ProcessCost>,
    is_over: std::sync::Arc<AtomicBool>,
}

impl Meter {
    fn new(roster: Roster) -> Self {
        Self { roster, running: None, cost: Vec::new(), is_over: Default::default() }
    }
}

impl Bounds for Meter {
    fn begins(&mut self) {
        self.running = Some(CostMeter::follow(&self.roster));
    }

    fn ends(&mut self) {
        if let Some(running) = self.running.take() {
            self.cost = running.finish();
        }
        self.is_over.store(true, Ordering::Relaxed);
    }
}
