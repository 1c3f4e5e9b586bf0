# SPDX-License-Identifier: Apache-2.0
"""systemctl reload: what can change does, what cannot is named, a bad file is refused."""
from service import *


class Reload(ServiceTest):
    def setUp(self):
        super().setUp()
        self.configure()
        self.start()
        self.pid = main_pid()

    def reloads(self, result):
        return value('dynamo_metricsd_config_reloads_total{result="%s"}' % result)

    def test_applies_what_can_change_and_names_it(self):
        self.configure(log={"level": "debug"}, http={"scrapes": 3})
        systemctl("reload", SERVICE)
        self.journal.wait("configuration read again: changed: http.scrapes, log.level", SERVICE)
        self.assertEqual(self.reloads("ok"), 1)
        wait_state(SERVICE, "active")
        self.assertEqual(main_pid(), self.pid)

    def test_names_what_needs_a_restart_which_then_applies_it(self):
        systemctl("stop", *SOCKETS, SERVICE)
        self.start(SERVICE)
        self.configure(http={"port": 9464}, naming="component")
        systemctl("reload", SERVICE)
        self.journal.wait("http.port", SERVICE)
        [line] = [line for line in self.journal.lines() if "http.port" in line]
        self.assertRegex(line, "restart.*naming, http.port")
        self.assertEqual(get("/live")[0], 200)
        systemctl("restart", SERVICE)
        self.assertEqual(get("/live", 9464)[0], 200)

    def test_fails_for_a_bad_file_says_why_and_the_old_one_stays_in_force(self):
        self.configure(ingest={"grace_ms": 100}, http={"scrapes": "many"})
        done = systemctl("reload", SERVICE, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.journal.wait("http.scrapes: a whole number is expected", SERVICE)
        wait_state(SERVICE, "active")
        self.assertEqual(main_pid(), self.pid)
        self.assertEqual(send("jobs_total").returncode, 0)
        self.assertEqual((self.reloads("ok"), self.reloads("failed")), (0, 0))
        # Not even the part of it that is right is taken.
        self.configure(ingest={"grace_ms": 100})
        systemctl("reload", SERVICE)
        self.journal.wait("changed: ingest.grace_ms", SERVICE)

    def test_is_refused_by_the_daemon_too_when_it_is_asked_past_systemctl(self):
        with open(CONFIG, "w", encoding="utf-8") as file:
            file.write("{")
        kill("HUP")
        self.journal.wait("the configuration stays as it was", SERVICE)
        wait_state(SERVICE, "active")
        self.assertEqual(self.reloads("failed"), 1)
        self.assertEqual(main_pid(), self.pid)

    def test_loses_nobody(self):
        worker = self.worker()
        counter = worker.metric("counter", (), "jobs_total")
        for round_ in range(20):
            self.configure(log={"level": ("info", "warning")[round_ % 2]})
            worker.call("add", counter, "1.0")
            systemctl("reload", SERVICE)
            worker.flush()
        self.assertEqual(value("dynamo_jobs_total"), 20)
        wait_property(SERVICE, "StatusText", "HTTP port 8081, 1 workers, 1 series")
        self.assertEqual(main_pid(), self.pid)
