use bytes::Bytes;
use whimbrel_model::{ErrorCode, LeaderEpoch, PartitionEpoch, TopicPartition, Uuid};
use whimbrel_state::controller::control::*;
use whimbrel_wire::{Message, Reader, Writer};

use super::*;

/// Through the bytes of a version, as a peer reads them.
fn sent_as<W: Message>(message: &W, version: i16) -> W {
    let mut writer = Writer::new();
    message.encode(&mut writer, version).expect("can be encoded");
    W::decode(&mut Reader::new(&writer.into_bytes()), version).expect("can be decoded")
}

fn there_and_back<W: Message, T: ToWire<W> + FromWire<W>>(value: &T, version: i16) -> T {
    T::from_wire(&sent_as(&value.to_wire(version), version), version)
}

fn sample_header() -> ControlHeader {
    header(1, 7, 99)
}

fn leader_and_isr() -> LeaderAndIsrRequest {
    let partition = |index| LeaderAndIsrPartition {
        index,
        controller_epoch: ControllerEpoch(6),
        leader: NodeId(2),
        leader_epoch: LeaderEpoch(4),
        isr: nodes(&[2, 3]),
        partition_epoch: PartitionEpoch(11),
        replicas: nodes(&[1, 2, 3]),
        adding_replicas: nodes(&[3]),
        removing_replicas: nodes(&[1]),
        is_new: true,
        recovery_state: LeaderRecoveryState::Recovering,
    };
    LeaderAndIsrRequest {
        header: sample_header(),
        topics: vec![
            LeaderAndIsrTopic { name: "a".into(), id: Uuid([1; 16]), partitions: vec![partition(0), partition(3)] },
            LeaderAndIsrTopic { name: "b".into(), id: Uuid([2; 16]), partitions: vec![partition(1)] },
        ],
        live_leaders: vec![LiveLeader { id: NodeId(2), host: "h".into(), port: 9092 }],
    }
}

#[test]
fn leader_and_isr_means_the_same_in_every_version_that_can_say_it() {
    let request = leader_and_isr();
    assert_eq!(there_and_back(&request, sent::LEADER_AND_ISR), request);
    for version in 0..=5 {
        // What older versions lack is at its default.
        let mut lacking = request.clone();
        for topic in &mut lacking.topics {
            topic.id = if version < 5 { Uuid::ZERO } else { topic.id };
            for partition in &mut topic.partitions {
                partition.recovery_state = LeaderRecoveryState::Recovered;
                partition.is_new = 1 <= version;
                if version < 3 {
                    (partition.adding_replicas, partition.removing_replicas) = Default::default();
                }
            }
        }
        lacking.header.broker_epoch = BrokerEpoch(if version < 2 { -1 } else { 99 });
        assert_eq!(there_and_back(&lacking, version), lacking, "version {version}");
    }
}

#[test]
fn leader_and_isr_results_get_their_topics_names_back() {
    let request = leader_and_isr();
    let result = |index, error| PartitionResult { index, error };
    let topic = |name: &str, id, partitions| LeaderAndIsrTopicResult { name: name.into(), id, partitions };
    let response = LeaderAndIsrResponse {
        error: ErrorCode::None,
        topics: vec![
            topic("a", Uuid([1; 16]), vec![result(0, ErrorCode::None), result(3, ErrorCode::KafkaStorageError)]),
            topic("b", Uuid([2; 16]), vec![result(1, ErrorCode::None)]),
        ],
    };
    let mut named = there_and_back(&response, sent::LEADER_AND_ISR);
    name_results(&mut named, &request);
    assert_eq!(named, response);
    let mut by_name = response.clone();
    by_name.topics.iter_mut().for_each(|topic| topic.id = Uuid::ZERO);
    assert_eq!(there_and_back(&response, 4), by_name);
}

fn update_metadata() -> UpdateMetadataRequest {
    let partition = UpdateMetadataPartition {
        index: 4,
        controller_epoch: ControllerEpoch(6),
        leader: LEADER_DURING_DELETE,
        leader_epoch: LeaderEpoch(4),
        isr: nodes(&[2]),
        partition_epoch: PartitionEpoch(11),
        replicas: nodes(&[2, 1]),
        offline_replicas: nodes(&[1]),
    };
    let endpoint = |listener: &str, port| Endpoint {
        listener: listener.into(),
        protocol: SecurityProtocol::Plaintext,
        host: "h".into(),
        port,
    };
    let topic = UpdateMetadataTopic { name: "a".into(), id: Uuid([1; 16]), partitions: vec![partition] };
    let endpoints = vec![endpoint("PLAINTEXT", 9092), endpoint("INSIDE", 9093)];
    UpdateMetadataRequest {
        header: sample_header(),
        topics: vec![topic].into(),
        live_brokers: vec![LiveBroker { id: NodeId(1), endpoints, rack: Some("r".into()) }].into(),
    }
}

#[test]
fn update_metadata_means_the_same_in_every_version_that_can_say_it() {
    let request = update_metadata();
    for version in 7..=sent::UPDATE_METADATA {
        assert_eq!(there_and_back(&request, version), request);
    }
    let oldest = there_and_back(&request, 0);
    assert_eq!(oldest.live_brokers[0].endpoints, request.live_brokers[0].endpoints[..1]);
    assert_eq!(oldest.topics[0].partitions[0].leader, LEADER_DURING_DELETE);
    let unnamed = there_and_back(&request, 2);
    assert_eq!(unnamed.live_brokers[0].endpoints.len(), 2);
    assert!(unnamed.live_brokers[0].endpoints.iter().all(|endpoint| &*endpoint.listener == "PLAINTEXT"));
}

#[test]
fn one_encoded_update_serves_all_brokers() {
    let request = update_metadata();
    let update = EncodedUpdate::new(request.clone());
    let to = |epoch| {
        let mut request = request.clone();
        request.header.broker_epoch = BrokerEpoch(epoch);
        request
    };
    assert!(update.covers(&to(5)));
    assert!(!update.covers(&update_metadata()), "equal content elsewhere in memory is not worth comparing");
    let (one, other) = (update.body(BrokerEpoch(5)).unwrap(), update.body(BrokerEpoch(-6)).unwrap());
    assert_eq!(one[2].as_ptr(), other[2].as_ptr());
    for (body, epoch) in [(one, 5), (other, -6)] {
        let bytes = Bytes::from(body.concat());
        let wire = whimbrel_wire::UpdateMetadataRequest::decode(&mut Reader::new(&bytes), sent::UPDATE_METADATA);
        assert_eq!(UpdateMetadataRequest::from_wire(&wire.unwrap(), sent::UPDATE_METADATA), to(epoch));
    }
}

#[test]
fn stop_replica_of_every_version_is_understood() {
    let partition = |index, leader_epoch, delete| StopReplicaPartition { index, leader_epoch, delete };
    let topic = |partitions| StopReplicaTopic { name: "a".into(), partitions };
    let request = StopReplicaRequest {
        header: sample_header(),
        topics: vec![topic(vec![partition(0, LeaderEpoch(3), false), partition(1, EPOCH_DURING_DELETE, true)])],
    };
    assert_eq!(there_and_back(&request, sent::STOP_REPLICA), request);

    use whimbrel_wire::stop_replica as wire;
    let all = StopReplicaRequest {
        header: header(1, 7, -1),
        topics: vec![topic(vec![partition(0, LeaderEpoch::NONE, true), partition(2, LeaderEpoch::NONE, true)])],
    };
    let base = wire::StopReplicaRequest {
        controller_id: 1,
        controller_epoch: 7,
        delete_partitions: true,
        ..Default::default()
    };
    let ungrouped = |index| wire::StopReplicaPartitionV0 { topic_name: "a".into(), partition_index: index };
    let oldest = wire::StopReplicaRequest { ungrouped_partitions: [0, 2].map(ungrouped).into(), ..base.clone() };
    assert_eq!(StopReplicaRequest::from_wire(&sent_as(&oldest, 0), 0), all);
    let grouped = vec![wire::StopReplicaTopicV1 { name: "a".into(), partition_indexes: vec![0, 2] }];
    let old = wire::StopReplicaRequest { topics: grouped, ..base };
    assert_eq!(StopReplicaRequest::from_wire(&sent_as(&old, 2), 2), all);
}

#[test]
fn alter_partition_carries_incarnations_and_names_its_errors_as_the_version_knows_them() {
    let member = |broker, epoch| IsrMember { broker: NodeId(broker), epoch: BrokerEpoch(epoch) };
    let data = AlterPartitionData {
        index: 2,
        leader_epoch: LeaderEpoch(5),
        new_isr: vec![member(1, 40), member(2, 50)],
        recovery_state: LeaderRecoveryState::Recovered,
        partition_epoch: PartitionEpoch(8),
    };
    let topic = AlterPartitionTopic { name: Arc::default(), id: Uuid([1; 16]), partitions: vec![data] };
    let mut request = AlterPartitionRequest { broker: NodeId(1), broker_epoch: BrokerEpoch(40), topics: vec![topic] };
    assert_eq!(there_and_back(&request, sent::ALTER_PARTITION), request);
    request.topics[0].partitions[0].new_isr = vec![member(1, -1), member(2, -1)];
    assert_eq!(there_and_back(&request, 2), request);

    let refused = |error| AlterPartitionResponse {
        error: ErrorCode::None,
        topics: vec![AlterPartitionTopicResult {
            name: Arc::default(),
            id: Uuid([1; 16]),
            partitions: vec![AlterPartitionResult { index: 2, result: Err(error) }],
        }],
    };
    use AlterPartitionError::*;
    let all = [UnknownTopicId, UnknownPartition, StaleController, FencedLeaderEpoch, StalePartitionEpoch];
    for error in all.into_iter().chain([InvalidRequest, IneligibleReplica]) {
        assert_eq!(there_and_back(&refused(error), sent::ALTER_PARTITION), refused(error));
    }
    let code = |error, version| {
        let wire: whimbrel_wire::AlterPartitionResponse = refused(error).to_wire(version);
        ErrorCode::from_code(wire.topics[0].partitions[0].error_code)
    };
    assert_eq!(code(IneligibleReplica, 1), ErrorCode::OperationNotAttempted);
    assert_eq!(code(IneligibleReplica, 2), ErrorCode::IneligibleReplica);
    assert_eq!(code(UnknownTopicId, 1), ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn controlled_shutdown_names_what_remains() {
    let request = ControlledShutdownRequest { broker: NodeId(3), broker_epoch: BrokerEpoch(9) };
    assert_eq!(there_and_back(&request, sent::CONTROLLED_SHUTDOWN), request);
    let remaining = vec![TopicPartition::new("a", 0), TopicPartition::new("b", 5)];
    let response = ControlledShutdownResponse { error: ErrorCode::None, remaining };
    assert_eq!(there_and_back(&response, sent::CONTROLLED_SHUTDOWN), response);
}
