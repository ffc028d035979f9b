"""The scenarios in which a log is damaged; importing this adds them to `SCENARIOS`."""

import json
import time

from confluent_kafka import Consumer, Producer, TopicPartition

from cluster.damage import damage_below_recovery_point, damage_in_use, flip, partition_folder, set_aside
from cluster.run import TOPIC
from cluster.scenarios import eventually, is_kafka, name_of, restart, scenario

# A log that waits to be replaced is looked at every two seconds.
REPAIR_SECONDS_MAX = 60

# Of runs this long a leader looks at the first header and at the last ones only (storage/src/files/lend.rs).
LONG_RUN_BYTES = 256 << 10


def number_of(broker):
    return int(broker.properties["broker.id"])


@scenario()
def follower_damaged(run):
    """A follower whose log is damaged is reported, leaves the ISR, and is copied anew from its leader."""
    broker = run.cluster.follower(TOPIC)
    run.note(f"{name_of(broker)} is stopped, and its log of partition 0 damaged")
    broker.stop()
    damage_below_recovery_point(broker, TOPIC, 0)
    segment = sorted(partition_folder(broker, TOPIC, 0).glob("*.log"))[-1]
    damaged = segment.read_bytes()
    restart(run, broker)
    if is_kafka(run):
        return
    assert "the log cannot be used" in broker.log_text(), f"the damage is not reported: {broker.log_path}"
    eventually(lambda: set_aside(broker, TOPIC), REPAIR_SECONDS_MAX, "the damaged log is set aside")
    (aside,) = set_aside(broker, TOPIC)
    run.note(f"set aside: {aside.name}")
    assert (aside / segment.name).read_bytes() == damaged, "what was set aside is not what was there"
    run.cluster.wait_in_sync()
    number, state = number_of(broker), run.cluster.partition(TOPIC)
    assert number in state["isr"] and state["leader"] != number, f"{number} does not follow: {state}"
    run.note("it is in sync again; a stop in order and another start change nothing")
    broker.stop()
    restart(run, broker)
    run.cluster.wait_in_sync()
    assert set_aside(broker, TOPIC) == [aside], "something else was set aside"


@scenario()
def eligible_leader_damaged(run):
    """A replica outside of an ISR that is too small is an eligible leader; damaged, it is none, and is copied anew."""
    cluster = run.cluster
    cluster.create_topic("pair", 1, replicas=2)
    produce(run, "pair", 100)
    broker = cluster.follower("pair")
    broker.stop()
    if is_kafka(run):
        restart(run, broker)
        return
    with cluster.zookeeper() as zookeeper:
        state = json.loads(zookeeper.get("/brokers/topics/pair/partitions/0/state")[0])
    assert state["eligible_leaders"] == [number_of(broker)], f"not eligible: {state}"
    damage_below_recovery_point(broker, "pair", 0)
    run.note(f"{name_of(broker)}, an eligible leader, starts with a damaged log")
    restart(run, broker)
    eventually(lambda: set_aside(broker, "pair"), REPAIR_SECONDS_MAX, "the damaged log is set aside")
    cluster.wait_in_sync()
    assert consume(run, "pair") == list(range(100)), "not every record is there"


@scenario()
def leader_damaged(run):
    """A leader in whose log a reader meets damage stops leading, and is copied anew from the next one."""
    broker = run.cluster.leader(TOPIC)
    if is_kafka(run):
        return
    (segment,) = partition_folder(broker, TOPIC, 0).glob("*.log")
    eventually(lambda: LONG_RUN_BYTES < segment.stat().st_size, 60, "a log that is sent in long runs")
    offset = damage_in_use(broker, TOPIC, 0)
    run.note(f"the log of partition 0 of {name_of(broker)}, its leader, is damaged at offset {offset} while it runs")
    run.begin_fault()
    read_at(run, TOPIC, offset)
    run.note("a reader at the damaged place got its record from another leader")
    assert run.cluster.leader(TOPIC) is not broker, "the damaged leader leads on"
    run.wait_progress(REPAIR_SECONDS_MAX)
    eventually(lambda: set_aside(broker, TOPIC), REPAIR_SECONDS_MAX, "the damaged log is set aside")
    run.cluster.wait_in_sync()
    run.note(f"longest gap {run.longest_gap_ms():.0f} ms")


def read_at(run, topic, offset):
    """Reads the record at one offset, whoever leads meanwhile."""
    consumer = Consumer({"bootstrap.servers": run.cluster.bootstrap, "group.id": "damage", "log_level": 0})
    consumer.assign([TopicPartition(topic, 0, offset)])
    try:
        deadline = time.monotonic() + REPAIR_SECONDS_MAX
        while time.monotonic() < deadline:
            message = consumer.poll(0.5)
            if message and not message.error():
                assert message.offset() == offset, f"offset {message.offset()} instead of {offset}"
                return
        raise AssertionError(f"nothing is read at offset {offset}")
    finally:
        consumer.close()


@scenario()
def last_copy_damaged(run):
    """The only member of an ISR is damaged: it does not serve, nobody else is elected, and nothing is deleted."""
    cluster = run.cluster
    cluster.create_topic("last", 1, replicas=2, config={"min.insync.replicas": "1"})
    alone = cluster.leader("last")
    other = cluster.follower("last")
    run.note(f"{name_of(other)} is killed; {name_of(alone)} is alone in the ISR, and is stopped")
    other.kill()
    eventually(lambda: cluster.partition("last")["isr"] == [number_of(alone)], 60, "one member in the ISR")
    produce(run, "last", 100)
    alone.stop()
    if is_kafka(run):
        restart(run, other)
        restart(run, alone)
        return
    damage = damage_below_recovery_point(alone, "last", 0)
    folder = partition_folder(alone, "last", 0)
    before = {path.name: path.read_bytes() for path in folder.glob("*.log")}
    run.note("its log is damaged, and both start")
    for broker in (other, alone):
        broker.spawn()
    for broker in (other, alone):
        broker.wait_ready()
    cluster.wait_complete()
    assert "the log cannot be used" in alone.log_text(), f"the damage is not reported: {alone.log_path}"
    until = time.monotonic() + (30 if run.full else 8)
    while time.monotonic() < until:
        state = cluster.partition("last")
        assert state["isr"] == [number_of(alone)], f"another ISR: {state}"
        assert {path.name: path.read_bytes() for path in folder.glob("*.log")} == before, "the damaged log was changed"
        assert not set_aside(alone, "last"), "the last copy was set aside"
        time.sleep(0.5)
    assert state["leader"] == -1, f"somebody leads: {state}"
    run.note("nobody leads, and nothing is changed; the damage is undone by hand")
    alone.stop()
    flip(*damage)
    restart(run, alone)
    cluster.wait_in_sync()
    assert consume(run, "last") == list(range(100)), "not every record is there"


def produce(run, topic, count):
    producer = Producer({"bootstrap.servers": run.cluster.bootstrap, "acks": "all", "log_level": 0, "linger.ms": 0})
    failed = []
    for number in range(count):
        producer.produce(topic, str(number).encode(), partition=0, on_delivery=lambda error, _: failed.append(error) if error else None)
        producer.flush(30)
    assert not failed, failed


def consume(run, topic):
    consumer = Consumer({"bootstrap.servers": run.cluster.bootstrap, "group.id": "damage", "log_level": 0, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    numbers, deadline = [], time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error():
                return numbers
            numbers.append(int(message.value()))
        raise AssertionError("the end is not reached")
    finally:
        consumer.close()
