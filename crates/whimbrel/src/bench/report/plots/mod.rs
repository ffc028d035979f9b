//! The plots of a page. Each takes results and gives figures; none knows where they are shown.

pub mod bars;
pub mod heat;
pub mod latency;
pub mod sweep;
pub mod time;
pub mod uptime;

use super::model::Results;
use super::svg::scale::{Scale, axis_label};
use super::svg::{Anchor, Canvas, Figure, system_class};
use super::units::Unit;

/// Wide enough for its labels on a phone, where it fills the screen.
pub const WIDTH: f64 = 420.0;
/// Left of a plot, for the labels of its values.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 14.0;
/// About as many lines as a small plot has room for.
const TICKS: usize = 5;

/// All plots of a page.
pub fn all(results: &Results<'_>) -> Vec<Figure> {
    let mut figures = heat::figures(results).into_iter().flat_map(|facet| facet.figures).collect::<Vec<_>>();
    figures.extend(sweep::figures(results).into_iter().flat_map(|sweep| sweep.figures));
    figures.extend(latency::figures(results).into_iter().map(|(_, figure)| figure));
    figures.extend(time::figures(results));
    figures.extend(bars::figures(results));
    figures.extend(uptime::figures(results));
    figures
}

/// Class and label of some systems.
fn key(results: &Results<'_>, systems: impl IntoIterator<Item = usize>) -> Vec<(String, String)> {
    systems.into_iter().map(|system| (system_class(system), results.label(system).to_owned())).collect()
}

/// Lines across the plot with their values at the left.
fn value_axis(canvas: &mut Canvas, scale: &Scale, unit: Unit, ticks: usize) {
    let values = if unit == Unit::Bytes { scale.binary_ticks(ticks) } else { scale.ticks(ticks) };
    for value in values {
        let y = scale.at(value);
        canvas.line("grid", (LEFT, y), (WIDTH - RIGHT, y));
        canvas.text("tick", (LEFT - 6.0, y + 4.0), Anchor::End, &axis_label(unit, value));
    }
}

/// Values below the plot, at `y`.
fn bottom_axis(canvas: &mut Canvas, scale: &Scale, y: f64, label: impl Fn(f64) -> String) {
    canvas.line("axis", (LEFT, y), (WIDTH - RIGHT, y));
    for value in scale.ticks(6) {
        let x = scale.at(value);
        canvas.line("axis", (x, y), (x, y + 4.0));
        // A label at the end would leave the picture.
        let anchor = if WIDTH - 26.0 < x { Anchor::End } else { Anchor::Middle };
        canvas.text("tick", (if anchor == Anchor::End { WIDTH - 2.0 } else { x }, y + 17.0), anchor, &label(value));
    }
}
