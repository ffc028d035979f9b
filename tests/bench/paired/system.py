"""`whimbrel bench` of two builds: one point of each in turn, and the comparison of all."""

import json

from bench.paired import children

RESULTS = "results.jsonl"


def measure(instrument, build, scenario, folder, data, log, environment):
    """Measures the scenario once. Both builds are measured by the same program, so that only the system differs."""
    words = [
        instrument, "bench", "run", "--scenario", scenario, "--target", "whimbrel", "--whimbrel", build.whimbrel,
        "--rounds", 1, "--data", data, "--output", folder,
    ]  # fmt: skip
    _, table = children.run(words, log=log, environment=environment)
    (folder / "table.txt").write_text(table)
    return [json.loads(line) for line in (folder / RESULTS).read_text().splitlines()]


def append(path, lines, round_number):
    """Adds the points of a run to the results of its build, as that round, behind the description of the first run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        for line in lines:
            if line["kind"] == "point":
                file.write(json.dumps({**line, "round": round_number}) + "\n")
            elif round_number == 1:
                file.write(json.dumps(line) + "\n")


def compare(instrument, folder, percent, log):
    """Compares `folder`/base with `folder`/candidate: whether something is worse, the figures, what is said of them.

    The table for people is kept in the folder, too.
    """
    words = [instrument, "bench", "compare", folder / "base", folder / "candidate"]
    _, table = children.run(words, log=log)
    (folder / "compare.txt").write_text(table)
    told = folder / "compare-errors.txt"
    told.unlink(missing_ok=True)
    judging = [*words, "--format", "json", "--fail-on-regression", percent]
    code, output = children.run(judging, log=told, accept=(0, 1))
    (folder / "compare.json").write_text(output)
    if not output.strip():
        raise children.Failed(f"bench compare says nothing:\n{children.tail(told)}")
    # Each figure is on a line of its own, below what they are.
    said = [line for line in told.read_text().splitlines() if line.startswith(" ")]
    return code == 1, json.loads(output), said
