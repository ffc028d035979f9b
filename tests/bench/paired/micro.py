"""Criterion's micro-benchmarks of two builds."""

import json

from bench.paired import children
from bench.paired.judge import judge


def measure(build, folder, log, environment):
    """Runs all of a build once and returns the median nanoseconds of each, by name. Criterion's files go to `folder`."""
    for _, executable, crate in build.micro_benchmarks:
        words = [executable, "--bench", "--noplot", "--quiet"]
        children.run(words, log=log, cwd=crate, environment={**environment, "CRITERION_HOME": str(folder)})
    return read(folder)


def read(folder):
    """What criterion wrote: `GROUP/FUNCTION/new/{benchmark,estimates}.json`."""
    found = {}
    for path in sorted(folder.glob("**/new/estimates.json")):
        name = json.loads((path.parent / "benchmark.json").read_text())["full_id"]
        found[name] = json.loads(path.read_text())["median"]["point_estimate"]
    return found


def judged(rounds, percent):
    """Every benchmark of the rounds of `{"base": [{name: ns}…], "candidate": […]}`, the worst first."""
    names = sorted({name for side in rounds.values() for found in side for name in found})
    values = {
        name: [[found[name] for found in rounds[side] if name in found] for side in ("base", "candidate")] for name in names
    }
    all_judged = [judge(name, base, candidate, percent) for name, (base, candidate) in values.items()]
    return sorted(all_judged, key=lambda found: (not found.is_flagged, found.name))
