# SPDX-License-Identifier: Apache-2.0
"""tests/deps: what make run and make test install, tried with stand-ins for the programs
that it calls."""
import os
import subprocess

from harness import SOURCE, SystemTest, clean_environment

STAND_INS = {
    "dpkg-query": 'case " $MISSING " in *" $4 "*) exit 1 ;; esac; printf installed',
    "apt-get": 'echo "apt-get $*" >>"$CALLS"',
    "sudo": '[ -z "$NO_SUDO" ] || exit 1\n[ "$1" = -n ] && shift\n'
        'echo "sudo $*" >>"$CALLS"\nexec "$@"',
    "id": 'echo "$USER_ID"',
}


class Deps(SystemTest):
    def run_it(self, *groups, **environment):
        folder = self.folder()
        for name, text in STAND_INS.items():
            path = os.path.join(folder, name)
            with open(path, "w", encoding="ascii") as file:
                file.write(f"#!/bin/sh\n{text}\n")
            os.chmod(path, 0o755)
        calls = os.path.join(folder, "calls")
        done = subprocess.run([os.path.join(SOURCE, "tests/deps"), *groups],
            stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
            env=clean_environment(**{"PATH": f"{folder}:/usr/bin:/bin", "CALLS": calls,
                "MISSING": "", "USER_ID": "0", "NO_SUDO": "", "DEPS": "", **environment}))
        called = ""
        if os.path.exists(calls):
            with open(calls, encoding="ascii") as file:
                called = file.read()
        return done, called

    def test_says_and_does_nothing_when_nothing_is_missing(self):
        done, called = self.run_it("build", "test", "ci")
        self.assertEqual((done.returncode, done.stdout, done.stderr, called), (0, "", "", ""))

    def test_installs_what_is_missing_and_says_so(self):
        done, called = self.run_it("build", MISSING="curl libevent-dev valgrind")
        self.assertEqual((done.returncode, done.stdout),
            (0, "deps: installing libevent-dev curl\n"))
        self.assertTrue(called.endswith("install libevent-dev curl\n"), called)
        self.assertNotIn("sudo", called)

    def test_installs_the_peers_of_make_bench_only_when_asked(self):
        peers = "golang-go librust-prometheus-dev prometheus-cpp-dev"
        self.assertEqual(self.run_it("build", "test", "ci", MISSING=peers)[1], "")
        done, called = self.run_it("bench", MISSING=peers)
        self.assertEqual(done.stdout, f"deps: installing {peers}\n")
        self.assertTrue(called.endswith(f"install {peers}\n"), called)

    def test_asks_nothing_when_sudo_needs_no_password(self):
        done, called = self.run_it("build", MISSING="curl", USER_ID="1000")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(called, "sudo env .*apt-get .*install curl")

    def test_says_what_to_install_when_it_cannot(self):
        done, called = self.run_it("build", MISSING="curl", USER_ID="1000", NO_SUDO="1")
        self.assertEqual((done.returncode, called), (1, ""))
        self.assertIn("apt-get install curl", done.stderr)

    def test_can_be_left_out(self):
        done, called = self.run_it("build", MISSING="curl", DEPS="skip")
        self.assertEqual((done.returncode, done.stdout, called), (0, "", ""))

    def test_refuses_a_group_that_is_none(self):
        done, _ = self.run_it("everything")
        self.assertEqual(done.returncode, 2)
