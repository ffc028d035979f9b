"""What is worse, and what is chance: the rule of `whimbrel bench compare`, for the micro-benchmarks."""

import statistics
from dataclasses import dataclass

# With fewer rounds on either side the noise is not known. As in crates/whimbrel/src/bench/compare/judge.rs.
ROUNDS_MIN = 3


@dataclass
class Judged:
    """One micro-benchmark in both builds: medians in nanoseconds, `None` where it was not measured."""

    name: str
    base: float | None
    candidate: float | None
    verdict: str
    is_flagged: bool

    @property
    def change_percent(self):
        return 100 * (self.candidate / self.base - 1) if self.base and self.candidate else None


def judge(name, base, candidate, percent):
    """`base` and `candidate` are the nanoseconds of each round. Worse is only what lies beyond every round of the base."""
    if not base or not candidate:
        verdict = "new" if candidate else "gone"
        return Judged(name, middle(base), middle(candidate), verdict, False)
    found = Judged(name, middle(base), middle(candidate), "", False)
    if min(len(base), len(candidate)) < ROUNDS_MIN:
        found.verdict = "?"
    elif max(candidate) < min(base):
        found.verdict = "better"
    elif max(base) < min(candidate):
        found.verdict = "worse"
        found.is_flagged = percent < found.change_percent
    return found


def middle(values):
    return statistics.median(values) if values else None
