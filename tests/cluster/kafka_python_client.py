"""A producer or a group member with kafka-python, for the scenarios: the arguments and the history of crash/clients.py.

    python -m cluster.kafka_python_client ROLE NAME FOLDER SETTINGS
"""

import json
import sys
import time

from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from crash.clients import FINISH_SECONDS_MAX, RECORDS_IN_FLIGHT_MAX, Client, value_of

# What both sides are told beyond their addresses: to come back soon to a broker that is back.
BASE = {"reconnect_backoff_ms": 20, "reconnect_backoff_max_ms": 200, "metadata_max_age_ms": 2000, "request_timeout_ms": 5000}


class Load(Client):
    """Sends numbered records at a steady rate, and notes the answer to each."""

    def run(self):
        self.history.write("producer", producer=self.name, idempotent=True, ordered=True)
        self.open, self.failures = 0, []
        producer = KafkaProducer(
            bootstrap_servers=self.settings["bootstrap"].split(","), enable_idempotence=True, acks="all", linger_ms=2,
            retry_backoff_ms=50, delivery_timeout_ms=300_000, max_block_ms=120_000, **BASE,
        )  # fmt: skip
        number, started = 0, time.monotonic()
        while not self.stopping():
            self.flush_for_watchers()
            if number >= (time.monotonic() - started) * self.settings["rate"] or self.open >= RECORDS_IN_FLIGHT_MAX:
                time.sleep(0.005)
                continue
            self.send(producer, number)
            number += 1
        producer.flush(timeout=FINISH_SECONDS_MAX)
        producer.close(timeout=5)
        self.history.flush()
        assert self.open == 0, f"{self.open} records were never answered"
        assert not self.failures, f"{len(self.failures)} records of an idempotent producer failed: {self.failures[0]}"

    def send(self, producer, number):
        partition = number % self.partitions

        def acknowledged(metadata):
            self.open -= 1
            # A repetition that the broker recognized is acknowledged without an offset.
            offset = metadata.offset if metadata.offset >= 0 else None
            self.history.write("ack", producer=self.name, number=number, **self.place(partition), offset=offset)

        def failed(error):
            self.open -= 1
            self.failures.append(error)
            self.history.write("fail", producer=self.name, number=number, definite=False)

        self.history.write("send", producer=self.name, number=number, **self.place(partition))
        self.open += 1
        future = producer.send(self.topic, value_of(self.name, number), partition=partition)
        future.add_callback(acknowledged).add_errback(failed)


class Member(Client, ConsumerRebalanceListener):
    """A group member that notes what it processes before it commits it."""

    def run(self):
        self.newly_assigned = []
        self.reader = KafkaConsumer(
            bootstrap_servers=self.settings["bootstrap"].split(","), group_id=self.settings["group"],
            enable_auto_commit=False, auto_offset_reset="earliest", session_timeout_ms=6000, heartbeat_interval_ms=300,
            retry_backoff_ms=50, fetch_max_wait_ms=100, **BASE,
        )  # fmt: skip
        self.reader.subscribe([self.topic], listener=self)
        while not self.finished():
            for part, records in self.poll().items():
                self.process(part, records)
        self.reader.close()
        self.history.flush()

    def poll(self):
        try:
            polled = self.reader.poll(timeout_ms=100, max_records=500)
        except KafkaError as error:
            # This client lets through what the others wait out: a refused connection while no broker is there.
            print(f"poll: {error}", file=sys.stderr)
            time.sleep(0.1)
            return {}
        self.note_committed()
        return polled

    def on_partitions_revoked(self, revoked):
        pass

    def on_partitions_assigned(self, assigned):
        # Nothing can be asked in here: the client would wait for itself.
        self.newly_assigned = list(assigned)

    def note_committed(self):
        """What the broker says the group goes on from, once it has given the partitions to this member."""
        assigned, self.newly_assigned = self.newly_assigned, []
        for part in assigned:
            asked = self.history.now()
            try:
                offset = self.reader.committed(part, timeout_ms=5000)
            except KafkaError:
                continue
            if offset is not None:
                fields = {"group": self.settings["group"], **self.place(part.partition), "offset": offset, "asked": asked}
                self.history.write("found-committed", **fields)

    def process(self, part, records):
        group = self.settings["group"]
        for record in records:
            self.history.write("processed", group=group, **self.place(part.partition), offset=record.offset)
        # Before the commit, so that a member that is killed between the two has only processed too much.
        self.history.flush()
        end = records[-1].offset + 1
        try:
            self.reader.commit({TopicPartition(self.topic, part.partition): OffsetAndMetadata(end, "", -1)})
        except KafkaError:
            # Unknown outcome, or a rebalance: whoever gets the partition goes on from an earlier commit.
            return
        self.history.write("committed", group=group, **self.place(part.partition), offset=end)


def main():
    role, name, folder, settings = sys.argv[1:]
    {"producer": Load, "member": Member}[role](name, folder, json.loads(settings)).run()


if __name__ == "__main__":
    main()
