//! Scenarios: inputs go in, the actions come out as lines of text.

mod scenarios;
mod steps;
mod world;

use whimbrel_model::{
    BrokerEpoch, ControllerEpoch, ErrorCode, LeaderEpoch, NodeId, PartitionEpoch, TopicPartition, Uuid,
};

use super::assignment::{Candidate, PlacementError, PlacementStart, place};
use super::control::{
    Endpoint, IsrMember, LeaderAndIsrPartition, LeaderAndIsrResponse, LeaderAndIsrTopicResult, PartitionResult,
    SecurityProtocol, StopReplicaResponse,
};
use super::election::PartitionState;
use super::{
    Action, Broker, Controller, ControllerOptions, DefaultSettings, Input, PartitionAssignment, Snapshot,
    TopicAssignment, TopicSettings, Write, Written,
};

fn broker(id: i32, epoch: i64) -> Broker {
    let endpoint = Endpoint {
        listener: "PLAINTEXT".into(),
        protocol: SecurityProtocol::Plaintext,
        host: format!("h{id}").into(),
        port: 9092,
    };
    let epoch = BrokerEpoch(epoch);
    Broker { id: NodeId(id), epoch, endpoints: vec![endpoint], rack: None, intact_since: epoch, running_since: epoch }
}

fn topic(name: &str, partitions: &[&[i32]]) -> TopicAssignment {
    let partition = |(index, replicas): (usize, &&[i32])| PartitionAssignment {
        index: index as i32,
        replicas: replicas.iter().copied().map(NodeId).collect(),
        adding_replicas: Vec::new(),
        removing_replicas: Vec::new(),
    };
    TopicAssignment {
        name: name.into(),
        id: Uuid([7; 16]),
        partitions: partitions.iter().enumerate().map(partition).collect(),
        settings: TopicSettings::default(),
    }
}

fn members(ids: &[i32]) -> Vec<IsrMember> {
    ids.iter().map(|&id| IsrMember { broker: NodeId(id), epoch: BrokerEpoch(10) }).collect()
}

fn partition(topic: &str, index: i32) -> TopicPartition {
    TopicPartition::new(topic, index)
}

fn ids(nodes: &[NodeId]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn state_text(state: &PartitionState) -> String {
    let recovering = if state.recovery_state.code() == 1 { " recovering" } else { "" };
    format!(
        "leader={} epoch={} isr={} by={} at={}{recovering}",
        state.leader,
        state.leader_epoch,
        ids(&state.isr_brokers()),
        state.controller_epoch,
        state.partition_epoch
    )
}

fn role_text(topic: &str, role: &LeaderAndIsrPartition) -> String {
    let is_new = if role.is_new { " new" } else { "" };
    format!("{topic}-{} leader={} epoch={} isr={}{is_new}", role.index, role.leader, role.leader_epoch, ids(&role.isr))
}

fn lines(actions: &[Action]) -> Vec<String> {
    let mut lines = Vec::new();
    for action in actions {
        match action {
            Action::OpenChannel(broker) => lines.push(format!("open {}", broker.id)),
            Action::MoveChannel(broker) => lines.push(format!("move {}", broker.id)),
            Action::CloseChannel(id) => lines.push(format!("close {id}")),
            Action::Write(writes) => lines.extend(writes.iter().map(write_text)),
            Action::LeaderAndIsr(to, request) => {
                for topic in &request.topics {
                    lines.extend(topic.partitions.iter().map(|p| format!("{to}<L&I {}", role_text(&topic.name, p))));
                }
            }
            Action::UpdateMetadata(to, request) => {
                let live = request.live_brokers.iter().map(|b| b.id).collect::<Vec<_>>();
                lines.push(format!("{to}<UM live={}", ids(&live)));
                for topic in request.topics.iter() {
                    lines.extend(topic.partitions.iter().map(|p| {
                        format!("  {}-{} leader={} offline={}", topic.name, p.index, p.leader, ids(&p.offline_replicas))
                    }));
                }
            }
            Action::Answer { id, response } => lines.push(format!("answer {} {response:?}", id.0)),
            Action::StopReplica(to, request) => {
                for topic in &request.topics {
                    lines.extend(topic.partitions.iter().map(|p| {
                        format!("{to}<SR {}-{} epoch={} delete={}", topic.name, p.index, p.leader_epoch, p.delete)
                    }));
                }
            }
        }
    }
    lines
}

fn write_text(write: &Write) -> String {
    match write {
        Write::CreatePartition { partition, state } => format!("create {partition} {}", state_text(state)),
        Write::SetState { partition, state } => format!("set {partition} {}", state_text(state)),
        Write::DeleteTopic { topic, .. } => format!("delete {topic}"),
        Write::SetAssignment { topic, assignment, .. } => format!(
            "assign {topic}-{} replicas={} adding={} removing={}",
            assignment.index,
            ids(&assignment.replicas),
            ids(&assignment.adding_replicas),
            ids(&assignment.removing_replicas)
        ),
        Write::KeepReassignments(kept) => format!("keep-reassignments {}", kept.len()),
        Write::ForgetPreferredElection => "forget-preferred-election".into(),
        Write::ForgetDeletion { topic } => format!("forget-deletion {topic}"),
    }
}

/// A controller whose writes succeed when `commit` says so.
struct Scenario {
    controller: Controller,
    pending: Vec<Write>,
}

impl Scenario {
    fn start(snapshot: Snapshot) -> (Self, Vec<String>) {
        let options = ControllerOptions {
            id: NodeId(1),
            epoch: ControllerEpoch(5),
            control_listener: "PLAINTEXT".into(),
            defaults: DefaultSettings::default(),
            leader_balance: None,
            delete_topics: true,
        };
        let mut actions = Vec::new();
        let controller = Controller::start(options, snapshot, &mut actions);
        let mut scenario = Self { controller, pending: Vec::new() };
        let lines = scenario.take(actions);
        (scenario, lines)
    }

    fn handle(&mut self, input: Input) -> Vec<String> {
        let mut actions = Vec::new();
        self.controller.handle(input, &mut actions);
        self.take(actions)
    }

    fn take(&mut self, actions: Vec<Action>) -> Vec<String> {
        let lines = lines(&actions);
        for action in actions {
            if let Action::Write(writes) = action {
                self.pending.extend(writes);
            }
        }
        lines
    }

    /// Every write in flight takes effect.
    fn commit(&mut self) -> Vec<String> {
        let written = self.pending.drain(..).filter_map(|write| match write {
            Write::CreatePartition { partition, state } => Some(Written::State { partition, state }),
            Write::SetState { partition, mut state } => {
                state.partition_epoch = PartitionEpoch(state.partition_epoch.0 + 1);
                Some(Written::State { partition, state })
            }
            Write::DeleteTopic { topic, id } => Some(Written::TopicDeleted { topic, id }),
            Write::SetAssignment { topic, assignment, .. } => {
                let partition = TopicPartition { topic, partition: assignment.index };
                Some(Written::Assignment { partition, assignment })
            }
            Write::ForgetDeletion { .. } | Write::ForgetPreferredElection | Write::KeepReassignments(_) => None,
        });
        let written = written.collect();
        self.handle(Input::Written(written))
    }

    /// A controller with these live brokers and one topic `t`, all committed.
    fn running(brokers: &[i32], partitions: &[&[i32]]) -> Self {
        let brokers = brokers.iter().map(|&id| broker(id, 10)).collect();
        let (mut scenario, _) = Self::start(Snapshot { brokers, ..Snapshot::default() });
        scenario.handle(Input::TopicsChanged(vec![topic("t", partitions)]));
        scenario.commit();
        scenario
    }
}

#[test]
fn brokers_know_each_other_before_the_first_role() {
    let state = PartitionState {
        leader: NodeId(1),
        leader_epoch: LeaderEpoch(3),
        isr: members(&[1]),
        eligible_leaders: Vec::new(),
        last_leader: NodeId::NONE,
        recovery_state: super::control::LeaderRecoveryState::Recovered,
        controller_epoch: ControllerEpoch(2),
        partition_epoch: PartitionEpoch(9),
    };
    let snapshot = Snapshot {
        brokers: vec![broker(1, 10)],
        topics: vec![topic("t", &[&[1], &[1]])],
        states: vec![(partition("t", 0), state)],
        ..Snapshot::default()
    };
    let (_, lines) = Scenario::start(snapshot);
    assert_eq!(
        lines,
        [
            "open 1",
            "1<UM live=1",
            "create t-1 leader=1 epoch=0 isr=1 by=5 at=0",
            "1<L&I t-0 leader=1 epoch=3 isr=1",
            "1<UM live=1",
            "  t-0 leader=1 offline=",
        ]
    );
}

#[test]
fn a_new_topic_is_told_only_after_it_is_written() {
    let (mut scenario, _) =
        Scenario::start(Snapshot { brokers: vec![broker(1, 10), broker(2, 11)], ..Snapshot::default() });
    let lines = scenario.handle(Input::TopicsChanged(vec![topic("t", &[&[2, 1]])]));
    assert_eq!(lines, ["create t-0 leader=2 epoch=0 isr=2,1 by=5 at=0"]);
    assert_eq!(
        scenario.commit(),
        [
            "1<L&I t-0 leader=2 epoch=0 isr=2,1 new",
            "2<L&I t-0 leader=2 epoch=0 isr=2,1 new",
            "1<UM live=1,2",
            "  t-0 leader=2 offline=",
            "2<UM live=1,2",
            "  t-0 leader=2 offline=",
        ]
    );
    assert!(scenario.controller.serves_topic("t"));
}

#[test]
fn a_partition_without_a_live_replica_waits_for_one() {
    let (mut scenario, _) = Scenario::start(Snapshot { brokers: vec![broker(1, 10)], ..Snapshot::default() });
    assert!(scenario.handle(Input::TopicsChanged(vec![topic("t", &[&[2]])])).is_empty());
    let lines = scenario.handle(Input::Brokers(vec![broker(1, 10), broker(2, 20)]));
    assert!(lines.contains(&"create t-0 leader=2 epoch=0 isr=2 by=5 at=0".to_string()), "{lines:?}");
}

#[test]
fn everybody_hears_of_a_broker_at_other_endpoints_and_nothing_else_changes() {
    let mut scenario = Scenario::running(&[1, 2], &[&[1, 2]]);
    let mut moved = broker(2, 10);
    moved.endpoints[0].port = 9192;
    let lines = scenario.handle(Input::Brokers(vec![broker(1, 10), moved.clone()]));
    assert_eq!(lines, ["move 2", "1<UM live=1,2", "2<UM live=1,2"]);
    assert!(scenario.handle(Input::Brokers(vec![broker(1, 10), moved])).is_empty(), "that is known by now");
}

#[test]
fn a_lost_leader_is_replaced_and_a_lost_follower_leaves_the_isr() {
    let mut scenario = Scenario::running(&[1, 2, 3], &[&[1, 2], &[2, 1], &[2, 3]]);
    let lines = scenario.handle(Input::Brokers(vec![broker(2, 10), broker(3, 10)]));
    let writes: Vec<_> = lines.iter().filter(|line| line.starts_with("set")).collect();
    assert_eq!(writes, ["set t-0 leader=2 epoch=1 isr=2 by=5 at=0", "set t-1 leader=2 epoch=1 isr=2 by=5 at=0",]);
    assert_eq!(lines.first().map(String::as_str), Some("close 1"));
    let told = scenario.commit();
    assert!(told.contains(&"2<L&I t-0 leader=2 epoch=1 isr=2".to_string()), "{told:?}");
    assert!(told.contains(&"  t-0 leader=2 offline=1".to_string()), "{told:?}");
}

#[test]
fn brokers_lost_together_cost_one_write_and_keep_the_whole_isr() {
    let mut scenario = Scenario::running(&[1, 2, 3], &[&[2, 3]]);
    let lines = scenario.handle(Input::Brokers(vec![broker(1, 10)]));
    let writes: Vec<_> = lines.iter().filter(|line| line.starts_with("set")).collect();
    assert_eq!(writes, ["set t-0 leader=-1 epoch=1 isr=2,3 by=5 at=0"]);
    scenario.commit();
    // Whoever of the two returns first with all that it had may lead.
    scenario.handle(Input::Brokers(vec![broker(1, 10), Broker { intact_since: BrokerEpoch(10), ..broker(3, 30) }]));
    let state = scenario.pending.iter().map(write_text).collect::<Vec<_>>();
    assert_eq!(state, ["set t-0 leader=3 epoch=2 isr=3 by=5 at=1"]);
}

#[test]
fn an_unclean_leader_is_elected_only_where_it_is_allowed() {
    let mut scenario = Scenario::running(&[1, 2], &[&[1, 2]]);
    scenario.handle(Input::Brokers(vec![broker(1, 10)]));
    scenario.commit();
    scenario.handle(Input::Brokers(vec![broker(2, 20)]));
    assert_eq!(
        scenario.pending.iter().map(write_text).collect::<Vec<_>>(),
        ["set t-0 leader=-1 epoch=2 isr=1 by=5 at=1"]
    );
    scenario.commit();
    let settings = TopicSettings { unclean_leader_election: Some(true), ..TopicSettings::default() };
    let lines = scenario.handle(Input::TopicSettings { topic: "t".into(), settings });
    assert_eq!(lines, ["set t-0 leader=2 epoch=3 isr=2 by=5 at=2 recovering"]);
}

#[test]
fn a_bounced_leader_leads_again_only_in_a_new_epoch() {
    let mut scenario = Scenario::running(&[1], &[&[1]]);
    let lines = scenario.handle(Input::Brokers(vec![broker(1, 99)]));
    assert_eq!(
        lines,
        [
            "close 1",
            "open 1",
            "1<UM live=1",
            "set t-0 leader=1 epoch=1 isr=1 by=5 at=0 recovering",
            "1<UM live=1",
            "  t-0 leader=1 offline=",
        ]
    );
    assert_eq!(scenario.commit().first().map(String::as_str), Some("1<L&I t-0 leader=1 epoch=1 isr=1"));
}

#[test]
fn a_lost_race_takes_over_the_state_that_won() {
    let mut scenario = Scenario::running(&[1, 2], &[&[1, 2]]);
    scenario.handle(Input::Brokers(vec![broker(1, 10)]));
    scenario.pending.clear();
    let won = PartitionState {
        leader: NodeId(1),
        leader_epoch: LeaderEpoch(0),
        isr: members(&[1, 2]),
        eligible_leaders: Vec::new(),
        last_leader: NodeId::NONE,
        recovery_state: super::control::LeaderRecoveryState::Recovered,
        controller_epoch: ControllerEpoch(5),
        partition_epoch: PartitionEpoch(4),
    };
    let conflict = Written::Conflict { partition: partition("t", 0), current: Some(won) };
    let lines = scenario.handle(Input::Written(vec![conflict]));
    assert_eq!(lines.first().map(String::as_str), Some("set t-0 leader=1 epoch=1 isr=1 by=5 at=4"));
    assert!(!lines.iter().any(|line| line.contains("L&I")), "a state that is about to change is not told: {lines:?}");
    let told = scenario.commit();
    assert_eq!(told.first().map(String::as_str), Some("1<L&I t-0 leader=1 epoch=1 isr=1"));
}

#[test]
fn a_replica_on_a_failed_directory_is_offline() {
    let mut scenario = Scenario::running(&[1, 2], &[&[1, 2]]);
    let answer = |error| LeaderAndIsrResponse {
        error: ErrorCode::None,
        topics: vec![LeaderAndIsrTopicResult {
            name: "t".into(),
            id: Uuid([7; 16]),
            partitions: vec![PartitionResult { index: 0, error }],
        }],
    };
    let failed = Input::LeaderAndIsrDone { broker: NodeId(1), response: answer(ErrorCode::KafkaStorageError) };
    let lines = scenario.handle(failed);
    assert_eq!(lines, ["set t-0 leader=2 epoch=1 isr=2 by=5 at=0"]);
    let lines = scenario.commit();
    assert!(lines.contains(&"  t-0 leader=2 offline=1".to_string()), "{lines:?}");
}

#[test]
fn deletion_erases_nothing_before_every_replica_is_gone() {
    let mut scenario = Scenario::running(&[1, 2], &[&[1, 2]]);
    let lines = scenario.handle(Input::DeletionsRequested(vec!["t".into(), "unknown".into()]));
    assert_eq!(
        lines,
        [
            "forget-deletion unknown",
            "1<UM live=1,2",
            "  t-0 leader=-2 offline=",
            "2<UM live=1,2",
            "  t-0 leader=-2 offline=",
            "1<SR t-0 epoch=-2 delete=true",
            "2<SR t-0 epoch=-2 delete=true",
        ]
    );
    assert!(!scenario.controller.serves_topic("t"));
    let done = |id| Input::StopReplicaDone {
        broker: NodeId(id),
        deleted: vec![partition("t", 0)],
        response: StopReplicaResponse::default(),
    };
    assert!(scenario.handle(done(1)).is_empty());
    assert_eq!(scenario.handle(done(2)), ["delete t"]);
    scenario.commit();
    assert!(scenario.controller.partition_state(&partition("t", 0)).is_none());
}

#[test]
fn a_topic_created_again_is_not_the_one_that_was_deleted() {
    let mut scenario = Scenario::running(&[1], &[&[1]]);
    scenario.handle(Input::DeletionsRequested(vec!["t".into()]));
    scenario.handle(Input::StopReplicaDone {
        broker: NodeId(1),
        deleted: vec![partition("t", 0)],
        response: StopReplicaResponse::default(),
    });
    // The new topic is seen before the result of the write that removed the old one.
    let again = TopicAssignment { id: Uuid([8; 16]), ..topic("t", &[&[1]]) };
    let lines = scenario.handle(Input::TopicsChanged(vec![again]));
    assert_eq!(lines.first().map(String::as_str), Some("create t-0 leader=1 epoch=0 isr=1 by=5 at=0"));
    scenario.commit();
    assert!(scenario.controller.serves_topic("t"));
    assert!(scenario.controller.partition_state(&partition("t", 0)).is_some());
}

#[test]
fn deletion_waits_for_a_replica_that_is_away() {
    let mut scenario = Scenario::running(&[1, 2], &[&[1, 2]]);
    scenario.handle(Input::Brokers(vec![broker(1, 10)]));
    scenario.commit();
    let lines = scenario.handle(Input::DeletionsRequested(vec!["t".into()]));
    assert!(!lines.iter().any(|line| line.contains("SR")), "{lines:?}");
    let lines = scenario.handle(Input::Brokers(vec![broker(1, 10), broker(2, 20)]));
    assert!(lines.contains(&"2<SR t-0 epoch=-2 delete=true".to_string()), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("L&I")), "{lines:?}");
}

#[test]
fn partitions_added_to_a_topic_are_created() {
    let mut scenario = Scenario::running(&[1], &[&[1]]);
    let lines = scenario.handle(Input::TopicsChanged(vec![topic("t", &[&[1], &[1]])]));
    assert_eq!(lines, ["create t-1 leader=1 epoch=0 isr=1 by=5 at=0"]);
}

fn candidates(racks: &[(i32, Option<&str>)]) -> Vec<Candidate> {
    racks.iter().map(|&(id, rack)| Candidate { id: NodeId(id), rack: rack.map(str::to_owned) }).collect()
}

fn placed(
    brokers: &[Candidate],
    first: usize,
    count: usize,
    replicas: usize,
    index: usize,
    shift: usize,
) -> Vec<String> {
    let placed = place(brokers, first, count, replicas, PlacementStart { index, shift }).unwrap_or_default();
    placed.iter().map(|replicas| ids(replicas)).collect()
}

#[test]
fn placement_is_that_of_kafka() {
    // From the comment of Kafka's AdminUtils: five brokers, ten partitions, three replicas.
    let five = candidates(&[(0, None), (1, None), (2, None), (3, None), (4, None)]);
    assert_eq!(
        placed(&five, 0, 10, 3, 0, 0),
        ["0,1,2", "1,2,3", "2,3,4", "3,4,0", "4,0,1", "0,2,3", "1,3,4", "2,4,0", "3,0,1", "4,1,2"]
    );
    assert_eq!(placed(&candidates(&[(7, None)]), 3, 2, 1, 0, 0), ["7", "7"]);
}

#[test]
fn placement_spreads_over_racks() {
    let six = [(0, "r1"), (1, "r3"), (2, "r3"), (3, "r2"), (4, "r2"), (5, "r1")];
    let six = candidates(&six.map(|(id, rack)| (id, Some(rack))));
    // From Kafka's RackAwareModeTest: the order is 0, 3, 1, 5, 4, 2.
    assert_eq!(placed(&six, 0, 7, 3, 0, 0), ["0,3,1", "3,1,5", "1,5,4", "5,4,2", "4,2,0", "2,0,3", "0,4,2"]);
}

#[test]
fn placement_refuses_what_cannot_be() {
    let start = PlacementStart { index: 0, shift: 0 };
    let one = candidates(&[(1, None)]);
    assert_eq!(place(&one, 0, 1, 2, start), Err(PlacementError::TooFewBrokers { replicas: 2, brokers: 1 }));
    assert_eq!(place(&one, 0, 0, 1, start), Err(PlacementError::NoPartitions));
    assert_eq!(place(&one, 0, 1, 0, start), Err(PlacementError::NoReplicas));
}
