"""What processes cost: CPU time, memory, open files, read from /proc."""

import os
import time

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids):
    """User and system time so far, all threads."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS_PER_SECOND


def rss_mib(pids):
    """Resident memory, in MiB."""
    total_kib = 0
    for pid in pids:
        with open(f"/proc/{pid}/status") as status:
            total_kib += next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return total_kib / 1024


def open_files(pids):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def idle_cpu_percent(pids, seconds):
    """Share of one core while nothing is asked of the processes."""
    before, started = cpu_seconds(pids), time.monotonic()
    time.sleep(seconds)
    return 100 * (cpu_seconds(pids) - before) / (time.monotonic() - started)
