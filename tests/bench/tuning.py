"""The tables and plots of docs/tuning.md, from the results of `whimbrel bench run`.

    whimbrel bench run --scenario tests/bench/scenarios/tuning.toml --output A
    whimbrel bench run --scenario tests/bench/scenarios/fail-over-settings.toml --coordination zookeeper --output B
    python3 tests/bench/tuning.py --plots docs/plots A B

Medians over all rounds of all runs that are given. What a client of Kafka before 4.0 does unless it is told otherwise is
drawn in another colour.
"""

import argparse
import json
import pathlib
import re
import sys
from collections import defaultdict

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from bench.measure import figure, median, table  # noqa: E402
from bench.plot import draw_bars  # noqa: E402

PACED_RATE = 20_000


def points_of(runs):
    """`{(name of a point's variant, its workload as JSON): its rounds}`, in the order of the scenarios."""
    found = defaultdict(list)
    for run in runs:
        for line in (run / "results.jsonl").read_text().splitlines():
            point = json.loads(line)
            if point["kind"] == "point":
                variant = re.split(r" \w+=", point["name"])[0]
                found[variant, json.dumps(point["workload"])].append(point)
    return found


def over(rounds, read):
    return median([read(point) for point in rounds])


def ack_ms(quantile):
    return lambda point: point["ack_latency"][f"{quantile}_us"] / 1000


def rate_k(point):
    return point["produced"]["records_per_s"] / 1000


def cpu_s_per_gb(point):
    brokers = (cost["cpu_seconds"] for cost in point["cost"] if cost["name"].startswith("broker"))
    return sum(brokers) / (point["produced"]["bytes"] / 1e9)


# What is said of each setting at a steady rate, and as fast as it goes: title, unit of the plot, figure, digits.
PACED = [("p50", "ms", ack_ms("p50"), 1), ("p99", "ms", ack_ms("p99"), 1), ("brokers' CPU", "s/GB", cpu_s_per_gb, 0)]
FASTEST = [("records/s", "thousands", rate_k, 0), ("p99", "ms", ack_ms("p99"), 1), ("brokers' CPU", "s/GB", cpu_s_per_gb, 1)]


def section(points, variant, title, label, is_default, plots):
    """One table and one plot: a row for each setting, `label` of its workload."""
    rows = defaultdict(dict)
    for (name, _), rounds in points.items():
        workload = rounds[0]["workload"]
        if name == variant:
            rows[label(workload), is_default(workload)][workload["rate"] == PACED_RATE] = rounds
    rows = {key: pair for key, pair in rows.items() if len(pair) == 2}
    if not rows:
        return
    columns = [(what, unit, read, digits, True) for what, unit, read, digits in PACED]
    columns += [(what, unit, read, digits, False) for what, unit, read, digits in FASTEST]
    found = [(key, [over(pair[paced], read) for _, _, read, _, paced in columns]) for key, pair in rows.items()]
    header = [f"{'20,000/s' if paced else 'max'}: {what} ({unit})" for what, unit, _, _, paced in columns]
    cells = [(name, *(figure(value, column[3]) for value, column in zip(values, columns))) for (name, _), values in found]
    table(title, (variant, *header), cells)
    if plots:
        drawn = [1, 2, 3, 5]
        panels = [header[column] for column in drawn]
        bars = [(name, default, [values[column] for column in drawn]) for (name, default), values in found]
        draw_bars(plots / f"tuning-{variant.replace(' ', '-')}.svg", title, panels, bars)


def longest_gap_ms(point):
    """Of the partitions that the harmed broker led. What is shorter than a window of 100 ms is none."""
    return max((gap["ms"] for partition in point["uptime"]["partitions"] for gap in partition["produce"]["gaps"]), default=0)


def gap(ms):
    return figure(ms, 0) if ms else "below 100"


def fail_over(points, plots):
    rows = []
    for (name, _), rounds in points.items():
        if name.startswith(("killed", "frozen")):
            gaps = sorted(longest_gap_ms(point) for point in rounds)
            lost = sum(point["verification"]["lost"] for point in rounds)
            rows.append((name, gaps, lost))
    if not rows:
        return
    cells = [(name, gap(median(gaps)), gap(gaps[-1]), lost) for name, gaps, lost in rows]
    table("Fail-over", ("fault, and what finds it", "longest gap (ms)", "worst round", "lost"), cells)
    if plots:
        bars = [(name, "alone" in name, [median(gaps)]) for name, gaps, _ in rows]
        draw_bars(plots / "tuning-fail-over.svg", "Longest time without an acknowledgement", ["ms"], bars)


def batch_and_linger(workload):
    return f"{workload['batch_bytes'] // 1024} KiB, {workload['linger_ms']:.0f} ms"


def acks_and_replicas(workload):
    acks = {"none": "0", "leader": "1"}.get(workload["acks"], workload["acks"])
    return f"acks={acks}, {workload['replicas']} replica{'s' if 1 < workload['replicas'] else ''}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=pathlib.Path, metavar="RUN", help="the --output of a run")
    parser.add_argument("--plots", type=pathlib.Path, metavar="DIR", help="where the plots are written")
    arguments = parser.parse_args()
    points = points_of(arguments.runs)
    sections = [
        ("batch and linger", batch_and_linger, lambda of: of["batch_bytes"] == 16_384 and of["linger_ms"] == 0),
        ("codec", lambda of: of["codec"], lambda of: of["codec"] == "none"),
        ("acks and replicas", acks_and_replicas, lambda of: of["acks"] == "all" and of["replicas"] == 3),
        ("partitions", lambda of: f"{of['partitions']:,}", lambda of: of["partitions"] == 1),
    ]
    for variant, label, is_default in sections:
        section(points, variant, variant.capitalize(), label, is_default, arguments.plots)
    fail_over(points, arguments.plots)


if __name__ == "__main__":
    main()
