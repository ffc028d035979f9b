//! Runs the text scenarios in `tests/scenarios`: commands, a line `----`, and what the group does.
//!
//! With `UPDATE_SCENARIOS=1` in the environment the expectations are rewritten; read the difference before you keep it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use whimbrel_model::{ErrorCode, Offset};

use super::*;
use crate::timer::TimerWheel;

struct World {
    group: Group,
    settings: Settings,
    elapsed: Duration,
    timers: TimerWheel<Timer>,
    stores: VecDeque<StoreTicket>,
    commits: VecDeque<Vec<TopicOffsets>>,
    log_end: i64,
    calls: u64,
    last_state: String,
    output: String,
}

/// `word key=value key=value`
struct Command<'a> {
    words: Vec<&'a str>,
}

impl<'a> Command<'a> {
    fn verb(&self) -> &'a str {
        self.words[0]
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    fn text(&self, key: &str) -> Option<Arc<str>> {
        self.get(key).map(Arc::from)
    }

    fn list(&self, key: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.get(key).unwrap_or_default().split(',').filter(|part| !part.is_empty())
    }

    fn pairs(&self, key: &str) -> Vec<(&'a str, &'a str)> {
        self.list(key).map(|pair| pair.split_once(':').unwrap_or((pair, ""))).collect()
    }

    fn number(&self, key: &str, default: i64) -> i64 {
        self.get(key).map_or(default, |text| text.parse().expect("a number"))
    }

    fn seconds(&self, key: &str, default: u64) -> Duration {
        self.get(key).map_or(Duration::from_secs(default), parse_seconds)
    }
}

fn parse_seconds(text: &str) -> Duration {
    Duration::from_secs_f64(text.strip_suffix('s').unwrap_or(text).parse().expect("seconds"))
}

impl World {
    fn new() -> Self {
        let now = Now { elapsed: Duration::ZERO, wall_ms: 0 };
        Self {
            group: Group::new("g".into(), now),
            settings: Settings { initial_rebalance_delay: Duration::ZERO, ..Settings::default() },
            elapsed: Duration::ZERO,
            timers: TimerWheel::default(),
            stores: VecDeque::new(),
            commits: VecDeque::new(),
            log_end: 0,
            calls: 0,
            last_state: "Empty gen=0".to_owned(),
            output: String::new(),
        }
    }

    fn now(&self) -> Now {
        Now { elapsed: self.elapsed, wall_ms: self.elapsed.as_millis() as i64 }
    }

    fn caller(&mut self) -> CallerId {
        self.calls += 1;
        CallerId(self.calls)
    }

    fn run(&mut self, line: &str) {
        let command = Command { words: line.split_whitespace().collect() };
        let mut effects = Vec::new();
        match command.verb() {
            "settings" => {
                self.settings.group_size_max = command.number("max-size", i64::from(i32::MAX)) as usize;
                self.settings.initial_rebalance_delay = command.seconds("initial-delay", 0);
            }
            "join" => self.join(&command, &mut effects),
            "sync" => self.sync(&command, &mut effects),
            "heartbeat" => {
                let generation = command.number("gen", i64::from(self.group.generation())) as i32;
                let (id, instance) = (command.get("member").unwrap_or(""), command.get("static"));
                let outcome = self.group.heartbeat(self.now(), id, instance, generation, &mut effects);
                self.say(outcome.map_or_else(ErrorCode::name, |()| "ok"));
            }
            "leave" => self.leave(&command, &mut effects),
            "commit" => self.commit(&command, &mut effects),
            "stored" => {
                let ticket = self.stores.pop_front().expect("something is being stored");
                let outcome = command.get("error").map_or(Ok(()), |name| Err(code_named(name)));
                self.group.stored(self.now(), ticket, outcome, &self.settings, &mut effects);
            }
            "written" => {
                let topics = self.commits.pop_front().expect("a commit is being written");
                self.group.commit_written(topics, Offset(self.log_end));
                self.log_end += 1;
            }
            "advance" => return self.advance(parse_seconds(command.words[1])),
            "failover" => self.fail_over(&mut effects),
            "unload" => self.group.unload(&mut effects),
            "describe" => self.describe(),
            "offsets" => self.offsets(),
            other => panic!("no such command: {other}"),
        }
        self.perform(effects);
    }

    fn join(&mut self, command: &Command<'_>, effects: &mut Vec<Effect>) {
        let version = command.number("v", 9);
        let instance_id = command.text("static");
        let metadata = |text: &str| subscription(&text.split('+').collect::<Vec<_>>());
        let protocols = command.get("protocols").unwrap_or("range:t").split(',').map(|pair| {
            let (name, topics) = pair.split_once(':').unwrap_or((pair, "t"));
            Protocol { name: name.into(), metadata: metadata(topics) }
        });
        let request = JoinRequest {
            member_id: command.text("member").unwrap_or_default(),
            fresh_member_id: command.text("fresh").unwrap_or_default(),
            requires_known_member_id: version >= 4 && instance_id.is_none(),
            instance_id,
            supports_skipping_assignment: version >= 9,
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            session_timeout: command.seconds("session", 10),
            rebalance_timeout: command.seconds("rebalance", 60),
            protocol_type: command.text("type").unwrap_or_else(|| "consumer".into()),
            protocols: if command.get("protocols") == Some("") { Vec::new() } else { protocols.collect() },
        };
        let caller = self.caller();
        self.group.join(self.now(), request, caller, &self.settings.clone(), effects);
    }

    fn sync(&mut self, command: &Command<'_>, effects: &mut Vec<Effect>) {
        let assignments = command.pairs("assign");
        let request = SyncRequest {
            member_id: command.text("member").unwrap_or_default(),
            instance_id: command.text("static"),
            generation: command.number("gen", i64::from(self.group.generation())) as i32,
            protocol_type: command.text("type"),
            protocol_name: command.text("protocol"),
            assignments: assignments
                .into_iter()
                .map(|(id, what)| (id.into(), bytes::Bytes::copy_from_slice(what.as_bytes())))
                .collect(),
        };
        let caller = self.caller();
        self.group.sync(self.now(), request, caller, effects);
    }

    fn leave(&mut self, command: &Command<'_>, effects: &mut Vec<Effect>) {
        let by_id = command.pairs("members").into_iter().map(|(id, instance)| LeavingMember {
            member_id: id.into(),
            instance_id: (!instance.is_empty()).then(|| instance.into()),
        });
        let by_instance =
            command.list("static").map(|id| LeavingMember { member_id: "".into(), instance_id: Some(id.into()) });
        let leaving: Vec<_> = by_id.chain(by_instance).collect();
        match self.group.leave(self.now(), &leaving, &self.settings.clone(), effects) {
            Ok(results) => self.say(&results.iter().map(|r| r.name()).collect::<Vec<_>>().join(" ")),
            Err(error) => self.say(error.name()),
        }
    }

    fn commit(&mut self, command: &Command<'_>, effects: &mut Vec<Effect>) {
        let generation = command.number("gen", -1) as i32;
        let (member_id, instance_id) = (command.get("member").unwrap_or(""), command.get("static"));
        let at = self.now().wall_ms;
        let topics: Vec<_> = command
            .pairs("offsets")
            .into_iter()
            .map(|(topic, value)| TopicOffsets {
                topic: topic.into(),
                partitions: vec![(0, offset(value.parse().expect("an offset"), at))],
            })
            .collect();
        let request = CommitRequest { member_id, instance_id, generation };
        match self.group.begin_commit(self.now(), request, &topics, effects) {
            Ok(()) => {
                self.commits.push_back(topics);
                self.say("accepted");
            }
            Err(error) => self.say(error.name()),
        }
    }

    /// A new coordinator starts from the last snapshot that was written, which here is the present one.
    fn fail_over(&mut self, effects: &mut Vec<Effect>) {
        let snapshot = self.group.snapshot(|member| member.assignment.clone());
        self.group = Group::restore("g".into(), snapshot, self.now());
        self.timers = TimerWheel::new(self.elapsed);
        self.group.resume(self.now(), &self.settings.clone(), effects);
    }

    fn advance(&mut self, by: Duration) {
        let until = self.elapsed + by;
        while let Some(at) = self.timers.next_deadline().filter(|at| *at <= until) {
            let mut due = Vec::new();
            self.elapsed = at.max(self.elapsed);
            self.timers.advance(self.elapsed, &mut due);
            for timer in due {
                let before = self.output.len();
                let mut effects = Vec::new();
                self.group.on_timer(self.now(), &timer, &self.settings.clone(), &mut effects);
                self.perform(effects);
                if self.output.len() > before {
                    let at = format!("at {:?}:\n", self.elapsed);
                    self.output.insert_str(before, &at);
                }
            }
        }
        self.elapsed = until;
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Schedule { at, timer } => {
                    self.timers.insert(at, timer);
                }
                Effect::AnswerJoin { caller, response } => self.say_join(caller, &response),
                Effect::AnswerSync { caller, response } => {
                    let what = if response.error.is_ok() {
                        format!("assignment={}", String::from_utf8_lossy(&response.assignment))
                    } else {
                        response.error.name().to_owned()
                    };
                    self.say(&format!("#{} sync: {what}", caller.0));
                }
                Effect::Store { snapshot, ticket } => {
                    let members = snapshot.members.iter().map(|m| {
                        let assignment = String::from_utf8_lossy(&m.assignment).into_owned();
                        format!("{}={assignment}", m.member_id)
                    });
                    let members = members.collect::<Vec<_>>().join(" ");
                    self.say(&format!("store gen={} [{members}]", snapshot.generation));
                    self.stores.push_back(ticket);
                }
            }
        }
        let state = format!("{} gen={}", self.group.state().name(), self.group.generation());
        if state != self.last_state {
            self.say(&format!("-> {state}"));
            self.last_state = state;
        }
    }

    fn say_join(&mut self, caller: CallerId, response: &JoinResponse) {
        let mut line = format!("#{} join:", caller.0);
        if response.error.is_ok() {
            let protocol = response.protocol_name.as_deref().unwrap_or("none");
            let _ = write!(line, " gen={} leader={} protocol={protocol}", response.generation, response.leader);
        } else {
            let _ = write!(line, " {}", response.error.name());
        }
        let _ = write!(line, " member={}", response.member_id);
        if response.skip_assignment {
            line.push_str(" skip-assignment");
        }
        if !response.members.is_empty() {
            let ids: Vec<_> = response.members.iter().map(|m| &*m.member_id).collect();
            let _ = write!(line, " members={}", ids.join(","));
        }
        self.say(&line);
    }

    fn describe(&mut self) {
        let description = self.group.describe();
        let state = description.state.name();
        self.say(&format!("{state} {} {}", description.protocol_type, description.protocol_name));
        for m in description.members {
            let instance = m.instance_id.as_deref().unwrap_or("-");
            let assignment = String::from_utf8_lossy(&m.assignment).into_owned();
            self.say(&format!("  {} {instance} {assignment}", m.member_id));
        }
    }

    fn offsets(&mut self) {
        let mut lines = Vec::new();
        for (topic, partitions) in self.group.committed_offsets(true) {
            for (partition, lookup) in partitions {
                let value = match lookup {
                    OffsetLookup::Committed(value) => value.offset.0.to_string(),
                    other => format!("{other:?}"),
                };
                lines.push(format!("{topic}-{partition} {value}"));
            }
        }
        lines.sort();
        if lines.is_empty() {
            lines.push("nothing".to_owned());
        }
        self.say(&lines.join("\n"));
    }

    fn say(&mut self, line: &str) {
        self.output.push_str(line);
        self.output.push('\n');
    }
}

fn code_named(name: &str) -> ErrorCode {
    (-1..200).map(ErrorCode::from_code).find(|code| code.name() == name).expect("an error code")
}

/// Runs one file and returns it with the actual expectations.
fn replay(text: &str) -> String {
    let mut result = String::new();
    let mut world = World::new();
    for block in text.split("\n\n") {
        let commands = block.split("----").next().unwrap_or_default().trim_end();
        if commands.trim().is_empty() {
            continue;
        }
        for line in commands.lines().filter(|line| !line.starts_with('#')) {
            world.run(line);
        }
        let output = std::mem::take(&mut world.output);
        let _ = write!(result, "{commands}\n----\n{output}\n");
    }
    format!("{}\n", result.trim_end())
}

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/group/tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn groups_behave_as_the_scenarios_say() {
    let update = std::env::var_os("UPDATE_SCENARIOS").is_some();
    let mut differing = Vec::new();
    for file in scenarios() {
        let expected = std::fs::read_to_string(&file).unwrap();
        let actual = replay(&expected);
        if actual != expected {
            if update {
                std::fs::write(&file, &actual).unwrap();
            }
            let first = actual.lines().zip(expected.lines()).find(|(a, e)| a != e);
            differing.push(format!("{}: (actual, expected) = {first:?}", file.display()));
        }
    }
    assert!(update || differing.is_empty(), "{}", differing.join("\n"));
}
