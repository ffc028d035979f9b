"""One librdkafka producer with idempotence and acks=all that sends a record each 5 ms to each of some partitions.

    python -m bench.prober SETTINGS

SETTINGS is a JSON object: `bootstrap`, `topic`, `partitions` (their indexes), `output` (a file), and `client`, what
librdkafka is told beyond its defaults. Each line of the output is `ack NANOSECONDS PARTITION` or `error NANOSECONDS
PARTITION TEXT`, on the machine's monotonic clock. It ends when its input ends.
"""

import json
import select
import sys
import time

from confluent_kafka import Producer

INTERVAL_SECONDS = 0.005
FLUSH_SECONDS = 0.05
END_SECONDS_MAX = 60


def main():
    settings = json.loads(sys.argv[1])
    base = {"bootstrap.servers": settings["bootstrap"], "enable.idempotence": True, "acks": "all", "linger.ms": 0, "log_level": 2}
    producer = Producer({**base, "message.timeout.ms": 300_000, **settings["client"]})
    output = open(settings["output"], "a", buffering=1 << 16)

    def answered(error, message):
        now = time.monotonic_ns()
        output.write(f"ack {now} {message.partition()}\n" if error is None else f"error {now} {message.partition()} {error}\n")

    due = flushed = time.monotonic()
    while not select.select([sys.stdin], [], [], 0)[0]:
        producer.poll(max(0.0, due - time.monotonic()))
        if time.monotonic() < due:
            continue
        # What could not be sent in time is not made up for.
        due = max(due + INTERVAL_SECONDS, time.monotonic() - INTERVAL_SECONDS)
        for partition in settings["partitions"]:
            producer.produce(settings["topic"], b"x" * 100, partition=partition, on_delivery=answered)
        if flushed + FLUSH_SECONDS < due:
            flushed = due
            output.flush()
    producer.flush(END_SECONDS_MAX)
    output.close()


if __name__ == "__main__":
    main()
