"""Kafka's own performance tools out of its jars, with their figures read from what they print."""

import os
import re
import subprocess

PRODUCER = re.compile(
    r"records sent, (?P<rate>[\d.]+) records/sec \((?P<mb>[\d.]+) MB/sec\), (?P<avg>[\d.]+) ms avg latency, "
    r"(?P<max>[\d.]+) ms max latency, (?P<p50>\d+) ms 50th, (?P<p95>\d+) ms 95th, (?P<p99>\d+) ms 99th"
)


def run(main_class, arguments):
    command = ["java", "-Xmx512m", "-cp", os.environ["KAFKA_JARS"] + "/*", main_class, *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"{main_class} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def produce(address, topic, records, record_bytes, codec="none", acks="1", rate=-1):
    """`kafka-producer-perf-test`: records per second, and latency percentiles in ms."""
    output = run(
        "org.apache.kafka.tools.ProducerPerformance",
        ["--topic", topic, "--num-records", records, "--record-size", record_bytes, "--throughput", rate]
        + ["--producer-props", f"bootstrap.servers={address}", f"acks={acks}", f"compression.type={codec}"],
    )
    last = list(PRODUCER.finditer(output))[-1]
    return {"rate": float(last["rate"]), "p50_ms": float(last["p50"]), "p99_ms": float(last["p99"])}


def consume(address, topic, records):
    """`kafka-consumer-perf-test`: records per second while fetching."""
    output = run(
        "org.apache.kafka.tools.ConsumerPerformance",
        ["--bootstrap-server", address, "--topic", topic, "--messages", records, "--timeout", 60_000],
    )
    values = output.strip().splitlines()[-1].split(",")
    return {"rate": float(values[9])}
