//! Sequences of requests that Whimbrel answers as Apache Kafka 3.9.2 does, field by field.
//!
//! Kafka's answers are in `kafka-3.9.2/NAME.txt`. `KAFKA_ADDRESS=host:port` asks a live Kafka as well and fails if it
//! answers otherwise than the file says; with `KAFKA_RECORD=1` the file is written anew. `WHIMBREL_ADDRESS` names a
//! running Whimbrel to ask instead of one in this process. `./test api-diff` does both. Versions that are newer than
//! Kafka 3.9 must be answered as its newest one.

mod cluster;
mod configs;
mod fetch;
mod groups;
mod listeners;
mod offsets;
mod produce;
pub mod records;
mod topics;

use std::net::SocketAddr;
use std::path::Path;

use crate::broker::TestBroker;
use crate::session::Session;
use crate::transcript::{Deliberate, Transcript};

type Scenario = fn(&mut Session);

fn check(name: &str, scenario: Scenario, deliberate: &[Deliberate]) {
    assert!(deliberate.iter().all(|one| !one.reason.is_empty()), "each deliberate difference has its reason");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kafka-3.9.2").join(format!("{name}.txt"));
    let in_process;
    let whimbrel = match address("WHIMBREL_ADDRESS") {
        Some(address) => address,
        None => {
            in_process = TestBroker::start();
            in_process.address
        }
    };
    let mut session = Session::open(whimbrel, None);
    if let Some(kafka) = address("KAFKA_ADDRESS") {
        let mut live = Session::open(kafka, Some(session.served()));
        scenario(&mut live);
        if std::env::var_os("KAFKA_RECORD").is_some() {
            std::fs::write(&path, live.transcript.to_string()).unwrap();
        }
        let recorded = std::fs::read_to_string(&path).unwrap_or_default();
        if recorded != live.transcript.to_string() {
            let changes = Transcript::parse(&recorded).differences(&live.transcript, &[]).join("\n");
            panic!(
                "Kafka answers otherwise than {} says (there \"kafka\", here \"whimbrel\"); record it with \
                 KAFKA_RECORD=1:\n{changes}",
                path.display()
            );
        }
    }
    scenario(&mut session);
    let reference = std::fs::read_to_string(&path).expect("Kafka's answers are recorded");
    let differences = Transcript::parse(&reference).differences(&session.transcript, deliberate);
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

fn address(variable: &str) -> Option<SocketAddr> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}")))
}

#[test]
fn topics_are_created_grown_and_deleted_as_by_kafka() {
    check("topics", topics::run, topics::DELIBERATE);
}

#[test]
fn clusters_are_described_as_by_kafka() {
    check("cluster", cluster::run, cluster::DELIBERATE);
}

#[test]
fn configs_are_described_and_altered_as_by_kafka() {
    check("configs", configs::run, configs::DELIBERATE);
}

#[test]
fn listeners_of_a_running_broker_are_altered_as_by_kafka() {
    check("listeners", listeners::run, listeners::DELIBERATE);
}

#[test]
fn records_are_appended_and_refused_as_by_kafka() {
    check("produce", produce::run, produce::DELIBERATE);
}

#[test]
fn records_are_fetched_as_from_kafka() {
    check("fetch", fetch::run, fetch::DELIBERATE);
}

#[test]
fn offsets_are_found_as_by_kafka() {
    check("offsets", offsets::run, offsets::DELIBERATE);
}

#[test]
fn groups_are_coordinated_as_by_kafka() {
    check("groups", groups::run, groups::DELIBERATE);
}
