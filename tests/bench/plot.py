"""Plots as SVG, without a library."""

import math

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 40, 50
COLOURS = {"whimbrel": "#1f6f8b", "kafka": "#c2571a"}


def draw_gaps(path, title, found):
    """The share of rounds whose gap is at most x, for each kind of broker: `{kind: gaps in ms}`. x is logarithmic."""
    low, high = 1.0, max(max(gaps) for gaps in found.values()) * 1.5
    decades = math.log10(high / low)

    def x(ms):
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log10(max(ms, low) / low) / decades

    def y(share):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    parts = [text(WIDTH / 2, 20, title, "middle", 14)]
    for power in range(math.ceil(decades)):
        ms = low * 10**power
        parts.append(line(x(ms), y(0), x(ms), y(1), "#ddd"))
        parts.append(text(x(ms), HEIGHT - BOTTOM + 18, f"{ms:,.0f}", "middle"))
    for share in (0, 0.5, 0.99):
        parts.append(line(x(low), y(share), x(high), y(share), "#ddd"))
        parts.append(text(LEFT - 8, y(share) + 4, f"{share:.0%}", "end"))
    parts.append(text(WIDTH / 2, HEIGHT - 12, "longest time between two acknowledgements (ms)", "middle"))
    for row, (kind, gaps) in enumerate(found.items()):
        parts.append(steps(sorted(gaps), x, y, COLOURS[kind]))
        parts.append(text(LEFT + 12, TOP + 16 + 18 * row, f"{kind.capitalize()} ({len(gaps)})", "start", 13, COLOURS[kind]))
    write(path, WIDTH, HEIGHT, parts)


ROW, PANEL, LABEL, GAP = 18, 190, 170, 14
PLAIN, DEFAULT = COLOURS["whimbrel"], COLOURS["kafka"]


def draw_bars(path, title, panels, rows):
    """A panel of bars for each figure, all with the same rows: `(name, whether it is a default, [figure of each panel])`."""
    width, height = LABEL + len(panels) * (PANEL + GAP), TOP + 24 + ROW * len(rows) + 12
    parts = [text(width / 2, 18, title, "middle", 14)]
    for row, (name, is_default, _) in enumerate(rows):
        parts.append(text(LABEL - 8, TOP + 24 + ROW * row + 13, name, "end", 11, DEFAULT if is_default else "#333"))
    for panel, what in enumerate(panels):
        left = LABEL + panel * (PANEL + GAP)
        largest = max(values[panel] for _, _, values in rows) or 1
        parts.append(text(left, TOP + 14, what, "start", 10))
        for row, (_, is_default, values) in enumerate(rows):
            # Beyond the bar there has to be room for its number.
            length, y = (PANEL - 48) * values[panel] / largest, TOP + 24 + ROW * row
            colour = DEFAULT if is_default else PLAIN
            parts.append(f'<rect x="{left}" y="{y + 3}" width="{length:.1f}" height="{ROW - 5}" fill="{colour}"/>')
            parts.append(text(left + length + 4, y + 13, short(values[panel]), "start", 10))
    write(path, width, height, parts)


def short(value):
    """Three digits, more before the point."""
    return f"{value:,.0f}" if 100 <= value else f"{value:.3g}"


def write(path, width, height, parts):
    path.parent.mkdir(parents=True, exist_ok=True)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">'
    path.write_text("\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"]))


def steps(gaps, x, y, colour):
    points = [f"{x(gaps[0]):.1f},{y(0):.1f}"]
    for index, gap in enumerate(gaps):
        points += [f"{x(gap):.1f},{y(index / len(gaps)):.1f}", f"{x(gap):.1f},{y((index + 1) / len(gaps)):.1f}"]
    return f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{" ".join(points)}"/>'


def line(x1, y1, x2, y2, colour):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def text(x, y, words, anchor, size=11, colour="#333"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{words}</text>'
