//! Who could produce and consume when: a strip for each partition, with its gaps.

use super::{WIDTH, key};
use crate::bench::report::model::Results;
use crate::bench::report::svg::scale::{Scale, seconds_label};
use crate::bench::report::svg::{Anchor, Canvas, Figure, fit_end, slug, system_class};
use crate::bench::report::units::grouped;
use crate::bench::result::{Availability, Fault, PartitionUptime, Point, Uptime};

const LEFT: f64 = 92.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 26.0;
const STRIP: f64 = 6.0;
const ROW: f64 = 18.0;
/// More are not told apart; those with the longest gaps are shown.
const PARTITIONS_MAX: usize = 24;

/// One plot for each point and system that was watched, of the round that stands for all.
pub fn figures(results: &Results<'_>) -> Vec<Figure> {
    let points = results.points.iter().enumerate();
    let watched = points.flat_map(|(index, point)| {
        point.measured().filter_map(move |(system, _)| {
            let typical = point.typical(system)?;
            Some((index, system, typical, typical.uptime.as_ref()?))
        })
    });
    watched
        .filter(|(.., uptime)| !uptime.partitions.is_empty())
        .map(|(index, system, point, uptime)| figure(results, index, system, point, uptime))
        .collect()
}

fn figure(results: &Results<'_>, index: usize, system: usize, point: &Point, uptime: &Uptime) -> Figure {
    let label = results.points.get(index).map_or("", |point| &point.label);
    let shown = worst(uptime);
    let windows = shown.iter().map(|of| of.produce.windows.max(of.consume.windows)).max().unwrap_or(0);
    let time = Scale::between(0.0, (windows * uptime.window_ms) as f64, LEFT, WIDTH - RIGHT);
    let bottom = TOP + ROW * shown.len() as f64;
    let mut canvas = Canvas::default();
    draw_faults(&mut canvas, &point.faults, &time, bottom);
    let is_one_topic = uptime.partitions.windows(2).all(|pair| matches!(pair, [one, next] if one.topic == next.topic));
    for (row, partition) in shown.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        let name = partition_name(partition);
        let label = if is_one_topic { partition.partition.to_string() } else { fit_end(&name, LEFT - 10.0) };
        canvas.text("tick", (LEFT - 8.0, y + 11.0), Anchor::End, &label);
        let class = system_class(system);
        strip(&mut canvas, &class, y + 1.0, &partition.produce, &time, &format!("{name}, produce"));
        let consume = format!("{class} consume");
        strip(&mut canvas, &consume, y + 2.0 + STRIP, &partition.consume, &time, &format!("{name}, consume"));
    }
    axis(&mut canvas, &time, bottom);
    let hidden = uptime.partitions.len() - shown.len();
    let of = if hidden == 0 {
        String::new()
    } else {
        format!(" (the worst of {})", grouped(uptime.partitions.len() as f64))
    };
    Figure {
        name: format!("uptime-{}-{}-{system}", index + 1, slug(label)),
        caption: format!("{label}: {}{of}", results.label(system)),
        title: format!("{label}: {}{of}", results.label(system)),
        desc: format!(
            "Availability of {} partitions over time, produce above consume; gaps are left out of the strips.",
            shown.len()
        ),
        width: WIDTH,
        top: 0.0,
        height: bottom + BOTTOM,
        canvas,
        key: key(results, [system]),
        cursor: None,
    }
}

/// The name of a partition as Kafka's logs write it.
pub fn partition_name(partition: &PartitionUptime) -> String {
    format!("{}-{}", partition.topic, partition.partition)
}

/// Those with the longest gaps, in their own order.
fn worst(uptime: &Uptime) -> Vec<&PartitionUptime> {
    let longest = |of: &PartitionUptime| of.produce.gaps.iter().chain(&of.consume.gaps).map(|gap| gap.ms).max();
    let mut order: Vec<usize> = (0..uptime.partitions.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(longest(&uptime.partitions[*index])));
    order.truncate(PARTITIONS_MAX);
    order.sort_unstable();
    order.into_iter().map(|index| &uptime.partitions[index]).collect()
}

fn strip(canvas: &mut Canvas, class: &str, y: f64, of: &Availability, time: &Scale, name: &str) {
    if !of.is_watched() {
        return;
    }
    canvas.rect(class, (LEFT, y), (time.at(f64::MAX) - LEFT, STRIP), name);
    for gap in &of.gaps {
        let (from, to) = (time.at(gap.at_ms as f64), time.at(gap.at_ms as f64 + gap.ms as f64));
        let title = format!("{name}: nothing for {} ms from {}", gap.ms, seconds_label(gap.at_ms as f64));
        // The ground shows first, so that a gap is one without its colour too.
        canvas.rect("paper", (from, y - 0.5), ((to - from).max(1.0), STRIP + 1.0), "");
        canvas.rect("gap", (from, y + STRIP / 2.0 - 1.0), ((to - from).max(1.0), 2.0), &title);
    }
}

fn draw_faults(canvas: &mut Canvas, faults: &[Fault], time: &Scale, bottom: f64) {
    for fault in faults {
        let from = time.at(fault.at_ms as f64);
        let to = fault.until_ms.map_or_else(|| time.at(f64::MAX), |until| time.at(until as f64)).max(from + 1.0);
        canvas.rect("fault", (from, TOP - 4.0), (to - from, bottom - TOP + 4.0), &fault.what);
        canvas.line("fault-edge", (from, TOP - 4.0), (from, bottom));
    }
}

fn axis(canvas: &mut Canvas, time: &Scale, y: f64) {
    canvas.line("axis", (LEFT, y), (WIDTH - RIGHT, y));
    for ms in time.ticks(6) {
        let x = time.at(ms);
        canvas.line("axis", (x, y), (x, y + 4.0));
        canvas.text("tick", (x.min(WIDTH - 14.0), y + 17.0), Anchor::Middle, &seconds_label(ms));
    }
}
