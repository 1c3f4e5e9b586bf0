# SPDX-License-Identifier: Apache-2.0
"""Other supervisors than systemd run the daemon as deploy/supervise says. Each does so on a
machine that is this one with everything written to memory, and gone with the test."""
import os
import shutil
import signal
import subprocess
import unittest

import containers
from harness import DAEMON, SOURCE, Daemon, SystemTest, clean_environment, wait_for
from namespaces import only_child

PREPARE = """
rm -rf var/lib/dynamo-metricsd etc/dynamo-metricsd.json
sed -i '/^dynamo-metrics:/d' etc/passwd etc/group
echo 'dynamo-metrics:x:64646:64646::/nonexistent:/usr/sbin/nologin' >>etc/passwd
echo 'dynamo-metrics:x:64646:' >>etc/group
echo 'DYN_SYSTEM_PORT=0' >etc/default/dynamo-metricsd
"""
RUN = os.path.join(SOURCE, "deploy", "supervise", "run")
CONF = os.path.join(SOURCE, "deploy", "supervise", "supervisord.conf")
SOCKET = "/run/dynamo-metricsd/ingest.ipc"


class Supervised(Daemon):
    """A daemon that a supervisor runs, which is process 1 of the machine."""

    def __init__(self, folder, supervisor, copies):
        super().__init__(folder)
        self.supervisor, self.log_file = supervisor, os.path.join(folder, "log")
        room = os.path.join(folder, "room")
        os.mkdir(room)
        self.before = containers.machine(room, memory=("/run", "/tmp"), prepare=PREPARE,
            copies={RUN: "/etc/dynamo-metricsd.run", DAEMON: "/usr/sbin/dynamo-metricsd", **copies})

    def start(self):
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([*self.before, *self.supervisor], stdout=log,
                stderr=log, stdin=subprocess.DEVNULL, env=clean_environment(), cwd="/")
        self.init = only_child(self.process.pid)
        return self

    def inside(self, path):
        return f"/proc/{self.init}/root{path}"

    def find(self):
        """Its number and its port, when it is up."""
        self.port_file = self.inside("/run/dynamo-metricsd/http.port")
        self.address = "ipc://" + self.inside(SOCKET)
        self.ready()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                program = os.readlink(f"/proc/{pid}/exe")
                with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                    parent = int(file.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            if os.path.basename(program) == "dynamo-metricsd" and parent == self.init:
                return int(pid)
        raise AssertionError("no process of the supervisor's is the daemon")

    def kill(self):
        containers.end_all(self.process)

    def command(self, *what):
        subprocess.run(["nsenter", f"--target={self.init}", "--pid", "--mount", "--root", "--",
            *what], check=True, env=clean_environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL)


def need(program):
    containers.need()
    if not shutil.which(program):
        raise unittest.SkipTest(f"{program} is not installed")


class Supervisors(SystemTest):
    def supervised(self, *supervisor, copies=None):
        need(supervisor[0])
        daemon = Supervised(self.folder(), supervisor, copies or {})
        self.addCleanup(daemon.clean_up)
        return daemon.start()

    def check(self, daemon, reload, stop):
        """It runs, comes back, reloads, and stops when the supervisor is told so."""
        pid = daemon.find()
        self.assertEqual(os.stat(f"/proc/{pid}").st_uid, 64646)
        made = os.stat(daemon.inside(SOCKET))
        self.assertEqual((made.st_uid, made.st_gid, made.st_mode & 0o777),
            (64646, 64646, 0o660))
        worker = self.worker(daemon)
        number = worker.metric("counter", (), "total")
        worker.call("add", number, 5)
        worker.flush()
        os.unlink(daemon.port_file)
        os.kill(pid, signal.SIGKILL)
        wait_for("another daemon", lambda: os.path.exists(daemon.port_file))
        self.assertNotEqual(daemon.find(), pid)
        worker.call("add", number, 1)
        worker.flush()
        self.assertEqual(daemon.value("dynamo_total"), 6)
        daemon.command(*reload)
        wait_for("a reload", lambda: daemon.value(
            'dynamo_metricsd_config_reloads_total{result="ok"}') == 1)
        pid = daemon.find()
        daemon.command(*stop)
        wait_for("its end", lambda: not os.path.exists(f"/proc/{pid}"))
        self.assertFalse(os.path.exists(daemon.inside(SOCKET)))
        self.assertTrue(os.path.exists(daemon.inside("/var/lib/dynamo-metricsd/snapshot")))

    def test_runit(self):
        service = "/etc/sv/dynamo-metricsd"
        self.check(self.supervised("runsv", service, copies={RUN: service + "/run"}),
            ("sv", "hup", service), ("sv", "down", service))

    def test_s6(self):
        service = "/etc/s6/dynamo-metricsd"
        self.check(self.supervised("s6-supervise", service, copies={RUN: service + "/run"}),
            ("s6-svc", "-h", service), ("s6-svc", "-d", service))

    def test_supervisord(self):
        control = ("supervisorctl", "-c", "/etc/supervisor/supervisord.conf")
        self.check(self.supervised("supervisord", "-n", *control[1:],
            copies={CONF: "/etc/supervisor/conf.d/dynamo-metricsd.conf"}),
            (*control, "signal", "HUP", "dynamo-metricsd"), (*control, "stop", "dynamo-metricsd"))
