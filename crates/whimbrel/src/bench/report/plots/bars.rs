//! What each point cost, as bars.

use super::key;
use crate::bench::report::metric::{self, Metric};
use crate::bench::report::model::Results;
use crate::bench::report::stats::Spread;
use crate::bench::report::svg::scale::Scale;
use crate::bench::report::svg::{Anchor, Canvas, Figure, fit, slug, system_class};

const WIDTH: f64 = 420.0;
const LEFT: f64 = 128.0;
/// Right of the bars, for their values.
const RIGHT: f64 = 86.0;
const BAR: f64 = 12.0;
const BETWEEN: f64 = 8.0;
const TOP: f64 = 6.0;

/// One plot for each kind of cost that was measured anywhere above zero.
pub fn figures(results: &Results<'_>) -> Vec<Figure> {
    metric::COSTS.iter().filter_map(|metric| figure(results, metric)).collect()
}

fn figure(results: &Results<'_>, metric: &Metric) -> Option<Figure> {
    let spreads: Vec<Vec<Option<Spread>>> = results
        .points
        .iter()
        .map(|point| (0..results.systems.len()).map(|system| point.spread(system, metric)).collect())
        .collect();
    let highest = spreads.iter().flatten().flatten().map(|spread| spread.max).fold(0.0, f64::max);
    if highest <= 0.0 {
        return None;
    }
    let scale = Scale::between(0.0, highest, LEFT, WIDTH - RIGHT);
    let mut canvas = Canvas::default();
    let mut y = TOP;
    for (point, spreads) in
        results.points.iter().zip(&spreads).filter(|(_, spreads)| spreads.iter().any(Option::is_some))
    {
        let height = BAR * spreads.iter().flatten().count() as f64;
        canvas.text("label", (LEFT - 8.0, y + height / 2.0 + 4.0), Anchor::End, &fit(point.name, LEFT - 10.0, 1.0));
        for (system, spread) in spreads.iter().enumerate() {
            if let Some(spread) = spread {
                let said = format!("{}, {}: {}", point.name, results.label(system), metric.show(spread.median));
                bar(&mut canvas, y, &system_class(system), spread, &scale, &metric.show(spread.median), &said);
                y += BAR;
            }
        }
        y += BETWEEN;
    }
    canvas.line("axis", (LEFT, TOP - 3.0), (LEFT, y - BETWEEN + 3.0));
    Some(Figure {
        name: format!("cost-{}", slug(metric.key)),
        caption: metric.title.to_owned(),
        title: metric.title.to_owned(),
        desc: format!("Medians over rounds, with the range. At most {}.", metric.show(highest)),
        width: WIDTH,
        height: y,
        canvas,
        key: key(results, 0..results.systems.len()),
        cursor: None,
    })
}

fn bar(canvas: &mut Canvas, y: f64, class: &str, spread: &Spread, scale: &Scale, value: &str, said: &str) {
    let end = scale.at(spread.median);
    canvas.rect(class, (LEFT, y), (end - LEFT, BAR - 1.5), said);
    if spread.min < spread.max {
        let middle = y + (BAR - 1.5) / 2.0;
        canvas.line("whisker", (scale.at(spread.min), middle), (scale.at(spread.max), middle));
    }
    canvas.text("value", (scale.at(spread.max) + 5.0, y + BAR - 2.0), Anchor::Start, value);
}
