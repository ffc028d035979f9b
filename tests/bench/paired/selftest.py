"""Shows that the comparison flags what got worse, and nothing else: on recorded results, changed on purpose."""

import contextlib
import copy
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from bench.paired import children, micro, system

# Two points of a run of five rounds, without histograms and series, which `bench compare` does not look at.
RECORDED = pathlib.Path(__file__).with_name("recorded.jsonl")
TESTS = pathlib.Path(__file__).resolve().parents[2]
PERCENT = 10
# More than the recorded rounds differ among themselves.
MUCH = 10
LITTLE = 1.05
WAIT_SECONDS = 20

# What is made worse, by its name in the comparison.
PLANTED = {
    "records_per_s": lambda point: scale(point, "produced.records_per_s", 1 / MUCH),
    "consumed_per_s": lambda point: scale(point, "consumed.records_per_s", 1 / MUCH),
    "ack_p50_us": lambda point: scale(point, "ack_latency.p50_us", MUCH),
    "ack_p99_us": lambda point: scale(point, "ack_latency.p99_us", MUCH),
    "end_to_end_p99_us": lambda point: scale(point, "end_to_end_latency.p99_us", MUCH),
    "cpu_s_per_gb_in": lambda point: scale_cost(point, "cpu_seconds", MUCH),
    "memory_peak_bytes": lambda point: scale_cost(point, "memory_peak_bytes", MUCH),
    "threads": lambda point: scale_cost(point, "threads", MUCH),
}


def run(whimbrel, conclude, lock):
    """Returns 0; a claim that does not hold raises."""
    whimbrel = whimbrel or os.environ.get("WHIMBREL") or TESTS.parent / "target/debug/whimbrel"
    if not pathlib.Path(whimbrel).exists():
        raise children.Failed(f"{whimbrel} is not there: name the program by --whimbrel")
    base = [json.loads(line) for line in RECORDED.read_text().splitlines()]
    checks = SelfTest(whimbrel, conclude, base)
    checks.equal_builds_are_told_apart_in_nothing()
    checks.what_is_planted_is_found()
    checks.chance_and_trifles_are_not_flagged()
    checks.micro_benchmarks_are_judged()
    with tempfile.TemporaryDirectory(prefix="whimbrel-nightly-") as folder:
        a_second_comparison_is_refused(lock, pathlib.Path(folder))
        an_interrupted_comparison_ends_what_it_started(pathlib.Path(folder))
    print(f"ok: {checks.count} comparisons, the lock and the end")
    return 0


class SelfTest:
    def __init__(self, whimbrel, conclude, base):
        self.whimbrel, self.conclude, self.base, self.count = whimbrel, conclude, base, 0

    def compare(self, change=lambda _: True, micro_rounds=None):
        """The exit code and the summary of the recorded run against itself, changed. A point for which `change` returns
        False is left out."""
        self.count += 1
        candidate = []
        for line in copy.deepcopy(self.base):
            if line["kind"] != "point" or change(line) is not False:
                candidate.append(line)
        rounds = {line["round"] for line in self.base if line["kind"] == "point"}
        about = {"base": "base", "candidate": "candidate", "rounds": len(rounds), "scenario": "recorded", "percent": PERCENT}
        with tempfile.TemporaryDirectory(prefix="whimbrel-nightly-") as name:
            folder = pathlib.Path(name)
            for side, lines in (("base", self.base), ("candidate", candidate)):
                (folder / side).mkdir()
                (folder / side / system.RESULTS).write_text("".join(json.dumps(line) + "\n" for line in lines))
            nothing = {"base": [], "candidate": []}
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                code = self.conclude(self.whimbrel, folder, about, micro_rounds or nothing, folder / "log.txt")
            assert (folder / "summary.md").read_text() in printed.getvalue()
        return code, printed.getvalue()

    def equal_builds_are_told_apart_in_nothing(self):
        code, text = self.compare()
        assert code == 0 and "Nothing got worse" in text and "within the noise" in text, text

    def what_is_planted_is_found(self):
        point = next(line["name"] for line in self.base if line["kind"] == "point")
        for figure, plant in PLANTED.items():
            code, text = self.compare(lambda line, plant=plant: line["name"] == point and plant(line) or True)
            assert code == 1 and is_called_worse(text, point, figure), f"{figure} is not flagged:\n{text}"
        code, text = self.compare(lambda line: line["round"] == 1 and lose_a_record(line) or True)
        assert code == 1 and is_called_worse(text, point, "lost"), f"a lost record is not flagged:\n{text}"
        code, text = self.compare(lambda line: line["name"] != point)
        assert code == 1 and "not measured in" in text, f"a missing point is not flagged:\n{text}"

    def chance_and_trifles_are_not_flagged(self):
        def all_of_it(line, factor):
            for path in ("ack_latency.p50_us", "ack_latency.p99_us", "end_to_end_latency.p99_us"):
                scale(line, path, factor)
            scale(line, "produced.records_per_s", 1 / factor)
            scale_cost(line, "cpu_seconds", factor)

        code, text = self.compare(lambda line: line["round"] == 1 and all_of_it(line, MUCH) or True)
        assert code == 0 and "Nothing got worse" in text, f"one bad round is flagged:\n{text}"
        code, text = self.compare(lambda line: all_of_it(line, LITTLE) or True)
        assert code == 0 and "Nothing got worse" in text, f"less than {PERCENT} % is flagged:\n{text}"
        code, text = self.compare(lambda line: all_of_it(line, 1 / MUCH) or True)
        assert code == 0 and "better" in text, f"what got better is flagged or not told:\n{text}"

    def micro_benchmarks_are_judged(self):
        with tempfile.TemporaryDirectory(prefix="whimbrel-nightly-") as name:
            folder = pathlib.Path(name)
            nanoseconds = {"batch/build/16 KiB none": 5000.0, "wire/decode": 300.0}
            write_like_criterion(folder, nanoseconds)
            assert micro.read(folder) == nanoseconds, micro.read(folder)
        base = [{name: value * noise for name, value in nanoseconds.items()} for noise in (1, 1.02, 0.99)]
        slow = [{**found, "wire/decode": 1.5 * found["wire/decode"]} for found in base]
        # One benchmark is new, one is gone: neither got worse.
        other = [{"batch/walk": found["wire/decode"], "wire/decode": found["wire/decode"]} for found in base]
        for candidate, code_wanted, told in ((base, 0, "within the noise"), (slow, 1, "- wire/decode"), (other, 0, "gone")):
            code, text = self.compare(micro_rounds={"base": base, "candidate": candidate})
            assert code == code_wanted and told in text, text


def is_called_worse(text, point, figure):
    """Both where the reader begins, and in the table."""
    is_listed = "**Worse:**" in text and f"- {point} on whimbrel: " in text
    return is_listed and any(f"| {point} | `{figure}` |" in line and line.endswith("| worse |") for line in text.splitlines())


def scale(point, path, factor):
    group, name = path.split(".")
    point[group][name] = type(point[group][name])(point[group][name] * factor)


def scale_cost(point, name, factor):
    for process in point["cost"]:
        process[name] = type(process[name])(process[name] * factor)


def lose_a_record(point):
    point["verification"]["lost"] = 1


def write_like_criterion(folder, nanoseconds):
    for name, value in nanoseconds.items():
        new = folder / name.replace(" ", "_") / "new"
        new.mkdir(parents=True)
        (new / "benchmark.json").write_text(json.dumps({"full_id": name}))
        (new / "estimates.json").write_text(json.dumps({"median": {"point_estimate": value}}))


def a_second_comparison_is_refused(lock, folder):
    with lock(folder):
        try:
            with lock(folder):
                raise AssertionError("two comparisons hold the lock")
        except children.Failed as error:
            assert "another comparison" in str(error), error
    with lock(folder):
        pass


def an_interrupted_comparison_ends_what_it_started(folder):
    """A child with a child of its own: both are gone when the comparison is."""
    program = (
        "import sys; from bench.paired import children; children.end_on_signals();"
        "children.run(['sh', '-c', f'sleep 60 & echo $! > {sys.argv[1]}/pid.new; mv {sys.argv[1]}/pid.new {sys.argv[1]}/pid; wait'],"
        " log=sys.argv[1] + '/log')"
    )
    words = [sys.executable, "-B", "-c", program, str(folder)]
    process = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(TESTS)}, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: (folder / "pid").exists(), "the child runs")
        grandchild = int((folder / "pid").read_text())
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT_SECONDS)
        wait_until(lambda: not is_running(grandchild), "the child's child is gone")
    finally:
        process.kill()
        process.wait()


def is_running(pid):
    """Whether the process does anything still: one that nobody has waited for does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_until(condition, what):
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {WAIT_SECONDS} s: {what}"
        time.sleep(0.02)
