# SPDX-License-Identifier: Apache-2.0
"""What docs/security.md says of limits and files is so, on a real daemon."""
import json
import os
import re
import shutil
import stat
import subprocess

from harness import CTL, SOURCE, SystemTest, wait_for
from test_activation import Activated

PAGE = os.path.join(SOURCE, "docs", "security.md")
CONFIGURATION = os.path.join(SOURCE, "conf", "dynamo-metricsd.json")
NO_LIMITS = {"http.port"}


def page():
    with open(PAGE, encoding="utf-8") as file:
        return file.read()


def rows():
    """limit, key, default, beyond it, counted by"""
    table = re.search(r"<!-- limits: .*?-->\n(.*?)<!-- end of limits -->", page(), re.S).group(1)
    return [[cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()[2:]]


def defaults():
    """Each key that is a number, and its default."""
    with open(CONFIGURATION, encoding="utf-8") as file:
        sections = json.load(file)
    return {f"{name}.{key}": value for name, section in sections.items()
        if isinstance(section, dict) for key, value in section.items()
        if type(value) is int and f"{name}.{key}" not in NO_LIMITS}


class Limits(SystemTest):
    def test_each_number_of_the_configuration_is_in_the_table_with_its_default(self):
        told = {key.strip("`"): default for _, key, default, _, _ in rows()
            if key.startswith("`")}
        self.assertEqual({key: str(value) for key, value in defaults().items()}, told)

    def test_what_counts_them_is_on_a_page_from_the_start(self):
        daemon = self.daemon()
        self.send_one(daemon)
        daemon.stop()  # writes a snapshot: the page tells how old it is
        daemon.start().ready()
        lines = daemon.page()
        counted = [name for row in rows() for name in re.findall(r"`([^`]+)`", row[4])]
        self.assertGreater(len(counted), 30)
        for name in counted:
            self.assertTrue(f"\ndynamo_metricsd_{name} " in lines, name)

    def send_one(self, daemon):
        subprocess.run([CTL, "--address", daemon.address, "send",
            '{"metrics":[{"name":"jobs_total","type":"counter","inc":1}]}'], check=True,
            stdout=subprocess.DEVNULL)


class TheSocket(SystemTest):
    """Its file, when somebody takes it away."""

    def problems(self, daemon):
        return json.loads(daemon.get("/health").text)["problems"]

    def counts_again(self, daemon):
        worker = self.worker(daemon)
        worker.call("add", worker.metric("counter", (), "again_total"), 1)
        worker.flush()
        worker.close()

    def test_is_made_again_when_it_was_removed(self):
        daemon = self.daemon()
        before = self.worker(daemon)
        count = before.metric("counter", (), "before_total")
        for path in (daemon.socket, daemon.socket, daemon.socket + ".lock"):
            os.unlink(path)
            wait_for("its socket", lambda: self.problems(daemon) == []
                and os.path.exists(daemon.socket))
            self.counts_again(daemon)
            before.call("add", count, 1)
            before.flush()
        self.assertEqual(daemon.value("dynamo_again_total"), 3)
        self.assertEqual(daemon.value("dynamo_before_total"), 3)
        self.assertEqual(stat.S_IMODE(os.lstat(daemon.socket).st_mode), 0o660)
        self.assertIn("was removed: it is made again", daemon.log())
        daemon.stop()

    def test_is_made_again_though_nothing_happens(self):
        daemon = self.daemon()
        os.unlink(daemon.socket)
        wait_for("its socket", lambda: os.path.exists(daemon.socket))
        self.counts_again(daemon)
        daemon.stop()

    def test_that_cannot_be_made_again_is_a_problem_until_it_can(self):
        daemon = self.daemon()
        os.unlink(daemon.socket)
        os.mkdir(daemon.socket)
        [problem] = wait_for("a problem", lambda: self.problems(daemon))
        self.assertIn("no worker can connect", problem)
        self.assertIn("is not a socket", problem)
        os.rmdir(daemon.socket)
        wait_for("its socket", lambda: not self.problems(daemon))
        self.counts_again(daemon)
        daemon.stop()

    def test_of_a_folder_that_is_another_now_is_made_there(self):
        folder = os.path.join(self.folder(), "run")
        os.mkdir(folder)
        daemon = self.daemon(folder=folder)
        moved = daemon.folder + ".moved"
        os.rename(daemon.folder, moved)
        self.addCleanup(shutil.rmtree, moved, True)
        [problem] = wait_for("a problem", lambda: self.problems(daemon))
        self.assertIn("No such file or directory", problem)
        os.mkdir(daemon.folder)
        self.addCleanup(shutil.rmtree, daemon.folder, True)
        wait_for("its socket", lambda: not self.problems(daemon))
        self.counts_again(daemon)

    def test_that_the_manager_made_is_its_affair(self):
        daemon = Activated()
        self.addCleanup(daemon.clean_up)
        daemon.start().ready()
        os.unlink(daemon.socket)
        [problem] = wait_for("a problem", lambda: self.problems(daemon))
        self.assertIn("until the .socket unit that made it is restarted", problem)


class Files(SystemTest):
    def mode(self, *path):
        return stat.S_IMODE(os.lstat(os.path.join(*path)).st_mode)

    def test_have_the_modes_of_the_table(self):
        above = self.folder()
        folder, state = os.path.join(above, "run"), os.path.join(above, "state")
        address = f"ipc://{folder}/ingest.ipc"
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        os.mkdir(folder, 0o750)
        daemon = self.daemon(folder=folder, DYN_METRICSD_ADDRESS=address,
            DYN_METRICSD_STATE=state)
        self.assertEqual(self.mode(state), 0o700)
        for name, mode in {"ingest.ipc": 0o660, "journal.1": 0o600, ".lock": 0o600,
                "ingest.ipc.lock": 0o600, "http.port": 0o644}.items():
            self.assertEqual(self.mode(folder, name), mode, name)
            self.assertIn(f"{mode:04o}" if name != "journal.1" else "| `journal.N`, beside it | 0600", page())
        daemon.stop()
        self.assertEqual(self.mode(state, "snapshot"), 0o600)
