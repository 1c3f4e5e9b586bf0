# SPDX-License-Identifier: Apache-2.0
"""The processes that are killed: a daemon that is started again and again, and workers."""
import ctypes
import json
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time

from harness import BUILD, SANITIZED, Daemon, clean_environment, wait_for
from truth import FORK, LEAVE, Truth

WORKER = os.path.join(BUILD, "tests", "chaos", "worker")
PATIENCE_S = 120 if SANITIZED else 60
PR_SET_CHILD_SUBREAPER = 36
SANITIZER = re.compile(r".*(?:ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:).*")
TROUBLE = re.compile(r"^(?:error|warning): .*", re.M)
TORN = ": cut after"  # a record that was being written at the kill


def adopt_orphans():
    """Children of killed workers become ours: their numbers are not used again before we
    have seen that they are dead."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise SystemExit("chaos: this system has no subreapers")


def own_address(random):
    """A host and a port that nobody else has, and that nobody gets by chance."""
    host = f"127.{random.randint(1, 250)}.{random.randint(0, 250)}.{random.randint(1, 250)}"
    while True:
        port = random.randint(10000, 30000)
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
                return host, port
            except OSError:
                continue


class Ended(Exception):
    """There is nothing to go on with."""


class Reborn(Daemon):
    """A daemon that is killed and started again, with another snapshot rhythm each time."""

    def __init__(self, folder, random, wrong):
        self.host, port = own_address(random)
        super().__init__(folder, config={"ingest": {}}, DYN_SYSTEM_HOST=self.host,
            DYN_SYSTEM_PORT=str(port))
        self.port, self.random, self.wrong = port, random, wrong
        self.generation = self.kills = self.stops = self.pauses = 0

    def configure(self):
        pick = self.random.choice
        state = {"retain_s": 60, "snapshot_ms": pick((20, 50, 100, 300, 1000)),
            "journal_bytes": pick((4096, 65536, 1 << 20)),
            "fsync": pick(("never", "snapshot", "snapshot", "always"))}
        config = {"ingest": {"lease_ms": 400, "grace_ms": 100}, "state": state,
            "limits": {"series": 10000}}
        with open(self.config_file, "w", encoding="utf-8") as file:
            json.dump(config, file)

    def mark(self, what):
        """A line of ours in its log."""
        with open(self.log_file, "a", encoding="utf-8") as log:
            log.write(f"---- {time.monotonic():.3f} {what}\n")

    def begin(self):
        self.configure()
        self.generation += 1
        self.mark(f"start, the daemon's generation is {self.generation}")
        self.start()

    def pause(self, seconds):
        """Stopped, and continued."""
        self.look()
        self.generation += 1
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)
        self.generation += 1
        self.pauses += 1

    def look(self):
        """It does not end unless it is ended."""
        if self.process.poll() is not None:
            self.wrong(f"daemon: it ended by itself with {self.process.returncode}: "
                + self.log()[-2000:])
            raise Ended

    def end_by(self, how):
        self.look()
        self.generation += 1
        self.mark(how.name)
        if how == signal.SIGTERM:
            self.process.terminate()
            status = self.process.wait(PATIENCE_S)
            self.stops += 1
            began = self.log().rpartition("start, the daemon")[2]
            if status != 0 and (status != -how or "server:" in began):
                self.wrong(f"daemon: it stopped with {status}: {self.log()[-2000:]}")
        else:
            self.kill()
            self.kills += 1


class Process:
    """One that counts. It is ours, or the child of another that was or is ours."""

    def __init__(self, slot):
        self.slot, self.number, self.pid = slot, slot.number, slot.pid
        self.fd = os.pidfd_open(self.pid)
        self.stopped_until = None

    def signal(self, number):
        signal.pidfd_send_signal(self.fd, number)

    def is_dead(self, within_s=0):
        """True when no thread of it is left."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return bool(poll.poll(1000 * within_s))

    def forget(self):
        os.close(self.fd)
        try:
            os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            pass  # its parent lives, or it was not ours


class Workers:
    def __init__(self, folder, addresses, random, wrong):
        """A place for each address."""
        self.folder, self.addresses, self.random, self.wrong = folder, addresses, random, wrong
        self.truth = Truth(os.path.join(folder, "truth"))
        self.pipe = os.pipe()
        self.log_file = os.path.join(folder, "workers")
        self.log = open(self.log_file, "ab")
        self.alive, self.dead = {}, []  # by slot; the dead since the last settlement
        self.known = 0  # slots below are in alive or were dead
        self.pending = set()  # taken slots whose process has not shown itself yet
        self.started = []
        self.kills = self.stops = self.forks = self.leaves = 0
        self.ordered = 0

    def start(self, place):
        self.started = [p for p in self.started if p.poll() is None]
        self.started.append(subprocess.Popen(
            [WORKER, self.truth.path, str(place), str(self.pipe[0])],
            env=clean_environment(DYN_METRICSD_ADDRESS=self.addresses[place]),
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            pass_fds=[self.pipe[0]], process_group=0))

    def discover(self):
        """Take up those who have shown themselves, and put off those who are dead."""
        taken = self.truth.taken
        self.pending.update(range(self.known, taken))
        self.known = taken
        for number in list(self.pending):
            slot = self.truth.slot(number)
            if slot.pid:
                self.pending.discard(number)
                self.take_up(slot)
        for process in list(self.alive.values()):
            if process.is_dead():
                self.put_off(process)

    def take_up(self, slot):
        try:
            self.alive[slot.number] = Process(slot)
        except ProcessLookupError:
            self.wrong(f"worker: {slot.number} ended by itself")
            self.dead.append(slot)

    def put_off(self, process, expected=False):
        del self.alive[process.number]
        self.dead.append(process.slot)
        process.forget()
        asked = process.slot.asked
        if not expected and asked & 0xFF != LEAVE:
            self.wrong(f"worker: {process.number} ended by itself: {self.said()[-2000:]}")

    def said(self):
        with open(self.log_file, encoding="utf-8", errors="replace") as file:
            return file.read()

    # ---- What is done to one

    def kill(self, process):
        process.signal(signal.SIGKILL)
        if not process.is_dead(PATIENCE_S):
            self.wrong(f"worker: {process.number} does not die")
        self.kills += 1
        self.put_off(process, expected=True)

    def stop(self, process, seconds):
        process.signal(signal.SIGSTOP)
        process.stopped_until = time.monotonic() + seconds
        self.stops += 1

    def go_on(self, all_of_them=False):
        now = time.monotonic()
        for process in self.alive.values():
            if process.stopped_until and (all_of_them or process.stopped_until < now):
                process.stopped_until = None
                process.signal(signal.SIGCONT)

    def fork(self, process):
        process.slot.ask(FORK)
        self.forks += 1

    def leave(self, process):
        process.slot.ask(LEAVE)
        self.leaves += 1

    def free(self):
        """Those of whom something can be asked: not stopped, and done with the last."""
        return [p for p in self.alive.values()
            if not p.stopped_until and p.slot.asked == p.slot.answered]

    # ---- All of them

    def fill(self):
        """Start one at each place that has none."""
        self.discover()
        for place in self.empty():
            self.start(place)
        self.wait("the new workers", lambda: not self.empty())

    def empty(self):
        return set(range(len(self.addresses))) - {p.slot.place for p in self.alive.values()}

    def wait(self, what, condition):
        def now():
            self.discover()
            return condition()

        wait_for(what, now, PATIENCE_S)

    def strangers(self):
        """Workers that are our children and have not shown themselves yet."""
        known = {p.pid for p in self.alive.values()}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                    state, parent = file.read().rpartition(")")[2].split()[:2]
                if int(parent) != os.getpid() or int(pid) in known:
                    continue
                if state == "Z":
                    self.reap(int(pid))
                elif os.readlink(f"/proc/{pid}/exe") == WORKER:
                    return True
            except (OSError, ValueError):
                continue
        return False

    def reap(self, pid):
        """Orphans of the daemon and of workers; what we started ourselves is waited for."""
        if pid not in {p.pid for p in self.started}:
            os.waitpid(pid, os.WNOHANG)

    def rest(self):
        """All rest, all that they counted is acknowledged. The slots of the living."""
        self.go_on(True)
        self.wait("the last of what was asked", lambda: len(self.free()) == len(self.alive))
        self.wait("the last forked child", lambda: not self.strangers())
        self.fill()
        self.ordered += 1
        self.truth.order(self.ordered)
        self.wait("the workers' last flush", lambda: all(
            p.slot.obeyed == self.ordered for p in self.alive.values()))
        for process in self.alive.values():
            slot = process.slot
            if not slot.begun == slot.done == slot.acked or len(set(slot.child())) > 1:
                self.wrong(f"worker: {slot.number} does not rest: {slot.begun} {slot.acked}")
        return [p.slot for p in self.alive.values()]

    def run_on(self):
        self.dead = []
        self.ordered += 1
        self.truth.order(self.ordered)

    def clean_up(self):
        os.close(self.pipe[1])  # those whom we do not know leave by themselves
        for process in self.alive.values():
            process.signal(signal.SIGKILL)
        for process in self.started:
            process.kill()
            process.wait()
        self.log.close()
