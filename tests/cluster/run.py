"""One scenario's run: its cluster, its clients, what they saw, and the verdict.

The clients are processes of their own: a producer and a group member each with librdkafka, kafka-python, Kafka's Java
client and franz-go, a probe whose acknowledgements are watched while the scenario goes on, and a reader at the end of the
log. They all write the history that `check-history` judges (crates/sim).
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

from cluster import replicas
from cluster.cluster import Cluster
from crash.history import History
from harness.servers import LOG4J, ServerError, wait_until

TOPIC, GROUP, PARTITIONS = "load", "mixed", 4
OFFSETS_PARTITIONS = 3
CLIENT_SECONDS_MAX = 120
FLOW_SECONDS_MAX = 60
WATCH_SECONDS = 0.2

# librdkafka gives a request up after this long, so that the probe leaves a broker that hangs.
PROBE_REQUEST_MS = 1000


class Acknowledgements:
    """The probe's acknowledgements, read from its history while it goes on writing."""

    def __init__(self, path):
        self.path, self.at, self.rest = path, 0, ""
        self.sent, self.acked = {}, {}

    def read(self):
        if not self.path.exists():
            return
        with open(self.path) as lines:
            lines.seek(self.at)
            text = self.rest + lines.read()
            self.at = lines.tell()
        *complete, self.rest = text.split("\n")
        for line in complete:
            event = json.loads(line)
            if event["event"] == "send":
                self.sent[event["number"]] = event["t"]
            elif event["event"] == "ack":
                self.acked.setdefault(event["partition"], []).append((event["t"], event["number"]))

    def sent_after(self, t, partition):
        """Whether a record that was sent after `t` is acknowledged."""
        answers = self.acked.get(partition, ())
        return any(self.sent[number] > t for _, number in reversed(answers[-50:]))

    def longest_gap_ms(self, partition, since, until):
        """The longest time between two acknowledgements that are not both outside of the window."""
        times = [t for t, _ in self.acked.get(partition, ())]
        gaps = [(after - before) / 1e6 for before, after in zip(times, times[1:]) if since <= after and before <= until]
        return max(gaps, default=None)


class Run:
    def __init__(self, world, name, full, languages, properties=None):
        self.world, self.name, self.full, self.languages = world, name, full, languages
        self.folder = pathlib.Path(world.folder) / name
        self.folder.mkdir()
        self.history = History(self.folder, "scenario")
        self.cluster = Cluster(
            self.folder, world.network, world.ensemble, chroot=f"/{name}", places=world.places, properties=properties
        )
        self.clients = {}
        self.acks = Acknowledgements(self.folder / "probe.jsonl")
        self.marks = []
        self.watching = False
        self.gaps = {}

    # --- clients ------------------------------------------------------------------------------------------------------

    def spawn(self, name, *command, **settings):
        settings = {"bootstrap": self.cluster.bootstrap, "topic": TOPIC, "partitions": PARTITIONS, "group": GROUP, **settings}
        words = [*self.world.client_place.prefix, *command, name, str(self.folder), json.dumps(settings)]
        with open(self.folder / f"{name}.log", "ab") as log:
            self.clients[name] = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def spawn_python(self, role, name, module="crash.clients", **settings):
        self.spawn(name, sys.executable, "-m", module, role, **settings)

    def spawn_java(self, name):
        java = ["java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dlog4j.configuration=file:{LOG4J}"]
        self.spawn(name, *java, "-cp", os.environ["JAVA_CLIENT"], "ClusterClient", "both", rate=100)

    def start_clients(self):
        quick = {"request.timeout.ms": PROBE_REQUEST_MS, "socket.timeout.ms": PROBE_REQUEST_MS}
        # When librdkafka meets a gap in its sequence while more than one request is under way, it takes a new producer epoch
        # and sends what may be stored already again under it (its issue 4953): no broker can know those records again. The
        # checker lets exactly that pass, and counts it; sequences within an epoch must be without gap and repetition.
        librdkafka = {"idempotent": True, "acks": "all", "renumbers": True}
        self.spawn_python("producer", "probe", **librdkafka, codec="none", rate=200, linger_ms=0, flush_seconds=0.05, client=quick)
        self.spawn_python("tail", "tail")
        if "librdkafka" in self.languages:
            self.spawn_python("producer", "librdkafka", **librdkafka, codec="lz4", rate=100, flush_seconds=0.5)
            self.spawn_python("member", "librdkafka-member", assignor="range", isolation="read_committed")
        if "kafka-python" in self.languages:
            self.spawn_python("producer", "kafka-python", "cluster.kafka_python_client", rate=30, flush_seconds=0.5)
            self.spawn_python("member", "kafka-python-member", "cluster.kafka_python_client")
        if "java" in self.languages:
            self.spawn_java("java")
        if "go" in self.languages:
            self.spawn("go", os.environ["GO_CHECKS"], "cluster", "both", rate=100)
        self.history.write("group", group=GROUP, topic=TOPIC)
        self.history.flush()

    def check_clients(self):
        for name, client in self.clients.items():
            if client.poll() is not None:
                raise ServerError(f"client {name} ended with {client.returncode}\n{self.tail_of(name)}")

    def tail_of(self, name):
        lines = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:] + [f"(log: {self.folder}/{name}.log)"])

    def wait_flow(self):
        """Everything moves: each producer on every partition, and the group."""
        wait_until(lambda: self.check_clients() or self.flows(), FLOW_SECONDS_MAX, "all produce, and the group processes")
        self.wait_progress(FLOW_SECONDS_MAX)

    def flows(self):
        time.sleep(0.2)
        acknowledged = {(event["producer"], event["partition"]) for event in self.events("ack")}
        processed = {event["partition"] for event in self.events("processed")}
        return len(processed) == PARTITIONS and len(acknowledged) == PARTITIONS * (1 + len(self.languages))

    def events(self, kind):
        for path in self.folder.glob("*.jsonl"):
            with open(path) as lines:
                for line in lines:
                    if f'"event":"{kind}"' in line and line.endswith("\n"):
                        yield json.loads(line)

    # --- what a scenario does -----------------------------------------------------------------------------------------

    def note(self, what):
        """Writes down what is done, and says it."""
        self.history.write("broker", what=what)
        self.history.flush()
        print(f"     {what}", flush=True)

    def begin_fault(self):
        """From here on gaps are counted."""
        self.since = self.history.now()

    def wait_progress(self, seconds, partitions=range(PARTITIONS)):
        """A record that is sent from now on is acknowledged, on each partition, within `seconds`."""
        began = self.history.now()

        def acknowledged():
            self.check_clients()
            self.acks.read()
            return all(self.acks.sent_after(began, partition) for partition in partitions)

        wait_until(acknowledged, seconds, f"acknowledgements of partitions {list(partitions)}")

    def longest_gap_ms(self, partitions=range(PARTITIONS)):
        self.acks.read()
        now = self.history.now()
        return max(self.acks.longest_gap_ms(partition, self.since, now) or 0 for partition in partitions)

    def settle(self):
        """The cluster is whole again: links, brokers, replicas, and everybody produces."""
        self.note("everything works again")
        self.cluster.wait_complete()
        self.cluster.wait_in_sync()
        self.wait_progress(30)

    # --- from the start to the verdict --------------------------------------------------------------------------------

    def start(self):
        self.cluster.start()
        self.cluster.create_topic(TOPIC, PARTITIONS)
        self.watch_leaders()
        self.start_clients()
        self.wait_flow()
        self.cluster.wait_in_sync()
        self.since = self.history.now()

    def watch_leaders(self):
        """Asks every broker again and again who leads, for as long as the run lasts."""
        self.watching = True
        history, known = History(self.folder, "leaders"), set()

        def watch():
            while self.watching:
                for view in self.cluster.told().values():
                    for (topic, index), state in view["partitions"].items():
                        key = topic, index, state["epoch"], state["leader"]
                        if state["leader"] >= 0 and key not in known:
                            known.add(key)
                            history.write("leader", topic=topic, partition=index, epoch=state["epoch"], leader=state["leader"])
                history.flush()
                time.sleep(WATCH_SECONDS)

        self.watcher = threading.Thread(target=watch, daemon=True)
        self.watcher.start()

    def touch(self, name):
        (self.folder / name).touch()

    def wait_for(self, names):
        deadline = time.monotonic() + CLIENT_SECONDS_MAX
        for name in names:
            client = self.clients.pop(name)
            try:
                status = client.wait(max(1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                client.kill()
                status = "no end"
            if status != 0:
                raise ServerError(f"client {name}: {status}\n{self.tail_of(name)}")

    def finish(self):
        """Lets the producers end, reads everything back, lets the group process the rest, and stops the brokers."""
        self.touch("stop")
        both = [name for name in self.clients if name in ("go", "java")]
        self.wait_for([name for name in self.clients if name not in both and not name.endswith("-member")])
        wait_until(lambda: self.check_clients() or self.have_produced(both), CLIENT_SECONDS_MAX, f"the producers {both} end")
        self.spawn_python("drain", "drain")
        self.wait_for(["drain"])
        ends = {event["partition"]: event["to"] for event in self.events("drained")}
        wait_until(lambda: self.group_is_at(ends), CLIENT_SECONDS_MAX, "the group processes everything")
        self.touch("processed")
        self.wait_for(list(self.clients))
        self.cluster.wait_in_sync()
        self.stop_watching()
        self.cluster.stop()

    def have_produced(self, names):
        return all((self.folder / f"{name}.produced").exists() for name in names)

    def group_is_at(self, ends):
        self.check_clients()
        newest = {}
        for event in self.events("processed"):
            newest[event["partition"]] = max(newest.get(event["partition"], 0), event["offset"] + 1)
        time.sleep(0.3)
        return all(newest.get(partition, 0) >= end for partition, end in ends.items())

    def stop_watching(self):
        if self.watching:
            self.watching = False
            self.watcher.join()

    def judge(self):
        """The checker's verdict over what the clients saw and what lies on the disks."""
        brokers = list(self.cluster.brokers.values())
        replicas.note_topic(self.history, brokers, TOPIC, PARTITIONS)
        replicas.note_offsets_topic(self.history, brokers, OFFSETS_PARTITIONS)
        self.history.flush()
        files = sorted(map(str, self.folder.glob("*.jsonl")))
        verdict = subprocess.run([os.environ["CHECK_HISTORY"], *files], capture_output=True, text=True)
        print("     " + verdict.stdout.strip().replace("\n", "\n     "), flush=True)
        assert verdict.returncode == 0, f"the checker found broken promises (history: {self.folder}) {verdict.stderr}"

    def end(self):
        with contextlib.suppress(Exception):
            self.stop_watching()
        for client in self.clients.values():
            client.kill()
        self.cluster.end()
