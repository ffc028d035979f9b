//! Results for tests, made up.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};

use crate::bench::result::{
    Availability, Fault, Flow, Gap, Generator, Latency, Line, Machine, PartitionUptime, Point, ProcessCost, Run,
    System, Uptime, Verification, Window,
};
use crate::bench::workload::Workload;

/// A name that would be markup if it could.
pub const HOSTILE: &str = "</script><img src=x onerror='alert(1)'>\"&\u{0}\u{202e}";

pub fn run() -> Line {
    Line::Run(Run {
        scenario: "quick".to_owned(),
        command: ["whimbrel", "bench", "run", "--set", "a=b c"].map(str::to_owned).to_vec(),
        started: "2026-11-26T04:20:00Z".to_owned(),
        bench_version: "0.1.0".to_owned(),
        machine: Machine { cpu: HOSTILE.to_owned(), cores: 2, ..Machine::default() },
        limits: BTreeMap::from([("fdatasync p50 us".to_owned(), 1.5)]),
    })
}

pub fn system(name: &str, version: &str) -> System {
    System { name: name.to_owned(), version: version.to_owned(), brokers: 1, ..System::default() }
}

/// A point whose latencies are `us` in all of 1000 records, and ten times that in ten more.
pub fn point(name: &str, system: &System, round: u32, us: u64) -> Point {
    let workload = Workload { seconds: 1.0, ..Workload::default() };
    Point {
        name: name.to_owned(),
        system: system.clone(),
        round,
        produced: flow(&workload),
        consumed: flow(&workload),
        workload,
        seconds: 1.0,
        ack_latency: latency(us),
        end_to_end_latency: latency(us * 2),
        series: (-5..10).map(|index| window(index * 100, us)).collect(),
        generator: Generator { cpu_us_per_record: 0.2, ..Generator::default() },
        cost: vec![ProcessCost {
            name: "broker 1".to_owned(),
            cpu_seconds: 0.5,
            memory_peak_bytes: 1 << 24,
            ..Default::default()
        }],
        verification: Verification { acknowledged: 1010, read: 1010, is_complete: true, ..Verification::default() },
        errors: BTreeMap::new(),
        faults: Vec::new(),
        uptime: None,
    }
}

/// Two systems, three sizes, three rates, three rounds, and one point with a fault; every name but the systems' is hostile.
pub fn lines() -> Vec<Line> {
    let systems = [system("whimbrel", "0.1.0"), system("kafka", "3.9.2")];
    let mut lines = vec![run()];
    for round in 1..=3 {
        for (index, system) in systems.iter().enumerate() {
            let us = 100 * (1 + 9 * index as u64) + u64::from(round);
            for size in [100, 1024, 10_240] {
                for rate in [Some(1000), Some(10_000), None] {
                    let mut point = point(&format!("{size} {rate:?} {HOSTILE}"), system, round, us);
                    point.workload = Workload { record_bytes: size, rate, ..point.workload };
                    lines.push(Line::Point(Box::new(point)));
                }
            }
            lines.push(Line::Point(Box::new(faulty(system, round, us))));
        }
    }
    lines
}

fn faulty(system: &System, round: u32, us: u64) -> Point {
    let gap = Availability { windows: 10, available: 7, gaps: vec![Gap { at_ms: 200, ms: 300 }] };
    let partition = PartitionUptime { topic: HOSTILE.to_owned(), partition: 0, produce: gap.clone(), consume: gap };
    let mut point = point("fault", system, round, us);
    point.workload.replicas = 3;
    point.faults = vec![Fault { at_ms: 200, until_ms: None, what: HOSTILE.to_owned() }];
    point.errors = BTreeMap::from([(HOSTILE.to_owned(), 3)]);
    point.uptime = Some(Uptime { window_ms: 100, partitions: vec![partition] });
    point
}

pub fn latency(us: u64) -> Latency {
    let mut histogram = Histogram::<u64>::new(3).expect("a histogram of three digits");
    histogram.record_n(us, 1000).expect("in range");
    histogram.record_n(us * 10, 10).expect("in range");
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(&histogram, &mut bytes).expect("written to memory");
    Latency {
        count: 1010,
        mean_us: us as f64,
        min_us: us,
        p50_us: us,
        p90_us: us,
        p99_us: us,
        p999_us: us * 10,
        max_us: us * 10,
        histogram: STANDARD.encode(bytes),
    }
}

fn flow(workload: &Workload) -> Flow {
    let bytes = 1010 * workload.record_bytes as u64;
    Flow { records: 1010, bytes, records_per_s: 1010.0, mb_per_s: bytes as f64 / 1e6 }
}

fn window(at_ms: i64, us: u64) -> Window {
    Window { at_ms, ms: 100, acknowledged: 100, consumed: 100, ack_p50_us: us, ack_p99_us: us * 2, ..Window::default() }
}
