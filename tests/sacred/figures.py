# SPDX-License-Identifier: Apache-2.0
"""One line a condition."""

HEADER = """\
Calls a second: of one application thread of two, in batches of 1000 (inc, add, set, observe, and a
child looked up by its label value and counted). p99.9: of samples of one such call with one reading
of the clock in it, 80 after each batch. Before: with a well daemon. Memory: what came on top.
"""
FORM = "{:>3}  {:<46} {:>8} {:>7} {:>9} {:>9} {:>8}  {:<9} {}"
TITLES = ("", "condition", "calls/s", "during", "p99.9", "during", "memory", "noticed", "arrived")


def calls(figures):
    return f"{figures[0] / 1e6:.1f} M" if figures else "-"


def nanoseconds(figures):
    if not figures:
        return "-"
    ns = figures[1]
    return f"{ns:.0f} ns" if ns < 10000 else f"{ns / 1000:.0f} us" if ns < 1e7 else f"{ns / 1e6:.0f} ms"


class Outcome:
    """What a condition has shown."""

    def __init__(self, number, name):
        self.number, self.name = number, name
        self.before = self.during = None  # calls a second, p99.9 in ns, most in ns, switches
        self.grown_kb = None
        self.noticed = []
        self.arrived = "-"

    def notice(self, text):
        if text and text not in self.noticed:
            self.noticed.append(text)

    def line(self):
        memory = "-" if self.grown_kb is None else f"{self.grown_kb} KiB"
        line = FORM.format(self.number, self.name, calls(self.before), calls(self.during),
            nanoseconds(self.before), nanoseconds(self.during), memory,
            "NOTICED" if self.noticed else "nothing", self.arrived)
        return "\n".join([line] + [f"     * {text}" for text in self.noticed])
