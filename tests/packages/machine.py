#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tests/packages/machine.py CLASS.TEST - one test of the packages, on a clean Debian that is thrown
away. /srv has the source, the build, the packages (deb) and those of the next version (next)."""
import glob
import os
import re
import sys
import tempfile
import unittest

if __name__ == "__main__":
    os.environ["DYNM_BUILD"] = "/srv/build"
    sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "service"), os.path.join(HERE, "..", "system")]

from guides import blocks, pattern
from load import Load
from service import (ADDRESS, CONFIG, CTL, DAEMON, DEFAULTS, HTTP, INGEST, RUNTIME, SERVICE, SOCKETS,
    STATE, add_user, get, main_pid, mode, run, send, show, systemctl, value, wait_for)

with open(os.path.join(HERE, "..", "..", "Makefile"), encoding="utf-8") as _file:
    NEXT = re.search(r"^VERSION := (\S+)$", _file.read(), re.MULTILINE)[1] + ".1"
UNITS = (SERVICE, INGEST, HTTP)
INSTANCE = "dynamo-metricsd@tenant.service"


def dpkg(action, *arguments):
    """As somebody does it who is asked nothing: a changed configuration is kept."""
    return run("dpkg", "--force-confdef", "--force-confold", action, *arguments).stdout


def install(folder="/srv/deb"):
    [package] = glob.glob(f"{folder}/dynamo-metricsd_*.deb")
    return dpkg("--install", package)


def states(word, *units):
    """What systemd says of each: is-active, is-enabled."""
    return run("systemctl", word, *(units or UNITS), check=False).stdout.split()


def listening():
    """The sockets that systemd holds, by their inodes: others when they were made again."""
    found = set()
    for path, is_it, inode in (("unix", r".* 00010000 0001 .* /run/dynamo-metricsd/", 6),
            ("tcp", r" *\d+: \S+:1F91 \S+ 0A ", 9)):
        with open(f"/proc/net/{path}", encoding="ascii") as file:
            found |= {line.split()[inode] for line in file if re.match(is_it, line)}
    return found


class Machine(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.assertEqual(glob.glob("/etc/dynamo*"), [])
        self.first = install()

    def test_run_the_service_and_both_sockets_once_they_are_installed(self):
        self.assertEqual(states("is-active"), ["active"] * 3)
        self.assertEqual(states("is-enabled"), ["enabled"] * 3)
        self.assertIn(get("/health")[0], (200, 204))
        self.assertEqual(show(SERVICE, "User", "Group"),
            {"User": "dynamo-metrics", "Group": "dynamo-metrics"})
        self.assertEqual(mode(RUNTIME), "0750 dynamo-metrics dynamo-metrics")
        self.assertEqual(mode(f"{RUNTIME}/ingest.ipc"), "0660 dynamo-metrics dynamo-metrics")
        self.assertEqual(mode(STATE), "0700 dynamo-metrics dynamo-metrics")
        self.assertNotIn("Warning", self.first)
        self.assertEqual(run("systemctl", "--failed", "--quiet").stdout, "")

    def test_let_members_of_the_group_send_and_nobody_else(self):
        add_user("member", "dynamo-metrics")
        add_user("stranger", "nobody-else")
        self.assertEqual(send("from_members_total", user="member").returncode, 0)
        self.assertEqual(send("from_members_total", user="stranger").returncode, 3)
        self.assertEqual(value("dynamo_from_members_total"), 1)

    def test_keep_every_count_and_answer_every_scrape_while_they_are_upgraded(self):
        load = Load()
        self.addCleanup(load.end)
        load.start()
        before, held = main_pid(), listening()
        self.assertEqual(len(held), 2)
        for folder in "/srv/next", "/srv/deb", "/srv/next":
            install(folder)
            load.turn_over()
        load.newcomer()
        load.stop()
        self.assertEqual(load.failed()[:10], [])
        self.assertEqual(value('dynamo_newcomer_total{namespace="load"}'), 1)
        self.assertNotEqual(main_pid(), before)
        self.assertEqual(listening(), held)
        self.assertEqual(states("is-active"), ["active"] * 3)
        self.assertIn(NEXT, run(CTL, "status").stdout.splitlines()[0])
        print(load.figures())

    def test_keep_what_was_changed_in_the_configuration(self):
        for path, text in (CONFIG, '{"naming": "component"}\n'), (DEFAULTS, "DYN_SYSTEM_LIVE_PATH=/up\n"):
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
        install("/srv/next")
        self.assertIn(NEXT, run(DAEMON, "--version").stdout)
        self.assertEqual(get("/up")[0], 200)
        with open(CONFIG, encoding="ascii") as file:
            self.assertEqual(file.read(), '{"naming": "component"}\n')

    def test_start_nothing_at_an_upgrade_that_was_disabled(self):
        systemctl("disable", "--now", *SOCKETS)
        install("/srv/next")
        self.assertEqual(states("is-enabled"), ["enabled", "disabled", "disabled"])
        self.assertEqual(states("is-active"), ["active", "inactive", "inactive"])
        systemctl("disable", "--now", SERVICE)
        install("/srv/deb")
        self.assertEqual(states("is-enabled"), ["disabled"] * 3)
        self.assertEqual(states("is-active"), ["inactive"] * 3)

    def test_restart_the_instances_that_run_and_stop_them_with_the_rest(self):
        run("groupadd", "tenant")
        systemctl("start", INSTANCE)
        before = main_pid(INSTANCE)
        install("/srv/next")
        self.assertEqual(states("is-active", INSTANCE), ["active"])
        self.assertNotEqual(main_pid(INSTANCE), before)
        dpkg("--remove", "dynamo-metricsd")
        self.assertEqual(states("is-active", INSTANCE), ["inactive"])

    def test_leave_configuration_and_state_when_they_are_removed(self):
        self.assertEqual(send("kept_total", 5).returncode, 0)
        dpkg("--remove", "dynamo-metricsd")
        self.assertEqual(states("is-active"), ["inactive"] * 3)
        self.assertFalse(os.path.exists(DAEMON))
        for path in (CONFIG, DEFAULTS, f"{STATE}/snapshot"):
            self.assertTrue(os.path.exists(path), path)
        install("/srv/next")
        self.assertEqual(states("is-active"), ["active"] * 3)
        self.assertEqual(value("dynamo_kept_total"), 5)

    def test_leave_nothing_but_the_user_when_they_are_purged(self):
        run("groupadd", "tenant")
        systemctl("enable", "--now", INSTANCE)
        self.assertEqual(send("gone_total").returncode, 0)
        os.mkdir(f"{STATE}-backup")  # somebody's
        dpkg("--purge", "dynamo-metricsd")
        os.rmdir(f"{STATE}-backup")
        self.assertEqual(states("is-active"), ["inactive"] * 3)
        left = run("find", "/", "-xdev", "(", "-path", "/srv", "-o", "-path", "/var/log/journal", ")",
            "-prune", "-o", "-name", "*dynamo-metric*", "-print").stdout
        self.assertEqual(left.split(), [])
        self.assertEqual(glob.glob("/run/dynamo*"), [])
        self.assertEqual(run("id", "-un", "dynamo-metrics").stdout, "dynamo-metrics\n")
        self.assertEqual(run("systemctl", "--failed", "--quiet").stdout, "")


class Guide(unittest.TestCase):
    """docs/packages.md, from top to bottom. What an unnamed block has is printed by the one before
    it, or is on the daemon's page. `make deb` gives the first version, then the next."""

    STAND_INS = {
        "make": """[ "$*" = deb ]
[ ! -e build ] && from=/srv/deb || from=/srv/next
rm -rf build
mkdir build
cp -r $from build/deb
""",
        "sudo": """[ "$1" = -u ] || exec "$@"
user=$2
shift 2
exec runuser -u "$user" -- "$@"
"""}

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        for name, text in self.STAND_INS.items():
            path = os.path.join(self.folder, name)
            with open(path, "w", encoding="ascii") as file:
                file.write("#!/bin/sh -e\n" + text)
            os.chmod(path, 0o755)
        add_user("alice", "users")

    def sh(self, block):
        done = run("sh", "-ec", block.text, check=False, cwd=self.folder, env={**os.environ,
            "DEBIAN_FRONTEND": "noninteractive", "PATH": f"{self.folder}:{os.environ['PATH']}"})
        self.assertEqual(done.returncode != 0, block.fails,
            f"{block}\n{done.stdout}{done.stderr}")
        return done.stdout

    def test_of_the_packages_does_what_it_says(self):
        printed = ""
        for block in blocks("/srv/source/docs/packages.md"):
            if block.language == "sh":
                printed = self.sh(block)
            elif block.text.startswith("dynamo_"):
                for line in block.text.splitlines():
                    self.assertIn(line, get()[1].splitlines())
            else:
                self.assertRegex(printed, pattern(block.text), block)


def main():
    kind, name = sys.argv[1].split(".")
    test = {"Guide": Guide, "Machine": Machine}[kind](name)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=0).run(test)
    if not result.wasSuccessful():
        print(run("journalctl", "--quiet", "--no-hostname", "--output=short-monotonic",
            "--unit=dynamo-metricsd*", check=False).stdout)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
