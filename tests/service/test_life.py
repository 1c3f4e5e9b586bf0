# SPDX-License-Identifier: Apache-2.0
"""The life of the service: it starts, is ready, stops, is killed, hangs, gives up."""
import os
import socket
import time

from service import *


class Starting(ServiceTest):
    def test_is_done_when_workers_and_prometheus_are_served(self):
        for _ in range(5):
            self.start(SERVICE)
            self.assertEqual(get("/live")[0], 200)
            self.assertEqual(send("jobs_total").returncode, 0)
            systemctl("stop", SERVICE)
        self.start(SERVICE)
        self.assertEqual(value("dynamo_jobs_total"), 5)

    def test_is_not_done_while_the_port_is_taken_and_goes_on_when_it_is_free(self):
        with socket.create_server(("127.0.0.1", PORT)):
            done = systemctl("start", SERVICE, check=False)
            self.assertNotEqual(done.returncode, 0)
            said = self.journal.wait("8081", PRIORITY="3")
            self.assertRegex(said, "^dynamo-metricsd: port 8081 of 127.0.0.1 is taken.*DYN_SYSTEM_PORT")
            self.assertEqual(show(SERVICE, "ActiveEnterTimestampMonotonic"), "0")
        wait_state(SERVICE, "active")
        self.assertEqual(get("/live")[0], 200)

    def test_fails_with_the_reason_when_the_configuration_is_wrong(self):
        self.configure(http={"prot": 8081})
        self.assertNotEqual(systemctl("start", SERVICE, check=False).returncode, 0)
        self.assertEqual(self.journal.wait("http.prot", PRIORITY="3"), f"dynamo-metricsd: {CONFIG}"
            ':1: http.prot: there is no such key; the nearest one is "http.port"')

    def test_takes_the_variables_of_the_administrator(self):
        self.environment(DYN_SYSTEM_PORT="9464", DYN_SYSTEM_LIVE_PATH="/alive")
        self.start(SERVICE)
        self.assertEqual(get("/alive", 9464)[0], 200)

    def test_shows_port_workers_and_series_and_keeps_them_current(self):
        self.start(SERVICE)
        wait_property(SERVICE, "StatusText", "HTTP port 8081, 0 workers, 0 series")
        worker = self.worker()
        worker.metric("counter", (), "a_total", labels=(("code", "200"),))
        worker.metric("counter", (), "a_total", labels=(("code", "500"),))
        worker.flush()
        wait_property(SERVICE, "StatusText", "HTTP port 8081, 1 workers, 2 series")
        worker.close()
        wait_property(SERVICE, "StatusText", "HTTP port 8081, 0 workers, 2 series")
        self.assertIn("2 series", systemctl("status", SERVICE).stdout)

    def test_says_how_severe_a_line_of_its_log_is(self):
        self.environment(DYN_SYSTEM_PORTS="1")
        self.start(SERVICE)
        levels = {entry["MESSAGE"].split(":")[0]: entry["PRIORITY"]
            for entry in self.journal.entries(_COMM="dynamo-metricsd")}
        self.assertEqual(levels, {"info": "6", "warning": "4"})


class Stopping(ServiceTest):
    def test_is_in_order_and_leaves_the_folders_but_no_socket(self):
        self.start(SERVICE)
        self.assertEqual(mode(f"{RUNTIME}/ingest.ipc"), "0660 dynamo-metrics dynamo-metrics")
        systemctl("stop", SERVICE)
        self.assertEqual(show(SERVICE, "ActiveState", "Result", "ExecMainStatus"),
            {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"})
        self.assertFalse(os.path.lexists(f"{RUNTIME}/ingest.ipc"))
        self.assertFalse(os.path.lexists(f"{RUNTIME}/http.port"))
        self.assertEqual(mode(RUNTIME), "0750 dynamo-metrics dynamo-metrics")
        self.assertEqual(mode(STATE), "0700 dynamo-metrics dynamo-metrics")

    def test_and_starting_again_keeps_the_folder_and_the_counts(self):
        self.start(SERVICE)
        worker = self.worker()
        counter = worker.metric("counter", (), "jobs_total")
        worker.call("add", counter, "3.0")
        worker.flush()
        before, folder = main_pid(), os.stat(RUNTIME).st_ino
        for round_ in range(1, 4):
            systemctl("restart", SERVICE)
            worker.call("add", counter, "1.0")
            worker.flush()
            self.assertEqual(value("dynamo_jobs_total"), 3 + round_)
        self.assertNotEqual(main_pid(), before)
        self.assertEqual(os.stat(RUNTIME).st_ino, folder)
        self.assertEqual(show(SERVICE, "NRestarts"), "0")

    def test_allows_the_state_to_be_thrown_away(self):
        self.start(SERVICE)
        send("jobs_total")
        refused = systemctl("clean", "--what=state", SERVICE, check=False)
        self.assertNotEqual(refused.returncode, 0, "it is running")
        systemctl("stop", SERVICE)
        systemctl("clean", "--what=state", SERVICE)
        self.assertFalse(os.path.exists(STATE))
        self.start(SERVICE)
        self.assertIsNone(value("dynamo_jobs_total"))
        self.assertEqual(mode(STATE), "0700 dynamo-metrics dynamo-metrics")


class Failing(ServiceTest):
    def counted(self, sockets):
        """A worker that has reported 1000, and its counter."""
        self.start(*sockets, SERVICE)
        worker = self.worker()
        counter = worker.metric("counter", (), "jobs_total")
        worker.call("add", counter, "1000.0")
        worker.flush()
        return worker, counter

    def comes_back(self, worker, counter, before):
        wait_property(SERVICE, "NRestarts", "1")
        worker.call("add", counter, "500.0")
        worker.flush()
        self.wait_value("dynamo_jobs_total", 1500)
        self.assertNotEqual(main_pid(), before)
        self.assertEqual(show(SERVICE, "NRestarts", "ActiveState"),
            {"NRestarts": "1", "ActiveState": "active"})

    def killed(self, sockets):
        worker, counter = self.counted(sockets)
        before = main_pid()
        kill("KILL")
        self.comes_back(worker, counter, before)

    def test_is_killed_and_is_there_again_with_all_counts(self):
        self.killed(SOCKETS)

    def test_is_killed_and_is_there_again_without_socket_units_too(self):
        self.killed(())

    def test_hangs_and_is_started_again_by_the_watchdog(self):
        self.drop_in("[Service]\nWatchdogSec=2s\n")
        worker, counter = self.counted(SOCKETS)
        before = main_pid()
        kill("STOP")
        self.journal.wait("Watchdog timeout", SERVICE)
        self.journal.wait("Failed with result 'watchdog'", SERVICE)
        self.comes_back(worker, counter, before)

    def test_does_not_hang_while_nothing_happens_and_while_much_does(self):
        self.drop_in("[Service]\nWatchdogSec=2s\n")
        worker, counter = self.counted(SOCKETS)
        before = main_pid()
        for busy in (False, True):
            end = time.monotonic() + 5
            while time.monotonic() < end:
                if busy:
                    worker.call("add", counter, "1.0")
                    worker.flush()
                    get("/metrics")
                else:
                    time.sleep(0.5)
        self.assertEqual(main_pid(), before)
        self.assertFalse(self.journal.has("Watchdog"))

    def test_gives_up_and_is_whole_again_when_it_is_told_to_try(self):
        """systemd gives the socket units up with it: they come back too."""
        systemctl("enable", SERVICE)
        self.addCleanup(systemctl, "disable", SERVICE)
        self.gives_up()
        wait_state(HTTP, "failed")
        self.configure()
        systemctl("reset-failed", SERVICE)
        self.start(SERVICE)
        for unit in (SERVICE, *SOCKETS):
            self.assertEqual(show(unit, "ActiveState"), "active", unit)
        self.assertEqual(show(HTTP, "SubState"), "running")
        self.assertEqual(get("/live")[0], 200)

    def gives_up(self):
        self.drop_in("[Unit]\nStartLimitBurst=3\n[Service]\nRestartSec=10ms\n")
        self.configure(http={"port": "x"})
        systemctl("start", SERVICE, check=False)
        wait_state(SERVICE, "failed")
        self.journal.wait("Start request repeated too quickly", SERVICE)

    def test_gives_up_and_can_be_told_to_try_again(self):
        self.gives_up()
        self.assertEqual(show(SERVICE, "Result"), "exit-code")
        self.configure()
        self.assertNotEqual(systemctl("start", SERVICE, check=False).returncode, 0)
        systemctl("reset-failed", SERVICE)
        self.start(SERVICE)
        self.assertEqual(get("/live")[0], 200)
