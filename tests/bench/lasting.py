# SPDX-License-Identifier: Apache-2.0
"""What make overload and make soak have measured, as tables and plots of docs/performance.md."""
import plot
import table

# name -> title, unit, figures of a sample: name of the line -> of the figure.
PLOTS = {
    "soak-memory": ("The daemon's memory, while workers come and go", "MiB",
        {"resident memory": "memory", "journal": "journal"}),
    "soak-descriptors": ("Its descriptors and the sessions it remembers, meanwhile", "number",
        {"descriptors": "descriptors", "sessions remembered": "remembered"}),
    "soak-latency": ("How long things take: medians, meanwhile", "milliseconds",
        {"flush of a worker": "flush", "scrape": "scrape", "/live": "live",
            "99 % of the loop's turns are below": "turn"}),
}
POINTS = 40  # of a line
ENOUGH = 30  # reports of the median worker, for fairness to mean something
LEAST_S = {"overload": 60, "soak": 300}
STAGE = ("name", "offered", "acknowledged", "others", "report", "probes", "fairness", "memory",
    "descriptors")
NAMES = {"memory": "resident memory, MiB", "descriptors": "descriptors",
    "flush": "a flush, median, ms", "scrape": "a scrape, median, ms", "live": "/live, median, ms",
    "turn": "99 % of the loop's turns, ms", "series": "series",
    "remembered": "sessions remembered", "journal": "journal, MiB"}


def rounded(value):
    """Four digits are more than is known."""
    return float(f"{value:.4g}")


def thinned(points):
    """At most POINTS: each is the median of its neighbours."""
    step = -(-len(points) // POINTS)
    for i in range(0, len(points), step):
        part = points[i:i + step]
        values = sorted(y for _, y in part)
        yield [rounded(part[len(part) // 2][0]), rounded(values[len(values) // 2])]


def deep(value):
    """The same, all numbers rounded."""
    if isinstance(value, dict):
        return {key: deep(each) for key, each in value.items()}
    if isinstance(value, list):
        return [deep(each) for each in value]
    return rounded(value) if isinstance(value, float) else value


def taken(name, result):
    """The part of a result that the documentation has, or None when it is no measurement."""
    seconds = (sum(stage["seconds"] for stage in result["stages"]) if name == "overload" else
        result["end"]["seconds"])
    if result["wrong"] or seconds < LEAST_S[name]:
        return None
    if name == "overload":
        stages = [{key: stage[key] for key in STAGE} for stage in result["stages"]]
        return {**deep({key: result[key] for key in ("sustained", "workers", "series")}),
            "stages": deep(stages), "seconds": round(seconds), "about": result["about"]}
    samples = result["samples"]
    lines = {figure: list(thinned([(s["t"] / 60, s[figure]) for s in samples if figure in s]))
        for figure in NAMES}
    return {"lines": lines, "trends": deep(result["trends"]), "end": deep(result["end"]),
        "seconds": round(seconds), "warm_s": round(result["warm_s"]), "about": result["about"]}


# ---- Tables

def ms(seconds):
    return table.number(rounded(1000 * seconds))


def rows_text(rows):
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def of(figures, *names):
    return " / ".join(ms(figures[name]) for name in names)


def stage_row(stage):
    probes, fair = stage["probes"], stage["fairness"]
    others = "; ".join(f"{table.number(n)} {kind}" for kind, n in stage["others"].items())
    return [stage["name"], table.number(stage["offered"]), table.number(stage["acknowledged"]),
        others or "-", of(stage["report"], "median", "p99"),
        of(probes["live"], "median", "p99", "max"), of(probes["scrape"], "median", "max"),
        of(probes["newcomer"], "median", "max"),
        f"{fair['jain']:.3f}" if fair["median"] >= ENOUGH else "-",
        table.number(stage["memory"] / 2 ** 20), str(stage["descriptors"])]


def overload_text(result):
    head = ["who overloads it", "reports offered/s", "acknowledged/s", "others/s",
        "a report: median / p99", "`/live`: median / p99 / max", "a scrape: median / max",
        "a newcomer: median / max", "Jain's index", "MiB", "descriptors"]
    first = (f"{result['workers']:,} workers with {result['series'] + 1} series each, for "
        f"{result['seconds']} s. Sustainable: {table.number(result['sustained'])} reports a second. "
        "Times in milliseconds.")
    return table.filled(first) + "\n\n" + rows_text(
        [head, ["---"] * len(head), *map(stage_row, result["stages"])])


def soak_text(result):
    end, come = result["end"], result["end"]["come"]
    head = ["", "median of the second half", "rises over it by", "may rise by"]
    rows = [[NAMES[name], *(table.number(found[key]) for key in ("median", "rise", "may"))]
        for name, found in result["trends"].items()]
    first = (f"{table.number(result['seconds'] / 60)} minutes, after {result['warm_s']} s to warm "
        f"up: {sum(come.values()):,} workers came and went, {end['misbehaved']:,} connections "
        f"misbehaved, the configuration was read {end['reloads']} times, {end['messages']:,.0f} "
        f"messages were taken. {end['totals']:,} totals were compared at the end: all exact.")
    return table.filled(first) + "\n\n" + rows_text([head, ["---"] * len(head), *rows])


def blocks(content, machine_text):
    """name -> Markdown."""
    made = {}
    for name, text in (("overload", overload_text), ("soak", soak_text)):
        if name in content:
            made[name] = text(content[name]) + "\n" + machine_text(content[name]["about"]) + "\n"
    if "soak" in content:
        for name, (title, unit, _) in PLOTS.items():
            made["soak"] += f"\n![{title}](performance/{name}.svg)\n\n(minutes; {unit})\n"
    return made


def plots(content):
    """Pairs of a name and an SVG."""
    for name, (title, unit, figures) in PLOTS.items() if "soak" in content else ():
        lines = {text: content["soak"]["lines"][figure] for text, figure in figures.items()}
        yield name, plot.svg(title, "minutes", unit, lines, plot.Even, "make soak-docs")
