//! What is going on, on the standard error, while a point is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::bench::load::Shared;

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(500);

/// Where the whole run stands.
#[derive(Debug, Clone)]
pub struct Place {
    /// `whimbrel 3/24 record_bytes=100`.
    pub what: String,
    /// Seconds that the points behind this one take.
    pub seconds_behind: f64,
}

/// A line that is kept up to date; gone when dropped.
pub struct LiveView {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LiveView {
    /// Shows nothing where the standard error is no terminal.
    pub fn start(shared: Arc<Shared>, place: Place) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = is_over.clone();
        let thread = std::thread::Builder::new().name("bench-live".into());
        // Without a thread nothing is shown.
        let thread = thread.spawn(move || show(&shared, &place, &seen)).ok();
        Self { is_over, thread }
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It only draws.
            let _ = thread.join();
        }
    }
}

fn show(shared: &Shared, place: &Place, is_over: &AtomicBool) {
    let clock = &shared.clock;
    let bar = ProgressBar::with_draw_target(Some(clock.end_ns() / 1_000_000), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar} {msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(place.what.clone());
    let mut before = (Instant::now(), 0, 0);
    while !is_over.load(Ordering::Relaxed) {
        let now = clock.now();
        bar.set_position(now.min(clock.end_ns()) / 1_000_000);
        let (acknowledged, consumed) =
            (shared.live.acknowledged.load(Ordering::Relaxed), shared.live.consumed.load(Ordering::Relaxed));
        let seconds = before.0.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
        let (produced_rate, consumed_rate) =
            ((acknowledged - before.1) as f64 / seconds, (consumed - before.2) as f64 / seconds);
        before = (Instant::now(), acknowledged, consumed);
        let phase = if now < clock.measured_from_ns {
            "warm-up"
        } else if now < clock.end_ns() {
            "measured"
        } else {
            "checked"
        };
        let left = Duration::from_nanos(clock.end_ns().saturating_sub(now)).as_secs_f64() + place.seconds_behind;
        let errors = match shared.live.errors.load(Ordering::Relaxed) {
            0 => String::new(),
            errors => format!(", {errors} errors"),
        };
        let left = humantime::format_duration(Duration::from_secs(left as u64));
        bar.set_message(format!(
            "{phase}: {} in/s, {} out/s{errors}; {left} left",
            super::table::count(produced_rate),
            super::table::count(consumed_rate)
        ));
        std::thread::park_timeout(PERIOD);
    }
    bar.finish_and_clear();
}
