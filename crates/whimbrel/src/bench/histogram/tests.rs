use std::time::{Duration, Instant};

use super::*;

const MS: u64 = 1_000_000;

fn clock() -> Clock {
    Clock::new(Instant::now(), Duration::from_secs(1), Duration::from_secs(2))
}

#[test]
fn warm_up_counts_in_the_series_only() {
    let recording = Recording::new(clock(), 2);
    let run = |first_ns, count| [Run { first_ns, step_ns: 0.0, count }];
    recording.shard(0).acknowledged(510 * MS, &run(500 * MS, 7), 100);
    recording.shard(1).acknowledged(1510 * MS, &run(1500 * MS, 5), 100);
    // Intended in the measured part and acknowledged after it: its latency counts, its arrival does not.
    recording.shard(1).acknowledged(3500 * MS, &run(2500 * MS, 1), 100);
    let recorded = recording.merged();
    assert_eq!((recorded.produced.records, recorded.produced.bytes), (5, 500));
    assert_eq!(recorded.ack_latency.len(), 6);
    assert_eq!(recorded.series.iter().map(|window| window.acknowledged).sum::<u64>(), 12);
    assert_eq!((recorded.series[0].at_ms, recorded.series.len()), (-1000, 30));
    assert!((999_000..=1_001_000).contains(&latency(&recorded.ack_latency).max_us));
}

#[test]
fn each_record_of_a_run_has_its_own_latency() {
    let recording = Recording::new(clock(), 1);
    // One record each 10 µs over 1 ms, all acknowledged together.
    let run = Run { first_ns: 1500 * MS, step_ns: 10_000.0, count: 100 };
    recording.shard(0).acknowledged(1501 * MS, &[run], 1);
    let latency = latency(&recording.merged().ack_latency);
    assert_eq!((latency.count, latency.min_us, latency.max_us), (100, 10, 1000));
    assert!((495..=515).contains(&latency.p50_us), "{}", latency.p50_us);
}

#[test]
fn a_run_that_is_denser_than_microseconds_loses_nothing() {
    let recording = Recording::new(clock(), 1);
    let run = Run { first_ns: 1500 * MS, step_ns: 333.3, count: 100_000 };
    recording.shard(0).acknowledged(1600 * MS, &[run], 1);
    assert_eq!(recording.merged().ack_latency.len(), 100_000);
}

#[test]
fn a_long_load_has_longer_windows() {
    let long = Clock::new(Instant::now(), Duration::ZERO, Duration::from_secs(3600));
    assert!(Recording::new(long, 1).merged().series.len() <= 1000);
}

#[test]
fn the_encoded_histogram_is_read_back_equal() {
    let mut histogram = new_histogram();
    histogram.record_n(1234, 5).unwrap();
    histogram.record(9_999_999).unwrap();
    let text = encoded(&histogram);
    assert!(text.starts_with("HISTFAAA"), "the cookie of the deflated V2 format: {text}");
}
