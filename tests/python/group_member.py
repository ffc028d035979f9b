"""A group member for groups of several languages: `group_member.py TOPIC GROUP`.

Prints `assigned 0 1 2` after each rebalance and `record VALUE` for each record, commits after each poll, and ends when a
line of input comes.
"""

import os
import select
import sys

from confluent_kafka import Consumer, KafkaException


def print_assigned(_, partitions):
    print("assigned", *sorted(part.partition for part in partitions), flush=True)


def main():
    topic, group = sys.argv[1:]
    reader = Consumer({
        "bootstrap.servers": os.environ["BOOTSTRAP"], "group.id": group, "partition.assignment.strategy": "range",
        "enable.auto.commit": False, "auto.offset.reset": "earliest", "session.timeout.ms": 6000, "heartbeat.interval.ms": 300,
    })  # fmt: skip
    reader.subscribe([topic], on_assign=print_assigned, on_revoke=lambda reader, _: print_assigned(reader, []))
    while not select.select([sys.stdin], [], [], 0)[0]:
        messages = [message for message in reader.consume(100, 0.1) if message.error() is None]
        for message in messages:
            print("record", message.value().decode(), flush=True)
        if messages:
            try:
                reader.commit(asynchronous=False)
            except KafkaException as error:
                print("a commit met a rebalance:", error, file=sys.stderr)
    reader.close()


main()
