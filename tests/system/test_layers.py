# SPDX-License-Identifier: Apache-2.0
"""check-layers takes the tree as it is, and is seen to fail on each seeded violation."""
import os
import shutil
import subprocess
import unittest

from harness import SOURCE, SystemTest

VIOLATIONS = {
    "proto/wire.c": '#include "message.h"',
    "proto/message.c": '#include "registry.h"',
    "proto/message.h": "#include <unistd.h>",
    "client/cells.c": '#include "session.h"',
    "client/runtime.c": '#include "registry.h"',
    "client/flush.c": "#include <event2/event.h>",
    "client/include/dynamo/metrics.h": '#include "wire.h"',
    "daemon/registry.c": '#include "ingest.h"',
    "daemon/strbuf.c": '#include "registry.h"',
    "daemon/apply.c": "#include <sys/socket.h>",
    "daemon/exposition.c": "#include <event2/http.h>",
    "daemon/main.c": '#include "transport.h"',
    "daemon/labels.c": "#include <jansson.h>",
    "daemon/ingest.c": "#include <nanomsg/nn.h>",
    "ctl/main.c": '#include "../daemon/registry.h"',
    "client/series.c": "#include <nanomsg/nn.h>",
    "client/examples/worker.c": '#include "wire.h"',
    "tests/system/worker.c": '#include "cells.h"',
}


class CheckLayers(SystemTest):
    def run_on(self, tree):
        return subprocess.run([os.path.join(tree, "tests", "layers")], cwd=tree,
            capture_output=True, encoding="utf-8")

    def copy(self):
        tree = os.path.join(self.folder(), "tree")
        for part in ("proto", "client", "daemon", "ctl", "tests"):
            shutil.copytree(os.path.join(SOURCE, part), os.path.join(tree, part))
        return tree

    def test_takes_the_tree_as_it_is(self):
        result = self.run_on(self.copy())
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_fails_on_each_seeded_violation(self):
        tree = self.copy()
        for path, line in VIOLATIONS.items():
            with self.subTest(f"{path}: {line}"):
                full = os.path.join(tree, path)
                with open(full, encoding="utf-8") as file:
                    text = file.read()
                with open(full, "w", encoding="utf-8") as file:
                    file.write(text + line + "\n")
                result = self.run_on(tree)
                with open(full, "w", encoding="utf-8") as file:
                    file.write(text)
                self.assertEqual(result.returncode, 1, result.stdout)
                self.assertIn(f"{path}:", result.stderr)

    def test_fails_on_a_file_without_a_place(self):
        tree = self.copy()
        with open(os.path.join(tree, "daemon", "misc.c"), "w", encoding="ascii") as file:
            file.write("int x;\n")
        result = self.run_on(tree)
        self.assertEqual(result.returncode, 1)
        self.assertIn("daemon/misc.c", result.stderr)


if __name__ == "__main__":
    unittest.main()
