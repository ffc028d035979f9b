//! Scenarios: what one broker concludes from what it hears.

use super::*;

const INTERVAL: Duration = Duration::from_millis(100);
const SILENCE: Duration = Duration::from_secs(1);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// One broker in a cluster, and the time. Every other broker answers each interval unless it is silent.
struct World {
    machine: Liveness,
    now: Duration,
    members: Vec<i32>,
    silent: Vec<i32>,
    /// What others answer when they are asked about a silent broker: `(witness, broker, silent for)`.
    others_see: Vec<(i32, i32, Duration)>,
    done: Vec<Action>,
}

impl World {
    fn new(own: i32, members: &[i32], office: Office) -> Self {
        let machine = Liveness::new(Options { own: NodeId(own), interval: INTERVAL, silence: SILENCE });
        let (members, now) = (members.to_vec(), Duration::ZERO);
        let mut world = Self { machine, now, members, silent: Vec::new(), others_see: Vec::new(), done: Vec::new() };
        world.office(office);
        world
    }

    fn input(&mut self, input: Input) {
        self.machine.handle(self.now, input, &mut self.done);
    }

    fn office(&mut self, office: Office) {
        let epoch = |id: &i32| (NodeId(*id), Some(BrokerEpoch(100 + i64::from(*id))));
        self.input(Input::Cluster { members: self.members.iter().map(epoch).collect(), office });
    }

    fn reincarnate(&mut self, broker: i32, office: Office) {
        let epoch = |id: &i32| (NodeId(*id), Some(BrokerEpoch(if *id == broker { 999 } else { 100 + i64::from(*id) })));
        self.input(Input::Cluster { members: self.members.iter().map(epoch).collect(), office });
    }

    /// Lets time pass, an interval at a time.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += INTERVAL;
            for (.., silent_for) in &mut self.others_see {
                *silent_for += INTERVAL;
            }
            self.answers();
            self.input(Input::Tick);
        }
    }

    fn answers(&mut self) {
        let asked = self.machine.suspects(self.now);
        for peer in self.members.clone() {
            if self.silent.contains(&peer) || NodeId(peer) == self.machine.options.own {
                continue;
            }
            let says = self
                .others_see
                .iter()
                .filter(|(witness, broker, _)| *witness == peer && asked.contains(&NodeId(*broker)));
            let sighting = |(_, broker, silent_for): &(i32, i32, Duration)| Sighting {
                broker: NodeId(*broker),
                silent_for: *silent_for,
                is_refused: false,
            };
            let sightings = says.map(sighting).collect();
            self.input(Input::Answered { peer: NodeId(peer), sightings });
        }
    }

    /// What was done since the last look, without the watching.
    fn done(&mut self) -> Vec<Action> {
        let done = std::mem::take(&mut self.done);
        done.into_iter().filter(|action| !matches!(action, Action::Watch(_) | Action::Unwatch(_))).collect()
    }
}

fn suspected(broker: i32, evidence: Evidence) -> Action {
    Action::Suspect { broker: NodeId(broker), epoch: BrokerEpoch(100 + i64::from(broker)), evidence }
}

#[test]
fn everybody_watches_the_controller_and_its_neighbours_and_the_controller_all() {
    let members: Vec<i32> = (1..=20).collect();
    let watched = |own, office| {
        let world = World::new(own, &members, office);
        world.machine.peers.keys().map(|id| id.0).collect::<Vec<_>>()
    };
    assert_eq!(watched(2, Office::Follower { controller: NodeId(1) }), [1, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(watched(18, Office::None), [1, 2, 3, 4, 5, 19, 20]);
    assert_eq!(watched(1, Office::Controller), (2..=20).collect::<Vec<_>>());
}

#[test]
fn a_broker_that_refuses_twice_is_gone_at_once() {
    let mut world = World::new(1, &[1, 2, 3], Office::Controller);
    world.run(ms(300));
    world.input(Input::Refused { peer: NodeId(3) });
    assert_eq!(world.done(), []);
    world.input(Input::Refused { peer: NodeId(3) });
    assert_eq!(world.done(), [suspected(3, Evidence::Refused)]);
    world.silent = vec![3];
    world.run(ms(5000));
    assert_eq!(world.done(), [], "once is enough");
}

#[test]
fn an_answer_between_two_refusals_makes_them_two_first_ones() {
    let mut world = World::new(1, &[1, 2, 3], Office::Controller);
    for _ in 0..5 {
        world.input(Input::Refused { peer: NodeId(3) });
        world.input(Input::Answered { peer: NodeId(3), sightings: Vec::new() });
    }
    assert_eq!(world.done(), []);
}

#[test]
fn a_frozen_broker_is_gone_when_another_one_hears_nothing_for_as_long() {
    let mut world = World::new(1, &[1, 2, 3], Office::Controller);
    world.run(ms(300));
    world.silent = vec![3];
    world.others_see = vec![(2, 3, Duration::ZERO)];
    world.run(ms(900));
    assert_eq!(world.done(), []);
    world.run(ms(200));
    let evidence = Evidence::Silence { silent_for: SILENCE, witnesses: vec![NodeId(2)] };
    assert_eq!(world.done(), [suspected(3, evidence)]);

    // It thaws: two answers, and it is told of.
    (world.silent, world.others_see) = (Vec::new(), Vec::new());
    world.run(ms(100));
    assert_eq!(world.done(), []);
    world.run(ms(100));
    assert_eq!(world.done(), [Action::Clear { broker: NodeId(3) }]);
}

#[test]
fn a_witness_that_agrees_later_delays_the_report_without_a_word() {
    let mut world = World::new(1, &[1, 2, 3, 4], Office::Controller);
    world.silent = vec![3];
    world.others_see = vec![(2, 3, ms(0)), (4, 3, ms(0))];
    world.run(ms(200));
    world.others_see[1].2 = ms(0);
    world.run(ms(900));
    assert_eq!(world.done(), []);
    world.run(ms(200));
    assert!(matches!(&world.done()[..], [Action::Suspect { evidence: Evidence::Silence { witnesses, .. }, .. }]
        if *witnesses == [NodeId(2), NodeId(4)]));
}

#[test]
fn a_broker_that_another_one_hears_is_behind_a_cut_link() {
    let mut world = World::new(1, &[1, 2, 3], Office::Controller);
    world.run(ms(300));
    world.silent = vec![3];
    for _ in 0..50 {
        world.others_see = vec![(2, 3, Duration::ZERO)];
        world.run(ms(100));
    }
    let held = Action::Hold { broker: NodeId(3), silent_for: SILENCE, reason: Reason::HeardBy(vec![NodeId(2)]) };
    assert_eq!(world.done(), [held]);
}

#[test]
fn a_controller_that_sees_fewer_than_half_does_nothing() {
    let mut world = World::new(1, &[1, 2, 3, 4, 5], Office::Controller);
    world.run(ms(300));
    world.silent = vec![3, 4, 5];
    world.others_see = vec![(2, 3, ms(0)), (2, 4, ms(0)), (2, 5, ms(0))];
    world.run(ms(3000));
    let held = |broker| Action::Hold {
        broker: NodeId(broker),
        silent_for: SILENCE,
        reason: Reason::FewSeen { seen: 2, total: 5 },
    };
    assert_eq!(world.done(), [held(3), held(4), held(5)]);
    assert!(world.machine.is_cut_off(world.now));
    // One comes back, and what is left is the trouble of two.
    world.silent = vec![3, 4];
    world.run(ms(300));
    assert!(matches!(&world.done()[..], [Action::Suspect { .. }, Action::Suspect { .. }]));
    assert!(!world.machine.is_cut_off(world.now));
    assert!(world.machine.was_cut_off(world.now), "it may not have been told yet what happened meanwhile");
    world.run(ms(5000));
    assert!(!world.machine.was_cut_off(world.now));
}

#[test]
fn a_broker_whose_peers_are_all_dead_is_not_cut_off() {
    let mut world = World::new(1, &[1, 2, 3], Office::None);
    world.silent = vec![2, 3];
    world.run(ms(1000));
    assert!(world.machine.is_cut_off(world.now));
    for peer in [2, 3, 2, 3] {
        world.input(Input::Refused { peer: NodeId(peer) });
    }
    assert!(!world.machine.is_cut_off(world.now));
}

#[test]
fn a_silence_without_witnesses_is_left_to_the_session() {
    let mut world = World::new(1, &[1, 2], Office::Controller);
    world.silent = vec![2];
    world.run(ms(10_000));
    assert!(matches!(&world.done()[..], [Action::Hold { reason: Reason::NoWitness, .. }]));
}

#[test]
fn time_in_which_this_broker_did_not_run_is_nobodys_silence() {
    let mut world = World::new(1, &[1, 2, 3], Office::Controller);
    world.run(ms(300));
    // Frozen for ten seconds itself; its first tick comes before the answers that wait in its sockets.
    world.now += ms(10_000);
    world.input(Input::Tick);
    assert_eq!(world.machine.suspects(world.now), []);
    world.run(ms(300));
    assert_eq!(world.done(), []);
    // Late ticks on a busy machine stretch the time instead of cutting it.
    world.silent = vec![3];
    world.others_see = vec![(2, 3, ms(0))];
    for _ in 0..5 {
        world.now += ms(400);
        world.input(Input::Answered { peer: NodeId(2), sightings: Vec::new() });
        world.input(Input::Tick);
    }
    assert_eq!(world.done(), []);
}

#[test]
fn a_dead_controller_loses_its_office_until_somebody_else_has_it() {
    let mut world = World::new(2, &[1, 2, 3], Office::Follower { controller: NodeId(1) });
    world.run(ms(300));
    world.silent = vec![1];
    world.input(Input::Refused { peer: NodeId(1) });
    world.input(Input::Refused { peer: NodeId(1) });
    let removal = Action::RemoveController { controller: NodeId(1), evidence: Evidence::Refused };
    assert_eq!(world.done(), std::slice::from_ref(&removal));
    // Coordination may not have heard it.
    world.run(ms(1000));
    assert_eq!(world.done(), [removal]);
    world.office(Office::Follower { controller: NodeId(3) });
    world.run(ms(3000));
    assert_eq!(world.done(), []);
}

#[test]
fn a_frozen_controller_loses_its_office_and_its_replacement_knows_already() {
    let mut world = World::new(2, &[1, 2, 3], Office::Follower { controller: NodeId(1) });
    world.run(ms(300));
    world.silent = vec![1];
    world.others_see = vec![(3, 1, ms(0))];
    world.run(ms(1100));
    assert!(matches!(&world.done()[..], [Action::RemoveController { controller: NodeId(1), .. }]));
    world.office(Office::Controller);
    assert!(matches!(&world.done()[..], [Action::Suspect { broker: NodeId(1), .. }]));
}

#[test]
fn a_thawed_zombie_controller_blames_nobody() {
    let mut world = World::new(1, &[1, 2, 3], Office::Controller);
    world.run(ms(300));
    // While it was frozen another controller was elected, which it does not know; the answers it finds are old.
    world.now += ms(60_000);
    world.input(Input::Tick);
    world.input(Input::Refused { peer: NodeId(2) });
    world.run(ms(500));
    assert_eq!(world.done(), []);
    world.office(Office::Follower { controller: NodeId(2) });
    world.run(ms(3000));
    assert_eq!(world.done(), []);
}

#[test]
fn only_the_controller_is_reported_by_others_and_nobody_by_a_broker_without_one() {
    for office in [Office::None, Office::Follower { controller: NodeId(1) }] {
        let mut world = World::new(2, &[1, 2, 3], office);
        world.silent = vec![3];
        world.input(Input::Refused { peer: NodeId(3) });
        world.input(Input::Refused { peer: NodeId(3) });
        world.run(ms(5000));
        assert_eq!(world.done(), [], "{office:?}");
    }
}

#[test]
fn a_new_incarnation_starts_with_nothing_against_it() {
    let mut world = World::new(1, &[1, 2, 3], Office::Controller);
    world.silent = vec![3];
    world.input(Input::Refused { peer: NodeId(3) });
    world.input(Input::Refused { peer: NodeId(3) });
    assert_eq!(world.done().len(), 1);
    world.reincarnate(3, Office::Controller);
    world.input(Input::Refused { peer: NodeId(3) });
    assert_eq!(world.done(), []);
    world.input(Input::Refused { peer: NodeId(3) });
    assert!(matches!(&world.done()[..], [Action::Suspect { epoch: BrokerEpoch(999), .. }]));
}
