# SPDX-License-Identifier: Apache-2.0
"""The configuration as a person meets it: checked, told by the environment, changed while the
daemon runs."""
import json
import os
import re
import signal
import socket
import subprocess

from harness import DAEMON, Daemon, SystemTest, clean_environment, wait_for
from protocol_client import ProtocolClient, Refused

ENDPOINT = ("dynamo", "backend", "generate")


def run(*arguments, **environment):
    return subprocess.run([DAEMON, *arguments], capture_output=True, encoding="utf-8",
        env=clean_environment(**environment), timeout=20)


class Checking(SystemTest):
    def write(self, text, name="metricsd.json"):
        path = os.path.join(self.folder(), name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def check(self, path, status, stdout, stderr, **environment):
        done = run("--config", path, "--check-config", **environment)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (status, stdout, stderr))

    def test_a_right_one_is_said_to_be_ok(self):
        path = self.write('{"http": {"port": 9000}}')
        self.check(path, 0, f"{path}: ok\n", "")

    def test_a_syntax_error_has_file_line_and_column(self):
        path = self.write('{\n\t"http": {\n\t\t"port": 9000,\n\t}\n}\n')
        done = run("--config", path, "--check-config")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, f"^dynamo-metricsd: {re.escape(path)}:4:2: .+\n$")

    def test_a_wrong_value_has_file_line_key_and_what_is_expected(self):
        path = self.write('{\n\t"http": {\n\t\t"host": "::1",\n\t\t"port": 99999\n\t}\n}\n')
        self.check(path, 1, "", f"dynamo-metricsd: {path}:4: http.port: 99999 is out of range: "
            "from -1 to 65535 is possible\n")

    def test_an_unknown_key_has_the_nearest_one(self):
        path = self.write('{\n\t"ingest": {\n\t\t"leese_ms": 1\n\t}\n}\n')
        self.check(path, 1, "", f"dynamo-metricsd: {path}:3: ingest.leese_ms: there is no such "
            'key; the nearest one is "ingest.lease_ms"\n')

    def test_two_keys_that_do_not_fit_are_named(self):
        path = self.write('{"ingest": {"lease_ms": 1000}}')
        self.check(path, 1, "", f"dynamo-metricsd: {path}: ingest.grace_ms: it must not be longer "
            "than ingest.lease_ms, 1000\n")

    def test_a_wrong_variable_is_named(self):
        path = self.write("{}")
        self.check(path, 1, "", 'dynamo-metricsd: DYN_SYSTEM_ENABLED: "maybe" is not one of its '
            "words: 0, 1, false, true, off, on, no or yes\n", DYN_SYSTEM_ENABLED="maybe")

    def test_odd_variables_are_warned_of(self):
        path = self.write("{}")
        self.check(path, 0, f"{path}: ok\n", "dynamo-metricsd: warning: the variable "
            "DYN_SYSTEM_PORTS is not known here and has no effect; the nearest one is "
            "DYN_SYSTEM_PORT\n", DYN_SYSTEM_PORTS="1", DYN_HEALTH_CHECK_ENABLED="true")

    def test_what_is_no_file_is_said(self):
        folder = self.folder()
        self.check(folder, 1, "", f"dynamo-metricsd: {folder}: this is a folder\n")
        self.check(folder + "/x", 1, "",
            f"dynamo-metricsd: {folder}/x: it cannot be read: No such file or directory\n")
        path = self.write("")
        self.check(path, 1, "", f"dynamo-metricsd: {path}: it is empty: an object is expected, at "
            "least {}\n")

    def test_a_file_with_a_minus_may_be_missing(self):
        folder = self.folder()
        self.check(f"-{folder}/x", 0, f"{folder}/x: ok: it is not there, so all is at its "
            "default\n", "")
        path = self.write('{"log": {"level": "loud"}}')
        done = run("--config", "-" + path, "--check-config")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn(f"{path}:1: log.level: ", done.stderr)
        self.check(f"-{folder}", 1, "", f"dynamo-metricsd: {folder}: this is a folder\n")

    def test_without_a_file_the_place_of_the_default_is_said(self):
        done = run("--check-config")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"^/etc/dynamo-metricsd\.json: ok(: it is not there, so all "
            r"is at its default)?\n$")

    def test_a_daemon_does_not_start_with_a_wrong_one(self):
        path = self.write('{"log": {"level": "loud"}}')
        done = run("--config", path)
        self.assertEqual(done.returncode, 1)
        self.assertIn('log.level: "loud" is not one of its words', done.stderr)

    def test_the_command_line(self):
        done = run("--version")
        self.assertRegex(done.stdout, r"^dynamo-metricsd \d+\.\d+\.\d+\n$")
        done = run("--help")
        self.assertEqual(done.returncode, 0)
        for word in ("--config FILE", "--check-config", "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS",
                "SIGHUP"):
            self.assertIn(word, done.stdout)
        for wrong in (["--colour"], ["x"], ["--config"], ["--version=1"]):
            done = run(*wrong)
            self.assertEqual((done.returncode, done.stdout), (2, ""), wrong)
            self.assertIn("usage: ", done.stderr)
        for name in ("-", ""):
            done = run("--config", name, "--check-config")
            self.assertEqual((done.returncode, done.stderr),
                (2, "dynamo-metricsd: --config wants the name of a file\n"))


class Environment(SystemTest):
    """The variables of Dynamo's system status server, of both eras."""

    def without_http(self, **environment):
        daemon = Daemon(**environment)
        self.addCleanup(daemon.clean_up)
        daemon.start()
        wait_for("the daemon", lambda: "started" in daemon.log())
        self.assertFalse(os.path.exists(daemon.port_file))
        self.worker(daemon).close()
        text = daemon.log()
        daemon.stop()
        return text

    def test_http_can_be_off_by_either_variable(self):
        for environment in ({"DYN_SYSTEM_ENABLED": "false"}, {"DYN_SYSTEM_ENABLED": "0"},
                {"DYN_SYSTEM_ENABLED": "Off"}, {"DYN_SYSTEM_ENABLED": "NO"},
                {"DYN_SYSTEM_PORT": "-1"}):
            with self.subTest(environment):
                self.assertIn("HTTP disabled", self.without_http(**environment))

    def test_what_wins_is_logged(self):
        self.assertIn("warning: config: DYN_SYSTEM_ENABLED=false wins over DYN_SYSTEM_PORT=0: "
            "there is no HTTP\n", self.without_http(DYN_SYSTEM_ENABLED="false"))
        self.assertIn("warning: config: DYN_SYSTEM_PORT=-1 wins over DYN_SYSTEM_ENABLED: there is "
            "no HTTP\n", self.without_http(DYN_SYSTEM_ENABLED="true", DYN_SYSTEM_PORT="-1"))

    def test_http_is_on_without_a_word_and_with_an_empty_one(self):
        for value in (None, "", "true", "ON", "yes", "1"):
            with self.subTest(value):
                daemon = self.daemon(DYN_SYSTEM_ENABLED=value)
                self.assertEqual(daemon.get("/live").status, 200)
                self.assertNotIn("warning", daemon.log())
                daemon.stop()

    def test_all_variables_together(self):
        daemon = self.daemon(health=("/healthz", 503), DYN_SYSTEM_HOST="localhost",
            DYN_SYSTEM_HEALTH_PATH="/healthz", DYN_SYSTEM_LIVE_PATH="/livez",
            DYN_SYSTEM_STARTING_HEALTH_STATUS="ready",
            DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS='["generate"]',
            DYN_SYSTEM_ENABLED="True")
        for path in ("/health", "/live"):
            answer = daemon.get(path)
            self.assertEqual((answer.status, answer.text), (404, "Route not found"))
        self.assertEqual(daemon.get("/livez").status, 200)
        worker = self.worker(daemon)
        worker.call("add", worker.metric("counter", ENDPOINT, "requests_total"), 1)
        worker.flush()
        answer = daemon.get("/healthz")
        self.assertEqual(answer.status, 200)
        self.assertEqual(json.loads(answer.text)["endpoints"], {"generate": "ready"})
        worker.close()
        self.assertEqual(daemon.get("/healthz").status, 503)

    def test_the_starting_status_counts_until_a_worker_came(self):
        daemon = self.daemon(health=("/health", 503),
            DYN_SYSTEM_STARTING_HEALTH_STATUS="notready")
        self.assertEqual(json.loads(daemon.get("/health").text)["status"], "notready")
        worker = self.worker(daemon)
        worker.metric("counter", ENDPOINT, "requests_total")
        worker.flush()
        self.assertEqual(daemon.get("/health").status, 200)

    def test_unknown_ones_are_warned_of_and_dynamos_own_are_not(self):
        daemon = self.daemon(DYN_SYSTEM_HEALTH_PAHT="/x", DYN_HEALTH_CHECK_ENABLED="true",
            DYN_HEALTH_CHECK_REQUEST_TIMEOUT="3", DYN_CANARY_WAIT_TIME="10")
        self.assertEqual(re.findall("warning: .*", daemon.log()), ["warning: config: the variable "
            "DYN_SYSTEM_HEALTH_PAHT is not known here and has no effect; the nearest one is "
            "DYN_SYSTEM_HEALTH_PATH"])


class Reloading(SystemTest):
    def daemon_with(self, config, **environment):
        folder = self.folder()
        self.file = os.path.join(folder, "metricsd.json")
        self.write(config)
        return self.daemon(folder, ["--config", self.file], **environment)

    def write(self, config):
        text = config if isinstance(config, str) else json.dumps(config)
        with open(self.file + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(self.file + ".new", self.file)

    def hang_up(self, daemon):
        """What the daemon says to a SIGHUP."""
        seen = len(daemon.log())
        daemon.process.send_signal(signal.SIGHUP)
        return wait_for("the reload", lambda: re.search(
            r"SIGHUP: (.*(read again|stays as it was).*)\n", daemon.log()[seen:])).group(1)

    def reload(self, daemon, config):
        self.write(config)
        return self.hang_up(daemon)

    def results(self, daemon):
        return tuple(daemon.value('dynamo_metricsd_config_reloads_total{result="%s"}' % word)
            for word in ("ok", "failed"))

    def test_a_right_one_counts_at_once_and_names_what_waits(self):
        daemon = self.daemon_with({})
        self.assertEqual(self.reload(daemon, {"log": {"level": "debug"}, "naming": "component",
            "http": {"scrapes": 5, "port": 1234}}),
            "configuration read again: changed: http.scrapes, log.level")
        # http.port is DYN_SYSTEM_PORT's, which wins again.
        wait_for("what waits", lambda: "SIGHUP: changed, but needs a restart: naming\n"
            in daemon.log())
        worker = self.worker(daemon)
        worker.metric("counter", ENDPOINT, "requests_total")
        worker.flush()
        self.assertIn("debug: apply: registered counter 'requests_total'", daemon.log())
        self.assertIn("dynamo_requests_total{", daemon.page())
        self.assertEqual(self.results(daemon), (1, 0))
        daemon.stop()
        daemon.start().ready()
        worker.flush()
        self.assertIn("dynamo_component_requests_total{", daemon.page())

    def test_the_file_is_in_the_log(self):
        daemon = self.daemon_with({})
        self.assertIn(f"info: config: {self.file}\n", daemon.log())

    def test_a_wrong_one_is_logged_and_counted_and_changes_nothing(self):
        daemon = self.daemon_with({"log": {"level": "warning"}})
        for wrong, says in (("", "it is empty"), ('{"log": {', f"{self.file}:1:"),
                ({"log": {"level": "debug"}, "limits": {"series": 0}},
                    "limits.series: 0 is out of range"),
                ({"log": {"level": "debug"}, "colour": 1}, "colour: there is no such key")):
            said = self.reload(daemon, wrong)
            self.assertTrue(said.startswith("the configuration stays as it was: "), said)
            self.assertIn(says, said)
        os.unlink(self.file)
        self.assertIn("No such file", self.hang_up(daemon))
        self.assertEqual(self.results(daemon), (0, 5))
        self.worker(daemon).close()
        self.assertNotIn("debug: ", daemon.log())
        self.assertEqual(daemon.get("/health").status, 200)

    def test_a_lower_limit_leaves_what_is_there_and_refuses_what_is_new(self):
        daemon = self.daemon_with({})
        worker = self.worker(daemon)
        old = worker.metric("counter", (), "old_total", labels=(("x", "1"),))
        worker.call("add", old, 1)
        worker.flush()
        self.reload(daemon, {"limits": {"series": 1, "name_bytes": 3, "labels": 0}})
        worker.call("add", old, 1)
        new = worker.metric("counter", (), "new_total")
        worker.call("add", new, 1)
        worker.flush()
        self.assertEqual(daemon.value('dynamo_old_total{x="1"}'), 2)
        self.assertIsNone(daemon.value("dynamo_new_total"))
        self.assertIn("the metric name 'new_total' has 9 bytes", daemon.log())
        self.assertEqual(self.reload(daemon, {}), "configuration read again: changed: "
            "limits.series, limits.labels, limits.name_bytes")
        other = self.worker(daemon)
        other.call("add", other.metric("counter", (), "new_total"), 5)
        other.flush()
        self.assertEqual(daemon.value("dynamo_new_total"), 5)

    def test_fewer_connections_keep_those_that_are_there(self):
        daemon = self.daemon_with({})
        clients = [ProtocolClient(daemon.socket) for _ in range(3)]
        counters = [client.counter(f"c{i}_total", "") for i, client in enumerate(clients)]
        self.reload(daemon, {"ingest": {"connections": 2}})
        for client, counter in zip(clients, counters):
            client.update({counter: 7})
        with self.assertRaises((Refused, OSError)):
            ProtocolClient(daemon.socket)
        self.assertRegex(daemon.log(), rf"connection of pid {os.getpid()} \(uid {os.getuid()}\) "
            r"refused: there are 3 already \(ingest\.connections\)")
        self.assertEqual(self.results(daemon), (1, 0))
        self.reload(daemon, {"ingest": {"connections": 4}})
        ProtocolClient(daemon.socket).socket.close()
        self.assertEqual([daemon.value(f"dynamo_c{i}_total") for i in range(3)], [7, 7, 7])
        for client in clients:
            client.socket.close()

    def test_times_and_sizes_count_from_then_on(self):
        daemon = self.daemon_with({"ingest": {"handshake_ms": 60000}})
        said = self.reload(daemon, {"ingest": {"handshake_ms": 50, "json_bytes": 1024}})
        self.assertEqual(said,
            "configuration read again: changed: ingest.handshake_ms, ingest.json_bytes")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
            silent.settimeout(20)
            silent.connect(daemon.socket)
            self.assertEqual(silent.recv(1), b"")
        client = ProtocolClient(daemon.socket)
        reply = client.exchange(b'{"metrics": []' + b" " * 1024 + b"}")
        self.assertIn(b'"reason":"length"', reply)
        client.socket.close()

    def test_http_takes_other_bounds(self):
        daemon = self.daemon_with({"http": {"request_ms": 3600000}})
        self.reload(daemon, {"http": {"connections": 1, "request_ms": 300}})
        first, second = daemon.connection(), daemon.connection()
        first.connect()
        second.request("GET", "/live")
        # The first one says nothing: when it is closed, it is the second one's turn.
        self.assertEqual(second.getresponse().status, 200)
        first.sock.setblocking(False)
        self.assertEqual(first.sock.recv(1), b"")
        first.close()
        second.close()
        self.reload(daemon, {})
        first.request("GET", "/live")
        self.assertEqual(first.getresponse().status, 200)
        second.request("GET", "/live")
        self.assertEqual(second.getresponse().status, 200)
        first.close()
        second.close()

    def test_a_worker_keeps_its_lease_until_it_says_hello_again(self):
        daemon = self.daemon_with({})
        old = ProtocolClient(daemon.socket)
        self.reload(daemon, {"ingest": {"lease_ms": 300, "grace_ms": 100}})
        new = ProtocolClient(daemon.socket)
        wait_for("the end of the new one's lease",
            lambda: "folded: it was silent for the lease" in daemon.log())
        self.assertEqual(daemon.log().count("folded"), 1)
        self.assertEqual(daemon.value("dynamo_metricsd_workers"), 1)
        for client in (old, new):
            client.socket.close()
        # Its lease was of 15 s, and it is found dead as before: its process is known to live.
        self.assertEqual(daemon.get("/live").status, 200)

    def test_nothing_is_lost_in_a_hundred_reloads_under_load(self):
        daemon = self.daemon_with({})
        workers = [self.worker(daemon, f"w{i}") for i in range(3)]
        series = [worker.metric("counter", ENDPOINT, "requests_total") for worker in workers]
        histogram = workers[0].metric("histogram", (), "seconds", bounds=[0.1, 1])
        for worker in workers:
            worker.flush()
        files = len(os.listdir(f"/proc/{daemon.process.pid}/fd"))
        for i in range(100):
            for worker, counter in zip(workers, series):
                worker.tell("many", counter, "1.0", 1000, 2)
            workers[0].tell("many", histogram, "0.5", 1000, 1)
            config = {"log": {"level": ("info", "warning")[i % 2]},
                "ingest": {"connections": 3 + i, "lease_ms": 5000 + i, "grace_ms": i},
                "limits": {"series": 2 + i % 3, "labels": i % 4},
                "http": {"connections": 2 + i % 2, "scrapes": 1 + i}}
            self.write("{" if i % 10 == 9 else config)
            daemon.process.send_signal(signal.SIGHUP)
            wait_for(f"reload {i + 1}", lambda: sum(self.results(daemon)) == i + 1)
            for worker in workers:
                worker.answer()
            workers[0].answer()
        for worker in workers:
            worker.flush()
        self.assertEqual(self.results(daemon), (90, 10))
        labels = '{namespace="dynamo",component="backend",endpoint="generate"}'
        self.assertEqual(daemon.value("dynamo_requests_total" + labels), 3 * 100 * 2000)
        self.assertEqual(daemon.value("dynamo_seconds_count"), 100 * 1000)
        self.assertEqual(daemon.value('dynamo_seconds_bucket{le="1"}'), 100 * 1000)
        self.assertEqual([worker.status()["refused"] for worker in workers], [0, 0, 0])
        wait_for("as few open files as before",
            lambda: len(os.listdir(f"/proc/{daemon.process.pid}/fd")) <= files)
        for worker in workers:
            worker.close()
        daemon.stop()


