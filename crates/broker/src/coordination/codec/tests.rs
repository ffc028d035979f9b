use std::collections::BTreeMap;

use whimbrel_model::{BrokerEpoch, ControllerEpoch, LeaderEpoch, NodeId, PartitionEpoch, Uuid};
use whimbrel_state::controller::PartitionAssignment;
use whimbrel_state::controller::control::{Endpoint, IsrMember, LeaderRecoveryState, SecurityProtocol};
use whimbrel_state::controller::election::PartitionState;

use super::super::continuity::Continuity;
use super::*;

fn text(json: &[u8]) -> &str {
    std::str::from_utf8(json).unwrap_or("not UTF-8")
}

#[test]
fn registration_is_that_of_kafka() {
    let endpoint = |listener: &str, protocol, host: &str, port| Endpoint {
        listener: listener.into(),
        protocol,
        host: host.into(),
        port,
    };
    let endpoints = [
        endpoint("EXTERNAL", SecurityProtocol::Ssl, "::1", 9093),
        endpoint("PLAINTEXT", SecurityProtocol::Plaintext, "h1", 9092),
    ];
    let json = BrokerNode::new(&endpoints, Some("r1"), 1_729_500_000_000).encode();
    assert_eq!(
        text(&json),
        r#"{"version":5,"host":"h1","port":9092,"jmx_port":-1,"timestamp":"1729500000000","endpoints":["EXTERNAL://[::1]:9093","PLAINTEXT://h1:9092"],"listener_security_protocol_map":{"EXTERNAL":"SSL","PLAINTEXT":"PLAINTEXT"},"rack":"r1","features":{}}"#
    );
    let broker = BrokerNode::decode(&json).and_then(|node| node.into_broker(NodeId(1), BrokerEpoch(7)));
    assert_eq!(broker.map(|broker| broker.endpoints).ok(), Some(endpoints.to_vec()));
}

#[test]
fn registration_as_a_kafka_broker_writes_it_is_read() {
    let json = br#"{"features":{},"listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"},"endpoints":["PLAINTEXT://localhost:9092"],"jmx_port":-1,"port":9092,"host":"localhost","version":5,"timestamp":"1732330000000"}"#;
    let broker = BrokerNode::decode(json).and_then(|node| node.into_broker(NodeId(3), BrokerEpoch(12)));
    let broker = broker.map(|broker| (broker.rack.clone(), broker.endpoints[0].port));
    assert_eq!(broker.ok(), Some((None, 9092)));
    let unnamed = br#"{"endpoints":["OTHER://h:1"],"listener_security_protocol_map":{},"jmx_port":-1,"version":5}"#;
    assert!(BrokerNode::decode(unnamed).and_then(|node| node.into_broker(NodeId(3), BrokerEpoch(1))).is_err());
}

#[test]
fn topic_is_that_of_kafka() {
    let partition = |index, replicas: &[i32], adding: &[i32]| PartitionAssignment {
        index,
        replicas: replicas.iter().copied().map(NodeId).collect(),
        adding_replicas: adding.iter().copied().map(NodeId).collect(),
        removing_replicas: Vec::new(),
    };
    let partitions: Vec<_> = (0..11).map(|i| partition(i, &[1, 2], if i == 10 { &[2] } else { &[] })).collect();
    let json = TopicNode::new(Uuid([1; 16]), &partitions[..1]).encode();
    assert_eq!(
        text(&json),
        r#"{"version":3,"topic_id":"AQEBAQEBAQEBAQEBAQEBAQ","partitions":{"0":[1,2]},"adding_replicas":{},"removing_replicas":{}}"#
    );
    let json = TopicNode::new(Uuid([1; 16]), &partitions).encode();
    let topic = TopicNode::decode(&json).and_then(|node| node.into_assignment("t".into()));
    assert_eq!(topic.map(|topic| topic.partitions).ok(), Some(partitions));
}

#[test]
fn old_topics_have_no_id() {
    let json = br#"{"version":1,"partitions":{"1":[2],"0":[1]}}"#;
    let topic = TopicNode::decode(json).and_then(|node| node.into_assignment("t".into()));
    assert_eq!(topic.map(|topic| (topic.id, topic.partitions.len())).ok(), Some((Uuid::ZERO, 2)));
}

#[test]
fn partition_state_is_that_of_kafka() {
    let mut state = PartitionState {
        leader: NodeId(1),
        leader_epoch: LeaderEpoch(0),
        isr: [1, 2].map(|id| IsrMember { broker: NodeId(id), epoch: BrokerEpoch::NONE }).to_vec(),
        eligible_leaders: Vec::new(),
        last_leader: NodeId::NONE,
        recovery_state: LeaderRecoveryState::Recovered,
        controller_epoch: ControllerEpoch(5),
        partition_epoch: PartitionEpoch(3),
    };
    let json = PartitionStateNode::new(&state).encode();
    assert_eq!(text(&json), r#"{"version":1,"leader":1,"leader_epoch":0,"controller_epoch":5,"isr":[1,2]}"#);
    assert_eq!(PartitionStateNode::decode(&json, 3).ok().as_ref(), Some(&state));
    state.recovery_state = LeaderRecoveryState::Recovering;
    let json = PartitionStateNode::new(&state).encode();
    assert!(text(&json).ends_with(r#","leader_recovery_state":1}"#));
    assert_eq!(PartitionStateNode::decode(&json, 3).ok(), Some(state));
}

#[test]
fn what_kafka_does_not_know_of_a_partition_stands_behind_its_own_fields() {
    let member = |broker, epoch| IsrMember { broker: NodeId(broker), epoch: BrokerEpoch(epoch) };
    let state = PartitionState {
        leader: NodeId::NONE,
        leader_epoch: LeaderEpoch(4),
        isr: vec![member(1, 77)],
        eligible_leaders: vec![member(2, 78), member(3, 79)],
        last_leader: NodeId(1),
        recovery_state: LeaderRecoveryState::Recovered,
        controller_epoch: ControllerEpoch(5),
        partition_epoch: PartitionEpoch(3),
    };
    let json = PartitionStateNode::new(&state).encode();
    assert_eq!(
        text(&json),
        r#"{"version":1,"leader":-1,"leader_epoch":4,"controller_epoch":5,"isr":[1],"isr_broker_epochs":[77],"eligible_leaders":[2,3],"eligible_leader_broker_epochs":[78,79],"last_leader":1}"#
    );
    assert_eq!(PartitionStateNode::decode(&json, 3).ok(), Some(state));
    let torn = br#"{"version":1,"leader":1,"leader_epoch":0,"controller_epoch":1,"isr":[1,2],"isr_broker_epochs":[7]}"#;
    let isr = PartitionStateNode::decode(torn, 0).map(|state| state.isr);
    assert_eq!(isr.ok(), Some(vec![member(1, -1), member(2, -1)]));
}

#[test]
fn a_claim_of_continuity_reaches_back_no_further_than_it_may() {
    let node = |intact, running| {
        let continuity = Continuity { intact_since: intact, running_since: running };
        let json = BrokerNode::new(&[], None, 0).continuing(continuity).encode();
        let broker = BrokerNode::decode(&json).and_then(|node| node.into_broker(NodeId(1), BrokerEpoch(9)));
        broker.map(|broker| (broker.intact_since.0, broker.running_since.0)).ok()
    };
    assert_eq!(node(None, None), Some((9, 9)));
    assert_eq!(node(Some(BrokerEpoch(4)), None), Some((4, 9)));
    assert_eq!(node(Some(BrokerEpoch(4)), Some(BrokerEpoch(6))), Some((4, 6)));
    assert_eq!(node(None, Some(BrokerEpoch(6))), Some((6, 6)));
    assert_eq!(node(Some(BrokerEpoch(12)), Some(BrokerEpoch(11))), Some((9, 9)));
}

#[test]
fn cluster_nodes_are_those_of_kafka() {
    let controller = ControllerNode::new(NodeId(1), 1_729_500_000_000);
    assert_eq!(
        text(&controller.encode()),
        r#"{"version":2,"brokerid":1,"timestamp":"1729500000000","kraftControllerEpoch":-1}"#
    );
    assert!(ControllerNode::decode(br#"{"version":1,"brokerid":4}"#).is_ok_and(|node| node.id() == NodeId(4)));
    assert!(ControllerNode::decode(br#"{"brokerid":3000,"kraftControllerEpoch":7}"#).is_ok_and(|node| node.is_kraft()));
    assert_eq!(text(&encode_cluster_id("abc")), r#"{"version":"1","id":"abc"}"#);
    assert_eq!(decode_cluster_id(br#"{"id":"abc"}"#).ok().as_deref(), Some("abc"));
    assert_eq!(text(&FeatureNode::enabled().encode()), r#"{"version":2,"status":1,"features":{}}"#);
}

#[test]
fn producer_id_blocks_are_those_of_kafka() {
    let block = ProducerIdBlockNode::new(NodeId(1), 0, 999);
    assert_eq!(text(&block.encode()), r#"{"version":1,"broker":1,"block_start":"0","block_end":"999"}"#);
    assert_eq!(ProducerIdBlockNode::decode(&block.encode()).ok(), Some(Some(block)));
    assert_eq!(ProducerIdBlockNode::decode(b"").ok(), Some(None));
}

#[test]
fn configuration_is_that_of_kafka() {
    let config = BTreeMap::from([("retention.ms".to_owned(), "1000".to_owned())]);
    let json = ConfigNode::new(&config).encode();
    assert_eq!(text(&json), r#"{"version":1,"config":{"retention.ms":"1000"}}"#);
    assert_eq!(ConfigNode::decode(&json).ok(), Some(config));
    assert_eq!(ConfigNode::decode(b"").ok(), Some(BTreeMap::new()));
    assert_eq!(text(&config_change("topics/foo")), r#"{"version":2,"entity_path":"topics/foo"}"#);
    let old = br#"{"version":1,"entity_type":"topics","entity_name":"x"}"#;
    assert_eq!(decode_config_change(old).ok().as_deref(), Some("topics/x"));
    assert!(decode_config_change(br#"{"version":3,"entity_path":"topics/x"}"#).is_err());
}

/// Node for node what Kafka 3.9.2 wrote on ZooKeeper, with a topic, configurations and a producer.
#[test]
fn nodes_that_kafka_wrote_are_read() {
    let topic = br#"{"partitions":{"0":[1],"1":[1]},"topic_id":"VaA-X3cgTfCPjWvJNxy7Rw","adding_replicas":{},"removing_replicas":{},"version":3}"#;
    let topic = TopicNode::decode(topic).and_then(|node| node.into_assignment("words".into()));
    let topic = topic.map(|topic| (topic.id.to_string(), topic.partitions.len()));
    assert_eq!(topic.ok(), Some(("VaA-X3cgTfCPjWvJNxy7Rw".to_owned(), 2)));

    let state = br#"{"controller_epoch":1,"leader":1,"version":1,"leader_epoch":0,"isr":[1]}"#;
    let state =
        PartitionStateNode::decode(state, 0).map(|state| (state.leader, state.isr_brokers(), state.controller_epoch));
    assert_eq!(state.ok(), Some((NodeId(1), vec![NodeId(1)], ControllerEpoch(1))));

    let config = br#"{"version":1,"config":{"retention.ms":"5000","segment.bytes":"2000000"}}"#;
    assert_eq!(ConfigNode::decode(config).map(|config| config.len()).ok(), Some(2));
    let change = br#"{"version":2,"entity_path":"brokers/<default>"}"#;
    assert_eq!(decode_config_change(change).ok().as_deref(), Some("brokers/<default>"));

    let feature = FeatureNode::decode(br#"{"features":{},"version":2,"status":1}"#);
    assert!(feature.is_ok_and(|node| node.to_enable().is_none() && node.finalized().is_empty()));
    let block = ProducerIdBlockNode::decode(br#"{"version":1,"broker":1,"block_start":"0","block_end":"999"}"#);
    assert_eq!(block.ok(), Some(Some(ProducerIdBlockNode::new(NodeId(1), 0, 999))));
}
