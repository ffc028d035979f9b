"""Runs the scenarios of a cluster: three brokers on three Apache ZooKeepers, with clients of four languages.

    ./test cluster [--only NAME]... [--full] [--light] [--languages LIST] [--rounds N] [--set KEY=VALUE] [--list]

Each process runs in a network namespace of its own, so that links can be cut; with --light on loopback, without the
scenarios that cut links. What clients saw and what lies on the disks is judged by `check-history` after each scenario.
"""

import argparse
import os
import signal
import sys
import time
import traceback

import cluster.damage_scenarios  # noqa: F401 (adds scenarios)
from cluster.cluster import network_for
from cluster.run import Run
from cluster.scenarios import SCENARIOS
from harness.folders import temporary_folder
from harness.network import why_no_namespaces
from harness.servers import Ensemble

BROKERS = 3
ZOOKEEPERS = 3
LANGUAGES = "librdkafka,kafka-python,java,go"


class World:
    """What the scenarios share: the network, its places, and the ensemble. Each scenario has its own path in it."""

    def __init__(self, folder, light):
        self.folder = folder
        self.network = network_for(light)
        self.ensemble = None
        try:
            self.places = [self.network.place(f"broker{number}") for number in range(1, BROKERS + 1)]
            self.client_place = self.network.place("clients")
            self.ensemble = Ensemble(folder, [self.network.place(f"zookeeper{number}") for number in range(1, ZOOKEEPERS + 1)])
            self.ensemble.start()
        except BaseException:
            self.end()
            raise

    def end(self):
        if self.ensemble:
            self.ensemble.end()
        self.network.end()


def hold(world, name, arguments):
    """Runs one scenario; whether everything held."""
    function = SCENARIOS[name]
    print(f"     {name}", flush=True)
    started = time.monotonic()
    properties = {**function.properties, **dict(setting.split("=", 1) for setting in arguments.set)}
    run = Run(world, name, arguments.full, arguments.languages.split(","), properties)
    try:
        run.start()
        function(run)
        run.settle()
        run.finish()
        run.judge()
    except Exception:
        print(f"FAIL {name}\n{traceback.format_exc()}", flush=True)
        return False
    finally:
        run.end()
        world.network.heal() if world.network.can_cut else None
        world.ensemble.start()
    print(f"ok   {name}  ({time.monotonic() - started:.1f} s)", flush=True)
    return True


def selected(arguments):
    for name in arguments.only:
        if name not in SCENARIOS:
            sys.exit(f"no scenario is named '{name}'; there are: {' '.join(SCENARIOS)}")
    names = arguments.only or list(SCENARIOS)
    return [name for name in names if not (arguments.light and SCENARIOS[name].cuts)]


def main():
    # An end from outside must not leave servers and namespaces behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--full", action="store_true", help="with the long times: a minute without ZooKeeper, and so on")
    parser.add_argument("--light", action="store_true", help="on loopback, without root and without cut links")
    parser.add_argument("--languages", default=LANGUAGES, help=f"of the clients (default {LANGUAGES})")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of every broker")
    parser.add_argument("--rounds", type=int, default=1, help="how often each scenario runs")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if arguments.list:
        for name, function in SCENARIOS.items():
            print(f"{name:34}{(function.__doc__ or '').strip().splitlines()[0] if function.__doc__ else ''}")
        return
    reason = None if arguments.light else why_no_namespaces()
    if reason:
        left_out = ", ".join(name for name, scenario in SCENARIOS.items() if scenario.cuts)
        print(f"LEFT OUT: links cannot be cut here ({reason}); not run: {left_out}", flush=True)
        arguments.light = True
    names = selected(arguments)
    failed = []
    with temporary_folder("cluster") as folder:
        for number in range(arguments.rounds):
            round_folder = os.path.join(folder, f"round-{number}")
            os.mkdir(round_folder)
            world = World(round_folder, arguments.light)
            try:
                failed += [name for name in names if not hold(world, name, arguments)]
            finally:
                world.end()
        total = arguments.rounds * len(names)
        print(f"cluster: {total - len(failed)} of {total} scenarios hold" + (f"; failed: {' '.join(failed)}" if failed else ""))
        sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
