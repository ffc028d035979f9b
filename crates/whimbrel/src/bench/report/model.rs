//! The lines of a run, put in order: points, the systems they were asked of, and the rounds.

use super::describe;
use super::metric::Metric;
use super::stats::Spread;
use crate::bench::result::{Line, Point, Run, System};
use crate::bench::workload::Workload;

/// Everything that a page shows.
pub struct Results<'a> {
    pub runs: Vec<&'a Run>,
    /// In the order in which they were first met, which gives each its colour.
    pub systems: Vec<Measured<'a>>,
    pub points: Vec<PointResults<'a>>,
}

/// A system and what it is called in tables and plots.
pub struct Measured<'a> {
    pub system: &'a System,
    pub label: String,
}

/// One workload on every system.
pub struct PointResults<'a> {
    /// What runs are compared by.
    pub name: &'a str,
    /// The same for people.
    pub label: String,
    pub workload: &'a Workload,
    /// For each of [`Results::systems`]; empty where a system was not asked.
    rounds: Vec<Vec<&'a Point>>,
}

impl<'a> Results<'a> {
    pub fn of(lines: &'a [Line]) -> Self {
        let mut runs = Vec::new();
        let mut measured: Vec<&Point> = Vec::new();
        for line in lines {
            match line {
                Line::Run(run) => runs.push(run),
                Line::Point(point) => measured.push(point),
            }
        }
        let mut systems: Vec<&System> = Vec::new();
        for point in &measured {
            if !systems.contains(&&point.system) {
                systems.push(&point.system);
            }
        }
        let points = by_name(&measured, &systems);
        let labels = labels(&systems);
        let systems = systems.into_iter().zip(labels).map(|(system, label)| Measured { system, label }).collect();
        Self { runs, systems, points }
    }

    pub fn label(&self, system: usize) -> &str {
        self.systems.get(system).map_or("", |measured| &measured.label)
    }

    /// Every round of every point, with its system.
    pub fn rounds(&self) -> impl Iterator<Item = (usize, &'a Point)> {
        self.points.iter().flat_map(|point| {
            point.measured().flat_map(|(system, rounds)| rounds.iter().map(move |round| (system, *round)))
        })
    }

    /// The most rounds that any point has.
    pub fn rounds_max(&self) -> usize {
        self.points.iter().flat_map(PointResults::measured).map(|(_, rounds)| rounds.len()).max().unwrap_or(0)
    }
}

impl<'a> PointResults<'a> {
    /// The rounds of each system that was asked.
    pub fn measured(&self) -> impl Iterator<Item = (usize, &[&'a Point])> {
        self.rounds
            .iter()
            .enumerate()
            .map(|(system, rounds)| (system, rounds.as_slice()))
            .filter(|(_, rounds)| !rounds.is_empty())
    }

    pub fn of(&self, system: usize) -> &[&'a Point] {
        self.rounds.get(system).map_or(&[], Vec::as_slice)
    }

    /// A figure over the rounds of a system.
    pub fn spread(&self, system: usize, metric: &Metric) -> Option<Spread> {
        Spread::of(self.of(system).iter().filter_map(|point| metric.of(point)))
    }

    /// The round that stands for all in what is shown over time: the one in the middle by its p99 of acknowledgement.
    pub fn typical(&self, system: usize) -> Option<&'a Point> {
        let mut rounds = self.of(system).to_vec();
        rounds.sort_by_key(|point| point.ack_latency.p99_us);
        rounds.get(rounds.len() / 2).copied()
    }
}

fn by_name<'a>(measured: &[&'a Point], systems: &[&System]) -> Vec<PointResults<'a>> {
    let mut points: Vec<PointResults<'a>> = Vec::new();
    for point in measured {
        let Some(system) = systems.iter().position(|system| **system == point.system) else { continue };
        let at = points.iter().position(|known| known.name == point.name).unwrap_or_else(|| {
            let rounds = vec![Vec::new(); systems.len()];
            let label = describe::label(&point.name, &point.workload);
            points.push(PointResults { name: &point.name, label, workload: &point.workload, rounds });
            points.len() - 1
        });
        points[at].rounds[system].push(point);
    }
    points
}

/// A short name for each: name and version, and of the rest only what tells two apart.
pub fn labels(systems: &[&System]) -> Vec<String> {
    let mut labels: Vec<String> = systems.iter().map(|system| short_name(system)).collect();
    let details: [fn(&System) -> String; 4] = [
        |system| system.coordination.clone(),
        |system| format!("{} brokers", system.brokers),
        |system| format!("client {}", system.client),
        settings,
    ];
    for detail in details {
        let tells_apart = |index: usize| {
            let twins = (0..systems.len()).filter(|other| labels[*other] == labels[index]);
            twins.into_iter().any(|other| detail(systems[other]) != detail(systems[index]))
        };
        let longer: Vec<bool> = (0..systems.len()).map(tells_apart).collect();
        for (index, system) in systems.iter().enumerate().filter(|(index, _)| longer[*index]) {
            let detail = detail(system);
            labels[index] = format!("{}, {}", labels[index], if detail.is_empty() { "defaults" } else { &detail });
        }
    }
    labels
}

fn short_name(system: &System) -> String {
    let name = match system.name.as_str() {
        "whimbrel" => "Whimbrel",
        "kafka" => "Kafka",
        other => other,
    };
    if system.version.is_empty() { name.to_owned() } else { format!("{name} {}", system.version) }
}

fn settings(system: &System) -> String {
    system.settings.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}
