# SPDX-License-Identifier: Apache-2.0
"""Restarts under full load (load.py). With the sockets of systemd no scrape fails; with and
without them nothing that was counted is lost, and no counter goes down."""
import unittest

from load import Load
from service import *

RESTARTS = 6


class Restart(ServiceTest):
    def loaded(self):
        load = Load()
        self.addCleanup(load.end)
        load.start()
        return load

    def rest(self, load, **allowed):
        load.turn_over()
        load.newcomer()
        load.stop()
        print(f"              {load.figures()}", flush=True)
        self.assertEqual(load.failed(**allowed)[:10], [])
        self.assertEqual(value('dynamo_newcomer_total{namespace="load"}'), 1)

    def restart(self, how, load):
        """So often, each with all at work again; by hand there may be only a few a minute."""
        for _ in range(RESTARTS):
            before = main_pid()
            how()
            wait_for("another main process",
                lambda: show(SERVICE, "ActiveState") == "active" and main_pid() != before)
            systemctl("reset-failed", SERVICE)
            load.turn_over()

    def test_no_scrape_fails_and_nothing_is_lost_when_it_is_restarted(self):
        self.start()
        load = self.loaded()
        self.restart(lambda: systemctl("restart", SERVICE), load)
        self.rest(load)

    def test_it_is_the_same_in_the_most_hardened_profile(self):
        for name in ("activated.conf", "hardened.conf"):
            self.add_example(name)
        self.start()
        load = self.loaded()
        self.restart(lambda: systemctl("restart", SERVICE), load)
        self.rest(load)

    def test_when_it_is_killed_no_scrape_is_refused_and_nothing_is_lost(self):
        self.start()
        load = self.loaded()
        self.restart(lambda: kill("KILL"), load)
        self.rest(load, but=("broken",))

    def test_without_sockets_of_systemd_scrapes_are_refused_for_a_moment_and_nothing_is_lost(self):
        self.start(SERVICE)
        load = self.loaded()
        self.restart(lambda: systemctl("restart", SERVICE), load)
        self.rest(load, but=("refused", "broken"))
