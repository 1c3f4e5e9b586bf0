# SPDX-License-Identifier: Apache-2.0
"""dynamo-metricsd@NAME: tenants on one host who see nothing of each other."""
import os

from service import *


def unit(name):
    return f"dynamo-metricsd@{name}.service"


def address(name):
    return f"ipc:///run/dynamo-metricsd-{name}/ingest.ipc"


def port(name):
    with open(f"/run/dynamo-metricsd-{name}/http.port", encoding="ascii") as file:
        return int(file.read())


class Instances(ServiceTest):
    def setUp(self):
        super().setUp()
        for name in ("alice", "bob"):
            add_user(f"{name}-worker", name)

    def test_run_beside_the_main_one_and_each_other(self):
        self.start()
        self.start(unit("alice"), unit("bob"))
        for name, count in (("alice", 3), ("bob", 4)):
            done = send("jobs_total", count, user=f"{name}-worker", address=address(name))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(value("dynamo_jobs_total", port(name)), count)
            wait_property(unit(name), "StatusText",
                f"HTTP port {port(name)}, 0 workers, 1 series")
        self.assertIsNone(value("dynamo_jobs_total"))
        self.assertEqual(len({PORT, port("alice"), port("bob")}), 3)

    def test_take_messages_from_their_own_group_alone(self):
        self.start(unit("alice"), unit("bob"))
        self.assertEqual(mode("/run/dynamo-metricsd-alice"), "0750 dynamo-metrics alice")
        self.assertEqual(mode("/run/dynamo-metricsd-alice/ingest.ipc"),
            "0660 dynamo-metrics alice")
        self.assertEqual(mode("/var/lib/dynamo-metricsd-alice"), "0700 dynamo-metrics alice")
        for user, name, status in (("alice-worker", "alice", 0), ("alice-worker", "bob", 3),
                ("bob-worker", "bob", 0), ("bob-worker", "alice", 3)):
            done = send("jobs_total", user=user, address=address(name))
            self.assertEqual(done.returncode, status, f"{user} to {name}: {done.stderr}")

    def test_have_settings_of_their_own(self):
        with open("/etc/dynamo-metricsd-alice.json", "w", encoding="utf-8") as file:
            file.write('{"labels": {"tenant": "alice"}}')
        self.environment("/etc/default/dynamo-metricsd-alice", DYN_SYSTEM_PORT="9464")
        self.start(unit("alice"), unit("bob"))
        for name, series in (("alice", 'dynamo_jobs_total{tenant="alice"}'),
                ("bob", "dynamo_jobs_total")):
            send("jobs_total", address=address(name))
            self.assertEqual(value(series, port(name)), 1)
        self.assertEqual(port("alice"), 9464)
        with open("/etc/dynamo-metricsd-alice.json", "w", encoding="utf-8") as file:
            file.write('{"labels": {"tenant": "alice"}, "log": {"level": "debug"}}')
        systemctl("reload", unit("alice"))
        self.journal.wait("changed: log.level", unit("alice"))
        with open("/etc/dynamo-metricsd-alice.json", "w", encoding="utf-8") as file:
            file.write("{")
        self.assertNotEqual(systemctl("reload", unit("alice"), check=False).returncode, 0)

    def test_stop_and_fail_alone_and_keep_their_counts(self):
        self.start(unit("alice"), unit("bob"))
        for name in ("alice", "bob"):
            send("jobs_total", address=address(name))
        before = main_pid(unit("bob"))
        kill("KILL", unit("alice"))
        wait_property(unit("alice"), "NRestarts", "1")
        wait_state(unit("alice"), "active")
        self.assertEqual(value("dynamo_jobs_total", port("alice")), 1)
        systemctl("restart", unit("alice"))
        self.assertEqual(value("dynamo_jobs_total", port("alice")), 1)
        systemctl("stop", unit("alice"))
        self.assertEqual(main_pid(unit("bob")), before)
        self.assertEqual(value("dynamo_jobs_total", port("bob")), 1)
        self.assertFalse(os.path.exists("/run/dynamo-metricsd-alice/ingest.ipc"))

    def test_say_so_when_there_is_no_such_group(self):
        self.assertNotEqual(systemctl("start", unit("nobody-knows"), check=False).returncode, 0)
        self.journal.wait("Failed to determine group credentials", unit("nobody-knows"))
