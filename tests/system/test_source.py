# SPDX-License-Identifier: Apache-2.0
"""What holds for every file of the source."""
import os
import re
import shutil
import subprocess
import unittest

from harness import SOURCE

# What is no source: documentation, data, and files whose format has no comments.
WITHOUT_LICENCE = re.compile(r"\.(md|json|patch|expected|default|gitignore)$|/golden(-state)?/"
    r"|/fuzz/corpus/|^debian/(changelog|copyright|source/format)$")
# What has no lines.
BINARY = re.compile(r"/golden-state/\d+/(journal|snapshot)$|/fuzz/corpus/")


def files():
    """Every file of the tree; where there is no git, all that lies there but builds."""
    names = []
    if shutil.which("git") and os.path.exists(os.path.join(SOURCE, ".git")):
        listed = subprocess.run(["git", "-C", SOURCE, "ls-files", "-z", "--cached", "--others",
            "--exclude-standard"], capture_output=True, encoding="utf-8")
        names = [n for n in listed.stdout.split("\0") if n]
    if not names:
        names = [os.path.relpath(os.path.join(path, name), SOURCE)
            for path, _, found in os.walk(SOURCE) for name in found]
        names = [n for n in names if not re.match(r"build/|\.git/|.*__pycache__/", n)]
    return sorted(n for n in names if os.path.isfile(os.path.join(SOURCE, n)))


def read(name):
    with open(os.path.join(SOURCE, name), "rb") as file:
        return file.read()


class TheSource(unittest.TestCase):
    def test_says_in_every_file_under_which_licence_it_is(self):
        named = [n for n in files() if not WITHOUT_LICENCE.search(n)]
        self.assertGreater(len(named), 100)
        without = [n for n in named
            if b"SPDX-License-Identifier: Apache-2.0" not in b"\n".join(
                read(n).split(b"\n")[:2])]
        self.assertEqual(without, [])

    def test_names_no_other_licence(self):
        licence = re.compile(rb"SPDX-License-Identifier: *([\w.+-]+)")
        named = {(n, word) for n in files() for word in licence.findall(read(n))}
        self.assertEqual({word for _, word in named}, {b"Apache-2.0"}, named)

    def test_has_scripts_that_can_be_run(self):
        for name in files():
            path = os.path.join(SOURCE, name)
            self.assertEqual(read(name).startswith(b"#!"), os.access(path, os.X_OK), name)

    def test_ends_every_line(self):
        for name in files():
            if BINARY.search(name):
                continue
            data = read(name)
            self.assertTrue(data.endswith(b"\n") or not data, f"{name} ends in mid-line")
            self.assertNotIn(b"\r", data, name)
