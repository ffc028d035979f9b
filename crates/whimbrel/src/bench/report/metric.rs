//! The figures that are compared: how each is read from a point, shown and judged.

use super::histogram;
use super::units::Unit;
use crate::bench::result::{Latency, Point, ProcessCost};

/// Which way a figure gets better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

/// One figure of a point.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Names it in JSON.
    pub key: &'static str,
    /// Names it in tables and plots.
    pub title: &'static str,
    pub unit: Unit,
    pub better: Better,
    /// A breach of what was promised where it is above zero, however noisy the rounds are.
    pub is_breach: bool,
    source: Source,
}

/// Where a figure comes from.
#[derive(Debug, Clone, Copy)]
enum Source {
    Number(fn(&Point) -> Option<f64>),
    /// A quantile of a distribution.
    Quantile(fn(&Point) -> &Latency, f64),
}

impl Metric {
    /// The figure of one round; `None` where it was not measured.
    pub fn of(&self, point: &Point) -> Option<f64> {
        let value = match self.source {
            Source::Number(read) => read(point),
            Source::Quantile(of, quantile) => quantile_us(of(point), quantile),
        };
        value.filter(|value| value.is_finite())
    }

    /// A quantile of all rounds as one distribution; `None` for other figures and without histograms.
    pub fn of_all(&self, rounds: &[&Point]) -> Option<f64> {
        let Source::Quantile(of, quantile) = self.source else { return None };
        let merged = histogram::merged(rounds.iter().map(|point| of(point)))?;
        Some(merged.value_at_quantile(quantile) as f64)
    }

    pub fn show(&self, value: f64) -> String {
        self.unit.show(value)
    }

    /// How many times worse `other` is than `base`: above one where it is worse, whichever way the figure goes.
    pub fn worse(&self, base: f64, other: f64) -> f64 {
        match self.better {
            Better::Lower => other / base,
            Better::Higher => base / other,
        }
    }

    /// By which share of `base` `other` is worse; negative where it is better.
    pub fn worsening(&self, base: f64, other: f64) -> f64 {
        match self.better {
            Better::Lower => (other - base) / base,
            Better::Higher => (base - other) / base,
        }
    }

    const fn new(
        key: &'static str,
        title: &'static str,
        unit: Unit,
        better: Better,
        read: fn(&Point) -> Option<f64>,
    ) -> Self {
        Self { key, title, unit, better, is_breach: false, source: Source::Number(read) }
    }
}

pub const RECORDS_IN: Metric = Metric::new("records_per_s", "records in", Unit::PerSecond, Better::Higher, |point| {
    (0 < point.produced.records).then_some(point.produced.records_per_s)
});
pub const MEGABYTES_IN: Metric =
    Metric::new("mb_per_s", "data in", Unit::MegabytesPerSecond, Better::Higher, |point| {
        (0 < point.produced.records).then_some(point.produced.mb_per_s)
    });
pub const RECORDS_OUT: Metric =
    Metric::new("consumed_per_s", "records out", Unit::PerSecond, Better::Higher, |point| {
        (0 < point.consumed.records).then_some(point.consumed.records_per_s)
    });
pub const ACK_P50: Metric = latency("ack_p50_us", "ack p50", ack, 0.5);
pub const ACK_P99: Metric = latency("ack_p99_us", "ack p99", ack, 0.99);
pub const ACK_P999: Metric = latency("ack_p999_us", "ack p99.9", ack, 0.999);
pub const ACK_P9999: Metric = latency("ack_p9999_us", "ack p99.99", ack, 0.9999);
pub const END_P50: Metric = latency("end_to_end_p50_us", "end to end p50", end_to_end, 0.5);
pub const END_P99: Metric = latency("end_to_end_p99_us", "end to end p99", end_to_end, 0.99);
pub const END_P999: Metric = latency("end_to_end_p999_us", "end to end p99.9", end_to_end, 0.999);
pub const END_P9999: Metric = latency("end_to_end_p9999_us", "end to end p99.99", end_to_end, 0.9999);
pub const CPU_IN: Metric =
    Metric::new("cpu_s_per_gb_in", "CPU s per GB in", Unit::CpuSecondsPerGigabyte, Better::Lower, |point| {
        per_gigabyte(point, point.produced.bytes)
    });
pub const CPU_OUT: Metric =
    Metric::new("cpu_s_per_gb_out", "CPU s per GB out", Unit::CpuSecondsPerGigabyte, Better::Lower, |point| {
        per_gigabyte(point, point.consumed.bytes)
    });
pub const MEMORY: Metric = Metric::new("memory_peak_bytes", "peak memory", Unit::Bytes, Better::Lower, |point| {
    total(point, |process| process.memory_peak_bytes as f64)
});
pub const WRITTEN: Metric = Metric::new("written_bytes", "written to disk", Unit::Bytes, Better::Lower, |point| {
    total(point, |process| process.written_bytes as f64)
});
pub const FILES: Metric = Metric::new("files", "open files", Unit::Count, Better::Lower, |point| {
    total(point, |process| process.files as f64)
});
pub const THREADS: Metric = Metric::new("threads", "threads", Unit::Count, Better::Lower, |point| {
    total(point, |process| process.threads as f64)
});
pub const LOST: Metric =
    breach("lost", "lost", |point| (0 < point.verification.acknowledged).then_some(point.verification.lost as f64));
pub const DUPLICATED: Metric = breach("duplicated", "duplicated", |point| {
    (0 < point.verification.acknowledged && point.workload.idempotent).then_some(point.verification.duplicated as f64)
});
pub const PRODUCE_GAP: Metric =
    Metric::new("produce_gap_max_ms", "longest gap in producing", Unit::Milliseconds, Better::Lower, |point| {
        longest_gap(point, true)
    });
pub const CONSUME_GAP: Metric =
    Metric::new("consume_gap_max_ms", "longest gap in consuming", Unit::Milliseconds, Better::Lower, |point| {
        longest_gap(point, false)
    });

/// Everything that `bench compare` looks at, in its order.
pub const COMPARED: [Metric; 20] = [
    RECORDS_IN,
    RECORDS_OUT,
    ACK_P50,
    ACK_P99,
    ACK_P999,
    ACK_P9999,
    END_P50,
    END_P99,
    END_P999,
    END_P9999,
    CPU_IN,
    CPU_OUT,
    MEMORY,
    WRITTEN,
    FILES,
    THREADS,
    PRODUCE_GAP,
    CONSUME_GAP,
    LOST,
    DUPLICATED,
];

/// What the processes used up or held.
pub const COSTS: [Metric; 6] = [CPU_IN, CPU_OUT, MEMORY, WRITTEN, FILES, THREADS];

const fn latency(key: &'static str, title: &'static str, of: fn(&Point) -> &Latency, quantile: f64) -> Metric {
    Metric {
        key,
        title,
        unit: Unit::Microseconds,
        better: Better::Lower,
        is_breach: false,
        source: Source::Quantile(of, quantile),
    }
}

fn ack(point: &Point) -> &Latency {
    &point.ack_latency
}

fn end_to_end(point: &Point) -> &Latency {
    &point.end_to_end_latency
}

const fn breach(key: &'static str, title: &'static str, read: fn(&Point) -> Option<f64>) -> Metric {
    Metric { is_breach: true, ..Metric::new(key, title, Unit::Count, Better::Lower, read) }
}

/// As the bench wrote it down, else out of the histogram. `None` where nothing was counted or the client could not tell.
fn quantile_us(latency: &Latency, quantile: f64) -> Option<f64> {
    let known = [(0.5, latency.p50_us), (0.9, latency.p90_us), (0.99, latency.p99_us), (0.999, latency.p999_us)];
    let known = known.into_iter().find(|(of, _)| *of == quantile).map(|(_, us)| us);
    let us = match known {
        Some(us) => us,
        None => histogram::merged([latency])?.value_at_quantile(quantile),
    };
    (0 < latency.count && 0 < us).then_some(us as f64)
}

/// The whole CPU time for each 10^9 bytes that went one way.
fn per_gigabyte(point: &Point, bytes: u64) -> Option<f64> {
    let seconds = total(point, |process| process.cpu_seconds)?;
    (0 < bytes).then(|| seconds / (bytes as f64 / 1e9))
}

/// Over all processes; `None` where there is none to look at.
fn total(point: &Point, read: fn(&ProcessCost) -> f64) -> Option<f64> {
    (!point.cost.is_empty()).then(|| point.cost.iter().map(read).sum())
}

fn longest_gap(point: &Point, is_produce: bool) -> Option<f64> {
    let partitions = &point.uptime.as_ref()?.partitions;
    let sides = partitions.iter().map(|of| if is_produce { &of.produce } else { &of.consume });
    let gaps = sides.filter(|side| side.is_watched()).map(|side| side.gaps.iter().map(|gap| gap.ms).max());
    gaps.max().map(|gap| gap.unwrap_or(0) as f64)
}
