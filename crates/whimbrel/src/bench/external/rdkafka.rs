//! librdkafka, driven by a small program in Python, whose binding of it (confluent-kafka) is the one most installed.
//!
//! Python makes each record and hears of each acknowledgement, so that high rates measure Python; the generator's CPU
//! and lateness tell where that begins.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use serde::Deserialize;
use serde_json::json;

use super::{flow, producer_settings};
use crate::bench::histogram::{latency, new_histogram, record};
use crate::bench::load::Bounds;
use crate::bench::result::{Found, Generator, Verification};
use crate::bench::workload::Workload;

const PROGRAM: &str = include_str!("rdkafka.py");
/// The interpreter, where confluent-kafka is not in that of the path.
const PYTHON: &str = "WHIMBREL_BENCH_PYTHON";

/// What the program prints: one line when it is ready, at the bounds of what is measured, and at its end.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Ready,
    Begins,
    Ends,
    Found(Told),
}

#[derive(Debug, Default, Deserialize)]
struct Told {
    produced: u64,
    consumed: u64,
    /// Microseconds, and how often they were met.
    ack_us: Vec<(u64, u64)>,
    end_to_end_us: Vec<(u64, u64)>,
    late_p99_us: u64,
    late_max_us: u64,
    cpu_seconds: f64,
    acknowledged: u64,
    read: u64,
    lost: u64,
    duplicated: u64,
    is_complete: bool,
    errors: std::collections::BTreeMap<String, u64>,
}

pub fn run(bootstrap: &str, topic: &str, workload: &Workload, bounds: &mut impl Bounds) -> anyhow::Result<Found> {
    let python = std::env::var(PYTHON).unwrap_or_else(|_| "python3".to_owned());
    let mut command = Command::new(&python);
    command.args(["-c", PROGRAM]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("{python} cannot be started"))?;
    let settings: serde_json::Map<_, _> =
        producer_settings(workload).into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect();
    let task = json!({ "bootstrap": bootstrap, "topic": topic, "workload": workload, "settings": settings });
    let mut input = child.stdin.take().context("no way to tell the program what to do")?;
    // A program that is gone already says why itself.
    let _ = writeln!(input, "{task}");
    let told = follow(&mut child, bounds);
    let status = child.wait()?;
    anyhow::ensure!(
        status.success(),
        "rdkafka's program failed; it needs confluent-kafka in {python}, or in the interpreter that {PYTHON} names"
    );
    Ok(found(told?, workload))
}

fn follow(child: &mut Child, bounds: &mut impl Bounds) -> anyhow::Result<Told> {
    let output = child.stdout.take().context("no way to hear the program")?;
    let mut told = Told::default();
    for line in BufReader::new(output).lines() {
        match serde_json::from_str(&line?)? {
            Event::Ready => {}
            Event::Begins => bounds.begins(),
            Event::Ends => bounds.ends(),
            Event::Found(found) => told = found,
        }
    }
    Ok(told)
}

fn found(told: Told, workload: &Workload) -> Found {
    let distribution = |counts: &[(u64, u64)]| {
        let mut histogram = new_histogram();
        counts.iter().for_each(|(us, count)| record(&mut histogram, *us, *count));
        latency(&histogram)
    };
    Found {
        seconds: workload.seconds,
        produced: flow(told.produced, workload.record_bytes, workload.seconds),
        consumed: flow(told.consumed, workload.record_bytes, workload.seconds),
        ack_latency: distribution(&told.ack_us),
        end_to_end_latency: distribution(&told.end_to_end_us),
        generator: Generator {
            cpu_seconds: told.cpu_seconds,
            cpu_us_per_record: told.cpu_seconds * 1e6 / told.produced.max(1) as f64,
            late_p99_us: told.late_p99_us,
            late_max_us: told.late_max_us,
            bottleneck: (10_000 < told.late_p99_us).then(|| "Python did not keep up with the rate".to_owned()),
        },
        verification: Verification {
            acknowledged: told.acknowledged,
            read: told.read,
            lost: told.lost,
            duplicated: told.duplicated,
            reordered: 0,
            is_complete: told.is_complete,
        },
        errors: told.errors,
        ..Found::default()
    }
}
