# SPDX-License-Identifier: Apache-2.0
"""Both sockets from systemd: whoever comes first starts the daemon, and nobody is refused while
it is away."""
import os
import shutil
import socket
import threading

from service import *


ELSEWHERE = "203.0.113.5"  # an address that nobody has


class Waiting:
    """Something that is done beside the test, and has to come to its end."""

    def __init__(self, what):
        self.result, self.error = None, None

        def do():
            try:
                self.result = what()
            except OSError as error:
                self.error = error

        self.thread = threading.Thread(target=do, daemon=True)
        self.thread.start()

    def end(self):
        self.thread.join(3 * DEADLINE_S)
        if self.thread.is_alive():
            raise AssertionError("it still waits")
        if self.error:
            raise AssertionError(f"it was refused: {self.error}")
        return self.result


class Activation(ServiceTest):
    def assert_asleep(self):
        self.assertEqual(show(SERVICE, "ActiveState"), "inactive")
        for unit in SOCKETS:
            self.assertEqual(show(unit, "SubState"), "listening")

    def test_a_message_starts_the_daemon(self):
        self.start(*SOCKETS)
        self.assert_asleep()
        self.assertEqual(send("jobs_total").returncode, 0)
        wait_state(SERVICE, "active")
        self.assertEqual(value("dynamo_jobs_total"), 1)

    def test_a_scrape_starts_the_daemon(self):
        self.start(*SOCKETS)
        self.assert_asleep()
        self.assertEqual(get("/metrics")[0], 200)
        wait_state(SERVICE, "active")
        self.assertEqual(send("jobs_total").returncode, 0)

    def test_one_of_the_two_units_is_enough(self):
        for unit in SOCKETS:
            with self.subTest(unit):
                fresh()
                self.start(unit, SERVICE)
                self.assertEqual(send("jobs_total").returncode, 0)
                self.assertEqual(value("dynamo_jobs_total"), 1)
                systemctl("restart", SERVICE)
                self.assertEqual(value("dynamo_jobs_total"), 1)

    def test_the_files_have_their_owner_and_mode_and_stay(self):
        self.start(*SOCKETS)
        self.assertEqual(mode(RUNTIME), "0750 dynamo-metrics dynamo-metrics")
        self.assertEqual(mode(f"{RUNTIME}/ingest.ipc"), "0660 dynamo-metrics dynamo-metrics")
        before = os.stat(f"{RUNTIME}/ingest.ipc").st_ino
        self.start(SERVICE)
        systemctl("restart", SERVICE)
        kill("KILL")
        wait_property(SERVICE, "NRestarts", "1")
        wait_state(SERVICE, "active")
        systemctl("stop", SERVICE)
        self.assertEqual(os.stat(f"{RUNTIME}/ingest.ipc").st_ino, before)
        self.assertEqual(mode(f"{RUNTIME}/ingest.ipc"), "0660 dynamo-metrics dynamo-metrics")

    def test_a_service_that_was_stopped_is_started_by_the_next_one(self):
        self.start()
        send("jobs_total")
        systemctl("stop", SERVICE)
        self.assert_asleep()
        self.assertEqual(value("dynamo_jobs_total"), 1)

    def test_who_comes_while_the_daemon_is_dead_waits(self):
        self.drop_in("[Service]\nRestartSec=1s\n")
        self.start()
        send("jobs_total")
        kill("KILL")
        wait_property(SERVICE, "SubState", "auto-restart")
        scrape = Waiting(lambda: get("/metrics"))
        message = Waiting(lambda: send("jobs_total"))
        self.assertEqual(scrape.end()[0], 200)
        self.assertEqual(message.end().returncode, 0, message.result.stderr)
        self.assertEqual(value("dynamo_jobs_total"), 2)

    def test_who_comes_while_the_daemon_starts_waits(self):
        self.drop_in("[Service]\nExecStartPre=/bin/sleep 1\n")
        self.start(*SOCKETS)
        scrapes = [Waiting(lambda: get("/live")) for _ in range(20)]
        messages = [Waiting(lambda: send("jobs_total")) for _ in range(5)]
        self.assertEqual({scrape.end()[0] for scrape in scrapes}, {200})
        self.assertEqual({message.end().returncode for message in messages}, {0})
        self.assertEqual(value("dynamo_jobs_total"), 5)


class Settings(ServiceTest):
    def test_of_the_daemon_that_have_no_effect_are_named(self):
        self.environment(DYN_SYSTEM_PORT="9464", DYN_METRICSD_ADDRESS="ipc:///run/x/y.ipc")
        self.start()
        self.assertEqual(get("/live")[0], 200)
        self.assertEqual(send("jobs_total").returncode, 0)
        for name in ("DYN_SYSTEM_PORT", "DYN_METRICSD_ADDRESS"):
            [line] = [line for line in self.journal.lines(_COMM="dynamo-metricsd")
                if name in line]
            self.assertIn("not used", line)

    def test_of_the_unit_decide_about_the_port(self):
        self.start()
        self.drop_in("[Socket]\nListenStream=\nListenStream=127.0.0.1:9464\n", HTTP)
        systemctl("restart", HTTP)
        self.assertEqual(get("/live", 9464)[0], 200)
        wait_property(SERVICE, "StatusText", "HTTP port 9464, 0 workers, 0 series")
        with open(f"{RUNTIME}/http.port", encoding="ascii") as file:
            self.assertEqual(file.read().strip(), "9464")

    def test_of_the_unit_may_say_a_unix_socket(self):
        path = f"{RUNTIME}/http.sock"
        self.drop_in(f"[Socket]\nListenStream=\nListenStream={path}\nSocketMode=0600\n", HTTP)
        self.start()
        self.assertEqual(get("/live", path)[0], 200)
        wait_property(SERVICE, "StatusText", f"HTTP at unix:{path}, 0 workers, 0 series")

    def from_elsewhere(self, port=PORT):
        """How a scrape from no private network ends: 200, or None when nothing comes."""
        run("ip", "address", "replace", f"{ELSEWHERE}/32", "dev", "lo")
        done = run("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}",
            "--max-time", "1", f"http://{ELSEWHERE}:{port}/live", check=False)
        return int(done.stdout) or None

    def test_of_the_unit_decide_who_may_scrape(self):
        self.drop_in(f"[Socket]\nListenStream=\nListenStream=0.0.0.0:{PORT}\n", HTTP)
        self.start()
        self.assertEqual(self.from_elsewhere(), 200)
        self.drop_in("[Socket]\nIPAddressDeny=any\nIPAddressAllow=localhost\n", HTTP, "who.conf")
        systemctl("restart", HTTP)
        self.assertIsNone(self.from_elsewhere())
        self.assertEqual(get("/live")[0], 200)

    def test_of_the_service_decide_who_may_scrape_when_it_opens_the_socket(self):
        self.environment(DYN_SYSTEM_HOST="0.0.0.0")
        self.start(SERVICE)
        self.assertIsNone(self.from_elsewhere())
        self.drop_in(f"[Service]\nIPAddressAllow={ELSEWHERE}\n")
        systemctl("restart", SERVICE)
        self.assertEqual(self.from_elsewhere(), 200)

    def test_of_a_socket_that_the_daemon_does_not_know_fail_with_the_reason(self):
        self.drop_in("[Socket]\nFileDescriptorName=https\n", HTTP)
        self.start(*SOCKETS)
        self.assertNotEqual(systemctl("start", SERVICE, check=False).returncode, 0)
        said = self.journal.wait('"https"', PRIORITY="3")
        self.assertRegex(said, "only ingest and http are known.*FileDescriptorName=")

    def test_of_the_drop_ins_leave_it_working(self):
        for names in (["hardened"], ["activated"], ["hardened", "activated"]):
            with self.subTest(names):
                fresh()
                for name in names:
                    with open(f"/usr/share/doc/dynamo-metricsd/{name}.conf") as file:
                        self.drop_in(file.read(), name=f"{name}.conf")
                self.start(SERVICE)
                self.assertEqual(send("jobs_total").returncode, 0)
                self.assertEqual(value("dynamo_jobs_total"), 1)
                systemctl("restart", SERVICE)
                self.assertEqual(value("dynamo_jobs_total"), 1)
                self.assertEqual(show(HTTP, "ActiveState"),
                    "active" if "activated" in names else "inactive")


class Orders(ServiceTest):
    """Of starting: socket units first, or the service."""

    def works(self, counted):
        self.assertEqual(send("jobs_total").returncode, 0)
        self.assertEqual(value("dynamo_jobs_total"), counted)

    def works_by_scrape(self, counted):
        self.assertEqual(value("dynamo_jobs_total"), counted)
        self.works(counted + 1)

    def test_the_service_alone_goes_on_when_socket_units_come_too_late(self):
        self.start(SERVICE)
        self.works(1)
        before = main_pid()
        for unit in SOCKETS:
            self.assertNotEqual(systemctl("start", unit, check=False).returncode, 0)
        self.journal.wait("already active, refusing", *SOCKETS)
        self.works(2)
        self.assertEqual(main_pid(), before)

    def test_one_way_and_the_other_can_follow_each_other(self):
        counted = 0
        for units in ((SERVICE,), (*SOCKETS, SERVICE), (SERVICE,), SOCKETS):
            systemctl("stop", *SOCKETS, SERVICE)
            self.start(*units)
            counted += 1
            self.works(counted)

    def test_a_socket_unit_that_is_restarted_restarts_the_service(self):
        self.start()
        self.works(1)
        for unit in SOCKETS:
            before = main_pid()
            systemctl("restart", unit)
            for active in (*SOCKETS, SERVICE):
                wait_state(active, "active")
            self.assertNotEqual(main_pid(), before)
        self.works(2)

    def test_a_socket_unit_that_is_stopped_stops_the_service_and_the_other_starts_it(self):
        self.start()
        self.works(1)
        systemctl("stop", INGEST)
        self.assertEqual(show(SERVICE, "ActiveState"), "inactive")
        self.works_by_scrape(1)

    def test_enabling_the_service_enables_both_sockets(self):
        systemctl("enable", SERVICE)
        self.addCleanup(systemctl, "disable", SERVICE)
        for unit in (SERVICE, *SOCKETS):
            self.assertEqual(systemctl("is-enabled", unit).stdout, "enabled\n")
        self.start(SERVICE)
        for unit in (SERVICE, *SOCKETS):
            self.assertEqual(show(unit, "ActiveState"), "active", unit)
        self.works(1)
        systemctl("disable", SERVICE)
        for unit in (SERVICE, *SOCKETS):
            self.assertEqual(systemctl("is-enabled", unit, check=False).stdout, "disabled\n")
