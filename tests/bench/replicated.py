"""Throughput, CPU and latency of three brokers with three replicas and acks=all (docs/performance.md)."""

from bench.gaps import three_brokers
from bench.measure import cpu_seconds, figure, median, produce, table

PARTITIONS = 3
RUN_BYTES = 300_000_000
WARM_UP_BYTES = 200_000_000
ACKS = ["acks=all"]
LATENCY_SECONDS = 30
LATENCY_RATE = 2000


def brokers_cpu(cluster):
    return sum(cpu_seconds(broker.pid) for broker in cluster.brokers.values())


def run(cluster, record_bytes, codec, settings, total_bytes=RUN_BYTES):
    """Records per second, and CPU seconds of the three brokers per GB of records."""
    before = brokers_cpu(cluster)
    records, _, _ = produce(cluster.bootstrap, "probed", record_bytes, codec, total_bytes, settings=settings)
    # What the followers still have to fetch belongs to the run.
    cluster.wait_in_sync()
    return records, (brokers_cpu(cluster) - before) * 1e9 / total_bytes


def replicated_throughput(bench):
    rows = []
    for record_bytes in (100, 1024):
        for codec in bench.codecs:
            for kind in bench.kinds:
                with three_brokers(bench, kind, PARTITIONS) as cluster:
                    settings = bench.producer + ACKS
                    run(cluster, record_bytes, codec, settings, WARM_UP_BYTES)
                    runs = [run(cluster, record_bytes, codec, settings) for _ in range(bench.runs)]
                records, cpu = (median(column) for column in zip(*runs))
                rows.append((f"{record_bytes} B, {codec}", kind.name.capitalize(), figure(records, 0), figure(records * record_bytes / 1e6), figure(cpu, 1)))
    header = ("records", "brokers", "records/s", "MB/s", "CPU of the three (s/GB)")
    table(f"Three replicas, acks=all, {PARTITIONS} partitions, data on {bench.root}", header, rows)


def replicated_latency(bench):
    rows = []
    for kind in bench.kinds:
        with three_brokers(bench, kind, PARTITIONS) as cluster:
            settings = ["linger.ms=0", *ACKS]
            produce(cluster.bootstrap, "probed", 100, "none", WARM_UP_BYTES // 3, settings=settings)
            total = 100 * LATENCY_RATE * LATENCY_SECONDS
            runs = [produce(cluster.bootstrap, "probed", 100, "none", total, LATENCY_RATE, settings) for _ in range(bench.runs)]
        p50, p99 = median([report[2][50] for report in runs]), median([report[2][99] for report in runs])
        rows.append((f"{LATENCY_RATE:,}", kind.name.capitalize(), figure(p50, 0), figure(p99, 0)))
    table("Latency, 100 B, three replicas, acks=all, linger.ms=0", ("records/s", "brokers", "p50 (ms)", "p99 (ms)"), rows)
