# SPDX-License-Identifier: Apache-2.0
"""What the rows of `make bench` are made of.

A module in rows/ has ROWS, a list of Row. The parts of a row (its floor, our own figure, the
figures of peers) are callables without arguments that return one number in the row's unit.
They are called in turns, once in each round. One that raises NotHere says why in the table
and does no harm; whatever else is raised makes the run fail."""
import os
import subprocess
import sys
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("DYNM_BUILD")
    or os.path.join(HERE, "..", "..", "build", "release"))
QUICK = bool(os.environ.get("QUICK"))  # small sizes, one round: does it all run?
PEERS = os.environ.get("PEERS", "").split()  # none, or these languages, or (empty) all
TIMEOUT_S = 300
NOT_OFFERED = 3  # how a peer's program ends that has no such measurement, or is not installed

# language -> (the peer's name in the table, the package whose version is printed)
LANGUAGES = {
    "go": ("client_golang", "golang-github-prometheus-client-golang-dev"),
    "rust": ("rust-prometheus", "librust-prometheus-dev"),
    "cpp": ("prometheus-cpp", "prometheus-cpp-dev"),
    "python": ("client_python", "python3-prometheus-client"),
    "pushgateway": ("pushgateway", "prometheus-pushgateway"),
}


class NotHere(Exception):
    """This part cannot be measured here; the text says why."""


@dataclass
class Row:
    """One line of the table. What is not given is not asked for."""
    name: str  # what ROWS= chooses by
    text: str
    unit: str  # of the floor, our own figure and the peers' alike
    own: object
    floor: object = None
    peers: dict = field(default_factory=dict)  # name of the peer -> callable
    most: float = None  # own / floor, at most
    least: float = None  # own / floor, at least
    own_most: float = None  # our own figure, at most
    own_least: float = None  # our own figure, at least
    against: dict = field(default_factory=dict)  # name of the peer -> so many times better
    higher_is_better: bool = False
    printed: bool = False  # no target, only shown
    rounds: int = 0  # no more rounds than these (0: all): for what takes long
    section: str = ""  # what its module says of itself

    def parts(self):
        """(what it is called, callable), in the order in which they are measured."""
        if self.floor:
            yield "floor", self.floor
        yield "own", self.own
        yield from self.peers.items()

    def better(self, own, other):
        """How many times better own is than other."""
        return own / other if self.higher_is_better else other / own

    def has_target(self):
        return any(t is not None for t in (self.most, self.least, self.own_most,
            self.own_least)) or bool(self.against)

    def misses(self, own, floor, peers):
        """The targets that these figures miss, as text; peers that are None are left out."""
        if self.printed:
            return
        for target, figure, over in (
                (self.most, floor and own / floor, lambda a, b: a > b),
                (self.least, floor and own / floor, lambda a, b: a < b),
                (self.own_most, own, lambda a, b: a > b),
                (self.own_least, own, lambda a, b: a < b)):
            if target is not None and figure is not None and over(figure, target):
                yield f"{figure:.3g}, not {target:g}"
        for name, target in self.against.items():
            if peers.get(name) is not None and self.better(own, peers[name]) < target:
                yield f"{self.better(own, peers[name]):.3g} x {name}, not {target:g}"


def run(command, environment=None, timeout_s=TIMEOUT_S):
    """The lines that a program prints; its last one is a number."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
        encoding="utf-8", errors="replace", timeout=timeout_s,
        env={**os.environ, "QUICK": "1" if QUICK else "", **(environment or {})})
    if done.returncode == NOT_OFFERED:
        raise NotHere(done.stderr.strip() or "not offered")
    if done.returncode != 0 or not done.stdout.strip():
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: "
            f"{done.stderr.strip()[-400:]}")
    return done.stdout.strip().split("\n")


def program(name, *arguments):
    """A part: $(BUILD)/tests/bench/NAME with these arguments, and the number it prints."""
    def measure():
        return float(run([os.path.join(BUILD, "tests", "bench", name),
            *map(str, arguments)])[-1])
    return measure


def peer_command(language):
    """How to start the program of a peer. NotHere, if it is not installed or not wanted."""
    if PEERS and language not in PEERS:
        raise NotHere("left out")
    script = os.path.join(HERE, "peers", language, "peer.py")
    if os.path.exists(script):
        return [sys.executable, "-B", script]
    path = os.path.join(BUILD, "tests", "bench", "peers", language, "peer")
    if not os.path.exists(path):
        raise NotHere("not installed")
    return [path]


_said = {}  # (language, measurement) -> numbers that a peer printed along with another


def peer(language, measurement):
    """A part: a measurement by the peer's program. Lines of a name and a number before its
    last are figures of other measurements, taken in the same run; they are used up once."""
    def measure():
        if _said.get((language, measurement)):
            return _said[language, measurement].pop(0)
        *others, last = run([*peer_command(language), measurement])
        for line in others:
            name, number = line.split()
            if name != measurement:
                _said[language, name] = [float(number)]
        return float(last)
    return measure
