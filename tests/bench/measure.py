"""What a server process uses, and how long things take. Linux only: from /proc."""

import math
import os
import re
import statistics
import subprocess
import time

CLIENT_JAVA = ["java", "-Xms512m", "-Xmx512m", "-XX:+UseG1GC"]
TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024


def cpu_seconds(pid):
    """User and system time of the process so far."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def open_files(pid):
    """Open files, without sockets, pipes and the like."""
    count = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            count += os.readlink(f"/proc/{pid}/fd/{name}").startswith("/")
        except OSError:
            continue
    return count


def idle_cpu_percent(pid, seconds):
    """The share of one core that the process uses over `seconds`."""
    before = cpu_seconds(pid)
    time.sleep(seconds)
    return 100 * (cpu_seconds(pid) - before) / seconds


def median(values):
    return statistics.median(values)


def table(title, header, rows):
    """Prints a Markdown table."""
    print(f"\n### {title}\n")
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)


def figure(value, digits=1):
    return "–" if value is None else f"{value:,.{digits}f}"


def percentile(values, share):
    """The smallest value that at least `share` percent of the values do not pass."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]


def tool(name, *arguments):
    command = [*CLIENT_JAVA, "-cp", f"{os.environ['KAFKA_JARS']}/*", "-Dlog4j.configuration=file:/dev/null", name, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def produce(bootstrap, topic, record_bytes, codec, total_bytes, throughput=-1, settings=()):
    """Runs producer-perf-test; gives records per second, MB per second, and `{percent: latency in ms}`."""
    report = tool(
        "org.apache.kafka.tools.ProducerPerformance", "--topic", topic, "--num-records", total_bytes // record_bytes,
        "--record-size", record_bytes, "--throughput", throughput,
        "--producer-props", f"bootstrap.servers={bootstrap}", f"compression.type={codec}", *settings,
    )  # fmt: skip
    last = report.strip().splitlines()[-1]
    records_per_second = float(re.search(r"([\d.]+) records/sec", last)[1])
    percentiles = {share: float(re.search(rf"(\d+) ms {share}th", last)[1]) for share in (50, 95, 99)}
    return records_per_second, records_per_second * record_bytes / 1e6, percentiles
