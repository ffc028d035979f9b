"""Whimbrel's figures beside Apache Kafka 3.9.2 in ZooKeeper mode, measured in turn in one run. See ./bench.

Every figure is the median of the rounds. CPU is that of the broker (and of ZooKeeper, where Kafka needs it) alone. The
output is Markdown, ready for docs/performance.md.
"""

import argparse
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import tempfile
import time

from harness.servers import Kafka, Whimbrel

from . import first_record, perf_tools, processes

PARTITIONS = 10_000
PARTITION_TOPICS = 100
IDLE_SECONDS = 10


class System:
    """One of the two systems, started anew for each figure."""

    def __init__(self, kind, folder, properties=None):
        self.kind = kind
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{kind.name}-", dir=folder))
        self.server = kind(self.folder, {"auto.create.topics.enable": "true", **(properties or {})})
        if kind is Kafka:
            self.server.tuned_for_throughput = True

    @property
    def pids(self):
        zookeeper = getattr(self.server, "own_zookeeper", None)
        return [self.server.pid] + ([zookeeper.pid] if zookeeper else [])

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.end()
        shutil.rmtree(self.folder, ignore_errors=True)


def median(rounds, measure):
    """Medians of the dictionaries that `measure()` returns."""
    results = [measure() for _ in range(rounds)]
    return {key: statistics.median(result[key] for result in results) for key in results[0]}


def table(title, columns, rows):
    print(f"\n### {title}\n")
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in row) + " |", flush=True)


def start_up(kind, folder):
    """From exec to the first acknowledged record on a topic that it creates, in an empty directory."""
    system = System(kind, folder)
    try:
        started = time.monotonic()
        system.server.spawn()
        first_record.acknowledged(system.server.port, "first")
        elapsed = time.monotonic() - started
        return {"ms": elapsed * 1000}
    finally:
        system.__exit__()


def bench_startup(options):
    rows = []
    for kind in (Whimbrel, Kafka):
        result = median(options.rounds, lambda: start_up(kind, options.folder))
        rows.append([kind.name, result["ms"]])
    table("From exec to the first acknowledged record, empty directory", ["system", "ms"], rows)


def bench_idle(options):
    rows = []
    for kind in (Whimbrel, Kafka):
        with System(kind, options.folder) as system:
            first_record.acknowledged(system.server.port, "first")
            time.sleep(3)
            cpu = processes.idle_cpu_percent(system.pids, IDLE_SECONDS)
            rows.append([kind.name, processes.rss_mib(system.pids), cpu, processes.open_files(system.pids)])
    table("Idle, after one record", ["system", "RSS MiB", "CPU % of a core", "open files"], rows)


def create_topics(address):
    """10,000 partitions in 100 topics, by one request."""
    names = ",".join(f"many-{index}" for index in range(PARTITION_TOPICS))
    program = (
        "import sys; from confluent_kafka.admin import AdminClient, NewTopic\n"
        "admin = AdminClient({'bootstrap.servers': sys.argv[1]})\n"
        f"topics = [NewTopic(name, {PARTITIONS // PARTITION_TOPICS}, 1) for name in sys.argv[2].split(',')]\n"
        "[done.result() for done in admin.create_topics(topics, request_timeout=280, operation_timeout=280).values()]\n"
    )
    started = time.monotonic()
    subprocess.run([os.environ["PYTHON"], "-c", program, address, names], check=True, timeout=290)
    return time.monotonic() - started


def many_partitions(kind, folder):
    with System(kind, folder) as system:
        created = create_topics(system.server.address)
        first_record.acknowledged(system.server.port, "first")
        time.sleep(5)
        cpu = processes.idle_cpu_percent(system.pids, IDLE_SECONDS)
        rss, files = processes.rss_mib(system.pids), processes.open_files(system.pids)
        system.server.kill()
        if kind is Kafka:
            # It refuses to register while the session of its killed self lives; that wait is not counted.
            time.sleep(4)
        started = time.monotonic()
        system.server.spawn()
        first_record.acknowledged(system.server.port, "again")
        return {"create_s": created, "rss": rss, "cpu": cpu, "files": files, "restart_s": time.monotonic() - started}


def bench_partitions(options):
    columns = ["system", "create s", "RSS MiB", "idle CPU % of a core", "open files", "restart after kill -9, s"]
    rows = []
    for kind in (Whimbrel, Kafka) if options.with_kafka else (Whimbrel,):
        result = median(options.rounds if kind is Whimbrel else 1, lambda: many_partitions(kind, options.folder))
        rows.append([kind.name, *(float(value) for value in result.values())])
    table(f"{PARTITIONS:,} partitions", columns, rows)


def throughput(system, size, codec, records):
    topic = f"t{size}{codec}{time.monotonic_ns()}"
    gigabytes = size * records / 1e9
    before = processes.cpu_seconds(system.pids[:1])
    produced = perf_tools.produce(system.server.address, topic, records, size, codec)
    middle = processes.cpu_seconds(system.pids[:1])
    consumed = perf_tools.consume(system.server.address, topic, records)
    after = processes.cpu_seconds(system.pids[:1])
    return {
        "in_rate": produced["rate"],
        "in_cpu": (middle - before) / gigabytes,
        "out_rate": consumed["rate"],
        "out_cpu": (after - middle) / gigabytes,
    }


def bench_throughput(options):
    columns = ["record", "codec", "system", "in, records/s", "broker CPU-s/GB in", "out, records/s", "broker CPU-s/GB out"]
    rows = []
    for size, records in ((100, 3_000_000), (1024, 600_000)):
        for codec in ("none", "lz4"):
            for kind in (Whimbrel, Kafka):
                # A broker for each line, so that no line pays for what an earlier one left in memory.
                with System(kind, options.folder) as system:
                    throughput(system, size, codec, records)
                    result = median(options.rounds, lambda: throughput(system, size, codec, records))
                rows.append([f"{size} B", codec, kind.name, *result.values()])
    table("Throughput: one producer, one consumer, acks=1, one partition", columns, rows)


def bench_latency(options):
    rows = []
    for rate in (10_000, 100_000):
        for kind in (Whimbrel, Kafka):
            with System(kind, options.folder) as system:
                measure = lambda: perf_tools.produce(system.server.address, "latency", rate * 8, 100, rate=rate)
                measure()
                result = median(options.rounds, measure)
            rows.append([f"{rate:,}/s", kind.name, result["p50_ms"], result["p99_ms"]])
    table("Producer latency, 100 B records, acks=1", ["rate", "system", "p50 ms", "p99 ms"], rows)


BENCHES = {
    "startup": bench_startup,
    "idle": bench_idle,
    "partitions": bench_partitions,
    "throughput": bench_throughput,
    "latency": bench_latency,
}


def main():
    parser = argparse.ArgumentParser(prog="./bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; all by default")
    parser.add_argument("--rounds", type=int, default=5, help="each figure is the median of this many (default 5)")
    parser.add_argument("--folder", default="/dev/shm", help="where data goes (default: memory, /dev/shm)")
    parser.add_argument("--with-kafka", action="store_true", help="10,000 partitions on Kafka too: takes minutes")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHES]
    if unknown:
        parser.error(f"no figure is named {unknown[0]}; there are {', '.join(BENCHES)}")
    print(f"{platform.system()} {platform.release()}, {os.cpu_count()} cores; data in {options.folder}; {options.rounds} rounds")
    for name in options.names or BENCHES:
        BENCHES[name](options)


main()
