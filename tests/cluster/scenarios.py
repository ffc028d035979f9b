"""The scenarios: what is done to a cluster under load. A scenario is a function whose name says it; `run` is a `Run`.

Each begins with everything in order and clients that produce and process, and ends with `settle`, when everything is in
order again. `./test cluster --full` uses the long times.
"""

import itertools
import os
import random
import time

from cluster.run import GROUP, PARTITIONS, TOPIC
from cluster.tools import reassign

SCENARIOS = {}
# `random_faults` may choose a scenario twice: each time it creates a topic of another name.
NUMBERS = itertools.count(1)
# Of partition 0 the leader is harmed; the others tell whether its neighbours suffer.
FIRST = (0,)


def scenario(cuts=False, properties=None):
    """Adds a scenario. `cuts`: it needs links that can be cut."""

    def add(function):
        function.cuts, function.properties = cuts, properties or {}
        SCENARIOS[function.__name__.replace("_", "-")] = function
        return function

    return add


def is_kafka(run):
    return run.cluster.kind == "kafka"


def back_seconds(run):
    """Within this, a partition whose leader is gone is led again. Kafka waits for the session of the broker to expire
    (6 s here); Whimbrel's is 18 s, so that what comes back within this did not wait for it."""
    return 30 if is_kafka(run) else 10


def cut_off(run, broker, others):
    for other in others:
        if other.place is not broker.place:
            run.cluster.network.cut(broker.place, other.place)


def heal(run):
    run.note("links work again")
    run.cluster.network.heal()


def restart(run, broker):
    run.note(f"broker {broker.properties['broker.id']} starts")
    broker.start()


def name_of(broker):
    return f"broker {broker.properties['broker.id']}"


def killed(run, broker, what):
    run.note(f"{name_of(broker)}, {what}, is killed")
    run.begin_fault()
    broker.kill()
    run.wait_progress(back_seconds(run))
    run.note(f"longest gap {run.longest_gap_ms():.0f} ms")


@scenario()
def calm(run):
    """Nothing happens."""
    time.sleep(20 if run.full else 3)


@scenario()
def leader_killed(run):
    broker = run.cluster.leader(TOPIC)
    killed(run, broker, "a leader")
    restart(run, broker)


@scenario()
def follower_killed(run):
    broker = run.cluster.follower(TOPIC)
    killed(run, broker, "a follower")
    restart(run, broker)


@scenario()
def controller_killed(run):
    broker = run.cluster.controller()
    killed(run, broker, "the controller")
    run.note("a topic is created by the next controller")
    run.cluster.create_topic(f"after-{next(NUMBERS)}", 3, replicas=2, wait=False)
    restart(run, broker)


@scenario()
def coordinator_killed(run):
    broker = run.cluster.coordinator(GROUP)
    killed(run, broker, "the group's coordinator")
    moved_before = sum(1 for _ in run.events("committed"))
    eventually(lambda: sum(1 for _ in run.events("committed")) > moved_before, back_seconds(run), "the group commits again")
    restart(run, broker)


@scenario()
def every_broker_killed(run):
    run.note("every broker is killed")
    brokers = list(run.cluster.brokers.values())
    for broker in brokers:
        broker.kill()
    random.shuffle(brokers)
    for broker in brokers:
        run.note(f"{name_of(broker)} starts")
        broker.spawn() if not is_kafka(run) else broker.start()
    for broker in brokers:
        broker.wait_ready()


def frozen(run, broker, what):
    run.note(f"{name_of(broker)}, {what}, hangs")
    run.begin_fault()
    broker.freeze()
    run.wait_progress(back_seconds(run))
    run.note(f"longest gap {run.longest_gap_ms():.0f} ms")
    time.sleep(30 if run.full else 3)
    run.note(f"{name_of(broker)} goes on")
    broker.thaw()


@scenario()
def leader_frozen(run):
    frozen(run, run.cluster.leader(TOPIC), "a leader")


@scenario()
def controller_frozen(run):
    frozen(run, run.cluster.controller(), "the controller")


@scenario()
def rolling_restart(run):
    run.begin_fault()
    for broker in run.cluster.brokers.values():
        run.note(f"{name_of(broker)} is stopped")
        broker.stop()
        restart(run, broker)
        run.cluster.wait_complete()
        run.cluster.wait_in_sync()
    run.note(f"longest gap {run.longest_gap_ms():.0f} ms")


# --- cut links ----------------------------------------------------------------------------------------------------------


@scenario(cuts=True)
def cut_from_zookeeper(run):
    """The session of a broker ends while everything else works: the others get its partitions, or it goes on."""
    broker = run.cluster.leader(TOPIC)
    run.note(f"{name_of(broker)} is cut off from ZooKeeper")
    run.begin_fault()
    cut_off(run, broker, run.world.ensemble.members)
    time.sleep(40 if run.full else 8)
    run.wait_progress(back_seconds(run))
    run.note(f"longest gap {run.longest_gap_ms():.0f} ms")
    heal(run)


@scenario(cuts=True)
def cut_from_peers(run):
    """A leader that reaches clients and ZooKeeper and no broker: it must not acknowledge alone."""
    broker = run.cluster.leader(TOPIC)
    run.note(f"{name_of(broker)} is cut off from the other brokers")
    run.begin_fault()
    cut_off(run, broker, run.cluster.brokers.values())
    if is_kafka(run):
        # Its leader stays where it is, with too few replicas in sync.
        time.sleep(8)
    else:
        run.wait_progress(back_seconds(run))
        time.sleep(30 if run.full else 3)
    run.note(f"longest gap {run.longest_gap_ms():.0f} ms")
    heal(run)


@scenario(cuts=True)
def cut_one_way(run):
    """What a leader sends does not arrive at the other brokers; what they send arrives."""
    broker = run.cluster.leader(TOPIC)
    run.note(f"{name_of(broker)} is heard by no other broker")
    for other in run.cluster.brokers.values():
        if other is not broker:
            run.cluster.network.cut_one_way(broker.place.host, other.place)
    time.sleep(30 if run.full else 6)
    heal(run)


@scenario(cuts=True)
def cut_from_clients(run):
    broker = run.cluster.leader(TOPIC)
    run.note(f"{name_of(broker)} is cut off from the clients")
    run.cluster.network.cut(broker.place, run.world.client_place)
    led_elsewhere = [index for index in range(PARTITIONS) if run.cluster.leader(TOPIC, index) is not broker]
    run.wait_progress(back_seconds(run), led_elsewhere)
    time.sleep(30 if run.full else 5)
    heal(run)


@scenario(cuts=True)
def zombie_leader(run):
    """A leader that reaches nobody but its clients: the others go on without it, and what it was sent alone is not
    acknowledged."""
    broker = run.cluster.leader(TOPIC)
    run.note(f"{name_of(broker)} reaches only its clients")
    run.begin_fault()
    cut_off(run, broker, [*run.cluster.brokers.values(), *run.world.ensemble.members])
    run.wait_progress(back_seconds(run))
    run.note(f"longest gap {run.longest_gap_ms():.0f} ms")
    time.sleep(30 if run.full else 3)
    heal(run)


# --- ZooKeeper ------------------------------------------------------------------------------------------------------------


def without_zookeepers(run, members, seconds, what):
    """Everything goes on as it was: no leader moves, nobody waits."""
    before = leaders(run)
    run.note(what)
    run.begin_fault()
    for member in members:
        member.kill()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        run.wait_progress(5 if not is_kafka(run) else 30)
        time.sleep(0.5)
    run.note("ZooKeeper comes back")
    run.world.ensemble.start()
    time.sleep(3)
    run.note(f"longest gap {run.longest_gap_ms():.0f} ms")
    if not is_kafka(run):
        run.cluster.wait_in_sync()
        assert leaders(run) == before, f"leaders moved: {before} before, {leaders(run)} after"


def leaders(run):
    return [run.cluster.partition(TOPIC, index)["leader"] for index in range(PARTITIONS)]


@scenario()
def one_zookeeper_killed(run):
    (leader,) = [member for member in run.world.ensemble.members if member.mode() == "leader"]
    without_zookeepers(run, [leader], 4, "the leading ZooKeeper is killed")


@scenario()
def zookeeper_majority_killed(run):
    seconds = 60 if run.full else 8
    without_zookeepers(run, run.world.ensemble.members[:2], seconds, f"two of three ZooKeepers are killed, for {seconds} s")


@scenario()
def every_zookeeper_killed(run):
    """In a full run for longer than a session."""
    seconds = 60 if run.full else 8
    without_zookeepers(run, run.world.ensemble.members, seconds, f"every ZooKeeper is killed, for {seconds} s")


@scenario()
def leader_killed_without_zookeeper(run):
    """Nobody can be elected while ZooKeeper is away; when it is back, somebody is."""
    broker = run.cluster.leader(TOPIC)
    run.note("every ZooKeeper is killed, and then a leader")
    for member in run.world.ensemble.members:
        member.kill()
    broker.kill()
    time.sleep(3)
    run.note("ZooKeeper comes back")
    run.world.ensemble.start()
    run.wait_progress(3 * back_seconds(run))
    restart(run, broker)


# --- meanwhile --------------------------------------------------------------------------------------------------------------


@scenario()
def reassigned_meanwhile(run):
    """A topic of two replicas moves from brokers to brokers, with a kill in the middle."""
    cluster = run.cluster
    cluster.create_topic("moved", 3, replicas=2)
    for round_number, target in enumerate(([2, 3], [3, 1], [1, 2])):
        run.note(f"topic moved goes to brokers {target}")
        reassign(cluster, run.folder, {("moved", index): target for index in range(3)})
        if round_number == 1:
            broker = cluster.brokers[2]
            killed(run, broker, "one of those it goes away from")
            restart(run, broker)
        eventually(lambda: all_on(cluster, "moved", 3, target), 60, "the reassignment is done")
    reassign(cluster, run.folder, {(TOPIC, index): [3, 1, 2] for index in range(PARTITIONS)})
    run.wait_progress(back_seconds(run))


def all_on(cluster, topic, partitions, replicas):
    states = [cluster.partition(topic, index) for index in range(partitions)]
    return all(state and state["replicas"] == replicas and sorted(state["isr"]) == sorted(replicas) for state in states)


@scenario()
def deleted_meanwhile(run):
    """Topics come and go; one is deleted while a broker that has a replica is away."""
    cluster = run.cluster
    for number in range(3):
        cluster.create_topic(f"gone-{number}", 4)
        cluster.delete_topic(f"gone-{number}")
    cluster.create_topic("waits", 4)
    broker = cluster.follower(TOPIC)
    killed(run, broker, "a follower")
    cluster.delete_topic("waits")
    time.sleep(1)
    restart(run, broker)
    eventually(lambda: not directories(cluster, ("waits-", "gone-")), 60, "nothing is left of deleted topics on any disk")
    with cluster.zookeeper() as zookeeper:
        eventually(lambda: not zookeeper.get_children("/admin/delete_topics"), 30, "no deletion is left in ZooKeeper")


def directories(cluster, prefixes):
    return [path for broker in cluster.brokers.values() for path in broker.data.iterdir() if path.name.startswith(prefixes)]


@scenario(cuts=True)
def random_faults(run):
    """One fault after the other, chosen by CLUSTER_SEED, healed before the next."""
    seed = int(os.environ.get("CLUSTER_SEED", random.randrange(1 << 32)))
    run.note(f"CLUSTER_SEED={seed}")
    choice = random.Random(seed)
    faults = [leader_killed, follower_killed, controller_killed, coordinator_killed, leader_frozen, controller_frozen]
    faults += [cut_from_peers, zombie_leader, cut_one_way, cut_from_clients, one_zookeeper_killed, calm]
    for _ in range(30 if run.full else 4):
        choice.choice(faults)(run)
        run.settle()


def eventually(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.2)
