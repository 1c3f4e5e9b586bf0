# SPDX-License-Identifier: Apache-2.0
"""scraper.py PORT - a Prometheus beside an attack: it keeps its connection, and times its
scrapes.

As bystander.c: "rest" on the standard input ends what is under way and prints a line of JSON
with the seconds of each scrape since the last time and what was wrong; "go" goes on.
"""
import http.client
import json
import os
import select
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TIMEOUT_S = 10  # Prometheus's own
PAUSE_S = 0.02
MINE = ("dynamo_beside_", "dynamo_metricsd_")  # never missing
SAID = 20  # sentences that are told at once


def read_counters(text):
    """key -> value of all that only goes up; ValueError for a line that is none."""
    if not text.endswith("\n"):
        raise ValueError(f"the page ends in the middle of a line: ...{text[-80:]!r}")
    counters, kinds = {}, {}
    for line in text.split("\n")[:-1]:
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            key, _, value = line.rpartition(" ")
            name = key.partition("{")[0]
            kind = kinds.get(name) or kinds[name.rpartition("_")[0]]
            number = float(value)
            if kind == "counter" or (kind == "histogram" and not name.endswith("_sum")):
                if key in counters:
                    raise ValueError(f"twice on a page: {key}")
                counters[key] = number
    return counters


class Scraper:
    def __init__(self, port):
        self.port, self.connection, self.used = port, None, False
        self.counters, self.times_s, self.wrong, self.again = {}, [], [], 0

    def turn(self):
        began = time.monotonic()
        try:
            text = self.scrape()
            took_s = time.monotonic() - began
            self.look(read_counters(text))
        except Exception as error:
            self.close()
            self.say(f"{error!r} after {time.monotonic() - began:.3f} s")
        else:
            self.times_s.append(took_s)

    def say(self, sentence):
        if len(self.wrong) < SAID:
            self.wrong.append(sentence)

    def scrape(self):
        """A kept connection may be closed between two scrapes: then on a new one."""
        try:
            return self.ask()
        except (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected):
            known = self.used
            self.close()
            if not known:
                raise
            self.again += 1
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
        self.used = True
        if answer.status != 200:
            raise ValueError(f"a scrape was answered {answer.status}: {text.strip()[:200]}")
        if answer.will_close:
            self.close()
        return text

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection, self.used = None, False

    def look(self, counters):
        for key, before in self.counters.items():
            now = counters.get(key)
            if now is None and key.startswith(MINE):
                self.say(f"gone from the page: {key}")
            elif now is not None and now < before:
                self.say(f"went down: {key} was {before!r}, is {now!r}")
        self.counters = counters

    def tell(self):
        json.dump({"times_s": self.times_s, "wrong": self.wrong, "again": self.again},
            sys.stdout)
        print(flush=True)
        self.times_s, self.wrong, self.again = [], [], 0


def main():
    scraper, resting = Scraper(int(sys.argv[1])), True
    while True:
        ready, _, _ = select.select([0], [], [], None if resting else PAUSE_S)
        if ready:
            orders = os.read(0, 64)
            if not orders:
                return
            for order in orders.split():
                resting = order == b"rest"
                if resting:
                    scraper.tell()
        if not resting:
            scraper.turn()


if __name__ == "__main__":
    main()
