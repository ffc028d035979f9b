"""The clients of the crash loop: each runs as a process of its own, with confluent-kafka-python, until it is told to stop.

    python clients.py ROLE NAME FOLDER SETTINGS

ROLE is producer, member, tail or drain; SETTINGS is a JSON object. A client stops when the file FOLDER/stop appears, and
exits with 0 only if it did all of its work.
"""

import json
import os
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from crash.history import History

# librdkafka retries by itself; this bounds how long it stays away from a broker that is back.
BASE = {
    "log_level": 2,
    "reconnect.backoff.ms": 20,
    "reconnect.backoff.max.ms": 200,
    "retry.backoff.ms": 50,
    "topic.metadata.refresh.interval.ms": 2000,
    "socket.timeout.ms": 5000,
}
RECORDS_IN_FLIGHT_MAX = 2000
# How long clients may take to finish after the last start.
FINISH_SECONDS_MAX = 60


def value_of(producer, number):
    """Names the record, and pads it to a size that differs from record to record."""
    return f"{producer}/{number}/".encode() + b"x" * (number * 37 % 300)


def record_of(value):
    producer, number, _ = value.split(b"/", 2)
    return {"producer": producer.decode(), "number": int(number)}


class Client:
    def __init__(self, name, folder, settings):
        self.name, self.folder, self.settings = name, folder, settings
        self.history = History(folder, name)
        self.partitions = settings["partitions"]
        self.topic = settings["topic"]
        self.deadline, self.flushed = None, 0.0

    def config(self, **more):
        return {"bootstrap.servers": self.settings["bootstrap"], **BASE, **more}

    def stopping(self):
        return os.path.exists(os.path.join(self.folder, "stop"))

    def finished(self):
        """Whether a group member may end: everything is processed, or waited for long enough."""
        if self.deadline is None and self.stopping():
            self.deadline = time.monotonic() + FINISH_SECONDS_MAX
        over = self.deadline is not None and self.deadline <= time.monotonic()
        return over or os.path.exists(os.path.join(self.folder, "processed"))

    def flush_for_watchers(self):
        """Somebody reads the acknowledgements while the run goes on, if `flush_seconds` is set."""
        if self.settings.get("flush_seconds") and time.monotonic() >= self.flushed + self.settings["flush_seconds"]:
            self.flushed = time.monotonic()
            self.history.flush()

    def place(self, partition):
        return {"topic": self.topic, "partition": partition}


class Load(Client):
    """Sends numbered records at a steady rate, and notes the answer to each."""

    def run(self):
        idempotent, acks = self.settings["idempotent"], self.settings["acks"]
        in_flight = 5 if idempotent else 1
        renumbers = self.settings.get("renumbers", False)
        self.history.write("producer", producer=self.name, idempotent=idempotent, ordered=True, renumbers=renumbers)
        self.failures, self.open = 0, 0
        producer = Producer(self.config(**{
            "enable.idempotence": idempotent,
            "acks": acks,
            "max.in.flight": in_flight,
            "linger.ms": self.settings.get("linger_ms", 2),
            "compression.type": self.settings["codec"],
            # Nothing is given up while the broker is away.
            "message.timeout.ms": 300_000,
            "request.timeout.ms": 5000,
            "retries": 2_147_483_647,
            **self.settings.get("client", {}),
        }))  # fmt: skip
        number, started = 0, time.monotonic()
        while not self.stopping():
            producer.poll(0)
            self.flush_for_watchers()
            due = int((time.monotonic() - started) * self.settings["rate"])
            if number >= due or self.open >= RECORDS_IN_FLIGHT_MAX:
                producer.poll(0.002)
                # Time that passed while nothing could be sent is not made up for.
                if self.open >= RECORDS_IN_FLIGHT_MAX:
                    started = time.monotonic() - number / self.settings["rate"]
                continue
            self.send(producer, number)
            number += 1
        left = producer.flush(FINISH_SECONDS_MAX)
        self.history.flush()
        assert left == 0, f"{left} records were never answered"
        assert not idempotent or not self.failures, f"{self.failures} records of an idempotent producer failed"

    def send(self, producer, number):
        partition = number % self.partitions

        def answered(error, message):
            self.open -= 1
            if error is None:
                self.history.write("ack", producer=self.name, number=number, **self.place(partition), offset=message.offset())
            else:
                self.failures += 1
                self.history.write("fail", producer=self.name, number=number, definite=False)

        self.history.write("send", producer=self.name, number=number, **self.place(partition))
        self.open += 1
        producer.produce(self.topic, value_of(self.name, number), partition=partition, on_delivery=answered)


class Member(Client):
    """A group member that notes what it processes before it commits it."""

    def run(self):
        group = self.settings["group"]
        reader = Consumer(self.config(**{
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 300,
            "partition.assignment.strategy": self.settings["assignor"],
            "isolation.level": self.settings["isolation"],
            "fetch.wait.max.ms": 100,
            "check.crcs": True,
        }))  # fmt: skip
        reader.subscribe([self.topic], on_assign=self.note_committed)
        while not self.finished():
            messages = [message for message in reader.consume(500, 0.1) if message.error() is None]
            if messages:
                self.process(messages)
                self.commit(reader, messages)
        reader.close()
        self.history.flush()

    def note_committed(self, reader, partitions):
        """What the broker says the group goes on from, when it gives the partitions to this member."""
        asked = self.history.now()
        try:
            found = reader.committed(partitions, timeout=5)
        except KafkaException:
            return
        for part in found:
            if part.error is None and part.offset >= 0:
                fields = {"group": self.settings["group"], **self.place(part.partition), "offset": part.offset, "asked": asked}
                self.history.write("found-committed", **fields)

    def process(self, messages):
        for message in messages:
            self.history.write("processed", group=self.settings["group"], **self.place(message.partition()), offset=message.offset())
        # Before the commit, so that a member that is killed between the two has only processed too much.
        self.history.flush()

    def commit(self, reader, messages):
        ends = {message.partition(): message.offset() + 1 for message in messages}
        try:
            answers = reader.commit(offsets=[TopicPartition(self.topic, part, end) for part, end in ends.items()], asynchronous=False)
        except KafkaException:
            # Unknown outcome, or a rebalance: whoever gets the partition goes on from an earlier commit.
            return
        for part in answers:
            if part.error is None:
                self.history.write("committed", group=self.settings["group"], **self.place(part.partition), offset=part.offset)


class Tail(Client):
    """Reads every partition as it grows, and asks for the ends all the time."""

    def run(self):
        reader = Consumer(self.config(**{
            "group.id": self.name, "enable.auto.commit": False, "auto.offset.reset": "error", "check.crcs": True,
            "fetch.wait.max.ms": 100,
        }))  # fmt: skip
        reader.assign([TopicPartition(self.topic, part, OFFSET_BEGINNING) for part in range(self.partitions)])
        part = 0
        while not self.stopping():
            for message in reader.consume(1000, 0.05):
                if message.error() is None:
                    self.note(message)
                else:
                    assert message.error().code() != KafkaError._AUTO_OFFSET_RESET, message.error()
            part = (part + 1) % self.partitions
            self.ask_end(reader, part)
        reader.close()
        self.history.flush()

    def note(self, message):
        fields = {**record_of(message.value()), **self.place(message.partition()), "offset": message.offset()}
        self.history.write("read", reader=self.name, **fields)

    def ask_end(self, reader, part):
        asked = self.history.now()
        try:
            start, end = reader.get_watermark_offsets(TopicPartition(self.topic, part), timeout=0.5, cached=False)
        except KafkaException:
            return
        self.history.write("start-offset", **self.place(part), offset=start, asked=asked)
        self.history.write("end-offset", **self.place(part), offset=end, asked=asked)


class Drain(Tail):
    """Reads every partition from its beginning to its end, once."""

    def run(self):
        ends = {}
        reader = Consumer(self.config(**{
            "group.id": self.name, "enable.auto.commit": False, "auto.offset.reset": "error", "check.crcs": True,
        }))  # fmt: skip
        for part in range(self.partitions):
            self.ask_end(reader, part)
            ends[part] = reader.get_watermark_offsets(TopicPartition(self.topic, part), timeout=20, cached=False)
        reader.assign([TopicPartition(self.topic, part, low) for part, (low, _) in ends.items()])
        left = {part for part, (low, high) in ends.items() if low < high}
        deadline = time.monotonic() + FINISH_SECONDS_MAX
        while left:
            assert time.monotonic() < deadline, f"partitions {left} could not be read to their ends"
            for message in reader.consume(1000, 0.5):
                assert message.error() is None, message.error()
                self.note(message)
                if message.offset() + 1 >= ends[message.partition()][1]:
                    left.discard(message.partition())
        for part, (low, high) in ends.items():
            self.history.write("drained", reader=self.name, **self.place(part), **{"from": low, "to": high})
        reader.close()
        self.history.flush()


def main():
    role, name, folder, settings = sys.argv[1:]
    {"producer": Load, "member": Member, "tail": Tail, "drain": Drain}[role](name, folder, json.loads(settings)).run()


if __name__ == "__main__":
    main()
