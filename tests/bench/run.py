"""Measures Whimbrel beside Apache Kafka 3.9.2 and, where one broker is enough, 4.3.1, and prints the tables of
docs/performance.md.

    ./test bench [--figure NAME] [--runs N] [--data DIR] [--only whimbrel|kafka|kafka-4.3.1]
"""

import argparse
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from bench import gaps, replicated
from bench.measure import MIB, cpu_seconds, figure, idle_cpu_percent, median, open_files, produce, rss_mib, table, tool
from harness.servers import Kafka, KafkaOnKRaft, Whimbrel, wait_until

# What producer-perf-test is told beyond its defaults.
FOR_THROUGHPUT = ["acks=1"]
# Batches that suit both brokers better: --tuned-producer.
TUNED = ["linger.ms=5", "batch.size=65536", "buffer.memory=67108864", "acks=1"]
FOR_LATENCY = ["linger.ms=0", "acks=1"]
RUN_BYTES = 500_000_000
WARM_UP_BYTES = 300_000_000
LATENCY_SECONDS = 30
IDLE_SECONDS = 15
# The first pass for retention, which looks at every segment, is over by then (log.initial.task.delay.ms).
SETTLED_SECONDS = 40
SINGLE_KINDS = (Whimbrel, Kafka, KafkaOnKRaft)


class Bench:
    def __init__(self, arguments):
        self.runs, self.root = arguments.runs, arguments.data
        self.codecs = arguments.codecs.split(",")
        self.many = arguments.many
        self.kills, self.kafka_rounds, self.partitions = arguments.kills, arguments.kafka_rounds, arguments.partitions
        self.away_seconds, self.plots, self.session_ms = arguments.away, arguments.plots, arguments.session_ms
        self.producer = [setting for setting in TUNED if "acks" not in setting] if arguments.tuned_producer else []
        # Of a cluster, and of one broker alone.
        self.kinds = [kind for kind in (Whimbrel, Kafka) if arguments.only in (None, kind.name)]
        self.single_kinds = [kind for kind in SINGLE_KINDS if arguments.only in (None, kind.name)]
        for kind in (Kafka, KafkaOnKRaft):
            kind.tuned_for_throughput = True

    def folder(self):
        return tempfile.mkdtemp(prefix="whimbrel-bench-", dir=self.root)

    def session(self):
        """The setting that --session-ms asks for."""
        return {"zookeeper.session.timeout.ms": str(self.session_ms)} if self.session_ms else {}

    def broker(self, kind, folder, **properties):
        return kind(folder, properties)


def admin_of(broker):
    """To be kept in a variable: what it was asked for is given up when it goes."""
    return AdminClient({"bootstrap.servers": broker.address, "log_level": 0})


# --- start-up ------------------------------------------------------------------------------------------------------


def first_ack_seconds(bench, kind):
    """From exec to the first acknowledged record on a topic that is created for it, in an empty directory."""
    folder = bench.folder()
    broker = bench.broker(kind, folder)
    broker.prepare()
    producer = Producer({
        "bootstrap.servers": broker.address, "reconnect.backoff.ms": 2, "reconnect.backoff.max.ms": 2, "log_level": 0,
        "retry.backoff.ms": 2, "topic.metadata.refresh.fast.interval.ms": 2, "linger.ms": 0, "retry.backoff.max.ms": 2,
    })  # fmt: skip
    acked = []
    started = time.monotonic()
    try:
        broker.spawn()
        producer.produce("first", b"record", on_delivery=lambda error, _: acked.append((time.monotonic(), error)))
        while not acked and time.monotonic() < started + 60:
            producer.poll(0.001)
        (at, error), = acked
        assert error is None, error
        return at - started
    finally:
        broker.end()
        shutil.rmtree(folder, ignore_errors=True)


def startup(bench):
    rows = []
    for kind in bench.single_kinds:
        seconds = [first_ack_seconds(bench, kind) for _ in range(bench.runs)]
        rows.append((kind.name.capitalize(), figure(1000 * median(seconds), 0), figure(1000 * min(seconds), 0), figure(1000 * max(seconds), 0)))
    table("From exec to the first acknowledged record (ms)", ("broker", "median", "best", "worst"), rows)


# --- idle ----------------------------------------------------------------------------------------------------------


def idle(bench):
    rows = []
    for kind in bench.single_kinds:
        memory, all_memory, cpu = [], [], []
        for _ in range(bench.runs):
            folder = bench.folder()
            broker = bench.broker(kind, folder).start()
            try:
                time.sleep(3)
                cpu.append(idle_cpu_percent(broker.pid, 5))
                memory.append(rss_mib(broker.pid))
                all_memory.append(sum(map(rss_mib, broker.pids)))
            finally:
                broker.end()
                shutil.rmtree(folder, ignore_errors=True)
        rows.append((kind.name.capitalize(), figure(median(memory)), figure(median(all_memory)), figure(median(cpu), 2)))
    table("Idle, without topics", ("broker", "RSS (MiB)", "with its ZooKeeper (MiB)", "CPU (% of a core)"), rows)


# --- many partitions -----------------------------------------------------------------------------------------------


def create_many(broker, count):
    admin = admin_of(broker)
    topics = [NewTopic(f"many-{i:02}", count // 20, 1) for i in range(20)]
    for topic in topics:
        admin.create_topics([topic], operation_timeout=120, request_timeout=180)[topic.topic].result()


def many_partitions(bench, kind):
    folder = bench.folder()
    broker = bench.broker(kind, folder)
    try:
        broker.start()
        started = time.monotonic()
        create_many(broker, bench.many)
        created = time.monotonic() - started
        time.sleep(max(5, started + SETTLED_SECONDS - time.monotonic()))
        cpu = idle_cpu_percent(broker.pid, IDLE_SECONDS)
        memory, files = rss_mib(broker.pid), open_files(broker.pid)
        broker.kill()
        if kind is Kafka:
            time.sleep(5)
        started = time.monotonic()
        broker.spawn()
        wait_until(lambda: all_led(broker, bench.many), 300, "all partitions have leaders")
        restart = time.monotonic() - started
        return created, memory, cpu, files, restart, rss_mib(broker.pid)
    finally:
        broker.end()
        shutil.rmtree(folder, ignore_errors=True)


def all_led(broker, count):
    """Whether metadata names a leader for each partition."""
    if not broker.ready():
        return False
    try:
        listed = admin_of(broker).list_topics(timeout=20)
    except Exception:
        return False
    partitions = [part for topic in listed.topics.values() if topic.topic.startswith("many-") for part in topic.partitions.values()]
    return len(partitions) == count and all(part.leader >= 0 for part in partitions)


def partitions(bench):
    rows = []
    for kind in bench.single_kinds:
        runs = [many_partitions(bench, kind) for _ in range(bench.runs if kind is Whimbrel else bench.kafka_rounds)]
        created, memory, cpu, files, restart, after = (median(column) for column in zip(*runs))
        rows.append((kind.name.capitalize(), figure(created), figure(memory, 0), figure(cpu, 2), int(files), figure(restart, 2), figure(after, 0)))
    header = ("broker", "created in (s)", "RSS (MiB)", "idle CPU (%)", "open files", "restart after kill -9 (s)", "RSS then (MiB)")
    table(f"{bench.many:,} partitions", header, rows)


# --- throughput and CPU --------------------------------------------------------------------------------------------


def produce_at(broker, topic, record_bytes, codec, total_bytes, throughput=-1, settings=FOR_THROUGHPUT):
    """`produce`; gives records per second, MB per second, p99 in ms, and the broker's CPU seconds."""
    before = cpu_seconds(broker.pid)
    records, megabytes, percentiles = produce(broker.address, topic, record_bytes, codec, total_bytes, throughput, settings)
    return records, megabytes, percentiles[99], cpu_seconds(broker.pid) - before


def consume(broker, topic, count):
    """Runs consumer-perf-test; gives MB per second of the fetching alone, and the broker's CPU seconds."""
    before = cpu_seconds(broker.pid)
    report = tool(
        "org.apache.kafka.tools.ConsumerPerformance", "--bootstrap-server", broker.address, "--topic", topic,
        "--messages", count, "--hide-header", "--timeout", 60000,
    )  # fmt: skip
    fields = [field.strip() for field in report.strip().splitlines()[-1].split(",")]
    return float(fields[8]) * MIB / 1e6, cpu_seconds(broker.pid) - before


def new_topic(broker, topic):
    admin = admin_of(broker)
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()


def throughput_of(bench, kind, record_bytes, codec):
    """Medians of: MB/s in, CPU s per GB in, MB/s out, CPU s per GB out. GB are of records, before compression."""
    folder = bench.folder()
    broker = bench.broker(kind, folder).start()
    try:
        admin = admin_of(broker)
        new_topic(broker, "warm-up")
        produce_at(broker, "warm-up", record_bytes, codec, WARM_UP_BYTES)
        consume(broker, "warm-up", WARM_UP_BYTES // record_bytes)
        results = []
        for run in range(bench.runs):
            topic = f"run-{run}"
            new_topic(broker, topic)
            _, in_mb, _, in_cpu = produce_at(broker, topic, record_bytes, codec, RUN_BYTES)
            out_mb, out_cpu = consume(broker, topic, RUN_BYTES // record_bytes)
            results.append((in_mb, in_cpu * 1e9 / RUN_BYTES, out_mb, out_cpu * 1e9 / RUN_BYTES))
            admin.delete_topics([topic])[topic].result()
        return [median(column) for column in zip(*results)]
    finally:
        broker.end()
        shutil.rmtree(folder, ignore_errors=True)


def throughput(bench):
    rows = []
    for record_bytes in (100, 1024):
        for codec in bench.codecs:
            for kind in bench.single_kinds:
                in_mb, in_cpu, out_mb, out_cpu = throughput_of(bench, kind, record_bytes, codec)
                rows.append((f"{record_bytes} B, {codec}", kind.name.capitalize(), figure(in_mb), figure(in_cpu, 2), figure(out_mb), figure(out_cpu, 2)))
    header = ("records", "broker", "produce (MB/s)", "broker CPU in (s/GB)", "consume (MB/s)", "broker CPU out (s/GB)")
    table(f"Throughput, acks=1, one partition, data on {bench.root}", header, rows)


# --- latency -------------------------------------------------------------------------------------------------------


def latency_run(broker, rate):
    return produce_at(broker, "latency", 100, "none", 100 * rate * LATENCY_SECONDS, rate, FOR_LATENCY)


def latency(bench):
    rows = []
    for rate in (10_000, 100_000):
        for kind in bench.single_kinds:
            folder = bench.folder()
            broker = bench.broker(kind, folder).start()
            try:
                new_topic(broker, "latency")
                produce_at(broker, "latency", 100, "none", WARM_UP_BYTES // 3)
                runs = [latency_run(broker, rate) for _ in range(bench.runs)]
                p99, reached = median([run[2] for run in runs]), median([run[0] for run in runs])
                rows.append((f"{rate:,}", kind.name.capitalize(), figure(p99, 0), figure(reached, 0)))
            finally:
                broker.end()
                shutil.rmtree(folder, ignore_errors=True)
    header = ("records/s", "broker", "p99 (ms)", "reached (records/s)")
    table("Latency of producer-perf-test, 100 B, acks=1, linger.ms=0, over 30 s with the client's own start", header, rows)


SINGLE_FIGURES = {
    "startup": startup,
    "idle": idle,
    "partitions": partitions,
    "throughput": throughput,
    "latency": latency,
}
CLUSTER_FIGURES = {
    "failover": gaps.failover,
    "frozen": gaps.frozen,
    "rolling": gaps.rolling,
    "controller": gaps.controller,
    "zookeeper-away": gaps.zookeeper_away,
    "partitions-failover": gaps.partitions_failover,
    "replicated-throughput": replicated.replicated_throughput,
    "replicated-latency": replicated.replicated_latency,
}
FIGURES = SINGLE_FIGURES | CLUSTER_FIGURES


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", choices=FIGURES)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("/dev/shm"))
    parser.add_argument("--only", choices=[kind.name for kind in SINGLE_KINDS])
    parser.add_argument("--tuned-producer", action="store_true", help="throughput with " + " ".join(TUNED))
    parser.add_argument("--codecs", default="none,lz4", help="for throughput (default none,lz4)")
    parser.add_argument("--many", type=int, default=10_000, metavar="N", help="partitions of the figure of that name")
    parser.add_argument("--kills", type=int, default=50, help="rounds of failover, frozen, rolling and controller")
    parser.add_argument("--kafka-rounds", type=int, default=5, help="of these, and of the figure partitions, for Kafka, which takes long")
    parser.add_argument("--partitions", type=int, default=1, help="that the client of a gap sends to; the gap is that of the first")
    parser.add_argument("--session-ms", type=int, help="zookeeper.session.timeout.ms of a cluster (default 18000)")
    parser.add_argument("--away", type=int, default=600, metavar="SECONDS", help="how long ZooKeeper is away")
    parser.add_argument("--plots", type=pathlib.Path, metavar="DIR", help="where plots of the gaps are written")
    arguments = parser.parse_args()
    if arguments.only == KafkaOnKRaft.name and arguments.figure not in SINGLE_FIGURES:
        parser.error(f"{arguments.only} is measured with the figures of one broker alone: --figure {'|'.join(SINGLE_FIGURES)}")
    if arguments.tuned_producer:
        FOR_THROUGHPUT[:] = TUNED
    bench = Bench(arguments)
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown CPU")
    print(f"Linux {platform.release()}, {os.cpu_count()} cores ({cpu}), data on {bench.root}, medians of {bench.runs}.")
    for name in [arguments.figure] if arguments.figure else FIGURES:
        FIGURES[name](bench)


if __name__ == "__main__":
    sys.exit(main())
