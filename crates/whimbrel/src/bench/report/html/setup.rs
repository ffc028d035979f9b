//! What was run, where, and how to run it again.

use std::fmt::Write;

use super::{Section, row_header, scrolling};
use crate::bench::report::describe;
use crate::bench::report::escape::Escaped;
use crate::bench::report::model::Results;
use crate::bench::report::units::{Unit, grouped};
use crate::bench::result::{Machine, Run};

/// When, where and how much, in a sentence below the title.
pub fn lede(results: &Results<'_>) -> String {
    let Some(run) = results.runs.first() else {
        return "<p class=\"lede\">What was run, and where, is not in these results.</p>".to_owned();
    };
    let (points, rounds) = (results.points.len(), results.rounds_max());
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    format!(
        "<p class=\"lede\">{}, {} on <span>{}</span>.</p>\n<pre class=\"command\"><code>{}</code></pre>",
        Escaped(&date(&run.started)),
        Escaped(&format!("{} in {}", plural(points, "point"), plural(rounds, "round"))),
        Escaped(&machine(&run.machine)),
        Escaped(&command(run)),
    )
}

/// `2026-11-26 04:20 UTC` out of RFC 3339; what is none is shown as it is.
fn date(text: &str) -> String {
    let shown = text.parse::<jiff::Timestamp>().map(|time| time.strftime("%Y-%m-%d %H:%M UTC").to_string());
    shown.unwrap_or_else(|_| text.to_owned())
}

fn machine(machine: &Machine) -> String {
    let cpu = if machine.cpu.is_empty() { "an unknown processor" } else { machine.cpu.as_str() };
    let mut parts = vec![cpu.to_owned()];
    if 0 < machine.cores {
        parts.push(format!("{} cores", machine.cores));
    }
    if 0 < machine.memory_bytes {
        parts.push(Unit::Bytes.show(machine.memory_bytes as f64));
    }
    if !machine.kernel.is_empty() {
        parts.push(machine.kernel.clone());
    }
    if !machine.data_filesystem.is_empty() {
        parts.push(format!("data on {}", machine.data_filesystem));
    }
    parts.join(", ")
}

/// The command line, with quotes where a shell needs them.
fn command(run: &Run) -> String {
    let is_plain = |word: &str| {
        !word.is_empty() && word.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_=./:,%+@".contains(letter))
    };
    let quoted =
        |word: &String| if is_plain(word) { word.clone() } else { format!("'{}'", word.replace('\'', r"'\''")) };
    run.command.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

pub fn section(results: &Results<'_>) -> Section {
    let mut content = String::new();
    for run in &results.runs {
        content.push_str(&run_facts(run));
    }
    content.push_str(&systems(results));
    content.push_str(&workloads(results));
    let note = "Machine, versions, settings and workloads, and the command that repeats the run. The limits are what the \
                machine itself takes for the least that any broker must do.";
    Section::new("setup", "Setup", note, content)
}

fn run_facts(run: &Run) -> String {
    let mut rows = String::new();
    let mut row = |name: &str, text: &str| {
        let _ = write!(
            rows,
            "<tr><th scope=\"row\" class=\"text\">{}</th><td class=\"text\">{}</td></tr>",
            Escaped(name),
            Escaped(text)
        );
    };
    row("scenario", &run.scenario);
    row("started", &date(&run.started));
    row("bench", &run.bench_version);
    row("machine", &machine(&run.machine));
    row("command", &command(run));
    let limits: Vec<String> = run.limits.iter().map(|(name, value)| limit(name, *value)).collect();
    if !limits.is_empty() {
        row("limits", &limits.join("; "));
    }
    format!("<table class=\"facts\"><caption>Run</caption><tbody>{rows}</tbody></table>")
}

/// `loopback copy 5.31 GB/s`: the unit, which is the last word of the name, stands behind the value.
pub fn limit(name: &str, value: f64) -> String {
    let shown = if 1000.0 <= value.abs() { grouped(value) } else { format!("{value:.2}") };
    match name.rsplit_once(' ') {
        Some((what, "us")) => format!("{what} {}", Unit::Microseconds.show(value)),
        Some((what, unit)) if unit.contains('/') || ["ms", "s"].contains(&unit) => format!("{what} {shown} {unit}"),
        _ => format!("{name} {shown}"),
    }
}

fn systems(results: &Results<'_>) -> String {
    let mut rows = String::new();
    for (index, measured) in results.systems.iter().enumerate() {
        let system = measured.system;
        let settings =
            system.settings.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("\n");
        let settings = if settings.is_empty() { "its defaults" } else { &settings };
        let or_unknown = |text: &str| if text.is_empty() { "not known".to_owned() } else { text.to_owned() };
        let _ = write!(
            rows,
            "<tr>{}<td class=\"text\">{}</td><td>{}</td><td class=\"text\">{}</td><td class=\"text\">{}</td><td class=\"text settings\">{}</td></tr>",
            row_header(results, index),
            Escaped(&or_unknown(&system.version)),
            system.brokers,
            Escaped(&or_unknown(&system.coordination)),
            Escaped(&or_unknown(&system.client)),
            Escaped(settings),
        );
    }
    if rows.is_empty() {
        return rows;
    }
    let table = format!(
        "<table><caption>Systems</caption><thead><tr><td></td><th scope=\"col\" class=\"text\">version</th><th scope=\"col\">brokers</th>\
         <th scope=\"col\" class=\"text\">coordination</th><th scope=\"col\" class=\"text\">client</th><th scope=\"col\" class=\"text\">settings</th></tr></thead><tbody>{rows}</tbody></table>"
    );
    scrolling("Systems", &table)
}

/// What all points ask for in one list, what tells them apart in a table.
fn workloads(results: &Results<'_>) -> String {
    let Some(first) = results.points.first() else { return String::new() };
    let differ = describe::differences(results.points.iter().map(|point| point.workload));
    let mut same = String::new();
    for (name, text) in describe::facts(first.workload).into_iter().filter(|(name, _)| !differ.contains(name)) {
        let _ = write!(same, "<span class=\"fact\"><span>{name}</span> {}</span> ", Escaped(&text));
    }
    let heads: String = differ.iter().map(|name| format!("<th scope=\"col\">{name}</th>")).collect();
    let mut rows = String::new();
    for point in &results.points {
        let facts = describe::facts(point.workload).into_iter().filter(|(name, _)| differ.contains(name));
        let cells: String = facts.map(|(_, text)| format!("<td>{}</td>", Escaped(&text))).collect();
        let _ = write!(rows, "<tr><th scope=\"row\" class=\"text\">{}</th>{cells}</tr>", Escaped(point.name));
    }
    let table = format!(
        "<table><caption>Workloads</caption><thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    );
    format!("{}<p class=\"same\">In all of them: {same}</p>", scrolling("Workloads", &table))
}
