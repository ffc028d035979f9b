//! A cluster around the machine, in text: coordination with its versions and its fence, brokers with their incarnations,
//! and who has every committed record. What must never happen is said with `!!`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use whimbrel_model::{
    BrokerEpoch, ControllerEpoch, ErrorCode, LeaderEpoch, NodeId, PartitionEpoch, TopicPartition, Uuid,
};

use super::super::control::*;
use super::super::election::PartitionState;
use super::super::*;
use super::{broker, ids, partition};

/// What is in coordination.
#[derive(Debug, Clone, Default)]
pub(super) struct Znodes {
    pub(super) epoch: i32,
    pub(super) topics: BTreeMap<Arc<str>, TopicAssignment>,
    pub(super) states: BTreeMap<TopicPartition, PartitionState>,
    pub(super) deletions: BTreeSet<Arc<str>>,
    pub(super) reassignments: Vec<(TopicPartition, Vec<NodeId>)>,
    pub(super) preferred: Option<Vec<TopicPartition>>,
}

/// One controller: the one in office, or one that does not know yet that it is not.
struct Office {
    controller: Controller,
    epoch: i32,
    pending: Vec<Write>,
}

#[derive(Default)]
pub(super) struct World {
    pub(super) znodes: Znodes,
    offices: Vec<Office>,
    brokers: BTreeMap<NodeId, Broker>,
    /// The logs that exist, whether or not their broker is alive.
    pub(super) logs: BTreeSet<(NodeId, TopicPartition)>,
    /// The brokers that have every committed record of a partition.
    holders: BTreeMap<TopicPartition, BTreeSet<NodeId>>,
    /// Who was told to lead in which epoch, since which incarnation.
    leaders: BTreeMap<(TopicPartition, LeaderEpoch), NodeId>,
    told: BTreeMap<NodeId, ControllerEpoch>,
    requests: u64,
    /// Requests to brokers that wait for an answer.
    stops: Vec<(NodeId, Vec<TopicPartition>)>,
    pub(super) output: String,
}

struct Command<'a> {
    words: Vec<&'a str>,
}

impl<'a> Command<'a> {
    fn word(&self, index: usize) -> &'a str {
        self.words.get(index).copied().unwrap_or_default()
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    fn number(&self, key: &str, default: i64) -> i64 {
        self.get(key).map_or(default, |text| text.parse().expect("a number"))
    }
}

fn node(text: &str) -> NodeId {
    NodeId(text.parse().expect("a broker"))
}

fn nodes(text: &str) -> Vec<NodeId> {
    text.split(',').filter(|part| !part.is_empty()).map(node).collect()
}

fn name(text: &str) -> TopicPartition {
    let (topic, index) = text.rsplit_once('-').expect("topic-index");
    partition(topic, index.parse().expect("an index"))
}

/// `id@epoch`, `id@epoch/intact-since` or `id@epoch/intact-since/running-since`.
fn registration(text: &str) -> Broker {
    let (id, epochs) = text.split_once('@').unwrap_or((text, "10"));
    let mut epochs = epochs.split('/').map(|epoch| epoch.parse().expect("an epoch"));
    let mut registered = broker(node(id).0, epochs.next().expect("an epoch"));
    registered.intact_since = epochs.next().map_or(registered.epoch, BrokerEpoch);
    registered.running_since = epochs.next().map_or(registered.epoch, BrokerEpoch);
    registered
}

fn members(text: &str) -> Vec<IsrMember> {
    let member = |text: &str| {
        let (id, epoch) = text.split_once('@').unwrap_or((text, "-1"));
        IsrMember { broker: node(id), epoch: BrokerEpoch(epoch.parse().expect("an epoch")) }
    };
    text.split(',').map(member).collect()
}

pub(super) fn state_text(state: &PartitionState) -> String {
    let members = |members: &[IsrMember]| {
        members.iter().map(|one| format!("{}@{}", one.broker, one.epoch)).collect::<Vec<_>>().join(",")
    };
    let mut text = format!("leader={} epoch={} isr={}", state.leader, state.leader_epoch, members(&state.isr));
    if !state.eligible_leaders.is_empty() {
        let _ = write!(text, " eligible={}", members(&state.eligible_leaders));
    }
    if state.recovery_state == LeaderRecoveryState::Recovering {
        text.push_str(" recovering");
    }
    text
}

impl World {
    pub(super) fn run(&mut self, line: &str) {
        let command = Command { words: line.split_whitespace().collect() };
        match command.word(0) {
            "elected" => self.elect(),
            "crash" => drop(self.offices.pop()),
            "brokers" => {
                let all = command.words.iter().skip(1).map(|text| registration(text)).collect();
                self.register(all);
            }
            "powerloss" => {
                let lost = node(command.word(1));
                for holders in self.holders.values_mut() {
                    holders.remove(&lost);
                }
            }
            "topic" => self.create(&command),
            "partitions" => self.add_partition(&command),
            "settings" => self.settings(&command),
            "records" => self.commit_records(&name(command.word(1))),
            "commit" => self.commit(0, command.word(1)),
            "zombie" => self.commit(1, "commit"),
            "alter" => self.alter(&command),
            "suspect" => {
                let broker = node(command.word(1));
                let epoch = self.brokers.get(&broker).map_or(BrokerEpoch::NONE, |known| known.epoch);
                self.feed(Input::BrokerSuspected { broker, epoch });
            }
            "clear" => self.feed(Input::BrokerCleared { broker: node(command.word(1)) }),
            "shutdown" => {
                let broker = node(command.word(1));
                let broker_epoch = self.brokers.get(&broker).map_or(BrokerEpoch::NONE, |known| known.epoch);
                self.ask(ControllerRequest::ControlledShutdown(ControlledShutdownRequest { broker, broker_epoch }));
            }
            "elect" => self.elect_leaders(&command),
            "reassign" => {
                let replicas = (command.word(2) != "cancel").then(|| nodes(command.word(2)));
                let partitions = vec![Reassignment { partition: name(command.word(1)), replicas }];
                self.ask(ControllerRequest::AlterReassignments(AlterReassignmentsRequest { partitions }));
            }
            "reassignments" => {
                self.ask(ControllerRequest::ListReassignments(ListReassignmentsRequest::default()));
            }
            "legacy-reassign" => {
                self.znodes.reassignments = vec![(name(command.word(1)), nodes(command.word(2)))];
                self.feed(Input::ReassignmentsRequested(self.znodes.reassignments.clone()));
            }
            "legacy-elect" => {
                self.znodes.preferred = Some(vec![name(command.word(1))]);
                self.feed(Input::PreferredElectionRequested(vec![name(command.word(1))]));
            }
            "delete" => {
                self.znodes.deletions.insert(command.word(1).into());
                self.feed(Input::DeletionsRequested(self.znodes.deletions.iter().cloned().collect()));
            }
            "waiting" => {
                let waiting = self.offices.first().map(|office| office.controller.waiting_deletions());
                for one in waiting.unwrap_or_default() {
                    let brokers: Vec<NodeId> = one.brokers.into_iter().collect();
                    self.say(&format!("{} waits for {}", one.topic, ids(&brokers)));
                }
            }
            "stopped" => self.answer_stops(command.get("error").is_some()),
            "disk-failed" => self.fail_disk(node(command.word(1)), &name(command.word(2))),
            "tick" => self.feed(Input::Tick { now: Duration::from_secs(command.word(1).parse().expect("seconds")) }),
            "state" => {
                let text = self.znodes.states.get(&name(command.word(1))).map_or("none".into(), state_text);
                self.say(&text);
            }
            "assigned" => self.show_assignment(&name(command.word(1))),
            other => panic!("no such command: {other}"),
        }
    }

    fn options(epoch: i32) -> ControllerOptions {
        ControllerOptions {
            id: NodeId(1),
            epoch: ControllerEpoch(epoch),
            control_listener: "PLAINTEXT".into(),
            defaults: DefaultSettings::default(),
            delete_topics: true,
            leader_balance: Some(LeaderBalance { interval: Duration::from_secs(300), percentage: 10 }),
        }
    }

    /// A new controller takes office; one that is there does not know of it.
    pub(super) fn elect(&mut self) {
        self.znodes.epoch += 1;
        let snapshot = Snapshot {
            brokers: self.brokers.values().cloned().collect(),
            topics: self.znodes.topics.values().cloned().collect(),
            states: self.znodes.states.iter().map(|(name, state)| (name.clone(), state.clone())).collect(),
            deletions: self.znodes.deletions.iter().cloned().collect(),
            reassignments: self.znodes.reassignments.clone(),
            preferred_elections: self.znodes.preferred.clone(),
        };
        let mut actions = Vec::new();
        // Requests to brokers end with the term that made them.
        self.stops.clear();
        let controller = Controller::start(Self::options(self.znodes.epoch), snapshot, &mut actions);
        self.offices.insert(0, Office { controller, epoch: self.znodes.epoch, pending: Vec::new() });
        self.perform(actions);
    }

    pub(super) fn crash(&mut self) {
        self.offices.clear();
    }

    pub(super) fn has_controller(&self) -> bool {
        !self.offices.is_empty()
    }

    pub(super) fn pending(&self) -> usize {
        self.offices.first().map_or(0, |office| office.pending.len())
    }

    pub(super) fn register(&mut self, all: Vec<Broker>) {
        self.brokers = all.iter().map(|one| (one.id, one.clone())).collect();
        let alive: BTreeSet<NodeId> = self.brokers.keys().copied().collect();
        self.stops.retain(|(id, _)| alive.contains(id));
        if self.has_controller() {
            self.feed(Input::Brokers(all));
        }
    }

    fn feed(&mut self, input: Input) {
        let Some(office) = self.offices.first_mut() else { return };
        let mut actions = Vec::new();
        office.controller.handle(input, &mut actions);
        self.perform(actions);
    }

    fn ask(&mut self, request: ControllerRequest) {
        self.requests += 1;
        self.feed(Input::Request { id: RequestId(self.requests), request });
    }

    fn create(&mut self, command: &Command<'_>) {
        let lists: Vec<Vec<i32>> = command
            .words
            .iter()
            .filter_map(|word| word.strip_prefix('[')?.strip_suffix(']'))
            .map(|list| nodes(list).into_iter().map(|node| node.0).collect())
            .collect();
        let lists: Vec<&[i32]> = lists.iter().map(Vec::as_slice).collect();
        let mut topic = super::topic(command.word(1), &lists);
        topic.id = Uuid([u8::try_from(self.znodes.topics.len() + 1).expect("few topics"); 16]);
        topic.settings = Self::settings_of(command);
        self.znodes.topics.insert(Arc::clone(&topic.name), topic.clone());
        self.feed(Input::TopicsChanged(vec![topic]));
    }

    fn add_partition(&mut self, command: &Command<'_>) {
        let Some(topic) = self.znodes.topics.get_mut(command.word(1)) else { return };
        let index = i32::try_from(topic.partitions.len()).expect("few partitions");
        let replicas = nodes(command.word(2));
        topic.partitions.push(PartitionAssignment {
            index,
            replicas,
            adding_replicas: Vec::new(),
            removing_replicas: Vec::new(),
        });
        let topic = topic.clone();
        self.feed(Input::TopicsChanged(vec![topic]));
    }

    fn settings_of(command: &Command<'_>) -> TopicSettings {
        TopicSettings {
            unclean_leader_election: command.get("unclean").map(|value| value == "true"),
            min_insync_replicas: command.get("min-isr").map(|value| value.parse().expect("a number")),
        }
    }

    fn settings(&mut self, command: &Command<'_>) {
        let settings = Self::settings_of(command);
        if let Some(topic) = self.znodes.topics.get_mut(command.word(1)) {
            topic.settings = settings;
        }
        self.feed(Input::TopicSettings { topic: command.word(1).into(), settings });
    }

    /// Records are committed: whoever is in the ISR has them, if that is large enough.
    fn commit_records(&mut self, name: &TopicPartition) {
        let Some(state) = self.znodes.states.get(name) else { return };
        let min = self.znodes.topics.get(&name.topic).and_then(|topic| topic.settings.min_insync_replicas).unwrap_or(1);
        if min <= state.isr.len() {
            self.holders.insert(name.clone(), state.isr_brokers().into_iter().collect());
        } else {
            self.say("below min.insync.replicas");
        }
    }

    /// The writes of an office reach coordination: of the present one (0), or of the one before (1).
    pub(super) fn commit(&mut self, office: usize, how: &str) {
        let Some(writer) = self.offices.get_mut(office) else { return };
        let (epoch, writes) = (writer.epoch, std::mem::take(&mut writer.pending));
        if epoch != self.znodes.epoch {
            self.say("fenced");
            self.offices.remove(office);
            return;
        }
        let written: Vec<Written> = writes.iter().filter_map(|write| self.apply(write)).collect();
        // A lost answer is found by reading what is there: a state of ours is as good as an answer.
        let again = if how == "lost" { writes } else { Vec::new() };
        let found = again.iter().filter_map(|write| self.find(write)).collect();
        self.feed(Input::Written(if how == "lost" { found } else { written }));
    }

    /// Does the next thing that would happen by itself: a write and its result, the answers of brokers, a follower that
    /// has caught up. False when there is nothing.
    pub(super) fn step(&mut self) -> bool {
        let Some(office) = self.offices.first_mut() else { return false };
        if !office.pending.is_empty() {
            let write = office.pending.remove(0);
            let written = self.apply(&write);
            self.feed(Input::Written(written.into_iter().collect()));
            return true;
        }
        if !self.stops.is_empty() {
            self.answer_stops(false);
            return true;
        }
        self.catch_up()
    }

    /// A live replica that is not in sync joins the ISR.
    fn catch_up(&mut self) -> bool {
        let joins = self.znodes.states.iter().find_map(|(name, state)| {
            let leader = self.brokers.get(&state.leader)?;
            let topic = self.znodes.topics.get(&name.topic)?;
            let assigned = topic.partitions.iter().find(|one| one.index == name.partition)?;
            let is_behind =
                |replica: &&NodeId| self.logs.contains(&(**replica, name.clone())) && !state.has_in_isr(**replica);
            let joiner = assigned.replicas.iter().filter(is_behind).find_map(|id| self.brokers.get(id))?;
            let isr: Vec<String> = state.isr.iter().map(|one| format!("{}@{}", one.broker, one.epoch)).collect();
            Some(format!(
                "alter {name} by={}@{} epoch={} at={} isr={},{}@{}",
                leader.id,
                leader.epoch,
                state.leader_epoch,
                state.partition_epoch,
                isr.join(","),
                joiner.id,
                joiner.epoch
            ))
        });
        let Some(command) = joins else { return false };
        self.run(&command);
        self.pending() != 0
    }

    /// Makes one pending write and keeps its result from the controller, as if it had died then.
    pub(super) fn commit_one_unheard(&mut self) {
        let Some(office) = self.offices.first_mut() else { return };
        if !office.pending.is_empty() {
            let write = office.pending.remove(0);
            self.apply(&write);
        }
    }

    fn apply(&mut self, write: &Write) -> Option<Written> {
        match write {
            Write::CreatePartition { partition, state } => {
                if let Some(current) = self.znodes.states.get(partition) {
                    return Some(Written::Conflict { partition: partition.clone(), current: Some(current.clone()) });
                }
                self.znodes.topics.get(&partition.topic)?;
                self.znodes.states.insert(partition.clone(), state.clone());
                self.holders.insert(partition.clone(), state.isr_brokers().into_iter().collect());
                Some(Written::State { partition: partition.clone(), state: state.clone() })
            }
            Write::SetState { partition, state } => {
                let current = self.znodes.states.get(partition).cloned();
                if current.as_ref().map(|current| current.partition_epoch) != Some(state.partition_epoch) {
                    return Some(Written::Conflict { partition: partition.clone(), current });
                }
                let next = PartitionEpoch(state.partition_epoch.0 + 1);
                let state = PartitionState { partition_epoch: next, ..state.clone() };
                // Whom a leader takes in has everything, as the incarnation that it saw.
                if current.is_some_and(|current| current.leader_epoch == state.leader_epoch) {
                    let is_seen = |one: &&IsrMember| {
                        self.brokers.get(&one.broker).is_some_and(|known| known.running_since <= one.epoch)
                    };
                    let seen = state.isr.iter().filter(is_seen).map(|one| one.broker);
                    self.holders.entry(partition.clone()).or_default().extend(seen);
                }
                self.znodes.states.insert(partition.clone(), state.clone());
                Some(Written::State { partition: partition.clone(), state })
            }
            Write::SetAssignment { topic, id, assignment } => {
                let partition = TopicPartition { topic: Arc::clone(topic), partition: assignment.index };
                let Some(known) = self.znodes.topics.get_mut(topic).filter(|known| known.id == *id) else {
                    return Some(Written::AssignmentLost { partition });
                };
                known.partitions.iter_mut().filter(|one| one.index == assignment.index).for_each(|one| {
                    one.clone_from(assignment);
                });
                Some(Written::Assignment { partition, assignment: assignment.clone() })
            }
            Write::DeleteTopic { topic, id } => {
                let left: Vec<_> = self.logs.iter().filter(|(_, name)| name.topic == *topic).collect();
                if !left.is_empty() {
                    let text = format!("!! {topic} is erased while {} of its logs are left", left.len());
                    self.say(&text);
                }
                self.znodes.topics.remove(topic);
                self.znodes.states.retain(|name, _| name.topic != *topic);
                self.znodes.deletions.remove(topic);
                Some(Written::TopicDeleted { topic: Arc::clone(topic), id: *id })
            }
            Write::ForgetDeletion { topic } => {
                self.znodes.deletions.remove(topic);
                None
            }
            Write::KeepReassignments(kept) => {
                self.znodes.reassignments.clone_from(kept);
                None
            }
            Write::ForgetPreferredElection => {
                self.znodes.preferred = None;
                None
            }
        }
    }

    /// What the driver finds when it reads after a lost answer.
    fn find(&self, write: &Write) -> Option<Written> {
        match write {
            Write::CreatePartition { partition, .. } | Write::SetState { partition, .. } => {
                let state = self.znodes.states.get(partition)?.clone();
                Some(Written::State { partition: partition.clone(), state })
            }
            Write::SetAssignment { topic, assignment, .. } => {
                let partition = TopicPartition { topic: Arc::clone(topic), partition: assignment.index };
                Some(Written::Assignment { partition, assignment: assignment.clone() })
            }
            Write::DeleteTopic { topic, id } => Some(Written::TopicDeleted { topic: Arc::clone(topic), id: *id }),
            _ => None,
        }
    }

    fn alter(&mut self, command: &Command<'_>) {
        let name = name(command.word(1));
        let sender = registration(command.get("by").expect("the sender"));
        let data = AlterPartitionData {
            index: name.partition,
            leader_epoch: LeaderEpoch(i32::try_from(command.number("epoch", 0)).expect("an epoch")),
            new_isr: members(command.get("isr").expect("an ISR")),
            recovery_state: LeaderRecoveryState::Recovered,
            partition_epoch: PartitionEpoch(i32::try_from(command.number("at", 0)).expect("an epoch")),
        };
        let topic = AlterPartitionTopic { name: name.topic, id: Uuid::ZERO, partitions: vec![data] };
        self.ask(ControllerRequest::AlterPartition(AlterPartitionRequest {
            broker: sender.id,
            broker_epoch: sender.epoch,
            topics: vec![topic],
        }));
    }

    fn elect_leaders(&mut self, command: &Command<'_>) {
        let kind = if command.word(1) == "unclean" { ElectionKind::Unclean } else { ElectionKind::Preferred };
        let partitions = (command.word(2) != "all").then(|| vec![name(command.word(2))]);
        self.ask(ControllerRequest::ElectLeaders(ElectLeadersRequest { kind, partitions }));
    }

    /// Every broker that was told to stop replicas answers.
    pub(super) fn answer_stops(&mut self, is_refused: bool) {
        for (broker, deleted) in std::mem::take(&mut self.stops) {
            let error = if is_refused { ErrorCode::KafkaStorageError } else { ErrorCode::None };
            if !is_refused {
                self.logs.retain(|(id, name)| *id != broker || !deleted.contains(name));
            }
            let response = StopReplicaResponse { error, topics: Vec::new() };
            self.feed(Input::StopReplicaDone { broker, deleted, response });
        }
    }

    fn fail_disk(&mut self, broker: NodeId, name: &TopicPartition) {
        let result = PartitionResult { index: name.partition, error: ErrorCode::KafkaStorageError };
        let id = self.znodes.topics.get(&name.topic).map_or(Uuid::ZERO, |topic| topic.id);
        let topics = vec![LeaderAndIsrTopicResult { name: "".into(), id, partitions: vec![result] }];
        let response = LeaderAndIsrResponse { error: ErrorCode::None, topics };
        self.feed(Input::LogDirFailed { broker });
        self.feed(Input::LeaderAndIsrDone { broker, response });
    }

    fn show_assignment(&mut self, name: &TopicPartition) {
        let topic = self.znodes.topics.get(&name.topic);
        let one = topic.and_then(|topic| topic.partitions.iter().find(|one| one.index == name.partition));
        let text = one.map_or("none".into(), |one| {
            let (replicas, adding) = (ids(&one.replicas), ids(&one.adding_replicas));
            format!("replicas={replicas} adding={adding} removing={}", ids(&one.removing_replicas))
        });
        self.say(&text);
    }

    fn perform(&mut self, actions: Vec<Action>) {
        let mut published: Vec<(String, Vec<NodeId>)> = Vec::new();
        for action in actions {
            match action {
                Action::OpenChannel(_) | Action::MoveChannel(_) | Action::CloseChannel(_) => {}
                Action::Write(writes) => {
                    for write in &writes {
                        self.say(&super::write_text(write));
                    }
                    if let Some(office) = self.offices.first_mut() {
                        office.pending.extend(writes);
                    }
                }
                Action::LeaderAndIsr(to, request) => self.tell(to, &request),
                Action::UpdateMetadata(to, request) => {
                    let text = update_text(&request);
                    match published.iter_mut().find(|(known, _)| *known == text) {
                        Some((_, receivers)) => receivers.push(to),
                        None => published.push((text, vec![to])),
                    }
                }
                Action::StopReplica(to, request) => self.stop(to, &request),
                Action::Answer { response, .. } => {
                    let text = answer_text(&response);
                    self.say(&text);
                }
            }
        }
        for (text, receivers) in published {
            self.say(&format!("{}<UM {text}", ids(&receivers)));
        }
    }

    fn tell(&mut self, to: NodeId, request: &LeaderAndIsrRequest) {
        if request.header.controller_epoch < self.told.get(&to).copied().unwrap_or(ControllerEpoch(0)) {
            return self.say(&format!("{to}<L&I of a controller that is over"));
        }
        self.told.insert(to, request.header.controller_epoch);
        for topic in &request.topics {
            for role in &topic.partitions {
                let name = TopicPartition { topic: Arc::clone(&topic.name), partition: role.index };
                let mut line = format!("{to}<L&I {}", super::role_text(&topic.name, role));
                let written = self.znodes.states.get(&name);
                if written.is_none_or(|state| state.partition_epoch < role.partition_epoch) {
                    line.push_str(" !! coordination does not hold this");
                }
                if role.replicas.contains(&to) {
                    self.logs.insert((to, name.clone()));
                }
                if role.leader == to {
                    let settings = self.znodes.topics.get(&name.topic).map(|topic| topic.settings);
                    let may_lack = settings.is_some_and(|settings| settings.unclean_leader_election == Some(true));
                    // As long as anybody has them, nobody without them may lead.
                    let lacks = |holders: &BTreeSet<NodeId>| !holders.is_empty() && !holders.contains(&to);
                    if !may_lack && self.holders.get(&name).is_some_and(lacks) {
                        line.push_str(" !! it lacks committed records");
                    }
                    let first = *self.leaders.entry((name, role.leader_epoch)).or_insert(to);
                    if first != to {
                        line.push_str(" !! another leads in this epoch");
                    }
                }
                self.say(&line);
            }
        }
    }

    fn stop(&mut self, to: NodeId, request: &StopReplicaRequest) {
        let mut deleted = Vec::new();
        for topic in &request.topics {
            for one in &topic.partitions {
                let kind = if one.delete { "delete" } else { "stop" };
                self.say(&format!("{to}<SR {kind} {}-{} epoch={}", topic.name, one.index, one.leader_epoch));
                if one.delete {
                    deleted.push(TopicPartition { topic: Arc::clone(&topic.name), partition: one.index });
                }
            }
        }
        if !deleted.is_empty() {
            self.stops.push((to, deleted));
        }
    }

    fn say(&mut self, line: &str) {
        self.output.push_str(line);
        self.output.push('\n');
    }
}

fn update_text(request: &UpdateMetadataRequest) -> String {
    let mut text = format!("live={}", ids(&request.live_brokers.iter().map(|one| one.id).collect::<Vec<_>>()));
    for topic in request.topics.iter() {
        for one in &topic.partitions {
            let _ = write!(text, " {}-{}:{}", topic.name, one.index, one.leader);
            if !one.offline_replicas.is_empty() {
                let _ = write!(text, "(offline {})", ids(&one.offline_replicas));
            }
        }
    }
    text
}

fn answer_text(response: &ControllerResponse) -> String {
    let outcomes = |outcomes: &[PartitionOutcome]| {
        let one = |one: &PartitionOutcome| format!("{}:{}", one.partition, one.error.name());
        outcomes.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    match response {
        ControllerResponse::AlterPartition(answer) => {
            let mut text = format!("= AlterPartition {}", answer.error.name());
            for topic in &answer.topics {
                for one in &topic.partitions {
                    let _ = match &one.result {
                        Ok(state) => write!(text, " isr={} at={}", ids(&state.isr), state.partition_epoch),
                        Err(error) => write!(text, " {error:?}"),
                    };
                }
            }
            text
        }
        ControllerResponse::ControlledShutdown(answer) => {
            let left = answer.remaining.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            format!("= ControlledShutdown {} remaining={left}", answer.error.name())
        }
        ControllerResponse::AlterReassignments(answer) => {
            format!("= AlterReassignments {} {}", answer.error.name(), outcomes(&answer.partitions))
        }
        ControllerResponse::ListReassignments(answer) => {
            let one = |one: &OngoingReassignment| {
                format!(
                    " {} replicas={} adding={} removing={}",
                    one.partition,
                    ids(&one.replicas),
                    ids(&one.adding_replicas),
                    ids(&one.removing_replicas)
                )
            };
            format!("= ListReassignments{}", answer.partitions.iter().map(one).collect::<String>())
        }
        ControllerResponse::ElectLeaders(answer) => {
            format!("= ElectLeaders {} {}", answer.error.name(), outcomes(&answer.partitions))
        }
    }
}
