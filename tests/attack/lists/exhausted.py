# SPDX-License-Identifier: Apache-2.0
"""List O: out of descriptors, memory, disk and processes.

What the daemon has too little of, its clients notice: so these have a daemon of their own, and
the bystanders one beside it. What is looked at is that it lives, says so, and is well again."""
import os
import resource
import shutil
import threading
import time

from frame import attack
from harness import wait_for
from lists.cells import ERROR, EXPOSE, MAGIC, NEW, TEXT, Session, child, hello, metric, record
from target import Target, many

MIB = 1 << 20
TOO_LITTLE_MIB = 6  # above what it has


def victim(t, before=(), **config):
    """A daemon of its own, and a worker of it that has counted."""
    daemon = t.another(config=config or None, before=before)
    daemon.start().ready()
    return t.keep(Target(daemon.socket, daemon.process.pid, daemon.folder, daemon))


def counting(t):
    s = Session(t, "old")
    s.must_define(metric(0, "attack_old_total"), child(0, 0))
    assert s.update(record(0, 1.0))
    return s


def limit(t, which, soft):
    """A limit of the daemon from now on; what it was."""
    before = resource.prlimit(t.pid, which)
    resource.prlimit(t.pid, which, (soft, before[1]))
    return before


def address_space(t):
    with open(f"/proc/{t.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def must_live(t, s, value):
    """All is well again: the old worker and new ones count, the page is whole."""
    assert t.alive(), f"it died: {t.daemon.log()[-2000:]}"
    assert s.update(record(0, value)), "the old worker is refused"
    assert t.value("dynamo_attack_old_total") == value
    new = Session(t)
    assert new.reply[5] == NEW, new.reply
    new.must_define(metric(0, "attack_new_total", variable=["k"]),
        *(child(0, i, str(i)) for i in range(100)))
    new.end()
    assert t.json({"metrics": [{"name": "attack_well_total", "type": "counter", "inc": 1}]})["ok"]
    lines = t.daemon.log().count("\n")
    assert lines < 300, f"the log has {lines} lines"


def poor(t, harm, mib=TOO_LITTLE_MIB):
    """While the daemon has so much memory to get and no more, harm(victim); its result."""
    v = victim(t)
    s = counting(v)
    before = limit(v, resource.RLIMIT_AS, address_space(v) + mib * MIB)
    try:
        try:
            done = harm(v, s)
        finally:
            assert v.alive(), f"it died: {v.daemon.log()[-2000:]}"
        assert s.update(record(0, 2.0)), "the old worker is refused"
    finally:
        resource.prlimit(v.pid, resource.RLIMIT_AS, before)
    must_live(v, s, 3.0)
    s.end()
    v.close()
    return done


@attack("O01", "memory: definitions without end")
def memory_definitions(t):
    def harm(v, s):
        defined, refused, cut, at, evil = 0, 0, 0, 0, None
        while refused + cut * 100 < many(500, 10000):
            assert defined < 500000, "there was enough memory"
            try:
                if evil is None:
                    evil, at = Session(v), 0
                    evil.must_define(metric(0, "attack_evil_total", variable=["k"]))
                n, why = evil.define(*(child(0, at + k, f"{defined} {k}" * 8)
                    for k in range(100)))
                at += 100
                assert n == 0 or why == "out of memory", why
                refused += n
            except (OSError, AssertionError) as error:
                assert not isinstance(error, AssertionError) or "memory" in str(error), error
                cut, evil = cut + 1, None  # no memory for the message itself
            defined += 100
        return f"{defined:,} series, {refused:,} refused, {cut} cut"

    return poor(t, harm)


@attack("O02", "memory: JSON")
def memory_json(t):
    def harm(v, s):
        refused, n = 0, 0
        for i in range(many(60, 300)):
            metrics = [{"name": f"attack_j{i}_{k}_total", "type": "counter", "inc": 1,
                "help": "x" * 500} for k in range(100)]
            try:
                answer = v.json({"metrics": metrics})
            except ConnectionError:  # there was none for the connection
                refused += 1
                continue
            for error in [] if answer["ok"] else answer["errors"]:
                assert error["reason"] in ("memory", "limit"), error
                refused += 1
            n += 100
        assert refused, "there was enough memory"
        return f"{n:,} metrics, {refused:,} refused"

    return poor(t, harm, 4)


@attack("O03", "memory: pages, plain and compressed, and EXPOSE")
def memory_pages(t):
    def harm(v, s):
        held = []
        for i in range(many(20, 100)):
            for extra in (b"", b"Accept-Encoding: gzip\r\n"):
                held.append(v.http(b"GET /metrics HTTP/1.1\r\nHost: a\r\n" + extra + b"\r\n"))
            try:
                peer = v.peer()
                held.append(peer)
                reply = peer.ask(MAGIC + bytes([EXPOSE, 0, 0, 0]))
                assert reply[5] in (TEXT, ERROR), reply[:40]
            except OSError:
                pass  # there was no memory for the reply
        for one in held:
            one.close()
        return f"{len(held)} pages"

    return poor(t, lambda v, s: (grow(v), harm(v, s))[1], 2)


def grow(t):
    """A page of a megabyte."""
    before = resource.prlimit(t.pid, resource.RLIMIT_AS)
    resource.prlimit(t.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, before[1]))
    s = Session(t)
    s.must_define(metric(0, "attack_grown_total", variable=["k"]))
    for i in range(10):
        s.must_define(*(child(0, 1000 * i + k, f"value {i} {k}") for k in range(1000)))
    s.end()
    resource.prlimit(t.pid, resource.RLIMIT_AS, (address_space(t) + 2 * MIB, before[1]))


@attack("O04", "memory: connections, half messages, HELLO")
def memory_connections(t):
    def harm(v, s):
        taken, closed, half = 0, 0, b"\1" + (1 << 20).to_bytes(8, "big") + b"x" * 200000
        v.more_files()
        for _ in range(many(100, 800)):
            try:
                peer = v.peer()
                peer.socket.settimeout(0.2)
                peer.ask(hello(os.urandom(16)))
                peer.send(half)
                taken += 1
            except (OSError, AssertionError):
                closed += 1
        for thing in v.to_close:
            if hasattr(thing, "socket") and thing is not s.peer:
                thing.close()
        return f"{taken + closed} connections, {closed} of them closed"

    return poor(t, harm, 4)


@attack("O05", "memory: a snapshot, while there is none")
def memory_snapshot(t):
    v = victim(t, state={"snapshot_ms": 200})
    s = counting(v)
    wait_for("a snapshot", lambda: v.value("dynamo_metricsd_snapshot_age_seconds") is not None)
    before = limit(v, resource.RLIMIT_AS, address_space(v) + 64 * 1024)
    try:
        for i in range(many(3, 15)):
            s.update(record(0, 2.0 + i / 100))
            time.sleep(0.1)
        assert v.alive(), "it died"
    finally:
        resource.prlimit(v.pid, resource.RLIMIT_AS, before)
    must_live(v, s, 3.0)
    wait_for("a snapshot again", lambda: v.value("dynamo_metricsd_degraded") == 0, 90)
    s.end()
    return "snapshots 0.2 s apart"


@attack("O06", "descriptors: none left, while others wait")
def descriptors(t):
    v = victim(t)
    s = counting(v)
    before = limit(v, resource.RLIMIT_NOFILE, v.descriptors() + 3)
    try:
        held = []
        for _ in range(many(30, 300)):
            held += [v.connect(), v.http()]
        v.must_idle(0.3, 0.3)
        for i in range(20):
            assert s.update(record(0, 1.5 + i / 100)), "the old worker is refused"
        for one in held:
            one.close()
    finally:
        resource.prlimit(v.pid, resource.RLIMIT_NOFILE, before)
    wait_for("the page", lambda: v.get().status == 200)
    must_live(v, s, 3.0)
    s.end()
    return f"{len(held)} connections"


@attack("O07", "descriptors: none at all, with snapshots due")
def descriptors_snapshot(t):
    v = victim(t, state={"snapshot_ms": 100})
    s = counting(v)
    before = limit(v, resource.RLIMIT_NOFILE, 1)
    try:
        for i in range(many(5, 40)):
            assert s.update(record(0, 1.5 + i / 100)), "the old worker is refused"
            time.sleep(0.05)
        share = v.cpu_share(0.3)
        assert share < 0.3, f"it takes {share:.2f} of a processor"
    finally:
        resource.prlimit(v.pid, resource.RLIMIT_NOFILE, before)
    must_live(v, s, 3.0)
    wait_for("a snapshot again", lambda: v.value("dynamo_metricsd_degraded") == 0, 90)
    s.end()
    return "snapshots 0.1 s apart"


@attack("O08", "disk: files that may not grow")
def disk(t):
    v = victim(t, state={"snapshot_ms": 100})
    s = counting(v)
    before = limit(v, resource.RLIMIT_FSIZE, 4096)
    try:
        for i in range(many(30, 300)):
            s.must_define(metric(1 + i, f"attack_disk_{i}_total"), child(1 + i, 1 + i))
            assert s.update(record(0, 1.0 + i / 1000), record(1 + i, 1.0))
        wait_for("it to say so", lambda: v.value("dynamo_metricsd_degraded") == 1)
    finally:
        resource.prlimit(v.pid, resource.RLIMIT_FSIZE, before)
    v.daemon.process.send_signal(1)  # SIGHUP: read the configuration, try again
    must_live(v, s, 3.0)
    wait_for("it to be well", lambda: v.value("dynamo_metricsd_degraded") == 0, 90)
    v.daemon.kill()
    v.daemon.start().ready()
    again = Target(v.daemon.socket, v.daemon.process.pid, v.daemon.folder, v.daemon)
    assert again.value("dynamo_attack_old_total") == 3
    return "a journal and snapshots of 4 KiB"


@attack("O09", "processes: no fork for a snapshot", deadline_s=180)
def no_fork(t):
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or not setpriv:
        return "nothing: it needs another user"
    uid = 60000 + os.getpid() % 5000
    v = t.another(config={"state": {"snapshot_ms": 100}},
        before=(setpriv, f"--reuid={uid}", f"--regid={uid}", "--clear-groups"))
    for folder, _, files in os.walk(v.folder):
        for name in (folder, *(os.path.join(folder, f) for f in files)):
            os.chown(name, uid, -1)
    try:
        v.start().ready()
    except AssertionError:
        return "nothing: another user cannot run it here"
    v = t.keep(Target(v.socket, v.process.pid, v.folder, v))
    s = counting(v)
    wait_for("a snapshot", lambda: v.value("dynamo_metricsd_degraded") == 0)

    def processes(most):
        """Asked by its own user: not everybody who is root may."""
        def ask():
            hard = resource.prlimit(v.pid, resource.RLIMIT_NPROC)[1]
            resource.prlimit(v.pid, resource.RLIMIT_NPROC, (0 if most == 0 else hard, hard))

        assert t.wait(t.fork(ask, uid=uid)) == 0, "the limit cannot be set"

    processes(0)
    try:
        wait_for("it to say so", lambda: s.update(record(0, 1.5))
            and v.value("dynamo_metricsd_snapshot_failures_total"))
        for i in range(many(20, 200)):
            assert s.update(record(0, 2.0 + i / 1000)), "the old worker is refused"
        assert v.cpu_share(0.3) < 0.3, "it is busy"
        assert "no snapshot in" in v.daemon.log(), v.daemon.log()[-2000:]
    finally:
        processes(None)
    must_live(v, s, 3.0)
    v.daemon.kill()
    v.daemon.start().ready()
    again = Target(v.daemon.socket, v.daemon.process.pid, v.daemon.folder, v.daemon)
    assert again.value("dynamo_attack_old_total") == 3, "what was counted is lost"
    return "snapshots 0.1 s apart"


@attack("O10", "all at once: memory, descriptors and the disk")
def all_at_once(t):
    v = victim(t, state={"snapshot_ms": 100})
    s = counting(v)
    befores = [(which, limit(v, which, soft)) for which, soft in (
        (resource.RLIMIT_AS, address_space(v) + 2 * MIB), (resource.RLIMIT_FSIZE, 4096),
        (resource.RLIMIT_NOFILE, v.descriptors() + 4))]
    try:
        def press():
            for _ in range(many(20, 100)):
                try:
                    v.json({"metrics": [{"name": f"attack_{k}_total", "type": "counter", "inc": 1,
                        "help": "x" * 300} for k in range(100)]})
                    v.answer(b"GET /metrics HTTP/1.0\r\n\r\n", 0.5)
                except (OSError, ValueError, AssertionError):
                    pass

        threads = [threading.Thread(target=press) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert v.alive(), f"it died: {v.daemon.log()[-2000:]}"
    finally:
        for which, before in befores:
            resource.prlimit(v.pid, which, before)
    must_live(v, s, 3.0)
    s.end()
    return f"4 peers, {many(20, 100)} turns each"
