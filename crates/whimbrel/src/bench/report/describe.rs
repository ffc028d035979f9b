//! A workload in words.

use super::units::{Unit, grouped, scaled};
use crate::bench::workload::{Acks, Keys, Payload, Workload};

/// What a workload asks for, one name and text each, always the same names in the same order.
pub fn facts(workload: &Workload) -> Vec<(&'static str, String)> {
    let count = |count: usize| count.to_string();
    vec![
        ("record", size(workload.record_bytes)),
        ("rate", rate(workload.rate)),
        ("producers", count(workload.producers)),
        ("consumers", count(workload.consumers)),
        ("groups", count(workload.groups)),
        ("topics", count(workload.topics)),
        ("partitions", workload.partitions.to_string()),
        ("replicas", workload.replicas.to_string()),
        ("acks", acks(workload.acks).to_owned()),
        ("idempotent", if workload.idempotent { "yes" } else { "no" }.to_owned()),
        ("codec", format!("{:?}", workload.codec).to_lowercase()),
        ("batch", size(workload.batch_bytes)),
        ("linger", format!("{} ms", workload.linger_ms)),
        ("in flight", count(workload.in_flight)),
        ("fetch at least", size(workload.fetch_min_bytes)),
        ("payload", payload(&workload.payload)),
        ("keys", keys(&workload.keys)),
        ("measured", format!("{} s", workload.seconds)),
        ("warm-up", format!("{} s", workload.warmup_seconds)),
        ("topic settings", settings(workload)),
    ]
}

/// A point's name for people: `rate=1000` in it becomes `1 k/s`; what is no setting of the workload stays.
pub fn label(name: &str, workload: &Workload) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut is_plain = false;
    for word in name.split_whitespace() {
        let readable = word.split_once('=').and_then(|(key, _)| in_words(key, workload));
        match (readable, parts.last_mut()) {
            (None, Some(last)) if is_plain => *last = format!("{last} {word}"),
            (None, _) => {
                parts.push(word.to_owned());
                is_plain = true;
            }
            (Some(text), _) => {
                parts.push(text);
                is_plain = false;
            }
        }
    }
    if parts.is_empty() { "unnamed".to_owned() } else { parts.join(", ") }
}

/// `None` for what is no key of a workload.
fn in_words(key: &str, workload: &Workload) -> Option<String> {
    let many =
        |count: i64, word: &str| format!("{} {word}{}", grouped(count as f64), if count == 1 { "" } else { "s" });
    Some(match key {
        "record_bytes" => size(workload.record_bytes),
        "rate" => rate(workload.rate),
        "producers" => many(workload.producers as i64, "producer"),
        "consumers" => many(workload.consumers as i64, "consumer"),
        "groups" => many(workload.groups as i64, "group"),
        "topics" => many(workload.topics as i64, "topic"),
        "partitions" => many(workload.partitions.into(), "partition"),
        "replicas" => many(workload.replicas.into(), "replica"),
        "acks" => format!("acks {}", acks(workload.acks)),
        "idempotent" => if workload.idempotent { "idempotent" } else { "not idempotent" }.to_owned(),
        "codec" => format!("codec {}", format!("{:?}", workload.codec).to_lowercase()),
        "batch_bytes" => format!("batch {}", size(workload.batch_bytes)),
        "linger_ms" => format!("linger {} ms", workload.linger_ms),
        "in_flight" => format!("{} in flight", workload.in_flight),
        "fetch_min_bytes" => format!("fetches of {} at least", size(workload.fetch_min_bytes)),
        "payload" => payload(&workload.payload),
        "keys" => format!("keys {}", keys(&workload.keys)),
        _ => return None,
    })
}

/// The names of the facts in which the workloads differ.
pub fn differences<'a>(workloads: impl IntoIterator<Item = &'a Workload>) -> Vec<&'static str> {
    let all: Vec<_> = workloads.into_iter().map(facts).collect();
    let Some((first, rest)) = all.split_first() else { return Vec::new() };
    let differs = |index: usize| rest.iter().any(|other| other[index].1 != first[index].1);
    first.iter().enumerate().filter(|(index, _)| differs(*index)).map(|(_, (name, _))| *name).collect()
}

/// Some facts of a workload in one line.
pub fn line(workload: &Workload, names: &[&str]) -> String {
    let facts = facts(workload).into_iter().filter(|(name, _)| names.contains(name));
    facts.map(|(name, text)| format!("{name} {text}")).collect::<Vec<_>>().join(", ")
}

pub fn rate(rate: Option<u64>) -> String {
    rate.map_or_else(|| "max".to_owned(), |rate| Unit::PerSecond.show(rate as f64))
}

/// Sizes of records are often round in tens: `1000 B` is not shown as a part of a KiB.
pub fn size(bytes: usize) -> String {
    if 1024 <= bytes && bytes.is_multiple_of(1024) {
        Unit::Bytes.show(bytes as f64)
    } else if bytes < 10_000 {
        format!("{bytes} B")
    } else {
        format!("{}B", scaled(bytes as f64))
    }
}

fn acks(acks: Acks) -> &'static str {
    match acks {
        Acks::None => "0",
        Acks::Leader => "1",
        Acks::All => "all",
    }
}

fn payload(payload: &Payload) -> String {
    match payload {
        Payload::Random => "random".to_owned(),
        Payload::Compressible { ratio } => format!("compressible {ratio}×"),
        Payload::File { path } => format!("of {}", path.display()),
    }
}

fn keys(keys: &Keys) -> String {
    match keys {
        Keys::None => "none".to_owned(),
        Keys::Uniform { count } => format!("{count} uniform"),
        Keys::Skewed { count, exponent } => format!("{count} skewed by {exponent}"),
    }
}

fn settings(workload: &Workload) -> String {
    let settings = workload.topic_config.iter().map(|(key, value)| format!("{key}={value}"));
    let settings = settings.collect::<Vec<_>>().join(" ");
    if settings.is_empty() { "none".to_owned() } else { settings }
}
