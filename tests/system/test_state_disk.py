# SPDX-License-Identifier: Apache-2.0
"""What a daemon keeps whatever its folders and its disk do: with real file systems."""
import json
import os
import signal
import subprocess
import unittest

from harness import CTL, Daemon, wait_for
from state import TOTAL, State, names


class Folders(State):
    def test_two_daemons_have_no_folder_in_common(self):
        one = self.daemon()
        two = Daemon(DYN_METRICSD_STATE=one.state)
        self.addCleanup(two.clean_up)
        two.start()
        self.assertEqual(two.wait_ended(), 1)
        self.assertIn(f"another dynamo-metricsd has the folder {one.state}: stop it, or give "
            "this one another folder (DYN_METRICSD_STATE)\n", two.log())
        self.assertEqual(self.problems(one), [])

    def test_a_folder_that_cannot_be_made(self):
        daemon = self.daemon(DYN_METRICSD_STATE="/proc/no/such/folder")
        self.assertRegex(self.problems(daemon)[0], "^no snapshot in /proc/no/such/folder: ")
        self.send(daemon)
        # The journal alone holds it, as long as the runtime folder is there.
        self.restart(daemon, signal.SIGKILL)
        self.assertEqual(daemon.value(TOTAL), 1)

    def test_a_folder_that_is_made_later(self):
        folder = os.path.join(self.folder(), "a", "b")
        daemon = self.daemon(config={"state": {"snapshot_ms": 50}}, DYN_METRICSD_STATE=folder)
        self.send(daemon)
        self.assertEqual(len(self.problems(daemon)), 1)
        os.mkdir(os.path.dirname(folder))
        wait_for("it to be well", lambda: self.problems(daemon) == [])
        # The next one may be on its way.
        wait_for("the snapshot", lambda: names(folder) == ["snapshot"])
        self.restart(daemon, signal.SIGKILL)
        self.assertEqual(daemon.value(TOTAL), 1)

    def test_keys_that_are_read_again(self):
        daemon = self.daemon(config={"state": {"snapshot_ms": 86400000}})
        self.send(daemon)
        daemon.config["state"] = {"snapshot_ms": 20, "path": "/elsewhere"}
        with open(daemon.config_file, "w", encoding="utf-8") as file:
            json.dump(daemon.config, file)
        daemon.process.send_signal(signal.SIGHUP)
        wait_for("a snapshot", lambda: names(daemon.state) == ["snapshot"])
        self.assertIn("changed: state.snapshot_ms", daemon.log())


class Limits(State):
    def signals(self, daemon, field):
        with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as file:
            [line] = [line for line in file if line.startswith(field + ":")]
        mask = int(line.split()[1], 16)
        return {number for number in signal.Signals if mask >> (number - 1) & 1}

    def test_files_that_may_not_grow(self):
        daemon = self.daemon(before=("prlimit", "--fsize=16384"),
            config={"state": {"snapshot_ms": 50}})
        worker = self.counting(daemon)
        self.count(worker, 1)
        worker.flush()
        # At once: between two messages there may be a snapshot, and a new journal.
        self.send_many(daemon, "m", 800)
        wait_for("both problems", lambda: len(self.problems(daemon)) == 2)
        for problem in self.problems(daemon):
            self.assertIn("File too large", problem)
        self.assertEqual(daemon.value("dynamo_m799"), 1)
        self.count(worker, 1)
        worker.flush()
        self.assertEqual(daemon.value(TOTAL), 2)

    def send_many(self, daemon, name, n):
        subprocess.run([CTL, "--address", daemon.address, "send", json.dumps({"metrics": [
            {"name": f"{name}{i}", "type": "counter", "inc": 1} for i in range(n)]})],
            check=True, stdout=subprocess.DEVNULL)

    def test_signals_that_whoever_started_it_ignores(self):
        daemon = self.daemon(before=("env", "--ignore-signal=CHLD"))
        ignored = self.signals(daemon, "SigIgn")
        self.assertNotIn(signal.SIGCHLD, ignored)
        self.assertIn(signal.SIGXFSZ, ignored)


def may_mount():
    """Root in a namespace of its own may mount; a container may not let it."""
    return subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL,
        check=False).returncode == 0


@unittest.skipUnless(os.geteuid() == 0 and may_mount(), "only root may mount file systems")
class FileSystems(State):
    def mount(self, *options):
        folder = self.folder()
        done = subprocess.run(["mount", "-t", "tmpfs", *options, "none", folder],
            capture_output=True, check=False)
        if done.returncode != 0:
            self.skipTest(f"mount: {done.stderr.decode()}")
        self.addCleanup(subprocess.run, ["umount", "-l", folder], check=True)
        return folder

    def remount(self, folder, option):
        subprocess.run(["mount", "-o", "remount," + option, folder], check=True)

    def assert_serves(self, daemon, worker, counted):
        """Scrapes, flushes and messages go on as if nothing were."""
        self.count(worker, 1)
        worker.flush()
        self.assertEqual(daemon.value(TOTAL), counted)

    def fill(self, folder):
        path = os.path.join(folder, "full")
        with open(path, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        return path

    def test_a_full_runtime_folder(self):
        folder = self.mount("-o", "size=256k")
        state = self.folder()
        daemon = self.daemon(folder=folder, config={"state": {"snapshot_ms": 86400000}},
            DYN_METRICSD_STATE=state)
        worker = self.counting(daemon)
        self.assert_serves(daemon, worker, 1)
        full = self.fill(folder)
        counted = 1
        while not self.problems(daemon):
            counted += 1
            self.assert_serves(daemon, worker, counted)
        self.assertIn("the journal cannot be written", self.problems(daemon)[0])
        self.assertIn("No space left on device", self.problems(daemon)[0])
        self.assertEqual(daemon.value("dynamo_metricsd_degraded"), 1)
        self.assertEqual(daemon.value("dynamo_metricsd_journal_failures_total"), 1)
        os.unlink(full)
        self.assert_serves(daemon, worker, counted + 1)
        self.assertEqual(daemon.value("dynamo_metricsd_degraded"), 1)
        daemon.config["state"]["snapshot_ms"] = 50
        self.write_config(daemon)
        daemon.process.send_signal(signal.SIGHUP)
        wait_for("it to be well", lambda: self.problems(daemon) == [])
        self.assertEqual(daemon.value("dynamo_metricsd_degraded"), 0)
        self.assert_serves(daemon, worker, counted + 2)
        worker.kill()
        self.restart(daemon, signal.SIGKILL)
        self.assertEqual(daemon.value(TOTAL), counted + 2)
        daemon.stop()

    def write_config(self, daemon):
        with open(daemon.config_file, "w", encoding="utf-8") as file:
            json.dump(daemon.config, file)

    def test_a_full_disk_for_everything_heals_when_there_is_room(self):
        folder = self.mount("-o", "size=256k")
        daemon = self.daemon(folder=folder, config={"state": {"snapshot_ms": 50}})
        worker = self.counting(daemon)
        self.assert_serves(daemon, worker, 1)
        full = self.fill(folder)
        counted = 1
        while not daemon.value("dynamo_metricsd_degraded"):
            counted += 1
            self.assert_serves(daemon, worker, counted)
        for _ in range(20):
            counted += 1
            self.assert_serves(daemon, worker, counted)
        self.assertNotEqual(self.problems(daemon), [])
        os.unlink(full)
        wait_for("it to be well", lambda: self.problems(daemon) == []
            and daemon.value("dynamo_metricsd_degraded") == 0)
        self.assert_serves(daemon, worker, counted + 1)
        worker.kill()
        self.restart(daemon, signal.SIGKILL)
        self.assertEqual(daemon.value(TOTAL), counted + 1)
        # It said so, and not at every turn.
        self.assertLess(daemon.log().count("\n"), 200)
        daemon.stop()

    def test_a_state_folder_that_becomes_read_only(self):
        folder = self.mount()
        daemon = self.daemon(config={"state": {"snapshot_ms": 50}}, DYN_METRICSD_STATE=folder)
        worker = self.counting(daemon)
        self.assert_serves(daemon, worker, 1)
        wait_for("a snapshot", lambda: names(folder) == ["snapshot"])
        wait_for("no child", lambda: not names(folder, "tmp."))
        subprocess.run(["mount", "-o", "remount,ro", folder], check=False)
        wait_for("a problem", lambda: self.read_only(daemon, folder))
        self.assert_serves(daemon, worker, 2)
        self.assertEqual(daemon.value("dynamo_metricsd_degraded"), 0)
        worker.kill()
        # The journal has it all.
        self.restart(daemon, signal.SIGKILL)
        self.assertEqual(daemon.value(TOTAL), 2)
        self.remount(folder, "rw")
        wait_for("it to be well", lambda: self.problems(daemon) == [])
        daemon.stop()

    def read_only(self, daemon, folder):
        subprocess.run(["mount", "-o", "remount,ro", folder], check=False,
            stderr=subprocess.DEVNULL)
        return any("Read-only file system" in text for text in self.problems(daemon))

    def test_a_start_with_a_state_folder_that_is_read_only(self):
        folder = self.mount()
        daemon = self.daemon(DYN_METRICSD_STATE=os.path.join(folder, "state"))
        self.send(daemon)
        daemon.stop()
        self.remount(folder, "ro")
        self.start_again(daemon)
        self.assertEqual(daemon.value(TOTAL), 1)
        self.send(daemon)
        self.restart(daemon, signal.SIGKILL)
        self.assertEqual(daemon.value(TOTAL), 2)
        daemon.stop()
        self.assertIn("stopping without a last snapshot", daemon.log())
        self.start_again(daemon)
        self.assertEqual(daemon.value(TOTAL), 2)


if __name__ == "__main__":
    unittest.main()
