# SPDX-License-Identifier: Apache-2.0
"""A full load on a daemon, for tests of what happens to it meanwhile: workers of the library that
count as fast as they can, senders of JSON, one of whom connects for each message, and scrapers
that never pause. In the end each total must be exact, and no counter may ever have gone down;
what scrapes met is counted by kind, and the test says what of it may be.

	load = Load()
	load.start()
	...
	load.turn_over()  # all of them got something done
	...
	load.stop()
	assert not load.failed()
"""
import http.client
import os
import sys
import threading
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "chaos"))

from harness import DEADLINE_S, Worker, wait_for
from scraper import read_page
from senders import Sender

SOCKET = "/run/dynamo-metricsd/ingest.ipc"
PORT = 8081
TIMEOUT_S = 10  # of a scrape: what Prometheus waits by default
NAMESPACE = "load"
TIMES, CHILDREN = 50000, 5000  # of one turn of a worker
GAUGES = ("dynamo_load_busy", "dynamo_sent_last")


class Counting(threading.Thread):
    """A worker, and what it has counted."""

    def __init__(self, number, address):
        super().__init__(daemon=True)
        self.number, self.turns, self.failed, self.ended = number, 0, None, False
        self.worker = worker = Worker(address, name=f"load-{number}", flush_ms=20)
        own = (("worker", str(number)),)
        self.ones = worker.metric("counter", (NAMESPACE,), "load_ones_total", constant=own)
        self.all = worker.metric("counter", (NAMESPACE,), "load_all_total")
        self.sizes = worker.metric("histogram", (NAMESPACE,), "load_sizes", constant=own,
            bounds=(0.1, 1))
        self.busy = worker.metric("gauge", (NAMESPACE,), "load_busy", constant=own)
        self.children = worker.make("counter_vec", worker.scope((NAMESPACE,), own),
            "load_child_total", "", "child")

    def run(self):
        try:
            while not self.ended:
                self.worker.call("many", self.ones, "1", TIMES, 2)
                self.worker.call("many", self.all, "0.25", TIMES, 1)
                self.worker.call("many", self.sizes, "0.5", TIMES, 1)
                self.worker.call("children", self.children, CHILDREN)
                self.turns += 1
                self.worker.call("set", self.busy, str(self.turns))
        except Exception as error:  # the driver tells of it
            self.failed = error

    def end(self):
        """Returns when the daemon has all."""
        self.ended = True
        self.join(DEADLINE_S)
        if self.failed:
            raise AssertionError(f"worker {self.number}: {self.failed!r}")
        self.worker.flush()

    def truth(self):
        """key -> value of what is this worker's alone; and its part of load_all_total."""
        own = f'namespace="{NAMESPACE}",worker="{self.number}"'
        n = self.turns
        page = {f"dynamo_load_ones_total{{{own}}}": 2 * TIMES * n,
            f"dynamo_load_sizes_count{{{own}}}": TIMES * n,
            f"dynamo_load_sizes_sum{{{own}}}": 0.5 * TIMES * n,
            f"dynamo_load_busy{{{own}}}": n}
        for i in range(CHILDREN):
            key = f'dynamo_load_child_total{{namespace="{NAMESPACE}",child="{i}",'\
                f'worker="{self.number}"}}'
            page[key] = n * (i % 7 + 1)
        return page, 0.25 * TIMES * n


class Visitor(Sender):
    """Somebody who connects for each message, and remembers who did not let it in."""

    def __init__(self, path, number, wrong):
        super().__init__(path, number, True, 1, wrong)
        self.refused = []

    def deliver(self):
        super().deliver()
        self.close()

    def connect(self):
        try:
            super().connect()
        except (ConnectionRefusedError, FileNotFoundError) as error:
            self.refused.append(f"{error!r} of the ingest socket")
            raise


class Scraper(threading.Thread):
    """One client after the other, or one that keeps its connection as Prometheus does: what
    finds such a connection closed asks once more on a new one."""

    def __init__(self, port, keeps):
        super().__init__(daemon=True)
        self.port, self.keeps, self.ended = port, keeps, False
        self.connection, self.used = None, False
        self.scrapes = self.again = 0
        self.slowest_s, self.page, self.highest = 0, {}, {}
        self.refused, self.broken, self.wrong = [], [], []

    def run(self):
        while not self.ended:
            began = time.monotonic()
            try:
                text = self.scrape()
            except (ConnectionRefusedError, FileNotFoundError) as error:
                self.refused.append(repr(error))
                time.sleep(0.01)
            except (OSError, http.client.HTTPException) as error:
                self.broken.append(f"{error!r} after {time.monotonic() - began:.3f} s")
            except Exception as error:
                self.wrong.append(repr(error))
            else:
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                self.look(text)
                self.scrapes += 1
        self.close()

    def scrape(self):
        try:
            return self.ask()
        except (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected):
            known = self.used
            self.close()
            if not known:
                raise
            self.again += 1
        except Exception:
            self.close()
            raise
        return self.ask()

    def ask(self):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port,
                timeout=TIMEOUT_S)
            self.connection.connect()
        self.connection.request("GET", "/metrics")
        answer = self.connection.getresponse()
        self.used = False  # from here on it is this answer that breaks
        text = answer.read().decode("utf-8")
        if answer.status != 200:
            self.wrong.append(f"a scrape was answered {answer.status}: {text.strip()}")
        self.used = True
        if not self.keeps or answer.will_close:
            self.close()
        return text

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection, self.used = None, False

    def look(self, text):
        if not text.endswith("\n"):
            self.wrong.append(f"the page ends in the middle of a line: ...{text[-80:]!r}")
            return
        page, twice = read_page(text)
        self.wrong += [f"twice on a page: {key}" for key in twice]
        for key, highest in self.highest.items():
            if page.get(key, -1) < highest:
                self.wrong.append(f"went down: {key} was {highest!r}, is {page.get(key)!r}")
        self.highest = {k: v for k, v in page.items() if not k.startswith(GAUGES)}
        self.page = page


class Load:
    def __init__(self, socket=SOCKET, port=PORT, workers=3, senders=2, scrapers=3):
        self.address, self.said = "ipc://" + socket, []
        self.workers = [Counting(i, self.address) for i in range(workers)]
        self.visitor = Visitor(socket, senders, self.said.append)
        self.senders = [Sender(socket, i, True, 1, self.said.append) for i in range(senders)]
        self.senders.append(self.visitor)
        self.scrapers = [Scraper(port, keeps=i % 2 == 1) for i in range(scrapers)]

    def start(self):
        for thread in (*self.workers, *self.senders, *self.scrapers):
            thread.start()
        self.turn_over()

    def done(self):
        return [*(w.turns for w in self.workers), *(s.sent for s in self.senders),
            *(s.scrapes for s in self.scrapers)]

    def turn_over(self):
        """Returns when each of them has done something more, begun after this was called."""
        before = self.done()
        wait_for("everybody to go on", lambda: self.troubled() or
            all(now > was + 1 for now, was in zip(self.done(), before)), 3 * DEADLINE_S)

    def troubled(self):
        return self.said or any(w.failed for w in self.workers) or any(
            s.wrong for s in self.scrapers)

    def newcomer(self):
        """A client that was not there before: it counts, and that is on the page."""
        worker = Worker(self.address, name="newcomer", flush_ms=20)
        try:
            worker.call("add", worker.metric("counter", (NAMESPACE,), "newcomer_total"), "1")
            worker.flush()
        finally:
            worker.end_quietly()

    def stop(self):
        """All rest, and a last page is there; then the totals are looked at."""
        for sender in self.senders:
            sender.pause()
        try:
            for worker in self.workers:
                worker.end()
            before = [s.scrapes for s in self.scrapers]
            wait_for("a last page", lambda: self.troubled() or all(
                s.scrapes > n + 1 for s, n in zip(self.scrapers, before)))
            self.check_totals(self.scrapers[0].page)
        finally:
            self.end()

    def end(self):
        """Nothing of it is left."""
        for thread in (*self.scrapers, *self.workers):
            thread.ended = True
        for sender in self.senders:
            if sender.is_alive():
                sender.end()
        for thread in (*self.scrapers, *self.workers):
            if thread.is_alive():
                thread.join(2 * TIMEOUT_S)
        for worker in self.workers:
            worker.worker.end_quietly()

    def check_totals(self, page):
        total, wanted = 0, {}
        for worker in self.workers:
            own, part = worker.truth()
            total += part
            wanted.update(own)
        wanted[f'dynamo_load_all_total{{namespace="{NAMESPACE}"}}'] = total
        for key, value in wanted.items():
            if page.get(key) != value:
                self.said.append(f"{key} is {page.get(key)!r} and should be {value!r}")
        for sender in self.senders:
            self.said += sender.check(page)

    def failed(self, but=()):
        """Sentences; but: what scrapes and visitors may meet: "refused", "broken"."""
        said = list(self.said)
        if "refused" not in but:
            said += [f"refused: {text}" for text in self.visitor.refused]
        for scraper in self.scrapers:
            said += scraper.wrong
            for kind in ("refused", "broken"):
                if kind not in but:
                    said += [f"{kind}: {text}" for text in getattr(scraper, kind)]
        return said

    def figures(self):
        scrapes = sum(s.scrapes for s in self.scrapers)
        counted = sum(4 * TIMES * w.turns for w in self.workers)
        return (f"{counted} counted, {sum(s.sent for s in self.senders)} JSON messages, {scrapes} "
            f"scrapes, the slowest {max(s.slowest_s for s in self.scrapers):.2f} s; "
            f"refused {sum(len(s.refused) for s in (self.visitor, *self.scrapers))}, "
            f"broken {sum(len(s.broken) for s in self.scrapers)}, "
            f"asked again {sum(s.again for s in self.scrapers)}")
