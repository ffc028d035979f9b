"""Kills the broker again and again under load, and checks what its clients saw.

    ./test crash [--cycles N] [--seed N]

Producers (idempotent and plain, acks=1 and all), two groups of two members, and readers at the end of the log run while
the broker is killed with SIGKILL after a random time, started again, and sometimes killed while it starts. At the end
everything is read back, and `check-history` holds the history against the promises. Members are killed too, now and then.

A process that is killed keeps what the kernel has in its page cache: so acks=1 must survive this loop as acks=all does.
What acks=all promises on top, to survive a loss of power, is not tested here.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time

from crash.history import History
from harness.folders import temporary_folder
from harness.servers import ServerError, broker_under_test, wait_until
from harness import wire

TOPIC = "load"
PARTITIONS = 4
PRODUCERS = [
    # name, idempotent, acks, codec, records per second
    ("idempotent-all", True, "all", "lz4", 400),
    ("idempotent-more", True, "all", "none", 400),
    ("plain-one", False, "1", "zstd", 300),
    ("plain-all", False, "all", "snappy", 300),
]
GROUPS = [("eager", "range", "read_uncommitted"), ("cooperative", "cooperative-sticky", "read_committed")]
MEMBERS_PER_GROUP = 2
UP_SECONDS = (0.3, 4.0)
KILL_WHILE_STARTING_SHARE = 0.15
KILL_MEMBER_SHARE = 0.2
CLIENT_SECONDS_MAX = 120


class Loop:
    def __init__(self, folder, seed):
        self.folder = folder
        self.random = random.Random(seed)
        self.history = History(folder, "loop")
        self.broker = broker_under_test(os.path.join(folder, "broker"), {"num.partitions": str(PARTITIONS)})
        self.clients = {}
        self.ready_seconds = []
        self.names = 0

    def spawn(self, role, name, **settings):
        settings = {"bootstrap": self.broker.address, "topic": TOPIC, "partitions": PARTITIONS, **settings}
        log = open(os.path.join(self.folder, f"{name}.log"), "ab")
        command = [sys.executable, "-m", "crash.clients", role, name, self.folder, json.dumps(settings)]
        self.clients[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()

    def spawn_member(self, group):
        name, assignor, isolation = group
        self.names += 1
        self.spawn("member", f"{name}-{self.names}", group=name, assignor=assignor, isolation=isolation)

    def start_clients(self):
        for name, idempotent, acks, codec, rate in PRODUCERS:
            self.spawn("producer", name, idempotent=idempotent, acks=acks, codec=codec, rate=rate)
        for group in GROUPS:
            self.history.write("group", group=group[0], topic=TOPIC)
            for _ in range(MEMBERS_PER_GROUP):
                self.spawn_member(group)
        self.spawn("tail", "tail")

    def note(self, what):
        self.history.write("broker", what=what)

    def cycle(self):
        """One life of the broker: some seconds of load, the kill, and the start."""
        time.sleep(self.random.uniform(*UP_SECONDS))
        self.check_clients()
        self.note("kill")
        self.broker.kill()
        if self.random.random() < KILL_MEMBER_SHARE:
            self.replace_member()
        if self.random.random() < KILL_WHILE_STARTING_SHARE:
            self.note("start, to be killed")
            self.broker.spawn()
            time.sleep(self.random.uniform(0.0, 0.5))
            self.broker.kill()
        self.note("start")
        started = time.monotonic()
        self.broker.start()
        self.ready_seconds.append(time.monotonic() - started)
        self.note("ready")

    def replace_member(self):
        group = self.random.choice(GROUPS)
        name = self.random.choice([name for name in self.clients if name.startswith(f"{group[0]}-")])
        self.clients.pop(name).kill()
        self.spawn_member(group)

    def check_clients(self):
        for name, client in self.clients.items():
            if client.poll() is not None:
                raise ServerError(f"client {name} ended with {client.returncode} (log: {self.folder}/{name}.log)")

    def touch(self, name):
        open(os.path.join(self.folder, name), "w").close()

    def wait_for(self, names):
        failed = []
        deadline = time.monotonic() + CLIENT_SECONDS_MAX
        for name in names:
            client = self.clients.pop(name)
            try:
                status = client.wait(max(1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                client.kill()
                status = "no end"
            if status != 0:
                failed.append(f"{name}: {status} (log: {self.folder}/{name}.log)")
        if failed:
            raise ServerError("clients failed: " + "; ".join(failed))

    def finish(self):
        """Lets the producers end, reads everything back, and lets the groups process the rest."""
        self.touch("stop")
        self.wait_for([name for name, *_ in PRODUCERS] + ["tail"])
        self.spawn("drain", "drain")
        self.wait_for(["drain"])
        ends = self.ends()
        wait_until(lambda: self.groups_are_at(ends), CLIENT_SECONDS_MAX, "the groups process everything")
        self.touch("processed")
        self.wait_for(list(self.clients))
        self.history.flush()

    def ends(self):
        with open(os.path.join(self.folder, "drain.jsonl")) as lines:
            drained = [event for event in map(json.loads, lines) if event["event"] == "drained"]
        return {event["partition"]: event["to"] for event in drained}

    def groups_are_at(self, ends):
        """Whether each group's newest commits are at the ends, by the members' own notes."""
        self.check_clients()
        for group, *_ in GROUPS:
            newest = {}
            for name in os.listdir(self.folder):
                if not (name.startswith(f"{group}-") and name.endswith(".jsonl")):
                    continue
                with open(os.path.join(self.folder, name)) as lines:
                    for line in lines:
                        if '"event":"processed"' in line and line.endswith("\n"):
                            event = json.loads(line)
                            part = event["partition"]
                            newest[part] = max(newest.get(part, 0), event["offset"] + 1)
            if any(newest.get(part, 0) < end for part, end in ends.items()):
                time.sleep(0.5)
                return False
        return True

    def end(self):
        for client in self.clients.values():
            client.kill()
        self.broker.end()


def create_topic(port):
    """By asking for it, with num.partitions partitions."""

    def has_leaders():
        with wire.connect(port) as connection:
            connection.sendall(wire.metadata_request(1, topics=[TOPIC]))
            _, body = wire.receive_frame(connection)
            at = body.index(wire.string(TOPIC))
            return body[at - 2 : at] == b"\0\0"

    wait_until(has_leaders, 20, f"topic {TOPIC}")


def run(folder, cycles, seed):
    loop = Loop(folder, seed)
    try:
        loop.broker.start()
        create_topic(loop.broker.port)
        loop.start_clients()
        for cycle in range(cycles):
            loop.cycle()
            print(f"cycle {cycle + 1} of {cycles}: ready after {loop.ready_seconds[-1]:.2f} s", flush=True)
        time.sleep(2)
        loop.finish()
    finally:
        loop.end()
    files = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".jsonl")]
    status = subprocess.run([os.environ["CHECK_HISTORY"], *files]).returncode
    ready = sorted(loop.ready_seconds)
    print(f"{cycles} kills, ready again after {ready[len(ready) // 2]:.2f} s (median), {ready[-1]:.2f} s (worst)")
    return status


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed} (the times of the machine are not part of it)")
    with temporary_folder("crash") as folder:
        sys.exit(run(folder, arguments.cycles, arguments.seed))


if __name__ == "__main__":
    main()
