"""The summary of a comparison, in Markdown."""


def summary(about, comparison, said, micro):
    """`about` describes the run, `comparison` is that of `bench compare` or `None`, `said` what it calls worse."""
    lines = [f"# {about['base']} → {about['candidate']}", ""]
    lines += [
        f"{about['rounds']} rounds in turns of `{about['scenario']}`. Worse is what got worse by more than "
        f"{about['percent']:g} % and by more than the noise: every round beyond every round of the other build.",
        "",
    ]
    flagged = [found.name for found in micro if found.is_flagged]
    if said or flagged:
        lines += ["**Worse:**", "", *(f"- {line.strip()}" for line in said), *(f"- {name}" for name in flagged), ""]
    else:
        lines += ["**Nothing got worse.**", ""]
    if comparison is not None:
        lines += system_lines(comparison)
    if micro:
        lines += micro_lines(micro)
    return "\n".join(lines)


def system_lines(comparison):
    figures = [figure for figure in comparison["figures"] if verdict(figure) in ("better", "worse")]
    lines = ["## The system", ""]
    late = sum(comparison["bottlenecks"])
    if late:
        lines += [f"The load generator was the bottleneck in {late} measurements.", ""]
    if not figures:
        return [*lines, f"All {len(comparison['figures'])} figures are within the noise.", ""]
    lines += [f"Beyond the noise, of {len(comparison['figures'])} figures:", ""]
    rows = [
        (figure["point"], f"`{figure['figure']}`", *medians(figure), change(figure), verdict(figure)) for figure in figures
    ]
    return [*lines, *table(("point", "figure", "base", "candidate", "change", ""), rows), ""]


def micro_lines(micro):
    shown = [found for found in micro if found.verdict]
    lines = ["## Micro-benchmarks", ""]
    if not shown:
        return [*lines, f"All {len(micro)} are within the noise.", ""]
    lines += [f"Beyond the noise, or in one build only, of {len(micro)}:", ""]
    rows = [
        (found.name, nanoseconds(found.base), nanoseconds(found.candidate), percent(found.change_percent), found.verdict)
        for found in shown
    ]
    return [*lines, *table(("benchmark", "base", "candidate", "change", ""), rows), ""]


def verdict(figure):
    _, candidate = figure["values"]
    return candidate["verdict"] if candidate else None


def medians(figure):
    return [f"{value['median']:.4g}" if value else "–" for value in figure["values"]]


def change(figure):
    _, candidate = figure["values"]
    return percent(100 * (candidate["ratio"] - 1) if candidate and candidate["ratio"] is not None else None)


def percent(value):
    return "–" if value is None else f"{value:+.1f} %"


def nanoseconds(value):
    if value is None:
        return "–"
    for unit, size in (("ms", 1e6), ("µs", 1e3)):
        if size <= value:
            return f"{value / size:.4g} {unit}"
    return f"{value:.4g} ns"


def table(head, rows):
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        # A point's name may hold what Markdown takes for the end of a cell.
        cells = [cell.replace("|", "\\|") for cell in row]
        yield f"| {' | '.join(cells)} |"
