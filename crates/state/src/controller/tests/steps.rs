//! The controller dies at every step of everything that it does, before a write and after it, and the next one finishes
//! or undoes what it finds.

use std::collections::BTreeSet;

use whimbrel_model::NodeId;

use super::partition;
use super::world::World;

/// More than anything here takes.
const STEPS_MAX: usize = 200;

/// What a controller is asked to do, and how things are once it is done or undone.
struct Operation {
    name: &'static str,
    commands: &'static [&'static str],
    is_settled: fn(&World) -> Result<(), String>,
}

const OPERATIONS: &[Operation] = &[
    Operation {
        name: "create a topic",
        commands: &["topic u [1,3] [3,2]"],
        is_settled: |world| {
            check(world.znodes.states.contains_key(&partition("u", 1)), "u-1 has no state")?;
            led_and_hosted(world)
        },
    },
    Operation {
        name: "add a partition",
        commands: &["partitions t 3,1"],
        is_settled: |world| {
            check(world.znodes.states.contains_key(&partition("t", 2)), "t-2 has no state")?;
            led_and_hosted(world)
        },
    },
    Operation {
        name: "delete a topic",
        commands: &["delete t"],
        is_settled: |world| {
            check(world.znodes.topics.is_empty() && world.znodes.states.is_empty(), "something of t is left")?;
            check(world.znodes.deletions.is_empty(), "the request is left")?;
            check(world.logs.is_empty(), "logs are left")
        },
    },
    Operation { name: "move a partition", commands: &["reassign t-0 3"], is_settled: moved },
    Operation {
        name: "move a partition by the legacy node",
        commands: &["legacy-reassign t-0 3"],
        is_settled: |world| {
            check(world.znodes.reassignments.is_empty(), "the legacy node is left")?;
            check(replicas(world) == [NodeId(3)], "the target is not assigned")?;
            moved(world)
        },
    },
    Operation { name: "elect a leader", commands: &["elect preferred all"], is_settled: led_and_hosted },
    Operation {
        name: "elect by the legacy node",
        commands: &["legacy-elect t-1"],
        is_settled: |world| {
            check(world.znodes.preferred.is_none(), "the legacy node is left")?;
            led_and_hosted(world)
        },
    },
    Operation {
        name: "change an ISR",
        commands: &["alter t-0 by=1@10 epoch=0 at=0 isr=1@10"],
        is_settled: led_and_hosted,
    },
    Operation { name: "replace a lost broker", commands: &["brokers 2@10 3@10"], is_settled: led_and_hosted },
    Operation { name: "let a broker stop", commands: &["shutdown 1"], is_settled: led_and_hosted },
    Operation {
        name: "delete a topic that moves",
        commands: &["reassign t-0 3", "delete t"],
        is_settled: |world| check(world.znodes.topics.is_empty() && world.logs.is_empty(), "something of t is left"),
    },
];

fn check(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

fn replicas(world: &World) -> Vec<NodeId> {
    world.znodes.topics.get("t").map_or_else(Vec::new, |topic| topic.partitions[0].replicas.clone())
}

/// It is where it was or where it was to go, and nowhere else.
fn moved(world: &World) -> Result<(), String> {
    let topic = world.znodes.topics.get("t").ok_or("t is gone")?;
    let assigned = &topic.partitions[0];
    check(assigned.adding_replicas.is_empty() && assigned.removing_replicas.is_empty(), "it is still moving")?;
    let replicas = replicas(world);
    check(replicas == [NodeId(3)] || replicas == [NodeId(1), NodeId(2)], "it is somewhere else")?;
    led_and_hosted(world)
}

/// Every partition is led by one of its replicas, its ISR is of them, and exactly they have a log.
fn led_and_hosted(world: &World) -> Result<(), String> {
    for (name, state) in &world.znodes.states {
        let topic = world.znodes.topics.get(&name.topic).ok_or("a state without a topic")?;
        let assigned: BTreeSet<NodeId> = topic
            .partitions
            .iter()
            .filter(|one| one.index == name.partition)
            .flat_map(|one| one.replicas.clone())
            .collect();
        check(assigned.contains(&state.leader), &format!("{name} is led by {}", state.leader))?;
        check(state.isr.iter().all(|one| assigned.contains(&one.broker)), &format!("the ISR of {name}"))?;
        let hosts: BTreeSet<NodeId> =
            world.logs.iter().filter(|(_, other)| other == name).map(|(broker, _)| *broker).collect();
        check(hosts == assigned, &format!("{name} has logs on {hosts:?}, not {assigned:?}"))?;
    }
    Ok(())
}

fn started() -> World {
    let mut world = World::default();
    for command in ["elected", "brokers 1@10 2@10 3@10", "topic t [1,2] [2,1]"] {
        world.run(command);
    }
    run_dry(&mut world);
    world
}

fn run_dry(world: &mut World) {
    assert!((0..STEPS_MAX).any(|_| !world.step()), "it does not come to an end:\n{}", world.output);
}

/// Kills the controller after `steps` steps, and if `unheard` once more a write that it does not hear of. The result is
/// whether everything was done by then.
fn kill_after(operation: &Operation, steps: usize, unheard: bool) -> bool {
    let mut world = started();
    operation.commands.iter().for_each(|command| world.run(command));
    let is_done = (0..steps).any(|_| !world.step());
    if unheard {
        world.commit_one_unheard();
    }
    world.crash();
    world.run("elected");
    run_dry(&mut world);
    let title = format!("{}, killed after {steps} steps (unheard: {unheard})\n{}", operation.name, world.output);
    assert!(!world.output.contains("!!"), "{title}");
    if let Err(what) = (operation.is_settled)(&world) {
        panic!("{what}: {title}");
    }
    is_done
}

#[test]
fn the_next_controller_finishes_or_undoes_whatever_step_the_last_one_died_at() {
    for operation in OPERATIONS {
        let mut kills = 0;
        while !(kill_after(operation, kills, false) && kill_after(operation, kills, true)) {
            kills += 1;
            assert!(kills < STEPS_MAX, "{} does not come to an end", operation.name);
        }
        assert!(0 < kills, "{} takes no step", operation.name);
    }
}
