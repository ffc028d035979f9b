"""Starts and ends the servers of the tests: Whimbrel, its keeper, and the real Apache Kafka and Apache ZooKeeper.

Every server listens on a free port of its place (loopback, unless it is told of another), writes its output to a file in its own folder, and is ended by its process
id. A server keeps its port and its data over `kill()` and `start()`, so that its clients can come back to it.
"""

import os
import pathlib
import signal
import socket
import subprocess
import time

from . import wire
from .network import LOOPBACK

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOG4J = ROOT / "tests" / "java" / "log4j.properties"
LOG4J2 = LOG4J.with_name("log4j2.properties")

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30

# Short sessions, so that a broker that was killed can register again soon.
SESSION_TIMEOUT_MS = 2_000
TICK_TIME_MS = 500

# Of a cluster that has to be told one: 16 bytes in Base64.
CLUSTER_ID = "d2hpbWJyZWwtdGVzdHMtMQ"

# What both brokers are told. One replica of everything, and groups that do not wait for members that do not come.
COMMON_PROPERTIES = {
    "broker.id": "0",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "controlled.shutdown.enable": "false",
    "zookeeper.session.timeout.ms": str(SESSION_TIMEOUT_MS),
}


class ServerError(Exception):
    """A server did not start, or did not stop; the text names its log file."""


def wait_until(condition, seconds, what):
    """Waits for `condition()` to be true; raises `ServerError` naming `what` when `seconds` have passed."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ServerError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


class Server:
    """One server process. Sub-classes say how it is started and when it is ready."""

    name = "server"

    def __init__(self, folder, place=LOOPBACK):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.place = place
        self.port = place.free_port()
        self.log_path = self.folder / f"{self.name}.log"
        self.process = None

    def command(self):
        raise NotImplementedError

    def environment(self):
        return None

    def ready(self):
        raise NotImplementedError

    @property
    def pid(self):
        return self.process.pid

    @property
    def address(self):
        return f"{self.place.host}:{self.port}"

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def spawn(self):
        """Starts the process and returns at once."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [str(word) for word in (*self.place.prefix, *self.command())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment(),
                cwd=self.folder,
            )

    def start(self):
        """Starts the process and returns when it serves."""
        self.spawn()
        self.wait_ready()
        return self

    def wait_ready(self):
        def ready_or_dead():
            if not self.alive():
                raise ServerError(f"{self.name} ended with {self.process.returncode}\n{self.log_tail()}")
            return self.ready()

        wait_until(ready_or_dead, START_SECONDS_MAX, f"{self.name} ready (log: {self.log_path})")

    def kill(self):
        """`kill -9`."""
        if self.alive():
            self.process.kill()
            self.process.wait()

    def stop(self):
        """SIGTERM, and waits for a clean end."""
        if not self.alive():
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise ServerError(f"{self.name} did not stop within {STOP_SECONDS_MAX} s") from error

    def freeze(self):
        """SIGSTOP: the process is there, its connections too, and nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def restart_after_kill(self):
        self.kill()
        self.start()

    def log_text(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines=30):
        return "\n".join(self.log_text().splitlines()[-lines:])


class JavaServer(Server):
    """A server out of Kafka's jars."""

    main_class = ""
    # The variable that names the folder of its jars.
    jars = "KAFKA_JARS"
    heap = "512m"
    # The tests want a short start, the benchmarks what an operator would run.
    tuned_for_throughput = False

    def java_options(self):
        if self.tuned_for_throughput:
            return ["-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"]
        return [f"-Xmx{self.heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]

    def java(self, arguments, main_class=None):
        # Kafka 3 and ZooKeeper read the first, Kafka 4 the second.
        logging = [f"-Dlog4j.configuration=file:{LOG4J}", f"-Dlog4j2.configurationFile=file:{LOG4J2}"]
        class_path = f"{os.environ[self.jars]}/*"
        return ["java", *self.java_options(), *logging, "-cp", class_path, main_class or self.main_class, *arguments]


class ZooKeeper(JavaServer):
    """One Apache ZooKeeper 3.9.4."""

    name = "zookeeper"
    main_class = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
    heap = "256m"

    def settings(self):
        return {
            "dataDir": self.folder / "zookeeper-data",
            "clientPort": self.port,
            "clientPortAddress": self.place.host,
            "tickTime": TICK_TIME_MS,
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "*",
            "maxClientCnxns": 0,
        }

    def command(self):
        config = self.folder / "zoo.cfg"
        config.write_text("".join(f"{key}={value}\n" for key, value in self.settings().items()))
        return self.java([config])

    def ready(self):
        return answers_ruok(self.port)


class EnsembleMember(ZooKeeper):
    """One of several Apache ZooKeepers that vote. `number` counts from 1."""

    heap = "128m"

    def __init__(self, folder, place, number, session_ms_max):
        super().__init__(folder, place)
        self.number, self.session_ms_max = number, session_ms_max
        self.vote_ports = place.free_port(), place.free_port()
        self.members = []

    def settings(self):
        others = {f"server.{member.number}": "{}:{}:{}".format(member.place.host, *member.vote_ports) for member in self.members}
        limits = {"initLimit": 20, "syncLimit": 6, "maxSessionTimeout": self.session_ms_max}
        return {**super().settings(), **limits, **others}

    def command(self):
        data = self.folder / "zookeeper-data"
        data.mkdir(exist_ok=True)
        (data / "myid").write_text(f"{self.number}\n")
        return super().command()

    def mode(self):
        """`leader`, `follower`, or `None` while it does not serve (there is no majority)."""
        try:
            answer = four_letter_word(self.place.host, self.port, b"srvr")
        except OSError:
            return None
        return next((line.split()[1] for line in answer.splitlines() if line.startswith("Mode:")), None)

    def ready(self):
        return self.mode() is not None


class Ensemble:
    """Apache ZooKeepers, one in each place, that form one service."""

    def __init__(self, folder, places, session_ms_max=60_000):
        folder = pathlib.Path(folder)
        self.members = [
            EnsembleMember(folder / f"zookeeper-{number}", place, number, session_ms_max) for number, place in enumerate(places, 1)
        ]
        for member in self.members:
            member.members = self.members

    @property
    def address(self):
        return ",".join(member.address for member in self.members)

    def start(self):
        for member in self.members:
            if not member.alive():
                member.spawn()
        for member in self.members:
            member.wait_ready()
        return self

    def end(self):
        for member in self.members:
            member.kill()


class Keeper(Server):
    """`whimbrel keeper start`: Whimbrel's ZooKeeper server alone, on `data` (a broker's data directory)."""

    name = "keeper"

    def __init__(self, folder, data=None):
        super().__init__(folder)
        self.data = pathlib.Path(data) if data else self.folder / "data"

    def command(self):
        return [whimbrel_binary(), "keeper", "start", "--data", self.data, "--listen", self.address]

    def ready(self):
        return answers_ruok(self.port)


class Broker(Server):
    """A Kafka broker on `data`, with `properties` over the common ones."""

    def __init__(self, folder, properties=None, data=None, place=LOOPBACK):
        super().__init__(folder, place)
        self.data = pathlib.Path(data) if data else self.folder / "data"
        self.properties = dict(properties or {})

    def prepare(self):
        """What is done once, before the first start."""

    @property
    def pids(self):
        """Of the broker and of what was started for it alone."""
        return [self.pid]

    def all_properties(self):
        return {
            **COMMON_PROPERTIES,
            "listeners": f"PLAINTEXT://{self.address}",
            "log.dirs": str(self.data),
            **self.properties,
        }

    def write_properties(self):
        path = self.folder / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in self.all_properties().items()))
        return path

    def ready(self):
        return wire.broker_answers(self.port, self.place.host)

    def end(self):
        """Ends it, and what was started for it alone, at once."""
        self.kill()


class JavaBroker(Broker, JavaServer):
    """A broker out of Kafka's jars."""

    main_class = "kafka.Kafka"

    def command(self):
        return self.java([self.write_properties()])


class Kafka(JavaBroker):
    """Apache Kafka 3.9.2 in ZooKeeper mode. Starts a ZooKeeper of its own unless `zookeeper` names one."""

    name = "kafka"

    def __init__(self, folder, properties=None, data=None, zookeeper=None, place=LOOPBACK):
        super().__init__(folder, properties, data, place)
        self.own_zookeeper = None if zookeeper else ZooKeeper(self.folder)
        self.zookeeper = zookeeper or self.own_zookeeper

    def all_properties(self):
        return {**super().all_properties(), "zookeeper.connect": self.zookeeper.address}

    @property
    def pids(self):
        return [self.pid, self.own_zookeeper.pid] if self.own_zookeeper else [self.pid]

    def spawn(self):
        if self.own_zookeeper and not self.own_zookeeper.alive():
            self.own_zookeeper.start()
        super().spawn()

    def start(self):
        # Kafka refuses to register while the session of its killed self lives.
        if self.process is not None and self.process.returncode == -signal.SIGKILL:
            session_ms = int(self.all_properties()["zookeeper.session.timeout.ms"])
            time.sleep((session_ms + 2 * TICK_TIME_MS) / 1000)
        return super().start()

    def stop(self):
        super().stop()
        if self.own_zookeeper:
            self.own_zookeeper.stop()

    def end(self):
        super().end()
        if self.own_zookeeper:
            self.own_zookeeper.kill()


class KafkaOnKRaft(JavaBroker):
    """Apache Kafka 4.3.1, which needs no ZooKeeper: broker and controller in one process."""

    name = "kafka-4.3.1"
    jars = "KAFKA_4_JARS"

    def __init__(self, folder, properties=None, data=None, place=LOOPBACK):
        super().__init__(folder, properties, data, place)
        self.controller = f"{place.host}:{place.free_port()}"

    def all_properties(self):
        return {
            **super().all_properties(),
            "process.roles": "broker,controller",
            "node.id": "0",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{self.controller}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.quorum.voters": f"0@{self.controller}",
        }

    def prepare(self):
        """Gives the data directory its identity."""
        if (self.data / "meta.properties").exists():
            return
        words = ["format", "--cluster-id", CLUSTER_ID, "--config", self.write_properties()]
        command = [str(word) for word in self.java(words, "kafka.tools.StorageTool")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS_MAX, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise ServerError(f"{self.data} cannot be formatted: {done.stdout}{done.stderr}")

    def spawn(self):
        self.prepare()
        super().spawn()


class Whimbrel(Broker):
    """`whimbrel start`. Uses the keeper inside itself unless `zookeeper` names a server."""

    name = "whimbrel"

    def __init__(self, folder, properties=None, data=None, zookeeper=None, place=LOOPBACK):
        super().__init__(folder, properties, data, place)
        self.zookeeper = zookeeper

    def all_properties(self):
        properties = {**super().all_properties(), "whimbrel.http.listener": "127.0.0.1:0"}
        if self.zookeeper:
            properties["zookeeper.connect"] = self.zookeeper.address
        return properties

    def command(self):
        return [whimbrel_binary(), "start", "--config", self.write_properties()]


def whimbrel_binary():
    return os.environ["WHIMBREL"]


def answers_ruok(port, host="127.0.0.1"):
    """Whether a ZooKeeper server on `port` says that it is well."""
    try:
        return four_letter_word(host, port, b"ruok") == "imok"
    except OSError:
        return False


def four_letter_word(host, port, word):
    """What a ZooKeeper server answers to one of its four-letter commands."""
    with socket.create_connection((host, port), timeout=2) as connection:
        connection.sendall(word)
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
        return answer.decode()


def broker_under_test(folder, properties=None, **options):
    """The broker that `BROKER` names: `whimbrel` (the default) or `kafka`."""
    kind = {"whimbrel": Whimbrel, "kafka": Kafka}[os.environ.get("BROKER", "whimbrel")]
    return kind(folder, properties, **options)
