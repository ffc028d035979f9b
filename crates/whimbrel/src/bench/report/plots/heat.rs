//! The matrix of record sizes and rates as maps: one for each figure and system, and the ratio between two systems.

use super::key;
use crate::bench::report::describe;
use crate::bench::report::metric::{self, Metric};
use crate::bench::report::model::{PointResults, Results};
use crate::bench::report::svg::{Anchor, Canvas, Figure, fit, slug, system_class};
use crate::bench::report::units::ratio;
use crate::bench::workload::Workload;

const WIDTH: f64 = 330.0;
const LEFT: f64 = 58.0;
const TOP: f64 = 8.0;
const CELL_HEIGHT: f64 = 30.0;
/// As dark as a cell gets: its text must stay readable.
const OPACITY_MAX: f64 = 0.5;
/// A ratio that is shown as dark as it gets.
const RATIO_MAX: f64 = 10.0;

/// What is mapped.
const METRICS: [Metric; 4] = [metric::RECORDS_IN, metric::ACK_P99, metric::END_P99, metric::CPU_IN];

/// The maps of points that differ in record size and rate alone.
pub struct Facet {
    /// In what it differs from the other facets; empty if it is the only one.
    pub title: String,
    pub figures: Vec<Figure>,
}

/// What is in one map: indexes of points by row and column.
struct Matrix<'a> {
    workload: &'a Workload,
    sizes: Vec<usize>,
    rates: Vec<Option<u64>>,
    cells: Vec<(usize, Option<u64>, usize)>,
}

/// All facets with more than one point.
pub fn figures(results: &Results<'_>) -> Vec<Facet> {
    let matrices: Vec<Matrix<'_>> =
        matrices(&results.points).into_iter().filter(|matrix| 1 < matrix.cells.len()).collect();
    let titles = titles(&matrices);
    let facets = matrices.iter().zip(titles).enumerate().map(|(index, (matrix, title))| Facet {
        title,
        figures: METRICS.iter().flat_map(|metric| maps(results, index, matrix, metric)).collect(),
    });
    facets.collect()
}

/// Every facet, small ones too: what tells it from the others, and the indexes of its points.
pub fn facets(results: &Results<'_>) -> Vec<(String, Vec<usize>)> {
    let matrices = matrices(&results.points);
    let titles =
        titles(&matrices).into_iter().map(|title| if title.is_empty() { "all points".to_owned() } else { title });
    let points = matrices.iter().map(|matrix| matrix.cells.iter().map(|(.., point)| *point).collect());
    titles.zip(points).collect()
}

fn titles(matrices: &[Matrix<'_>]) -> Vec<String> {
    let differ = describe::differences(matrices.iter().map(|matrix| matrix.workload));
    let differ: Vec<_> = differ.into_iter().filter(|name| !["record", "rate"].contains(name)).collect();
    matrices.iter().map(|matrix| describe::line(matrix.workload, &differ)).collect()
}

fn matrices<'a>(points: &[PointResults<'a>]) -> Vec<Matrix<'a>> {
    let mut matrices: Vec<Matrix<'a>> = Vec::new();
    for (index, point) in points.iter().enumerate() {
        let (size, rate) = (point.workload.record_bytes, point.workload.rate);
        let fits =
            |matrix: &Matrix<'_>| rest(matrix.workload) == rest(point.workload) && matrix.cell(size, rate).is_none();
        let at = matrices.iter().position(fits).unwrap_or_else(|| {
            matrices.push(Matrix { workload: point.workload, sizes: vec![], rates: vec![], cells: vec![] });
            matrices.len() - 1
        });
        matrices[at].cells.push((size, rate, index));
    }
    for matrix in &mut matrices {
        matrix.sizes = matrix.cells.iter().map(|(size, ..)| *size).collect();
        matrix.sizes.sort_unstable();
        matrix.sizes.dedup();
        matrix.rates = matrix.cells.iter().map(|(_, rate, _)| *rate).collect();
        // As fast as it goes is faster than every number.
        matrix.rates.sort_unstable_by_key(|rate| rate.unwrap_or(u64::MAX));
        matrix.rates.dedup();
    }
    matrices
}

impl Matrix<'_> {
    fn cell(&self, size: usize, rate: Option<u64>) -> Option<usize> {
        self.cells.iter().find(|cell| cell.0 == size && cell.1 == rate).map(|cell| cell.2)
    }
}

/// The workload without what the map shows.
fn rest(workload: &Workload) -> Workload {
    Workload { record_bytes: 0, rate: None, ..workload.clone() }
}

fn maps(results: &Results<'_>, index: usize, matrix: &Matrix<'_>, metric: &Metric) -> Vec<Figure> {
    let value =
        |point: usize, system: usize| results.points.get(point)?.spread(system, metric).map(|spread| spread.median);
    let systems = 0..results.systems.len();
    let all: Vec<f64> =
        matrix.cells.iter().flat_map(|cell| systems.clone().filter_map(move |system| value(cell.2, system))).collect();
    if all.is_empty() {
        return Vec::new();
    }
    let range = Range::of(&all);
    let mut figures: Vec<Figure> = systems
        .map(|system| {
            let cell = |point| {
                let value = value(point, system)?;
                Some(Cell { class: system_class(system), opacity: range.opacity(value), text: metric.show(value) })
            };
            let title = format!("{}, {}", metric.title, results.label(system));
            figure(
                matrix,
                format!("map-{}-{}-{system}", index + 1, slug(metric.key)),
                title,
                key(results, [system]),
                cell,
            )
        })
        .collect();
    if results.systems.len() == 2 {
        let cell = |point| ratio_cell(metric, value(point, 0)?, value(point, 1)?);
        let title = format!("{}, {} ÷ {}", metric.title, results.label(1), results.label(0));
        figures.push(figure(
            matrix,
            format!("map-{}-{}-ratio", index + 1, slug(metric.key)),
            title,
            key(results, [0, 1]),
            cell,
        ));
    }
    figures
}

struct Cell {
    class: String,
    opacity: f64,
    text: String,
}

/// In the colour of the better one, the darker the clearer.
fn ratio_cell(metric: &Metric, first: f64, second: f64) -> Option<Cell> {
    let worse = metric.worse(first, second);
    if !worse.is_finite() || worse <= 0.0 {
        return None;
    }
    let better = usize::from(worse < 1.0);
    let opacity = OPACITY_MAX * (worse.ln().abs() / RATIO_MAX.ln()).min(1.0);
    Some(Cell { class: system_class(better), opacity, text: ratio(second / first) })
}

/// The logarithms of what a map shows.
struct Range {
    low: f64,
    high: f64,
}

impl Range {
    fn of(values: &[f64]) -> Self {
        let logs = values.iter().filter(|value| 0.0 < **value).map(|value| value.ln());
        let (low, high) = logs.fold((f64::MAX, f64::MIN), |(low, high), log| (low.min(log), high.max(log)));
        Self { low, high }
    }

    fn opacity(&self, value: f64) -> f64 {
        if value <= 0.0 || self.high <= self.low {
            return 0.08;
        }
        0.06 + (OPACITY_MAX - 0.06) * (value.ln() - self.low) / (self.high - self.low)
    }
}

fn figure(
    matrix: &Matrix<'_>,
    name: String,
    title: String,
    key: Vec<(String, String)>,
    cell: impl Fn(usize) -> Option<Cell>,
) -> Figure {
    let mut canvas = Canvas::default();
    let width = (WIDTH - LEFT) / matrix.rates.len() as f64;
    let bottom = TOP + CELL_HEIGHT * matrix.sizes.len() as f64;
    let mut described = Vec::new();
    // The largest records stand at the top, so that both axes grow away from the corner.
    for (row, size) in matrix.sizes.iter().rev().enumerate() {
        let y = TOP + CELL_HEIGHT * row as f64;
        canvas.text("tick", (LEFT - 6.0, y + 19.0), Anchor::End, &describe::size(*size));
        for (column, rate) in matrix.rates.iter().enumerate() {
            let place = (LEFT + width * column as f64, y);
            let found = matrix.cell(*size, *rate).and_then(&cell);
            let place_text = format!("{} at {}", describe::size(*size), describe::rate(*rate));
            described.push(draw_cell(&mut canvas, place, width, found, &place_text));
        }
    }
    for (column, rate) in matrix.rates.iter().enumerate() {
        let x = LEFT + width * (column as f64 + 0.5);
        canvas.text("tick", (x, bottom + 15.0), Anchor::Middle, &fit(&describe::rate(*rate), width, 1.0));
    }
    let desc = format!("Record sizes by rates. {}.", described.join("; "));
    Figure {
        name,
        caption: title.clone(),
        title,
        desc,
        width: WIDTH,
        top: 0.0,
        height: bottom + 22.0,
        canvas,
        key,
        cursor: None,
    }
}

fn draw_cell(canvas: &mut Canvas, place: (f64, f64), width: f64, cell: Option<Cell>, at: &str) -> String {
    let size = (width - 2.0, CELL_HEIGHT - 2.0);
    let Some(cell) = cell else {
        canvas.rect("missing", place, size, &format!("{at}: not measured"));
        return format!("{at}: not measured");
    };
    let said = format!("{at}: {}", cell.text);
    canvas.shade(&cell.class, place, size, cell.opacity, &said);
    let middle = (place.0 + size.0 / 2.0, place.1 + 18.0);
    canvas.text("value", middle, Anchor::Middle, &in_cell(&cell.text, size.0));
    said
}

/// A value without the unit that its title names.
fn in_cell(text: &str, width: f64) -> String {
    fit(text.strip_suffix(" s/GB").unwrap_or(text), width, 1.0)
}
