# SPDX-License-Identifier: Apache-2.0
"""What happens to a daemon in its everyday life, a little faster: workers come and go, series
are defined and removed, somebody misbehaves, the configuration is read again."""
import itertools
import json
import os
import signal
import socket
import struct
import subprocess
import threading
import time

import harness
import judge
import programs
from crowd import NICE
from protocol_client import ProtocolClient
from scene import Scene, place

# What grows until it is full by intent is small, so that it is full after the warm-up: the
# dead that are remembered, the ids of JSON messages. And what is rare comes often.
CONFIG = {"ingest": {"lease_ms": 2000, "grace_ms": 200, "dedupe_ms": 4000, "dedupe_keys": 20000},
    "limits": {"folded": 200}, "log": {"level": "warning"},
    "state": {"snapshot_ms": 3000, "journal_bytes": 4 << 20}}
RELOAD_S = 7
STEADY, STEADY_SERIES = 40, 20  # workers that stay
LIBRARY, LIBRARY_SERIES = 4, 100
SENDERS, SENDS = 4, 10  # JSON, with ids and without; each so many messages a second
DEFINERS, BATCH, DEFINES = 2, 50, 4
COMING = 60  # workers that come, count and are gone: a batch
LOST_S = 0.05  # between two connections that are lost, of a process that lives: to be remembered
EVERY_S = {"live": 0.05, "scrape": 0.5, "flush": 0.1}
BELOW_S = 5  # between two samples, where there are more than a few minutes


class Round(threading.Thread):
    """Does one thing again and again, until it is told to end. What goes wrong is kept."""

    def __init__(self, every_s, act):
        super().__init__(daemon=True)
        self.every_s, self.act, self.over = every_s, act, threading.Event()
        self.times, self.wrong = 0, []

    def run(self):
        while not self.over.wait(self.every_s):
            try:
                self.act(self.times)
            except Exception as error:
                self.wrong.append(f"{type(error).__name__}: {error}")
                return
            self.times += 1

    def end(self):
        self.over.set()
        self.join()


# ---- Those who misbehave

def talk(address, data, *, read=0, reset=False, family=socket.AF_INET):
    """Say it, read a little of the answer, and go; with a reset, if it is to be rude."""
    with socket.socket(family) as s:
        s.settimeout(5)
        s.connect(address)
        try:
            s.sendall(data)
            if read:
                s.recv(read)
        except OSError:
            pass  # it has closed: that is an answer
        if reset:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


BAD_HTTP = (
    (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 100, True),  # goes in the middle of the page
    (b"GET /met", 0, False),
    (b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\n\r\n", 100, False),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 10, False),
    (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        100, False),
    (b"GET /metrics?name[]=%00%ff HTTP/1.1\r\nHost: x\r\n\r\n", 100, False),
    (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20, 100, True),
)
REQ = b"\0SP\0\0\x30\0\0"
BAD_INGEST = (b"\0" * 64, REQ[:5], REQ + b"\2" + bytes(8), REQ + b"\1" + b"\xff" * 8,
    REQ + b"\1" + struct.pack(">Q", 1000) + b"half of it", b"GET / HTTP/1.1\r\n\r\n",
    REQ + b"\1" + struct.pack(">Q", 8) + struct.pack(">I", 0x80000001) + b"{[1,")


class Soak:
    def __init__(self, scene):
        self.scene, self.samples, self.wrong = scene, [], []
        self.come = {"library": 0, "raw": 0}
        self.coming = self.lost = 0  # what those who came have counted

    # ---- Who is there

    def start(self):
        scene, daemon = self.scene, self.scene.daemon
        self.flood = scene.crowd("wire_flood", daemon.socket, 0, STEADY, STEADY_SERIES)
        self.load = scene.crowd("client_load", 0, LIBRARY, LIBRARY_SERIES)
        self.json = [scene.crowd("wire_json", daemon.socket, "req", 0, SENDERS),
            scene.crowd("wire_json", daemon.socket, "push", 1000, SENDERS, first=1000)]
        self.define = scene.crowd("wire_define", daemon.socket, 0, DEFINERS, BATCH)
        self.probes = {role: scene.probe(role, every_s) for role, every_s in EVERY_S.items()}
        for crowd, rate in ((self.flood, 5), (self.load, 5), (self.define, DEFINES),
                *((crowd, SENDS) for crowd in self.json),
                *((probe, 1) for probe in self.probes.values())):
            crowd.ready().rate(rate)
        self.rounds = [Round(0.2, self.come_and_go), Round(0.3, self.misbehave_http),
            Round(0.4, self.misbehave_ingest), Round(RELOAD_S, self.reload),
            Round(LOST_S, self.lose)]
        for one in self.rounds:
            one.start()

    def come_and_go(self, times):
        """Most are killed."""
        of_the_library = times % 4 == 0 and not harness.SANITIZED
        program = ("churn", COMING) if of_the_library else ("peer_churn",
            self.scene.daemon.socket, COMING)
        command = [os.path.join(harness.BUILD, "tests", "system", program[0]), *map(str, program[1:])]
        said = subprocess.run(["nice", "-n", str(NICE), *command], check=True,
            stdout=subprocess.PIPE, timeout=60, env=harness.clean_environment(
                DYN_METRICSD_ADDRESS=self.scene.daemon.address)).stdout
        self.coming += int(said.split()[1])
        self.come["library" if of_the_library else "raw"] += COMING

    def lose(self, times):
        """A worker is heard no more, and its process is there: its lease runs out, and it might
        come back."""
        client = ProtocolClient(self.scene.daemon.socket)
        client.update({client.counter("lost_total", ""): 1})
        client.socket.close()
        self.lost += 1

    def misbehave_http(self, times):
        data, read, reset = BAD_HTTP[times % len(BAD_HTTP)]
        talk(("127.0.0.1", self.scene.daemon.port), data, read=read, reset=reset)

    def misbehave_ingest(self, times):
        talk(self.scene.daemon.socket, BAD_INGEST[times % len(BAD_INGEST)],
            read=times % 2 and 100, family=socket.AF_UNIX)

    def reload(self, times):
        """One key changes each time."""
        config = dict(CONFIG, limits=dict(CONFIG["limits"], workers=10000 + times % 2))
        with open(self.scene.daemon.config_file, "w", encoding="utf-8") as file:
            json.dump(config, file)
        os.kill(self.scene.pid, signal.SIGHUP)

    # ---- Samples

    def turns(self, page):
        """How many turns of the loop were at most so long, by seconds."""
        start = 'dynamo_metricsd_loop_turn_seconds_bucket{le="'
        return {float(key[len(start):-2]): n for key, n in page.items() if key.startswith(start)}

    def begin_samples(self):
        self.began = time.monotonic()
        self.before = {role: probe.take().latency for role, probe in self.probes.items()}
        self.turns_before = self.turns(self.scene.page())

    def sample(self):
        """What it was since the last one."""
        page, look = self.scene.page(), self.scene.look()
        own, turns = self.scene.own(page), self.turns(page)
        sample = {"t": time.monotonic() - self.began, "memory": look["memory"] / judge.MIB,
            "descriptors": look["descriptors"], "series": own["series"],
            "remembered": own["remembered"], "journal": own["journal"] / judge.MIB,
            "turn": 1000 * quantile_of_turns(self.turns_before, turns)}
        for role, probe in self.probes.items():
            latency = probe.take().latency
            since = (latency - self.before[role]).figures()
            if since["n"]:
                sample[role], sample[role + " p99"] = 1000 * since["median"], 1000 * since["p99"]
            self.before[role] = latency
        self.turns_before = turns
        self.samples.append(sample)
        return sample

    def look_at_rounds(self):
        for one in self.rounds:
            self.wrong += one.wrong
            if one.wrong:
                raise AssertionError(one.wrong[0])

    # ---- The end

    def settle(self):
        scene = self.scene
        for one in self.rounds:
            one.end()
            self.wrong += one.wrong
        told = self.flood.settle()
        for i, n in enumerate(told.counts):
            scene.add(place("flood_all_total"), n)
            for series in range(STEADY_SERIES):
                scene.add(place("flood_own_total", worker=i, series=series), n)
        for i, n in enumerate(self.load.settle().done):
            scene.add(place("load_all_total"), n)
            for series in range(LIBRARY_SERIES):
                scene.add(place("load_own_total", worker=i, series=series), n)
        for crowd in self.json:
            scene.add_all(crowd.settle(), crowd.first, "json_total", "sender")
        scene.add_all(self.define.settle(), 0, "define_rounds_total", "peer")
        for role, probe in self.probes.items():
            self.wrong += [f"{role}: {text}" for text in probe.settle().wrong]
        scene.add(place("probe_total"), sum(self.probes["flush"].last.done))
        scene.add("dynamo_lost_total", self.lost)
        scene.add("dynamo_churn_total", self.coming)
        scene.add("dynamo_churn_seconds_count", sum(self.come.values()))

    def check(self, at_rest):
        scene = self.scene
        scene.wait("the totals", lambda: not any(judge.totals(scene.wanted, scene.page())), 20)
        self.wrong += list(judge.totals(scene.wanted, scene.page()))[:20]
        scene.end([self.flood, self.load, *self.json, self.define, *self.probes.values()])
        scene.wait("the workers to leave", lambda: scene.own()["workers"] == 0, 20)
        own = scene.own()
        if own["workers"]:
            self.wrong.append(f"at the end {own['workers']:g} workers are alive, and all have left")
        scene.wait("the connections to close",
            lambda: scene.look()["descriptors"] <= at_rest["descriptors"], 20)
        end = {**own, **scene.look()}
        if end["descriptors"] > at_rest["descriptors"]:
            self.wrong.append(f"at the end {end['descriptors']} descriptors are open, and "
                f"{at_rest['descriptors']} were at the start: "
                f"{sorted(programs.descriptors(scene.pid).values())[:20]}")
        if end["remembered"] > CONFIG["limits"]["folded"]:
            self.wrong.append(f"{end['remembered']:g} sessions are remembered")
        return end


def quantile_of_turns(before, after, q=0.99):
    """In seconds, within its bucket as if they were spread evenly there."""
    counts = [(le, after[le] - before.get(le, 0)) for le in sorted(after)]
    wanted, low, below = q * counts[-1][1], 0.0, 0
    for le, n in counts:
        if n >= wanted:
            part = (wanted - below) / (n - below) if n > below else 1
            return low + part * ((le if le != float("inf") else low) - low)
        low, below = le, n
    return low


def soak(warm_s, seconds, every_s, say):
    """Live for warm_s, and then take samples for so many seconds."""
    with Scene(CONFIG) as scene:
        one = Soak(scene)
        at_rest = scene.look()
        one.start()
        end = time.monotonic() + warm_s
        while time.monotonic() < end:
            one.look_at_rounds()
            time.sleep(0.1)
        one.begin_samples()
        for n in itertools.count(1):
            time.sleep(max(0, one.began + n * every_s - time.monotonic()))
            one.look_at_rounds()
            say(one.sample())
            if n * every_s >= seconds:
                break
        one.settle()
        end = one.check(at_rest)
        end.update(seconds=seconds, come={**one.come, "lost": one.lost},
            misbehaved=sum(r.times for r in one.rounds[1:3]), reloads=one.rounds[3].times,
            messages=end["messages"], totals=len(scene.wanted), log=scene.daemon.log().count("\n"))
        return one, end
