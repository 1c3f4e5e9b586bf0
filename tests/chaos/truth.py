# SPDX-License-Identifier: Apache-2.0
"""What was counted, as those who count write it down, and what the page may say then.

The workers share a file with us that survives them: words of 64 bits, first a head, then a
slot for each process that ever counted (worker.c has the same as structs). Of each thread
there is known which turn it has begun, which it has done, and which it had done before the
last flush that was acknowledged. So of a worker that rests all is known, and of one that was
killed that the page has its `acked` turns at least and its `begun` turns at most.
"""
import mmap
import re

THREADS, SLOTS = 3, 65536
HEAD_WORDS, SLOT_WORDS = 32, 32
FORK, LEAVE = 1, 2  # what a worker can be asked for
UPDATES = 5  # of a turn
BOUNDS = ("0.15", "0.25", "0.35", "0.45", "+Inf")
NAMESPACE = 'namespace="chaos"'
WHO = "dynamo_who{"
CHILD = re.compile(r'dynamo_child_total\{namespace="chaos",child="(\d+)",slot="(\d+)"\}')
GAUGES = ("dynamo_who{", "dynamo_alive{", "dynamo_lowest{", "dynamo_highest{", "dynamo_latest{",
    "dynamo_sent_last{")
TINY = 0.01  # tenths are rounded now and then, but never by so much


class Truth:
    def __init__(self, path):
        self.path = path
        with open(path, "wb+") as file:
            file.truncate(8 * (HEAD_WORDS + SLOTS * SLOT_WORDS))
            self.words = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")

    @property
    def taken(self):
        """How many slots are."""
        return self.words[0]

    def order(self, number):
        self.words[1] = number

    def slot(self, number):
        return Slot(self.words, number)


class Slot:
    def __init__(self, words, number):
        self.words, self.number, self.at = words, number, HEAD_WORDS + number * SLOT_WORDS

    def word(self, i):
        return self.words[self.at + i]

    pid = property(lambda self: self.word(0))
    place = property(lambda self: self.word(1))
    asked = property(lambda self: self.word(2))
    answered = property(lambda self: self.word(3))
    obeyed = property(lambda self: self.word(4))
    failed = property(lambda self: self.word(5))
    n_child = property(lambda self: self.word(6))

    def child(self):
        """(begun, done, acked) of the child at hand."""
        begin = self.at + 8 + 3 * THREADS + 3 * (self.n_child % 2)
        return self.words[begin:begin + 3].tolist()

    def ask(self, what):
        self.words[self.at + 2] = ((self.asked >> 8) + 1) << 8 | what

    def threads(self, i):
        begin = self.at + 8 + i * THREADS
        return self.words[begin:begin + THREADS].tolist()

    begun = property(lambda self: self.threads(0))
    done = property(lambda self: self.threads(1))
    acked = property(lambda self: self.threads(2))


# ---- What n turns of a thread add to each line of the page

def bucket(i):
    return lambda n: n // 5 * (i + 1) + min(n % 5, i + 1)


def tenths(n):
    return 0.1 * n


def seconds(n):
    r = n % 5
    return 0.1 * (n // 5 * 15 + r * (r + 1) // 2)


def whole(n):
    return n


def lines_of(place):
    """The lines that a worker of this place adds to: (key, what n turns of a thread add)."""
    own = f'{{{NAMESPACE},place="{place}"}}'
    lines = [(f"dynamo_ones_total{own}", whole), (f"dynamo_tenths_total{own}", tenths),
        (f"dynamo_turn_seconds_count{own}", whole), (f"dynamo_turn_seconds_sum{own}", seconds),
        (f"dynamo_all_total{{{NAMESPACE}}}", whole),
        (f"dynamo_all_tenths_total{{{NAMESPACE}}}", tenths)]
    for i, le in enumerate(BOUNDS):
        lines.append((f"dynamo_turn_seconds_bucket{{{own[1:-1]},le=\"{le}\"}}", bucket(i)))
    return lines


def in_steps(add, value):
    """The multiple of its step that a value of such a line is meant to be."""
    return 0.1 * round(value / 0.1) if add in (tenths, seconds) else float(round(value))


def children(page):
    """(slot, child) -> value"""
    found = ((CHILD.fullmatch(key), value) for key, value in page.items())
    return {(int(m[2]), int(m[1])): value for m, value in found if m}


class Ledger:
    """What the dead have left on each line, found out when they were dead and the living
    rested, and kept from then on: exactly."""

    def __init__(self):
        self.left = {}  # key -> what the dead have left there
        self.turns = 0  # of the dead
        # In turns: what the killed had begun and the page does not have, what it has not
        # of the acknowledged, what it has too much.
        self.lost = self.missing = self.doubled = 0
        self.open = 0  # what the killed had begun and not been acknowledged

    def bounds(self, living, dead):
        """key -> [add, at least, at most, of these by the living]"""
        bounds = {}
        for alive, slots in ((True, living), (False, dead)):
            for slot in slots:
                least, most = slot.done if alive else slot.acked, slot.begun
                for key, add in lines_of(slot.place):
                    entry = bounds.setdefault(key, [add, 0, 0, 0])
                    entry[1] += sum(map(add, least))
                    entry[2] += sum(map(add, most))
                    entry[3] += sum(map(add, most)) if alive else 0
        return bounds

    def settle(self, page, living, dead):
        """Compare a page with the living, who rest, and with those who died since the last
        time. The sentences that say what is wrong."""
        wrong = []
        for key, (add, least, most, alive) in sorted(self.bounds(living, dead).items()):
            left = self.left.get(key, 0)
            value = page.get(key)
            wrong += self.judge(key, add, value, left + least, left + most)
            value = value or 0
            self.left[key] = in_steps(add, value - alive)
            if key.startswith("dynamo_ones_total"):
                self.lost += max(0, left + most - value)
                self.open += most - least
        self.turns += sum(sum(slot.done) for slot in dead)
        return wrong

    def settle_children(self, page, living, dead):
        """The same for the children of the main threads: nothing is kept."""
        wrong, there = [], children(page)
        for slot in living + dead:
            begun, _, acked = slot.child()
            value = there.get((slot.number, slot.n_child), 0)
            key = f"child {slot.n_child} of slot {slot.number}"
            if value < acked:
                wrong.append(f"missing: {key} has {value}, acknowledged were {acked}")
            if value > begun:
                wrong.append(f"doubled: {key} has {value}, counted were {begun}")
        return wrong

    def judge(self, key, add, value, least, most):
        sort = "ones" if key.startswith("dynamo_ones_total") else None
        if value is None:
            return [f"missing: no line {key}, which has {least:.17g} at least"] if least else []
        if value < least - TINY:
            self.missing += least - value if sort else 0
            return [f"missing: {key} {value:.17g} is below {least:.17g}: what was acknowledged"]
        if value > most + TINY:
            self.doubled += value - most if sort else 0
            return [f"doubled: {key} {value:.17g} is above {most:.17g}: what was counted"]
        if abs(value - in_steps(add, value)) > TINY:
            return [f"torn: {key} {value:.17g} is no multiple of its step"]
        return []
