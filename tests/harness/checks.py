"""A list of checks, run in order, with one line of output each. A check is a function whose name is a claim."""

import sys
import time
import traceback


class Checks:
    def __init__(self, name):
        self.name = name
        self.functions = []

    def check(self, function):
        """Adds a check."""
        self.functions.append(function)
        return function

    def run(self, only=None):
        """Runs the checks (those whose name contains `only`) and exits non-zero if one failed."""
        failed = []
        selected = [function for function in self.functions if not only or only in function.__name__]
        for function in selected:
            claim = function.__name__.replace("_", " ")
            started = time.monotonic()
            try:
                function()
            except Exception:
                failed.append(claim)
                print(f"FAIL {claim}\n{traceback.format_exc()}", flush=True)
            else:
                print(f"ok   {claim}  ({time.monotonic() - started:.1f} s)", flush=True)
        print(f"{self.name}: {len(selected) - len(failed)} of {len(selected)} checks hold", flush=True)
        sys.exit(1 if failed else 0)


def eventually(condition, seconds=20, what="condition"):
    """Waits until `condition()` returns something true, and returns that; an assertion error after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)
