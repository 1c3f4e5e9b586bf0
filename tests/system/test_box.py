# SPDX-License-Identifier: Apache-2.0
"""tests/service/box: the machine that the tests of the service boot, and what it leaves."""
import glob
import os
import shutil
import signal
import subprocess
import unittest

from harness import SANITIZED, SOURCE, SystemTest, clean_environment, wait_for

BOX = os.path.join(SOURCE, "tests", "service", "box")
RUN = os.path.join(SOURCE, "tests", "service", "run")


class Box(SystemTest):
    @classmethod
    def setUpClass(cls):
        if SANITIZED:
            raise unittest.SkipTest("it has nothing to do with how the daemon is built")
        done = cls.box("true")
        if done.returncode:
            raise unittest.SkipTest(done.stderr.strip())

    @staticmethod
    def box(*arguments):
        return subprocess.run([BOX, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
            encoding="utf-8", check=False)

    def start(self, *arguments):
        process = subprocess.Popen([BOX, *arguments], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, encoding="utf-8")
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        return process

    def processes(self, number):
        """Whose command line has the name of a box, or who are in its cgroups."""
        found = []
        for path in glob.glob("/proc/[0-9]*"):
            for file in ("cmdline", "cgroup"):
                try:
                    with open(os.path.join(path, file), encoding="utf-8") as text:
                        if f"dynm-box-{number}" in text.read():
                            found.append(path)
                except OSError:
                    pass
        return found

    def left(self, number):
        wait_for("its processes to be gone", lambda: not self.processes(number))
        return glob.glob(f"/sys/fs/cgroup/dynm-box-{number}") + glob.glob(
            f"/sys/fs/cgroup/*/dynm-box-{number}")

    def test_is_a_machine_that_systemd_booted(self):
        done = self.box("sh", "-c", "cat /proc/1/comm; systemctl is-system-running; exit 7")
        self.assertEqual((done.stdout, done.stderr), ("systemd\nrunning\n", ""))
        self.assertEqual(done.returncode, 7)

    def test_writes_nowhere(self):
        folder = self.folder()
        path = f"/usr/dynm-box-{os.getpid()}"
        done = self.box("-b", f"{folder}:/srv/folder", "sh", "-c", f"touch {path} && ls {path} && "
            "touch /srv/folder/file")
        self.assertEqual(done.stdout, path + "\n")
        self.assertIn("Read-only file system", done.stderr)
        self.assertFalse(os.path.exists(path))

    def test_keeps_the_limits_that_units_have(self):
        """With cgroup v1 that takes some doing."""
        if not os.path.exists("/sys/fs/cgroup/pids") and "pids" not in open(
                "/sys/fs/cgroup/cgroup.subtree_control", encoding="ascii").read():
            self.skipTest("this kernel has no limits to give")
        done = self.box("systemd-run", "--quiet", "--wait", "--pipe", "--property=TasksMax=3",
            "sh", "-c", "sleep 9 & sleep 9 & sleep 9 & sleep 9")
        self.assertIn("Cannot fork", done.stderr)

    def test_leaves_nothing_when_it_ends(self):
        process = self.start("sh", "-c", "echo up; cat /proc/1/comm")
        self.assertEqual(process.communicate(timeout=60)[0], "up\nsystemd\n")
        self.assertEqual(self.left(process.pid), [])

    def test_leaves_nothing_when_it_is_told_to_end(self):
        for how in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process = self.start("sh", "-c", "echo up; exec sleep 1000")
            self.assertEqual(process.stdout.readline(), "up\n")
            self.assertGreater(len(self.processes(process.pid)), 3)
            process.send_signal(how)
            self.assertIn(process.wait(60), (130, 143))
            self.assertEqual(self.left(process.pid), [])

    def test_leaves_nothing_for_long_when_it_is_killed(self):
        process = self.start("sh", "-c", "echo up; exec sleep 1000")
        self.assertEqual(process.stdout.readline(), "up\n")
        process.kill()
        process.wait()
        wait_for("its processes to be gone", lambda: not self.processes(process.pid))
        self.box("true")
        self.assertEqual(self.left(process.pid), [])

    def test_is_not_alone_in_the_world(self):
        first = self.start("sh", "-c", "echo up; exec sleep 1000")
        self.assertEqual(first.stdout.readline(), "up\n")
        self.assertEqual(self.box("sh", "-c", "ps -C sleep; exit 0").stdout.count("sleep"), 0)
        first.terminate()
        first.wait(60)

    def test_is_missed_with_a_reason(self):
        folder = self.folder()
        for name in ("bash", "id", "python3", "sed"):
            os.symlink(shutil.which(name), os.path.join(folder, name))
        for required, status in ((None, 0), ("required", 1)):
            done = subprocess.run([RUN], stdin=subprocess.DEVNULL, capture_output=True,
                encoding="utf-8", check=False,
                env=clean_environment(PATH=folder, BOX=required))
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertRegex(done.stdout, "^skipped: box: there is no systemd-nspawn: .*\n$")
