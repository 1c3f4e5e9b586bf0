# SPDX-License-Identifier: Apache-2.0
"""A level of the hierarchy, and all below it: the same text over HTTP, from the library, and
from the tool, for every level of several trees."""
import re
import subprocess
import urllib.parse

import harness

KEYS = ("namespace", "component", "endpoint")
TREES = {
    "plain": [("dynamo",), ("dynamo", "backend"), ("dynamo", "backend", "generate"),
        ("dynamo", "backend", "health"), ("dynamo", "frontend"), ("other",),
        ("other", "backend", "generate")],
    "names that would be one if they were joined": [("a_b",), ("a_b", "c"), ("a", "b_c"), ("a",),
        ("a", "b"), ("a", "b", "c"), ("a_b_c",), ("a/b", "c"), ("a", "b/c"), ("a/b/c",)],
    "one name at all levels": [("x",), ("x", "x"), ("x", "x", "x")],
    "names with signs of their own": [("a/b",), ("a/b", "c/d"), ("a/b", "c/d", "/"), ('"',),
        ('"', "\\"), ('"', "\\", "'"), ("a b",), ("a+b", "c&d", "e=f"), ("%41",), ("A",), ("?", "#"),
        ("new\nline", "tab\t")],
    "names of many bytes": [("é",), ("é", "漢字"), ("é", "漢字", "🙂"), ("e\u0301",), ("n" * 128,),
        ("n" * 128, "c" * 128, "e" * 128)],
}


class Levels(harness.SystemTest):
    def plant(self, tree):
        """A worker with a metric of each kind at each place, told apart by its number."""
        self.running = self.daemon()
        self.planted = self.worker(self.running)
        self.places = [()] + tree
        for number, place in enumerate(self.places):
            mark = [("place", str(number))]
            for kind, name in (("counter", "c_total"), ("gauge", "g"), ("histogram", "h")):
                series = self.planted.metric(kind, place, name, f"A {kind}", constant=mark)
                self.planted.call("add", series, str(number + 0.5))
        self.planted.flush()

    def http(self, level, **more):
        query = list(zip(KEYS, level)) + [("name[]", n) for n in more.get("names", ())]
        answer = self.running.get("/metrics?" + urllib.parse.urlencode(query))
        self.assertEqual(answer.status, 200)
        return answer.text

    def library(self, level):
        return self.planted.call("expose", self.planted.scope(level), 10000)

    def tool(self, level):
        # A lone name is a path; what is behind it says that it is a name.
        arguments = [*level, ""] if len(level) == 1 else list(level)
        result = subprocess.run([harness.CTL, "--address", self.running.address, "expose",
            "--", *arguments], capture_output=True, check=False,
            env=harness.clean_environment())
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        return result.stdout.decode("utf-8")

    def numbers(self, text):
        """The places that a text is about."""
        return {int(n) for n in re.findall(r'place="(\d+)"', text)}

    def check(self, level):
        """The one text of a level; the daemon's own metrics move, and are at the root only."""
        ways = [way(level) for way in (self.http, self.library, self.tool)]
        if not level:
            ways = [harness.without_own(text) for text in ways]
        self.assertEqual(ways[1], ways[0], "the library and HTTP")
        self.assertEqual(ways[2], ways[0], "the tool and HTTP")
        self.assertEqual(self.numbers(ways[0]),
            {i for i, place in enumerate(self.places) if place[:len(level)] == tuple(level)})
        return ways[0]

    def every_level(self):
        return sorted({place[:depth] for place in self.places for depth in range(len(place) + 1)})

    def test_are_the_same_by_all_ways(self):
        for name, tree in TREES.items():
            with self.subTest(name):
                self.plant(tree)
                for level in self.every_level():
                    self.check(level)

    def test_that_do_not_exist_are_empty(self):
        self.plant(TREES["plain"])
        for level in (("nowhere",), ("dynamo", "nowhere"), ("dynamo", "generate"),
                ("dynamo", "backend", "generat"), ("backend",), ("dynam",), ("dynamo ",)):
            self.assertEqual(self.check(level), "")

    def test_combine_with_names(self):
        for tree in TREES.values():
            self.plant(tree)
            for level in self.every_level():
                whole = harness.without_own(self.http(level))
                found = {name: self.http(level, names=[name])
                    for name in ("dynamo_c_total", "dynamo_g", "dynamo_h")}
                self.assertEqual("".join(found.values()), whole, level)
                self.assertEqual(self.http(level, names=["dynamo_g", "dynamo_c_total", "c_total"]),
                    found["dynamo_c_total"] + found["dynamo_g"])
                self.assertEqual(self.http(level, names=["nothing"]), "")

    def test_follow_what_is_made_and_removed(self):
        self.plant(TREES["plain"])
        late = self.worker(self.running)
        series = late.metric("counter", ("dynamo", "late"), "c_total")
        late.call("inc", series)
        late.flush()
        self.assertIn('c_total{namespace="dynamo",component="late"} 1\n',
            self.tool(("dynamo", "late")))
        self.assertEqual(self.tool(("dynamo", "late")), self.http(("dynamo", "late")))

    def test_need_what_is_above_them(self):
        self.plant(TREES["plain"])
        for query in ("component=backend", "namespace=dynamo&endpoint=generate", "endpoint=generate"):
            self.assertEqual(self.running.get("/metrics?" + query).status, 400, query)
        result = subprocess.run([harness.CTL, "--address", self.running.address, "expose", "--", "",
            "backend"], capture_output=True, check=False, env=harness.clean_environment())
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"namespace has an empty name", result.stderr)
