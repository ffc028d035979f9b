//! Rate and latency over time, with what was done to the system.

use super::{LEFT, RIGHT, WIDTH, bottom_axis, key, value_axis};
use crate::bench::report::model::{PointResults, Results};
use crate::bench::report::svg::scale::{Scale, seconds_label};
use crate::bench::report::svg::{Anchor, Canvas, Figure, fit, slug, system_class};
use crate::bench::report::units::Unit;
use crate::bench::result::{Fault, Point, Window};

const HEIGHT: f64 = 300.0;
/// Room for the names of faults.
const TOP: f64 = 46.0;
const RATE_BOTTOM: f64 = 138.0;
const LATENCY_TOP: f64 = 162.0;
const BOTTOM: f64 = 26.0;
/// Windows of a long run are drawn together, so that a plot stays small.
const STRETCHES_MAX: usize = 400;

/// One plot for each point, or for each of its systems where there were faults; those of a point have the same scales.
pub fn figures(results: &Results<'_>) -> Vec<Figure> {
    results.points.iter().enumerate().flat_map(|(index, point)| of_point(results, index, point)).collect()
}

/// One number of a window.
type Read = fn(&Window) -> u64;

struct Scales {
    time: Scale,
    rate: Scale,
    latency: Scale,
}

fn of_point(results: &Results<'_>, index: usize, point: &PointResults<'_>) -> Vec<Figure> {
    let rounds: Vec<&Point> = point.measured().flat_map(|(_, rounds)| rounds.iter().copied()).collect();
    let windows: Vec<Window> = rounds.iter().flat_map(|round| stretches(&round.series)).collect();
    if windows.is_empty() {
        return Vec::new();
    }
    let scales = scales(&windows);
    let has_series = |rounds: &[&Point]| rounds.iter().any(|round| !round.series.is_empty());
    let systems: Vec<usize> =
        point.measured().filter(|(_, rounds)| has_series(rounds)).map(|(system, _)| system).collect();
    let subject = Subject { results, index, point };
    if rounds.iter().all(|round| round.faults.is_empty()) {
        return vec![subject.figure(&systems, &scales)];
    }
    // What was done to one is not what was done to another, to the millisecond.
    systems.iter().map(|system| subject.figure(&[*system], &scales)).collect()
}

fn scales(windows: &[Window]) -> Scales {
    let end = |window: &Window| (window.at_ms as f64) + window.ms as f64;
    let low = windows.iter().map(|window| window.at_ms as f64).fold(0.0, f64::min);
    let high = windows.iter().map(end).fold(0.0, f64::max);
    let latencies = windows.iter().flat_map(|window| [window.ack_p50_us, window.ack_p99_us, window.end_to_end_p99_us]);
    Scales {
        time: Scale::between(low, high, LEFT, WIDTH - RIGHT),
        rate: Scale::linear(windows.iter().map(rate), RATE_BOTTOM, TOP),
        latency: Scale::log(latencies.map(|us| us as f64), HEIGHT - BOTTOM, LATENCY_TOP),
    }
}

/// A point, which is drawn for all of its systems together or for each.
struct Subject<'s, 'a> {
    results: &'s Results<'a>,
    index: usize,
    point: &'s PointResults<'a>,
}

impl Subject<'_, '_> {
    fn figure(&self, systems: &[usize], scales: &Scales) -> Figure {
        let Self { results, index, point } = self;
        let faults = systems.iter().filter_map(|system| point.typical(*system)).flat_map(|round| &round.faults);
        let faults: Vec<&Fault> = faults.collect();
        let canvas = self.draw(systems, &faults, scales);
        let apart = if faults.is_empty() { "" } else { systems.first().map_or("", |system| results.label(*system)) };
        let title = if apart.is_empty() { point.label.clone() } else { format!("{}: {apart}", point.label) };
        let named = faults.iter().map(|fault| format!("{} at {}", fault.what, seconds_label(fault.at_ms as f64)));
        let named = named.collect::<Vec<_>>().join("; ");
        Figure {
            name: format!("time-{}-{}{}", index + 1, slug(&point.label), suffix(systems)),
            caption: title.clone(),
            title: format!("{title}, over time"),
            desc: format!(
                "Rate of acknowledgements and latency over time. Faults: {}.",
                if named.is_empty() { "none" } else { &named }
            ),
            width: WIDTH,
            top: if faults.is_empty() { TOP - 20.0 } else { 0.0 },
            height: HEIGHT,
            canvas,
            key: key(results, systems.iter().copied()),
            cursor: None,
        }
    }

    fn draw(&self, systems: &[usize], faults: &[&Fault], scales: &Scales) -> Canvas {
        let mut canvas = Canvas::default();
        value_axis(&mut canvas, &scales.rate, Unit::PerSecond, 3);
        value_axis(&mut canvas, &scales.latency, Unit::Microseconds, 4);
        warm_up(&mut canvas, &scales.time);
        draw_faults(&mut canvas, faults, &scales.time);
        canvas.text("label", (LEFT, TOP - 6.0), Anchor::Start, "acknowledged");
        canvas.text("label", (LEFT, LATENCY_TOP - 6.0), Anchor::Start, "latency");
        for system in systems {
            let typical = self.point.typical(*system);
            let is_other = |round: &&&Point| typical.is_none_or(|typical| !std::ptr::eq(**round, typical));
            for round in self.point.of(*system).iter().filter(is_other) {
                let class = format!("{} solid pale", system_class(*system));
                draw_values(&mut canvas, &class, &stretches(&round.series), scales, &scales.rate, rate);
            }
            if let Some(typical) = typical {
                draw_round(&mut canvas, *system, &stretches(&typical.series), scales);
            }
        }
        bottom_axis(&mut canvas, &scales.time, HEIGHT - BOTTOM, seconds_label);
        canvas
    }
}

/// Tells the plots of one point apart.
fn suffix(systems: &[usize]) -> String {
    match systems {
        [system] => format!("-{system}"),
        _ => String::new(),
    }
}

fn draw_round(canvas: &mut Canvas, system: usize, windows: &[Window], scales: &Scales) {
    let class = system_class(system);
    draw_values(canvas, &format!("{class} solid"), windows, scales, &scales.rate, rate);
    let lines: [(&str, Read); 3] = [
        ("thin solid", |window| window.ack_p50_us),
        ("solid", |window| window.ack_p99_us),
        ("thin dotted", |window| window.end_to_end_p99_us),
    ];
    for (style, read) in lines {
        // Nothing that arrived means no latency, not one of zero.
        let value = move |window: &Window| if read(window) == 0 { f64::NAN } else { read(window) as f64 };
        draw_values(canvas, &format!("{class} {style}"), windows, scales, &scales.latency, value);
    }
    for window in windows.iter().filter(|window| 0 < window.errors) {
        let x = scales.time.at(middle(window));
        canvas.line("error", (x, RATE_BOTTOM), (x, RATE_BOTTOM - 7.0));
    }
}

/// One line, broken where there is no value.
fn draw_values(
    canvas: &mut Canvas,
    class: &str,
    windows: &[Window],
    scales: &Scales,
    scale: &Scale,
    value: impl Fn(&Window) -> f64,
) {
    for stretch in windows.split(|window| !value(window).is_finite()).filter(|stretch| !stretch.is_empty()) {
        let places: Vec<_> =
            stretch.iter().map(|window| (scales.time.at(middle(window)), scale.at(value(window)))).collect();
        canvas.path(class, &places, "");
    }
}

fn warm_up(canvas: &mut Canvas, time: &Scale) {
    let (from, to) = (time.at(f64::MIN), time.at(0.0));
    if 1.0 < to - from {
        canvas.rect("warm-up", (from, TOP), (to - from, HEIGHT - BOTTOM - TOP), "warm-up, not counted");
    }
}

/// A band for each fault from when it came to when it was undone, named above it.
fn draw_faults(canvas: &mut Canvas, faults: &[&Fault], time: &Scale) {
    let end = time.at(f64::MAX);
    for (index, fault) in faults.iter().enumerate() {
        let from = time.at(fault.at_ms as f64);
        let to = fault.until_ms.map_or(end, |until| time.at(until as f64)).max(from + 1.0);
        canvas.rect("fault", (from, TOP - 18.0), (to - from, HEIGHT - BOTTOM - TOP + 18.0), &fault.what);
        canvas.line("fault-edge", (from, TOP - 18.0), (from, HEIGHT - BOTTOM));
        // Two rows, so that one after the other can be read.
        let y = if index % 2 == 0 { TOP - 21.0 } else { TOP - 34.0 };
        let next = faults.get(index + 2).map_or(end, |next| time.at(next.at_ms as f64) - 6.0);
        if next - from < 90.0 && WIDTH / 2.0 < from {
            canvas.text("fault-text", (end, y), Anchor::End, &fit(&fault.what, end - LEFT, 1.0));
        } else {
            canvas.text("fault-text", (from, y), Anchor::Start, &fit(&fault.what, next - from, 1.0));
        }
    }
}

fn rate(window: &Window) -> f64 {
    window.acknowledged as f64 * 1000.0 / window.ms.max(1) as f64
}

fn middle(window: &Window) -> f64 {
    window.at_ms as f64 + window.ms as f64 / 2.0
}

/// Windows next to each other as one, until few enough are left: counts are added, of latencies the worst remains.
fn stretches(windows: &[Window]) -> Vec<Window> {
    let together = windows.len().div_ceil(STRETCHES_MAX).max(1);
    windows.chunks(together).filter_map(|chunk| chunk.iter().copied().reduce(joined)).collect()
}

fn joined(first: Window, next: Window) -> Window {
    Window {
        at_ms: first.at_ms,
        ms: first.ms + next.ms,
        acknowledged: first.acknowledged + next.acknowledged,
        consumed: first.consumed + next.consumed,
        errors: first.errors + next.errors,
        ack_p50_us: first.ack_p50_us.max(next.ack_p50_us),
        ack_p99_us: first.ack_p99_us.max(next.ack_p99_us),
        ack_max_us: first.ack_max_us.max(next.ack_max_us),
        end_to_end_p99_us: first.end_to_end_p99_us.max(next.end_to_end_p99_us),
    }
}
