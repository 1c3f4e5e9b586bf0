# SPDX-License-Identifier: Apache-2.0
"""Under a locale that writes 1,5 for one and a half, the page is the same."""
import os
import subprocess
import unittest

import rich
from harness import SANITIZED, SystemTest, clean_environment
from model import canonical

# Takes the environment's locale before the daemon's main(), and says what it does to
# numbers: the daemon itself never asks for a locale, but a library of its might.
TAKE_LOCALE = """
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
__attribute__((constructor)) static void take_locale(void)
{
	FILE *file = fopen(getenv("SEEN_FILE"), "a");
	setlocale(LC_ALL, "");
	if (file) {
		fprintf(file, "%.1f\\n", 1.5);
		fclose(file);
	}
}
"""


@unittest.skipIf(SANITIZED, "a sanitizer must be the first library, so nothing is preloaded")
class UnderACommaLocale(SystemTest):
    def comma_environment(self, folder):
        made = subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", "--no-archive",
            os.path.join(folder, "de_DE.UTF-8")], capture_output=True, encoding="utf-8")
        self.assertTrue(os.path.isdir(os.path.join(folder, "de_DE.UTF-8")), made.stderr)
        return {"LOCPATH": folder, "LC_ALL": "de_DE.UTF-8"}

    def preload(self, folder):
        library = os.path.join(folder, "take_locale.so")
        subprocess.run([os.environ.get("CC") or "cc", "-shared", "-fPIC", "-x", "c", "-", "-o",
            library], input=TAKE_LOCALE, encoding="ascii", check=True)
        return library

    def test_the_page_is_the_same(self):
        folder = self.folder()
        comma = self.comma_environment(folder)
        seen = os.path.join(folder, "seen")
        plain = rich.fill(self.scene())
        wanted = plain.check()

        control = subprocess.run(["/usr/bin/printf", "%.1f", "1,5"], capture_output=True,
            env=clean_environment(**comma), encoding="utf-8")
        self.assertEqual(control.stdout, "1,5", "the locale is not in force")

        other = self.scene(LD_PRELOAD=self.preload(folder), SEEN_FILE=seen, **comma)
        with open(seen, encoding="ascii") as file:
            self.assertEqual(set(file.read().split()), {"1,5"}, "not in force in the daemon")
        make_worker = other.worker

        def worker_in_locale(name=None, **options):
            worker = make_worker(name, **comma, **options)
            self.assertEqual(worker.call("locale"), "1,5", "not in force in the worker")
            return worker

        other.worker = worker_in_locale
        rich.fill(other)
        self.assertEqual(other.check(), wanted)
        self.assertEqual(canonical(other.daemon.workers_page()), wanted)
