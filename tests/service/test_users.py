# SPDX-License-Identifier: Apache-2.0
"""Who may send, tried as three users; what the daemon knows of them; whose its files are."""
import json
import os
import signal
import stat
import unittest

from service import *

GROUP = "dynamo-metrics"
MEMBERS = ("dynm-ann", "dynm-ben")
STRANGER = "dynm-eve"
UNKNOWN = 65534
REFUSED, NOT_REACHABLE = 1, 3  # exit status of the tool


def status(user=None):
    """What the tool says about workers, as somebody."""
    prefix = ["runuser", "-u", user, "--"] if user else []
    return json.loads(run(*prefix, CTL, "--address", ADDRESS, "status", "--json").stdout)


class Users(ServiceTest):
    def setUp(self):
        super().setUp()
        self.uids = {name: add_user(name, GROUP) for name in MEMBERS}
        self.uids[STRANGER] = add_user(STRANGER, "dynm-others")

    def check_who_may_send(self):
        for name in (*MEMBERS, None):
            with self.subTest(user=name or "root"):
                done = send("sent_total", user=name)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
        done = send("sent_total", user=STRANGER)
        self.assertEqual(done.returncode, NOT_REACHABLE, done.stderr)
        self.assertIn("permission denied: are you in the socket's group?", done.stderr)
        self.assertEqual(value("dynamo_sent_total"), 3)

    def workers_of(self):
        """A worker of each member, and who the daemon thinks that they are: name -> uid."""
        workers = [self.worker(user=name, name=f"worker-of-{name}") for name in MEMBERS]
        for worker in workers:
            worker.call("add", worker.metric("counter", (), "work_total"), "1.0")
            worker.flush()
        return {worker["name"].removeprefix("worker-of-"): worker["uid"]
            for worker in status()["workers"]}

    def test_members_of_the_group_may_send_and_others_may_not(self):
        self.start(SERVICE)
        self.check_who_may_send()

    def test_it_is_the_same_with_a_socket_of_systemd(self):
        self.start()
        self.check_who_may_send()

    def test_it_is_the_same_in_the_hardened_profile(self):
        self.add_example("hardened.conf")
        self.start()
        self.check_who_may_send()

    def test_the_daemon_knows_whose_each_worker_is(self):
        self.start()
        self.assertEqual(self.workers_of(), {name: self.uids[name] for name in MEMBERS})

    def test_it_does_not_in_the_hardened_profile_and_works_all_the_same(self):
        self.add_example("hardened.conf")
        self.start()
        self.assertEqual(self.workers_of(), {name: UNKNOWN for name in MEMBERS})
        self.wait_value("dynamo_work_total", 2)
        systemctl("restart", SERVICE)
        self.wait_value("dynamo_work_total", 2)

    def test_only_where_it_sees_processes_a_gauge_is_there_before_its_worker_speaks_again(self):
        """By the boot and the process's start time; the worker is stopped meanwhile."""
        for profile, at_once in (((), 1), (("hardened.conf",), None)):
            with self.subTest(profile=profile):
                fresh()
                for name in profile:
                    self.add_example(name)
                self.start()
                worker = self.worker(user=MEMBERS[1], name="stopped")
                worker.call("set", worker.metric("gauge", (), "busy"), "1.0")
                worker.flush()
                worker.process.send_signal(signal.SIGSTOP)
                systemctl("restart", SERVICE)
                self.assertEqual(value("dynamo_busy"), at_once)
                worker.process.send_signal(signal.SIGCONT)
                self.wait_value("dynamo_busy", 1)
                worker.kill()

    def test_a_worker_that_is_killed_is_noticed_in_both_profiles(self):
        for profile in ((), ("hardened.conf",)):
            with self.subTest(profile=profile):
                fresh()
                for name in profile:
                    self.add_example(name)
                self.start()
                worker = self.worker(user=MEMBERS[0], name="short-lived")
                worker.call("set", worker.metric("gauge", (), "busy"), "1.0")
                worker.flush()
                self.wait_value("dynamo_busy", 1)
                worker.kill()
                self.journal.wait("worker 'short-lived' (pid "
                    f"{worker.process.pid}) folded: its process ended")
                self.assertIsNone(value("dynamo_busy"))

    def test_only_root_and_the_daemon_itself_may_remove(self):
        self.start()
        send("sent_total", user=MEMBERS[0])
        remove = [CTL, "--address", ADDRESS, "remove", "dynamo_sent_total"]
        done = run("runuser", "-u", MEMBERS[0], "--", *remove, check=False)
        self.assertEqual(done.returncode, REFUSED, done.stderr)
        self.assertEqual(value("dynamo_sent_total"), 1)
        run(*remove)
        self.assertIsNone(value("dynamo_sent_total"))

    # ---- Its files --------------------------------------------------------------------------

    def all_modes(self, *folders):
        """path -> permissions, of all that is in them."""
        found = {}
        for folder in folders:
            for where, _, files in os.walk(folder):
                for name in files:
                    path = os.path.join(where, name)
                    found[path] = mode(path)
        return found

    def test_nobody_else_can_read_what_it_keeps(self):
        self.start()
        send("sent_total")
        systemctl("restart", SERVICE)  # it has written a snapshot
        send("sent_total")
        self.assertEqual(mode(RUNTIME), f"0750 {GROUP} {GROUP}")
        self.assertEqual(mode(STATE), f"0700 {GROUP} {GROUP}")
        found = self.all_modes(RUNTIME, STATE)
        self.assertEqual(found.pop(f"{RUNTIME}/ingest.ipc"), f"0660 {GROUP} {GROUP}")
        found.pop(f"{RUNTIME}/http.port", None)
        self.assertGreater(len(found), 1)
        for path, how in found.items():
            with self.subTest(path=path):
                self.assertEqual(int(how.split()[0], 8) & (stat.S_IRWXO | stat.S_IWGRP), 0, how)
                self.assertEqual(how.split()[1], GROUP)
        for path in (RUNTIME, STATE):
            done = run("runuser", "-u", STRANGER, "--", "ls", path, check=False)
            self.assertNotEqual(done.returncode, 0)

    def test_the_state_is_kept_over_a_stop_and_removed_when_it_is_cleaned(self):
        self.start(SERVICE)
        send("sent_total", 5)
        systemctl("stop", SERVICE)
        self.start(SERVICE)
        self.assertEqual(value("dynamo_sent_total"), 5)
        systemctl("stop", SERVICE)
        systemctl("clean", "--what=state", "--what=runtime", SERVICE)
        self.assertFalse(os.path.exists(STATE))
        self.start(SERVICE)
        self.assertIsNone(value("dynamo_sent_total"))
        self.assertEqual(mode(STATE), f"0700 {GROUP} {GROUP}")
