# SPDX-License-Identifier: Apache-2.0
"""systemd has nothing to say against the units, as they are installed and with their drop-ins."""
import glob
import os

from service import *

UNITS = "/usr/lib/systemd/system"
EXAMPLES = "/usr/share/doc/dynamo-metricsd"


class Verify(ServiceTest):
    def names(self):
        found = sorted(map(os.path.basename, glob.glob(f"{UNITS}/dynamo-metricsd*")))
        self.assertEqual(found, [HTTP, SERVICE, INGEST, "dynamo-metricsd@.service"])
        return [name.replace("@.", "@alice.") for name in found]

    def verify(self, *names):
        done = run("systemd-analyze", "verify", "--recursive-errors=no", *names, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_takes_every_unit_without_a_word(self):
        run("groupadd", "--force", "alice")
        for name in self.names():
            with self.subTest(name):
                self.verify(name)

    def test_takes_them_with_each_drop_in(self):
        run("groupadd", "--force", "alice")
        found = sorted(map(os.path.basename, glob.glob(f"{EXAMPLES}/*.conf")))
        self.assertEqual(found, ["activated.conf", "hardened.conf"])
        for name in found:
            with open(f"{EXAMPLES}/{name}", encoding="utf-8") as file:
                self.drop_in(file.read(), name=name)
            self.verify(SERVICE)

    def test_would_not_be_silent_about_a_mistake(self):
        self.drop_in("[Service]\nProtectHoem=yes\n")
        with self.assertRaises(AssertionError):
            self.verify(SERVICE)

    def test_finds_no_fault_with_users_and_folders(self):
        self.assertEqual(run("id", "-gn", "dynamo-metrics").stdout, "dynamo-metrics\n")
        self.assertEqual(mode(RUNTIME), "0750 dynamo-metrics dynamo-metrics")
        for kind in ("sysusers", "tmpfiles"):
            done = run(f"systemd-{kind}", *(["--create"] if kind == "tmpfiles" else []),
                "dynamo-metrics.conf")
            self.assertEqual((done.stdout, done.stderr), ("", ""), kind)
