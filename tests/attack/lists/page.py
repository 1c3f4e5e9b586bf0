# SPDX-License-Identifier: Apache-2.0
"""List P: what gets onto the page, into STATUS, the log and an administrator's terminal."""
import json
import os
import re
import struct
import subprocess

import page
from frame import attack
from harness import BUILD, clean_environment, wait_for
from lists.cells import (ADMIN, EACH, ERROR, EXPOSE, GAUGE, HISTOGRAM, MAGIC, NEW, STATUS, Session,
    child, hello, metric, record, text)
from target import Target, many, readable

# What a text might break out with. The first is what all of them try to be: a sample.
EVIL = ('} 1\nevil_injected 1\n', '"', '\\', '\n', '\\n', '"} 1\n# TYPE evil_injected counter\n',
    '\r\nevil_injected 1\r\n', '\\"} 1\nevil_injected 1\n', '\u2028evil_injected 1', '\ufeff', '\x1b[2J',
    '\x1b]0;evil\x07', '\x85', '\x9b2J', '{', '}', ',', '=', '# EOF\n', 'a' * 1000, '\u202eabc',
    '\U0001f600',
    '\x01\x02\x7f', "'", '`', '$(id)', '%s%n', '<script>', ' ', '\t')
BROKEN = (b'\0', b'a\0b', b'\xff', b'\xc0\x80', b'\xed\xa0\x80', b'\xe2\x82')
LABELS = ("namespace", "component", "endpoint")


def must_parse(t, text=None):
    """The page, strictly read, has nothing but what was promised."""
    body = text if text is not None else t.get().body
    page.parse(body, t.daemon.naming, t.daemon.labels)
    assert b"\nevil_injected" not in body, "something was injected"


def must_be_plain(text):
    """Nothing in it moves a cursor or rings a bell."""
    bad = {hex(ord(c)) for c in text.decode("utf-8") if (c < " " and c not in "\t\n")
        or "\x7f" <= c <= "\x9f"}
    assert not bad, f"{sorted(bad)} are in {text[:200]!r}"


@attack("P01", "label values, in both ways to report")
def label_values(t):
    s = Session(t)
    s.must_define(metric(0, "attack_p1_total", variable=["k"], constant=[("c", EVIL[0])]))
    for i, evil in enumerate(EVIL):
        s.must_define(child(0, i, evil))
        answer = t.json({"metrics": [{"name": "attack_p1j_total", "type": "counter", "inc": 1,
            "labels": {"k": evil, "l": EVIL[0]}}]})
        assert answer["ok"], answer
    for broken in BROKEN:
        assert s.define(child(0, 100, broken))[0] == 1, broken
    must_parse(t)
    text = t.get().text
    for name in ("attack_p1_total{", "attack_p1j_total{"):
        assert text.count("\ndynamo_" + name) + text.count("\ndynamo_component_" + name) == len(EVIL)
    s.end()
    return f"{2 * len(EVIL) + len(BROKEN)} values"


@attack("P02", "names of metrics, labels, levels")
def names(t):
    s, n = Session(t), 0
    for evil in (*EVIL, *BROKEN, b"", "1a", "a-b", "a b", "é"):
        if evil != "a" * 1000:
            assert s.define(metric(0, "attack_p2", variable=[evil]))[0] == 1, evil
        assert s.define(metric(0, evil))[0] == 1, evil
        n += 2
    for i, evil in enumerate(EVIL):
        s.define(metric(i, "attack_p2_level_total", level=[evil[:100]] * 3), child(i, i))
        n += 1
    must_parse(t)
    for level in EVIL:
        reply = s.ask(EXPOSE, b"\1" + text(level[:100]))
        if reply[5] != ERROR:
            must_parse(t, reply[12:])
    s.end()
    return f"{n + len(EVIL)} names"


@attack("P03", "HELP")
def help_texts(t):
    s, n = Session(t), 0
    lines = "a\n# HELP x\n# TYPE evil_injected gauge\nevil_injected 1"
    for i, evil in enumerate((*EVIL, lines, "\n" * 500)):
        s.must_define(metric(i, f"attack_p3_{i}_total", help=evil), child(i, i))
        n += 1
    for broken in BROKEN:
        assert s.define(metric(100, "attack_p3", help=broken))[0] == 1
    must_parse(t)
    s.end()
    return f"{n + len(BROKEN)} texts"


@attack("P04", "names of workers, which are labels of gauges")
def workers(t):
    n = 0
    for evil in (*EVIL, *BROKEN):
        text = (evil if isinstance(evil, bytes) else evil.encode())[:60]
        peer = t.peer()
        reply = peer.ask(hello(os.urandom(16), name=text, version=text))
        if reply[5] == NEW:
            s = Session(t, text.decode(errors="replace"))
            s.must_define(metric(0, "attack_p4", GAUGE, EACH), child(0, 0))
            assert s.update(record(0, 1.0))
            must_parse(t)
            read_status(s)
            s.end()
        peer.close()
        n += 1
    return f"{n} names"


def read_status(s):
    """STATUS is one JSON object whatever workers are called."""
    reply = s.ask(STATUS)
    return json.loads(reply[12:].decode())


@attack("P05", "the other naming, constant labels with quotes")
def component(t):
    daemon = t.another(config={"naming": "component",
        "labels": {"where": 'a"b\\c\nd} 1', "evil": "\u2028"}})
    daemon.start().ready()
    other = Target(daemon.socket, daemon.process.pid, daemon.folder, daemon)
    label_values(other)
    s = Session(other)
    for i, evil in enumerate(EVIL):
        s.define(metric(i, evil[:100], level=[evil[:100]] * 3), child(i, i))
        s.define(metric(i, "attack_p5_" + evil[:100], level=[evil[:100]] * 3), child(i, i))
    must_parse(other)
    other.close()
    return f"{4 * len(EVIL)} names and values"


@attack("P06", "names of the daemon's own metrics, and of others' samples")
def collisions(t):
    s = Session(t)
    s.must_define(metric(0, "attack_p6", HISTOGRAM, bounds=[1]), child(0, 0))
    own = re.findall(r"^# TYPE dynamo_(metricsd_\S+)", t.get().text, re.M)
    for name in (*own, "metricsd_series", "attack_p6_bucket", "attack_p6_sum", "attack_p6_count"):
        assert s.define(metric(1, name))[0] == 1, name
        assert not t.json({"metrics": [{"name": name, "type": "counter", "inc": 1}]})["ok"], name
    for label in (*LABELS, "dynamo_namespace", "__name__", "le"):
        assert s.define(metric(1, "attack_p6h", HISTOGRAM, constant=[(label, "x")], bounds=[1]))[0] == 1
    must_parse(t)
    s.end()
    return f"{2 * len(own) + 12} names"


@attack("P07", "session ids: on the page, in STATUS, EXPOSE, tail and the log",
    config={"log": {"level": "debug"}})
def session_ids(t):
    secret = b"SECRETSESSIONID!"
    shown = [secret, secret.hex().encode(), secret[:8].hex().encode(), secret[::-1].hex().encode()]
    s = Session(t, "w", sid=secret)
    tail = json.dumps({"command": "tail"}).encode()
    said = [s.ask(ADMIN, struct.pack("<I", len(tail)) + tail)]
    s.must_define(metric(0, "attack_p7_total"), child(0, 0))
    s.update(record(0, 1.0))
    s.peer.ask(hello(secret, None, "w"))
    s.peer.ask(hello(secret, s.ticket[:8] + b"\xff" * 8, "w"))
    s.peer.ask(MAGIC + b"\1\0\0" + secret)  # cut short
    tail = json.dumps({"command": "tail", "after": 0}).encode()
    said += [s.ask(ADMIN, struct.pack("<I", len(tail)) + tail), s.ask(STATUS), s.ask(EXPOSE, b"\0")]
    s.end()
    said += [t.get().body, t.get("/health").body, t.daemon.log().encode(errors="surrogateescape")]
    for text in said:
        for form in shown:
            assert form not in text, f"{form} is in {text[:200]!r}"
    return f"{len(said)} texts"


@attack("P08", "lines and escapes in the log", config={"log": {"level": "debug"}}, log_lines=200)
def log(t):
    before = os.path.getsize(t.daemon.log_file)
    s, n = Session(t, "worker"), 0
    for i, evil in enumerate((*EVIL, "a\ndynamo-metricsd: error: forged line")):
        s.define(metric(i, evil), metric(i, "attack_p8_total", level=[evil[:100]], variable=["k"],
            help=evil), child(i, i, evil))
        t.json({"metrics": [{"name": evil, "type": evil, "labels": {evil: evil}, evil: evil}]})
        t.json({"id": evil[:100],
            "metrics": [{"name": "attack_p8j_total", "type": "counter", "inc": 1}]})
        t.peer().ask(hello(os.urandom(16), name=evil[:50], version=evil[:50]))
        t.answer(f"GET /metrics?{evil.encode().hex()}=1&name={evil[:5]} HTTP/1.0\r\n\r\n".encode(), 0.5)
        n += 5
    s.end()
    with open(t.daemon.log_file, "rb") as file:
        file.seek(before)
        said = file.read()
    must_be_plain(said)
    assert b"\ndynamo-metricsd: error: forged" not in said, "a line was forged"
    return f"{n} texts"


@attack("P09", "escapes on an administrator's terminal")
def terminal(t):
    tool = os.path.join(BUILD, "dynamo-metricsctl")
    held = [Session(t, evil[:50]) for evil in EVIL]
    for s in held:
        if s.reply[5] == NEW:
            s.must_define(metric(0, "attack_p9", GAUGE, EACH), child(0, 0))
    tail = t.start([tool, "--address", t.address, "tail"])

    def seen():
        for evil in EVIL:
            t.json({"metrics": [{"name": evil, "type": "counter", "inc": 1, "labels": {"a": evil}}]})
        return readable(tail.stdout, 0.05)

    wait_for("the tail to say something", seen)
    said = [os.read(tail.stdout.fileno(), 1 << 20)]
    for arguments in (("status",), ("status", "--json"), ("remove", "--dry-run", "attack_p9")):
        done = subprocess.run([tool, "--address", t.address, *arguments], capture_output=True,
            env=clean_environment(), timeout=30, check=False)
        said += [done.stdout, done.stderr]
    for text in said:
        must_be_plain(text)
    for s in held:
        s.peer.close()
    return f"{len(EVIL)} workers, {len(EVIL)} messages"


def listening(pid):
    """Addresses of TCP sockets that a process listens on, as the kernel writes them."""
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            inodes.add(os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            pass
    found = []
    for path in ("/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6"):
        with open(path, encoding="ascii") as file:
            for line in list(file)[1:]:
                words = line.split()
                if f"socket:[{words[9]}]" in inodes and words[3] in ("0A", "07"):
                    found.append(words[1].rpartition(":")[0])
    return found


@attack("P10", "who can reach HTTP: nobody from outside, unless asked for")
def binding(t):
    loopback = "0100007F"
    assert listening(t.pid) == [loopback], listening(t.pid)
    n = 1
    for host, want in (("127.0.0.1", [loopback]), ("0.0.0.0", ["00000000"]), ("::1", ["0" * 24 +
            "01000000"])):
        other = t.another(DYN_SYSTEM_HOST=host)
        try:
            other.start()
            wait_for("its port", lambda o=other: listening(o.process.pid) or o.process.poll())
        except AssertionError:
            assert host == "::1", f"nobody listens at {host}"  # IPv6 may be off
            continue
        if other.process.poll() is None:
            assert listening(other.process.pid) == want, (host, listening(other.process.pid))
            n += 1
        other.clean_up()
    return f"{n} addresses"


@attack("P11", "filters and paths with all of that")
def filters(t):
    from urllib.parse import quote
    n = 0
    for evil in EVIL:
        for key in (*LABELS, "name", "name[]", "x"):
            text = quote(evil.encode())
            answer = t.answer(f"GET /metrics?{key}={text} HTTP/1.0\r\n\r\n".encode(), 2)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.split(b" ")[1] in (b"200", b"400"), head[:500]
            assert b"evil_injected" not in head, head[:500]
            assert b"\nevil_injected" not in body, "something was injected"
            n += 1
    for path in ("/evil%0d%0aX-Evil: 1", "/metrics%00", "/%0aevil", "/metrics?\x1b[2J"):
        head = t.answer(f"GET {path} HTTP/1.0\r\n\r\n".encode(), 2).partition(b"\r\n\r\n")[0]
        assert b"X-Evil" not in head and b"\x1b" not in head, head[:500]
        n += 1
    return f"{n} requests"


@attack("P12", "a page of the longest of everything", memory_mib=48,
    config={"limits": {"label_bytes": 65535, "help_bytes": 65535, "name_bytes": 200}})
def longest(t):
    s, n = Session(t), many(3, 12)
    for i in range(n):
        s.must_define(metric(i, f"attack_p12_{i}_total", help=("\n\\" * 32000)[:65000], variable=["k"],
            constant=[("c", ('"\\\n' * 22000)[:65000])]), child(i, i, ('"' * 65000)))
        assert s.update(record(i, 1.0))
    must_parse(t)
    head, _, body = t.answer(b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n"
        b"Connection: close\r\n\r\n").partition(b"\r\n\r\n")
    assert b"gzip" in head and body, head
    s.end()
    return f"{n} series of 200 KiB"
