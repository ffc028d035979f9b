"""The gaps that a client sees while brokers and ZooKeepers come and go (docs/performance.md)."""

import contextlib
import json
import pathlib
import shutil
import subprocess
import sys
import time

from confluent_kafka import ElectionType, KafkaException

from bench.measure import figure, percentile, table
from bench.plot import draw_gaps
from cluster.cluster import Cluster
from harness.network import LOOPBACK, LoopbackNetwork
from harness.servers import Ensemble, wait_until

TOPIC = "probed"
# The partition whose leader is harmed, and whose gap counts.
HARMED = (0,)
# Kafka's defaults, where the tests of servers.py have others. A killed broker's session ends after 18 s.
PROPERTIES = {
    "zookeeper.session.timeout.ms": "18000",
    "replica.lag.time.max.ms": "30000",
    "auto.leader.rebalance.enable": "true",
    "controlled.shutdown.max.retries": "3",
    "controlled.shutdown.retry.backoff.ms": "5000",
}
BACK_SECONDS_MAX = 90
# Acknowledgements are looked at for so long after the first one.
AFTER_SECONDS = 1.0
# A new client has its connections by then.
SETTLED_SECONDS = 1.0
# Java brokers take some forty seconds for each round.
KAFKA_ROUNDS_MAX = 5
PARTITIONS_MANY = 10_000


class Prober:
    """The producer, as a process of its own, and its acknowledgements."""

    def __init__(self, cluster, folder, topic=TOPIC, partitions=(0,), **client):
        self.path, self.partitions = pathlib.Path(folder) / f"prober-{time.monotonic_ns()}", partitions
        settings = {"bootstrap": cluster.bootstrap, "topic": topic, "partitions": list(partitions), "output": str(self.path), "client": client}
        command = [sys.executable, "-m", "bench.prober", json.dumps(settings)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE)
        self.at, self.times, self.errors = 0, {partition: [] for partition in partitions}, []
        wait_until(lambda: self.seen_after(0), 30, "the first acknowledgement")

    def read(self):
        if self.path.exists():
            with open(self.path) as lines:
                lines.seek(self.at)
                text = lines.read()
            complete = text[: text.rfind("\n") + 1]
            self.at += len(complete.encode())
            for line in complete.splitlines():
                word, t, partition, *rest = line.split(" ", 3)
                if word == "ack":
                    self.times[int(partition)].append(int(t))
                else:
                    self.errors.append(" ".join(rest))

    def seen_after(self, t, partitions=None):
        self.read()
        return all(self.times[partition] and self.times[partition][-1] > t for partition in partitions or self.partitions)

    def gap_ms(self, since, partitions=None):
        """The longest time between two acknowledgements of one partition from `since` on."""
        self.read()
        longest = 0
        for partition in partitions or self.partitions:
            times = [t for t in self.times[partition] if t >= since - 1_000_000_000]
            longest = max([longest, *((b - a) / 1e6 for a, b in zip(times, times[1:]) if b >= since)])
        return longest

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(90)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.read()


@contextlib.contextmanager
def three_brokers(bench, kind, partitions=1, properties=None):
    """A cluster of `kind` on three ZooKeepers, all on loopback, its data where the bench has it."""
    folder = bench.folder()
    ensemble = Ensemble(folder, [LOOPBACK] * 3)
    cluster = None
    try:
        ensemble.start()
        everything = {**PROPERTIES, **bench.session(), **(properties or {})}
        cluster = Cluster(folder, LoopbackNetwork(), ensemble, kind.name, chroot="/bench", properties=everything)
        cluster.start()
        if partitions:
            cluster.create_topic(TOPIC, partitions)
        yield cluster
    finally:
        if cluster:
            cluster.end()
        ensemble.end()
        shutil.rmtree(folder, ignore_errors=True)


def now():
    return time.monotonic_ns()


def harm(prober, act, partitions=None, at_least=0.0):
    """Does `act`, waits until acknowledgements come again, and gives the gap in milliseconds."""
    began = now()
    act()
    done = now()
    # Acknowledgements that were under way when the broker went do not count as an answer of the next leader.
    wait_until(lambda: prober.seen_after(max(done, began + 20_000_000), partitions), BACK_SECONDS_MAX, "acknowledgements come again")
    time.sleep(max(AFTER_SECONDS, at_least))
    return prober.gap_ms(began, partitions)


def rounds_of(bench, kind):
    return bench.kills if kind.name == "whimbrel" else min(bench.kills, bench.kafka_rounds)


def gap_rounds(bench, kind, what, **client):
    """`what(cluster, prober)` gives the gap of one round; between rounds every replica gets in sync.

    Each round has a client of its own: librdkafka keeps away from a broker that it lost a moment ago for up to
    `reconnect.backoff.max.ms` (ten seconds), also when that one leads again, and would measure the round before.
    """
    gaps, errors = [], 0
    with three_brokers(bench, kind, partitions=bench.partitions) as cluster:
        for number in range(rounds_of(bench, kind)):
            prober = Prober(cluster, cluster.folder, partitions=range(bench.partitions), **client)
            try:
                time.sleep(SETTLED_SECONDS)
                gaps.append(what(cluster, prober))
                cluster.wait_complete()
                cluster.wait_in_sync(BACK_SECONDS_MAX)
                spread_leaders(cluster)
            finally:
                prober.end()
            errors += len(prober.errors)
            print(f"  {kind.name} round {number + 1}: {gaps[-1]:.0f} ms", file=sys.stderr, flush=True)
    return gaps, errors


def spread_leaders(cluster):
    """Each partition's first replica leads again, so that the next client has connections to several brokers."""
    admin = cluster.admin()
    with contextlib.suppress(KafkaException):
        admin.elect_leaders(ElectionType.PREFERRED).result()
    cluster.wait_in_sync(BACK_SECONDS_MAX, preferred=True)


def gap_table(bench, name, title, what, **client):
    rows, found = [], {}
    for kind in bench.kinds:
        gaps, errors = gap_rounds(bench, kind, what, **client)
        found[kind.name] = gaps
        rows.append((
            kind.name.capitalize(), len(gaps), figure(percentile(gaps, 50), 0), figure(percentile(gaps, 99), 0), figure(max(gaps), 0), errors,
        ))  # fmt: skip
    table(title, ("brokers", "rounds", "p50 (ms)", "p99 (ms)", "worst (ms)", "records that failed"), rows)
    if bench.plots:
        draw_gaps(bench.plots / f"{name}.svg", title, found)


# --- the figures -----------------------------------------------------------------------------------------------------------


def failover(bench):
    def kill(cluster, prober):
        broker = cluster.leader(TOPIC)
        gap = harm(prober, broker.kill, HARMED)
        broker.start()
        return gap

    gap_table(bench, "failover", "Gap of acknowledgements around kill -9 of the leader", kill)


def frozen(bench):
    """The client gives a request up after a second; it would wait thirty for a broker that hangs."""

    def freeze(cluster, prober):
        broker = cluster.leader(TOPIC)
        gap = harm(prober, broker.freeze, HARMED, at_least=2)
        broker.thaw()
        return gap

    client = {"request.timeout.ms": 1000, "socket.timeout.ms": 1000}
    gap_table(bench, "frozen", "Gap around SIGSTOP of the leader, request.timeout.ms=1000", freeze, **client)


def rolling(bench):
    def restart(cluster, prober):
        broker = cluster.leader(TOPIC)
        gap = harm(prober, broker.stop, HARMED)
        broker.start()
        return gap

    gap_table(bench, "rolling", "Gap around a clean stop of the leader", restart)


def controller(bench):
    """Partitions that the controller does not lead are not to notice its end."""
    rows = []
    for kind in bench.kinds:
        gaps, errors = [], 0
        with three_brokers(bench, kind, partitions=3) as cluster:
            prober = Prober(cluster, cluster.folder, partitions=(0, 1, 2))
            try:
                for _ in range(min(rounds_of(bench, kind), 20)):
                    number = cluster.controller_number()
                    others = [index for index in range(3) if cluster.partition(TOPIC, index)["leader"] != number]
                    gaps.append(harm(prober, cluster.brokers[number].kill, others, at_least=3))
                    cluster.brokers[number].start()
                    cluster.wait_complete()
                    cluster.wait_in_sync(BACK_SECONDS_MAX)
            finally:
                prober.end()
                errors = len(prober.errors)
        rows.append((kind.name.capitalize(), len(gaps), figure(percentile(gaps, 50), 0), figure(max(gaps), 0), errors))
    header = ("brokers", "rounds", "p50 (ms)", "worst (ms)", "records that failed")
    table("Gap around kill -9 of the controller, on partitions that it does not lead", header, rows)


def zookeeper_away(bench):
    rows = []
    for kind in bench.kinds:
        with three_brokers(bench, kind) as cluster:
            prober = Prober(cluster, cluster.folder)
            try:
                time.sleep(3)
                began = now()
                for member in cluster.ensemble.members:
                    member.kill()
                time.sleep(bench.away_seconds)
                while_away = prober.gap_ms(began)
                back = now()
                cluster.ensemble.start()
                time.sleep(15)
                rows.append((kind.name.capitalize(), bench.away_seconds, figure(while_away, 0), figure(prober.gap_ms(back), 0)))
            finally:
                prober.end()
            assert not prober.errors, prober.errors[:3]
    header = ("brokers", "away for (s)", "longest gap while it is away (ms)", "when it is back (ms)")
    table("All of ZooKeeper away, acks=all", header, rows)


def partitions_failover(bench):
    """From kill -9 of one broker until another one tells that every partition is led by a living one."""
    rows = []
    for kind in bench.kinds:
        seconds = []
        with three_brokers(bench, kind, partitions=0) as cluster:
            started = time.monotonic()
            for number in range(10):
                cluster.create_topic(f"many-{number}", PARTITIONS_MANY // 10, wait=False)
            wait_until(cluster.in_sync, 900, "every replica is in sync")
            created = time.monotonic() - started
            for number in list(cluster.brokers)[: bench.runs if kind.name == "whimbrel" else 1]:
                seconds.append(until_led(cluster, number))
                cluster.brokers[number].start()
                wait_until(cluster.in_sync, 900, "every replica is in sync")
        rows.append((kind.name.capitalize(), len(seconds), figure(created), figure(percentile(seconds, 50), 2), figure(max(seconds), 2)))
    header = ("brokers", "kills", "created and in sync (s)", "led again, median (s)", "worst (s)")
    table(f"{PARTITIONS_MANY:,} partitions with three replicas, one broker killed", header, rows)


def until_led(cluster, number):
    began = time.monotonic()
    cluster.brokers[number].kill()

    def led():
        told = cluster.told()
        states = [state for view in told.values() for (topic, _), state in view["partitions"].items() if topic.startswith("many-")]
        whole = len(states) == PARTITIONS_MANY * (len(cluster.brokers) - 1)
        return whole and all(state["leader"] not in (-1, number) for state in states)

    wait_until(led, 300, "every partition is led")
    return time.monotonic() - began
