# SPDX-License-Identifier: Apache-2.0
"""Lines over two axes, as SVG that is readable on a light and on a dark page. The axes are
logarithmic; or even, from zero: Even."""
import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 74, 56
PADDING = 0.04  # of an axis, beyond the points on either side
# Labelled steps of a decade: for an axis of less than so many decades.
STEPS = ((0.8, (1, 1.5, 2, 3, 4, 5, 7)), (2.6, (1, 2, 5)), (99, (1,)))
LIGHT = {"page": "#ffffff", "ink": "#1f2328", "faint": "#59636e", "grid": "#d8dee4",
    "lines": ("#0969da", "#bc4c00", "#1a7f37", "#8250df")}
DARK = {"page": "#0d1117", "ink": "#e6edf3", "faint": "#9198a1", "grid": "#30363d",
    "lines": ("#58a6ff", "#f0883e", "#3fb950", "#bc8cff")}
MARKS = ("circle", "square", "diamond", "triangle")


def colours(theme):
    rules = [f".page{{fill:{theme['page']}}}", f"text{{fill:{theme['ink']}}}",
        f".faint{{fill:{theme['faint']}}}", f".grid{{stroke:{theme['grid']}}}",
        f".axis{{stroke:{theme['faint']}}}"]
    for i, colour in enumerate(theme["lines"]):
        rules += [f".l{i}{{stroke:{colour}}}", f".m{i}{{fill:{colour}}}"]
    return "".join(rules)


STYLE = ("<style>text{font:13px system-ui,sans-serif}.title{font-size:16px;font-weight:600}"
    "polyline{fill:none;stroke-width:2}.grid,.axis{stroke-width:1}" + colours(LIGHT)
    + "@media (prefers-color-scheme: dark){" + colours(DARK) + "}</style>")


class Axis:
    """A logarithmic axis from the least to the most of the values."""

    def __init__(self, values, start, end):
        low, high = math.log10(min(values)), math.log10(max(values))
        # Never less than from one to three times as much: noise is no slope.
        missing = max(0.0, 0.5 - (high - low))
        low, high = low - missing / 2, high + missing / 2
        beyond = (high - low) * PADDING
        self.low, self.high = low - beyond, high + beyond
        self.start, self.end = start, end

    def at(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def steps(self):
        """The values that are labelled."""
        decades = range(math.floor(self.low), math.ceil(self.high) + 1)
        steps = next(steps for below, steps in STEPS if self.high - self.low < below)
        all_of_them = (step * 10.0 ** decade for decade in decades for step in steps)
        return [v for v in all_of_them if self.low <= math.log10(v) <= self.high]


class Even:
    """An axis from zero to the most of the values, with even steps."""

    def __init__(self, values, start, end):
        self.most = max(values) * (1 + PADDING) or 1
        self.start, self.end = start, end

    def at(self, value):
        return self.start + value / self.most * (self.end - self.start)

    def steps(self):
        """Four to eight values: 1, 2 or 5 apart, or ten times that, and so on."""
        decade = 10.0 ** math.floor(math.log10(self.most / 4))
        step = max(n * decade for n in (1, 2, 5) if n * decade <= self.most / 4)
        return [step * i for i in range(int(self.most / step) + 1)]


def label(value):
    """A number on an axis: 1k, 1M, or as it is."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            scale = {"G": 1e9, "M": 1e6, "k": 1e3}[letter]
            return f"{value / scale:g}{letter}"
    return f"{value:g}"


def text(x, y, what, anchor="middle", kind="", turned=False):
    more = f' class="{kind}"' if kind else ""
    more += f' transform="rotate(-90 {x:g} {y:g})"' if turned else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{more}>{escape(what)}</text>'


def line(x1, y1, x2, y2, kind):
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def mark(i, x, y):
    """A form of its own for each line: colour is not all that tells them apart."""
    shape = MARKS[i % len(MARKS)]
    if shape == "circle":
        return f'<circle class="m{i}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    corners = {"square": ((-3.6, -3.6), (3.6, -3.6), (3.6, 3.6), (-3.6, 3.6)),
        "diamond": ((0, -5), (5, 0), (0, 5), (-5, 0)),
        "triangle": ((0, -5), (4.8, 4), (-4.8, 4))}[shape]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon class="m{i}" points="{points}"/>'


def grid(xs, ys):
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in xs.steps():
        yield line(xs.at(value), TOP, xs.at(value), bottom, "grid")
        yield text(xs.at(value), bottom + 18, label(value), kind="faint")
    for value in ys.steps():
        yield line(LEFT, ys.at(value), right, ys.at(value), "grid")
        yield text(LEFT - 8, ys.at(value) + 4, label(value), "end", "faint")
    yield line(LEFT, bottom, right, bottom, "axis")


def legend(names):
    x = LEFT
    for i, name in enumerate(names):
        yield mark(i, x + 5, 49)
        yield text(x + 16, 54, name, "start")
        x += 40 + 7.2 * len(name)


def svg(title, x_name, y_name, lines, axis=Axis, made_by="make bench-docs"):
    """lines: name -> points [x, y]; on a logarithmic axis one that is not above 0 has no
    place."""
    if axis is Axis:
        lines = {name: [(x, y) for x, y in points if x > 0 and y > 0]
            for name, points in lines.items()}
    points = [point for line_points in lines.values() for point in line_points]
    xs = axis([x for x, _ in points], LEFT, WIDTH - RIGHT)
    ys = axis([y for _, y in points], HEIGHT - BOTTOM, TOP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{escape(title)}">',
        f"<!-- SPDX-License-Identifier: Apache-2.0; made by {made_by} -->", STYLE,
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>',
        text(LEFT, 28, title, "start", "title"), *legend(lines), *grid(xs, ys),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, x_name),
        text(18, (TOP + HEIGHT - BOTTOM) / 2, y_name, turned=True)]
    for i, line_points in enumerate(lines.values()):
        places = [(xs.at(x), ys.at(y)) for x, y in line_points]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        out.append(f'<polyline class="l{i}" points="{joined}"/>')
        out += [mark(i, x, y) for x, y in places]
    return "\n".join(out) + "\n</svg>\n"
