//! Frames and connections: what is refused, in which order answers come, what bounds a client.

use std::io::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use whimbrel_model::ErrorCode;
use whimbrel_wire::{
    ApiKey, ApiVersionsRequest, DeleteTopicsRequest, FetchRequest, Frame, MetadataRequest, ProduceRequest, Reader,
    ResponseHeader,
};

use crate::broker::TestBroker;
use crate::client::Client;
use crate::scenarios::records::{Topic, batch, fetch, produce};
use crate::session::Session;

/// A request header of the first version, with no client id.
fn header(api_key: i16, version: i16, correlation_id: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(api_key.to_be_bytes());
    bytes.extend(version.to_be_bytes());
    bytes.extend(correlation_id.to_be_bytes());
    bytes.extend((-1i16).to_be_bytes());
    bytes
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&i32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

#[test]
fn what_is_no_request_closes_its_connection_and_no_other() {
    let broker = TestBroker::start();
    let mut other = Client::connect(broker.address);
    let cases: [(&str, Vec<u8>); 13] = [
        ("negative length", (-1i32).to_be_bytes().to_vec()),
        ("huge length", i32::MAX.to_be_bytes().to_vec()),
        ("empty frame", framed(&[])),
        ("half a header", framed(&[0, 3, 0])),
        ("unknown key", framed(&header(999, 0, 1))),
        ("negative key", framed(&header(-1, 0, 1))),
        ("version too high", framed(&header(ApiKey::Metadata.code(), 99, 1))),
        ("negative version", framed(&header(ApiKey::Metadata.code(), -1, 1))),
        ("old Produce", framed(&header(ApiKey::Produce.code(), 2, 1))),
        ("old Fetch", framed(&header(ApiKey::Fetch.code(), 3, 1))),
        ("body that ends early", framed(&[header(ApiKey::Metadata.code(), 1, 1), vec![0, 0]].concat())),
        (
            "array longer than the frame",
            framed(&[header(ApiKey::Metadata.code(), 1, 1), vec![0x7f, 0xff, 0xff, 0xff]].concat()),
        ),
        (
            "string that is not text",
            framed(&[header(ApiKey::Metadata.code(), 1, 1), vec![0, 0, 0, 1, 0, 1, 0xff]].concat()),
        ),
    ];
    for (case, bytes) in cases {
        let mut client = Client::connect(broker.address);
        client.send_bytes(&bytes);
        assert!(client.is_closed_by_peer(), "{case}");
    }
    assert_eq!(
        other
            .call(3, &ApiVersionsRequest { client_software_name: "it".into(), client_software_version: "1".into() })
            .error_code,
        0
    );
}

#[test]
fn other_protocols_are_closed() {
    let broker = TestBroker::start();
    for bytes in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]] {
        let mut client = Client::connect(broker.address);
        client.send_bytes(bytes);
        assert!(client.is_closed_by_peer());
    }
}

#[test]
fn api_versions_too_new_are_answered_with_what_is_served() {
    let broker = TestBroker::start();
    let mut client = Client::connect(broker.address);
    let mut bytes = header(ApiKey::ApiVersions.code(), 99, 7);
    bytes.extend([0, 1, 2, 3]);
    client.send_bytes(&framed(&bytes));
    let frame = client.receive_frame().expect("an answer");
    let mut reader = Reader::new(&frame);
    assert_eq!(ResponseHeader::decode(&mut reader, 0).unwrap().correlation_id, 7);
    let response = <whimbrel_wire::ApiVersionsResponse as whimbrel_wire::Message>::decode(&mut reader, 0).unwrap();
    assert_eq!(response.error_code, 35);
    assert_eq!(response.api_keys.iter().find(|api| api.api_key == 18).map(|api| api.max_version), Some(4));
    // The connection goes on.
    assert_eq!(client.call(0, &ApiVersionsRequest::default()).error_code, 0);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let broker = TestBroker::start();
    let mut session = Session::open(broker.address, None);
    let name = session.name("pipeline");
    let id = session.create(&name, 1, &[]);
    let topic = Topic { name, id };
    let client = &mut session.client;
    let produced: Vec<i32> = (0..20).map(|_| client.send(9, &produce(&topic, -1, &[(0, Some(batch(1)))]))).collect();
    let fetched = client.send(4, &fetch(&topic, &[(0, 0)]));
    let metadata = client.send(1, &MetadataRequest { topics: Some(Vec::new()), ..Default::default() });
    let last = client.send(9, &produce(&topic, 1, &[(0, Some(batch(1)))]));
    for (index, id) in (0..).zip(produced) {
        let response = client.receive::<ProduceRequest>(9, id).unwrap();
        assert_eq!(response.responses[0].partition_responses[0].base_offset, index);
    }
    let response = client.receive::<FetchRequest>(4, fetched).unwrap();
    assert_eq!(response.responses[0].partitions[0].high_watermark, 20, "the fetch sees what was sent before it");
    client.receive::<MetadataRequest>(1, metadata).unwrap();
    client.receive::<ProduceRequest>(9, last).unwrap();
}

#[test]
fn produce_without_acknowledgement_is_silent_until_it_fails() {
    let broker = TestBroker::start();
    let mut session = Session::open(broker.address, None);
    let name = session.name("silent");
    let id = session.create(&name, 1, &[]);
    let topic = Topic { name, id };
    let client = &mut session.client;
    client.send(9, &produce(&topic, 0, &[(0, Some(batch(3)))]));
    let response = client.call(4, &fetch(&topic, &[(0, 0)]));
    assert_eq!(response.responses[0].partitions[0].high_watermark, 3);
    client.send(9, &produce(&topic, 0, &[(7, Some(batch(3)))]));
    assert!(client.is_closed_by_peer(), "there is no other way to say that it failed");
}

#[test]
fn no_records_at_all_are_refused() {
    let broker = TestBroker::start();
    let mut session = Session::open(broker.address, None);
    let name = session.name("null");
    let id = session.create(&name, 1, &[]);
    let response = session.client.call(9, &produce(&Topic { name, id }, 1, &[(0, None)]));
    assert_eq!(response.responses[0].partition_responses[0].error_code, 87);
}

#[test]
fn a_fetch_waits_for_its_bytes_and_no_longer() {
    let broker = TestBroker::start();
    let mut session = Session::open(broker.address, None);
    let name = session.name("poll");
    let id = session.create(&name, 1, &[]);
    let topic = Topic { name, id };
    let waiting =
        |wait_ms: i32, bytes: i32| FetchRequest { max_wait_ms: wait_ms, min_bytes: bytes, ..fetch(&topic, &[(0, 0)]) };
    let began = Instant::now();
    session.client.call(11, &waiting(300, 1));
    assert!(Duration::from_millis(300) <= began.elapsed(), "nothing came: {:?}", began.elapsed());

    let mut producer = Client::connect(broker.address);
    let began = Instant::now();
    let id = session.client.send(11, &waiting(20_000, 1));
    producer.call(9, &produce(&topic, 1, &[(0, Some(batch(1)))]));
    let response = session.client.receive::<FetchRequest>(11, id).unwrap();
    assert!(response.responses[0].partitions[0].records.as_ref().is_some_and(|records| !records.is_empty()));
    assert!(began.elapsed() < Duration::from_secs(10), "a record ends the wait");

    // More than is there: one record does not end it, enough of them do.
    let id = session.client.send(11, &waiting(20_000, 400));
    for _ in 0..6 {
        producer.call(9, &produce(&topic, 1, &[(0, Some(batch(1)))]));
    }
    let response = session.client.receive::<FetchRequest>(11, id).unwrap();
    let bytes = response.responses[0].partitions[0].records.as_ref().map_or(0, |records| records.len());
    assert!(400 <= bytes, "{bytes} bytes");
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[test]
fn who_waits_at_the_end_of_a_topic_that_is_deleted_is_told_so() {
    let broker = TestBroker::start();
    let mut session = Session::open(broker.address, None);
    let name = session.name("deleted");
    let id = session.create(&name, 1, &[]);
    let topic = Topic { name: name.clone(), id };
    let fetch = FetchRequest { max_wait_ms: 60_000, min_bytes: 1, ..fetch(&topic, &[(0, 0)]) };
    let id = session.client.send(11, &fetch);
    let began = Instant::now();
    let delete =
        DeleteTopicsRequest { topic_names: vec![name.as_str().into()], timeout_ms: 30_000, ..Default::default() };
    let deleted = Client::connect(broker.address).call(5, &delete);
    assert_eq!(deleted.responses[0].error_code, 0);
    let response = session.client.receive::<FetchRequest>(11, id).unwrap();
    let code = ErrorCode::from_code(response.responses[0].partitions[0].error_code);
    // As Kafka 3.9.2.
    assert_eq!(code, ErrorCode::UnknownTopicOrPartition);
    assert!(began.elapsed() < Duration::from_secs(30), "the deletion ends the wait");
}

#[test]
fn idle_connections_are_closed() {
    let broker = TestBroker::with(&["connections.max.idle.ms=300"]);
    let mut client = Client::connect(broker.address);
    client.call(0, &ApiVersionsRequest::default());
    let began = Instant::now();
    assert!(client.is_closed_by_peer());
    assert!(Duration::from_millis(200) <= began.elapsed());
}

#[test]
fn an_address_has_no_more_connections_than_allowed() {
    let broker = TestBroker::with(&["max.connections.per.ip=2"]);
    let mut first = Client::connect(broker.address);
    let mut second = Client::connect(broker.address);
    for client in [&mut first, &mut second] {
        client.call(0, &ApiVersionsRequest::default());
    }
    assert!(Client::connect(broker.address).is_closed_by_peer());
    drop(first);
    // The place is free once the broker has seen the end of the first.
    let deadline = Instant::now() + Duration::from_secs(10);
    while Client::connect(broker.address).try_call(0, &ApiVersionsRequest::default()).is_none() {
        assert!(Instant::now() < deadline, "the place never becomes free");
    }
}

#[test]
fn a_frame_above_the_limit_is_refused_by_its_length() {
    let broker = TestBroker::with(&["socket.request.max.bytes=1000"]);
    let mut client = Client::connect(broker.address);
    client.send_bytes(&1001i32.to_be_bytes());
    assert!(client.is_closed_by_peer());
}

#[test]
fn requests_that_do_not_fit_into_memory_wait_for_others() {
    let broker = TestBroker::with(&["socket.request.max.bytes=1000", "queued.max.request.bytes=1000"]);
    // Halves of large requests hold the memory until their rest comes. As in Kafka, the last one may pass the limit.
    let request = Frame::request(&ApiVersionsRequest::default(), 0, 1, Some(&"x".repeat(900))).unwrap().into_bytes();
    let mut holders = [(); 2].map(|()| Client::connect(broker.address));
    for holder in &mut holders {
        holder.stream.write_all(&request[..100]).unwrap();
        wait_until_read(holder);
    }
    let mut waiter = Client::connect(broker.address);
    waiter.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let large: Bytes =
        Frame::request(&ApiVersionsRequest::default(), 0, 2, Some(&"y".repeat(900))).unwrap().into_bytes();
    waiter.send_bytes(&large);
    assert!(waiter.receive_frame().is_none(), "there is no memory for it");
    waiter.stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for holder in &mut holders {
        holder.stream.write_all(&request[100..]).unwrap();
        assert!(holder.receive_frame().is_some());
    }
    assert!(waiter.receive_frame().is_some());
}

/// Until the broker has taken what was sent off its socket.
fn wait_until_read(client: &Client) {
    let (own, peer) = (client.stream.local_addr().unwrap().port(), client.stream.peer_addr().unwrap().port());
    let line = format!(":{peer:04X} 0100007F:{own:04X} 01 00000000:00000000");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !std::fs::read_to_string("/proc/net/tcp").unwrap().contains(&line) {
        assert!(Instant::now() < deadline, "the broker never reads");
    }
}
