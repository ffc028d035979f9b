"""Checks the broker at $BOOTSTRAP with confluent-kafka-python, the Python binding of librdkafka."""

import itertools
import os
import sys
import threading
import time

from confluent_kafka import (
    OFFSET_BEGINNING,
    TIMESTAMP_CREATE_TIME,
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)

from harness.checks import Checks, eventually
from harness.control import control

BOOTSTRAP = os.environ["BOOTSTRAP"]
NAMES = itertools.count()
RUN = f"{time.time_ns() & 0xFFFFFF:x}"
# Refused connections are expected here.
QUIET = {"log_level": 2}
ADMIN = AdminClient({"bootstrap.servers": BOOTSTRAP, **QUIET})
checks = Checks("confluent-kafka")


def name(prefix):
    return f"{prefix}-{RUN}-{next(NAMES)}"


def new_topic(partitions=1, **config):
    topic = name("topic")
    settings = {key.replace("_", "."): value for key, value in config.items()}
    ADMIN.create_topics([NewTopic(topic, partitions, 1, config=settings)])[topic].result()
    return topic


def consumer(**settings):
    base = {"bootstrap.servers": BOOTSTRAP, "group.id": name("group"), "auto.offset.reset": "earliest", "enable.auto.commit": False, **QUIET}
    return Consumer({**base, **{key.replace("_", "."): value for key, value in settings.items()}})


def fill(topic, count, partition=0, **settings):
    """Sends `count` records, and returns the offsets of their acknowledgements."""
    producer = Producer({"bootstrap.servers": BOOTSTRAP, **QUIET, **{key.replace("_", "."): value for key, value in settings.items()}})
    offsets, errors = [], []

    def delivered(error, message):
        (errors if error else offsets).append(error or message.offset())

    for i in range(count):
        producer.produce(topic, f"v-{i}", f"k-{i}", partition=partition, on_delivery=delivered)
        producer.poll(0)
    assert producer.flush(30) == 0, "not everything was delivered"
    assert not errors, errors
    return offsets


def take(reader, count, seconds=30):
    """`count` messages."""
    messages = []
    deadline = time.monotonic() + seconds
    while len(messages) < count:
        assert time.monotonic() < deadline, f"read {len(messages)} of {count} messages in {seconds} s"
        for message in reader.consume(count - len(messages), 0.2):
            assert message.error() is None, message.error()
            messages.append(message)
    return messages


def read_all(topic, count, partition=0, **settings):
    reader = consumer(**settings)
    reader.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    try:
        return take(reader, count)
    finally:
        reader.close()


@checks.check
def every_codec_is_sent_and_read_back():
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        topic = new_topic()
        assert fill(topic, 1000, compression_codec=codec, linger_ms=20) == list(range(1000)), codec
        values = [message.value().decode() for message in read_all(topic, 1000, check_crcs=True)]
        assert values == [f"v-{i}" for i in range(1000)], codec


@checks.check
def every_acks_setting_delivers():
    for acks in ("0", "1", "all"):
        topic = new_topic()
        fill(topic, 200, acks=acks)
        assert len(read_all(topic, 200)) == 200


@checks.check
def idempotent_producer_gets_gapless_offsets():
    topic = new_topic()
    offsets = fill(topic, 5000, enable_idempotence=True, batch_num_messages=7, linger_ms=0)
    assert offsets == list(range(5000))


@checks.check
def headers_nulls_and_timestamps_survive():
    topic = new_topic()
    producer = Producer({"bootstrap.servers": BOOTSTRAP, **QUIET})
    stamp = int(time.time() * 1000) - 5000
    producer.produce(topic, None, None, headers=[("a", b"1"), ("a", None), ("b", b"")], timestamp=stamp)
    producer.flush(10)
    (message,) = read_all(topic, 1)
    assert message.key() is None and message.value() is None
    assert message.headers() == [("a", b"1"), ("a", None), ("b", b"")]
    assert message.timestamp() == (TIMESTAMP_CREATE_TIME, stamp)


@checks.check
def watermarks_seek_and_offsets_for_times():
    topic = new_topic()
    producer = Producer({"bootstrap.servers": BOOTSTRAP, **QUIET})
    base = int(time.time() * 1000) - 100_000
    for i in range(50):
        producer.produce(topic, f"v-{i}", timestamp=base + 10 * i)
    producer.flush(10)
    reader = consumer()
    assert reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=10) == (0, 50)
    (found,) = reader.offsets_for_times([TopicPartition(topic, 0, base + 101)], timeout=10)
    assert found.offset == 11
    reader.assign([TopicPartition(topic, 0, 20)])
    assert take(reader, 1)[0].value() == b"v-20"
    reader.seek(TopicPartition(topic, 0, 40))
    assert take(reader, 1)[0].value() == b"v-40"
    reader.close()


class Member:
    """A group member that polls in a thread of its own."""

    def __init__(self, topic, group, **settings):
        self.values, self.stopping, self.assigned = [], False, set()
        self.reader = consumer(group_id=group, session_timeout_ms=6000, heartbeat_interval_ms=200, **settings)
        self.reader.subscribe([topic])
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopping:
            message = self.reader.poll(0.1)
            # Asked for in this thread only: the call would wait for a poll in another one.
            self.assigned = {part.partition for part in self.reader.assignment()}
            if message is None or message.error():
                continue
            self.values.append(message.value())
            self.commit(message)

    def commit(self, message):
        try:
            self.reader.commit(message, asynchronous=False)
        except KafkaException as error:
            rebalancing = (KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION, KafkaError._ASSIGNMENT_LOST)
            assert error.args[0].code() in rebalancing, error

    def close(self):
        self.stopping = True
        self.thread.join()
        self.reader.close()


def shared(members, partitions):
    parts = [member.assigned for member in members]
    return all(parts) and sum(map(len, parts)) == partitions == len(set().union(*parts))


@checks.check
def members_share_a_topic_with_each_assignor():
    for assignor in ("range", "roundrobin", "cooperative-sticky"):
        topic, group = new_topic(4), name("group")
        first = Member(topic, group, partition_assignment_strategy=assignor)
        eventually(lambda: shared([first], 4), what=f"{assignor}: one member has all")
        second = Member(topic, group, partition_assignment_strategy=assignor)
        eventually(lambda: shared([first, second], 4), what=f"{assignor}: two share")
        for partition in range(4):
            fill(topic, 25, partition)
        eventually(lambda: len(first.values) + len(second.values) == 100, what=f"{assignor}: all read")
        second.close()
        eventually(lambda: shared([first], 4), what=f"{assignor}: the one that is left has all")
        first.close()


@checks.check
def a_static_member_keeps_its_partitions_over_a_restart():
    topic, group = new_topic(2), name("static")
    other = Member(topic, group, group_instance_id="other")
    first = Member(topic, group, group_instance_id="me")
    eventually(lambda: shared([other, first], 2), what="shared")
    before = first.assigned
    first.close()
    again = Member(topic, group, group_instance_id="me")
    eventually(lambda: again.assigned == before, what="the same partitions")
    again.close()
    other.close()


@checks.check
def a_group_goes_on_from_its_commit():
    topic, group = new_topic(), name("commit")
    fill(topic, 100)
    reader = consumer(group_id=group)
    reader.subscribe([topic])
    messages = take(reader, 40)
    reader.commit(messages[-1], asynchronous=False)
    reader.close()
    reader = consumer(group_id=group)
    (committed,) = reader.committed([TopicPartition(topic, 0)], timeout=10)
    assert committed.offset == 40
    reader.subscribe([topic])
    assert take(reader, 60)[0].offset() == 40
    reader.close()


@checks.check
def read_committed_reads_plain_records():
    topic = new_topic()
    fill(topic, 10)
    assert len(read_all(topic, 10, isolation_level="read_committed")) == 10


@checks.check
def topics_partitions_and_configs_are_administered():
    client, topic = ADMIN, name("admin")
    client.create_topics([NewTopic(topic, 2, 1, config={"retention.ms": "7200000"})])[topic].result()
    description = client.describe_topics(TopicCollection([topic]))[topic].result()
    assert len(description.partitions) == 2
    client.create_partitions([NewPartitions(topic, 3)])[topic].result()
    eventually(lambda: len(client.list_topics(topic, timeout=10).topics[topic].partitions) == 3, what="three partitions")
    resource = ConfigResource("topic", topic)
    assert client.describe_configs([resource])[resource].result()["retention.ms"].value == "7200000"
    change = ConfigEntry("max.message.bytes", "5000", incremental_operation=AlterConfigOpType.SET)
    altered = ConfigResource("topic", topic, incremental_configs=[change])
    client.incremental_alter_configs([altered])[altered].result()
    eventually(lambda: client.describe_configs([resource])[resource].result()["max.message.bytes"].value == "5000", what="altered")
    client.delete_topics([topic])[topic].result()
    eventually(lambda: topic not in client.list_topics(timeout=10).topics, what="deleted")


@checks.check
def offsets_are_listed_and_records_deleted():
    client, topic = ADMIN, new_topic()
    fill(topic, 30)
    part = TopicPartition(topic, 0)
    for spec, offset in ((OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 30), (OffsetSpec.max_timestamp(), None)):
        result = client.list_offsets({part: spec}, isolation_level=IsolationLevel.READ_UNCOMMITTED)[part].result()
        assert offset is None or result.offset == offset
    deleted = client.delete_records([TopicPartition(topic, 0, 10)])
    assert deleted[next(iter(deleted))].result().low_watermark == 10


@checks.check
def groups_are_listed_described_altered_and_deleted():
    client, topic, group = ADMIN, new_topic(), name("admin-group")
    change = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 3)])
    client.alter_consumer_group_offsets([change])[group].result()
    assert group in [listing.group_id for listing in client.list_consumer_groups().result().valid]
    assert client.describe_consumer_groups([group])[group].result().state.name == "EMPTY"
    listed = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result()
    assert [part.offset for part in listed.topic_partitions] == [3]
    client.delete_consumer_groups([group])[group].result()


@checks.check
def cluster_is_described():
    cluster = ADMIN.describe_cluster().result()
    assert len(cluster.nodes) == 1 and cluster.controller.id == cluster.nodes[0].id and cluster.cluster_id


@checks.check
def errors_have_their_codes():
    topic = new_topic(max_message_bytes="1000")
    codes = []
    producer = Producer({"bootstrap.servers": BOOTSTRAP, **QUIET})
    producer.produce(topic, "x" * 5000, on_delivery=lambda error, _: codes.append(error.code()))
    producer.flush(20)
    assert codes == [KafkaError.MSG_SIZE_TOO_LARGE], codes
    try:
        ADMIN.create_topics([NewTopic(topic, 1, 1)])[topic].result()
    except KafkaException as error:
        assert error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS
    else:
        raise AssertionError("an existing topic was created again")


@checks.check
def clients_come_back_after_kill_9():
    topic, group = new_topic(), name("survivor")
    member = Member(topic, group, reconnect_backoff_max_ms=500)
    acked, errors = {}, []
    producer = Producer({"bootstrap.servers": BOOTSTRAP, **QUIET, "enable.idempotence": True, "reconnect.backoff.max.ms": 500, "linger.ms": 1})

    def send(numbers):
        for i in numbers:
            def delivered(error, message, i=i):
                errors.append(error) if error else acked.__setitem__(i, message.offset())

            producer.produce(topic, f"v-{i}", on_delivery=delivered)
            producer.poll(0)

    send(range(500))
    eventually(lambda: producer.poll(0.01) is not None and len(acked) > 100, what="first acknowledgements")
    control("kill")
    send(range(500, 1000))
    control("start")
    assert producer.flush(60) == 0 and not errors, errors
    assert acked == {i: i for i in range(1000)}
    eventually(lambda: b"v-999" in member.values, 30, "the group reads to the end")
    member.close()
    assert [message.value().decode() for message in read_all(topic, 1000)] == [f"v-{i}" for i in range(1000)]


checks.run(*sys.argv[1:])
