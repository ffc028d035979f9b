//! The table for people: medians over the rounds of each point, systems side by side.

use std::io::Write;

use comfy_table::{Cell, CellAlignment, Table, presets};

use crate::bench::result::{Point, ProcessCost, System};

/// What stands where nothing is known.
const DASH: &str = "-";

const COLUMNS: [&str; 14] = [
    "POINT",
    "SYSTEM",
    "IN/S",
    "MB/S",
    "OUT/S",
    "ACK P50",
    "P99",
    "P99.9",
    "END TO END P50",
    "P99",
    "CPU S/GB",
    "MEMORY",
    "LOAD CPU",
    "LATE P99",
];

/// Prints one row for each point and system, then what is to be known before the figures are believed.
///
/// # Errors
/// The standard output cannot be written to.
pub fn print(points: &[&Point]) -> std::io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let number = |index: usize| 2 <= index;
    table.set_header(COLUMNS.iter().enumerate().map(|(index, title)| {
        Cell::new(title).set_alignment(if number(index) { CellAlignment::Right } else { CellAlignment::Left })
    }));
    let rows = rows(points);
    for row in &rows {
        table.add_row(row.cells());
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        column.set_cell_alignment(if number(index) { CellAlignment::Right } else { CellAlignment::Left });
    }
    let mut stdout = std::io::stdout().lock();
    table.lines().try_for_each(|line| writeln!(stdout, "{}", line.trim_end()))?;
    drop(stdout);
    super::uptime::print(points)?;
    let mut stdout = std::io::stdout().lock();
    notes(points).iter().try_for_each(|note| writeln!(stdout, "{note}"))
}

/// The rounds of one point on one system.
struct Row<'a> {
    rounds: Vec<&'a Point>,
}

/// In the order in which points and systems came first.
fn rows<'a>(points: &[&'a Point]) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for &point in points {
        let is_same = |row: &&mut Row<'_>| row.rounds[0].name == point.name && row.rounds[0].system == point.system;
        match rows.iter_mut().find(is_same) {
            Some(row) => row.rounds.push(point),
            None => rows.push(Row { rounds: vec![point] }),
        }
    }
    let order = |row: &Row<'_>| points.iter().position(|point| point.name == row.rounds[0].name);
    rows.sort_by_key(order);
    rows
}

impl Row<'_> {
    fn median(&self, value: impl Fn(&Point) -> f64) -> f64 {
        let mut values: Vec<f64> = self.rounds.iter().map(|point| value(point)).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
    }

    fn cells(&self) -> Vec<String> {
        let first = self.rounds[0];
        let us = |value: fn(&Point) -> u64| latency(self.median(|point| value(point) as f64));
        let flow = |value: fn(&Point) -> f64| or_dash(self.median(value), count);
        vec![
            first.name.clone(),
            system(&first.system),
            flow(|point| point.produced.records_per_s),
            or_dash(self.median(|point| point.produced.mb_per_s), |value| format!("{value:.1}")),
            flow(|point| point.consumed.records_per_s),
            us(|point| point.ack_latency.p50_us),
            us(|point| point.ack_latency.p99_us),
            us(|point| point.ack_latency.p999_us),
            us(|point| point.end_to_end_latency.p50_us),
            us(|point| point.end_to_end_latency.p99_us),
            or_dash(self.median(cpu_s_per_gb), |value| format!("{value:.2}")),
            or_dash(self.median(|point| memory(&point.cost)), bytes),
            or_dash(self.median(load_cpu), |share| format!("{:.0} %", share * 100.0)),
            us(|point| point.generator.late_p99_us),
        ]
    }
}

/// CPU seconds of the processes under test for each GB (10^9 bytes) that was produced.
fn cpu_s_per_gb(point: &Point) -> f64 {
    let cpu: f64 = point.cost.iter().map(|process| process.cpu_seconds).sum();
    if point.produced.bytes == 0 { 0.0 } else { cpu / (point.produced.bytes as f64 / 1e9) }
}

/// Processors that the load itself took.
fn load_cpu(point: &Point) -> f64 {
    point.generator.cpu_seconds / point.seconds.max(f64::MIN_POSITIVE)
}

fn memory(cost: &[ProcessCost]) -> f64 {
    cost.iter().map(|process| process.memory_peak_bytes as f64).sum()
}

pub fn system(system: &System) -> String {
    let version = if system.version.is_empty() { String::new() } else { format!(" {}", system.version) };
    let client = if system.client == "whimbrel" { String::new() } else { format!(" by {}", system.client) };
    format!("{}{version}{client}", system.name)
}

/// What is wrong with points, one line each.
fn notes(points: &[&Point]) -> Vec<String> {
    let mut notes = Vec::new();
    for point in points {
        let mut note = |text: String| {
            notes.push(format!("! {}, {}, round {}: {text}", point.name, system(&point.system), point.round));
        };
        let found = &point.verification;
        if 0 < found.lost {
            note(format!("{} acknowledged records were not read", found.lost));
        }
        if 0 < found.duplicated && point.workload.idempotent {
            note(format!("{} records were read twice in spite of idempotence", found.duplicated));
        }
        if 0 < found.reordered {
            note(format!("{} records were read out of order", found.reordered));
        }
        if !found.is_complete {
            note("not everything was read back, so that a loss would not be seen".to_owned());
        }
        if !point.errors.is_empty() {
            let errors = point.errors.iter().map(|(text, count)| format!("{count} × {text}"));
            note(format!("errors: {}", errors.collect::<Vec<_>>().join("; ")));
        }
        if let Some(bottleneck) = &point.generator.bottleneck {
            note(format!("the load was the bottleneck: {bottleneck}"));
        }
    }
    notes
}

fn or_dash(value: f64, text: impl Fn(f64) -> String) -> String {
    if value == 0.0 { DASH.to_owned() } else { text(value) }
}

/// A count with the unit that leaves three or four digits.
pub fn count(value: f64) -> String {
    match value {
        value if value < 10_000.0 => format!("{value:.0}"),
        value if value < 1e6 => format!("{:.1}k", value / 1e3),
        value => format!("{:.2}M", value / 1e6),
    }
}

/// Microseconds, in the unit in which they are read best.
pub fn latency(us: f64) -> String {
    or_dash(us, |us| match us {
        us if us < 1000.0 => format!("{us:.0} µs"),
        us if us < 1e6 => format!("{:.2} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    })
}

fn bytes(value: f64) -> String {
    match value {
        value if value < 1024.0 * 1024.0 * 1024.0 => format!("{:.0} MiB", value / 1024.0 / 1024.0),
        value => format!("{:.1} GiB", value / 1024.0 / 1024.0 / 1024.0),
    }
}
