//! Latency by percentile: how late the slowest records are, each further nine as wide as the one before.

use super::{LEFT, RIGHT, TICKS, WIDTH, bottom_axis, key, value_axis};
use crate::bench::report::histogram;
use crate::bench::report::model::{PointResults, Results};
use crate::bench::report::svg::scale::{Scale, quantile_label};
use crate::bench::report::svg::{Canvas, Cursor, Figure, slug, system_class};
use crate::bench::report::units::Unit;
use crate::bench::result::{Latency, Point};

const HEIGHT: f64 = 250.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 26.0;
/// More than a million records tell no more.
const NINES_MAX: f64 = 6.0;
/// Places of a curve in each nine.
const STEPS_PER_NINE: u32 = 24;

/// From the intended time of sending to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    Acknowledged,
    Consumed,
}

impl Until {
    pub const BOTH: [Self; 2] = [Self::Acknowledged, Self::Consumed];

    fn of(self, point: &Point) -> &Latency {
        match self {
            Self::Acknowledged => &point.ack_latency,
            Self::Consumed => &point.end_to_end_latency,
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Acknowledged => "to the acknowledgement",
            Self::Consumed => "end to end",
        }
    }
}

/// Quantiles and microseconds, rising.
type Curve = Vec<(f64, f64)>;

/// One plot for each point where there is something to show, for one latency after the other; all with the same scale.
pub fn figures(results: &Results<'_>) -> Vec<(Until, Figure)> {
    let points = || results.points.iter().enumerate();
    let plots: Vec<_> = Until::BOTH
        .iter()
        .flat_map(|until| points().map(move |(index, point)| (index, point, *until, curves(point, *until))))
        .filter(|(.., curves)| !curves.is_empty())
        .collect();
    let all = plots.iter().flat_map(|(.., curves)| curves).flat_map(|(_, curve)| curve);
    let y = Scale::log(all.map(|(_, us)| *us), HEIGHT - BOTTOM, TOP);
    let figure = |(index, point, until, curves): &(usize, &PointResults<'_>, Until, Vec<(usize, Curve)>)| {
        (*until, figure(results, *index, &point.label, *until, curves, y))
    };
    plots.iter().map(figure).collect()
}

fn figure(
    results: &Results<'_>,
    index: usize,
    name: &str,
    until: Until,
    curves: &[(usize, Curve)],
    y: Scale,
) -> Figure {
    let highest = curves.iter().flat_map(|(_, curve)| curve).map(|(quantile, _)| -(1.0 - quantile).log10());
    let x = Scale::nines(highest.fold(2.0, f64::max), LEFT, WIDTH - RIGHT);
    let mut canvas = Canvas::default();
    value_axis(&mut canvas, &y, Unit::Microseconds, TICKS + 2);
    bottom_axis(&mut canvas, &x, HEIGHT - BOTTOM, quantile_label);
    let mut ends = Vec::new();
    for (system, curve) in curves {
        let places: Vec<_> = curve.iter().map(|(quantile, us)| (x.at(*quantile), y.at(*us))).collect();
        canvas.path(&system_class(*system), &places, results.label(*system));
        if let (Some(place), Some((_, us))) = (places.last(), curve.last()) {
            let max = format!("{}: {} at most", results.label(*system), Unit::Microseconds.show(*us));
            canvas.dot(&format!("dot {}", system_class(*system)), *place, &max);
            ends.push(max);
        }
    }
    Figure {
        name: format!("latency-{}-{}-{}", index + 1, slug(name), slug(until.title())),
        caption: name.to_owned(),
        title: format!("{name}: {}", until.title()),
        desc: format!("Latency by percentile, both axes logarithmic. {}.", ends.join("; ")),
        width: WIDTH,
        top: 0.0,
        height: HEIGHT,
        canvas,
        key: key(results, curves.iter().map(|(system, _)| *system)),
        cursor: Some(Cursor { x, y, unit: "us" }),
    }
}

fn curves(point: &PointResults<'_>, until: Until) -> Vec<(usize, Curve)> {
    let curves = point.measured().map(|(system, rounds)| {
        let latencies: Vec<&Latency> = rounds.iter().map(|round| until.of(round)).collect();
        (system, curve(&latencies))
    });
    curves.filter(|(_, curve)| !curve.is_empty()).collect()
}

/// All rounds together. Without histograms, of a client that tells a few percentiles only, those of the first round.
fn curve(latencies: &[&Latency]) -> Curve {
    let Some(histogram) = histogram::merged(latencies.iter().copied()) else {
        return latencies.iter().find(|latency| 0 < latency.count).map_or_else(Vec::new, |latency| sparse(latency));
    };
    let nines = (histogram.len() as f64).log10().clamp(1.0, NINES_MAX);
    let steps = (nines * f64::from(STEPS_PER_NINE)).ceil() as u32;
    let quantile = |step: u32| 1.0 - 10f64.powf(-nines * f64::from(step) / f64::from(steps.max(1)));
    (0..=steps)
        .map(quantile)
        .map(|quantile| (quantile, histogram.value_at_quantile(quantile).max(1) as f64))
        // The curve ends at the slowest record, whatever was rounded before.
        .chain([(1.0 - 10f64.powf(-nines), histogram.max().max(1) as f64)])
        .collect()
}

fn sparse(latency: &Latency) -> Curve {
    let known = [
        (0.0, latency.min_us),
        (0.5, latency.p50_us),
        (0.9, latency.p90_us),
        (0.99, latency.p99_us),
        (0.999, latency.p999_us),
    ];
    known.into_iter().filter(|(_, us)| 0 < *us).map(|(quantile, us)| (quantile, us as f64)).collect()
}
