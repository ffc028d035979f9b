"""Plausible results of `whimbrel bench`, made up: `python -m bench_report.sample > sample.jsonl`.

Two systems, three sizes, three rates and three rounds, one point with a fault and uptime, and names that try to be
markup. Histograms are encoded here by the book of HdrHistogram's V2 format, not by what reads them.
"""

import base64
import json
import math
import random
import struct
import zlib

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'\u202e"
SIZES = (100, 1024, 10240)
RATES = (1_000, 10_000, None)
ROUNDS = (1, 2, 3)
SECONDS = 10.0

SYSTEMS = {
    "whimbrel": {
        "name": "whimbrel", "version": "0.1.0", "brokers": 1, "coordination": "keeper",
        "settings": {"num.network.threads": "2"}, "client": "whimbrel",
    },
    "kafka": {
        "name": "kafka", "version": "3.9.2", "brokers": 1, "coordination": "zookeeper",
        "settings": {"log.flush.interval.messages": "9223372036854775807", "note": HOSTILE}, "client": "whimbrel",
    },
}
# Typical latency, its spread, how often and how far the tail goes; records and bytes per second at most; CPU-s/GB.
SHAPES = {
    "whimbrel": {"us": 180, "spread": 0.35, "tail": 0.004, "reach": 6, "records": 2.1e6, "bytes": 9e8, "cpu": 0.8},
    "kafka": {"us": 900, "spread": 0.6, "tail": 0.02, "reach": 14, "records": 8.6e5, "bytes": 3e8, "cpu": 3.9},
}


def lines(hostile=True):
    dice = random.Random(7)
    yield {
        "kind": "run", "scenario": "paper", "started": "2026-11-26T04:20:00Z", "bench_version": "0.1.0",
        "command": ["whimbrel", "bench", "run", "--scenario", "paper", "--target", "whimbrel", "--target", "kafka"]
        + (["--set", f"note={HOSTILE}"] if hostile else []),
        "machine": {
            "cpu": "AMD EPYC 9R14" + (" " + HOSTILE if hostile else ""), "cores": 2, "memory_bytes": 8 << 30,
            "kernel": "6.8.0", "data_filesystem": "tmpfs",
        },
        "limits": {"loopback copy GB/s": 5.31, "page cache append GB/s": 2.04, "fdatasync p50 us": 1.4, "round trip p50 us": 21.5},
    }
    for round_number in ROUNDS:
        for rate in RATES:
            for size in SIZES:
                for system in SYSTEMS:
                    yield point(dice, system, size, rate, round_number)
    for round_number in ROUNDS:
        for system in SYSTEMS:
            yield failover(dice, system, round_number, HOSTILE if hostile else "orders")


def point(dice, system, size, rate, round_number):
    shape = SHAPES[system]
    most = min(shape["records"], shape["bytes"] / size)
    done = min(rate or math.inf, most * dice.uniform(0.93, 1.0))
    load = done / most
    slower = shape["us"] * (1 + 3 * load**3) * (1 + size / 40_000) * dice.uniform(0.9, 1.15)
    count = int(done * SECONDS)
    acknowledged = samples(dice, slower, shape, 6000)
    received = samples(dice, slower * 1.7, shape, 6000)
    name = f"rate={rate or 'max'} record_bytes={size}"
    is_late = rate is None and system == "whimbrel" and size == 100 and round_number == 2
    return {
        "kind": "point", "name": name, "system": SYSTEMS[system], "round": round_number,
        "workload": {"record_bytes": size, "rate": rate, "acks": "leader", "idempotent": False, "seconds": SECONDS},
        "seconds": SECONDS, "produced": flow(done, size), "consumed": flow(done * 0.998, size),
        "ack_latency": latency(acknowledged, count), "end_to_end_latency": latency(received, count),
        "series": series(dice, done, slower, []),
        "generator": {
            "cpu_seconds": 3e-7 * count, "cpu_us_per_record": 0.21 + size / 40_000, "late_p99_us": 14_000 if is_late else 120,
            "late_max_us": 31_000 if is_late else 900,
            "bottleneck": "the producing threads were on CPU for 97 % of the time" if is_late else None,
        },
        "cost": costs(dice, system, shape["cpu"] * count * size / 1e9, 1),
        "verification": {
            "acknowledged": count, "read": count, "lost": 0, "duplicated": 0, "reordered": 0, "is_complete": True,
        },
        "errors": {}, "faults": [], "uptime": None,
    }


def failover(dice, system, round_number, topic):
    found = point(dice, system, 1024, 10_000, round_number)
    pause = (1300 if system == "whimbrel" else 4200) + dice.randrange(400)
    faults = [
        {"at_ms": 2500, "until_ms": 5500, "what": "broker 1 killed" if topic == "orders" else "broker 1 killed " + topic},
        {"at_ms": 7000, "until_ms": None, "what": "zookeeper 2 frozen"},
    ]
    found["name"] = "failover " + topic
    found["workload"] |= {"replicas": 3, "acks": "all", "idempotent": True, "partitions": 6}
    found["faults"] = faults
    found["series"] = series(dice, 10_000, 900, [(2500, pause)])
    found["errors"] = {f"not leader or follower {topic}": 12, "request timed out": 3} if system == "kafka" else {}
    found["cost"] = costs(dice, system, 0.4, 3)
    if system == "kafka" and round_number == 3:
        found["verification"] |= {"lost": 37, "duplicated": 4, "read": found["verification"]["acknowledged"] - 37}
    if system == "whimbrel" and round_number == 2:
        found["verification"] |= {"is_complete": False}
    found["uptime"] = {"window_ms": 100, "partitions": [uptime(dice, topic, index, pause) for index in range(6)]}
    return found


def uptime(dice, topic, partition, pause):
    def side(extra):
        gaps = [{"at_ms": 2500 + dice.randrange(100), "ms": pause // 100 * 100 + extra}] if partition % 3 == 0 else []
        if dice.random() < 0.4:
            gaps.append({"at_ms": 7100, "ms": 200})
        return {"windows": 100, "available": 100 - sum(gap["ms"] for gap in gaps) // 100, "gaps": gaps}

    return {"topic": topic, "partition": partition, "produce": side(0), "consume": side(200)}


def samples(dice, typical_us, shape, count):
    def one():
        us = typical_us * math.exp(dice.gauss(0, shape["spread"]))
        return max(1, int(us * dice.uniform(2, shape["reach"]) if dice.random() < shape["tail"] else us))

    return sorted(one() for _ in range(count))


def flow(rate, size):
    return {"records": int(rate * SECONDS), "bytes": int(rate * SECONDS) * size, "records_per_s": rate, "mb_per_s": rate * size / 1e6}


def latency(samples, count):
    def at(share):
        return samples[min(len(samples) - 1, int(share * len(samples)))]

    weight = max(1, count // len(samples))
    return {
        "count": weight * len(samples), "mean_us": sum(samples) / len(samples), "min_us": samples[0], "p50_us": at(0.5),
        "p90_us": at(0.9), "p99_us": at(0.99), "p999_us": at(0.999), "max_us": samples[-1],
        "histogram": histogram(samples, weight),
    }


def histogram(samples, weight):
    """HdrHistogram V2, three digits, from 1 to 2^37, deflated, in base64."""
    counts = {}
    for value in samples:
        bucket = max(0, value.bit_length() - 11)
        index = (bucket + 1) * 1024 + (value >> bucket) - 1024
        counts[index] = counts.get(index, 0) + weight
    body, at = bytearray(), 0
    for index in sorted(counts):
        if index > at:
            body += zig_zag(-(index - at))
        body += zig_zag(counts[index])
        at = index + 1
    head = struct.pack(">iiiiqqd", 0x1C849313, len(body), 0, 3, 1, 1 << 37, 1.0)
    deflated = zlib.compress(head + bytes(body))
    return base64.b64encode(struct.pack(">ii", 0x1C849314, len(deflated)) + deflated).decode()


def zig_zag(number):
    rest, out = (number << 1) ^ (number >> 63), bytearray()
    rest &= (1 << 64) - 1
    while rest >= 0x80:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def series(dice, rate, typical_us, pauses):
    windows = []
    for at in range(-3000, 10_000, 100):
        is_paused = any(began <= at < began + length for began, length in pauses)
        is_after = any(began + length <= at < began + length + 300 for began, length in pauses)
        slow = typical_us * (400 if is_after else 1) * dice.uniform(0.8, 1.3)
        done = 0 if is_paused else int(rate / 10 * dice.uniform(0.9, 1.1) * (4 if is_after else 1))
        windows.append({
            "at_ms": at, "ms": 100, "acknowledged": done, "consumed": done, "errors": 3 if is_paused and at % 500 == 0 else 0,
            "ack_p50_us": 0 if is_paused else int(slow), "ack_p99_us": 0 if is_paused else int(slow * dice.uniform(2, 5)),
            "ack_max_us": 0 if is_paused else int(slow * 9), "end_to_end_p99_us": 0 if is_paused else int(slow * dice.uniform(4, 8)),
        })
    return windows


def costs(dice, system, cpu_seconds, brokers):
    is_kafka = system == "kafka"
    found = [
        {
            "name": f"broker {index}", "pid": 100 + index, "cpu_seconds": cpu_seconds / brokers * dice.uniform(0.9, 1.1),
            "memory_peak_bytes": int((420 if is_kafka else 14) * 1e6 * dice.uniform(1, 1.3)), "written_bytes": 0,
            "files": 190 if is_kafka else 31, "threads": 84 if is_kafka else 9,
        }
        for index in range(1, brokers + 1)
    ]
    if is_kafka:
        found.append({
            "name": "zookeeper 1", "pid": 99, "cpu_seconds": 0.2, "memory_peak_bytes": 96_000_000, "written_bytes": 65536,
            "files": 60, "threads": 40,
        })
    return found


if __name__ == "__main__":
    import sys

    for line in lines(hostile="--calm" not in sys.argv):
        print(json.dumps(line))
