# SPDX-License-Identifier: Apache-2.0
"""From samples to figures, ratios, and a table, on a terminal or in Markdown."""
import itertools
import statistics
import textwrap

TARGETS = ("most", "least", "own_most", "own_least")


def figures(samples):
    """median, min and max, or None."""
    if not samples:
        return None
    return {"median": statistics.median(samples), "min": min(samples), "max": max(samples),
        "samples": samples}


def median(part):
    return part["median"] if part and "median" in part else None


def row_result(row, samples, why):
    """What build/bench.json says of a row."""
    parts = {part: figures(taken) or {"why": why.get(part, "")}
        for part, taken in samples.items()}
    own, floor = median(parts["own"]), median(parts.get("floor"))
    peers = {name: parts[name] for name in row.peers}
    result = {"name": row.name, "section": row.section, "text": row.text, "unit": row.unit,
        "higher_is_better": row.higher_is_better, "printed": row.printed,
        "own": parts["own"], "peers": peers,
        "targets": {name: getattr(row, name) for name in TARGETS
            if getattr(row, name) is not None},
        "against": row.against}
    if row.floor:
        result["floor"] = parts["floor"]
    if own is not None and floor:
        result["ratio"] = own / floor
    if own:
        result["better"] = {name: row.better(own, median(part))
            for name, part in peers.items() if median(part)}
    result["verdict"], result["misses"] = verdict(row, own, floor, peers)
    return result


def verdict(row, own, floor, peers):
    """ok, over, or a word for why there is neither."""
    if own is None:
        return "none", []
    if row.printed or not row.has_target():
        return "", []
    misses = list(row.misses(own, floor, {name: median(part) for name, part in peers.items()}))
    if misses:
        return "over", misses
    if floor is None and (row.most is not None or row.least is not None):
        return "none", []
    return "ok", []


def number(value):
    """Three figures that count, never an exponent."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return text if "e" not in text else f"{value:.6f}".rstrip("0").rstrip(".")


def spread(part):
    """median [min-max], or why there is none."""
    if median(part) is None:
        return part["why"] if part else "-"
    if len(part["samples"]) == 1:
        return number(part["median"])
    return f"{number(part['median'])} [{number(part['min'])}-{number(part['max'])}]"


def ratio_text(result):
    """The ratio to the floor and its target, or the target of our own figure."""
    targets = result["targets"]
    words = []
    if "ratio" in result:
        goal = "".join(f" (<= {targets['most']:g})" if name == "most"
            else f" (>= {targets['least']:g})" for name in ("most", "least") if name in targets)
        words.append(f"{number(result['ratio'])} x{goal}")
    words += [f"{sign} {number(targets[name])} {result['unit']}"
        for name, sign in (("own_most", "<="), ("own_least", ">=")) if name in targets]
    return ", ".join(words) or "-"


def peer_text(result, name):
    part = result["peers"][name]
    if median(part) is None:
        return f"{name}: {part['why']}"
    goal = result["against"].get(name)
    better = result.get("better", {}).get(name)
    return (f"{name} {spread(part)}"
        + (f", {number(better)} x" if better is not None else "")
        + (f" (>= {goal:g})" if goal else ""))


HEAD = ("path", "unit", "floor", "own", "own / floor", "peers: figure, ours is so many times better", "")


def cells(result):
    name = result["text"]
    return (name, result["unit"], spread(result.get("floor")), spread(result["own"]),
        ratio_text(result), "; ".join(peer_text(result, name) for name in result["peers"]) or "-",
        result["verdict"])


def text(result):
    """For a terminal."""
    lines = [(row["name"],) + cells(row)[1:] for row in result["rows"]]
    head = ("row",) + HEAD[1:]
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
        for line in [head, *lines]]
    about = result["about"]
    over = [f"{row['name']}: {miss}" for row in result["rows"] for miss in row["misses"]]
    if about["quick"]:
        rows.append("a quick run of small sizes: it all runs, the figures mean nothing")
        over = []
    rows.append(f"{about['cpu']}, {about['processors']} processors, {about['kernel']}, "
        f"{about['compiler']}; {about['rounds']} rounds, load {about['load_start'][0]} "
        f"to {about['load_end'][0]}")
    return "\n".join(rows + [f"over: {line}" for line in over])


def filled(text):
    """In lines as those of all pages are."""
    return textwrap.fill(text, 103, break_long_words=False, break_on_hyphens=False)


def markdown(result):
    """For docs/performance.md: a table for each section."""
    lines = []
    for section, rows in itertools.groupby(result["rows"], lambda row: row["section"]):
        lines += ["", filled(section), "", "| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells(row)) + " |"
            for row in rows]
    return "\n".join(lines[1:]) + "\n"
