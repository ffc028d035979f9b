"""Runs docs/cluster.md: its files and command blocks, in their order, on three ZooKeepers and three brokers of this machine.

    python -m cluster.guide

A fence says what is done with it: `properties file=NAME` is a file, `sh run` is run, `sh run=start` stands for starting the
three brokers, `sh run=rolling` is run with an `ssh` that restarts the broker of that name. Names and ports of the guide's
machines become addresses of this one, and nothing else of the page is changed.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from harness import servers
from harness.network import LOOPBACK

PAGE = servers.ROOT / "docs" / "cluster.md"
FENCE = re.compile(r"^```(\w+) (file=\S+|run\S*)\n(.*?)^```$", re.M | re.S)
MACHINES = ("kafka1", "kafka2", "kafka3")
SECONDS_MAX = 600


def blocks():
    """The marked fences of the page: kind and text."""
    found = [(kind, text) for _, kind, text in FENCE.findall(PAGE.read_text())]
    assert [kind for kind, _ in found].count("run=start") == 1, "the guide starts its brokers once"
    return found


class GuideZooKeeper(servers.ZooKeeper):
    """A ZooKeeper with the guide's zoo.cfg."""

    def __init__(self, folder, number, text):
        super().__init__(folder)
        self.number, self.text, self.substitutes = number, text, {}

    def ready(self):
        """A server answers before it has a leader."""
        try:
            return "Mode: " in servers.four_letter_word("127.0.0.1", self.port, b"srvr")
        except OSError:
            return False

    def command(self):
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        (data / "myid").write_text(f"{self.number}\n")
        text = self.text.replace("/var/lib/zookeeper", str(data)).replace("clientPort=2181", f"clientPort={self.port}\nclientPortAddress=127.0.0.1")
        config = self.folder / "zoo.cfg"
        config.write_text(substitute(text, self.substitutes))
        return self.java([config])


class GuideBroker(servers.Whimbrel):
    """A broker with the guide's server.properties."""

    def __init__(self, folder, text):
        super().__init__(folder)
        self.text, self.substitutes = text, {}

    def write_properties(self):
        text = self.text.replace("0.0.0.0:9092", self.address).replace("/var/lib/whimbrel", str(self.data))
        text = text.replace("127.0.0.1:9644", "127.0.0.1:0")
        path = self.folder / "server.properties"
        path.write_text(substitute(text, self.substitutes))
        return path


def substitute(text, substitutes):
    for name, address in substitutes.items():
        text = text.replace(name, address)
    return text


def set_up(folder, files):
    zookeepers = [GuideZooKeeper(folder / f"zookeeper-{n}", n, files["zoo.cfg"]) for n in (1, 2, 3)]
    brokers = {name: GuideBroker(folder / name, files[f"server-{n}.properties"]) for n, name in enumerate(MACHINES, 1)}
    substitutes = {}
    for name, zookeeper, broker in zip(MACHINES, zookeepers, brokers.values()):
        substitutes[f"{name}:2181"] = zookeeper.address
        substitutes[f"{name}:9092"] = broker.address
        substitutes[f"{name}:2888:3888"] = f"127.0.0.1:{LOOPBACK.free_port()}:{LOOPBACK.free_port()}"
    for server in [*zookeepers, *brokers.values()]:
        server.substitutes = substitutes
    return zookeepers, brokers, substitutes


def start(zookeepers, brokers):
    # None of an ensemble is ready alone.
    for server in zookeepers:
        server.spawn()
    for server in zookeepers:
        server.wait_ready()
    for server in brokers.values():
        server.spawn()
    for server in brokers.values():
        server.wait_ready()


def restarter(folder, brokers, ended):
    """Restarts what the guide's `ssh` asks for."""
    while not ended.is_set():
        for name, broker in brokers.items():
            asked = folder / f"restart-{name}"
            if asked.exists():
                broker.stop()
                broker.start()
                asked.unlink()
        time.sleep(0.05)


def script(folder, found, substitutes):
    lines = ["set -euo pipefail", f"cd {folder}"]
    wait = f"while [[ -e {folder}/restart-$1 ]]; do sleep 0.05; done"
    lines.append(f"ssh() {{ {{ set +x; }} 2> /dev/null; touch {folder}/restart-$1; {wait}; set -x; }}")
    for kind, text in found:
        if kind in ("run", "run=rolling"):
            lines += ["set -x", substitute(text, substitutes), "{ set +x; } 2> /dev/null"]
    return "\n".join(lines)


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="whimbrel-guide-"))
    found = blocks()
    files = {kind.removeprefix("file="): text for kind, text in found if kind.startswith("file=")}
    zookeepers, brokers, substitutes = set_up(folder, files)
    ended = threading.Event()
    passed = False
    try:
        start(zookeepers, brokers)
        threading.Thread(target=restarter, args=(folder, brokers, ended), daemon=True).start()
        path = os.pathsep.join([os.path.dirname(os.path.abspath(servers.whimbrel_binary())), os.environ["PATH"]])
        command = ["bash", "-c", script(folder, found, substitutes)]
        subprocess.run(command, env={**os.environ, "PATH": path}, check=True, timeout=SECONDS_MAX)
        passed = True
    finally:
        ended.set()
        for server in [*brokers.values(), *zookeepers]:
            server.kill()
        if passed:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"the logs are in {folder}", file=sys.stderr)


if __name__ == "__main__":
    main()
