//! Connections that go from one worker to another.

use std::time::{Duration, Instant};

use whimbrel_wire::{FetchRequest, Frame, ProduceRequest};

use crate::broker::TestBroker;
use crate::client::Client;
use crate::scenarios::records::{Topic, batch, fetch, produce};
use crate::session::Session;

/// Between two records: often enough to count, and far from a crowded worker.
const PAUSE: Duration = Duration::from_millis(5);
/// While other tests keep the cores busy, every worker seems crowded.
const PATIENCE: Duration = Duration::from_secs(120);
const AFTERWARDS: i64 = 50;

#[expect(clippy::disallowed_methods, reason = "it is the rate of the records; nothing is waited for")]
fn pause() {
    std::thread::sleep(PAUSE);
}

fn moved_together(broker: &TestBroker) -> u64 {
    let line = "whimbrel_connections_moved_total{reason=\"together\"} ";
    let text = broker.running.as_ref().expect("it runs").broker.metrics.scrape();
    text.lines().find_map(|text| text.strip_prefix(line)).map_or(0, |count| count.parse().expect("a count"))
}

#[test]
fn a_consumer_goes_to_its_producers_worker_and_loses_nothing_on_the_way() {
    let cores = std::thread::available_parallelism().expect("known").get();
    assert!(2 <= cores, "a broker on one core has one worker, and this test nothing to see");
    let broker = TestBroker::start();
    let mut session = Session::open(broker.address, None);
    let name = session.name("together");
    let id = session.create(&name, 1, &[]);
    let topic = Topic { name, id };
    // One after the other, so that they are not on the same worker.
    let (mut producer, mut consumer) = (Client::connect(broker.address), Client::connect(broker.address));
    let next = |offset: i64| {
        let request = FetchRequest { max_wait_ms: 30_000, min_bytes: 1, ..fetch(&topic, &[(0, offset)]) };
        let frame = Frame::request(&request, 12, i32::try_from(offset).expect("small"), Some("it")).expect("encodes");
        frame.into_bytes()
    };
    // The beginning of the next request is always there already: it has to come along.
    const BEGINNING: usize = 11;
    consumer.send_bytes(&next(0)[..BEGINNING]);
    let (began, mut moved_at) = (Instant::now(), None);
    for offset in 0.. {
        consumer.send_bytes(&next(offset)[BEGINNING..]);
        consumer.send_bytes(&next(offset + 1)[..BEGINNING]);
        pause();
        let produced = producer.call::<ProduceRequest>(9, &produce(&topic, 1, &[(0, Some(batch(1)))]));
        assert_eq!(produced.responses[0].partition_responses[0].base_offset, offset);
        let id = i32::try_from(offset).expect("small");
        let fetched = consumer.receive::<FetchRequest>(12, id).expect("the connection stays open");
        let partition = &fetched.responses[0].partitions[0];
        assert_eq!((partition.error_code, partition.high_watermark), (0, offset + 1));
        let records = partition.records.clone().and_then(|records| records.into_bytes()).expect("records");
        assert_eq!(records.first_chunk(), Some(&offset.to_be_bytes()), "the batch that was just appended");
        if moved_at.is_none() && moved_together(&broker) != 0 {
            moved_at = Some(offset);
        }
        match moved_at {
            Some(at) if at + AFTERWARDS <= offset => break,
            Some(_) => {}
            None => assert!(began.elapsed() < PATIENCE, "the consumer stays where it is"),
        }
    }
}
