//! The figures in tables.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Section, point_header, row_header, scrolling, setup};
use crate::bench::report::escape::Escaped;
use crate::bench::report::metric::{self, Metric};
use crate::bench::report::model::{PointResults, Results};
use crate::bench::report::stats::Spread;
use crate::bench::report::svg::system_class;
use crate::bench::report::units::{Unit, ratio};
use crate::bench::result::ProcessCost;

const COLUMNS: [Metric; 10] = [
    metric::RECORDS_IN,
    metric::MEGABYTES_IN,
    metric::ACK_P50,
    metric::ACK_P99,
    metric::ACK_P999,
    metric::END_P50,
    metric::END_P99,
    metric::END_P999,
    metric::CPU_IN,
    metric::MEMORY,
];

/// Points that are looked at without being asked for.
const POINTS_MAX: usize = 40;
/// Of more than that, those that stand for the others until they are asked for; the maps show them all.
const POINTS_FEW: usize = 12;

/// What the ratios at the top are about.
const RATIOS: [Metric; 5] = [metric::RECORDS_IN, metric::ACK_P99, metric::END_P99, metric::CPU_IN, metric::MEMORY];

pub fn section(results: &Results<'_>) -> Section {
    if results.points.is_empty() {
        return Section::new("summary", "Summary", "", "<p>No point was measured.</p>".to_owned());
    }
    let rounds = match results.rounds_max() {
        0 | 1 => "One round: how much the figures vary by chance is not known.".to_owned(),
        rounds => format!("Medians of up to {rounds} rounds; below each, from the least to the most."),
    };
    let is_late = results.points.iter().any(|point| !mark(point).is_empty());
    let late = if is_late { " † The load generator was the bottleneck." } else { "" };
    let note = format!("{rounds} Latencies count from the intended time of sending.{late}");
    let content = limits(results) + &ratios(results) + &tables(results);
    Section::new("summary", "Summary", note, content).wide()
}

/// What the machine itself takes, so that a figure can be seen against it.
fn limits(results: &Results<'_>) -> String {
    let limits = results.runs.iter().flat_map(|run| &run.limits);
    let limits = limits.map(|(name, value)| setup::limit(name, *value)).collect::<Vec<_>>();
    if limits.is_empty() {
        return String::new();
    }
    format!("<p class=\"limits\">The machine itself: {}.</p>", Escaped(&limits.join("; ")))
}

/// How every other system does against the first, over all points: the middle and the range of the ratios.
fn ratios(results: &Results<'_>) -> String {
    if results.systems.len() < 2 {
        return String::new();
    }
    let mut rows = String::new();
    for system in 1..results.systems.len() {
        let cells: String =
            RATIOS.iter().map(|metric| format!("<td>{}</td>", ratio_range(results, system, metric))).collect();
        let _ = write!(rows, "<tr>{}{cells}</tr>", row_header(results, system));
    }
    let heads: String = RATIOS.iter().map(|metric| format!("<th scope=\"col\">{}</th>", metric.title)).collect();
    let title = format!(
        "<h3>Ratios to <span class=\"name {}\">{}</span>: median of the points, and the range</h3>",
        system_class(0),
        Escaped(results.label(0))
    );
    let table =
        format!("<table class=\"ratios\"><thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody></table>");
    title + &scrolling("Ratios", &table)
}

fn ratio_range(results: &Results<'_>, system: usize, metric: &Metric) -> String {
    let of = |point: &PointResults<'_>| {
        // Where the rate was given, both have it.
        if metric.key == metric::RECORDS_IN.key && point.workload.rate.is_some() {
            return None;
        }
        let (base, other) = (point.spread(0, metric)?.median, point.spread(system, metric)?.median);
        (0.0 < base).then(|| other / base)
    };
    match Spread::of(results.points.iter().filter_map(of)) {
        None => "–".to_owned(),
        Some(spread) if spread.rounds == 1 => ratio(spread.median),
        Some(spread) => {
            format!("{}<small>{} to {}</small>", ratio(spread.median), ratio(spread.min), ratio(spread.max))
        }
    }
}

fn tables(results: &Results<'_>) -> String {
    let points = results.points.len();
    let (shown, folded) = results.points.split_at(if POINTS_MAX < points { POINTS_FEW } else { points });
    let mut text = scrolling("Points", &table(results, shown));
    if !folded.is_empty() {
        let table = scrolling("Further points", &table(results, folded));
        let _ = write!(text, "<details><summary>{} more points</summary>{table}</details>", folded.len());
    }
    text
}

fn table(results: &Results<'_>, points: &[PointResults<'_>]) -> String {
    let heads: String = COLUMNS.iter().map(|metric| format!("<th scope=\"col\">{}</th>", metric.title)).collect();
    let mut text =
        format!("<table class=\"figures\"><thead><tr><td></td>{heads}<th scope=\"col\">lost</th></tr></thead>");
    for point in points {
        let _ = write!(text, "<tbody>{}", point_header(&point.label, COLUMNS.len() + 2, mark(point)));
        for (system, _) in point.measured() {
            let cells: String = COLUMNS.iter().map(|metric| cell(point, system, metric)).collect();
            let _ = write!(text, "<tr>{}{cells}{}</tr>", row_header(results, system), lost(point, system));
        }
        text.push_str("</tbody>");
    }
    text + "</table>"
}

/// A dagger where the load was slower than the system in some round.
fn mark(point: &PointResults<'_>) -> &'static str {
    let is_bottleneck =
        point.measured().any(|(_, rounds)| rounds.iter().any(|round| round.generator.bottleneck.is_some()));
    if is_bottleneck { " <abbr title=\"the load generator was the bottleneck\">†</abbr>" } else { "" }
}

fn cell(point: &PointResults<'_>, system: usize, metric: &Metric) -> String {
    let Some(spread) = point.spread(system, metric) else { return "<td>–</td>".to_owned() };
    let range = if spread.rounds < 2 || spread.min == spread.max {
        String::new()
    } else {
        format!("<small>{}</small>", range(metric, &spread))
    };
    format!("<td>{}{range}</td>", metric.show(spread.median))
}

/// From the least to the most, with one unit if both have the same.
fn range(metric: &Metric, spread: &Spread) -> String {
    let (low, high) = (metric.show(spread.min), metric.show(spread.max));
    match (low.rsplit_once(' '), high.rsplit_once(' ')) {
        (Some((number, unit)), Some((_, other))) if unit == other => format!("{number} – {high}"),
        _ => format!("{low} – {high}"),
    }
}

fn lost(point: &PointResults<'_>, system: usize) -> String {
    let rounds = point.of(system);
    let lost: u64 = rounds.iter().map(|round| round.verification.lost).sum();
    match (lost, rounds.iter().all(|round| round.verification.is_complete)) {
        (0, true) => "<td>0</td>".to_owned(),
        (0, false) => "<td>–</td>".to_owned(),
        _ => format!("<td class=\"bad\">{}</td>", Unit::Count.show(lost as f64)),
    }
}

/// What each process used, over all points and rounds.
pub fn processes(results: &Results<'_>) -> String {
    let mut found: BTreeMap<(usize, &str), Vec<&ProcessCost>> = BTreeMap::new();
    for (system, round) in results.rounds() {
        for cost in &round.cost {
            found.entry((system, &cost.name)).or_default().push(cost);
        }
    }
    let mut rows = String::new();
    for ((system, name), costs) in &found {
        let cpu: f64 = costs.iter().map(|cost| cost.cpu_seconds).sum();
        let most = |read: fn(&ProcessCost) -> u64| costs.iter().map(|cost| read(cost)).max().unwrap_or(0) as f64;
        let _ = write!(
            rows,
            "<tr>{}<td class=\"text\">{}</td><td>{cpu:.1} s</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            row_header(results, *system),
            Escaped(name),
            Unit::Bytes.show(most(|cost| cost.memory_peak_bytes)),
            Unit::Count.show(most(|cost| cost.files)),
            Unit::Count.show(most(|cost| cost.threads)),
        );
    }
    let table = format!(
        "<table><thead><tr><th scope=\"col\" class=\"text\">system</th><th scope=\"col\" class=\"text\">process</th><th scope=\"col\">CPU, in all</th>\
         <th scope=\"col\">memory, most</th><th scope=\"col\">files, most</th><th scope=\"col\">threads, most</th></tr></thead><tbody>{rows}</tbody></table>"
    );
    format!(
        "<details><summary>By process, over all points and rounds</summary>{}</details>",
        scrolling("Processes", &table)
    )
}
