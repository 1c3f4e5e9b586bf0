# SPDX-License-Identifier: Apache-2.0
"""List D, second part: the files of the kept state, when they are not what they should be. Each
daemon here has files of its own; the shared one must not notice."""
import fcntl
import json
import os
import random
import resource
import shutil
import socket
import stat
import struct
import subprocess
import threading
import time

from frame import attack
from harness import DAEMON, wait_for
from target import Peer, many, memory_mib

TOTAL = "dynamo_kept_total"
AS_MIB, RSS_MIB = 1024, 128
SECRET = "the secret of somebody else\n"
TB = 1 << 40


class Kept:
    """The files of a daemon that counted and was killed: a snapshot with 1, a journal with more."""

    def __init__(self, t, counted=4):
        self.t, self.counted = t, counted
        daemon = t.another(config={"state": {"snapshot_ms": 86400000}}).start().ready()
        self.count(daemon)
        daemon.stop()
        daemon.start().ready()
        for _ in range(counted - 1):
            self.count(daemon)
        daemon.kill()
        self.journal_name, = (n for n in os.listdir(daemon.folder) if n.startswith("journal."))
        with open(os.path.join(daemon.state, "snapshot"), "rb") as file:
            self.snapshot = file.read()
        with open(os.path.join(daemon.folder, self.journal_name), "rb") as file:
            self.journal = file.read()
        daemon.clean_up()

    @staticmethod
    def count(daemon):
        peer = Peer(daemon.socket)
        said = peer.json({"id": os.urandom(8).hex(),
            "metrics": [{"name": "kept_total", "type": "counter", "inc": 1}]})
        peer.close()
        assert said["ok"], said

    def lay(self, snapshot=None, journal=None, **options):
        """A daemon that has not started, with such files; bytes, or what makes the file."""
        daemon = self.t.another(before=("prlimit", f"--as={AS_MIB << 20}"), **options)
        os.mkdir(daemon.state, 0o700)
        daemon.snapshot = os.path.join(daemon.state, "snapshot")
        daemon.journal = os.path.join(daemon.folder, self.journal_name)
        for path, data in ((daemon.snapshot, self.snapshot if snapshot is None else snapshot),
                (daemon.journal, self.journal if journal is None else journal)):
            if callable(data):
                data(path)
            else:
                with open(path, "wb") as file:
                    file.write(data)
        return daemon

    def must_live(self, daemon, least=0, most=None):
        """It starts, with no more than was counted, goes on, and keeps what comes."""
        daemon.start().ready()
        total = daemon.value(TOTAL) or 0
        if not least <= total <= (self.counted if most is None else most):
            raise AssertionError(f"{total} of {self.counted}: {daemon.log()}")
        size = memory_mib(daemon.process.pid)
        if size > RSS_MIB:
            raise AssertionError(f"{size:.0f} MiB: {daemon.log()}")
        self.count(daemon)
        daemon.kill()
        daemon.start().ready()
        if daemon.value(TOTAL) != total + 1:
            raise AssertionError(f"{daemon.value(TOTAL)} after {total} + 1: {daemon.log()}")
        said = daemon.log()
        daemon.clean_up()
        return total, said

    def try_all(self, what, least=0, most=None):
        for files in what:
            self.must_live(self.lay(**files), least, most)


CRC = [0] * 256
for byte in range(256):
    crc = byte
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    CRC[byte] = crc


def record(kind, body):
    crc = 0xFFFFFFFF
    for byte in bytes([kind]) + body:
        crc = CRC[(crc ^ byte) & 255] ^ crc >> 8
    return struct.pack("<IIB", len(body), crc ^ 0xFFFFFFFF, kind) + body


def records(data):
    """[kind, body] of each."""
    found, at = [], 0
    while at < len(data):
        size, _, kind = struct.unpack_from("<IIB", data, at)
        found.append([kind, data[at + 9:at + 9 + size]])
        at += 9 + size
    return found


@attack("D10", "a snapshot that is cut anywhere", deadline_s=600)
def snapshot_cut(t):
    kept = Kept(t)
    cuts = range(0, len(kept.snapshot), many(101, 1))
    kept.try_all([{"snapshot": kept.snapshot[:cut]} for cut in cuts], 0, 0)
    return f"{len(cuts)} cuts"


@attack("D11", "a snapshot with any byte flipped", deadline_s=600)
def snapshot_flipped(t):
    kept, draw = Kept(t), random.Random(11)
    places = range(0, len(kept.snapshot), many(101, 1))
    for at in places:
        data = bytearray(kept.snapshot)
        data[at] ^= 1 << draw.randrange(8)
        kept.must_live(kept.lay(snapshot=bytes(data)), 0, 0)
    return f"{len(places)} bytes"


@attack("D12", "a journal that is cut anywhere: what is whole counts", deadline_s=600)
def journal_cut(t):
    kept = Kept(t)
    ends, at = [], 0
    for kind, body in records(kept.journal):
        at += 9 + len(body)
        ends.append((at, kind == 10))
    cuts = range(0, len(kept.journal), many(151, 1))
    for cut in cuts:
        whole = 1 + sum(counts for end, counts in ends if end <= cut)
        kept.must_live(kept.lay(journal=kept.journal[:cut]), whole, whole)
    return f"{len(cuts)} cuts"


@attack("D13", "a journal with any byte flipped", deadline_s=600)
def journal_flipped(t):
    kept, draw = Kept(t), random.Random(13)
    places = range(0, len(kept.journal), many(151, 1))
    for at in places:
        data = bytearray(kept.journal)
        data[at] ^= 1 << draw.randrange(8)
        kept.must_live(kept.lay(journal=bytes(data)), 1)
    return f"{len(places)} bytes"


@attack("D14", "files of other programs and of other versions in their place")
def state_foreign(t):
    kept, draw = Kept(t), random.Random(14)
    with open(DAEMON, "rb") as file:
        program = file.read(1 << 20)
    (kind, head), *rest = records(kept.snapshot)
    newer = record(kind, head[:8] + struct.pack("<I", 99) + head[12:]) + b"".join(
        record(*one) for one in rest)
    foreign = [program, b"hello\n" * 9999, draw.randbytes(1 << 20), bytes(1 << 20), b"",
        b"SQLite format 3\0" + bytes(4096), kept.journal, newer][:many(3, 8)]
    for data in foreign:
        kept.must_live(kept.lay(snapshot=data), 0, 0)
    for data in [*(one for one in foreign if one != kept.journal), kept.snapshot]:
        kept.must_live(kept.lay(journal=data), 1, 1)
    return f"{len(foreign)} snapshots and journals"


def sparse(data, size=TB):
    def make(path):
        with open(path, "wb") as file:
            file.write(data)
            file.truncate(size)
    return make


@attack("D15", "a snapshot or a journal of 1 TB, with or without a right beginning")
def state_enormous(t):
    kept = Kept(t)
    kept.must_live(kept.lay(snapshot=sparse(b"")), 0, 0)
    kept.must_live(kept.lay(snapshot=sparse(kept.snapshot)), 0, 0)
    kept.must_live(kept.lay(journal=sparse(b"")), 1, 1)
    kept.must_live(kept.lay(journal=sparse(kept.journal)), 4, 4)
    return f"4 files, in {AS_MIB} MiB of memory"


@attack("D16", "contents that are absurd under right checksums", deadline_s=300)
def state_crafted(t):
    kept, draw = Kept(t), random.Random(16)
    *blocks, end = records(kept.snapshot)
    before = b"".join(record(*one) for one in blocks)
    for count in (0xFFFFFFFF, len(kept.snapshot) // 4, 1 << 20):
        counts = struct.pack("<I", count) * (len(end[1]) // 4)
        kept.must_live(kept.lay(snapshot=before + record(end[0], counts)), 0, 0)
    for size in (0xFFFFFFFF, 1 << 31, 127 << 20):
        for kind in (3, 6, 10, 64, 65, 255):
            if many(kind == 10, True):
                longer = kept.journal + struct.pack("<IIB", size, 0, kind)
                kept.must_live(kept.lay(journal=sparse(longer, 1 << 33)), 4, 4)
    for n in range(many(4, 600)):
        which = "snapshot" if n % 2 else "journal"
        found = records(getattr(kept, which))
        one = draw.choice(found)
        if one[1]:
            body = bytearray(one[1])
            for _ in range(draw.choice((1, 1, 2, 4))):
                at = draw.randrange(len(body))
                body[at:at + 1] = draw.choice((b"\xff", b"\0", draw.randbytes(1)))
            one[1] = bytes(body)
        kept.must_live(kept.lay(**{which: b"".join(record(*r) for r in found)}), 0, float("inf"))
    return f"counts, lengths, {many(4, 600)} random changes"


def victim(t):
    """A file that is no business of the daemon."""
    path = os.path.join(t.folder, "victim")
    with open(path, "w", encoding="ascii") as file:
        file.write(SECRET)
    os.chmod(path, 0o604)
    return path


def must_be_untouched(path):
    with open(path, encoding="ascii") as file:
        assert file.read() == SECRET, "it was written to"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o604, "its mode was changed"


@attack("D17", "a folder, FIFO, socket, device or link in place of a file of the state")
def state_other(t):
    kept, target = Kept(t), victim(t)
    makers = [os.mkdir, os.mkfifo, lambda path: os.symlink(target, path),
        lambda path: os.symlink(os.path.basename(path), path),
        lambda path: os.symlink("/dev/zero", path), lambda path: socket.socket(
            socket.AF_UNIX).bind(path)][:many(3, 6)]
    for make in makers:
        _, said = kept.must_live(kept.lay(snapshot=make), 0, 0)
        assert "snapshot: it is no file: it is set aside" in said, said
        kept.must_live(kept.lay(journal=make), 1, 1)
    for name in ("journal.2", "journal.3", "state/tmp.3.1", "http.port"):
        daemon = kept.lay()
        path = os.path.join(daemon.folder, name)
        if not os.path.lexists(path):
            os.symlink(target, path)
        kept.must_live(daemon, 1)
    must_be_untouched(target)
    return f"{len(makers)} things, 4 links to a file of somebody else"


@attack("D18", "files that somebody else has put there, or that have a second name")
def state_planted(t):
    if os.geteuid() != 0:
        return "left out: only root can give files away"
    kept, target = Kept(t), victim(t)

    def planted(data):
        def make(path):
            with open(path, "wb") as file:
                file.write(data)
            os.chmod(path, 0o666)
            os.chown(path, 65534, 65534)
        return make

    _, said = kept.must_live(kept.lay(snapshot=planted(kept.snapshot)), 0, 0)
    assert "it is another user's" in said, said
    _, said = kept.must_live(kept.lay(journal=planted(kept.journal)), 1, 1)
    assert "it is another user's" in said, said
    for name in ("journal.2", "journal.3", "journal.4"):
        daemon = kept.lay()
        path = os.path.join(daemon.folder, name)
        if os.path.exists(path):
            os.unlink(path)
        os.link(target, path)
        kept.must_live(daemon, 1)
        must_be_untouched(target)
    return "2 files of another user, 3 links"


def hold_locks(folder, state, writing):
    """What a member of the group can do: open what may be opened, lock it, and stay."""
    held = []
    for path in (folder, state, *(os.path.join(folder, n) for n in os.listdir(folder))):
        try:
            held.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        except OSError:
            pass
    wrong = []
    for name in ("journal.9", "snapshot", ".lock", "ingest.ipc", "ingest.ipc.lock", "http.port"):
        for do in (os.unlink, lambda p: os.rename(p, p + "x"), lambda p: open(p, "ab").close()):
            try:
                do(os.path.join(folder, name))
                wrong.append(name)
            except OSError:
                pass
    os.write(writing, json.dumps([len(held), wrong]).encode() + b"\n")
    while True:  # the moment comes when the daemon lets go
        for fd in held:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                pass
        time.sleep(0.0005)


@attack("D19", "a member of the group locks all that it can open, and the daemon restarts")
def state_locked(t):
    if os.geteuid() != 0:
        return "left out: only root can be somebody else"
    daemon = t.another()
    os.chmod(daemon.folder, 0o750)
    os.chown(daemon.folder, -1, 65534)
    daemon.start().ready()
    Kept.count(daemon)
    reading, writing = os.pipe()
    t.fork(hold_locks, daemon.folder, daemon.state, writing, uid=65534)
    held, wrong = json.loads(os.read(reading, 4096))
    assert held > 0 and not wrong, f"it could change {wrong}"
    for how in (daemon.kill, daemon.stop) * many(1, 10):
        how()
        time.sleep(0.01)
        daemon.start().ready()
        assert daemon.value(TOTAL) == 1
    daemon.stop()
    return f"{held} things locked, {2 * many(1, 10)} restarts"


@attack("D20", "files that are cut and rewritten while they are read")
def state_changing(t):
    kept, starts = Kept(t), many(2, 60)
    large = kept.journal + b"".join(record(3, struct.pack("<QQQ", n, n, 0)) for n in range(20000))
    for _ in range(starts):
        daemon, over = kept.lay(journal=large), threading.Event()

        def change():
            draw = random.Random(20)
            while not over.is_set():
                for path in (daemon.snapshot, daemon.journal):
                    try:
                        with open(path, "r+b", buffering=0) as file:
                            file.truncate(draw.randrange(len(large)))
                            file.write(large[:draw.randrange(len(large))])
                    except OSError:
                        pass

        changing = threading.Thread(target=change)
        changing.start()
        try:
            daemon.start().ready()
            assert (daemon.value(TOTAL) or 0) <= kept.counted
        finally:
            over.set()
            changing.join()
            daemon.clean_up()
    return f"{starts} starts"


@attack("D21", "files and folders that are taken away while it runs")
def state_taken_away(t):
    daemon = t.another(config={"state": {"snapshot_ms": 50}}).start().ready()
    counted = 0
    for n in range(many(2, 20)):
        for path in (os.path.join(daemon.state, "snapshot"), daemon.state, *(os.path.join(
                daemon.folder, name) for name in os.listdir(daemon.folder) if "journal." in name)):
            if n % 2:
                shutil.rmtree(path, True)
            elif os.path.lexists(path):
                shutil.move(path, os.path.join(daemon.folder, f"moved-{n}-{counted}"))
            Kept.count(daemon)
            counted += 1
            assert daemon.value(TOTAL) == counted
    daemon.stop()
    return f"{counted} times"


@attack("D22", "no room for what it writes")
def state_full(t):
    daemon = t.another(config={"state": {"snapshot_ms": 100}}).start().ready()
    Kept.count(daemon)
    limit = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (10, limit[1]))
    for n in range(2, 6):
        Kept.count(daemon)
        assert daemon.value(TOTAL) == n
    wait_for("problems", lambda: json.loads(daemon.get("/health").text)["problems"])
    assert daemon.value("dynamo_metricsd_degraded") == 1
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, limit)
    wait_for("room", lambda: not json.loads(daemon.get("/health").text)["problems"])
    daemon.kill()
    daemon.start().ready()
    assert daemon.value(TOTAL) == 5
    daemon.stop()
    return "4 messages without room, then a kill"


@attack("D24", "a snapshot and a journal that may not be changed (immutable)")
def state_immutable(t):
    kept = Kept(t)
    daemon = kept.lay(config={"state": {"snapshot_ms": 50}})
    files = (daemon.snapshot, daemon.journal)
    if subprocess.run(["chattr", "+i", *files], stderr=subprocess.DEVNULL, check=False).returncode:
        return "left out: chattr cannot do it here"
    try:
        daemon.start().ready()
        wait_for("a problem", lambda: json.loads(daemon.get("/health").text)["problems"])
        assert daemon.value(TOTAL) == 4, daemon.log()
        Kept.count(daemon)
        assert daemon.value(TOTAL) == 5
    finally:
        subprocess.run(["chattr", "-i", *files], check=True)
    wait_for("no problem", lambda: not json.loads(daemon.get("/health").text)["problems"])
    daemon.kill()
    daemon.start().ready()
    assert daemon.value(TOTAL) == 5, daemon.log()
    daemon.stop()
    return "2 files, until they may"


@attack("D23", "thousands of files beside them, with nasty names")
def state_crowded(t):
    kept, n = Kept(t), many(200, 5000)
    daemon = kept.lay()
    names = ["tmp.aB3dE5fG7h", "journal.\n1", "snapshot\n", "\x1b[2J", "journal.0x5", "x" * 255,
        *(f"journal.{i}" for i in range(100, 100 + n))]
    for name in names:
        for folder in (daemon.folder, daemon.state):
            with open(os.path.join(folder, name), "wb"):
                pass
    daemon.start().ready()
    assert daemon.value(TOTAL) == 4, daemon.log()
    for name in names[:6]:
        assert os.path.exists(os.path.join(daemon.state, name)), name
    daemon.stop()
    return f"{len(names):,} files"
