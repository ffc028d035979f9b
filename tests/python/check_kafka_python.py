"""Checks the broker at $BOOTSTRAP with kafka-python, a client that shares no code with librdkafka or Java."""

import itertools
import os
import sys
import threading
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewPartitions, NewTopic
from kafka.errors import MessageSizeTooLargeError, TopicAlreadyExistsError
from kafka.structs import OffsetAndMetadata

from harness.checks import Checks, eventually
from harness.control import control

BOOTSTRAP = os.environ["BOOTSTRAP"]
NAMES = itertools.count()
RUN = f"{time.time_ns() & 0xFFFFFF:x}"
checks = Checks("kafka-python")


def name(prefix):
    return f"{prefix}-{RUN}-{next(NAMES)}"


def new_topic(partitions=1, **config):
    topic = name("topic")
    client = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    settings = {key.replace("_", "."): value for key, value in config.items()}
    client.create_topics([NewTopic(topic, partitions, 1, topic_configs=settings)])
    client.close()
    return topic


def fill(topic, count, partition=0, **settings):
    """Sends `count` records and returns the offsets of their acknowledgements."""
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, **settings)
    sent = [producer.send(topic, b"v-%d" % i, b"k-%d" % i, partition=partition) for i in range(count)]
    producer.flush(30)
    offsets = [future.get(10).offset for future in sent]
    producer.close()
    return offsets


def read_all(topic, count, partition=0):
    reader = KafkaConsumer(bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest", check_crcs=True)
    reader.assign([TopicPartition(topic, partition)])
    records, deadline = [], time.monotonic() + 30
    while len(records) < count:
        assert time.monotonic() < deadline, f"read {len(records)} of {count} records in 30 s"
        for batch in reader.poll(200).values():
            records += batch
    reader.close()
    return records


@checks.check
def every_codec_is_sent_and_read_back():
    for codec in (None, "gzip", "snappy", "lz4", "zstd"):
        topic = new_topic()
        assert fill(topic, 500, compression_type=codec, linger_ms=20) == list(range(500)), codec
        assert [record.value for record in read_all(topic, 500)] == [b"v-%d" % i for i in range(500)], codec


@checks.check
def every_acks_setting_delivers():
    for acks in (0, 1, "all"):
        topic = new_topic()
        fill(topic, 200, acks=acks, enable_idempotence=False)
        assert len(read_all(topic, 200)) == 200


@checks.check
def idempotent_producer_gets_gapless_offsets():
    assert fill(new_topic(), 1000, enable_idempotence=True, batch_size=200) == list(range(1000))


@checks.check
def headers_nulls_and_timestamps_survive():
    topic = new_topic()
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP)
    producer.send(topic, None, b"key", headers=[("a", b"1"), ("b", b"")], timestamp_ms=1_700_000_000_000).get(10)
    producer.close()
    (record,) = read_all(topic, 1)
    assert (record.key, record.value, record.timestamp) == (b"key", None, 1_700_000_000_000)
    assert [tuple(header) for header in record.headers] == [("a", b"1"), ("b", b"")]


@checks.check
def offsets_of_ends_and_times():
    topic = new_topic()
    part = TopicPartition(topic, 0)
    fill(topic, 20)
    reader = KafkaConsumer(bootstrap_servers=BOOTSTRAP)
    assert reader.beginning_offsets([part]) == {part: 0}
    assert reader.end_offsets([part]) == {part: 20}
    assert reader.offsets_for_times({part: 0})[part].offset == 0
    reader.close()


class Member:
    """A group member that polls in a thread of its own and commits after each poll."""

    def __init__(self, topic, group):
        self.values, self.stopping, self.assigned = [], False, set()
        self.reader = KafkaConsumer(
            topic, bootstrap_servers=BOOTSTRAP, group_id=group, auto_offset_reset="earliest",
            enable_auto_commit=False, session_timeout_ms=6000, heartbeat_interval_ms=200, metadata_max_age_ms=1000,
        )  # fmt: skip
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopping:
            for batch in self.reader.poll(100).values():
                self.values += [record.value for record in batch]
            self.assigned = set(self.reader.assignment())
            if self.values:
                self.commit()
        self.reader.close()

    def commit(self):
        try:
            self.reader.commit()
        except Exception as error:
            assert "Rebalanc" in type(error).__name__ or "CommitFailed" in type(error).__name__, repr(error)

    def close(self):
        self.stopping = True
        self.thread.join()


def shared(members, partitions):
    parts = [member.assigned for member in members]
    return all(parts) and sum(map(len, parts)) == partitions == len(set().union(*parts))


@checks.check
def members_join_share_and_leave():
    topic, group = new_topic(4), name("group")
    first = Member(topic, group)
    eventually(lambda: shared([first], 4), what="one member has all")
    second = Member(topic, group)
    eventually(lambda: shared([first, second], 4), 30, "two share")
    for partition in range(4):
        fill(topic, 25, partition)
    eventually(lambda: len(first.values) + len(second.values) == 100, what="all read")
    second.close()
    eventually(lambda: shared([first], 4), 30, "the one that is left has all")
    first.close()


@checks.check
def a_group_goes_on_from_its_commit():
    topic, group = new_topic(), name("commit")
    fill(topic, 100)
    part = TopicPartition(topic, 0)
    reader = KafkaConsumer(bootstrap_servers=BOOTSTRAP, group_id=group, enable_auto_commit=False)
    reader.assign([part])
    reader.commit({part: OffsetAndMetadata(40, "forty", -1)})
    assert reader.committed(part) == 40
    reader.close()
    reader = KafkaConsumer(topic, bootstrap_servers=BOOTSTRAP, group_id=group, enable_auto_commit=False)
    records = eventually(lambda: reader.poll(200), what="records")
    assert records[part][0].offset == 40
    reader.close()


@checks.check
def topics_groups_and_cluster_are_administered():
    client = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    topic = name("admin")
    client.create_topics([NewTopic(topic, 2, 1)])
    try:
        client.create_topics([NewTopic(topic, 2, 1)])
        raise AssertionError("an existing topic was created again")
    except TopicAlreadyExistsError:
        pass
    assert topic in client.list_topics()
    assert len(client.describe_topics([topic])[0]["partitions"]) == 2
    assert len(client.describe_cluster()["brokers"]) == 1
    client.create_partitions({topic: NewPartitions(3)})
    eventually(lambda: len(client.describe_topics([topic])[0]["partitions"]) == 3, what="three partitions")
    client.delete_topics([topic])
    eventually(lambda: topic not in client.list_topics(), what="deleted")
    client.close()


@checks.check
def errors_have_their_codes():
    topic = new_topic(max_message_bytes="1000")
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP)
    try:
        producer.send(topic, b"x" * 5000).get(20)
        raise AssertionError("a record above max.message.bytes was accepted")
    except MessageSizeTooLargeError:
        pass
    producer.close()


@checks.check
def clients_come_back_after_kill_9():
    topic = new_topic()
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, enable_idempotence=True, retry_backoff_ms=50, reconnect_backoff_max_ms=200)
    sent = [producer.send(topic, b"v-%d" % i, partition=0) for i in range(200)]
    sent[50].get(20)
    control("kill")
    sent += [producer.send(topic, b"v-%d" % i, partition=0) for i in range(200, 400)]
    control("start")
    assert [future.get(60).offset for future in sent] == list(range(400))
    producer.close()
    assert [record.value for record in read_all(topic, 400)] == [b"v-%d" % i for i in range(400)]


checks.run(*sys.argv[1:])
