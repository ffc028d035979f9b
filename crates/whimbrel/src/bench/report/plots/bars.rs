//! What each point cost, as bars.

use super::{heat, key};
use crate::bench::report::metric::{self, Metric};
use crate::bench::report::model::Results;
use crate::bench::report::stats::Spread;
use crate::bench::report::svg::scale::Scale;
use crate::bench::report::svg::{Anchor, Canvas, Figure, fit, slug, system_class};

const WIDTH: f64 = 420.0;
/// Right of the bars, for their values.
const RIGHT: f64 = 86.0;
/// Left of the bars, for names that are short enough for it.
const NAMES: f64 = 128.0;
const NAME_LETTERS_MAX: usize = 19;
const BAR: f64 = 12.0;
const BETWEEN: f64 = 8.0;
const TOP: f64 = 6.0;
/// More points are shown together: those that differ in record size and rate alone as one.
const POINTS_MAX: usize = 24;

/// One plot for each kind of cost that was measured anywhere above zero.
pub fn figures(results: &Results<'_>) -> Vec<Figure> {
    let groups = groups(results);
    metric::COSTS.iter().filter_map(|metric| figure(results, &groups, metric)).collect()
}

/// Whether each bar stands for several points.
pub fn are_grouped(results: &Results<'_>) -> bool {
    POINTS_MAX < results.points.len()
}

/// What bars stand for.
struct Group {
    label: String,
    points: Vec<usize>,
}

fn groups(results: &Results<'_>) -> Vec<Group> {
    if are_grouped(results) {
        return heat::facets(results).into_iter().map(|(label, points)| Group { label, points }).collect();
    }
    let each = results.points.iter().enumerate();
    each.map(|(index, point)| Group { label: point.label.clone(), points: vec![index] }).collect()
}

/// Bars of one group: of each system that has some.
struct Bars<'g> {
    label: &'g str,
    spreads: Vec<(usize, Spread)>,
}

fn figure(results: &Results<'_>, groups: &[Group], metric: &Metric) -> Option<Figure> {
    let bars: Vec<Bars<'_>> = groups.iter().map(|group| bars(results, group, metric)).collect();
    let highest = bars.iter().flat_map(|bars| &bars.spreads).map(|(_, spread)| spread.max).fold(0.0, f64::max);
    if highest <= 0.0 {
        return None;
    }
    let is_short = groups.iter().all(|group| group.label.chars().count() <= NAME_LETTERS_MAX);
    let left = if is_short { NAMES } else { 4.0 };
    let scale = Scale::between(0.0, highest, left, WIDTH - RIGHT);
    let mut canvas = Canvas::default();
    let mut y = TOP;
    for bars in bars.iter().filter(|bars| !bars.spreads.is_empty()) {
        y = draw_group(&mut canvas, results, metric, bars, y, (left, &scale)) + BETWEEN;
    }
    Some(Figure {
        name: format!("cost-{}", slug(metric.key)),
        caption: metric.title.to_owned(),
        title: metric.title.to_owned(),
        desc: format!("Medians, with the range. At most {}.", metric.show(highest)),
        width: WIDTH,
        top: 0.0,
        height: y,
        canvas,
        key: key(results, 0..results.systems.len()),
        cursor: None,
    })
}

fn bars<'g>(results: &Results<'_>, group: &'g Group, metric: &Metric) -> Bars<'g> {
    let rounds = |system: usize| {
        let points = group.points.iter().filter_map(|point| results.points.get(*point));
        points.flat_map(move |point| point.of(system)).filter_map(|round| metric.of(round)).collect::<Vec<_>>()
    };
    let systems = 0..results.systems.len();
    let spreads = systems.filter_map(|system| Some((system, Spread::of(rounds(system))?))).collect();
    Bars { label: &group.label, spreads }
}

/// Returns where it ends.
fn draw_group(
    canvas: &mut Canvas,
    results: &Results<'_>,
    metric: &Metric,
    bars: &Bars<'_>,
    top: f64,
    (left, scale): (f64, &Scale),
) -> f64 {
    let height = BAR * bars.spreads.len() as f64;
    let mut y = top;
    if left == NAMES {
        let middle = y + height / 2.0 + 3.0;
        canvas.text("label", (left - 8.0, middle), Anchor::End, &fit(bars.label, left - 10.0, 1.0));
    } else {
        canvas.text("label", (left, y + 6.0), Anchor::Start, &fit(bars.label, WIDTH - left - 4.0, 1.0));
        y += BAR;
    }
    canvas.line("axis", (left, y - 1.5), (left, y + height));
    for (system, spread) in &bars.spreads {
        let shown = metric.show(spread.median);
        let said = format!("{}, {}: {shown}", bars.label, results.label(*system));
        canvas.rect(&system_class(*system), (left, y), (scale.at(spread.median) - left, BAR - 1.5), &said);
        if spread.min < spread.max {
            let middle = y + (BAR - 1.5) / 2.0;
            canvas.line("whisker", (scale.at(spread.min), middle), (scale.at(spread.max), middle));
        }
        canvas.text("value", (scale.at(spread.max) + 5.0, y + BAR - 2.0), Anchor::Start, &shown);
        y += BAR;
    }
    y
}
