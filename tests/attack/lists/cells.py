# SPDX-License-Identifier: Apache-2.0
"""List C, second part: binary messages, valid in form and absurd in content."""
import os
import random
import struct

from frame import attack
from harness import wait_for
from target import PUSH, frame, many, request

MAGIC = b"DYNM\1"
HELLO, DEFINE, UPDATE, REMOVE, PING, EXPOSE, STATUS, BYE, ADMIN = range(1, 10)
NEW, LIVE, FOLDED, EXPIRED, STALE, UNBOUND, ACK, REFUSED, OK, TEXT, ERROR = range(0x81, 0x8c)
COUNTER, GAUGE, HISTOGRAM = 1, 2, 3
EACH = 4
DROPPED = 0xffffffff  # the cell that is always there
MESSAGE_BYTES = 1 << 20  # ingest.message_bytes
FIRST_BYTES = 65536  # cells and numbers may begin below this
DICE = 11


def text(string):
    data = string if isinstance(string, bytes) else string.encode()
    return struct.pack("<H", len(data)) + data


def metric(id=0, name="attack_total", kind=COUNTER, merge=0, level=(), constant=(), variable=(),
        bounds=(), help="an attack"):
    return (struct.pack("<BIBB", 1, id, kind, merge) + bytes([len(level)])
        + b"".join(map(text, level)) + text(name) + text(help) + bytes([len(constant)])
        + b"".join(text(k) + text(v) for k, v in constant) + bytes([len(variable)])
        + b"".join(map(text, variable)) + struct.pack(f"<H{len(bounds)}d", len(bounds), *bounds))


def child(id=0, cell=0, *values):
    return struct.pack("<BII", 2, id, cell) + bytes([len(values)]) + b"".join(map(text, values))


def record(cell, value):
    """value: a double, or its 8 bytes."""
    bits = value if isinstance(value, bytes) else struct.pack("<d", value)
    return struct.pack("<I", cell) + bits


def hello(sid, ticket=None, name="", version="attack"):
    return (MAGIC + bytes([HELLO, 0, 0]) + sid + bytes([ticket is not None]) + (ticket or bytes(16))
        + text(name) + text(version))


class Session:
    """A worker that means ill."""

    def __init__(self, t, name="", sid=None, peer=None):
        self.peer, self.n = peer or t.peer(), 0
        self.sid = sid or os.urandom(16)
        self.reply = self.peer.ask(hello(self.sid, name=name))
        self.ticket = self.reply[8:24] if self.reply[5] in (NEW, LIVE) else bytes(16)

    def ask(self, kind, body=b""):
        reply = self.peer.ask(MAGIC + bytes([kind, 0, 0]) + body)
        assert reply[:5] == MAGIC and NEW <= reply[5] <= ERROR, reply[:40]
        return reply

    def numbered(self, kind, count, body, n=None):
        self.n = n if n is not None else self.n + 1
        return self.ask(kind, self.ticket + struct.pack("<QI", self.n, count) + body)

    def define(self, *items):
        """How many were refused, and the sentence of the first."""
        return self.refusals(self.numbered(DEFINE, len(items), b"".join(items)))

    @staticmethod
    def refusals(reply):
        assert reply[5] == ACK, reply[:40]
        n = struct.unpack_from("<I", reply, 16)[0]
        return n, reply[27:27 + struct.unpack_from("<H", reply, 25)[0]].decode() if n else ""

    def must_define(self, *items):
        n, why = self.define(*items)
        assert n == 0, why

    def update(self, *records):
        """True if it was taken."""
        reply = self.numbered(UPDATE, len(records), b"".join(records))
        assert reply[5] in (ACK, REFUSED), reply[:80]
        return reply[5] == ACK

    def end(self):
        self.ask(BYE, self.ticket)
        self.peer.close()


def small(**limits):
    """A daemon that has room for little, so that what bites is its limits."""
    return {"limits": {"series": 4000, "families": 1000, "workers": 300, "folded": 500,
        "uid_percent": 50, **limits}, "state": {"retain_s": 1}}


# ---- Cells and values


@attack("C20", "cells out of range, and updates of them")
def out_of_range(t):
    s = Session(t)
    s.must_define(metric(), metric(1, "attack_h", HISTOGRAM, bounds=[1, 2]))
    far = (FIRST_BYTES + 100, 1 << 20, 1 << 28, 0x7fffffff, 0xfffffff0, 0xfffffffe, 0xffffffff)
    n = sum(s.define(child(i, cell))[0] for cell in far for i in (0, 1))
    assert n == 2 * len(far), f"{n} were refused"
    for cell in (*far[:-1], 0, 1, 65535):
        assert not s.update(record(cell, 1.0)), f"an update of cell {cell} was taken"
    s.must_define(child(0, 3))
    assert not s.update(record(3, 1.0), record(4, 1.0)) and s.update(record(3, 1.0))
    s.end()
    return f"{2 * len(far)} children, {len(far) + 2} updates"


@attack("C21", "the highest numbers that are allowed: no gigabytes", memory_mib=24)
def high_numbers(t):
    before, n = t.memory_mib(), many(20, 200)
    sessions = [Session(t) for _ in range(n)]
    for s in sessions:
        assert s.define(metric(0xfffffffe), metric(1 << 31), metric(FIRST_BYTES + 9))[0] == 3
        s.must_define(metric(FIRST_BYTES - 1))
        s.must_define(child(FIRST_BYTES - 1, FIRST_BYTES - 1))
        assert s.update(record(FIRST_BYTES - 1, 1.0))
    grown = t.memory_mib() - before
    for s in sessions:
        s.end()
    assert grown < 0.25 * n, f"{n} workers with one series took {grown:.1f} MiB"
    return f"{n} workers, {1024 * grown / n:.0f} KiB each"


@attack("C22", "runs of cells that overlap", removes=True)
def overlap(t):
    s = Session(t)
    s.must_define(metric(0, "attack_a", HISTOGRAM, variable=["k"], bounds=[1, 2, 3]),
        metric(1, "attack_b_total", variable=["k"]), metric(2, "attack_c", GAUGE, 3))
    dice, n = random.Random(DICE), many(300, 5000)
    for _ in range(n):
        kind, cell = dice.randrange(3), dice.randrange(12)
        s.define(child(kind, cell, *([str(dice.randrange(4))] if kind < 2 else [])))
        s.update(*(record(c, float(dice.randrange(5))) for c in range(cell, cell + 2)))
    s.end()
    return f"{n:,} children in 12 cells"


@attack("C23", "counts of NaN, inf, -0, 2^64-1, down; sums of inf")
def values(t):
    s = Session(t)
    s.must_define(metric(0, "attack_v_total"), metric(1, "attack_w", HISTOGRAM, bounds=[1]),
        child(0, 0), child(1, 1))
    bad = [b"\xff" * 8, b"\0" * 6 + b"\xf0\x7f", b"\0" * 6 + b"\xf0\xff", b"\1" + b"\0" * 5
        + b"\xf0\x7f", b"\0" * 6 + b"\xf8\x7f", b"\1\0\xef\xbe\xad\xde\xf4\x7f", -1.0, -5e-324]
    for value in bad:
        assert not s.update(record(0, value)), f"{value!r} was taken"
        assert not s.update(record(1, 1.0), record(2, value), record(3, 1.0))
        assert not s.update(record(DROPPED, value)), f"{value!r} was dropped"
    assert not s.update(record(1, 1.0), record(2, 0.0), record(3, float("inf")))
    for value in (-0.0, 5e-324, 2.0**53, 2.0**63, float(2**64 - 1), 2.0**968):
        assert s.update(record(0, value)), f"{value!r} was refused"
    assert not s.update(record(0, 1.0)), "a counter went down"
    assert not s.update(record(0, 1.7e308)), "1.7e308 was taken: two of them are infinite"
    s.end()
    return f"{3 * len(bad) + 9} updates"


@attack("C37", "totals, sums and counts that overflow together")
def overflow(t):
    n, most = many(5, 100), 2.0**968
    sessions = [Session(t) for _ in range(n)]
    for i, s in enumerate(sessions):
        s.must_define(metric(0, "attack_o_total"), metric(1, "attack_p", HISTOGRAM, bounds=[1, 2]),
            child(0, 0), child(1, 1))
        assert s.update(record(0, most), record(1, most), record(2, most), record(3, most),
            record(4, most if i % 2 else -most))
    t.json({"metrics": [{"name": "attack_o_total", "type": "counter", "inc": 1.79e308}]})
    value = t.value("dynamo_attack_o_total")
    assert value is not None and 1e308 < value < float("inf"), f"the total is {value}"
    for s in sessions:
        s.end()
    return f"{n} workers"


@attack("C24", "counts and lengths that are not so")
def lengths(t):
    s, n = Session(t), 0
    numbers = (1, 2, 255, 65535, 1 << 20, 0x7fffffff, 0x80000000, 0xffffffff)
    for kind, item in ((DEFINE, metric()), (UPDATE, record(0, 1.0)), (REMOVE, bytes(4))):
        for count in numbers:
            for body in (b"", item[:-1], item + b"\0", item * 2 + b"\1"):
                reply = s.numbered(kind, count, body)
                assert reply[5] == ERROR and reply[8] == 2, reply[:80]
                n += 1
    whole = hello(os.urandom(16), name="name")
    for end in range(8, len(whole)):
        assert s.peer.ask(whole[:end])[5] == ERROR
        n += 1
    s.end()
    return f"{n} messages"


@attack("C25", "a million labels, 64 KiB texts, 4096 bounds")
def million_labels(t):
    s, n = Session(t), 0
    shapes = [metric(constant=[(f"l{i}", "x") for i in range(k)]) for k in (33, 64)]
    shapes += [metric(variable=[f"l{i}" for i in range(k)]) for k in (33, 64)]
    shapes += [metric(name="a" * 65535), metric(help="a" * 65535), metric(level=["a" * 129]),
        metric(constant=[("a" * 65535, "a" * 65535)]), metric(variable=["a" * 65535]),
        metric(constant=[("a", "b" * 65535)] * 15), metric(constant=[("a", "1"), ("a", "2")]),
        metric(kind=HISTOGRAM, bounds=list(range(129))),
        metric(kind=HISTOGRAM, bounds=list(range(4096))), metric(bounds=[1.0]),
        metric(kind=HISTOGRAM, bounds=[float("nan")]), metric(kind=HISTOGRAM, bounds=[float("inf")]),
        metric(variable=["namespace"]), metric(variable=["__x"]), metric(level=["", "a"]),
        metric(level=["a", "", "b"]), metric(name=""), metric(name="a b"), metric(name="a\0")]
    for shape in shapes:
        refused, why = s.define(shape)
        assert refused == 1, f"taken: {shape[:60]!r}"
        n += 1
    many_labels = [metric(constant=[(f"l{i}", "x") for i in range(64)])] * 1500
    assert s.define(*many_labels)[0] == 1500
    s.end()
    return f"{n + 1500:,} definitions, {64 * 1500:,} labels"


@attack("C26", "messages with random bytes changed")
def changed(t):
    dice, n = random.Random(DICE), many(400, 20000)
    s = Session(t)
    s.must_define(metric(0, "attack_x_total", variable=["k"]), child(0, 0, "a"))
    head = s.ticket + struct.pack("<QI", 1 << 20, 2)
    base = [MAGIC + bytes([DEFINE, 0, 0]) + head + metric(1, "attack_y", HISTOGRAM, bounds=[1, 2],
        constant=[("a", "b")]) + child(1, 1), MAGIC + bytes([UPDATE, 0, 0]) + head
        + record(0, 1.0) + record(1, 2.0), MAGIC + bytes([REMOVE, 0, 0]) + head + bytes(8),
        MAGIC + bytes([EXPOSE, 0, 0]) + b"\1" + text("a"), hello(s.sid, s.ticket, "a")]
    for _ in range(n):
        data = bytearray(dice.choice(base))
        for _ in range(dice.randrange(1, 5)):
            data[dice.randrange(5, len(data))] = dice.randrange(256)
        reply = s.peer.ask(bytes(data))
        assert reply[:5] == MAGIC and NEW <= reply[5] <= ERROR, reply[:40]
    s.peer.close()
    return f"{n:,} messages"


@attack("C27", "every type, version and flag; replies as requests")
def kinds(t):
    peer, n = t.peer(), 0
    for kind in range(256):
        for body in (b"", bytes(28), b"\xff" * 28):
            reply = peer.ask(MAGIC + bytes([kind, 0, 0]) + body)
            assert reply[5] in (ERROR, UNBOUND, TEXT), (kind, reply[:40])
            n += 1
    for version in (0, 2, 255):
        assert peer.ask(b"DYNM" + bytes([version, PING, 0, 0]))[8] == 1
    for flags in (b"\1\0", b"\0\x80"):
        assert peer.ask(MAGIC + bytes([STATUS]) + flags)[5] == ERROR
    for data in (b"", b"D", b"DYNM", b"DYNM\1\7\0", b"\0" * 8, b"dynm\1\7\0\0"):
        assert peer.ask(data)[5] == ERROR, data
    peer.close()
    return f"{n + 11} messages"


@attack("C28", "REMOVE of what is not there, again and again")
def remove(t):
    s, n = Session(t), many(10, 100)
    s.must_define(metric(variable=["k"]), child(0, 0, "a"))
    cells = b"".join(struct.pack("<I", c) for c in (*range(20000), 0xffffffff, 1 << 31, 0, 0, 0))
    for _ in range(n):
        assert s.numbered(REMOVE, len(cells) // 4, cells)[5] == ACK
        s.must_define(child(0, 0, "a"))
    s.end()
    return f"{n * len(cells) // 4:,} cells"


@attack("C29", "absurd sequence numbers")
def sequence(t):
    for numbers in ((0, 0), (1, 1, 1), (2**64 - 1, 2**64 - 1, 1), (5, 4, 3), (2**63, 2**32)):
        s = Session(t)
        for n in numbers:
            reply = s.numbered(DEFINE, 1, metric(), n)
            assert reply[5] == ACK, reply[:40]
        s.end()
    return "5 sessions"


# ---- Without end


@attack("C30", "a worker that defines for ever", config=small(), memory_mib=32, deadline_s=300)
def defines(t):
    s, n, taken = Session(t), many(6, 150), 0
    s.must_define(metric(variable=["k"]))
    before = t.memory_mib()
    for i in range(n):
        items = [child(0, i * 1000 + k, f"{i}-{k}") for k in range(1000)]
        taken += 1000 - s.define(*items)[0]
    for i in range(n):
        s.define(*(metric(1 + i * 100 + k, f"attack_{i}_{k}") for k in range(100)))
    grown = t.memory_mib() - before
    assert taken <= 2000, f"{taken} series were taken, and the share is 2000"
    assert t.json({"metrics": [{"name": "c", "type": "counter", "inc": 1}]})["ok"] is False
    assert grown < 32, f"{grown:.1f} MiB"
    s.end()
    return f"{1000 * n:,} series, {100 * n:,} names; {taken:,} taken"


@attack("C31", "HELLO for ever on one connection", config=small())
def hellos(t):
    peer, n, kinds = t.peer(), many(1000, 100000), {}
    before = t.memory_mib()
    for _ in range(n):
        kind = peer.ask(hello(os.urandom(16), name="n"))[5]
        kinds[kind] = kinds.get(kind, 0) + 1
    grown = t.memory_mib() - before
    assert kinds.get(NEW) == 149, f"{kinds}: the share is 150, and the bystander has one"
    assert grown < 8, f"{grown:.1f} MiB"
    peer.close()
    return f"{n:,} sessions"


@attack("C32", "HELLO and BYE for ever on one connection", config=small())
def hello_bye(t):
    peer, n = t.peer(), many(1000, 50000)
    before = t.memory_mib()
    for _ in range(n):
        reply = peer.ask(hello(os.urandom(16)))
        assert reply[5] in (NEW, ERROR), reply[:40]
        peer.ask(MAGIC + bytes([BYE, 0, 0]) + reply[8:24])
    grown = t.memory_mib() - before
    assert grown < 8, f"{grown:.1f} MiB"
    peer.close()
    return f"{n:,} sessions"


@attack("C33", "connect, HELLO, leave: thousands of times", config=small())
def come_and_go(t):
    n, taken = many(600, 20000), 0
    for _ in range(n):
        s = Session(t)
        s.peer.close()
        taken += s.reply[5] == NEW
    # Long before their leases end.
    wait_for("a worker to be taken", lambda: Session(t).reply[5] == NEW, 5)
    return f"{n:,} times, {taken:,} sessions"


@attack("C34", "sessions that are folded for ever", config={**small(),
    "ingest": {"lease_ms": 300, "grace_ms": 100}})
def folded(t):
    """Those of others are remembered; here those of one that came before."""
    rounds = many(2, 12)
    for _ in range(rounds):
        peer = t.peer()
        for _ in range(140):
            peer.ask(hello(os.urandom(16)))
        peer.close()
        wait_for("the leases to end", lambda: t.value("dynamo_metricsd_workers") == 1)
    remembered = t.value("dynamo_metricsd_sessions_remembered")
    assert remembered <= 500, remembered
    return f"{140 * rounds:,} sessions, {remembered:.0f} remembered"


@attack("C35", "EXPOSE of a large page again and again", memory_mib=64,
    config={"state": {"retain_s": 1}})
def expose(t):
    s, peers, n = Session(t), [], many(10, 60)
    s.must_define(metric(variable=["k"]))
    count = many(5000, 30000)
    for start in range(0, count, 1000):
        s.must_define(*(child(0, c, f"value {c:08}") for c in range(start, start + 1000)))
    before = t.memory_mib()
    peers = [t.peer() for _ in range(many(5, 30))]
    for _ in range(n):
        for peer in peers:
            peer.number += 1
            peer.send(request(MAGIC + bytes([EXPOSE, 0, 0, 0]), peer.number))
        for peer in peers:
            reply = peer.read_frame()
            assert reply[9] in (TEXT, ERROR), reply[:40]
    grown = t.memory_mib() - before
    for peer in peers:
        peer.close()
    s.end()
    assert grown < 64, f"{grown:.1f} MiB"
    return f"{n * len(peers):,} pages of {count:,} series"


@attack("C36", "EXPOSE, STATUS and binary over PUSH: for nobody")
def push(t):
    peer = t.peer(PUSH)
    n = many(2000, 50000)
    for kind in (EXPOSE, STATUS, HELLO, ADMIN):
        body = MAGIC + bytes([kind, 0, 0]) + (b"\0" if kind == EXPOSE else b"")
        for _ in range(n // 4 // 100):
            peer.send(frame(body) * 100)
    peer.close()
    return f"{n:,} messages"
