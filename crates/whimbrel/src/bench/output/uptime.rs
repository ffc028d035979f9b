//! The table of who could produce and consume while something was done to the system.

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::table::{latency, system};
use crate::bench::result::{Availability, Gap, Point, Uptime};
use crate::bench::uptime::gap_percentile_ms;

const COLUMNS: [&str; 10] =
    ["POINT", "SYSTEM", "ROUND", "DIRECTION", "PARTITIONS", "AVAILABLE", "GAPS", "GAP P50", "P99", "MAX"];
/// The first of these is a number.
const NUMBERS_FROM: usize = 4;
const US_PER_MS: f64 = 1000.0;

/// Prints a row for each direction of each point of which it is known, and what was done to the system.
///
/// # Errors
/// The standard output cannot be written to.
pub fn print(points: &[&Point]) -> std::io::Result<()> {
    use std::io::Write;
    let rows: Vec<_> =
        points.iter().filter_map(|point| Some((*point, point.uptime.as_ref()?))).flat_map(rows).collect();
    let mut stdout = std::io::stdout().lock();
    if !rows.is_empty() {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let alignment = |index| if index < NUMBERS_FROM { CellAlignment::Left } else { CellAlignment::Right };
        let title = |(index, title): (usize, &&str)| Cell::new(title).set_alignment(alignment(index));
        table.set_header(COLUMNS.iter().enumerate().map(title));
        table.add_rows(rows);
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            column.set_cell_alignment(alignment(index));
        }
        writeln!(stdout)?;
        table.lines().try_for_each(|line| writeln!(stdout, "{}", line.trim_end()))?;
    }
    for point in points {
        for fault in &point.faults {
            let at = fault.at_ms as f64 / 1000.0;
            let until = fault.until_ms.map_or_else(String::new, |until| format!(" to {:.1} s", until as f64 / 1000.0));
            writeln!(stdout, "{}, round {}: {} at {at:.1} s{until}", point.name, point.round, fault.what)?;
        }
    }
    Ok(())
}

fn rows((point, uptime): (&Point, &Uptime)) -> Vec<Vec<String>> {
    let row = |direction: &str, of: Vec<&Availability>| {
        let gaps: Vec<&Gap> = of.iter().flat_map(|partition| &partition.gaps).collect();
        let (windows, available): (u64, u64) =
            of.iter().fold((0, 0), |sum, partition| (sum.0 + partition.windows, sum.1 + partition.available));
        let gap = |share| latency(gap_percentile_ms(gaps.iter().copied(), share) as f64 * US_PER_MS);
        vec![
            point.name.clone(),
            system(&point.system),
            point.round.to_string(),
            direction.to_owned(),
            of.len().to_string(),
            format!("{:.3} %", 100.0 * available as f64 / windows.max(1) as f64),
            gaps.len().to_string(),
            gap(0.5),
            gap(0.99),
            gap(1.0),
        ]
    };
    let produce = uptime.partitions.iter().map(|partition| &partition.produce).collect();
    let consume = uptime.partitions.iter().map(|partition| &partition.consume).collect();
    let directions: [(&str, Vec<&Availability>); 2] = [("produce", produce), ("consume", consume)];
    let watched = directions.into_iter().filter(|(_, of)| of.iter().any(|partition| partition.is_watched()));
    watched.map(|(direction, of)| row(direction, of)).collect()
}
