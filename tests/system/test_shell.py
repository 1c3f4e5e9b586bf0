# SPDX-License-Identifier: Apache-2.0
"""Without systemd: from a shell, with whatever the shell has left of the standard streams."""
import fcntl
import os
import pty
import signal
import subprocess

from harness import DAEMON, Daemon, SystemTest, wait_for
from namespaces import runs
from programs import is_alive, kill

# ioctl(): the terminal of this process.
TIOCSCTTY = 0x540E


def what_came(reader):
    """All that can be read without waiting; a terminal that nobody has open ends with an error."""
    os.set_blocking(reader, False)
    text = b""
    try:
        while data := os.read(reader, 65536):
            text += data
    except OSError:
        pass
    return text.decode()


class Streams(Daemon):
    """A daemon with a standard error of its own."""

    def __init__(self, stderr, before=(), **options):
        super().__init__(before=before, **options)
        self.stderr = stderr

    def start(self):
        self.process = subprocess.Popen([*self.before, DAEMON], env=self.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.stderr,
            cwd=self.folder)
        return self

    def log(self):
        return "(its standard error is not the log)"


class StandardError(SystemTest):
    def streams(self, stderr, **options):
        daemon = Streams(stderr, **options)
        self.addCleanup(daemon.clean_up)
        return daemon.start()

    def pipe(self):
        reader, writer = os.pipe()
        self.addCleanup(self.close, reader)
        self.addCleanup(self.close, writer)
        return reader, writer

    @staticmethod
    def close(descriptor):
        try:
            os.close(descriptor)
        except OSError:
            pass

    def fill(self, writer):
        """Until not another byte has room. Others keep waiting where they would have waited."""
        own = os.open(f"/proc/self/fd/{writer}", os.O_WRONLY | os.O_NONBLOCK)
        try:
            while True:
                os.write(own, b"x" * 4096)
        except BlockingIOError:
            pass
        finally:
            os.close(own)

    def check_works(self, daemon):
        worker = self.worker(daemon)
        worker.call("add", worker.metric("counter", (), "total"), 5)
        worker.flush()
        self.assertEqual(daemon.value("dynamo_total"), 5)

    def test_that_nobody_reads_stops_nothing_and_the_lines_that_are_lost_are_counted(self):
        reader, writer = self.pipe()
        self.fill(writer)
        daemon = self.streams(writer).ready()
        self.check_works(daemon)
        what_came(reader)
        daemon.process.send_signal(signal.SIGHUP)
        text = []

        def told():
            text.append(what_came(reader))
            return "configuration read again" in "".join(text)

        wait_for("the log to go on", told)
        self.assertRegex("".join(text),
            r"\Awarning: log: lines lost, as standard error was not read: \d+\n")
        self.fill(writer)
        daemon.stop()

    def test_whose_reader_is_gone_stops_nothing(self):
        reader, writer = self.pipe()
        os.close(reader)
        daemon = self.streams(writer).ready()
        self.check_works(daemon)
        daemon.stop()

    def test_that_is_closed_is_no_socket_of_the_daemon(self):
        daemon = self.streams(subprocess.DEVNULL,
            before=("sh", "-c", 'exec "$@" <&- >&- 2>&-', "-")).ready()
        self.check_works(daemon)
        for number in (0, 1, 2):
            self.assertEqual(os.readlink(f"/proc/{daemon.process.pid}/fd/{number}"), "/dev/null")
        daemon.stop()


class Terminal(SystemTest):
    """A daemon that a person has started, and the keys that end it."""

    def start(self, command):
        """A shell on a terminal of its own, which runs a command."""
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        daemon = Daemon()
        self.addCleanup(daemon.clean_up)

        def take_terminal():
            os.setsid()
            fcntl.ioctl(0, TIOCSCTTY, 0)

        daemon.process = subprocess.Popen(["bash", "--norc", "-ic", command, "-", DAEMON],
            env={**daemon.environment, "HISTFILE": ""}, stdin=slave, stdout=slave, stderr=slave,
            cwd=daemon.folder, preexec_fn=take_terminal)
        os.close(slave)
        return daemon, master

    def pid(self, daemon):
        """Of the daemon, which has its lock."""
        wait_for("the daemon", lambda: os.path.exists(daemon.port_file))
        with open(os.path.join(daemon.folder, "pid"), encoding="ascii") as file:
            return int(file.read())

    def test_ctrl_c_stops_it_in_order(self):
        daemon, terminal = self.start('sh -c \'echo $$ >pid; exec "$@"\' - "$@"; echo $? >status')
        pid = runs(self.pid(daemon), DAEMON)
        daemon.ready()
        os.write(terminal, b"\x03")
        wait_for("its end", lambda: not is_alive(pid))
        self.assertFalse(os.path.exists(daemon.socket))
        self.assertIn("server: stopped", what_came(terminal))

    def test_it_outlives_the_terminal_with_nohup_and_stops_when_it_is_told(self):
        daemon, terminal = self.start('nohup sh -c \'echo $$ >pid; exec "$@"\' - "$@" '
            ">nohup.out 2>&1 & wait")
        pid = runs(self.pid(daemon), DAEMON)
        self.addCleanup(kill, pid)
        daemon.ready()
        daemon.process.send_signal(signal.SIGHUP)
        os.kill(pid, signal.SIGHUP)
        daemon.process.wait(20)
        wait_for("a reload", lambda: daemon.value(
            'dynamo_metricsd_config_reloads_total{result="ok"}') >= 1)
        os.kill(pid, signal.SIGTERM)
        wait_for("its end", lambda: not is_alive(pid))
        self.assertFalse(os.path.exists(daemon.socket))


class Background(SystemTest):
    def test_of_a_script_it_stops_at_sigint_too(self):
        """Such a shell has its background jobs ignore it."""
        daemon = Daemon(before=("sh", "-c", '"$@" & echo $! >pid; wait', "-"))
        self.addCleanup(daemon.clean_up)
        daemon.start().ready()
        with open(os.path.join(daemon.folder, "pid"), encoding="ascii") as file:
            os.kill(int(file.read()), signal.SIGINT)
        self.assertEqual(daemon.wait_ended(), 0, daemon.log())
        self.assertIn("server: stopped", daemon.log())
