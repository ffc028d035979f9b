"""Writes events for `check-history` (crates/sim/src/history.rs)."""

import json
import os
import time


class History:
    """One file of a history; its times are on the machine's monotonic clock, which all processes share."""

    def __init__(self, folder, name):
        self.file = open(os.path.join(folder, f"{name}.jsonl"), "a", buffering=1 << 16)

    @staticmethod
    def now():
        return time.monotonic_ns()

    def write(self, event, **fields):
        self.file.write(json.dumps({"t": self.now(), "event": event, **fields}, separators=(",", ":")) + "\n")

    def flush(self):
        self.file.flush()
