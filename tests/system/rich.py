# SPDX-License-Identifier: Apache-2.0
"""A scene with everything on its page: used wherever the whole page goes somewhere."""

ENDPOINT = ("dynamo", "backend", "generate")
LEVELS = ((), ("dynamo",), ("dynamo", "backend"), ENDPOINT)

# Label values that are hard to write and to read.
HARD = ('say "hi"', "back\\slash", "two\nlines", "\\n is no newline", 'a\\"b', "tab\there",
    " spaces ", "{x=\"y\"} 1", "# HELP x y", "a,b=c", "é ü ß", "日本語", "🚀", "\u2028", "\x01\x7f",
    "\r", "x" * 1000)
HARD_HELP = 'Quote " backslash \\ newline \n and "\\n".'


def fill(scene):
    """Two workers, all kinds, levels and merges, and hard label values."""
    for name, value in (("a", 1.5), ("b", 4.0)):
        worker = scene.worker(name)
        for level in LEVELS:
            scene.series(worker, "counter", level, "requests_total", HARD_HELP).add(value)
            for merge in ("sum", "min", "max", "last", "each"):
                scene.series(worker, "gauge", level, f"depth_{merge}", "Depth.",
                    merge=merge).set(value)
            scene.series(worker, "histogram", level, "seconds", "Seconds.",
                bounds=(0.5, 1.0, 2.0, 4.0)).observe(value, 0.25, 3.0, 3.5)
        for i, text in enumerate(HARD):
            labels = (("odd", text), ("n", str(i)))
            scene.series(worker, "counter", ENDPOINT, "odd_total", labels=labels).add(i)
            scene.series(worker, "gauge", ENDPOINT, "odd", labels=labels).set(i + 0.1)
            scene.series(worker, "histogram", ("dynamo",), "odd_seconds",
                labels=labels, bounds=(1.0,)).observe(value)
    return scene
