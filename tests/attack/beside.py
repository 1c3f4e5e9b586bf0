# SPDX-License-Identifier: Apache-2.0
"""Who stands beside an attack and should notice nothing: a worker (bystander.c) and a scraper
(scraper.py). And a twin: the same worker, with a daemon of its own that nobody attacks. What the
twin waits for is the machine, which the attackers and others keep busy, too.

And what is judged: Beside.judge() has every sentence that can be said against the daemon."""
import json
import math
import os
import select
import statistics
import subprocess
import sys
import time

import page
from harness import BUILD, SANITIZED, clean_environment
from scraper import MINE
from target import QUICK, cpu_s

HERE = os.path.dirname(os.path.abspath(__file__))
BYSTANDER = os.path.join(BUILD, "tests", "attack", "bystander")
IDLE_S = 0.3 if QUICK else 2  # how long we look at them alone
LEAST_S = 0.1 if QUICK else 1  # an attack lasts at least so long for them
ANSWER_S = 60  # until one of them ends its turn
SETTLED_S = 10 if QUICK else 30  # until the daemon is as it was
WATCHED_S = 0.06 if QUICK else 0.3  # for a busy loop
BUSY = 0.3  # of a processor, while nobody wants anything
FLUSH_MORE_S = 1.0 if QUICK else 0.010  # a flush: twice its idle median and this
SCRAPE_S = 3.0 if QUICK else 1.0  # QUICK: CI does what it likes with the processors
LOG_LINE = 600  # bytes


class Bystander:
    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=clean_environment())

    def say(self, word):
        self.process.stdin.write(word + b"\n")
        self.process.stdin.flush()

    def line(self):
        if not select.select([self.process.stdout], [], [], ANSWER_S)[0]:
            raise AssertionError(f"{self.process.args[0]} says nothing for {ANSWER_S} s")
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"{self.process.args[0]} ended with {self.process.wait()}")
        return line

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Worker(Bystander):
    """The worker, or its twin."""

    def __init__(self, address):
        super().__init__(BYSTANDER, address)

    def rest(self):
        """How many turns failed, and the seconds of each."""
        self.turns, failed, *times = map(int, self.line().split())
        return failed, [us / 1e6 for us in times]


class Times:
    """Of flushes or scrapes, in seconds."""

    def __init__(self, times):
        self.n = len(times)
        ordered = sorted(times) or [0.0]
        self.median = statistics.median(ordered)
        self.p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        self.most = ordered[-1]


class Notice:
    """What the bystanders saw in a while."""

    def __init__(self, flushes, scrapes, twin, wrong):
        self.flush, self.scrape, self.twin = map(Times, (flushes, scrapes, twin))
        self.wrong = wrong


class Beside:
    """The bystanders of one daemon."""

    def __init__(self, target, twin_address):
        self.target = target
        self.worker, self.twin = Worker(target.address), Worker(twin_address)
        self.scraper = Bystander(sys.executable, os.path.join(HERE, "scraper.py"),
            str(target.port))
        self.all = (self.worker, self.twin, self.scraper)
        self.go()
        time.sleep(IDLE_S / 3)
        self.rest()
        self.go()
        time.sleep(IDLE_S)
        self.idle = self.rest()
        self.descriptors, self.memory_mib = target.descriptors(), target.memory_mib()

    def go(self):
        self.began = time.monotonic()
        self.log_bytes = os.path.getsize(self.target.daemon.log_file)
        for one in self.all:
            one.say(b"go")

    def rest(self):
        """End their turns, and hear what they have noticed since go()."""
        time.sleep(max(0, self.began + LEAST_S - time.monotonic()))
        for one in self.all:
            one.say(b"rest")
        failed, flushes = self.worker.rest()
        _, twin = self.twin.rest()
        scraper = json.loads(self.scraper.line())
        wrong = [f"scrape: {text}" for text in scraper["wrong"]]
        if failed:
            wrong.append(f"flush: {failed} of {len(flushes)} failed")
        return Notice(flushes, scraper["times_s"], twin, wrong)

    # ---- The judgement

    def judge(self, one, notice):
        """Sentences against the daemon after an attack, while all rest."""
        target = self.target
        if target.daemon.process.poll() is not None:
            return [f"dead: the daemon ended with {target.daemon.process.returncode}"]
        wrong = [text for text in notice.wrong if not (one.removes and "went down: " in text)
            or any(mine in text for mine in MINE)]
        wrong += self.judge_times(notice)
        wrong += self.judge_page()
        wrong += self.judge_log(one)
        wrong += self.judge_what_it_holds(one)
        return wrong

    def judge_times(self, notice):
        """What the twin waited for as well is not the daemon's doing."""
        late = max(0, notice.twin.most - self.idle.flush.median)
        bound = 2 * self.idle.flush.median + FLUSH_MORE_S
        if notice.flush.most > bound + late:
            yield (f"late: a flush took {1000 * notice.flush.most:.1f} ms and may "
                f"{1000 * bound:.1f} ms; its twin, whom nobody attacks, was late by "
                f"{1000 * late:.1f} ms")
        if notice.scrape.most > SCRAPE_S:
            yield f"late: a scrape took {notice.scrape.most:.2f} s"

    def judge_page(self):
        try:
            answer = self.target.get()
            if answer.status != 200:
                return [f"page: answered {answer.status}"]
            text = answer.text
            page.parse(answer.body, self.target.daemon.naming, self.target.daemon.labels)
        except (OSError, page.PageError, UnicodeDecodeError) as error:
            return [f"page: {error}"]
        return list(self.judge_totals(text))

    def judge_totals(self, text):
        own, turns = '{namespace="bystander"', self.worker.turns
        values = dict(line.rpartition(" ")[::2] for line in text.split("\n")
            if line.startswith("dynamo_beside_"))
        for name, want in (("ones_total", 100 * turns), ("tenths_total", 0.1 * turns),
                ("turns_count", turns), ("turns_sum", 0.25 * turns), ("turn", turns)):
            value = [v for k, v in values.items() if k.startswith(f"dynamo_beside_{name}{own}")]
            if len(value) != 1 or abs(float(value[0]) - want) > 1e-9 * want:
                yield f"count: beside_{name} is {value} and should be {want!r}"

    def judge_log(self, one):
        with open(self.target.daemon.log_file, "rb") as file:
            file.seek(self.log_bytes)
            said = file.read()
        lines = said.count(b"\n")
        # What a second may have can come at its end, and again as the next one begins.
        most = one.log_lines * (1 + math.ceil(time.monotonic() - self.began))
        if lines > most or len(said) > most * LOG_LINE:
            yield f"log: {lines} lines, {len(said)} bytes, and may have {most}"

    def judge_what_it_holds(self, one):
        """Descriptors and memory come back to what they were, and the processor rests."""
        end, target = time.monotonic() + SETTLED_S, self.target
        while True:
            wrong = list(self.held(one))
            if not wrong:
                began, before = time.monotonic(), cpu_s(target.pid)
                time.sleep(WATCHED_S)
                share = (cpu_s(target.pid) - before) / (time.monotonic() - began)
                if share > BUSY:
                    wrong.append(f"busy: {share:.2f} of a processor, for nobody")
            if not wrong or time.monotonic() > end:
                return wrong
            time.sleep(0.02)

    def held(self, one):
        now, memory_mib = self.target.descriptors(), self.target.memory_mib()
        if now > self.descriptors:
            yield f"descriptors: {now}, and {self.descriptors} before"
        if memory_mib > self.memory_mib + one.memory_mib and not SANITIZED:
            yield f"memory: {memory_mib:.1f} MiB, and {self.memory_mib:.1f} MiB before"

    def end(self):
        for one in self.all:
            one.end()
