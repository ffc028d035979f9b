"""Apache Kafka 3.9.2 and Whimbrel take turns on one data directory and one coordination service.

    Whimbrel with its embedded keeper → Kafka on `whimbrel keeper start` → Whimbrel again
    Kafka on Apache ZooKeeper → Whimbrel on that ZooKeeper → Kafka again

Beside the logs lies the copy of one that was damaged and set aside: nobody serves it, and nobody removes it.

Each broker writes records of every codec, with keys, headers, nulls and timestamps, over several segments, and commits
offsets; each next one must serve all of it, add to it, and leave every byte that was there. Once with clean stops, and
once with kill -9.
"""

import itertools
import pathlib
import shutil
import sys
import time

from confluent_kafka import Consumer, IsolationLevel, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from harness.checks import Checks, eventually
from harness.folders import temporary_folder
from harness.servers import SESSION_TIMEOUT_MS, Kafka, Keeper, Whimbrel, ZooKeeper

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
PARTITIONS = 2
RECORDS_PER_PARTITION = 400
TOPIC_CONFIG = {"segment.bytes": "20000", "retention.ms": "-1", "max.message.bytes": "900000"}
FIRST_OFFSET_KEPT = 150
GROUPS = {"readers": 17, "others": 333}
# The sessions of a broker that was killed must be over before another one registers under its id. ZooKeeper's servers
# allow no session shorter than this.
SESSION_SECONDS = max(SESSION_TIMEOUT_MS / 1000, 4) + 2
checks = Checks("one directory, two brokers")


class Turns:
    """What was written so far, and what each broker must serve."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.data = self.folder / "data"
        self.turn = 0
        self.records = {}
        self.ids = {}
        self.files = {}
        # Kafka checkpoints log start offsets once a minute only: after a crash, records that it deleted may be back.
        # Whimbrel notes them before it answers, and then they stay deleted, whoever is killed.
        self.log_start_is_noted = True

    def topic_names(self):
        return [f"turn-{codec}" for codec in CODECS]

    def first(self, broker):
        """Creates the topics, writes, commits, and deletes the first records of one topic."""
        admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 2})
        topics = [NewTopic(topic, PARTITIONS, 1, config=TOPIC_CONFIG) for topic in self.topic_names()]
        for future in admin.create_topics(topics).values():
            future.result()
        self.write(broker)
        self.ids = topic_ids(admin, self.topic_names())
        (deleted,) = admin.delete_records([TopicPartition("turn-none", 0, FIRST_OFFSET_KEPT)]).values()
        assert deleted.result().low_watermark == FIRST_OFFSET_KEPT

    def write(self, broker):
        """Adds records to every partition, and commits the groups' offsets."""
        self.turn += 1
        for codec, idempotent in zip(CODECS, itertools.cycle((True, False))):
            producer = Producer({
                "bootstrap.servers": broker.address, "compression.codec": codec, "enable.idempotence": idempotent,
                "linger.ms": 20, "batch.num.messages": 30, "log_level": 2,
            })  # fmt: skip
            for number in range(RECORDS_PER_PARTITION * PARTITIONS):
                self.send(producer, f"turn-{codec}", number)
            assert producer.flush(30) == 0
        self.commit(broker)

    def send(self, producer, topic, number):
        partition = number % PARTITIONS
        key = None if number % 7 == 0 else f"key-{number % 50}".encode()
        value = None if number % 11 == 0 else f"{self.turn}-{number}-".encode() + b"x" * (number % 300)
        headers = [("turn", str(self.turn).encode()), ("null", None)] if number % 3 == 0 else None
        stamp = 1_700_000_000_000 + 1000 * self.turn + number

        def delivered(error, message):
            assert error is None, error
            self.records.setdefault((topic, partition), {})[message.offset()] = (key, value, headers, stamp)

        producer.produce(topic, value, key, partition=partition, headers=headers, timestamp=stamp, on_delivery=delivered)
        producer.poll(0)

    def commit(self, broker):
        for group, offset in GROUPS.items():
            reader = consumer(broker, group)
            parts = [TopicPartition(topic, part, offset + self.turn, f"turn {self.turn}") for topic in self.topic_names() for part in range(PARTITIONS)]  # fmt: skip
            reader.commit(offsets=parts, asynchronous=False)
            reader.close()

    def verify(self, broker):
        """Every record, offset, id and config, as they were written."""
        admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 2})
        # A broker that has just started may not know its topics for a moment.
        eventually(lambda: set(self.topic_names()) <= admin.list_topics(timeout=20).topics.keys(), what="the topics")
        assert topic_ids(admin, self.topic_names()) == self.ids
        for (topic, partition), written in self.records.items():
            first = FIRST_OFFSET_KEPT if (topic, partition) == ("turn-none", 0) else 0
            self.verify_ends(admin, topic, partition, first, max(written) + 1)
            wanted = {offset: record for offset, record in written.items() if first <= offset}
            found = read_all(broker, topic, partition, first, len(wanted))
            assert found == wanted, first_difference(topic, partition, wanted, found)
        self.verify_times(broker)
        self.verify_groups(broker)
        for topic in self.topic_names():
            resource = ConfigResource("topic", topic)
            config = admin.describe_configs([resource])[resource].result()
            assert {key: config[key].value for key in TOPIC_CONFIG} == TOPIC_CONFIG, topic

    def verify_ends(self, admin, topic, partition, first, end):
        part = TopicPartition(topic, partition)
        for spec, wanted in ((OffsetSpec.earliest(), first), (OffsetSpec.latest(), end)):
            found = admin.list_offsets({part: spec}, isolation_level=IsolationLevel.READ_UNCOMMITTED)[part].result().offset
            came_back = wanted == first and found == 0 and not self.log_start_is_noted
            assert found == wanted or came_back, f"{topic}-{partition}: {found} instead of {wanted}"

    def verify_times(self, broker):
        """The time index leads to the first record at or after a time."""
        reader = consumer(broker, "times")
        for topic in self.topic_names():
            written = self.records[(topic, 1)]
            stamp = written[sorted(written)[len(written) // 2]][3]
            wanted = min(offset for offset, record in written.items() if record[3] >= stamp)
            (found,) = reader.offsets_for_times([TopicPartition(topic, 1, stamp)], timeout=20)
            assert found.offset == wanted, f"{topic} at {stamp}: {found.offset} instead of {wanted}"
        reader.close()

    def verify_groups(self, broker):
        for group, offset in GROUPS.items():
            reader = consumer(broker, group)
            parts = [TopicPartition(topic, part) for topic in self.topic_names() for part in range(PARTITIONS)]
            for part in reader.committed(parts, timeout=30):
                assert (part.offset, part.metadata) == (offset + self.turn, f"turn {self.turn}"), f"{group}: {part} {part.metadata}"
            reader.close()

    def set_aside(self):
        """Puts a damaged copy of a log beside it, under the name that Whimbrel gives to what it sets aside."""
        self.aside = self.data / f"turn-gzip-0.{0x1a21794ea1a00002079:032x}-stray"
        shutil.copytree(self.data / "turn-gzip-0", self.aside)
        segment = min(self.aside.glob("*.log"))
        damaged = bytearray(segment.read_bytes())
        damaged[8] ^= 0x80
        segment.write_bytes(damaged)
        self.aside_bytes = self.bytes_aside()

    def bytes_aside(self):
        return {path.name: path.read_bytes() for path in self.aside.glob("*.log")}

    def verify_aside(self, may_be_cut):
        """Kafka recovers it after a crash, like any log: it cuts it at the damage."""
        now = self.bytes_aside()
        assert now, f"{self.aside} was removed"
        assert may_be_cut or now == self.aside_bytes, f"{self.aside} was changed"

    def note_files(self):
        """Remembers the bytes of the logs, when no broker runs."""
        logs = (path for path in self.data.glob("turn-*/*.log") if path.parent != self.aside)
        self.files = {path.relative_to(self.data): path.read_bytes() for path in logs}

    def verify_files(self):
        """A broker only adds to what it found: codecs, batches, checksums and all."""
        for name, before in self.files.items():
            path = self.data / name
            # Segments below the log start offset are deleted.
            if path.exists():
                assert path.read_bytes()[: len(before)] == before, f"{name} was changed"


def consumer(broker, group):
    return Consumer({"bootstrap.servers": broker.address, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "error", "log_level": 2})  # fmt: skip


def read_all(broker, topic, partition, first, count):
    reader = consumer(broker, "verifier")
    reader.assign([TopicPartition(topic, partition, first)])
    found, deadline = {}, time.monotonic() + 40
    while len(found) < count:
        assert time.monotonic() < deadline, f"{topic}-{partition}: read {len(found)} of {count} records"
        for message in reader.consume(500, 0.2):
            assert message.error() is None, message.error()
            found[message.offset()] = (message.key(), message.value(), message.headers(), message.timestamp()[1])
    reader.close()
    return found


def first_difference(topic, partition, wanted, found):
    offset = min(offset for offset in wanted.keys() | found.keys() if wanted.get(offset) != found.get(offset))
    return f"{topic}-{partition}@{offset}: {found.get(offset)} instead of {wanted.get(offset)}"


def topic_ids(admin, topics):
    described = admin.describe_topics(TopicCollection(topics))
    return {topic: str(described[topic].result().topic_id) for topic in topics}


def take_turns(folder, brokers, end):
    """`brokers`: functions that start a broker and return (broker, what to stop after it)."""
    turns = Turns(folder)
    for number, start in enumerate(brokers):
        broker, helpers = start(turns.data)
        try:
            if number == 0:
                turns.first(broker)
            else:
                turns.verify(broker)
                turns.write(broker)
            turns.verify(broker)
            end(broker)
            if number == 0:
                turns.log_start_is_noted = end is stopped or isinstance(broker, Whimbrel)
                turns.set_aside()
            turns.verify_aside(may_be_cut=end is killed)
            turns.verify_files()
            turns.note_files()
            print(f"     turn {number + 1}: {broker.name} held", flush=True)
        finally:
            broker.kill()
            for helper in helpers:
                # The keeper notes the end of the sessions before it stops.
                wait_for_sessions(end)
                helper.stop()


def stopped(broker):
    broker.stop()


def killed(broker):
    broker.kill()


def wait_for_sessions(end):
    """Kafka does not register beside an earlier life of itself. (Whimbrel knows its own and ends them.)"""
    if end is killed:
        time.sleep(SESSION_SECONDS)


def on_our_keeper(end):
    with temporary_folder("turns") as folder:
        folders = (pathlib.Path(folder) / f"broker-{number}" for number in itertools.count())

        def whimbrel(data):
            return Whimbrel(next(folders), data=data).start(), []

        def kafka(data):
            keeper = Keeper(next(folders), data=data).start()
            try:
                wait_for_sessions(end)
                return Kafka(next(folders), data=data, zookeeper=keeper).start(), [keeper]
            except BaseException:
                keeper.kill()
                raise

        take_turns(folder, [whimbrel, kafka, whimbrel], end)


def on_real_zookeeper(end):
    with temporary_folder("turns") as folder:
        zookeeper = ZooKeeper(pathlib.Path(folder) / "zookeeper").start()
        folders = (pathlib.Path(folder) / f"broker-{number}" for number in itertools.count())

        def whimbrel(data):
            wait_for_sessions(end)
            return Whimbrel(next(folders), data=data, zookeeper=zookeeper).start(), []

        def kafka(data):
            wait_for_sessions(end)
            return Kafka(next(folders), data=data, zookeeper=zookeeper).start(), []

        try:
            take_turns(folder, [kafka, whimbrel, kafka], end)
        finally:
            zookeeper.kill()


@checks.check
def kafka_goes_on_where_whimbrel_stopped_and_back():
    on_our_keeper(stopped)


@checks.check
def kafka_goes_on_where_whimbrel_was_killed_and_back():
    on_our_keeper(killed)


@checks.check
def whimbrel_goes_on_where_kafka_stopped_and_back():
    on_real_zookeeper(stopped)


@checks.check
def whimbrel_goes_on_where_kafka_was_killed_and_back():
    on_real_zookeeper(killed)


checks.run(*sys.argv[1:])
