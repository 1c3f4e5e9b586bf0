# SPDX-License-Identifier: Apache-2.0
"""How a daemon starts, stops, comes back, and says what is in its way."""
import json
import os
import signal
import socket
import stat
import subprocess

from harness import CTL, Daemon, SystemTest, wait_for

ENDPOINT = ("dynamo", "backend", "generate")


class Stopping(SystemTest):
    def fill(self, daemon):
        """Make some ten thousands of series."""
        messages = [{"metrics": [{"name": f"m_{i}_{k}", "type": "counter"}
            for k in range(500)]} for i in range(30)]
        subprocess.run([CTL, "--address", daemon.address, "send", "-"], check=True,
            input="\n".join(map(json.dumps, messages)).encode())

    def test_in_order_on_sigterm_and_sigint(self):
        for how in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(how.name):
                daemon = self.daemon()
                self.assertTrue(stat.S_ISSOCK(os.stat(daemon.socket).st_mode))
                daemon.stop(how)

    def test_in_order_with_workers_and_a_scraper_connected(self):
        daemon = self.daemon()
        worker = self.worker(daemon)
        worker.call("add", worker.metric("counter", (), "jobs_total"), 1)
        worker.flush()
        connection = daemon.connection()
        connection.connect()
        daemon.stop()
        connection.close()

    def test_signals_at_any_moment_end_it_in_order(self):
        for full in 2 * (False,) + 6 * (True,):
            with self.subTest(full=full):
                daemon = Daemon()
                self.addCleanup(daemon.clean_up)
                daemon.start()
                wait_for("the lock", lambda: os.path.exists(daemon.socket + ".lock"))
                if full:  # then its end takes a while
                    daemon.ready()
                    self.fill(daemon)
                while daemon.process.poll() is None:
                    daemon.process.send_signal(signal.SIGHUP)
                    daemon.process.send_signal(signal.SIGTERM)
                self.assertEqual(daemon.process.returncode, 0, daemon.log())

    def test_leaves_nothing_but_its_log(self):
        daemon = self.daemon()
        self.worker(daemon).close()
        daemon.stop()
        left = set(os.listdir(daemon.folder)) - {"stderr", "state"}
        self.assertFalse({name for name in left if not name.endswith("lock")}, left)


class StartingBeside(SystemTest):
    def refused(self, daemon):
        """Start one that must not start: what it said."""
        daemon.start()
        self.addCleanup(daemon.clean_up)
        status = daemon.wait_ended()
        self.assertEqual(status, 1, daemon.log())
        text = daemon.log().strip()
        self.assertTrue(text)
        return text

    def second(self, folder, **environment):
        second = Daemon(folder, **environment)
        second.log_file = os.path.join(folder, "stderr of the second")
        return second

    def test_another_daemon_on_the_same_socket_is_refused_with_a_sentence(self):
        first = self.daemon()
        text = self.refused(self.second(first.folder))
        self.assertIn(first.socket, text)
        self.assertEqual(first.get("/live").status, 200)
        self.worker(first).close()  # the socket is still the first one's
        first.stop()

    def test_a_stale_socket_is_taken_over(self):
        daemon = self.daemon()
        daemon.kill()
        self.assertTrue(os.path.exists(daemon.socket))
        os.unlink(daemon.port_file)
        daemon.start().ready()
        worker = self.worker(daemon)
        worker.call("add", worker.metric("counter", (), "jobs_total"), 1)
        worker.flush()
        daemon.stop()

    def test_any_other_file_at_the_path_is_left_alone(self):
        def a_file(path):
            with open(path, "w", encoding="ascii") as file:
                file.write("precious")

        makers = {"a file": a_file, "a folder": os.mkdir, "a fifo": os.mkfifo,
            "a link": lambda path: os.symlink("/nowhere/at/all", path)}
        for what, make in makers.items():
            with self.subTest(what):
                folder = self.folder()
                path = os.path.join(folder, "ingest.ipc")
                make(path)
                before = os.lstat(path)
                text = self.refused(Daemon(folder))
                self.assertIn(path, text)
                after = os.lstat(path)
                self.assertEqual((before.st_ino, before.st_mode, before.st_size),
                    (after.st_ino, after.st_mode, after.st_size))

    def test_a_port_that_is_taken_is_named_with_what_to_do(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            text = self.refused(Daemon(DYN_SYSTEM_PORT=port))
        self.assertIn(port, text)
        self.assertIn("DYN_SYSTEM_PORT", text)

    def test_a_bad_environment_is_named(self):
        for name, value in (("DYN_SYSTEM_PORT", "http"), ("DYN_SYSTEM_PORT", "70000"),
                ("DYN_SYSTEM_ENABLED", "perhaps"),
                ("DYN_METRICSD_ADDRESS", "tcp://127.0.0.1:5555")):
            with self.subTest(value):
                self.assertIn(name, self.refused(Daemon(**{name: value})))


class Environment(SystemTest):
    def test_empty_variables_count_as_unset(self):
        self.daemon(DYN_SYSTEM_ENABLED="", DYN_SYSTEM_HOST="")

    def test_the_port_can_be_off(self):
        daemon = Daemon(DYN_SYSTEM_ENABLED="false")
        self.addCleanup(daemon.clean_up)
        daemon.start()
        wait_for("the socket", lambda: os.path.exists(daemon.socket))
        worker = self.worker(daemon)
        worker.call("add", worker.metric("counter", ("dynamo",), "jobs_total"), 1)
        self.assertIn("dynamo_jobs_total", worker.call("expose", worker.scope(("dynamo",)), 5000))
        self.assertFalse(os.path.exists(daemon.port_file))
        daemon.stop()

    def test_another_loopback_address(self):
        daemon = self.daemon(DYN_SYSTEM_HOST="0.0.0.0")
        self.assertEqual(daemon.get("/live").status, 200)


class WorkersAndTheirDaemon(SystemTest):
    def test_a_worker_that_starts_first_is_heard_later(self):
        daemon = Daemon()
        self.addCleanup(daemon.clean_up)
        worker = self.worker(daemon)
        counter = worker.metric("counter", ENDPOINT, "jobs_total")
        worker.call("add", counter, 7)
        self.assertEqual(worker.status()["connected"], 0)
        daemon.start().ready()
        worker.flush()
        self.assertEqual(worker.status()["connected"], 1)
        self.assertEqual(daemon.workers_page(), "# TYPE dynamo_jobs_total counter\n"
            'dynamo_jobs_total{namespace="dynamo",component="backend",endpoint="generate"} 7\n')

    def test_living_workers_refill_a_daemon_that_was_killed(self):
        scene = self.scene()
        for name in ("a", "b"):
            worker = scene.worker(name)
            scene.series(worker, "counter", ENDPOINT, "jobs_total", "Jobs.").add(5)
            scene.series(worker, "histogram", ENDPOINT, "job_seconds", bounds=(1.0,)).observe(0.5)
            scene.series(worker, "gauge", ENDPOINT, "depth", merge="each").set(0)
        text = scene.check()
        for _ in range(3):
            scene.daemon.kill()
            os.unlink(scene.daemon.port_file)
            scene.daemon.start().ready()
            self.assertEqual(scene.check(patience_s=5), text)

    def test_living_workers_refill_a_daemon_without_being_asked(self):
        scene = self.scene()
        scene.series(scene.worker("a"), "counter", ENDPOINT, "jobs_total", "Jobs.").add(5)
        text = scene.check()
        scene.daemon.stop()
        scene.daemon.start().ready()
        wait_for("the page to be as before", lambda: scene.daemon.workers_page() == text, 3)

    def test_an_idle_worker_is_not_a_dead_one(self):
        folder = self.folder()
        config = os.path.join(folder, "short.json")
        with open(config, "w", encoding="ascii") as file:
            json.dump({"ingest": {"lease_ms": 600, "grace_ms": 200}}, file)
        daemon = self.daemon(arguments=("--config", config))
        worker = self.worker(daemon)
        worker.call("set", worker.metric("gauge", (), "depth"), 1)
        worker.flush()
        uptime = 'dynamo_system_uptime_seconds{namespace="dynamo"}'
        wait_for("three leases", lambda: daemon.value(uptime) >= 3)
        self.assertEqual(daemon.value("dynamo_depth"), 1)
        self.assertEqual(daemon.value("dynamo_metricsd_workers"), 1)
        self.assertEqual(daemon.value("dynamo_metricsd_sessions_folded_total"), 0)


class TheLog(SystemTest):
    def with_level(self, level):
        folder = self.folder()
        config = os.path.join(folder, "log.json")
        with open(config, "w", encoding="ascii") as file:
            json.dump({"log": {"level": level}}, file)
        daemon = self.daemon(arguments=("--config", config))
        worker = self.worker(daemon)
        worker.metric("counter", ENDPOINT, "jobs_total", "Jobs.")
        worker.metric("histogram", ("dynamo",), "job_seconds")
        worker.flush()
        return daemon

    def test_shows_each_registration_at_debug(self):
        log = self.with_level("debug").log()
        for what, place in (("counter 'jobs_total'", ENDPOINT),
                ("histogram 'job_seconds'", ("dynamo",))):
            lines = [line for line in log.splitlines() if what in line]
            self.assertEqual(len(lines), 1, log)
            for part in place:
                self.assertIn(part, lines[0])

    def test_is_quiet_about_them_at_info(self):
        self.assertNotIn("jobs_total", self.with_level("info").log())

    def test_names_the_address_at_start(self):
        daemon = self.daemon()
        self.assertIn(str(daemon.port), daemon.log())
        self.assertIn(daemon.socket, daemon.log())
