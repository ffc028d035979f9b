//! A few replicas of one partition, and a controller that does what it is told: the world of the text scenarios.
//!
//! What a scenario is about is decided by the machines; the world moves their messages, and notes with `!!` when a
//! promise is broken: a leader lacks what was committed, an offset is committed twice with different records, or a
//! follower does not come to an end.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use whimbrel_model::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, PartitionEpoch};

use super::super::follower::{FollowerLog, truncation, truncation_before_following};
use super::super::rules::{self, Rule};
use super::super::{Altered, Assignment, CommittedState, FollowerFetch, Limits, Proposal, Replica};

/// Rounds of fetching after which a follower should have caught up in any scenario.
const ROUNDS_MAX: usize = 10;

/// The log of one replica: records with their epochs, and where epochs begin.
#[derive(Default, Clone)]
struct Log {
    records: Vec<(i32, String)>,
    epochs: Vec<(i32, i64)>,
    high_watermark: i64,
}

impl Log {
    fn end(&self) -> i64 {
        self.records.len() as i64
    }

    fn begin_epoch(&mut self, epoch: i32, start: i64) {
        if self.epochs.last().is_some_and(|(known, _)| *known == epoch) {
            return;
        }
        self.epochs.retain(|(known, at)| *known < epoch && *at < start);
        self.epochs.push((epoch, start));
    }

    fn push(&mut self, epoch: i32, value: &str) {
        self.begin_epoch(epoch, self.end());
        self.records.push((epoch, value.to_owned()));
    }

    fn cut(&mut self, to: i64) {
        self.records.truncate(to as usize);
        self.epochs.retain(|(_, start)| *start < to);
        self.high_watermark = self.high_watermark.min(to);
    }
}

impl FollowerLog for Log {
    fn end_of(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let above = self.epochs.partition_point(|(known, _)| *known <= epoch.0);
        match self.epochs.get(above) {
            Some((_, next)) => {
                let floor = above.checked_sub(1).map_or(epoch.0, |i| self.epochs[i].0);
                Some((LeaderEpoch(floor), Offset(*next)))
            }
            None => self.epochs.last().filter(|(last, _)| *last == epoch.0).map(|_| (epoch, Offset(self.end()))),
        }
    }

    fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.last().map(|(epoch, _)| LeaderEpoch(*epoch))
    }

    fn log_end(&self) -> Offset {
        Offset(self.end())
    }

    fn high_watermark(&self) -> Offset {
        Offset(self.high_watermark)
    }
}

struct Node {
    machine: Replica,
    log: Log,
    /// Its registration.
    incarnation: i64,
    is_alive: bool,
}

/// A fetch on its way to the leader.
#[derive(Clone)]
struct Ask {
    leader: i32,
    epoch: LeaderEpoch,
    offset: i64,
    last_fetched: Option<LeaderEpoch>,
    incarnation: i64,
}

/// The answer on its way back.
#[derive(Clone)]
enum Answer {
    Records { records: Vec<(i32, String)>, high_watermark: i64 },
    Diverging(LeaderEpoch, Offset),
    Failed(ErrorCode),
}

/// What the controller holds.
#[derive(Default)]
struct Committed {
    leader: i32,
    leader_epoch: i32,
    partition_epoch: i32,
    isr: Vec<i32>,
}

pub(super) struct World {
    nodes: BTreeMap<i32, Node>,
    state: Committed,
    now_ms: i64,
    lag_max_ms: i64,
    min_isr: usize,
    asks: BTreeMap<i32, Ask>,
    late: BTreeMap<i32, Ask>,
    answers: BTreeMap<i32, (Ask, Answer)>,
    proposals: VecDeque<(i32, Proposal)>,
    replies: VecDeque<(i32, u64, Result<CommittedState, ErrorCode>)>,
    /// What some leader's high watermark has covered, by offset.
    committed: BTreeMap<i64, String>,
    pub output: String,
}

/// Runs a block of commands in a world of its own and returns what it says.
pub(super) fn run(commands: &str) -> String {
    let mut world = World {
        nodes: BTreeMap::new(),
        state: Committed { leader: -1, leader_epoch: -1, partition_epoch: -1, isr: Vec::new() },
        now_ms: 0,
        lag_max_ms: 10_000,
        min_isr: 1,
        asks: BTreeMap::new(),
        late: BTreeMap::new(),
        answers: BTreeMap::new(),
        proposals: VecDeque::new(),
        replies: VecDeque::new(),
        committed: BTreeMap::new(),
        output: String::new(),
    };
    for line in commands.lines().filter(|line| !line.starts_with('#')) {
        world.command(line);
    }
    world.output
}

fn numbers(text: &str) -> Vec<i32> {
    text.split(',').map(|number| number.parse().expect("a broker")).collect()
}

impl World {
    fn command(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let option = |key: &str| words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let node = || words[1].parse::<i32>().expect("a broker");
        match words[0] {
            "replicas" => {
                for id in numbers(words[1]) {
                    let machine = Replica::new(NodeId(id));
                    let node = Node { machine, log: Log::default(), incarnation: 1, is_alive: true };
                    self.nodes.insert(id, node);
                }
                self.min_isr = option("min-isr").map_or(1, |text| text.parse().expect("a number"));
            }
            "elect" => self.elect(node(), option("isr").map(numbers)),
            "elect-clean" => self.elect_clean(),
            "tell" => words[1..].iter().for_each(|id| self.tell(id.parse().expect("a broker"))),
            "append" => self.append(node(), &words[2..]),
            "ask" => self.ask(node()),
            "serve" => self.serve(node()),
            "delay" => {
                let ask = self.asks.remove(&node()).expect("a fetch under way");
                self.late.insert(node(), ask);
            }
            "serve-late" => {
                let ask = self.late.remove(&node()).expect("a late fetch");
                self.asks.insert(node(), ask);
                self.serve(node());
            }
            "take" => self.take(node()),
            "fetch" => words[1..].iter().for_each(|id| self.fetch(id.parse().expect("a broker"))),
            "catch-up" => self.catch_up(node()),
            "advance" => self.now_ms += words[1].trim_end_matches('s').parse::<i64>().expect("seconds") * 1000,
            "look-for-laggards" => self.look_for_laggards(node()),
            "controller" => self.controller(),
            "reply" => self.reply(),
            "lose-reply" => self.lose_reply(),
            "repeat" => self.repeat(),
            "crash" => self.crash(node(), option("keeps").map(|text| text.parse().expect("a number"))),
            "return" => self.come_back(node()),
            "logs" => self.logs(),
            other => panic!("unknown command {other}"),
        }
    }

    fn say(&mut self, text: impl AsRef<str>) {
        writeln!(self.output, "{}", text.as_ref()).expect("writing to a string");
    }

    fn node(&mut self, id: i32) -> &mut Node {
        self.nodes.get_mut(&id).expect("a broker of the scenario")
    }

    /// Runs `with` with what node `id` knows of the moment.
    fn with<T>(&mut self, id: i32, with: impl FnOnce(&mut Node, &Limits<'_>) -> T) -> T {
        let alive: Vec<i32> = self.nodes.iter().filter(|(_, node)| node.is_alive).map(|(id, _)| *id).collect();
        let is_eligible = |node: NodeId| alive.contains(&node.0);
        let limits = Limits {
            now_ms: self.now_ms,
            lag_max_ms: self.lag_max_ms,
            min_isr: self.min_isr,
            is_eligible: &is_eligible,
        };
        with(self.nodes.get_mut(&id).expect("a broker of the scenario"), &limits)
    }

    fn elect(&mut self, leader: i32, isr: Option<Vec<i32>>) {
        self.state.leader = leader;
        self.state.leader_epoch += 1;
        self.state.partition_epoch += 1;
        if let Some(isr) = isr {
            self.state.isr = isr;
        }
    }

    /// The first live member of the in-sync set leads from now on, and hears of it.
    fn elect_clean(&mut self) {
        let member = self.state.isr.iter().copied().find(|id| self.nodes[id].is_alive);
        let Some(leader) = member else { return self.say("nobody can lead") };
        let alive = self.state.isr.iter().copied().filter(|id| self.nodes[id].is_alive).collect();
        self.elect(leader, Some(alive));
        self.say(format!("{leader} is elected"));
        self.tell(leader);
    }

    fn tell(&mut self, id: i32) {
        let assignment = Assignment {
            leader: NodeId(self.state.leader),
            leader_epoch: LeaderEpoch(self.state.leader_epoch),
            partition_epoch: PartitionEpoch(self.state.partition_epoch),
            isr: self.state.isr.iter().copied().map(NodeId).collect(),
            replicas: self.nodes.keys().copied().map(NodeId).collect(),
        };
        let (epoch, now_ms) = (self.state.leader_epoch, self.now_ms);
        let node = self.node(id);
        let end = node.log.end();
        node.machine.assign(now_ms, &assignment, Offset(end));
        if node.machine.is_leader() {
            node.log.begin_epoch(epoch, end);
            self.check_leader(id);
            self.move_high_watermark(id);
        } else if let Some(to) = truncation_before_following(&self.node(id).log) {
            self.node(id).log.cut(to.0);
            self.say(format!("{id} cuts to {to}"));
        }
    }

    /// A leader that was elected in order has everything that was ever committed.
    fn check_leader(&mut self, id: i32) {
        let lost: Vec<String> = self
            .committed
            .iter()
            .filter(|(offset, value)| {
                let log = &self.nodes[&id].log;
                log.records.get(**offset as usize).is_none_or(|(_, record)| record != *value)
            })
            .map(|(_, value)| value.clone())
            .collect();
        if !lost.is_empty() {
            self.say(format!("!! leader {id} lacks what was committed: {}", lost.join(" ")));
        }
    }

    fn append(&mut self, id: i32, values: &[&str]) {
        let node = self.node(id);
        let Ok(epoch) = node.machine.check_leader(None) else { return self.say(format!("{id} does not lead")) };
        for value in values {
            node.log.push(epoch.0, value);
        }
        self.move_high_watermark(id);
    }

    fn move_high_watermark(&mut self, id: i32) {
        let to = self.with(id, |node, limits| {
            let end = Offset(node.log.end());
            node.machine.lead().and_then(|leader| leader.high_watermark(limits, end))
        });
        let node = self.node(id);
        let Some(to) = to.filter(|to| node.log.high_watermark < to.0) else { return };
        let before = std::mem::replace(&mut node.log.high_watermark, to.0);
        let records: Vec<String> = node.log.records.iter().map(|(_, value)| value.clone()).collect();
        self.say(format!("{id} commits up to {to}"));
        for offset in before..to.0 {
            let value = records[offset as usize].clone();
            match self.committed.insert(offset, value.clone()) {
                Some(known) if known != value => {
                    self.say(format!("!! {offset} was committed as {known}, now as {value}"));
                }
                _ => {}
            }
        }
    }

    fn ask(&mut self, id: i32) {
        let node = self.node(id);
        let ask = Ask {
            leader: node.machine.leader().0,
            epoch: node.machine.leader_epoch(),
            offset: node.log.end(),
            last_fetched: node.log.latest_epoch(),
            incarnation: node.incarnation,
        };
        self.asks.insert(id, ask);
    }

    fn serve(&mut self, id: i32) {
        let ask = self.asks.remove(&id).expect("a fetch under way");
        if !self.node(ask.leader).is_alive {
            return self.say(format!("{} is gone", ask.leader));
        }
        let answer = self.answer(id, &ask);
        if let Answer::Failed(code) = &answer {
            self.say(format!("{} answers {id}: {}", ask.leader, code.name()));
        }
        self.answers.insert(id, (ask, answer));
    }

    fn answer(&mut self, id: i32, ask: &Ask) -> Answer {
        let leader = self.node(ask.leader);
        if let Err(error) = leader.machine.check_leader(Some(ask.epoch)) {
            return Answer::Failed(match error {
                super::super::LeadershipError::NotLeader { .. } => ErrorCode::NotLeaderOrFollower,
                super::super::LeadershipError::Fenced { .. } => ErrorCode::FencedLeaderEpoch,
                super::super::LeadershipError::Unknown { .. } => ErrorCode::UnknownLeaderEpoch,
            });
        }
        if let Some(last) = ask.last_fetched {
            match leader.log.end_of(last) {
                None => return Answer::Failed(ErrorCode::OffsetOutOfRange),
                Some((epoch, end)) if epoch < last || end.0 < ask.offset => return Answer::Diverging(epoch, end),
                Some(_) => {}
            }
        }
        let fetch = FollowerFetch {
            follower: NodeId(id),
            incarnation: BrokerEpoch(ask.incarnation),
            offset: Offset(ask.offset),
            log_start: Offset(0),
            leader_end: Offset(leader.log.end()),
        };
        let taken = self.with(ask.leader, |node, limits| {
            let high_watermark = node.log.high_watermark();
            node.machine.lead_mut().map(|leader| leader.fetched(limits, &fetch, high_watermark))
        });
        match taken {
            Some(Err(_)) | None => return Answer::Failed(ErrorCode::NotLeaderOrFollower),
            Some(Ok(proposal)) => self.propose(ask.leader, proposal),
        }
        self.move_high_watermark(ask.leader);
        let log = &self.node(ask.leader).log;
        let records = log.records.get(ask.offset as usize..).unwrap_or_default().to_vec();
        Answer::Records { records, high_watermark: log.high_watermark }
    }

    fn take(&mut self, id: i32) {
        let (ask, answer) = self.answers.remove(&id).expect("an answer under way");
        let node = self.node(id);
        if node.machine.followed_in(ask.epoch).is_none() || node.log.end() != ask.offset {
            return self.say(format!("{id} drops the answer"));
        }
        match answer {
            Answer::Records { records, high_watermark } => {
                for (epoch, value) in &records {
                    node.log.push(*epoch, value);
                }
                node.log.high_watermark = node.log.high_watermark.max(high_watermark.min(node.log.end()));
            }
            Answer::Diverging(epoch, end) => {
                let to = truncation(&node.log, (epoch, end), Offset(ask.offset));
                node.log.cut(to.0);
                self.say(format!("{id} cuts to {to}"));
            }
            Answer::Failed(_) => {}
        }
    }

    fn fetch(&mut self, id: i32) {
        self.ask(id);
        self.serve(id);
        if self.answers.contains_key(&id) {
            self.take(id);
        }
    }

    fn catch_up(&mut self, id: i32) {
        for _ in 0..ROUNDS_MAX {
            self.fetch(id);
            let leader = self.node(id).machine.leader().0;
            let records = self.node(leader).log.records.clone();
            if records == self.node(id).log.records {
                // Once more, so that the leader knows.
                return self.fetch(id);
            }
        }
        self.say(format!("!! {id} does not come to an end"));
    }

    fn look_for_laggards(&mut self, id: i32) {
        let proposal = self.with(id, |node, limits| {
            let end = Offset(node.log.end());
            node.machine.lead_mut().and_then(|leader| leader.look_for_laggards(limits, end))
        });
        self.propose(id, proposal);
        self.move_high_watermark(id);
    }

    fn propose(&mut self, id: i32, proposal: Option<Proposal>) {
        let Some(proposal) = proposal else { return };
        let isr: Vec<String> = proposal.isr.iter().map(|(node, _)| node.to_string()).collect();
        self.say(format!("{id} asks for isr={}", isr.join(",")));
        self.proposals.push_back((id, proposal));
    }

    /// The controller takes the oldest proposal, as `AlterPartition` is taken.
    fn controller(&mut self) {
        let (id, proposal) = self.proposals.pop_front().expect("a proposal under way");
        let outcome = self.alter(id, &proposal);
        let text = match &outcome {
            Ok(state) => format!("isr={}", state.isr.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
            Err(code) => code.name().to_owned(),
        };
        self.say(format!("controller: {text}"));
        self.replies.push_back((id, proposal.ticket, outcome));
    }

    fn alter(&mut self, id: i32, proposal: &Proposal) -> Result<CommittedState, ErrorCode> {
        if proposal.leader_epoch.0 < self.state.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        let isr: Vec<i32> = proposal.isr.iter().map(|(node, _)| node.0).collect();
        if isr != self.state.isr {
            if proposal.partition_epoch.0 < self.state.partition_epoch {
                return Err(ErrorCode::InvalidUpdateVersion);
            }
            let is_eligible = |(node, epoch): &(NodeId, BrokerEpoch)| {
                let node = &self.nodes[&node.0];
                let is_same = epoch.0 == -1 || epoch.0 == node.incarnation || !rules::holds(Rule::Incarnation);
                node.is_alive && is_same
            };
            if !proposal.isr.iter().all(is_eligible) {
                return Err(ErrorCode::IneligibleReplica);
            }
            self.state.leader = id;
            self.state.isr = isr;
            self.state.partition_epoch += 1;
        }
        Ok(CommittedState {
            leader_epoch: LeaderEpoch(self.state.leader_epoch),
            partition_epoch: PartitionEpoch(self.state.partition_epoch),
            isr: self.state.isr.iter().copied().map(NodeId).collect(),
        })
    }

    fn reply(&mut self) {
        let (id, ticket, outcome) = self.replies.pop_front().expect("a reply under way");
        let altered = match self.node(id).machine.lead_mut() {
            Some(leader) => leader.altered(ticket, outcome.as_ref().map_err(|code| *code)),
            None => Altered::Ignored,
        };
        match altered {
            Altered::Again(proposal) => self.proposals.push_back((id, proposal)),
            Altered::Waiting => self.say(format!("{id} waits for the controller")),
            Altered::Reverted => self.say(format!("{id} keeps its isr")),
            Altered::Ignored => self.say(format!("{id} ignores the reply")),
            Altered::Committed => {}
        }
        self.move_high_watermark(id);
    }

    /// The sender hears nothing and asks again.
    fn lose_reply(&mut self) {
        let (id, ticket, _) = self.replies.pop_front().expect("a reply under way");
        self.replies.push_back((id, ticket, Err(ErrorCode::NetworkException)));
        self.reply();
    }

    /// The newest reply comes a second time, later.
    fn repeat(&mut self) {
        let reply = self.replies.back().cloned().expect("a reply under way");
        self.replies.push_back(reply);
    }

    fn crash(&mut self, id: i32, keeps: Option<i64>) {
        let node = self.node(id);
        node.is_alive = false;
        if let Some(keeps) = keeps {
            node.log.cut(keeps);
        }
    }

    fn come_back(&mut self, id: i32) {
        let node = self.node(id);
        node.is_alive = true;
        node.incarnation += 1;
        node.machine = Replica::new(NodeId(id));
    }

    fn logs(&mut self) {
        let lines: Vec<String> = self
            .nodes
            .iter()
            .map(|(id, node)| {
                let records: Vec<String> =
                    node.log.records.iter().map(|(epoch, value)| format!("{value}@{epoch}")).collect();
                format!("{id}: [{}] hw={}", records.join(" "), node.log.high_watermark)
            })
            .collect();
        lines.iter().for_each(|line| self.say(line));
    }
}
