# SPDX-License-Identifier: Apache-2.0
"""What `make run` starts: it shows metrics that move, and however it ends, it leaves no
process, socket or folder behind."""
import os
import re
import signal
import subprocess
import urllib.request

from harness import BUILD, SOURCE, SystemTest, clean_environment, wait_for


def processes_of(folder):
    """Pids of running programs of this build that serve the folder."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            program = os.readlink(f"/proc/{pid}/exe")
            with open(f"/proc/{pid}/environ", "rb") as file:
                mine = os.fsencode(folder) in file.read()
        except OSError:
            continue
        if mine and program.startswith(BUILD + "/"):
            found[int(pid)] = os.path.basename(program)
    return found


class MakeRun(SystemTest):
    def setUp(self):
        self.run_folder = os.path.join(self.folder(), "run")

    def start(self, **environment):
        output = os.path.join(self.folder(), "output")
        with open(output, "wb") as file:
            process = subprocess.Popen([os.path.join(SOURCE, "client/examples/run")],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
                env=clean_environment(BUILD=BUILD, DYN_SYSTEM_PORT="0",
                    RUN_FOLDER=self.run_folder, **environment))
        self.addCleanup(lambda: process.poll() is None and process.kill())

        def text():
            with open(output, encoding="utf-8") as file:
                return file.read()

        return process, text

    def started(self, **environment):
        process, text = self.start(**environment)
        wait_for("the page to be shown", lambda: "Ctrl-C" in text() or
            process.poll() is not None)
        self.assertIsNone(process.poll(), text())
        return process, text

    def nothing_is_left(self):
        wait_for("all processes to be gone", lambda: not processes_of(self.run_folder))
        self.assertFalse(os.path.exists(self.run_folder))

    def test_shows_every_kind_and_values_that_move(self):
        process, text = self.started()
        url = re.search(r"http://\S+/metrics", text()).group()

        def page():
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.read().decode()

        shown = text()
        for kind in ("counter", "gauge", "histogram"):
            self.assertIn(f" {kind}\n", shown)
        for name in ("alpha", "beta", "gamma"):
            self.assertIn(f'worker_id="{name}"', page())
        first = page()
        wait_for("the load to move", lambda: page() != first)
        self.assertEqual(sorted(processes_of(self.run_folder).values()),
            ["demo", "demo", "demo", "dynamo-metricsd"])
        os.killpg(process.pid, signal.SIGINT)
        self.assertEqual(process.wait(20), 0, text())
        self.nothing_is_left()

    def test_stops_after_the_seconds_it_was_given(self):
        process, text = self.start(RUN_SECONDS="1")
        self.assertEqual(process.wait(60), 0, text())
        self.nothing_is_left()

    def test_stops_when_its_daemon_is_killed(self):
        process, text = self.started()
        [daemon] = [pid for pid, name in processes_of(self.run_folder).items()
            if name == "dynamo-metricsd"]
        os.kill(daemon, signal.SIGKILL)
        self.assertEqual(process.wait(20), 1)
        self.assertIn("ended by itself", text())
        self.nothing_is_left()

    def test_takes_its_children_along_when_it_is_killed_outright(self):
        process, _ = self.started()
        process.kill()
        process.wait()
        wait_for("all processes to be gone", lambda: not processes_of(self.run_folder))

    def test_cleans_up_after_one_that_was_killed_outright(self):
        process, _ = self.started()
        process.kill()
        process.wait()
        wait_for("all processes to be gone", lambda: not processes_of(self.run_folder))
        self.test_stops_after_the_seconds_it_was_given()

    def test_a_second_one_says_where_the_first_is(self):
        first, text = self.started()
        second, second_text = self.start()
        self.assertEqual(second.wait(20), 1)
        self.assertIn("running already", second_text())
        self.assertIsNone(first.poll(), text())
        first.send_signal(signal.SIGTERM)
        self.assertEqual(first.wait(20), 0)
        self.nothing_is_left()
