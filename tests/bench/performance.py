# SPDX-License-Identifier: Apache-2.0
"""docs/performance.json, and what is made of it: the plots in docs/performance/ and the parts
of docs/performance.md between <!-- name --> and <!-- end of name -->."""
import json
import os
import re

import lasting
import plot
import table

DOCS = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)),
    "..", "..", "docs"))
JSON_FILE = os.path.join(DOCS, "performance.json")

# name -> title, x axis, y axis; sizes that go up by factors have logarithmic axes.
PLOTS = {
    "scrape-series": ("A scrape, over series", "series", "milliseconds"),
    "memory-series": ("The daemon's memory, over series", "series", "MiB above an empty daemon"),
    "scrape-workers": ("A scrape, over connected workers of 100 series each", "workers",
        "milliseconds"),
    "memory-workers": ("The daemon's memory, over connected workers of 100 series each",
        "workers", "MiB above an empty daemon"),
    "scrape-labels": ("A scrape, over labels", "labels of a series", "nanoseconds a series"),
    "memory-labels": ("Memory, over labels", "labels of a series", "bytes a series"),
    "scrape-buckets": ("A scrape, over buckets", "buckets of a histogram",
        "microseconds a histogram"),
    "memory-buckets": ("Memory, over buckets", "buckets of a histogram", "bytes a histogram"),
    "ingest-batch": ("Updates, over the size of a message", "records in a message",
        "million records a second"),
    "ingest-cpu": ("Updates, over the size of a message", "records in a message",
        "nanoseconds of the daemon a record"),
}


def load(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def one_line(value):
    """JSON with a number list on a line of its own: a change of one is a change of one line."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    return re.sub(r"\[[-+0-9.eE,\s]*\]", lambda m: re.sub(r"\s+", " ", m[0]), text)


def rows(docs):
    """The names of the rows that the page has."""
    with open(os.path.join(docs, "performance.json"), encoding="utf-8") as file:
        return {row["name"] for row in json.load(file).get("bench", {}).get("rows", [])}


def update(path, change):
    """Change what is in the file."""
    content = load(path)
    change(content)
    with open(path, "w", encoding="utf-8") as file:
        file.write(one_line(content) + "\n")


def machine_text(about):
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines = [f"{about['date']}, `{about['command']}`: {about['cpu']}, {about['processors']} "
        f"processors, {about['memory_gib']:g} GiB, {about['distribution']}, {about['kernel']}, "
        f"{about['compiler']}. Load average {about['load_start'][0]} at the start, "
        f"{about['load_end'][0]} at the end."]
    if about.get("rounds"):
        lines.append(f"Rounds: {about['rounds']}. Peers: {versions}.")
    return table.filled(" ".join(lines))


def plot_text(name, curve):
    title = PLOTS[name][0]
    return f"![{title}](performance/{name}.svg)\n\n{PLOTS[name][2]}:\n\n" + \
        points_table(name, curve["lines"])


def points_table(name, lines):
    head = [PLOTS[name][1], *lines]
    xs = sorted({x for points in lines.values() for x, _ in points})
    rows = [[f"{x:,}", *(table.number(dict(map(tuple, points)).get(x))
        for points in lines.values())] for x in xs]
    return "\n".join("| " + " | ".join(row) + " |"
        for row in [head, ["---"] * len(head), *rows]) + "\n"


def blocks(content):
    """name -> Markdown, for each part that is generated."""
    made = {}
    if "bench" in content:
        made["bench"] = table.markdown(content["bench"]) + "\n" + \
            machine_text(content["bench"]["about"]) + "\n"
    growth = content.get("growth", {})
    for name, curve in growth.items():
        made[name] = plot_text(name, curve)
    if growth:
        made["growth machine"] = machine_text(
            max((curve["about"] for curve in growth.values()), key=lambda a: a["date"])) + "\n"
    made.update(lasting.blocks(content, machine_text))
    return made


def with_blocks(text, made):
    """The document with its generated parts as they are to be."""
    for name, block in made.items():
        pattern = rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end of {re.escape(name)} -->)"
        if not re.search(pattern, text, re.S):
            raise ValueError(f"docs/performance.md has no place for '{name}'")
        text = re.sub(pattern, lambda m: m[1] + "\n" + block + "\n" + m[2], text, flags=re.S)
    return text


def files(docs):
    """path -> content, of all that is generated from docs/performance.json."""
    content = load(os.path.join(docs, "performance.json"))
    with open(os.path.join(docs, "performance.md"), encoding="utf-8") as file:
        made = {os.path.join(docs, "performance.md"): with_blocks(file.read(), blocks(content))}
    for name, curve in content.get("growth", {}).items():
        made[os.path.join(docs, "performance", name + ".svg")] = plot.svg(
            *PLOTS[name], curve["lines"])
    for name, text in lasting.plots(content):
        made[os.path.join(docs, "performance", name + ".svg")] = text
    return made


def stale(docs):
    """The paths of those that are not what the JSON gives."""
    wrong = []
    for path, wanted in files(docs).items():
        try:
            with open(path, encoding="utf-8") as file:
                if file.read() == wanted:
                    continue
        except FileNotFoundError:
            pass
        wrong.append(path)
    return wrong


def write(docs):
    for path, text in files(docs).items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
