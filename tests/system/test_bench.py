# SPDX-License-Identifier: Apache-2.0
"""make bench and make growth: what they say of what was measured. No test here looks at how
fast anything is."""
import json
import os
import shutil
import subprocess
import sys
import unittest
import xml.etree.ElementTree

import harness
from harness import SOURCE, SystemTest, clean_environment

BENCH = os.path.join(SOURCE, "tests", "bench")
sys.path.insert(0, BENCH)

import bench  # noqa: E402
import plot  # noqa: E402
import table  # noqa: E402

HEAD = "from bench import NotHere, Row, peer, program\n"
RESULT_KEYS = {"name", "text", "unit", "own", "peers", "targets", "against", "verdict", "misses"}
ABOUT_KEYS = {"date", "command", "cpu", "processors", "kernel", "compiler", "versions",
    "load_start", "load_end", "rounds", "quick"}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def row(**more):
    return bench.Row(**{"name": "a", "text": "a", "unit": "ns", "own": lambda: 0, **more})


def result(row, own, floor=None, **peers):
    """What is said of a row with these figures."""
    samples = {"own": [own], **({"floor": [floor]} if floor is not None else {}),
        **{name: [figure] for name, figure in peers.items()}}
    return table.row_result(row, samples, {})


class BenchTest(SystemTest):
    def setUp(self):
        self.place = self.folder()
        self.json_file = os.path.join(self.place, "bench.json")

    def write(self, name, text):
        path = os.path.join(self.place, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def tool(self, name, *arguments, **environment):
        return subprocess.run([sys.executable, os.path.join(BENCH, name), *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=600,
            env=clean_environment(**{"DYNM_BUILD": harness.BUILD, "BENCH_JSON": self.json_file,
                "ROWS": "", "ROUNDS": "", "PEERS": "none", "QUICK": "", **environment}))

    def bench(self, rows, **environment):
        """A run of such rows; and of each part, when it was called: self.calls."""
        calls = os.path.join(self.place, "calls")
        self.write("mine.py", HEAD + "def figure(name, value):\n"
            "    def measure():\n"
            f"        with open({calls!r}, 'a') as file:\n"
            "            file.write(name + ' ')\n"
            "        return value\n"
            f"    return measure\nROWS = [{rows}]\n")
        done = self.tool("run", BENCH_ROWS=self.place, **environment)
        self.calls = read(calls).split() if os.path.exists(calls) else []
        return done

    def results(self):
        return {row["name"]: row for row in json.loads(read(self.json_file))["rows"]}


class Bench(BenchTest):
    GOOD = "Row(name='good', text='g', unit='ns', own=figure('own', 1))"

    def test_measures_all_parts_in_turns(self):
        done = self.bench("Row(name='a', text='', unit='ns', own=figure('own', 2), "
            "floor=figure('floor', 1), peers={'p': figure('p', 3)}), "
            "Row(name='b', text='', unit='ns', own=figure('b', 1))", ROUNDS="3")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.calls, ["floor", "own", "p", "b"] * 3)
        self.assertEqual(self.results()["a"]["peers"]["p"]["samples"], [3, 3, 3])

    def test_measures_what_takes_long_less_often(self):
        self.bench("Row(name='a', text='', unit='s', own=figure('a', 1), rounds=2), " + self.GOOD,
            ROUNDS="4")
        self.assertEqual((self.calls.count("a"), self.calls.count("own")), (2, 4))

    def test_measures_the_rows_that_were_asked_for(self):
        self.bench(self.GOOD + ", Row(name='bad', text='', unit='ns', own=figure('bad', 1))",
            ROWS="go% x")
        self.assertEqual(list(self.results()), ["good"])

    def test_takes_it_amiss_when_there_is_no_such_row(self):
        done = self.bench(self.GOOD, ROWS="%typo%")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no row of such a name", done.stderr)

    def test_fails_for_a_row_that_is_broken_and_goes_on(self):
        done = self.bench("Row(name='broken', text='', unit='ns', own=program('no_such')), "
            + self.GOOD, ROUNDS="2")
        self.assertEqual(done.returncode, 1)
        self.assertIn("broken, own", done.stderr)
        self.assertEqual(self.results()["broken"]["verdict"], "none")
        self.assertEqual(self.results()["good"]["own"]["samples"], [1, 1])

    def test_fails_for_a_program_that_fails_or_says_nothing(self):
        for name, text in {"fails": "#!/bin/sh\n# ends with 1\necho 5\nexit 1\n",
                "silent": "#!/bin/sh\nexit 0\n", "words": "#!/bin/sh\necho soon\n"}.items():
            with self.subTest(name):
                path = self.write(name, text)
                os.chmod(path, 0o755)
                done = self.bench(f"Row(name='a', text='', unit='ns', own=program({path!r}))")
                self.assertEqual(done.returncode, 1)

    def test_fails_for_rows_that_cannot_be_read(self):
        self.write("other.py", "ROWS = [nonsense]\n")
        done = self.bench(self.GOOD)
        self.assertEqual(done.returncode, 1)
        self.assertIn("other.py", done.stderr)
        self.assertEqual(list(self.results()), ["good"])

    def test_fails_for_two_rows_of_one_name(self):
        done = self.bench(self.GOOD + ", " + self.GOOD)
        self.assertEqual(done.returncode, 1)
        self.assertIn("good: two rows", done.stderr)

    def test_asserts_no_time(self):
        done = self.bench("Row(name='slow', text='', unit='ns', floor=figure('f', 1), "
            "own=figure('o', 10), most=3)")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.results()["slow"]["verdict"], "over")
        self.assertIn("over: slow: 10, not 3", done.stdout)

    def test_is_told_by_make_what_it_was_asked_for(self):
        for words, wanted in (((), {"ROWS": "", "PEERS": "", "QUICK": ""}),
                (("ROWS=counter% x", "PEERS=go rust", "QUICK=1"),
                    {"ROWS": "counter% x", "PEERS": "go rust", "QUICK": "1"})):
            done = subprocess.run(["make", "--no-print-directory", "-n", "-C", SOURCE, "bench",
                *words], capture_output=True, encoding="utf-8", timeout=120,
                env=clean_environment(MAKEFLAGS=""))
            self.assertEqual(done.returncode, 0, done.stderr)
            command = done.stdout.strip().split("\n")[-1]
            for name, value in wanted.items():
                self.assertIn(f" {name}='{value}' ", command)

    def test_says_why_a_peer_is_not_here(self):
        done = self.bench("Row(name='a', text='', unit='ns', own=figure('o', 1), peers={"
            "'client_golang': peer('go', 'counter_inc')}, against={'client_golang': 4})")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("client_golang: left out", done.stdout)
        self.assertEqual(self.results()["a"]["verdict"], "ok")
        built = self.bench("Row(name='a', text='', unit='ns', own=figure('o', 1), peers={"
            "'client_golang': peer('go', 'counter_inc')})", PEERS="go", DYNM_BUILD=self.place)
        self.assertEqual(built.returncode, 0, built.stderr)
        self.assertIn("client_golang: not installed", built.stdout)

    def test_takes_a_peers_other_figures_of_the_same_run(self):
        folder = os.path.join(self.place, "tests", "bench", "peers", "go")
        os.makedirs(folder)
        path = self.write("tests/bench/peers/go/peer", "#!/bin/sh\n"
            f"echo run >>{self.place}/runs\necho first 1\necho all 2\necho 2\n")
        os.chmod(path, 0o755)
        rows = ", ".join(f"Row(name='{m}', text='', unit='s', own=figure('o', 1), "
            f"peers={{'p': peer('go', '{m}')}})" for m in ("all", "first"))
        done = self.bench(rows, ROUNDS="2", PEERS="go", DYNM_BUILD=self.place)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(read(os.path.join(self.place, "runs")), "run\n" * 2)
        self.assertEqual(self.results()["first"]["peers"]["p"]["samples"], [1, 1])
        self.assertEqual(self.results()["all"]["peers"]["p"]["samples"], [2, 2])

    def test_knows_when_a_peer_has_no_such_measurement(self):
        done = self.bench("Row(name='a', text='', unit='ns', own=figure('o', 1), peers={"
            "'client_python': peer('python', 'no_such')})", PEERS="python")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("client_python: not offered", done.stdout)

    def test_has_a_figure_of_client_python(self):
        done = self.bench("Row(name='a', text='', unit='ns', own=figure('o', 1), peers={"
            "'client_python': peer('python', 'counter_inc')})", PEERS="python", QUICK="1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreater(self.results()["a"]["peers"]["client_python"]["median"], 0)

    @unittest.skipIf(harness.SANITIZED, "the programs allocate by the gigabyte")
    def test_runs_every_row_there_is(self):
        done = self.tool("run", QUICK="1")
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        said = json.loads(read(self.json_file))
        self.assertLessEqual(ABOUT_KEYS, set(said["about"]))
        self.assertGreater(len(said["rows"]), 10)
        for each in said["rows"]:
            with self.subTest(each["name"]):
                self.assertLessEqual(RESULT_KEYS, set(each))
                self.assertIsInstance(each["own"].get("median"), float, each["own"])
                self.assertGreaterEqual(each["own"]["median"], 0)
                self.assertGreater(each.get("floor", {"median": 1})["median"], 0)


class Figures(unittest.TestCase):
    def test_are_good_when_they_are_low_unless_high_is_better(self):
        for more, own, floor, verdict in (
                ({"most": 3}, 2.9, 1, "ok"), ({"most": 3}, 3.1, 1, "over"),
                ({"least": 0.5, "higher_is_better": True}, 60, 100, "ok"),
                ({"least": 0.5, "higher_is_better": True}, 40, 100, "over"),
                ({"own_most": 64}, 64, None, "ok"), ({"own_most": 64}, 65, None, "over"),
                ({"own_least": 400}, 400, None, "ok"), ({"own_least": 400}, 399, None, "over"),
                ({"most": 3, "printed": True}, 4, 1, ""), ({}, 4, 1, "")):
            said = result(row(floor=(lambda: 0) if floor else None, **more), own, floor)
            self.assertEqual(said["verdict"], verdict, (more, own, floor))

    def test_are_compared_with_a_peers_the_right_way_round(self):
        for higher, own, peer, better, verdict in ((False, 2, 10, 5, "ok"),
                (False, 4, 10, 2.5, "over"), (True, 10, 2, 5, "ok"), (True, 10, 4, 2.5, "over")):
            said = result(row(peers={"p": None}, against={"p": 4}, higher_is_better=higher), own,
                p=peer)
            self.assertEqual((said["better"]["p"], said["verdict"]), (better, verdict))

    def test_are_medians_with_the_least_and_the_most(self):
        said = table.row_result(row(), {"own": [5, 1, 3]}, {})
        self.assertEqual(table.spread(said["own"]), "3 [1-5]")

    def test_have_three_digits_that_count(self):
        for value, text in ((0.00012345, "0.000123"), (1.234, "1.23"), (12.34, "12.3"),
                (1234.5, "1,234"), (2e7, "20,000,000"), (0.0, "0")):
            self.assertEqual(table.number(value), text)


class Plots(unittest.TestCase):
    LINES = {"a & b": [[1, 10], [10, 100], [100, 1000]], "none": [[1, 0], [10, 5]]}

    def test_have_each_point_that_has_a_place(self):
        root = xml.etree.ElementTree.fromstring(plot.svg("<t>", "x", "y", self.LINES))
        lines = [each.get("points").split() for each in root.iter()
            if each.tag.endswith("polyline")]
        self.assertEqual([len(points) for points in lines], [3, 1])

    def test_have_logarithmic_axes(self):
        axis = plot.Axis([1, 100], 0, 100)
        self.assertAlmostEqual(axis.at(10), 50)
        self.assertAlmostEqual(axis.at(10) - axis.at(1), axis.at(100) - axis.at(10))

    def test_name_the_steps_of_an_axis(self):
        self.assertEqual(plot.Axis([1, 1000000], 0, 100).steps(),
            [10.0 ** n for n in range(7)])
        self.assertEqual(plot.Axis([10, 40], 0, 100).steps(), [10, 15, 20, 30, 40])
        self.assertEqual([plot.label(v) for v in (0.5, 20, 1000, 50000, 2e6)],
            ["0.5", "20", "1k", "50k", "2M"])


class Documents(BenchTest):
    def test_are_what_the_measurements_give(self):
        done = self.tool("docs", "--check")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_are_known_to_be_old_when_a_measurement_changed(self):
        docs = os.path.join(self.place, "docs")
        os.mkdir(docs)
        for name in ("performance.md", "performance.json"):
            shutil.copy(os.path.join(SOURCE, "docs", name), docs)
        shutil.copytree(os.path.join(SOURCE, "docs", "performance"),
            os.path.join(docs, "performance"))
        self.assertEqual(self.tool("docs", "--check", docs).returncode, 0)
        path = os.path.join(docs, "performance.json")
        content = json.loads(read(path))
        content["growth"]["scrape-series"]["lines"]["plain"][0][1] += 7
        content["bench"]["about"]["cpu"] = "another one"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(content, file)
        done = self.tool("docs", "--check", docs)
        self.assertEqual(done.returncode, 1)
        for name in ("performance.md", "performance/scrape-series.svg"):
            self.assertIn(os.path.join(docs, name), done.stderr)
        self.assertEqual(self.tool("docs", docs).returncode, 0)
        self.assertEqual(self.tool("docs", "--check", docs).returncode, 0)
        self.assertIn("another one", read(os.path.join(docs, "performance.md")))

    def test_are_not_made_of_a_quick_run(self):
        path = self.write("quick.json", '{"about": {"quick": true}, "rows": []}')
        done = self.tool("docs", "--take", path, self.place)
        self.assertEqual(done.returncode, 1)
        self.assertIn("quick", done.stderr)

    def test_are_not_made_of_a_run_of_some_rows(self):
        path = self.write("some.json", '{"about": {"quick": false}, "rows": []}')
        self.write("performance.json", '{"bench": {"rows": [{"name": "counter_inc"}]}}')
        done = self.tool("docs", "--take", path, self.place)
        self.assertEqual(done.returncode, 1)
        self.assertIn("counter_inc", done.stderr)


class Growth(BenchTest):
    def measured(self, curves):
        path = os.path.join(self.place, "growth.json")
        done = self.tool("growth", CURVES=curves, QUICK="1", GROWTH_JSON=path)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(read(path))["growth"]

    def test_is_measured_over_all_that_it_is_asked_of(self):
        growth = self.measured("")
        committed = json.loads(read(os.path.join(SOURCE, "docs", "performance.json")))["growth"]
        self.assertEqual(set(growth), set(committed))
        for name, curve in growth.items():
            for line, points in curve["lines"].items():
                self.assertGreaterEqual(len(points), 2, (name, line))

    def test_leaves_the_other_curves_as_they_were(self):
        first = self.measured("batch")
        both = self.measured("lab%")
        self.assertEqual({name: both[name] for name in first}, first)
        self.assertGreater(len(both), len(first))

    def test_takes_it_amiss_when_there_is_no_such_curve(self):
        done = self.tool("growth", CURVES="typo", QUICK="1", GROWTH_JSON=self.json_file)
        self.assertEqual(done.returncode, 1)
        self.assertFalse(os.path.exists(self.json_file))
