# SPDX-License-Identifier: Apache-2.0
"""Large pages and those who read them: slowly, not at all, at once, or not to the end."""
import re
import select
import socket
import time

import page
from harness import SANITIZED, SystemTest, wait_for
from programs import memory_bytes
from protocol_client import ProtocolClient

# A page is to be larger than what the kernel keeps between the daemon and a client.
with open("/proc/sys/net/ipv4/tcp_wmem", encoding="ascii") as tcp_wmem:
    KERNEL_BYTES = int(tcp_wmem.read().split()[2]) + (1 << 20)
PAD = "x" * 1000
SERIES = 3 * KERNEL_BYTES // len(PAD)
WINDOW = 8192
MB = 1 << 20
EARLY, LATE, MOVERS = 8_000_000, 9_000_000, 50  # numbers of children that move


class Scraper:
    """One GET of /metrics. It reads when it is told to."""

    def __init__(self, test, daemon, window=WINDOW):
        self.socket = socket.socket()
        test.addCleanup(self.socket.close)
        if window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", daemon.port))
        self.socket.sendall(b"GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        self.pieces = []

    def read(self, most):
        """Read so much; False at the end."""
        while most > 0:
            piece = self.socket.recv(min(most, 1 << 16))
            if not piece:
                return False
            self.pieces.append(piece)
            most -= len(piece)
        return True

    def begun(self):
        """Wait until its answer has begun; it is 200."""
        self.read(16)
        if not self.pieces[0].startswith(b"HTTP/1.1 200"):
            raise AssertionError(self.pieces[0])
        return self

    def stalled(self):
        """Wait until the daemon cannot send more: what has come stays as it is."""
        self.begun()
        wait_for("the window to be full", lambda: not self.grows(), 20)
        return self

    def grows(self):
        had = len(self.socket.recv(1 << 20, socket.MSG_PEEK))
        time.sleep(0.05)
        return len(self.socket.recv(1 << 20, socket.MSG_PEEK)) > had

    def rest(self):
        """The page, all of it, its chunks joined."""
        while self.read(1 << 20):
            pass
        return chunks_joined(b"".join(self.pieces).split(b"\r\n\r\n", 1)[1])

    def close(self):
        self.socket.close()


def chunks_joined(body):
    text, at = [], 0
    while True:
        end = body.index(b"\r\n", at)
        n = int(body[at:end], 16)
        if n == 0:
            if body[end:] != b"\r\n\r\n":
                raise AssertionError("the page does not end with its last chunk")
            return b"".join(text)
        text.append(body[end + 2:end + 2 + n])
        at = end + 2 + n + 2


def kept(text):
    """How often each child of the family kept_total came, and its value."""
    found = {}
    for i, value in re.findall(rb'^dynamo_kept_total\{i="(\d+)",pad="x+"\} (\d+)$', text,
            re.MULTILINE):
        found.setdefault(int(i), []).append(int(value))
    return found


def kept_vec(worker):
    return worker.make("counter_vec", worker.scope((), (("pad", PAD),)), "kept_total", "", "i")


class Mover:
    """A worker with some children of kept_total before all others, and some behind them."""

    def __init__(self, test, daemon):
        self.worker = test.worker(daemon, "mover")
        self.vec = kept_vec(self.worker)

    def make(self, first):
        for i in range(first, first + MOVERS):
            self.count(i)
        self.worker.flush()

    def count(self, i):
        self.worker.last_id += 1
        self.worker.call("with", self.worker.last_id, self.vec, i)
        self.worker.call("inc", self.worker.last_id)

    def move(self, number):
        """One leaves its place, and comes again at that of one who has left since."""
        if number < MOVERS:
            for i in (EARLY + number, LATE + number):
                self.worker.call("remove", self.vec, i)
                self.worker.flush()
            self.count(EARLY + number)
            self.worker.flush()


class Scrapes(SystemTest):
    def empty(self, scrapes=16):
        return self.daemon(config={"http": {"scrapes": scrapes, "request_ms": 600_000},
            "limits": {"series": 8 * SERIES}})

    def filled(self, scrapes=16, daemon=None):
        """A daemon with a page larger than the kernel keeps, and the worker who made it."""
        daemon = daemon or self.empty(scrapes)
        worker = self.worker(daemon, max_series=2 * SERIES)
        worker.call("children", kept_vec(worker), SERIES)
        worker.flush(60_000)
        return daemon, worker

    def check_kept(self, text):
        self.assertEqual(kept(text), {i: [i % 7 + 1] for i in range(SERIES)})

    def sample(self, daemon, start):
        """A sample of the daemon's own, without a scrape of the others."""
        name = start.split("{")[0]
        family = re.sub("_(sum|count|bucket)$", "", name)
        text = daemon.get(f"/metrics?name[]={family}").text
        return float(re.search(f"^{re.escape(start)} (.*)$", text, re.MULTILINE).group(1))

    def test_what_stays_is_there_once_whatever_comes_and_goes_under_way(self):
        daemon = self.empty()
        mover = Mover(self, daemon)
        mover.make(EARLY)
        self.filled(daemon=daemon)
        mover.make(LATE)
        churned = set()
        scraper = Scraper(self, daemon, 1 << 16).begun()
        beside = None
        number = 0
        while scraper.read(KERNEL_BYTES // 8):
            # families before, behind and at the cursor, of workers who come and go
            other = self.worker(daemon, f"other{number}")
            for name in (f"a{number}_total", f"kept{number}_total", f"z{number}_total"):
                other.call("inc", other.metric("counter", (), name))
                churned.add(name)
            # members of the very family that is under way: new ones, and old ones that
            # move from before the cursor to behind it
            vec = kept_vec(other)
            other.call("inc", other.make("with", vec, str(SERIES + number)))
            other.flush()
            mover.move(number)
            if beside:
                beside.kill()
            beside, number = other, number + 1
        text = scraper.rest()
        self.assertGreater(number, 8)
        families = page.parse(text.decode())
        self.assertEqual(len({family.name for family in families}), len(families))
        found = kept(text)
        for i in range(SERIES):
            self.assertEqual(found.pop(i), [i % 7 + 1])
        for i, values in found.items():
            self.assertEqual(len(values), 1, i)
        # and it is the next page that has them all
        names = {family.name for family in page.parse(daemon.page())}
        self.assertEqual({f"dynamo_{name}" for name in churned} - names, set())

    def test_one_that_stalls_costs_its_slot_and_nothing_else(self):
        daemon, worker = self.filled()
        size = 'dynamo_system_http_response_size_bytes_sum{path="/metrics"}'
        turns = "dynamo_metricsd_loop_turn_seconds_count"
        Scraper(self, daemon, 0).rest()
        before = memory_bytes(daemon.process.pid)
        stalled = [Scraper(self, daemon).stalled() for _ in range(8)]
        during = memory_bytes(daemon.process.pid)
        if not SANITIZED:
            self.assertLess((during - before) / len(stalled), MB)
        # nothing is rendered or tried while nobody reads: a loop that spins takes thousands
        began, since = self.sample(daemon, turns), time.monotonic()
        for _ in range(20):
            worker.flush()
        idle = self.sample(daemon, turns) - began
        self.assertLess(idle, 400 + 20 * (time.monotonic() - since))
        rendered = self.sample(daemon, size)
        for scraper in stalled:
            scraper.close()
        wait_for("the scrapes to be given up",
            lambda: "scrape unfinished" in daemon.log()
                and self.sample(daemon, size) > rendered + 8 * WINDOW)
        wait_for("all of them to be counted", lambda: self.sample(daemon,
            'dynamo_system_http_requests_total{code="200",path="/metrics"}') >= 9)
        # what was rendered for each is a little that the kernel took of it, and a slice
        rendered = self.sample(daemon, size) - rendered
        self.assertLess(rendered / len(stalled), MB)

    def test_one_that_is_cut_off_leaves_nothing_behind(self):
        daemon, _ = self.filled(scrapes=1)
        Scraper(self, daemon, 0).rest()
        Scraper(self, daemon).stalled().close()
        before = None
        for i in range(30):
            # the slot is free at once: the next one has it
            wait_for("the slot", lambda: daemon.get("/metrics?name[]=none").status == 200)
            scraper = Scraper(self, daemon).begun()
            scraper.read(i * 10_000)
            scraper.close()
            before = before or memory_bytes(daemon.process.pid)
        if not SANITIZED:
            self.assertLess(memory_bytes(daemon.process.pid), before + 2 * MB)
        wait_for("the slot", lambda: daemon.get("/metrics?name[]=none").status == 200)
        self.check_kept(Scraper(self, daemon, 0).rest())

    def test_many_at_once_share_the_daemon_with_its_workers(self):
        daemon, _ = self.filled(scrapes=2)
        Scraper(self, daemon, 0).rest()
        before = memory_bytes(daemon.process.pid)
        stalled = [Scraper(self, daemon).stalled() for _ in range(16)]
        running = [Scraper(self, daemon, 0).begun() for _ in range(4)]
        self.assertEqual(daemon.get("/metrics?name[]=none").status, 200)
        worker = ProtocolClient(daemon.socket)
        number = worker.counter("told_total", "Told.", "n")
        acknowledged = 0
        # they are read by turns while the worker tells, and is answered
        reading = list(running)
        while reading:
            ready, _, _ = select.select([s.socket for s in reading], [], [], 20)
            reading = [s for s in reading if s.socket not in ready or s.read(1 << 18)]
            acknowledged += 1
            worker.update({number: acknowledged})
        self.assertGreater(acknowledged, SERIES * len(PAD) >> 18)
        for scraper in running:
            self.check_kept(scraper.rest())
        if not SANITIZED:
            during = memory_bytes(daemon.process.pid)
            self.assertLess((during - before) / 20, MB)
        for scraper in stalled:
            scraper.close()
        wait_for("room for another", lambda: daemon.get("/metrics?name[]=none").status == 200)
        self.assertEqual(self.sample(daemon, 'dynamo_told_total{namespace="n"}'), acknowledged)
        worker.close()
