"""Several brokers and an ensemble of Apache ZooKeepers, and what the brokers tell about themselves.

The brokers are Whimbrel's or Apache Kafka's, behind one interface, so that a scenario and a measurement run against both.
"""

import json
import os
import pathlib

from confluent_kafka.admin import AdminClient, NewTopic
from kazoo.client import KazooClient

from harness import wire
from harness.network import LoopbackNetwork, NamespaceNetwork
from harness.servers import Ensemble, Kafka, Whimbrel, wait_until

KINDS = {"whimbrel": Whimbrel, "kafka": Kafka}
SETTLE_SECONDS_MAX = 60

# Kafka registers again only when the session of its earlier life is over, so its tests wait for that; Whimbrel's keep
# Kafka's default, which shows that nobody waits for the session.
SESSION_MS = {"whimbrel": 18_000, "kafka": 6_000}

CLUSTER_PROPERTIES = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "offsets.topic.num.partitions": "3",
    "transaction.state.log.replication.factor": "3",
    "controlled.shutdown.enable": "true",
    # A follower that hangs holds up acks=all for this long.
    "replica.lag.time.max.ms": "3000",
    "auto.leader.rebalance.enable": "false",
    "log.segment.delete.delay.ms": "1000",
    # The last broker that stops has nobody to give its leaderships to.
    "controlled.shutdown.max.retries": "1",
    "controlled.shutdown.retry.backoff.ms": "500",
}


class Zookeepers:
    """A started ensemble under one path, as a broker's setting names it."""

    def __init__(self, ensemble, chroot):
        self.address = ensemble.address + chroot


class Cluster:
    """Brokers 1 to `count`, each in a place of its own, on `ensemble` under the path `chroot`."""

    def __init__(self, folder, network, ensemble, kind=None, count=3, chroot="", properties=None, places=None):
        self.kind = kind or os.environ.get("BROKER", "whimbrel")
        self.folder, self.network, self.ensemble = pathlib.Path(folder), network, ensemble
        self.zookeepers = Zookeepers(ensemble, chroot)
        self.properties = {"zookeeper.session.timeout.ms": str(SESSION_MS[self.kind]), **CLUSTER_PROPERTIES, **(properties or {})}
        places = places or [network.place(f"broker{number}") for number in range(1, count + 1)]
        self.brokers = {number: self.broker(number, place) for number, place in enumerate(places, 1)}

    def broker(self, number, place):
        properties = {**self.properties, "broker.id": str(number), "broker.rack": f"rack-{number}"}
        return KINDS[self.kind](self.folder / f"broker-{number}", properties, zookeeper=self.zookeepers, place=place)

    @property
    def bootstrap(self):
        return ",".join(broker.address for broker in self.brokers.values())

    def start(self):
        """Starts every broker, and returns when each of them knows all of them."""
        for broker in self.brokers.values():
            broker.spawn()
        for broker in self.brokers.values():
            broker.wait_ready()
        self.wait_complete()
        return self

    def wait_complete(self):
        def complete():
            told = self.told()
            return len(told) == len(self.brokers) and all(view["brokers"].keys() == self.brokers.keys() for view in told.values())

        wait_until(complete, SETTLE_SECONDS_MAX, "every broker knows every broker")

    def stop(self):
        """A clean stop of all, in the order of their numbers."""
        for broker in self.brokers.values():
            broker.stop()

    def end(self):
        for broker in self.brokers.values():
            broker.kill()

    # --- what the brokers tell ---------------------------------------------------------------------------------------

    def told(self):
        """What each broker that answers tells of the cluster, by its number."""
        views = {}
        for number, broker in self.brokers.items():
            if broker.alive():
                try:
                    views[number] = wire.cluster_metadata(broker.place.host, broker.port)
                except (OSError, ConnectionError):
                    continue
        return views

    def partition(self, topic, index=0):
        """The newest state of a partition that any broker tells."""
        states = [view["partitions"][topic, index] for view in self.told().values() if (topic, index) in view["partitions"]]
        return max(states, key=lambda state: (state["epoch"], state["leader"] >= 0), default=None)

    def leader(self, topic, index=0):
        """The broker that leads a partition."""
        state = self.partition(topic, index)
        return self.brokers[state["leader"]] if state and state["leader"] in self.brokers else None

    def follower(self, topic, index=0):
        """A broker that holds a replica of the partition and does not lead it; not the controller, if that is possible."""
        state, controller = self.partition(topic, index), self.controller_number()
        others = [number for number in state["replicas"] if number != state["leader"]]
        return self.brokers[min(others, key=lambda number: number == controller)]

    def controller_number(self):
        with self.zookeeper() as zookeeper:
            return json.loads(zookeeper.get("/controller")[0])["brokerid"]

    def controller(self):
        return self.brokers[self.controller_number()]

    def coordinator(self, group):
        for broker in self.brokers.values():
            if broker.alive():
                try:
                    number = wire.coordinator_of(broker.place.host, broker.port, group)
                except (OSError, ConnectionError):
                    continue
                if number in self.brokers:
                    return self.brokers[number]
        return None

    def zookeeper(self):
        return ZooKeeperClient(self.zookeepers.address)

    # --- what is done to it -------------------------------------------------------------------------------------------

    def admin(self):
        """To be kept in a variable: what it was asked for is given up when it goes."""
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def create_topic(self, topic, partitions, replicas=3, config=None, wait=True):
        """Creates a topic; `wait`: until every replica is in sync, which needs every broker."""
        admin = self.admin()
        admin.create_topics([NewTopic(topic, partitions, replicas, config=config or {})], operation_timeout=30)[topic].result()
        if wait:
            self.wait_in_sync()

    def delete_topic(self, topic):
        admin = self.admin()
        admin.delete_topics([topic], operation_timeout=30)[topic].result()

    def wait_in_sync(self, seconds=SETTLE_SECONDS_MAX, preferred=False):
        """Every partition has a leader and all of its replicas in sync, and every broker says so."""
        wait_until(lambda: self.in_sync(preferred), seconds, "every replica is in sync, and every broker knows")

    def in_sync(self, preferred=False):
        told = self.told()
        if len(told) < len(self.brokers):
            return False
        views = [view["partitions"] for view in told.values()]
        good = all(healthy(state, preferred) for view in views for state in view.values())
        return good and agree(views)


def healthy(state, preferred):
    led = 0 <= state["leader"] and sorted(state["isr"]) == sorted(state["replicas"])
    return led and (not preferred or state["leader"] == state["replicas"][0])


def agree(views):
    """Whether every broker tells the same of every partition."""

    def comparable(view):
        return {key: (state["leader"], state["epoch"], sorted(state["isr"])) for key, state in view.items()}

    return all(comparable(view) == comparable(views[0]) for view in views[1:])


class ZooKeeperClient:
    """A ZooKeeper session for the length of a `with` block."""

    def __init__(self, address):
        self.client = KazooClient(hosts=address, timeout=10)

    def __enter__(self):
        self.client.start(timeout=15)
        return self.client

    def __exit__(self, *_):
        self.client.stop()
        self.client.close()


def network_for(light):
    """The network of a run: namespaces, or loopback alone for what cuts no link."""
    return LoopbackNetwork() if light else NamespaceNetwork()
