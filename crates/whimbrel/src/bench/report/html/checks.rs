//! Whether the figures may be believed: what was verified, and whether the load kept up with itself.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Section, point_header, row_header, scrolling};
use crate::bench::report::escape::Escaped;
use crate::bench::report::model::{PointResults, Results};
use crate::bench::report::stats::Spread;
use crate::bench::report::units::{Unit, grouped};
use crate::bench::result::{Point, Verification};

/// What the reader must know before any figure: one line each, or nothing.
pub fn alarms(results: &Results<'_>) -> String {
    let mut text = String::new();
    for system in 0..results.systems.len() {
        let rounds: Vec<&Point> = results.rounds().filter(|(of, _)| *of == system).map(|(_, round)| round).collect();
        let lost: u64 = rounds.iter().map(|round| round.verification.lost).sum();
        let twice: u64 = rounds.iter().map(|round| forbidden_duplicates(round)).sum();
        let label = Escaped(results.label(system));
        if 0 < lost {
            let _ = write!(
                text,
                "<p class=\"alarm\"><b>{} acknowledged records were lost</b> by {label}.</p>",
                grouped(lost as f64)
            );
        }
        if 0 < twice {
            let _ = write!(
                text,
                "<p class=\"alarm\"><b>{} records were stored twice</b> by {label}, though producing was idempotent.</p>",
                grouped(twice as f64)
            );
        }
    }
    let late = results.rounds().filter(|(_, round)| round.generator.bottleneck.is_some()).count();
    if 0 < late {
        let all = results.rounds().count();
        let _ = write!(
            text,
            "<p class=\"warning\"><b>The load generator was the bottleneck</b> in {late} of {all} measurements (†): their figures say more about the load than about the system. <a href=\"#generator\">Why</a></p>"
        );
    }
    if text.is_empty() { text } else { format!("<div class=\"alarms\" role=\"note\">{text}</div>\n") }
}

/// Only an idempotent producer was promised that nothing is stored twice.
fn forbidden_duplicates(point: &Point) -> u64 {
    if point.workload.idempotent { point.verification.duplicated } else { 0 }
}

pub fn verification(results: &Results<'_>) -> Section {
    if results.points.is_empty() {
        return Section::new("verification", "Verification", "", String::new());
    }
    let mut text = format!("<p class=\"verdict\">{}</p>", verdict(results));
    let (broken, fine): (Vec<_>, Vec<_>) = results.points.iter().partition(|point| has_finding(point));
    if !broken.is_empty() {
        text.push_str(&verified_points(results, &broken));
    }
    if !fine.is_empty() {
        let others = if broken.is_empty() { "By point" } else { "The other points, where nothing was found" };
        let _ = write!(text, "<details><summary>{others}</summary>{}</details>", verified_points(results, &fine));
    }
    text.push_str(&errors(results));
    let note = "After each point every partition is read to its end: each acknowledged record must be there, and none twice \
                where producing was idempotent. Counts are over all rounds.";
    Section::new("verification", "Verification", note, text)
}

/// Something that was not to happen, or that could not be looked at.
fn has_finding(point: &PointResults<'_>) -> bool {
    let is_bad = |of: &Verification| 0 < of.lost + of.duplicated + of.reordered || !of.is_complete;
    point.measured().any(|(_, rounds)| rounds.iter().any(|round| is_bad(&round.verification)))
}

fn verified_points(results: &Results<'_>, points: &[&PointResults<'_>]) -> String {
    let mut table = String::from("<table><thead><tr><td></td>");
    for head in ["acknowledged", "read", "lost", "duplicated", "reordered", "read to the end"] {
        let _ = write!(table, "<th scope=\"col\">{head}</th>");
    }
    table.push_str("</tr></thead>");
    for point in points {
        let _ = write!(table, "<tbody>{}", point_header(&point.label, 7, ""));
        for (system, rounds) in point.measured() {
            let _ = write!(table, "<tr>{}{}</tr>", row_header(results, system), verified(point, rounds));
        }
        table.push_str("</tbody>");
    }
    scrolling("Verification", &(table + "</table>"))
}

fn verdict(results: &Results<'_>) -> String {
    let rounds: Vec<&Point> = results.rounds().map(|(_, round)| round).collect();
    let acknowledged: u64 = rounds.iter().map(|round| round.verification.acknowledged).sum();
    let lost: u64 = rounds.iter().map(|round| round.verification.lost).sum();
    let unread = rounds.iter().filter(|round| !round.verification.is_complete).count();
    let found = match lost {
        0 => format!("Of {} acknowledged records none is known to be lost", grouped(acknowledged as f64)),
        lost => format!(
            "<b class=\"bad\">{} of {} acknowledged records are lost</b>",
            grouped(lost as f64),
            grouped(acknowledged as f64)
        ),
    };
    match unread {
        0 => format!("{found}; every measurement was read to its end."),
        unread => format!(
            "{found}; <b class=\"warn\">{unread} of {} measurements were not read to the end</b>.",
            rounds.len()
        ),
    }
}

fn verified(point: &PointResults<'_>, rounds: &[&Point]) -> String {
    let sum = |read: fn(&Verification) -> u64| rounds.iter().map(|round| read(&round.verification)).sum::<u64>();
    let plain = |count: u64| format!("<td>{}</td>", grouped(count as f64));
    let marked = |count: u64, class: &str, mark: &str| match count {
        0 => plain(0),
        count => format!("<td class=\"{class}\">{mark} {}</td>", grouped(count as f64)),
    };
    let twice = if point.workload.idempotent { ("bad", "✗") } else { ("warn", "") };
    let complete = rounds.iter().filter(|round| round.verification.is_complete).count();
    let is_complete = complete == rounds.len();
    format!(
        "{}{}{}{}{}<td{}>{}</td>",
        plain(sum(|of| of.acknowledged)),
        plain(sum(|of| of.read)),
        marked(sum(|of| of.lost), "bad", "✗"),
        marked(sum(|of| of.duplicated), twice.0, twice.1),
        marked(sum(|of| of.reordered), "warn", ""),
        if is_complete { "" } else { " class=\"warn\"" },
        if is_complete { "yes".to_owned() } else { format!("{complete} of {}", rounds.len()) },
    )
}

fn errors(results: &Results<'_>) -> String {
    let mut met: BTreeMap<(usize, &str), u64> = BTreeMap::new();
    for (system, round) in results.rounds() {
        for (error, count) in &round.errors {
            *met.entry((system, error)).or_default() += count;
        }
    }
    if met.is_empty() {
        return "<p>No error reached a client.</p>".to_owned();
    }
    let mut rows = String::new();
    for ((system, error), count) in met {
        let _ = write!(
            rows,
            "<tr>{}<td class=\"text\">{}</td><td>{}</td></tr>",
            row_header(results, system),
            Escaped(error),
            grouped(count as f64)
        );
    }
    let table = format!(
        "<table><caption>Errors that reached clients, over all points and rounds</caption><thead><tr><th scope=\"col\" class=\"text\">system</th><th scope=\"col\" class=\"text\">error</th><th scope=\"col\">times</th></tr></thead><tbody>{rows}</tbody></table>"
    );
    scrolling("Errors", &table)
}

pub fn generator(results: &Results<'_>) -> Section {
    let is_late = |point: &&PointResults<'_>| {
        point.measured().any(|(_, rounds)| rounds.iter().any(|round| round.generator.bottleneck.is_some()))
    };
    let (late, fine): (Vec<_>, Vec<_>) = results.points.iter().partition(is_late);
    let mut content = own_cost(results);
    if !late.is_empty() {
        content.push_str(&kept_up_points(results, &late));
    }
    if !fine.is_empty() {
        let others = if late.is_empty() { "By point" } else { "The other points, where it kept up" };
        let _ = write!(content, "<details><summary>{others}</summary>{}</details>", kept_up_points(results, &fine));
    }
    let note = "What the load itself cost, and how far behind its intended time a record was handed over. A load that cannot \
                keep up measures itself. Medians over rounds; lateness is the worst round's.";
    Section::new("generator", "The load itself", note, content)
}

/// The range of what a record cost, and the worst lateness.
fn own_cost(results: &Results<'_>) -> String {
    let costs = results.rounds().map(|(_, round)| round.generator.cpu_us_per_record);
    let Some(cost) = Spread::of(costs) else { return String::new() };
    let late = results.rounds().map(|(_, round)| round.generator.late_p99_us).max().unwrap_or(0);
    let (least, most) = (Unit::Microseconds.show(cost.min), Unit::Microseconds.show(cost.max));
    let cost = if least == most { least } else { format!("{least} to {most}") };
    format!(
        "<p class=\"verdict\">A record cost the load {cost} of CPU; of a hundred records 99 were at most {} late, in every \
         measurement.</p>",
        Unit::Microseconds.show(late as f64),
    )
}

fn kept_up_points(results: &Results<'_>, points: &[&PointResults<'_>]) -> String {
    let mut table = String::from("<table><thead><tr><td></td>");
    for head in ["CPU per record", "CPU seconds", "late, p99", "late, at most"] {
        let _ = write!(table, "<th scope=\"col\">{head}</th>");
    }
    table.push_str("<th scope=\"col\" class=\"text\">kept up</th></tr></thead>");
    for point in points {
        let _ = write!(table, "<tbody>{}", point_header(&point.label, 6, ""));
        for (system, rounds) in point.measured() {
            let _ = write!(table, "<tr>{}{}</tr>", row_header(results, system), kept_up(rounds));
        }
        table.push_str("</tbody>");
    }
    scrolling("Generator", &(table + "</table>"))
}

fn kept_up(rounds: &[&Point]) -> String {
    let median = |read: fn(&Point) -> f64| {
        Spread::of(rounds.iter().map(|round| read(round))).map_or(f64::NAN, |spread| spread.median)
    };
    let worst = |read: fn(&Point) -> u64| rounds.iter().map(|round| read(round)).max().unwrap_or(0) as f64;
    let why = rounds.iter().find_map(|round| round.generator.bottleneck.as_deref());
    let verdict = why.map_or_else(
        || "<td class=\"text\">yes</td>".to_owned(),
        |why| format!("<td class=\"text warn\">† no: {}</td>", Escaped(why)),
    );
    format!(
        "<td>{}</td><td>{:.1} s</td><td>{}</td><td>{}</td>{verdict}",
        Unit::Microseconds.show(median(|round| round.generator.cpu_us_per_record)),
        median(|round| round.generator.cpu_seconds),
        Unit::Microseconds.show(worst(|round| round.generator.late_p99_us)),
        Unit::Microseconds.show(worst(|round| round.generator.late_max_us)),
    )
}
