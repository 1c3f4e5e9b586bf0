# SPDX-License-Identifier: Apache-2.0
"""Daemons and workers for the end-to-end tests: real processes, each daemon in a folder of
its own with a socket and a port of its own. What a test starts ends with the test."""
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import page
from model import Model, canonical

BUILD = os.environ.get("DYNM_BUILD") or os.path.join(
    os.path.dirname(__file__), "..", "..", "build", "release")
BUILD = os.path.abspath(BUILD)
SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
DAEMON = os.path.join(BUILD, "dynamo-metricsd")
CTL = os.path.join(BUILD, "dynamo-metricsctl")
WORKER = os.path.join(BUILD, "tests", "system", "worker")
SANITIZED = os.path.basename(BUILD) in ("address,undefined", "thread")
DEADLINE_S = 20
CLOSE_MS = DEADLINE_S * 1000  # flush_ms of a worker whose last flush, as it closes, is looked for
OWN = ("dynamo_system_", "dynamo_metricsd_", "process_")


def wait_for(what, condition, deadline_s=DEADLINE_S):
    """Poll until condition() is true and return what it gave."""
    end = time.monotonic() + deadline_s
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline_s} s in vain for {what}")
        time.sleep(0.01)


def clean_environment(**more):
    env = {k: v for k, v in os.environ.items()
        if not k.startswith(("DYN_", "LC_", "NODE_")) and k not in ("LANG", "LOCPATH")}
    env.update({k: v for k, v in more.items() if v is not None})
    return env


class Response:
    def __init__(self, answer):
        self.status = answer.status
        self.headers = answer.headers
        self.body = answer.read()
        self.text = self.body.decode("utf-8")


def without_own(text):
    """The page without the daemon's metrics about itself."""
    lines = []
    for line in text.split("\n")[:-1]:
        name = line.split(" ")[2] if line.startswith("# ") else line
        if not name.startswith(OWN):
            lines.append(line + "\n")
    return "".join(lines)


class Daemon:
    """A running dynamo-metricsd. Its configuration, if any, is an object as in the file;
    extra environment by keyword. before: a command that runs it."""

    def __init__(self, folder=None, arguments=(), config=None, before=(), **environment):
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="dynm-")
        self.socket = os.path.join(self.folder, "ingest.ipc")
        self.address = "ipc://" + self.socket
        self.port_file = os.path.join(self.folder, "http.port")
        self.log_file = os.path.join(self.folder, "stderr")
        self.state = os.path.join(self.folder, "state")
        self.arguments = list(arguments)
        self.before = list(before)
        self.config = config or {}
        self.naming = self.config.get("naming", "seed")
        self.labels = tuple(self.config.get("labels", {}).items())
        if config:
            self.config_file = os.path.join(self.folder, "config.json")
            with open(self.config_file, "w", encoding="utf-8") as file:
                json.dump(config, file)
            self.arguments += ["--config", self.config_file]
        self.environment = clean_environment(**{
            "DYN_METRICSD_ADDRESS": self.address, "DYN_SYSTEM_PORT": "0",
            "DYN_METRICSD_STATE": self.state, **environment})
        self.process = None
        self.port = None

    def start(self):
        """Start it without waiting for it."""
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([*self.before, DAEMON, *self.arguments],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.folder)
        return self

    def ready(self, path="/health", status=200):
        """Wait until it answers so; at a Unix socket, until it is there."""
        host = self.environment.get("DYN_SYSTEM_HOST", "")

        def answers():
            if self.process.poll() is not None:
                raise AssertionError(
                    f"the daemon ended with {self.process.returncode}: {self.log()}")
            if host.startswith("unix:"):
                return os.path.exists(host.removeprefix("unix:"))
            try:
                with open(self.port_file, encoding="ascii") as file:
                    self.port = int(file.read())
                return self.get(path).status == status
            except (OSError, ValueError):
                return False

        wait_for("the daemon", answers)
        return self

    def log(self):
        with open(self.log_file, encoding="utf-8", errors="replace") as file:
            return file.read()

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)

    def get(self, path, method="GET", headers=None):
        connection = self.connection()
        try:
            connection.request(method, path, headers=headers or {})
            return Response(connection.getresponse())
        finally:
            connection.close()

    def page(self):
        """The text of /metrics, found to be as promised."""
        answer = self.get("/metrics")
        if answer.status != 200:
            raise AssertionError(f"/metrics answered {answer.status}: {answer.text}")
        page.check_content_type(answer.headers["Content-Type"])
        page.parse(answer.body, self.naming, self.labels)
        return answer.text

    def workers_page(self):
        """The same without the daemon's own metrics."""
        return without_own(self.page())

    def value(self, line_start):
        """The value of the one line that starts so, or None."""
        found = [line for line in self.page().split("\n") if line.startswith(line_start + " ")]
        return float(found[0].rsplit(" ", 1)[1]) if found else None

    def wait_ended(self, deadline_s=DEADLINE_S):
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the daemon did not stop: {self.log()}") from None

    def stop(self, how=signal.SIGTERM):
        """Ask it to stop, and find that it did so in order."""
        self.process.send_signal(how)
        status = self.wait_ended()
        if status != 0:
            raise AssertionError(f"the daemon stopped with {status}: {self.log()}")
        for path in (self.socket, self.port_file):
            if os.path.lexists(path):
                raise AssertionError(f"the daemon left {path}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def clean_up(self):
        if self.process and self.process.poll() is None:
            self.kill()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)


class WorkerError(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def escape(field):
    return str(field).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def unescape(field):
    out, at = [], 0
    while at < len(field):
        if field[at] == "\\":
            at += 1
            out.append({"n": "\n", "t": "\t"}.get(field[at], field[at]))
        else:
            out.append(field[at])
        at += 1
    return "".join(out)


class Worker:
    """A process that reports through the library, command by command (worker.c)."""

    def __init__(self, address, name=None, flush_ms=20, max_series=0,
            command=(WORKER,), **environment):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=clean_environment(DYN_METRICSD_ADDRESS=address, **environment))
        self.last_id = 0
        self.known = {}
        self.opened = (flush_ms, name or "", max_series)
        self.call("open", *self.opened)

    def tell(self, *fields):
        line = "\t".join(escape(f) for f in fields) + "\n"
        self.process.stdin.write(line.encode("utf-8", "surrogateescape"))
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the worker ended with {self.process.wait()}")
        fields = [unescape(f) for f in line.decode()[:-1].split("\t")]
        if fields[0] != "ok":
            raise WorkerError(fields[1], fields[-1])
        return fields[1] if len(fields) > 1 else ""

    def call(self, *fields):
        self.tell(*fields)
        return self.answer()

    def make(self, command, *fields):
        """The number of what a command makes; made once for the same fields."""
        key = (command,) + fields
        if key not in self.known:
            self.last_id += 1
            self.call(command, self.last_id, *fields)
            self.known[key] = self.last_id
        return self.known[key]

    def scope(self, level=(), constant=()):
        scope = self.make("level", *level)
        for name, value in constant:
            scope = self.make("label", scope, name, value)
        return scope

    def metric(self, kind, level, name, help="", constant=(), labels=(), merge="sum",
            bounds=None):
        """The number of a series. constant and labels: pairs of name and value."""
        scope = self.scope(level, constant)
        more = {"counter": (), "gauge": (merge,),
            "histogram": (" ".join(map(repr, bounds or ())),)}[kind]
        if not labels:
            return self.make(kind, scope, name, help, *more)
        vec = self.make(kind + "_vec", scope, name, help, *more, *(n for n, _ in labels))
        return self.make("with", vec, *(v for _, v in labels))

    def flush(self, timeout_ms=DEADLINE_S * 1000):
        self.call("flush", timeout_ms)

    def status(self):
        connected, series, refused, dropped, name = self.call("status").split(" ", 4)
        return {"connected": int(connected), "series": int(series), "refused": int(refused),
            "dropped": int(dropped), "worker": name}

    def log(self):
        """What the library has said since the last call."""
        return self.call("log")

    def close(self):
        """Close the runtime in order and end."""
        self.call("close")
        self.end()

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(DEADLINE_S)

    def kill(self):
        self.process.kill()
        self.end_quietly()

    def end_quietly(self):
        if self.process.poll() is None:
            self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except OSError:
                pass
        self.process.wait()


class Series:
    """A series of a worker and its part in the model: each update goes to both."""

    def __init__(self, worker, number, part):
        self.worker, self.number, self.part = worker, number, part

    def add(self, value=1.0):
        self.worker.call("add", self.number, repr(float(value)))
        self.part.add(value)
        return self

    def set(self, value):
        self.worker.call("set", self.number, repr(float(value)))
        self.part.set(value)
        return self

    def observe(self, *values):
        for value in values:
            self.worker.call("add", self.number, repr(float(value)))
            self.part.observe(value)
        return self

    def many(self, value, times, threads):
        """To be answered later, with worker.answer()."""
        self.worker.tell("many", self.number, repr(float(value)), times, threads)
        self.part.many(value, times * threads)
        return self


class Scene:
    """A daemon, its workers, and the model of what they report."""

    def __init__(self, test, daemon):
        self.test, self.daemon, self.workers = test, daemon, []
        self.model = Model(daemon.naming, daemon.labels)

    def worker(self, name=None, **options):
        worker = self.test.worker(self.daemon, name, **options)
        worker.name = name or f"unnamed {len(self.workers)}"
        self.workers.append(worker)
        return worker

    def series(self, worker, kind, level, name, help="", **shape):
        number = worker.metric(kind, level, name, help, **shape)
        return Series(worker, number,
            self.model.part(worker.name, kind, level, name, help, **shape))

    def gone(self, worker, how="close"):
        getattr(worker, how)()
        self.workers.remove(worker)
        self.model.gone(worker.name)

    def check(self, patience_s=0):
        """Flush, and find the page to be what the model says, now or within patience_s."""
        for worker in self.workers:
            worker.flush()
        wanted = canonical(self.model.text())
        end = time.monotonic() + patience_s
        while canonical(self.daemon.workers_page()) != wanted and time.monotonic() < end:
            time.sleep(0.01)
        self.test.assertEqual(canonical(self.daemon.workers_page()), wanted)
        return wanted


class SystemTest(unittest.TestCase):
    maxDiff = None
    config = None  # of every daemon that gets no other

    def daemon(self, folder=None, arguments=(), health=("/health", 200), config=None, before=(),
            **environment):
        daemon = Daemon(folder, arguments, config or self.config, before, **environment)
        self.addCleanup(daemon.clean_up)
        return daemon.start().ready(*health)

    def worker(self, daemon, name=None, **options):
        worker = Worker(daemon.address, name, **options)
        self.addCleanup(worker.end_quietly)
        return worker

    def scene(self, **environment):
        return Scene(self, self.daemon(**environment))

    def folder(self):
        folder = tempfile.mkdtemp(prefix="dynm-")
        self.addCleanup(shutil.rmtree, folder, True)
        return folder
