# SPDX-License-Identifier: Apache-2.0
"""The service as an administrator has it, for tests that run as root in a box: units, their
properties, the journal, users. A test begins with nothing running, no state, the configuration
and the units as installed; what it changes is undone, also when it fails."""
import glob
import http.client
import json
import os
import pwd
import shutil
import socket
import subprocess
import time
import unittest

from harness import BUILD, DEADLINE_S, WORKER, Worker, wait_for

SERVICE = "dynamo-metricsd.service"
INGEST = "dynamo-metricsd.socket"
HTTP = "dynamo-metricsd-http.socket"
SOCKETS = (INGEST, HTTP)
OURS = "dynamo-metricsd*"
DAEMON = "/usr/sbin/dynamo-metricsd"
CTL = "/usr/bin/dynamo-metricsctl"
RUNTIME = "/run/dynamo-metricsd"
ADDRESS = f"ipc://{RUNTIME}/ingest.ipc"
STATE = "/var/lib/dynamo-metricsd"
CONFIG = "/etc/dynamo-metricsd.json"
DEFAULTS = "/etc/default/dynamo-metricsd"
INSTALLED = "/srv/installed"  # with PREFIX=/usr
LOCAL = "/srv/local"  # with the usual one
PORT = 8081


def run(*command, check=True, **options):
    """The finished process; what it printed is text."""
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace",
        stdin=subprocess.DEVNULL, check=False, **options)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: exit status {done.returncode}\n"
            f"{done.stdout}{done.stderr}")
    return done


def systemctl(*arguments, check=True):
    return run("systemctl", *arguments, check=check)


def show(unit, *names):
    """Properties of a unit, as texts: one if one is asked for, else a dictionary."""
    done = systemctl("show", unit, *(f"--property={name}" for name in names))
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return found[names[0]] if len(names) == 1 else found


def main_pid(unit=SERVICE):
    return int(show(unit, "MainPID"))


def kill(how, unit=SERVICE):
    """A signal for the main process. By its unit: the number could be 0 by now, which is us."""
    systemctl("kill", "--kill-whom=main", f"--signal={how}", unit)


def wait_state(unit, state, deadline_s=DEADLINE_S):
    """Until ActiveState is so."""
    wait_for(f"{unit} to be {state}", lambda: show(unit, "ActiveState") == state, deadline_s)


def wait_property(unit, name, value, deadline_s=DEADLINE_S):
    shown = [None]

    def is_it():
        shown[0] = show(unit, name)
        return shown[0] == value

    try:
        wait_for(f"{name}={value} of {unit}", is_it, deadline_s)
    except AssertionError as error:
        raise AssertionError(f"{error}: it is {shown[0]}") from None


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=DEADLINE_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect(self.path)


def get(path="/metrics", port=PORT):
    """Status and text. port: a number, or the path of a Unix socket."""
    connection = UnixConnection(port) if isinstance(port, str) else http.client.HTTPConnection(
        "127.0.0.1", port, timeout=DEADLINE_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8")
    finally:
        connection.close()


def value(series, port=PORT):
    """Of one line of the page, or None."""
    found = [line for line in get("/metrics", port)[1].splitlines()
        if line.startswith(series + " ")]
    return float(found[0].rsplit(" ", 1)[1]) if found else None


def send(name, inc=1, user=None, address=ADDRESS, **more):
    """Count once, by the tool, as somebody; the finished process."""
    message = json.dumps({"metrics": [{"name": name, "type": "counter", "inc": inc}], **more})
    prefix = ["runuser", "-u", user, "--"] if user else []
    return run(*prefix, "env", f"DYN_METRICSD_ADDRESS={address}", CTL, "send", message,
        check=False)


def files_of(tree):
    """What a folder would install: their paths, where they are to be."""
    return [os.path.join(folder, name).removeprefix(tree)
        for folder, _, names in os.walk(tree) for name in names]


def add_user(name, *groups):
    """A user of that name and in these groups, which are made if they are not there."""
    for group in (name, *groups):
        run("groupadd", "--force", group)
    try:
        pwd.getpwnam(name)
    except KeyError:
        run("useradd", "--system", "--no-create-home", "--shell", "/bin/sh", "--gid", name, name)
    run("usermod", "--groups", ",".join(groups), name)
    return pwd.getpwnam(name).pw_uid


def mode(path):
    """Permissions, owner and group, as in `0750 dynamo-metrics dynamo-metrics`."""
    return run("stat", "--format=%04a %U %G", path).stdout.strip()


class Journal:
    """What was written to it since this was made."""

    def __init__(self):
        self.cursor = run("journalctl", "--quiet", "--lines=0", "--show-cursor").stdout.strip()
        self.cursor = self.cursor.removeprefix("-- cursor: ")

    def entries(self, *units, **fields):
        """Dictionaries, as the journal has them."""
        run("journalctl", "--sync")
        which = [f"--unit={unit}" for unit in units or (OURS,)]
        since = [f"--after-cursor={self.cursor}"] if self.cursor else []
        done = run("journalctl", "--quiet", "--output=json", *which, *since,
            *(f"{name}={wanted}" for name, wanted in fields.items()))
        return [json.loads(line) for line in done.stdout.splitlines()]

    def lines(self, *units, **fields):
        return [str(entry.get("MESSAGE")) for entry in self.entries(*units, **fields)]

    def has(self, text, *units, **fields):
        return any(text in line for line in self.lines(*units, **fields))

    def wait(self, text, *units, **fields):
        """Until a line has the text; that line. It may take journald a moment."""
        wait_for(f"the journal to say {text!r}", lambda: self.has(text, *units, **fields))
        return next(line for line in self.lines(*units, **fields) if text in line)


class ServiceTest(unittest.TestCase):
    maxDiff = None

    def run(self, result=None):
        """With the journal of a test that fails."""
        bad = len(result.failures) + len(result.errors) if result else 0
        self.journal = Journal()
        super().run(result)
        if result and len(result.failures) + len(result.errors) > bad:
            print(f"---- the journal of {self.id()}")
            print(run("journalctl", "--quiet", "--no-hostname", "--output=short-monotonic",
                f"--after-cursor={self.journal.cursor}", check=False).stdout)

    def setUp(self):
        fresh()
        self.addCleanup(fresh)

    # ---- Running it ------------------------------------------------------------------------

    def start(self, *units):
        """The units, by default the service with both sockets."""
        systemctl("start", *(units or (*SOCKETS, SERVICE)))

    def started_alone(self):
        self.start(SERVICE)

    def configure(self, **sections):
        with open(CONFIG, "w", encoding="utf-8") as file:
            json.dump(sections, file)

    def environment(self, file=DEFAULTS, **variables):
        """As the administrator's file has it."""
        with open(file, "w", encoding="utf-8") as out:
            out.writelines(f"{name}={text}\n" for name, text in variables.items())

    def drop_in(self, text, unit=SERVICE, name="test.conf"):
        """Lines that are added to a unit."""
        folder = f"/run/systemd/system/{unit}.d"
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
        systemctl("daemon-reload")

    def add_example(self, name, unit=SERVICE):
        """One of the drop-ins that are installed as examples."""
        with open(f"/usr/share/doc/dynamo-metricsd/{name}", encoding="utf-8") as file:
            self.drop_in(file.read(), unit, name)

    def worker(self, address=ADDRESS, user=None, **options):
        """A process that reports through the library."""
        command = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"] if user else []
        worker = Worker(address, command=[*command, WORKER], **options)
        self.addCleanup(worker.end_quietly)
        return worker

    def wait_value(self, series, wanted, port=PORT):
        wait_for(f"{series} {wanted}", lambda: value(series, port) == wanted)


def fresh():
    """Nothing runs, nothing is kept, all is as installed."""
    units = [line.split()[0] for line in systemctl("list-units", "--all", "--plain",
        "--no-legend", OURS).stdout.splitlines()]
    sockets = [unit for unit in units if unit.endswith(".socket")]
    systemctl("stop", *sockets, check=False) if sockets else None
    services = [unit for unit in units if unit.endswith(".service")]
    for unit in services:
        # One that is held by SIGSTOP would take its time.
        systemctl("kill", "--signal=CONT", unit, check=False)
    systemctl("stop", *services, check=False) if services else None
    systemctl("reset-failed", OURS, check=False)
    for pattern in ("/run/systemd/system/dynamo-metricsd*.d",
            "/etc/systemd/system/dynamo-metricsd*", "/etc/systemd/system/*/dynamo-metricsd*",
            "/run/dynamo-metricsd*", "/var/lib/dynamo-metricsd*", "/etc/dynamo-metricsd*",
            "/etc/default/dynamo-metricsd*"):
        for path in glob.glob(pattern):
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    for path in (CONFIG, DEFAULTS):
        if os.path.exists(INSTALLED + path):
            shutil.copy(INSTALLED + path, path)
    run("systemd-tmpfiles", "--create", "dynamo-metrics.conf")
    systemctl("daemon-reload")
