//! Figures against what else was varied: clients, partitions, batches.

use super::{LEFT, RIGHT, TICKS, WIDTH, bottom_axis, key, value_axis};
use crate::bench::report::describe;
use crate::bench::report::metric::{self, Metric};
use crate::bench::report::model::{PointResults, Results};
use crate::bench::report::stats::Spread;
use crate::bench::report::svg::scale::Scale;
use crate::bench::report::svg::{Canvas, Figure, slug, system_class};
use crate::bench::report::units::{grouped, scaled};
use crate::bench::workload::Workload;

const HEIGHT: f64 = 220.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 26.0;
/// Two values are told apart in a table just as well.
const VALUES_MIN: usize = 3;

const METRICS: [Metric; 5] = [metric::RECORDS_IN, metric::ACK_P99, metric::END_P99, metric::CPU_IN, metric::MEMORY];

/// Something that is a number and may be varied.
struct Dimension {
    name: &'static str,
    read: fn(&Workload) -> f64,
    /// Leaves it out, so that what is the same otherwise can be found.
    erase: fn(&mut Workload),
}

const DIMENSIONS: [Dimension; 9] = [
    Dimension { name: "producers", read: |of| of.producers as f64, erase: |of| of.producers = 0 },
    Dimension { name: "consumers", read: |of| of.consumers as f64, erase: |of| of.consumers = 0 },
    Dimension { name: "groups", read: |of| of.groups as f64, erase: |of| of.groups = 0 },
    Dimension { name: "topics", read: |of| of.topics as f64, erase: |of| of.topics = 0 },
    Dimension { name: "partitions", read: |of| f64::from(of.partitions), erase: |of| of.partitions = 0 },
    Dimension { name: "replicas", read: |of| f64::from(of.replicas), erase: |of| of.replicas = 0 },
    Dimension { name: "batch bytes", read: |of| of.batch_bytes as f64, erase: |of| of.batch_bytes = 0 },
    Dimension { name: "linger ms", read: |of| of.linger_ms, erase: |of| of.linger_ms = 0.0 },
    Dimension { name: "in flight", read: |of| of.in_flight as f64, erase: |of| of.in_flight = 0 },
];

/// Points that differ in one number alone, in its order.
pub struct Sweep {
    /// What is varied, and what tells this sweep from others.
    pub title: String,
    pub figures: Vec<Figure>,
}

/// Every sweep over at least three values.
pub fn figures(results: &Results<'_>) -> Vec<Sweep> {
    let found = DIMENSIONS
        .iter()
        .flat_map(|dimension| series(&results.points, dimension).into_iter().map(move |series| (dimension, series)));
    found.enumerate().map(|(index, (dimension, series))| sweep(results, index, dimension, &series)).collect()
}

/// Indexes of points that are the same but for a dimension, by its value.
fn series(points: &[PointResults<'_>], dimension: &Dimension) -> Vec<Vec<(f64, usize)>> {
    let mut all: Vec<(Workload, Vec<(f64, usize)>)> = Vec::new();
    for (index, point) in points.iter().enumerate() {
        let mut rest = point.workload.clone();
        (dimension.erase)(&mut rest);
        let value = (dimension.read)(point.workload);
        match all.iter_mut().find(|(of, series)| *of == rest && series.iter().all(|(other, _)| *other != value)) {
            Some((_, series)) => series.push((value, index)),
            None => all.push((rest, vec![(value, index)])),
        }
    }
    let mut series: Vec<_> = all.into_iter().map(|(_, series)| series).filter(|of| VALUES_MIN <= of.len()).collect();
    for of in &mut series {
        of.sort_by(|left, right| left.0.total_cmp(&right.0));
    }
    series
}

fn sweep(results: &Results<'_>, index: usize, dimension: &Dimension, series: &[(f64, usize)]) -> Sweep {
    let first = series.first().and_then(|(_, point)| results.points.get(*point));
    let differ = describe::differences(results.points.iter().map(|point| point.workload));
    let varied = dimension.name.split(' ').next().unwrap_or_default();
    let others: Vec<_> = differ.into_iter().filter(|name| *name != dimension.name && *name != varied).collect();
    let rest = first.map_or_else(String::new, |point| describe::line(point.workload, &others));
    let title = if rest.is_empty() { dimension.name.to_owned() } else { format!("{}; {rest}", dimension.name) };
    let figures = METRICS.iter().filter_map(|metric| figure(results, index, dimension, series, metric)).collect();
    Sweep { title, figures }
}

fn figure(
    results: &Results<'_>,
    index: usize,
    dimension: &Dimension,
    series: &[(f64, usize)],
    metric: &Metric,
) -> Option<Figure> {
    let systems = 0..results.systems.len();
    let spread = |point: usize, system: usize| results.points.get(point)?.spread(system, metric);
    let lines: Vec<(usize, Vec<(f64, Spread)>)> = systems
        .map(|system| {
            (system, series.iter().filter_map(|(value, point)| Some((*value, spread(*point, system)?))).collect())
        })
        .filter(|(_, line): &(usize, Vec<_>)| !line.is_empty())
        .collect();
    let all = || lines.iter().flat_map(|(_, line)| line).flat_map(|(_, spread)| [spread.min, spread.max]);
    if !all().any(|value| 0.0 < value) {
        return None;
    }
    let x = scale(series.iter().map(|(value, _)| *value).collect());
    let y = Scale::log(all(), HEIGHT - BOTTOM, TOP);
    let mut canvas = Canvas::default();
    value_axis(&mut canvas, &y, metric.unit, TICKS);
    bottom_axis(
        &mut canvas,
        &x,
        HEIGHT - BOTTOM,
        |value| if value < 10_000.0 { grouped(value) } else { scaled(value) },
    );
    for (system, line) in &lines {
        draw_line(&mut canvas, *system, line, (&x, &y), metric);
    }
    Some(Figure {
        name: format!("sweep-{}-{}-{}", index + 1, slug(dimension.name), slug(metric.key)),
        caption: metric.title.to_owned(),
        title: format!("{} by {}", metric.title, dimension.name),
        desc: format!("{} against {}, both axes logarithmic; medians with their range.", metric.title, dimension.name),
        width: WIDTH,
        top: 0.0,
        height: HEIGHT,
        canvas,
        key: key(results, lines.iter().map(|(system, _)| *system)),
        cursor: None,
    })
}

/// Logarithmic, unless there is a zero, which has no place there.
fn scale(values: Vec<f64>) -> Scale {
    if values.iter().all(|value| 0.0 < *value) {
        Scale::log(values, LEFT + 6.0, WIDTH - RIGHT - 6.0)
    } else {
        Scale::linear(values, LEFT + 6.0, WIDTH - RIGHT - 6.0)
    }
}

fn draw_line(canvas: &mut Canvas, system: usize, line: &[(f64, Spread)], (x, y): (&Scale, &Scale), metric: &Metric) {
    let class = system_class(system);
    let places: Vec<_> = line.iter().map(|(value, spread)| (x.at(*value), y.at(spread.median))).collect();
    canvas.path(&class, &places, "");
    for (place, (value, spread)) in places.iter().zip(line) {
        canvas.line("whisker", (place.0, y.at(spread.min)), (place.0, y.at(spread.max)));
        canvas.dot(&format!("dot {class}"), *place, &format!("{}: {}", grouped(*value), metric.show(spread.median)));
    }
}
