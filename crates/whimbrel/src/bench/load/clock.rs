//! The time of one load: nanoseconds since it began, on the clock that all its threads share (CLOCK_MONOTONIC).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When a load began, when its measured part begins and ends. All `ns` count from the beginning. Clones share one end.
#[derive(Debug, Clone)]
pub struct Clock {
    began: Instant,
    pub measured_from_ns: u64,
    end_ns: Arc<AtomicU64>,
}

impl Clock {
    /// `began` may lie ahead, so that all threads are there when it comes.
    pub fn new(began: Instant, warmup: Duration, measured: Duration) -> Self {
        let measured_from_ns = nanos(warmup);
        Self { began, measured_from_ns, end_ns: Arc::new((measured_from_ns + nanos(measured)).into()) }
    }

    /// When the measured part ends, as far as is known.
    #[inline]
    pub fn end_ns(&self) -> u64 {
        self.end_ns.load(Ordering::Relaxed)
    }

    /// Ends the measured part now, if it has not ended before.
    pub fn cut_short(&self) {
        // Not at 0: what is due before the end is asked for.
        self.end_ns.fetch_min(self.now().max(1), Ordering::Relaxed);
    }

    /// 0 before the beginning.
    #[inline]
    pub fn now(&self) -> u64 {
        nanos(self.began.elapsed())
    }

    pub fn instant_of(&self, ns: u64) -> Instant {
        self.began + Duration::from_nanos(ns)
    }

    #[inline]
    pub fn is_measured(&self, ns: u64) -> bool {
        (self.measured_from_ns..self.end_ns()).contains(&ns)
    }

    /// Milliseconds since the measured part began, negative in the warm-up.
    pub fn at_ms(&self, ns: u64) -> i64 {
        let signed = |ns: u64| i64::try_from(ns).unwrap_or(i64::MAX);
        (signed(ns) - signed(self.measured_from_ns)).div_euclid(1_000_000)
    }

    /// 0 if it was cut short before that part.
    pub fn measured_seconds(&self) -> f64 {
        self.end_ns().saturating_sub(self.measured_from_ns) as f64 / 1e9
    }
}

/// Nanoseconds of a duration; 584 years are enough for each.
#[inline]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The intended times of one producer's records: one each `interval_ns`, from `first_ns` on.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    pub first_ns: f64,
    pub interval_ns: f64,
}

impl Schedule {
    /// Producer `index` of `count` that share `rate` records per second. They take turns instead of sending together.
    pub fn of_producer(index: usize, count: usize, rate: u64) -> Self {
        let interval_ns = count as f64 * 1e9 / rate.max(1) as f64;
        Self { first_ns: interval_ns * index as f64 / count.max(1) as f64, interval_ns }
    }

    /// When the `number`-th record is to be sent; it counts from 0.
    #[inline]
    pub fn intended(&self, number: u64) -> u64 {
        (self.first_ns + number as f64 * self.interval_ns) as u64
    }

    /// How many records are to be sent before or at `now`.
    #[inline]
    pub fn due(&self, now: u64) -> u64 {
        let since = now as f64 - self.first_ns;
        if since < 0.0 { 0 } else { (since / self.interval_ns) as u64 + 1 }
    }
}

/// Records whose intended times follow each other evenly: `count` of them from `first_ns`, one each `step_ns`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    pub first_ns: u64,
    pub step_ns: f64,
    pub count: u32,
}

impl Run {
    #[inline]
    pub fn intended(&self, index: u32) -> u64 {
        self.first_ns + (f64::from(index) * self.step_ns) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_what_was_intended_by_then() {
        let schedule = Schedule::of_producer(1, 3, 3_000_000);
        for number in [0, 1, 2, 1000, 123_456] {
            let at = schedule.intended(number);
            assert!((number..=number + 1).contains(&schedule.due(at)), "record {number} at {at}");
            assert_eq!(schedule.due(at + 500), number + 1);
        }
        assert_eq!(schedule.due(0), 0);
    }

    #[test]
    fn the_warm_up_is_before_zero() {
        let clock = Clock::new(Instant::now(), Duration::from_secs(3), Duration::from_secs(10));
        assert_eq!((clock.at_ms(0), clock.at_ms(3_000_000_000)), (-3000, 0));
        assert!(!clock.is_measured(2_999_999_999) && clock.is_measured(3_000_000_000));
        assert!(!clock.is_measured(13_000_000_000));
    }

    #[test]
    fn a_load_is_cut_short_once_and_for_all_who_share_its_clock() {
        let began = Instant::now().checked_sub(Duration::from_secs(5)).unwrap();
        let clock = Clock::new(began, Duration::from_secs(3), Duration::from_secs(10));
        let shared = clock.clone();
        clock.cut_short();
        let end_ns = shared.end_ns();
        assert!((5_000_000_000..13_000_000_000).contains(&end_ns));
        assert!((2.0..10.0).contains(&shared.measured_seconds()) && !shared.is_measured(end_ns));
        shared.cut_short();
        assert_eq!(clock.end_ns(), end_ns, "later cuts change nothing");
    }

    #[test]
    fn a_load_that_is_cut_short_in_its_warm_up_measured_nothing() {
        let clock = Clock::new(Instant::now(), Duration::from_secs(3), Duration::from_secs(10));
        clock.cut_short();
        assert_eq!(clock.measured_seconds(), 0.0);
        assert!(!clock.is_measured(3_000_000_000));
    }

    #[test]
    fn what_has_ended_is_not_cut_short() {
        let began = Instant::now().checked_sub(Duration::from_secs(5)).unwrap();
        let clock = Clock::new(began, Duration::from_secs(1), Duration::from_secs(2));
        clock.cut_short();
        assert_eq!(clock.end_ns(), 3_000_000_000);
    }
}
