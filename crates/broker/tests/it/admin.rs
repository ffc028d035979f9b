//! Topics, configurations and producer ids, each API at each of its versions.

use whimbrel_model::ErrorCode;
use whimbrel_wire::alter_configs::{AlterConfigsResource, AlterableConfig};
use whimbrel_wire::create_partitions::{CreatePartitionsAssignment, CreatePartitionsTopic};
use whimbrel_wire::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreatableTopicResult,
};
use whimbrel_wire::delete_topics::DeleteTopicState;
use whimbrel_wire::describe_configs::{DescribeConfigsResource, DescribeConfigsResult};
use whimbrel_wire::incremental_alter_configs as incremental;
use whimbrel_wire::{
    AlterConfigsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeClusterRequest,
    DescribeConfigsRequest, IncrementalAlterConfigsRequest, InitProducerIdRequest, MetadataRequest, Str,
};

use crate::support::{Client, TestResult, start};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

fn topic(name: &str, partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic { name: name.into(), num_partitions: partitions, replication_factor, ..Default::default() }
}

fn with_config(mut topic: CreatableTopic, name: &str, value: Option<&str>) -> CreatableTopic {
    topic.configs.push(CreatableTopicConfig { name: name.into(), value: value.map(Str::from) });
    topic
}

fn create(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest { topics, timeout_ms: 30_000, ..Default::default() }
}

fn codes(topics: &[CreatableTopicResult]) -> Vec<(String, ErrorCode)> {
    topics.iter().map(|topic| (topic.name.to_string(), ErrorCode::from_code(topic.error_code))).collect()
}

#[tokio::test]
async fn topics_are_created_and_deleted_at_every_version() -> TestResult {
    let dir = tempfile::tempdir()?;
    let broker = start(dir.path(), &[]).await?;
    let mut client = Client::connect(&broker).await?;
    for version in 0..=7 {
        let name = format!("t{version}");
        let created = client.call(&create(vec![topic(&name, 3, 1)]), version).await?.topics;
        assert_eq!(codes(&created), [(name.clone(), ErrorCode::None)], "{created:?}");
        if 5 <= version {
            assert_eq!((created[0].num_partitions, created[0].replication_factor), (3, 1));
            assert!(created[0].configs.as_ref().is_some_and(|configs| 20 < configs.len()));
        }
        assert_eq!(created[0].topic_id.is_zero(), version < 7);
        let again = client.call(&create(vec![topic(&name, 3, 1)]), version).await?.topics;
        assert_eq!(codes(&again), [(name.clone(), ErrorCode::TopicAlreadyExists)]);
    }
    let listed = client.call(&MetadataRequest { topics: None, ..Default::default() }, 12).await?.topics;
    assert_eq!(listed.len(), 8);
    for version in 0..=6 {
        let name = Str::from(format!("t{version}"));
        let by_name = DeleteTopicState { name: Some(name.clone()), ..Default::default() };
        let request = match version {
            6 => DeleteTopicsRequest { topics: vec![by_name], timeout_ms: 30_000, ..Default::default() },
            _ => DeleteTopicsRequest { topic_names: vec![name.clone()], timeout_ms: 30_000, ..Default::default() },
        };
        let first = client.call(&request, version).await?.responses;
        assert_eq!((first[0].error_code, first[0].name.clone()), (0, Some(name)));
        let second = client.call(&request, version).await?.responses;
        assert_eq!(second[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
    }
    let by_id = |topic_id| DeleteTopicsRequest {
        topics: vec![DeleteTopicState { name: None, topic_id }],
        timeout_ms: 30_000,
        ..Default::default()
    };
    let left = listed.iter().find(|topic| topic.name.as_deref() == Some("t7")).ok_or("t7")?;
    let gone = client.call(&by_id(left.topic_id), 6).await?.responses;
    assert_eq!((gone[0].error_code, gone[0].name.as_deref()), (0, Some("t7")));
    let unknown = client.call(&by_id(left.topic_id), 6).await?.responses;
    assert_eq!((unknown[0].error_code, unknown[0].name.as_deref()), (ErrorCode::UnknownTopicId.code(), None));
    // The name is free at once.
    let again = client.call(&create(vec![topic("t7", 1, 1)]), 7).await?.topics;
    assert_eq!(codes(&again), [("t7".into(), ErrorCode::None)]);
    broker.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn topics_that_cannot_be_are_refused_by_kafkas_codes() -> TestResult {
    let dir = tempfile::tempdir()?;
    let broker = start(dir.path(), &["num.partitions=4"]).await?;
    let mut client = Client::connect(&broker).await?;
    let assigned = |name: &str, replicas: &[i32]| CreatableTopic {
        name: name.into(),
        num_partitions: -1,
        replication_factor: -1,
        assignments: vec![CreatableReplicaAssignment { partition_index: 0, broker_ids: replicas.to_vec() }],
        ..Default::default()
    };
    let both = CreatableTopic { num_partitions: 1, ..assigned("both", &[1]) };
    let request = create(vec![
        topic("good", -1, -1),
        topic("bad name", 1, 1),
        topic("", 1, 1),
        topic("..", 1, 1),
        topic("twice", 1, 1),
        topic("twice", 1, 1),
        topic("none", 0, 1),
        topic("many", 1, 2),
        with_config(topic("config", 1, 1), "retention.ms", Some("soon")),
        with_config(topic("unknown", 1, 1), "no.such.setting", Some("1")),
        with_config(topic("null", 1, 1), "retention.ms", None),
        both,
        assigned("hand", &[1]),
        assigned("hands", &[1, 1]),
        topic("a.b", 1, 1),
        topic("a_b", 1, 1),
        topic("__cluster_metadata", 1, 1),
    ]);
    let results = client.call(&create(vec![topic("x.y", 1, 1)]), 7).await?.topics;
    assert_eq!(codes(&results), [("x.y".into(), ErrorCode::None)]);
    let results = codes(&client.call(&request, 7).await?.topics);
    let expected = [
        ("good", ErrorCode::None),
        ("bad name", ErrorCode::InvalidTopicException),
        ("", ErrorCode::InvalidTopicException),
        ("..", ErrorCode::InvalidTopicException),
        ("twice", ErrorCode::InvalidRequest),
        ("twice", ErrorCode::InvalidRequest),
        ("none", ErrorCode::InvalidPartitions),
        ("many", ErrorCode::InvalidReplicationFactor),
        ("config", ErrorCode::InvalidConfig),
        ("unknown", ErrorCode::InvalidConfig),
        ("null", ErrorCode::InvalidConfig),
        ("both", ErrorCode::InvalidRequest),
        ("hand", ErrorCode::None),
        ("hands", ErrorCode::InvalidReplicaAssignment),
        ("a.b", ErrorCode::None),
        ("a_b", ErrorCode::InvalidTopicException),
        ("__cluster_metadata", ErrorCode::InvalidRequest),
    ];
    assert_eq!(results, expected.map(|(name, code)| (name.to_owned(), code)));
    let collides = client.call(&create(vec![topic("x_y", 1, 1)]), 7).await?.topics;
    assert_eq!(codes(&collides), [("x_y".into(), ErrorCode::InvalidTopicException)]);

    let only = CreateTopicsRequest { validate_only: true, ..create(vec![topic("only", -1, -1)]) };
    let results = client.call(&only, 7).await?.topics;
    assert_eq!((results[0].error_code, results[0].num_partitions), (0, 4));
    // Nobody waits: the topic comes, and the client is told that it was too early to say.
    let impatient = CreateTopicsRequest { timeout_ms: 0, ..create(vec![topic("only", 1, 1)]) };
    let results = client.call(&impatient, 7).await?.topics;
    assert_eq!(results[0].error_code, ErrorCode::RequestTimedOut.code());
    broker.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn topics_grow_at_every_version() -> TestResult {
    let dir = tempfile::tempdir()?;
    let broker = start(dir.path(), &[]).await?;
    let mut client = Client::connect(&broker).await?;
    client.call(&create(vec![topic("t", 1, 1)]), 7).await?;
    let grow = |name: &str, count, assignments| CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic { name: name.into(), count, assignments }],
        timeout_ms: 30_000,
        ..Default::default()
    };
    for version in 0..=3i16 {
        let results = client.call(&grow("t", i32::from(version) + 2, None), version).await?.results;
        assert_eq!((results[0].error_code, results[0].error_message.as_deref()), (0, None), "{results:?}");
    }
    let assignment = |ids: &[i32]| Some(vec![CreatePartitionsAssignment { broker_ids: ids.to_vec() }]);
    let refused = [
        (grow("t", 5, None), ErrorCode::InvalidPartitions),
        (grow("t", 4, None), ErrorCode::InvalidPartitions),
        (grow("u", 4, None), ErrorCode::UnknownTopicOrPartition),
        (grow("t", 6, assignment(&[9])), ErrorCode::InvalidReplicaAssignment),
        (grow("t", 7, assignment(&[1])), ErrorCode::InvalidReplicaAssignment),
        (grow("t", 6, assignment(&[1])), ErrorCode::None),
    ];
    for (request, code) in refused {
        let results = client.call(&request, 3).await?.results;
        assert_eq!(results[0].error_code, code.code(), "{request:?} {results:?}");
    }
    let listed = client.call(&MetadataRequest { topics: None, ..Default::default() }, 12).await?.topics;
    assert_eq!(listed[0].partitions.len(), 6);
    broker.shutdown().await;
    Ok(())
}

async fn describe(
    client: &mut Client,
    kind: i8,
    name: &str,
    keys: &[&str],
    version: i16,
) -> Result<DescribeConfigsResult, Box<dyn std::error::Error>> {
    let keys = keys.iter().map(|&key| Str::from(key)).collect();
    let resource =
        DescribeConfigsResource { resource_type: kind, resource_name: name.into(), configuration_keys: Some(keys) };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: 1 <= version,
        include_documentation: 3 <= version,
    };
    let mut results = client.call(&request, version).await?.results;
    results.pop().ok_or_else(|| "no result".into())
}

fn incrementally(
    kind: i8,
    name: &str,
    key: &str,
    operation: i8,
    value: Option<&str>,
) -> IncrementalAlterConfigsRequest {
    let config =
        incremental::AlterableConfig { name: key.into(), config_operation: operation, value: value.map(Str::from) };
    let resource =
        incremental::AlterConfigsResource { resource_type: kind, resource_name: name.into(), configs: vec![config] };
    IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() }
}

#[tokio::test]
async fn topic_settings_are_described_and_changed() -> TestResult {
    let dir = tempfile::tempdir()?;
    let broker = start(dir.path(), &["log.retention.hours=5"]).await?;
    let mut client = Client::connect(&broker).await?;
    client.call(&create(vec![with_config(topic("t", 1, 1), "segment.bytes", Some("1048576"))]), 7).await?;
    for version in 0..=4 {
        let all = describe(&mut client, TOPIC, "t", &[], version).await?;
        assert!(20 < all.configs.len());
        let segment = all.configs.iter().find(|entry| *entry.name == *"segment.bytes").ok_or("segment.bytes")?;
        assert_eq!(segment.value.as_deref(), Some("1048576"));
        assert!(!segment.is_default);
        if 1 <= version {
            assert_eq!(segment.config_source, 1);
            assert_eq!(segment.synonyms.iter().map(|one| one.source).collect::<Vec<_>>(), [1, 5]);
        }
    }
    let retention = describe(&mut client, TOPIC, "t", &["retention.ms"], 4).await?.configs;
    assert_eq!((retention[0].value.as_deref(), retention[0].config_source), (Some("18000000"), 4));
    assert!(retention[0].documentation.is_some());

    let set = incrementally(TOPIC, "t", "retention.ms", 0, Some("1000"));
    for version in 0..=1 {
        let done = client.call(&set, version).await?.responses;
        assert_eq!((done[0].error_code, done[0].error_message.as_deref()), (0, None), "{done:?}");
    }
    let append = incrementally(TOPIC, "t", "cleanup.policy", 2, Some("compact"));
    assert_eq!(client.call(&append, 1).await?.responses[0].error_code, 0);
    let both = describe(&mut client, TOPIC, "t", &["retention.ms", "cleanup.policy"], 4).await?.configs;
    let values: Vec<_> = both.iter().map(|entry| entry.value.as_deref()).collect();
    assert_eq!(values, [Some("delete,compact"), Some("1000")]);

    let invalid = [
        (incrementally(TOPIC, "t", "retention.ms", 0, Some("soon")), ErrorCode::InvalidConfig),
        (incrementally(TOPIC, "t", "no.such", 0, Some("1")), ErrorCode::InvalidConfig),
        (incrementally(TOPIC, "t", "retention.ms", 2, Some("1")), ErrorCode::InvalidConfig),
        (incrementally(TOPIC, "t", "retention.ms", 0, None), ErrorCode::InvalidRequest),
        (incrementally(TOPIC, "t", "retention.ms", 7, Some("1")), ErrorCode::InvalidRequest),
        (incrementally(TOPIC, "u", "retention.ms", 0, Some("1")), ErrorCode::UnknownTopicOrPartition),
        (incrementally(TOPIC, "", "retention.ms", 0, Some("1")), ErrorCode::InvalidRequest),
        (incrementally(8, "1", "root", 0, Some("DEBUG")), ErrorCode::InvalidRequest),
    ];
    for (request, code) in invalid {
        let done = client.call(&request, 1).await?.responses;
        assert_eq!(done[0].error_code, code.code(), "{request:?} {done:?}");
    }
    // The older request replaces everything that the topic has of its own.
    for version in 0..=2 {
        let value = Some(Str::from(format!("{}", 100 + version)));
        let config = AlterableConfig { name: "flush.messages".into(), value };
        let resource = AlterConfigsResource { resource_type: TOPIC, resource_name: "t".into(), configs: vec![config] };
        let request = AlterConfigsRequest { resources: vec![resource], ..Default::default() };
        assert_eq!(client.call(&request, version).await?.responses[0].error_code, 0);
    }
    let all = describe(&mut client, TOPIC, "t", &[], 4).await?.configs;
    let own: Vec<_> = all.iter().filter(|entry| entry.config_source == 1).collect();
    assert_eq!(
        own.iter().map(|entry| (entry.name.as_str(), entry.value.as_deref())).collect::<Vec<_>>(),
        [("flush.messages", Some("102"))]
    );
    let unknown = describe(&mut client, TOPIC, "u", &[], 4).await?;
    assert_eq!(unknown.error_code, ErrorCode::UnknownTopicOrPartition.code());
    broker.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn broker_settings_come_from_five_sources() -> TestResult {
    let dir = tempfile::tempdir()?;
    let broker = start(dir.path(), &["message.max.bytes=2000000"]).await?;
    let mut client = Client::connect(&broker).await?;
    let entry = describe(&mut client, BROKER, "1", &["message.max.bytes", "broker.id"], 4).await?.configs;
    assert_eq!(
        entry.iter().map(|entry| (entry.name.as_str(), entry.read_only, entry.config_source)).collect::<Vec<_>>(),
        [("broker.id", true, 4), ("message.max.bytes", false, 4)]
    );
    for (name, value) in [("", "3000000"), ("1", "4000000")] {
        let set = incrementally(BROKER, name, "message.max.bytes", 0, Some(value));
        let done = client.call(&set, 1).await?.responses;
        assert_eq!(done[0].error_code, 0, "{done:?}");
    }
    // Whoever changed them sees the change, although the broker hears of it through coordination a moment later.
    let entry = describe(&mut client, BROKER, "1", &["message.max.bytes"], 4).await?.configs;
    assert_eq!(entry[0].value.as_deref(), Some("4000000"));
    let synonyms = &entry[0].synonyms;
    assert_eq!(synonyms.iter().map(|one| one.source).collect::<Vec<_>>(), [2, 3, 4, 5]);
    let defaults = describe(&mut client, BROKER, "", &[], 4).await?.configs;
    assert_eq!(
        defaults.iter().map(|entry| (entry.name.as_str(), entry.config_source)).collect::<Vec<_>>(),
        [("message.max.bytes", 3)]
    );
    let refused = [
        incrementally(BROKER, "1", "broker.id", 0, Some("7")),
        incrementally(BROKER, "2", "message.max.bytes", 0, Some("7")),
        incrementally(BROKER, "x", "message.max.bytes", 0, Some("7")),
        incrementally(BROKER, "1", "message.max.bytes", 0, Some("many")),
    ];
    for request in refused {
        let done = client.call(&request, 1).await?.responses;
        assert_eq!(done[0].error_code, ErrorCode::InvalidRequest.code(), "{request:?} {done:?}");
    }
    let other = describe(&mut client, BROKER, "2", &[], 4).await?;
    assert_eq!(other.error_code, ErrorCode::InvalidRequest.code());
    broker.shutdown().await;

    // They are in force from the start of the next life on.
    let broker = start(dir.path(), &["message.max.bytes=2000000"]).await?;
    let mut client = Client::connect(&broker).await?;
    let entry = describe(&mut client, BROKER, "1", &["message.max.bytes"], 4).await?.configs;
    assert_eq!(entry[0].synonyms.iter().map(|one| one.source).collect::<Vec<_>>(), [2, 3, 4, 5]);
    broker.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn producers_get_ids_and_transactions_are_refused() -> TestResult {
    let dir = tempfile::tempdir()?;
    let broker = start(dir.path(), &[]).await?;
    let mut client = Client::connect(&broker).await?;
    let plain = InitProducerIdRequest { producer_id: -1, producer_epoch: -1, ..Default::default() };
    let plain = InitProducerIdRequest { transactional_id: None, ..plain };
    for version in 0..=5i16 {
        let answer = client.call(&plain, version).await?;
        assert_eq!((answer.error_code, answer.producer_id, answer.producer_epoch), (0, i64::from(version), 0));
    }
    let transactional = InitProducerIdRequest { transactional_id: Some("tx".into()), ..plain.clone() };
    let answer = client.call(&transactional, 5).await?;
    assert_eq!((answer.error_code, answer.producer_id), (ErrorCode::UnsupportedVersion.code(), -1));
    broker.shutdown().await;

    // The next life takes the next block.
    let broker = start(dir.path(), &[]).await?;
    let mut client = Client::connect(&broker).await?;
    assert_eq!(client.call(&plain, 5).await?.producer_id, 1000);
    broker.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn the_cluster_is_described() -> TestResult {
    let dir = tempfile::tempdir()?;
    let broker = start(dir.path(), &["broker.rack=r1"]).await?;
    let mut client = Client::connect(&broker).await?;
    for version in 0..=2 {
        let answer = client.call(&DescribeClusterRequest::default(), version).await?;
        assert_eq!((answer.error_code, answer.controller_id, answer.brokers.len()), (0, 1, 1));
        assert_eq!(answer.cluster_id.len(), 22);
        assert_eq!(answer.brokers[0].rack.as_deref(), Some("r1"));
        assert_eq!(Some(answer.brokers[0].port), broker.listeners.first().map(|(_, at)| i32::from(at.port())));
    }
    let controllers = DescribeClusterRequest { endpoint_type: 2, ..Default::default() };
    let answer = client.call(&controllers, 1).await?;
    assert_eq!(answer.error_code, ErrorCode::MismatchedEndpointType.code());
    broker.shutdown().await;
    Ok(())
}
