//! Availability: strips, and the gaps with their percentiles.

use std::fmt::Write;

use super::{Section, plots_with_key, point_header, row_header, scrolling};
use crate::bench::report::escape::Escaped;
use crate::bench::report::model::{PointResults, Results};
use crate::bench::report::plots;
use crate::bench::report::stats::percentile;
use crate::bench::report::svg::scale::seconds_label;
use crate::bench::report::units::{Unit, grouped};
use crate::bench::result::{Availability, PartitionUptime, Point};

/// More gaps of one point and system are not listed one by one.
const LISTED_MAX: usize = 20;

/// Producing or consuming.
#[derive(Debug, Clone, Copy)]
struct Side {
    name: &'static str,
    of: fn(&PartitionUptime) -> &Availability,
}

const SIDES: [Side; 2] = [
    Side { name: "produce", of: |partition| &partition.produce },
    Side { name: "consume", of: |partition| &partition.consume },
];

pub fn section(results: &Results<'_>) -> Section {
    let strips = plots_with_key(results, &plots::uptime::figures(results));
    let content = if strips.is_empty() { strips } else { strips + &table(results) + &longest(results) };
    let window = results.rounds().find_map(|(_, round)| Some(round.uptime.as_ref()?.window_ms)).unwrap_or(100);
    let note = format!(
        "A partition is available in a window of {window} ms if at least one record got through. Strips: produce above, \
         consume below, gaps cut out in red, by partition; red bands are faults. The table counts the gaps of all partitions and rounds."
    );
    Section::new("uptime", "Uptime", note, content)
}

fn table(results: &Results<'_>) -> String {
    let mut text = String::from("<table><thead><tr><td></td><td></td>");
    for head in ["available", "gaps", "p50", "p90", "p99", "longest"] {
        let _ = write!(text, "<th scope=\"col\">{head}</th>");
    }
    text.push_str("</tr></thead>");
    for point in results.points.iter().filter(|point| is_watched(point)) {
        let _ = write!(text, "<tbody>{}", point_header(&point.label, 8, ""));
        for (system, rounds) in point.measured() {
            let is_watched = |side: &Side| partitions(rounds).any(|partition| (side.of)(partition).is_watched());
            for side in SIDES.into_iter().filter(is_watched) {
                let _ = write!(
                    text,
                    "<tr>{}<td class=\"text\">{}</td>{}</tr>",
                    row_header(results, system),
                    side.name,
                    row(rounds, side)
                );
            }
        }
        text.push_str("</tbody>");
    }
    scrolling("Gaps", &(text + "</table>"))
}

fn is_watched(point: &PointResults<'_>) -> bool {
    point.measured().any(|(_, rounds)| rounds.iter().any(|round| round.uptime.is_some()))
}

fn row(rounds: &[&Point], side: Side) -> String {
    let sides: Vec<&Availability> = partitions(rounds).map(side.of).collect();
    let windows: u64 = sides.iter().map(|of| of.windows).sum();
    let available: u64 = sides.iter().map(|of| of.available).sum();
    let gaps: Vec<f64> = sides.iter().flat_map(|of| &of.gaps).map(|gap| gap.ms as f64).collect();
    let share = if windows == 0 { f64::NAN } else { available as f64 / windows as f64 };
    let mut text = format!("<td>{}</td><td>{}</td>", Unit::Share.show(share), grouped(gaps.len() as f64));
    for quantile in [0.5, 0.9, 0.99, 1.0] {
        let shown = percentile(&gaps, quantile).map_or_else(|| "–".to_owned(), |ms| Unit::Milliseconds.show(ms));
        let _ = write!(text, "<td>{shown}</td>");
    }
    text
}

fn partitions<'a>(rounds: &'a [&'a Point]) -> impl Iterator<Item = &'a PartitionUptime> {
    rounds.iter().filter_map(|round| round.uptime.as_ref()).flat_map(|uptime| &uptime.partitions)
}

/// The longest gaps one by one, for who looks for their cause in a log.
fn longest(results: &Results<'_>) -> String {
    let mut rows = String::new();
    for point in &results.points {
        for (system, rounds) in point.measured() {
            for line in longest_of(rounds) {
                let _ = write!(
                    rows,
                    "<tr>{}<td class=\"text\">{}</td>{line}</tr>",
                    row_header(results, system),
                    Escaped(&point.label)
                );
            }
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let table = format!(
        "<table><thead><tr><th scope=\"col\" class=\"text\">system</th><th scope=\"col\" class=\"text\">point</th><th scope=\"col\">round</th>\
         <th scope=\"col\" class=\"text\">partition</th><th scope=\"col\" class=\"text\">side</th><th scope=\"col\">from</th><th scope=\"col\">length</th>\
         </tr></thead><tbody>{rows}</tbody></table>"
    );
    let summary = format!("The longest gaps, up to {LISTED_MAX} of each point and system");
    format!("<details><summary>{summary}</summary>{}</details>", scrolling("Longest gaps", &table))
}

fn longest_of(rounds: &[&Point]) -> Vec<String> {
    let mut gaps: Vec<(u64, String)> = Vec::new();
    for round in rounds {
        for partition in round.uptime.iter().flat_map(|uptime| &uptime.partitions) {
            for side in SIDES {
                for gap in &(side.of)(partition).gaps {
                    let cells = format!(
                        "<td>{}</td><td class=\"text\">{}</td><td class=\"text\">{}</td><td>{}</td><td>{}</td>",
                        round.round,
                        Escaped(&plots::uptime::partition_name(partition)),
                        side.name,
                        seconds_label(gap.at_ms as f64),
                        Unit::Milliseconds.show(gap.ms as f64),
                    );
                    gaps.push((gap.ms, cells));
                }
            }
        }
    }
    gaps.sort_by_key(|(ms, _)| std::cmp::Reverse(*ms));
    gaps.truncate(LISTED_MAX);
    gaps.into_iter().map(|(_, cells)| cells).collect()
}
