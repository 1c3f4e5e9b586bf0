# SPDX-License-Identifier: Apache-2.0
"""What the page must say: an independent model of families, levels and merges.

It knows nothing of cells, sessions or messages. Workers are names; each owns its part of a
series; text() writes the page from the parts.
"""
import bisect
import functools
import itertools
import operator
import re

from page import HIERARCHY, label_rank, show_value

PREFIX = {"seed": "dynamo_", "component": "dynamo_component_"}
DEFAULT_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
MERGES = {"sum": lambda values: functools.reduce(operator.add, values), "min": min, "max": max}
clock = itertools.count(1)


def fit(name):
    """A place's name as the component naming shows it."""
    name = re.sub("[^a-zA-Z0-9_]", "_", name)
    if name[0].isdigit():
        name = "_" + name
    if name.startswith("__"):
        name = name[2:] if name[2:3].isalpha() else "_" + name[2:]
    return name


class Part:
    """What one worker reported of one series. A gauge is None until it is set."""

    def __init__(self, kind, bounds):
        self.bounds, self.set_at = bounds, 0
        self.value = None if kind == "gauge" else 0.0
        self.counts, self.sum = [0] * (len(bounds) + 1), 0.0

    def add(self, value):
        self.set((self.value or 0.0) + value)

    def set(self, value):
        self.value, self.set_at = float(value), next(clock)

    def observe(self, value, times=1):
        self.counts[bisect.bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def many(self, value, times):
        if self.bounds:
            self.observe(value, times)
        else:
            self.add(value * times)


class Model:
    """constant: pairs of labels that every series has."""

    def __init__(self, naming="seed", constant=()):
        self.families, self.naming, self.constant = {}, naming, tuple(constant)
        self.prefix = PREFIX[naming]

    def part(self, worker, kind, level, name, help="", constant=(), labels=(), merge="sum",
            bounds=None):
        """A worker's part of a series, which is on the page from now on."""
        bounds = tuple(bounds or DEFAULT_BOUNDS) if kind == "histogram" else ()
        family = self.families.setdefault(name, {"kind": kind, "help": help, "merge": merge,
            "bounds": bounds, "series": {}})
        assert (kind, merge, bounds) == (family["kind"], family["merge"], family["bounds"])
        if self.naming == "component":
            level = [fit(place) for place in level]
        pairs = [*zip(HIERARCHY[self.naming], level), *self.constant, *constant, *labels]
        key = tuple(sorted((n, v) for n, v in pairs if v))
        series = family["series"].setdefault(key, {})
        return series.setdefault(worker, Part(kind, bounds))

    def gone(self, worker):
        """A worker died: its gauges leave, what it counted stays."""
        for family in self.families.values():
            for series in family["series"].values():
                if family["kind"] == "gauge":
                    series.pop(worker, None)
                elif worker in series:
                    series[f"{worker}, gone {next(clock)}"] = series.pop(worker)

    def text(self):
        out = []
        for name, family in sorted(self.families.items()):
            write = globals()["write_" + family["kind"]]
            lines = [self.line(*sample) for key, parts in family["series"].items()
                for sample in write(self.prefix + name, key, parts, family)]
            if lines and family["help"]:
                help = family["help"].replace("\\", "\\\\").replace("\n", "\\n")
                out.append(f"# HELP {self.prefix}{name} {help}")
            if lines:
                out += [f"# TYPE {self.prefix}{name} {family['kind']}", *lines]
        return "".join(line + "\n" for line in out)

    def line(self, name, labels, value):
        def escaped(text):
            return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')

        ordered = sorted(labels, key=lambda pair: label_rank(pair[0], self.naming))
        inside = ",".join(f'{n}="{escaped(v)}"' for n, v in ordered)
        return name + (f"{{{inside}}}" if inside else "") + " " + show_value(value)


def write_counter(name, key, parts, family):
    yield (name, key, sum(part.value for part in parts.values()))


def write_gauge(name, key, parts, family):
    live = {worker: part for worker, part in parts.items() if part.value is not None}
    if family["merge"] == "each":
        for worker, part in sorted(live.items()):
            yield (name, [*key, ("worker_id", worker)], part.value)
    elif live and family["merge"] == "last":
        yield (name, key, max(live.values(), key=lambda part: part.set_at).value)
    elif live:
        yield (name, key, MERGES[family["merge"]](part.value for part in live.values()))


def write_histogram(name, key, parts, family):
    count = 0
    for i, bound in enumerate([*family["bounds"], float("inf")]):
        count += sum(part.counts[i] for part in parts.values())
        yield (name + "_bucket", [*key, ("le", show_value(bound))], count)
    yield (name + "_sum", key, sum(part.sum for part in parts.values()))
    yield (name + "_count", key, count)


def canonical(text):
    """The page with the series of each family in one order: Prometheus promises none."""
    out, series, current, kind = [], [], [], ""
    for each in [*text.split("\n")[:-1], "# end"]:
        if each.startswith("# "):
            out += [one for group in sorted(series) for one in group] + [each]
            series, kind = [], each.rsplit(" ", 1)[1]
            continue
        current.append(each)
        if kind != "histogram" or each.split("{")[0].split(" ")[0].endswith("_count"):
            series.append(current)
            current = []
    return "".join(one + "\n" for one in out[:-1])
