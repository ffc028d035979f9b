//! Listeners that are changed while the broker runs (KIP-226).

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use whimbrel_broker::RunningBroker;
use whimbrel_model::ErrorCode;
use whimbrel_state::controller::Broker as Registered;
use whimbrel_wire::create_topics::CreatableTopic;
use whimbrel_wire::describe_configs::DescribeConfigsResource;
use whimbrel_wire::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use whimbrel_wire::{
    CreateTopicsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest, MetadataRequest, Str,
};

use crate::scenarios::records::{Topic, batch, fetch, produce};
use crate::support::{Client, PATIENCE, TestResult, start};

const BROKER: i8 = 4;
const SET: i8 = 0;
const DELETE: i8 = 1;

/// The listeners of the tests have these names; `PLAINTEXT` is the one between brokers.
const MAP: &str = "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,OUT:PLAINTEXT,SECURE:SSL";

/// A key and its value; without one it is taken away.
type Change<'a> = (&'a str, Option<&'a str>);

/// Changes these keys of the broker; the code and text of the answer.
pub async fn alter(
    client: &mut Client,
    broker: &str,
    pairs: &[Change<'_>],
) -> Result<(ErrorCode, String), Box<dyn std::error::Error>> {
    let one = |(name, value): &Change<'_>| AlterableConfig {
        name: (*name).into(),
        config_operation: if value.is_some() { SET } else { DELETE },
        value: value.map(Str::from),
    };
    let configs = pairs.iter().map(one).collect();
    let resource = AlterConfigsResource { resource_type: BROKER, resource_name: broker.into(), configs };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let answer = client.call(&request, 1).await?.responses.remove(0);
    Ok((ErrorCode::from_code(answer.error_code), answer.error_message.map(|text| text.to_string()).unwrap_or_default()))
}

async fn registration(broker: &RunningBroker) -> Result<Registered, Box<dyn std::error::Error>> {
    let brokers = broker.broker.coordination.brokers().await?;
    Ok(brokers.into_iter().find(|one| one.id == broker.broker.node_id).ok_or("not registered")?)
}

/// Where the cluster is told that a listener is, as `NAME host:port`.
fn told(registered: &Registered) -> Vec<String> {
    let text =
        |one: &whimbrel_state::controller::control::Endpoint| format!("{} {}:{}", one.listener, one.host, one.port);
    registered.endpoints.iter().map(text).collect()
}

/// The registration, once it names `listener` at another port than `not`.
async fn registered_elsewhere(
    broker: &RunningBroker,
    listener: &str,
    not: u16,
) -> Result<(Registered, SocketAddr), Box<dyn std::error::Error>> {
    let found = async {
        loop {
            let registered = registration(broker).await?;
            let endpoint = registered.endpoints.iter().find(|endpoint| &*endpoint.listener == listener);
            let port = endpoint.and_then(|endpoint| u16::try_from(endpoint.port).ok());
            if let Some(port) = port.filter(|port| *port != not) {
                return Ok::<_, Box<dyn std::error::Error>>((registered, SocketAddr::from(([127, 0, 0, 1], port))));
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await?
}

/// Returns once nobody listens there.
async fn refused(address: SocketAddr) -> TestResult {
    let refused = async {
        while !TcpStream::connect(address).await.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            tokio::task::yield_now().await;
        }
    };
    Ok(tokio::time::timeout(PATIENCE, refused).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_comes_serves_and_goes_while_the_broker_runs() -> TestResult {
    let dir = tempfile::tempdir()?;
    let broker = start(dir.path(), &[MAP]).await?;
    let before = registration(&broker).await?;
    let mut client = Client::connect(&broker).await?;
    let both = "PLAINTEXT://127.0.0.1:0,OUT://127.0.0.1:0";
    assert_eq!(alter(&mut client, "1", &[("listeners", Some(both))]).await?.0, ErrorCode::None);
    let (registered, out) = registered_elsewhere(&broker, "OUT", 0).await?;
    assert_eq!(registered.epoch, before.epoch, "the same registration with other content");
    assert_eq!(told(&registered)[0], told(&before)[0], "the other listener stays where it is");

    let mut outside = Client::connect_to(out).await?;
    let topic = CreatableTopic { name: "t".into(), num_partitions: 1, replication_factor: 1, ..Default::default() };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 20_000, ..Default::default() };
    let created = outside.call(&request, 7).await?.topics.remove(0);
    assert_eq!(created.error_code, 0, "{created:?}");
    let topic = Topic { name: "t".into(), id: created.topic_id };
    let produced = outside.call(&produce(&topic, -1, &[(0, Some(batch(3)))]), 10).await?;
    assert_eq!(produced.responses[0].partition_responses[0].error_code, 0);
    let fetched = outside.call(&fetch(&topic, &[(0, 0)]), 12).await?;
    assert_eq!(fetched.responses[0].partitions[0].high_watermark, 3);
    let metadata = outside.call(&MetadataRequest::default(), 12).await?;
    assert_eq!(metadata.brokers[0].port, i32::from(out.port()), "clients are told of the listener that they came to");
    drop(client);

    let described = DescribeConfigsResource {
        resource_type: BROKER,
        resource_name: "1".into(),
        configuration_keys: Some(vec!["listeners".into(), "advertised.listeners".into()]),
    };
    let request = DescribeConfigsRequest { resources: vec![described], ..Default::default() };
    let described = outside.call(&request, 4).await?.results.remove(0).configs;
    let facts = |name: &str| {
        let entry = described.iter().find(|entry| entry.name.as_str() == name)?;
        Some((entry.value.as_ref().map(|value| value.to_string()), entry.config_source, entry.read_only))
    };
    // 2: DYNAMIC_BROKER_CONFIG, 5: DEFAULT_CONFIG.
    assert_eq!(facts("listeners"), Some((Some(both.to_owned()), 2, false)));
    assert_eq!(facts("advertised.listeners"), Some((None, 5, false)));

    // The answer comes, although its connection is one of those that end.
    assert_eq!(alter(&mut outside, "1", &[("listeners", None)]).await?.0, ErrorCode::None);
    tokio::time::timeout(PATIENCE, outside.closed()).await??;
    refused(out).await?;
    let after = registration(&broker).await?;
    assert_eq!((told(&after), after.epoch), (told(&before), before.epoch));
    broker.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_on_a_listener_that_goes_is_let_go() -> TestResult {
    let dir = tempfile::tempdir()?;
    let listeners = "listeners=PLAINTEXT://127.0.0.1:0,OUT://127.0.0.1:0";
    let broker = start(dir.path(), &[MAP, listeners]).await?;
    let (_, out) = registered_elsewhere(&broker, "OUT", 0).await?;
    let mut client = Client::connect(&broker).await?;
    let topic = CreatableTopic { name: "t".into(), num_partitions: 1, replication_factor: 1, ..Default::default() };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 20_000, ..Default::default() };
    let id = client.call(&request, 7).await?.topics.remove(0).topic_id;
    let mut request = fetch(&Topic { name: "t".into(), id }, &[(0, 0)]);
    (request.max_wait_ms, request.min_bytes) = (i32::MAX, 1);
    let mut waiting = Client::connect_to(out).await?;
    let waits =
        tokio::spawn(async move { waiting.call(&request, 12).await.map(drop).map_err(|error| error.to_string()) });
    let alone = "PLAINTEXT://127.0.0.1:0";
    assert_eq!(alter(&mut client, "1", &[("listeners", Some(alone))]).await?.0, ErrorCode::None);
    let ended = tokio::time::timeout(PATIENCE, waits).await??;
    assert!(ended.is_err(), "the fetch would wait for weeks");
    broker.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_moves_and_what_was_changed_wins_at_the_next_start() -> TestResult {
    let dir = tempfile::tempdir()?;
    let broker = start(dir.path(), &[MAP]).await?;
    let (_, first) = registered_elsewhere(&broker, "PLAINTEXT", 0).await?;
    let mut client = Client::connect(&broker).await?;
    let taken = TcpListener::bind("127.0.0.1:0").await?;
    let next = taken.local_addr()?;
    let moved = format!("PLAINTEXT://{next}");
    let (code, text) = alter(&mut client, "1", &[("listeners", Some(&moved))]).await?;
    assert_eq!(code, ErrorCode::InvalidRequest);
    assert!(text.starts_with(&format!("listener PLAINTEXT: cannot listen on {next}")), "{text}");
    drop(taken);
    assert_eq!(alter(&mut client, "1", &[("listeners", Some(&moved))]).await?.0, ErrorCode::None);
    let (_, there) = registered_elsewhere(&broker, "PLAINTEXT", first.port()).await?;
    assert_eq!(there, next);
    refused(first).await?;
    // On the port that it has, at another address: there is room for one of the two only.
    let everywhere = format!("PLAINTEXT://0.0.0.0:{}", next.port());
    let mut client = Client::connect_to(next).await?;
    let pairs = [("listeners", Some(everywhere.as_str())), ("advertised.listeners", Some(moved.as_str()))];
    assert_eq!(alter(&mut client, "1", &pairs).await?.0, ErrorCode::None);
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], next.port()));
    let reached = async {
        while TcpStream::connect(elsewhere).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await?;
    broker.shutdown().await;

    let broker = start(dir.path(), &[MAP]).await?;
    assert_eq!(broker.listeners, [("PLAINTEXT".to_owned(), SocketAddr::from(([0, 0, 0, 0], next.port())))]);
    assert_eq!(told(&registration(&broker).await?), [format!("PLAINTEXT {next}")]);
    broker.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_that_cannot_be_are_refused_and_nothing_changes() -> TestResult {
    let dir = tempfile::tempdir()?;
    let broker = start(dir.path(), &[MAP]).await?;
    let before = registration(&broker).await?;
    let mut client = Client::connect(&broker).await?;
    let cases: &[(&str, &[Change<'_>])] = &[
        ("1", &[("listeners", Some("PLAINTEXT://127.0.0.1:0,OTHER://127.0.0.1:0"))]),
        ("1", &[("listeners", Some("OUT://127.0.0.1:0"))]),
        ("1", &[("listeners", Some(""))]),
        ("1", &[("listeners", Some("PLAINTEXT://127.0.0.1:0,OUT://192.0.2.1:0"))]),
        ("1", &[("listeners", Some("PLAINTEXT://127.0.0.1:0,SECURE://127.0.0.1:0"))]),
        ("1", &[("advertised.listeners", Some("PLAINTEXT://127.0.0.1:1,OUT://127.0.0.1:2"))]),
        ("1", &[("advertised.listeners", Some(""))]),
        ("1", &[("listener.security.protocol.map", Some("OUT:PLAINTEXT"))]),
        ("1", &[("listener.security.protocol.map", Some("PLAINTEXT:SSL,OUT:PLAINTEXT"))]),
        ("", &[("listeners", Some("PLAINTEXT://127.0.0.1:0,OUT://127.0.0.1:0"))]),
        ("", &[("advertised.listeners", Some("PLAINTEXT://127.0.0.1:1"))]),
        ("2", &[("listeners", Some("PLAINTEXT://127.0.0.1:0,OUT://127.0.0.1:0"))]),
    ];
    for (resource, pairs) in cases {
        let (code, text) = alter(&mut client, resource, pairs).await?;
        assert_eq!(code, ErrorCode::InvalidRequest, "{pairs:?}: {text}");
    }
    assert_eq!(told(&registration(&broker).await?), told(&before));
    broker.shutdown().await;
    Ok(())
}
