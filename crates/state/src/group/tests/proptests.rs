//! Random interleavings of honest and confused members, with time passing and writes that fail.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use whimbrel_model::ErrorCode;

use super::*;
use crate::timer::TimerWheel;

#[derive(Debug, Clone, Copy)]
enum Step {
    JoinNew { instance: Option<u8>, old_client: bool, protocols: u8 },
    Rejoin { who: usize, protocols: u8 },
    Sync { who: usize, stale: bool },
    Heartbeat { who: usize },
    Leave { who: usize },
    Stored { ok: bool },
    Commit { who: usize },
    Advance { ms: u64 },
    FailOver,
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..12usize;
    prop_oneof![
        4 => (prop::option::weighted(0.4, 0..3u8), any::<bool>(), 1..4u8)
            .prop_map(|(instance, old_client, protocols)| Step::JoinNew { instance, old_client, protocols }),
        6 => (who(), 1..4u8).prop_map(|(who, protocols)| Step::Rejoin { who, protocols }),
        6 => (who(), prop::bool::weighted(0.1)).prop_map(|(who, stale)| Step::Sync { who, stale }),
        4 => who().prop_map(|who| Step::Heartbeat { who }),
        1 => who().prop_map(|who| Step::Leave { who }),
        4 => prop::bool::weighted(0.8).prop_map(|ok| Step::Stored { ok }),
        2 => who().prop_map(|who| Step::Commit { who }),
        3 => (0..20_000u64).prop_map(|ms| Step::Advance { ms }),
        1 => Just(Step::FailOver),
    ]
}

/// What a client knows of itself.
#[derive(Debug, Clone)]
struct Client {
    id: Arc<str>,
    instance: Option<Arc<str>>,
    generation: i32,
}

struct World {
    group: Group,
    settings: Settings,
    elapsed: Duration,
    timers: TimerWheel<Timer>,
    stores: VecDeque<StoreTicket>,
    /// Calls without an answer, with the client that made them and the id it used.
    open: BTreeMap<CallerId, (usize, Arc<str>)>,
    calls: u64,
    clients: Vec<Client>,
    /// Members that were answered into each generation, and its leader.
    generations: BTreeMap<i32, (Arc<str>, Option<Arc<str>>)>,
}

impl World {
    fn new() -> Self {
        let initial_rebalance_delay = Duration::from_secs(3);
        Self {
            group: Group::new("g".into(), now(0)),
            settings: Settings { group_size_max: 6, initial_rebalance_delay, ..Settings::default() },
            elapsed: Duration::ZERO,
            timers: TimerWheel::default(),
            stores: VecDeque::new(),
            open: BTreeMap::new(),
            calls: 0,
            clients: Vec::new(),
            generations: BTreeMap::new(),
        }
    }

    fn now(&self) -> Now {
        Now { elapsed: self.elapsed, wall_ms: self.elapsed.as_millis() as i64 }
    }

    fn call(&mut self, client: usize) -> CallerId {
        self.calls += 1;
        self.open.insert(CallerId(self.calls), (client, self.clients[client].id.clone()));
        CallerId(self.calls)
    }

    fn join(&mut self, client: usize, protocols: u8, old_client: bool, effects: &mut Vec<Effect>) {
        let caller = self.call(client);
        let Client { id, instance, .. } = self.clients[client].clone();
        let names = [(1, "range"), (2, "sticky")].into_iter().filter(|(bit, _)| protocols & bit != 0);
        let request = JoinRequest {
            member_id: id,
            fresh_member_id: format!("m{}", caller.0).into(),
            requires_known_member_id: !old_client && instance.is_none(),
            instance_id: instance,
            supports_skipping_assignment: !old_client,
            client_id: "c".into(),
            client_host: "/h".into(),
            session_timeout: Duration::from_secs(10),
            rebalance_timeout: Duration::from_secs(30),
            protocol_type: "consumer".into(),
            protocols: names.map(|(_, n)| Protocol { name: n.into(), metadata: subscription(&["t"]) }).collect(),
        };
        self.group.join(self.now(), request, caller, &self.settings, effects);
    }

    fn step(&mut self, step: Step) {
        let mut effects = Vec::new();
        match step {
            Step::JoinNew { instance, old_client, protocols } => {
                let instance = instance.map(|i| format!("i{i}").into());
                self.clients.push(Client { id: "".into(), instance, generation: -1 });
                self.join(self.clients.len() - 1, protocols, old_client, &mut effects);
            }
            Step::Rejoin { who, protocols } if who < self.clients.len() => {
                self.join(who, protocols, false, &mut effects);
            }
            Step::Sync { who, stale } if who < self.clients.len() => {
                let client = self.clients[who].clone();
                let everybody = self.group.members.ids().into_iter();
                let request = SyncRequest {
                    member_id: client.id,
                    instance_id: client.instance,
                    generation: client.generation - i32::from(stale),
                    protocol_type: None,
                    protocol_name: None,
                    assignments: everybody.map(|id| (id.clone(), id.as_bytes().to_vec().into())).collect(),
                };
                let caller = self.call(who);
                self.group.sync(self.now(), request, caller, &mut effects);
            }
            Step::Heartbeat { who } if who < self.clients.len() => {
                let Client { id, instance, generation } = self.clients[who].clone();
                let _ = self.group.heartbeat(self.now(), &id, instance.as_deref(), generation, &mut effects);
            }
            Step::Leave { who } if who < self.clients.len() => {
                let Client { id, instance, .. } = self.clients[who].clone();
                let leaving = [LeavingMember { member_id: id, instance_id: instance }];
                self.group.leave(self.now(), &leaving, &self.settings, &mut effects).unwrap();
            }
            Step::Commit { who } if who < self.clients.len() => {
                let Client { id, instance, generation } = self.clients[who].clone();
                let request = CommitRequest { member_id: &id, instance_id: instance.as_deref(), generation };
                let topics = one("t", 0, offset(1, 0));
                if self.group.begin_commit(self.now(), request, &topics, &mut effects).is_ok() {
                    self.group.commit_written(topics, whimbrel_model::Offset(self.calls as i64));
                }
            }
            Step::Stored { ok } => {
                if let Some(ticket) = self.stores.pop_front() {
                    let outcome = if ok { Ok(()) } else { Err(ErrorCode::NotCoordinator) };
                    self.group.stored(self.now(), ticket, outcome, &self.settings, &mut effects);
                }
            }
            Step::Advance { ms } => return self.advance(Duration::from_millis(ms)),
            Step::FailOver => self.fail_over(&mut effects),
            _ => {}
        }
        self.perform(effects);
    }

    fn fail_over(&mut self, effects: &mut Vec<Effect>) {
        if !matches!(self.group.state(), GroupState::Stable | GroupState::Empty) || !self.stores.is_empty() {
            return;
        }
        let snapshot = self.group.snapshot(|member| member.assignment.clone());
        let mut answers = Vec::new();
        self.group.unload(&mut answers);
        self.perform(answers);
        assert!(self.open.is_empty(), "callers forgotten by unload: {:?}", self.open);
        self.group = Group::restore("g".into(), snapshot, self.now());
        self.timers = TimerWheel::new(self.elapsed);
        self.group.resume(self.now(), &self.settings, effects);
    }

    fn advance(&mut self, by: Duration) {
        let until = self.elapsed + by;
        while let Some(at) = self.timers.next_deadline().filter(|at| *at <= until) {
            let mut due = Vec::new();
            self.elapsed = at.max(self.elapsed);
            self.timers.advance(self.elapsed, &mut due);
            for timer in due {
                let mut effects = Vec::new();
                self.group.on_timer(self.now(), &timer, &self.settings, &mut effects);
                self.perform(effects);
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
                Effect::Store { snapshot, ticket } => {
                    if let Some(leader) = &snapshot.leader {
                        assert!(snapshot.members.iter().any(|m| m.member_id == *leader));
                    }
                    self.stores.push_back(ticket);
                }
                Effect::AnswerJoin { caller, response } => {
                    let (client, _) = self.open.remove(&caller).expect("each caller is answered once");
                    self.joined(client, &response);
                }
                Effect::AnswerSync { caller, response } => {
                    let (client, id) = self.open.remove(&caller).expect("each caller is answered once");
                    let is_own = response.assignment.is_empty() || response.assignment == id.as_bytes();
                    // A static member keeps what was assigned to it under an earlier id.
                    assert!(is_own || self.clients[client].instance.is_some(), "{id} got another's assignment");
                }
            }
        }
        self.check();
    }

    fn joined(&mut self, client: usize, response: &JoinResponse) {
        match response.error {
            ErrorCode::None => {
                assert_eq!(response.generation, self.group.generation(), "joined a past generation");
                let protocol = response.protocol_name.clone();
                let (leader, chosen) = self
                    .generations
                    .entry(response.generation)
                    .or_insert_with(|| (response.leader.clone(), protocol.clone()));
                assert_eq!(*chosen, protocol, "two protocols in one generation");
                // Only a static leader that came back may show another id than the one the generation began with.
                let is_replaced = leader != &response.leader && self.group.static_members.is_empty();
                assert!(!is_replaced, "two leaders in one generation");
                if !response.members.is_empty() {
                    assert_eq!(response.member_id, response.leader, "only the leader sees the members");
                }
                self.clients[client].id = response.member_id.clone();
                self.clients[client].generation = response.generation;
            }
            ErrorCode::MemberIdRequired => self.clients[client].id = response.member_id.clone(),
            _ => self.clients[client].id = "".into(),
        }
    }

    /// What holds between any two events.
    fn check(&self) {
        let group = &self.group;
        let waiting = group.members.iter().filter(|m| m.awaiting_join.is_some()).count();
        assert_eq!(waiting, group.members.awaiting_join_count());
        assert_eq!(group.leader.is_none(), group.members.is_empty());
        assert!(group.leader.as_ref().is_none_or(|leader| group.members.contains(leader)));
        assert_eq!(group.join_wait.is_some(), group.state == GroupState::PreparingRebalance);
        assert!(group.pending_sync.iter().all(|id| group.members.contains(id)));
        let statics = group.members.iter().filter(|m| m.is_static()).count();
        assert_eq!(statics, group.static_members.len());
        assert!(group.static_members.values().all(|id| group.members.contains(id)));
        assert!(group.pending_members.keys().all(|id| !group.members.contains(id)));
        let parked = group.members.iter().flat_map(|m| [m.awaiting_join, m.awaiting_sync]).flatten();
        let parked: std::collections::BTreeSet<_> = parked.collect();
        assert!(parked.iter().eq(self.open.keys()), "parked {parked:?}, open {:?}", self.open);
        if group.state == GroupState::Empty {
            assert!(group.members.is_empty());
        }
        if group.state == GroupState::Stable {
            assert!(group.members.elect_protocol(None).is_some());
        }
        for member in group.members.iter() {
            let waits = member.awaiting_join.is_some() || member.awaiting_sync.is_some();
            assert!(waits || member.session_timer.is_some(), "nobody watches over {}", member.id);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Every call is answered exactly once, one generation has one protocol and one leader, no member is lost, and
    /// left alone the group comes to rest: everybody who does not call any more times out and the group is empty.
    #[test]
    fn random_interleavings_keep_the_rules(steps in prop::collection::vec(step(), 1..150)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        for _ in 0..8 {
            world.advance(Duration::from_secs(700));
            while !world.stores.is_empty() {
                world.step(Step::Stored { ok: true });
            }
        }
        prop_assert!(world.open.is_empty(), "calls without an answer: {:?}", world.open);
        prop_assert_eq!(world.group.state(), GroupState::Empty);
    }
}
