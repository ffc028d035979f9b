//! Latencies as they are recorded while a load runs, and merged without loss when it is over.
//!
//! Threads write to a few shards, each behind a lock that is taken once for each batch. A shard has a histogram of the
//! measured part, and one for each window of time from which the series is made.

use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};

use super::load::clock::{Clock, Run};
use super::result::{Flow, Latency, Window};

/// Significant digits of the histograms that are kept: 0.1 % of a value.
const DIGITS: u8 = 3;
/// Of those of windows, which are many: 1 %.
const WINDOW_DIGITS: u8 = 2;
/// Windows are at least this long.
const WINDOW_MS_MIN: u64 = 100;
/// A long load has longer windows, not more: each takes some kilobytes in each shard, and a plot has as many points.
const WINDOWS_MAX: u64 = 1000;
/// More shards than threads that can write at once are of no use.
const SHARDS_MAX: usize = 8;

/// What a load found out about latencies and rates.
pub struct Recording {
    clock: Clock,
    window_ns: u64,
    shards: Vec<Mutex<Shard>>,
}

/// What some of the threads recorded.
pub struct Shard {
    clock: Clock,
    window_ns: u64,
    acknowledged: Direction,
    consumed: Direction,
    windows: Vec<WindowShard>,
}

/// Records of one direction: those whose latency is in the measured part, and those that arrived in it.
struct Direction {
    latency: Histogram<u64>,
    records: u64,
    bytes: u64,
}

#[derive(Default)]
struct WindowShard {
    acknowledged: u64,
    consumed: u64,
    errors: u64,
    ack_latency: Option<Box<Histogram<u32>>>,
    end_to_end_latency: Option<Box<Histogram<u32>>>,
}

/// All of it, merged.
pub struct Recorded {
    pub produced: Flow,
    pub consumed: Flow,
    pub ack_latency: Histogram<u64>,
    pub end_to_end_latency: Histogram<u64>,
    pub series: Vec<Window>,
}

impl Recording {
    pub fn new(clock: Clock, threads: usize) -> Self {
        let total_ms = clock.end_ns().div_ceil(1_000_000);
        let window_ns = WINDOW_MS_MIN * total_ms.div_ceil(WINDOW_MS_MIN * WINDOWS_MAX).max(1) * 1_000_000;
        let shard = || Mutex::new(Shard::new(clock.clone(), window_ns));
        let shards = (0..threads.clamp(1, SHARDS_MAX)).map(|_| shard()).collect();
        Self { clock, window_ns, shards }
    }

    /// The shard for a thread that is called `index`.
    pub fn shard(&self, index: usize) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[index % self.shards.len()];
        // Counters are whole after each statement.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn merged(&self) -> Recorded {
        let mut whole = Shard::new(self.clock.clone(), self.window_ns);
        for index in 0..self.shards.len() {
            whole.add(&self.shard(index));
        }
        let window = |(index, window): (usize, &WindowShard)| window.to_window(&self.clock, self.window_ns, index);
        Recorded {
            produced: whole.acknowledged.flow(&self.clock),
            consumed: whole.consumed.flow(&self.clock),
            series: whole.windows.iter().enumerate().map(window).collect(),
            ack_latency: whole.acknowledged.latency,
            end_to_end_latency: whole.consumed.latency,
        }
    }
}

impl Shard {
    fn new(clock: Clock, window_ns: u64) -> Self {
        let count = clock.end_ns().div_ceil(window_ns) as usize;
        let windows = (0..count).map(|_| WindowShard::default()).collect();
        Self { clock, window_ns, acknowledged: Direction::new(), consumed: Direction::new(), windows }
    }

    /// Records of a batch that was acknowledged at `now`; `record_bytes` is the key's and the value's.
    pub fn acknowledged(&mut self, now: u64, runs: &[Run], record_bytes: usize) {
        let window = self.windows.get_mut((now / self.window_ns) as usize);
        let count: u64 = runs.iter().map(|run| u64::from(run.count)).sum();
        if self.clock.is_measured(now) {
            self.acknowledged.arrived(count, record_bytes);
        }
        let latency = &mut self.acknowledged.latency;
        match window {
            Some(window) => {
                window.acknowledged += count;
                let of_window = window.ack_latency.get_or_insert_with(new_window_histogram);
                each_latency(now, runs, |intended, us, count| {
                    record(of_window, us, count);
                    if self.clock.is_measured(intended) {
                        record(latency, us, u64::from(count));
                    }
                });
            }
            // After the end the late ones of the measured part still come.
            None => self.latency_only(now, runs),
        }
    }

    /// Records whose latency counts and nothing else: acknowledged behind the end, or given up at `now`, when they would
    /// have been later still.
    pub fn latency_only(&mut self, now: u64, runs: &[Run]) {
        let (clock, latency) = (&self.clock, &mut self.acknowledged.latency);
        each_latency(now, runs, |intended, us, count| {
            if clock.is_measured(intended) {
                record(latency, us, u64::from(count));
            }
        });
    }

    /// Records that a consumer got at `now`, with the same intended time each.
    #[inline]
    pub fn consumed(&mut self, now: u64, intended: u64, count: u32, bytes: usize) {
        let us = now.saturating_sub(intended) / 1000;
        if self.clock.is_measured(now) {
            self.consumed.arrived(u64::from(count), bytes);
        }
        if self.clock.is_measured(intended) {
            record(&mut self.consumed.latency, us, u64::from(count));
        }
        if let Some(window) = self.windows.get_mut((now / self.window_ns) as usize) {
            window.consumed += u64::from(count);
            record(window.end_to_end_latency.get_or_insert_with(new_window_histogram), us, count);
        }
    }

    /// An error that a client met at `now`.
    pub fn error(&mut self, now: u64) {
        if let Some(window) = self.windows.get_mut((now / self.window_ns) as usize) {
            window.errors += 1;
        }
    }

    fn add(&mut self, other: &Self) {
        self.acknowledged.add(&other.acknowledged);
        self.consumed.add(&other.consumed);
        for (mine, theirs) in self.windows.iter_mut().zip(&other.windows) {
            mine.add(theirs);
        }
    }
}

/// Records a value `count` times. The saturating methods of the crate would not let the histogram grow.
#[inline]
pub fn record<T: hdrhistogram::Counter>(histogram: &mut Histogram<T>, us: u64, count: T) {
    let recorded = histogram.record_n(us, count);
    debug_assert!(recorded.is_ok(), "{us} µs: {recorded:?}");
}

/// Calls `record(intended_ns, latency_us, count)`, records of the same microsecond together.
#[inline]
fn each_latency(now: u64, runs: &[Run], mut record: impl FnMut(u64, u64, u32)) {
    for run in runs {
        let mut index = 0;
        while index < run.count {
            let intended = run.intended(index);
            // As many as are less than a microsecond behind the first of them.
            let together = if run.step_ns < 1.0 { run.count } else { (1000.0 / run.step_ns) as u32 + 1 };
            let count = together.min(run.count - index);
            record(intended, now.saturating_sub(intended) / 1000, count);
            index += count;
        }
    }
}

impl Direction {
    fn new() -> Self {
        Self { latency: new_histogram(), records: 0, bytes: 0 }
    }

    #[inline]
    fn arrived(&mut self, count: u64, record_bytes: usize) {
        self.records += count;
        self.bytes += count * record_bytes as u64;
    }

    fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        add(&mut self.latency, &other.latency);
    }

    fn flow(&self, clock: &Clock) -> Flow {
        let seconds = clock.measured_seconds();
        if seconds == 0.0 {
            return Flow::default();
        }
        Flow {
            records: self.records,
            bytes: self.bytes,
            records_per_s: self.records as f64 / seconds,
            mb_per_s: self.bytes as f64 / 1e6 / seconds,
        }
    }
}

impl WindowShard {
    fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.consumed += other.consumed;
        self.errors += other.errors;
        for (mine, theirs) in
            [(&mut self.ack_latency, &other.ack_latency), (&mut self.end_to_end_latency, &other.end_to_end_latency)]
        {
            if let Some(theirs) = theirs {
                add(mine.get_or_insert_with(new_window_histogram), theirs);
            }
        }
    }

    fn to_window(&self, clock: &Clock, window_ns: u64, index: usize) -> Window {
        let begin = index as u64 * window_ns;
        let end = (begin + window_ns).min(clock.end_ns());
        let quantile = |histogram: &Option<Box<Histogram<u32>>>, quantile| {
            histogram.as_ref().map_or(0, |histogram| histogram.value_at_quantile(quantile))
        };
        Window {
            at_ms: clock.at_ms(begin),
            ms: (end - begin) / 1_000_000,
            acknowledged: self.acknowledged,
            consumed: self.consumed,
            errors: self.errors,
            ack_p50_us: quantile(&self.ack_latency, 0.5),
            ack_p99_us: quantile(&self.ack_latency, 0.99),
            ack_max_us: self.ack_latency.as_ref().map_or(0, |histogram| histogram.max()),
            end_to_end_p99_us: quantile(&self.end_to_end_latency, 0.99),
        }
    }
}

/// A histogram of microseconds that grows with what it gets.
pub fn new_histogram() -> Histogram<u64> {
    growing(DIGITS)
}

fn new_window_histogram() -> Box<Histogram<u32>> {
    Box::new(growing(WINDOW_DIGITS))
}

fn growing<T: hdrhistogram::Counter>(digits: u8) -> Histogram<T> {
    match Histogram::new(digits) {
        Ok(histogram) => histogram,
        Err(error) => unreachable!("{digits} significant digits are possible: {error}"),
    }
}

fn add<T: hdrhistogram::Counter>(to: &mut Histogram<T>, from: &Histogram<T>) {
    let added = to.add(from);
    assert!(added.is_ok(), "a histogram that grows takes any other: {added:?}");
}

/// What is told of a distribution.
pub fn latency(histogram: &Histogram<u64>) -> Latency {
    if histogram.is_empty() {
        return Latency::default();
    }
    Latency {
        count: histogram.len(),
        mean_us: histogram.mean(),
        min_us: histogram.min(),
        p50_us: histogram.value_at_quantile(0.5),
        p90_us: histogram.value_at_quantile(0.9),
        p99_us: histogram.value_at_quantile(0.99),
        p999_us: histogram.value_at_quantile(0.999),
        max_us: histogram.max(),
        histogram: encoded(histogram),
    }
}

/// HdrHistogram's V2 format, deflated, in base64, as its tools for all languages read it.
fn encoded(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    match V2DeflateSerializer::new().serialize(histogram, &mut bytes) {
        Ok(_) => STANDARD.encode(&bytes),
        Err(error) => unreachable!("memory takes every histogram: {error:?}"),
    }
}

#[cfg(test)]
mod tests;
