# SPDX-License-Identifier: Apache-2.0
"""Somebody who scrapes all the time, over every restart, and remembers the highest value of
each line."""
import http.client
import statistics
import threading
import time

from harness import OWN
from truth import GAUGES, WHO

CHILD = "dynamo_child_total{"
PAUSE_S = 0.003
GONE_WITHIN_S = 5  # generous: other programs may have the processors
PATIENCE_S = 60


def read_page(text):
    """key -> value, without the daemon's own, and the keys that come twice."""
    page, twice = {}, []
    for line in text.split("\n")[:-1]:
        if line.startswith("#"):
            continue
        key, _, value = line.rpartition(" ")
        if key in page:
            twice.append(key)
        page[key] = float(value)
    return {k: v for k, v in page.items() if not k.startswith(OWN)}, twice


def who(page):
    """The numbers of the workers that have a gauge there."""
    return [int(value) for key, value in page.items() if key.startswith(WHO)]


class Gone:
    """A worker that was killed, and whose gauge should leave."""

    def __init__(self, number, generation):
        self.number, self.generation, self.at = number, generation, time.monotonic()


class Scraper(threading.Thread):
    """wrong(sentence) is told of what may not be. generation() changes with each daemon."""

    def __init__(self, host, port, generation, wrong):
        super().__init__(daemon=True)
        self.host, self.port, self.generation, self.wrong = host, port, generation, wrong
        self.lock = threading.Condition()
        self.number, self.page, self.text, self.ended = 0, {}, "", False
        self.highest, self.watched, self.delays, self.slow = {}, [], [], 0
        self.scraped = None  # the generation that was seen last

    def run(self):
        while not self.ended:
            generation, asked = self.generation(), time.monotonic()
            try:
                text = self.fetch()
            except (OSError, http.client.HTTPException):
                time.sleep(0.002)
                continue
            page, twice = read_page(text)
            self.look(page, twice)
            with self.lock:
                if generation == self.generation():
                    self.scraped = generation
                    self.watch(page, generation, asked)
                self.number, self.page, self.text = self.number + 1, page, text
                self.lock.notify_all()
            time.sleep(PAUSE_S)

    def fetch(self):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_S)
        try:
            connection.request("GET", "/metrics", headers={"Connection": "close"})
            answer = connection.getresponse()
            text = answer.read().decode("utf-8")
        finally:
            connection.close()
        if answer.status != 200:
            self.wrong(f"scrape: /metrics answered {answer.status}: {text.strip()}")
        if not text.endswith("\n"):
            self.wrong(f"scrape: the page ends in the middle of a line: ...{text[-80:]!r}")
        return text

    def look(self, page, twice):
        for key in twice:
            self.wrong(f"twice: {key}")
        gone = []
        for key, highest in self.highest.items():
            value = page.get(key)
            if value is None and key.startswith(CHILD):
                gone.append(key)  # taken away; it does not come again
            elif value is None:
                self.wrong(f"went down: {key} was {highest!r} and is gone")
            elif value < highest:
                self.wrong(f"went down: {key} was {highest!r} and is {value!r}")
        for key in gone:
            del self.highest[key]
        self.highest.update((k, v) for k, v in page.items() if not k.startswith(GAUGES))

    # ---- Gauges of the dead

    def expect_gone(self, number):
        """A worker was just killed while the daemon is up: see when its gauge leaves."""
        with self.lock:
            generation = self.generation()
            if self.scraped == generation and number in who(self.page):
                self.watched.append(Gone(number, generation))

    def watch(self, page, generation, asked):
        """asked: when the page was. It shows nothing of what came later."""
        there, left = set(who(page)), []
        for gone in self.watched:
            if gone.generation != generation:
                continue
            if gone.number not in there:
                self.delays.append(time.monotonic() - gone.at)
            elif asked - gone.at > GONE_WITHIN_S:
                self.wrong(f"gauge: of worker {gone.number}, {asked - gone.at:.1f} s after its kill")
            else:
                left.append(gone)
        self.watched = left

    def delay_ms(self):
        """Of the gauges of the dead: median and maximum."""
        delays = self.delays or [0]
        return 1000 * statistics.median(delays), 1000 * max(delays)

    # ---- For the driver

    def wait_page(self, what, holds, look, deadline_s):
        """The first page scraped from now on for which holds(page), and its text; the last
        one when there is none in time. look() is called meanwhile."""
        began = time.monotonic()
        with self.lock:
            # The one under way may have begun before.
            after = self.number + 2
            while self.number < after or not holds(self.page):
                self.lock.wait(0.1)
                look()
                waited_s = time.monotonic() - began
                if waited_s > GONE_WITHIN_S and self.wrong.said:
                    break  # something else is wrong
                if waited_s > deadline_s:
                    self.wrong(f"waited: {deadline_s} s in vain for {what}")
                    break
            return self.page, self.text

    def end(self):
        self.ended = True
        self.join(PATIENCE_S)
