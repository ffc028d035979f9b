"""How long a new controller takes to read a large cluster and to take office, on one Apache ZooKeeper 3.9.4.

    PYTHONPATH=tests python3 -m bench.controller_load [--partitions N] [--topics N] [--runs N]

The partitions are written into ZooKeeper as Kafka writes them. Their replicas are on brokers that are not there, so what is
measured is the controller alone: no log is made and nobody is elected.
"""

import argparse
import json
import re
import sys
import tempfile

from kazoo.client import KazooClient

from harness.servers import Whimbrel, ZooKeeper, wait_until

TAKEN = re.compile(r"elapsed_ms=(\d+)[^\n]*taken office|taken office[^\n]*elapsed_ms=(\d+)")
READ = re.compile(r"read the state of the cluster[^\n]*elapsed_ms=(\d+)")


def populate(address, topics, partitions_each):
    """Writes topics, their configurations and the states of their partitions, many at once."""
    client = KazooClient(address)
    client.start()
    for path in ("/brokers/topics", "/config/topics"):
        client.ensure_path(path)
    assignment = {str(partition): [1001, 1002, 1003] for partition in range(partitions_each)}
    state = json.dumps({"version": 1, "leader": -1, "leader_epoch": 1, "controller_epoch": 1, "isr": [1001]}).encode()
    for number in range(topics):
        name = f"load-{number}"
        topic_id = f"{number:022d}"[:21] + "A"
        node = {"version": 3, "topic_id": topic_id, "partitions": assignment, "adding_replicas": {}, "removing_replicas": {}}
        root = f"/brokers/topics/{name}"
        waiting = [
            client.create_async(f"/config/topics/{name}", b'{"version":1,"config":{}}'),
            client.create_async(root, json.dumps(node).encode()),
            client.create_async(f"{root}/partitions"),
        ]
        for partition in range(partitions_each):
            waiting.append(client.create_async(f"{root}/partitions/{partition}"))
            waiting.append(client.create_async(f"{root}/partitions/{partition}/state", state))
        for result in waiting:
            result.get()
    client.stop()
    client.close()


def measure(partitions, topics, runs):
    """The milliseconds that each of `runs` controllers took to read everything, and to take office."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="whimbrel-load-") as folder:
        zookeeper = ZooKeeper(f"{folder}/zookeeper")
        zookeeper.heap = "1g"
        zookeeper.start()
        try:
            populate(zookeeper.address, topics, partitions // topics)
            for run in range(runs):
                broker = Whimbrel(f"{folder}/broker-{run}", {"zookeeper.session.timeout.ms": "30000"}, zookeeper=zookeeper)
                broker.start()
                try:
                    wait_until(lambda: TAKEN.search(broker.log_text()), 120, "the controller's office")
                    taken = TAKEN.search(broker.log_text())
                    read = READ.search(broker.log_text())
                    figures.append((int(read.group(1)), int(taken.group(1) or taken.group(2))))
                finally:
                    broker.stop()
        finally:
            zookeeper.kill()
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, default=100_000)
    parser.add_argument("--topics", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    for read, taken in measure(arguments.partitions, arguments.topics, arguments.runs):
        print(f"{arguments.partitions} partitions: read in {read} ms, in office after {taken} ms", flush=True)


if __name__ == "__main__":
    sys.exit(main())
