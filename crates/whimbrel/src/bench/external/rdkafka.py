"""Produces and consumes with librdkafka at a given rate. One line of JSON says what to do; lines of JSON say what was
found. A value begins with the record's number and the time at which it was to be sent (CLOCK_MONOTONIC, ns)."""

import collections
import json
import os
import resource
import struct
import sys
import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition

NAME = struct.Struct(">IQQ")
# How long nothing may arrive before the rest is given up.
SILENCE_S = 20


def say(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


task = json.loads(sys.stdin.readline())
load = task["workload"]
producers, rate = load["producers"], load["rate"]
payload = os.urandom(max(0, load["record_bytes"] - NAME.size))
errors = collections.Counter()
begin = time.monotonic_ns() + 1_000_000_000
measured = begin + int(load["warmup_seconds"] * 1e9)
end = measured + int(load["seconds"] * 1e9)
expected = None


class Produced:
    def __init__(self, index):
        self.index = index
        self.acks = collections.Counter()
        self.late = collections.Counter()
        self.acknowledged = self.in_window = self.sent = 0

    def run(self):
        producer = Producer(
            {
                "bootstrap.servers": task["bootstrap"],
                "queue.buffering.max.messages": 1_000_000,
                **task["settings"],
                "linger.ms": load["linger_ms"],
            }
        )
        interval = producers * 1e9 / rate if rate else 0
        first = begin + interval * self.index / producers
        while True:
            now = time.monotonic_ns()
            intended = int(first + self.sent * interval) if rate else max(now, begin)
            if end <= intended or (not rate and end <= now):
                break
            if now < intended:
                producer.poll(min((intended - now) / 1e9, 0.05))
                if time.monotonic_ns() < intended:
                    continue
            self.hand_over(producer, intended)
        producer.flush(120)

    def hand_over(self, producer, intended):
        if measured <= intended:
            self.late[(time.monotonic_ns() - intended) // 1000] += 1
        value = NAME.pack(self.index, self.sent, intended) + payload
        while True:
            try:
                producer.produce(task["topic"], value, on_delivery=lambda error, _: self.delivered(error, intended))
                break
            except BufferError:
                producer.poll(0.01)
        self.sent += 1
        if self.sent % 64 == 0:
            producer.poll(0)

    def delivered(self, error, intended):
        now = time.monotonic_ns()
        if error:
            errors[str(error)] += 1
            return
        self.acknowledged += 1
        self.in_window += measured <= now < end
        if measured <= intended < end:
            self.acks[(now - intended) // 1000] += 1


class Consumed:
    def __init__(self, partitions):
        self.partitions = partitions
        self.latencies = collections.Counter()
        self.in_window = self.read = self.duplicated = 0
        self.seen = [set() for _ in range(producers)]
        self.is_complete = True

    def run(self):
        consumer = Consumer({"bootstrap.servers": task["bootstrap"], "group.id": task["topic"], "enable.auto.commit": False,
                             "fetch.min.bytes": load["fetch_min_bytes"]})
        consumer.assign([TopicPartition(task["topic"], partition, 0) for partition in self.partitions])
        last = time.monotonic()
        while expected is None or sum(each.read for each in consumed) < expected:
            # `consume` alone would wait for as many as it may return.
            first = consumer.poll(0.1)
            messages = [first, *consumer.consume(999, 0)] if first else []
            now = time.monotonic_ns()
            if messages:
                last = time.monotonic()
            elif expected is not None and last + SILENCE_S < time.monotonic():
                self.is_complete = False
                break
            for message in messages:
                if message.error():
                    errors[str(message.error())] += 1
                else:
                    self.take(message.value(), now)
        consumer.close()

    def take(self, value, now):
        producer, number, intended = NAME.unpack_from(value)
        seen = self.seen[producer]
        if number in seen:
            self.duplicated += 1
            return
        seen.add(number)
        self.read += 1
        self.in_window += measured <= now < end
        if measured <= intended < end:
            self.latencies[(now - intended) // 1000] += 1


def percentile(counts, share):
    left = sum(counts.values()) * share
    for value, count in sorted(counts.items()):
        left -= count
        if left <= 0:
            return value
    return 0


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def sleep_until(at):
    time.sleep(max(0, at - time.monotonic_ns()) / 1e9)


members = load["consumers"]
produced = [Produced(index) for index in range(producers)]
consumed = [Consumed(range(member, load["partitions"], members)) for member in range(members)]
writing = [threading.Thread(target=each.run) for each in produced]
reading = [threading.Thread(target=each.run) for each in consumed]
say("ready")
for thread in reading + writing:
    thread.start()
sleep_until(measured)
say("begins")
cpu_before = cpu()
sleep_until(end)
cpu_used = cpu() - cpu_before
say("ends")
for thread in writing:
    thread.join()
acknowledged = sum(each.acknowledged for each in produced)
expected = acknowledged
for thread in reading:
    thread.join()
read = sum(each.read for each in consumed)
late = sum((each.late for each in produced), collections.Counter()) if rate else collections.Counter()
say(
    "found",
    produced=sum(each.in_window for each in produced),
    consumed=sum(each.in_window for each in consumed),
    ack_us=sorted(sum((each.acks for each in produced), collections.Counter()).items()),
    end_to_end_us=sorted(sum((each.latencies for each in consumed), collections.Counter()).items()),
    late_p99_us=percentile(late, 0.99),
    late_max_us=max(late, default=0),
    cpu_seconds=cpu_used,
    acknowledged=acknowledged,
    read=read,
    lost=max(0, acknowledged - read) if members else 0,
    duplicated=sum(each.duplicated for each in consumed),
    is_complete=bool(members) and all(each.is_complete for each in consumed),
    errors=errors,
)
