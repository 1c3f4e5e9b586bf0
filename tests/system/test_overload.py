# SPDX-License-Identifier: Apache-2.0
"""make overload and make soak, briefly: what they count is exact, and what they judge by sees
what it is for. How long anything takes is for the long runs."""
import os
import subprocess
import sys
import unittest

import harness

OVERLOAD = os.path.join(harness.SOURCE, "tests", "overload")
sys.path[:0] = [OVERLOAD, os.path.join(harness.SOURCE, "tests", "bench")]

import judge  # noqa: E402
import lasting  # noqa: E402
import plot  # noqa: E402
import soak  # noqa: E402
from crowd import Latency, Told  # noqa: E402
from probe import Scrape, counters  # noqa: E402

MIB = judge.MIB


def figures(**more):
    good = {"median": 0.001, "p99": 0.002, "max": 0.003}
    return {"name": "updates", "memory": 10 * MIB, "descriptors": 100, "connections": 10,
        "fairness": judge.fairness([100, 110, 120]), "failed": {},
        "probes": {role: dict(good) for role in ("live", "scrape", "newcomer")}, **more}


BEFORE = {"memory": 10 * MIB, "descriptors": 100}


def samples(rise=None, step=None, n=40):
    """Of a run that is flat, but for what rises by so much over all, or jumps once."""
    rise, step = rise or {}, step or {}
    flat = {"memory": 8.0, "descriptors": 120, "flush": 0.3, "scrape": 1.0, "live": 0.6,
        "turn": 0.8, "series": 1200, "remembered": 200, "journal": 0.4}
    return [{"t": 5.0 * i, **{name: value + rise.get(name, 0) * i / (n - 1)
        + 0.01 * value * (i % 3) + (step.get(name, 0) if i == n - 7 else 0)
        for name, value in flat.items()}} for i in range(n)]


class OfOverload(unittest.TestCase):
    def said(self, *sentences, **more):
        found = list(judge.overload_stage(figures(**more), BEFORE))
        self.assertEqual(len(found), len(sentences), found)
        for sentence, start in zip(found, sentences):
            self.assertIn(start, sentence)

    def test_what_is_good_is_not_complained_of(self):
        self.said()

    def test_more_memory_than_its_bound_is_seen(self):
        self.said("the daemon has 90.0 MiB, and had 10.0", memory=90 * MIB)

    def test_more_descriptors_than_connections_need_are_seen(self):
        self.said("393 descriptors", descriptors=393)

    def test_a_worker_that_starves_is_seen(self):
        self.said("acknowledged 1 times", fairness=judge.fairness([1] + 40 * [100]))

    def test_half_of_the_workers_starving_is_seen(self):
        self.said("Jain's index is 0.", fairness=judge.fairness(10 * [30] + 10 * [100]
            + 5 * [400]))

    def test_what_failed_is_seen(self):
        self.said("3 times scrape failed", failed={"scrape": 3, "req": 0})

    def test_a_late_answer_is_seen(self):
        probes = figures()["probes"]
        probes["live"]["p99"] = 0.6
        probes["scrape"]["max"] = 2.2
        self.said("live: p99 600 ms", "scrape: max 2200 ms", probes=probes)
        late = figures(probes=probes, fairness=judge.fairness([1] + 40 * [100]))
        self.assertEqual(list(judge.overload_stage(late, BEFORE, times=False)), [])

    def test_a_worker_taken_for_dead_and_a_refusal_are_seen(self):
        end = {**BEFORE, "refused": 1, "folded": 4, "wanted refused": 0, "wanted folded": 3}
        self.assertEqual([text.split(" is ")[0] for text in judge.overload_end(end, BEFORE)],
            ["afterwards: refused", "afterwards: folded"])

    def test_one_count_that_is_lost_or_doubled_is_seen(self):
        self.assertEqual(list(judge.totals({"a": 5, "b": 0}, {"a": 5})), [])
        self.assertEqual(len(list(judge.totals({"a": 5, "b": 2}, {"a": 6}))), 2)


class OfASoak(unittest.TestCase):
    def said(self, found, *names):
        self.assertEqual([text.split(":")[0] for text in judge.flat(found)], list(names))

    def test_what_is_flat_is_not_complained_of(self):
        self.said(samples())

    def test_one_bad_sample_is_no_slope(self):
        self.said(samples(step={name: 1000 for name in judge.FLAT}))

    def test_each_figure_that_rises_is_seen(self):
        for name in judge.FLAT:
            part, least = judge.FLAT[name]
            with self.subTest(name):
                self.said(samples({name: 5 * max(part * samples()[0][name], least)}), name)

    def test_what_falls_is_fine(self):
        self.said(samples({"memory": -6.0, "descriptors": -60}))

    def test_a_brief_one_sees_what_leaks_with_each_worker(self):
        self.assertEqual(list(judge.brief(samples(n=20))), [])
        self.assertEqual(list(judge.brief(samples({"flush": 50}, n=20))), [])
        for name, most in judge.BRIEF.items():
            found = list(judge.brief(samples({name: 4 * most}, n=20)))
            self.assertEqual([text.split(":")[0] for text in found], [name])

    def test_too_few_samples_are_no_proof(self):
        self.said(samples(n=8), *judge.FLAT)


class Figures(unittest.TestCase):
    def test_quantiles_are_within_a_bucket(self):
        latency = Latency([(16 * 10, 98), (16 * 20, 2)])  # a millisecond, a second
        self.assertAlmostEqual(latency.quantile(0.5), 1.024e-3, delta=1e-4)
        self.assertAlmostEqual(latency.quantile(0.99), 1.05, delta=0.1)
        self.assertEqual(Latency().figures(), {"n": 0, "median": 0, "p99": 0, "max": 0})

    def test_what_came_between_is_the_difference(self):
        before = Told('{"done":[1,2],"failed":0,"latency":[[5,3]]}').latency
        after = Told('{"done":[4,2],"failed":1,"latency":[[5,3],[9,4]]}').latency
        self.assertEqual((after - before).count, {9: 4})
        self.assertEqual((after + before).count, {5: 6, 9: 4})

    def test_a_turn_of_the_loop_is_found_between_its_bounds(self):
        before, inf = {0.001: 100, 0.01: 100, float("inf"): 100}, float("inf")
        self.assertAlmostEqual(soak.quantile_of_turns(before,
            {0.001: 190, 0.01: 200, inf: 200}), 0.001 + 0.009 * 0.9)
        self.assertAlmostEqual(soak.quantile_of_turns(before,
            {0.001: 300, 0.01: 300, inf: 300}), 0.00099)

    def test_a_counter_that_goes_down_or_away_is_seen(self):
        page = '# TYPE a counter\na{x="1"} %d\n# TYPE g gauge\ng %d\n'
        scrape = Scrape(1)
        for text, said in ((page % (5, 5), 0), (page % (5, 1), 0), (page % (4, 1), 1),
                (page % (6, 1), 0), ("# TYPE g gauge\ng 1\n", 1), ("a 1", 1)):
            scrape.text = text.encode()
            self.assertEqual(len(list(scrape.compare())), said, text)
        self.assertEqual(counters(page % (1, 2) + 'a{x="1"} 3\n')[1], [])
        self.assertEqual(counters('# TYPE a counter\na 1\na 2\n')[1], ["a"])


class Documents(unittest.TestCase):
    ABOUT = {"date": "today"}

    def soaked(self, **more):
        found = samples(n=200)
        return {"samples": found, "trends": {n: judge.trend(found, n) for n in judge.FLAT},
            "wrong": [], "warm_s": 60.0, "about": self.ABOUT, "end": {"come": {"raw": 5, "lost": 2},
                "misbehaved": 3, "reloads": 1, "messages": 10.0, "totals": 4, "seconds": 1000.0},
            **more}

    def loaded(self, **more):
        stage = figures(seconds=100.0, offered=900.0, acknowledged=90.0, others={"req": 5.0},
            report={"median": 0.001, "p99": 0.002})
        return {"stages": [stage], "sustained": 90.0, "workers": 10, "series": 4, "wrong": [],
            "about": self.ABOUT, **more}

    def test_are_not_made_of_what_failed_or_was_short(self):
        self.assertIsNotNone(lasting.taken("soak", self.soaked()))
        self.assertIsNone(lasting.taken("soak", self.soaked(wrong=["memory: not flat"])))
        self.assertIsNotNone(lasting.taken("overload", self.loaded()))
        self.assertIsNone(lasting.taken("overload", self.loaded(stages=[figures(seconds=9.0)])))

    def test_have_each_figure_that_is_judged(self):
        content = {"soak": lasting.taken("soak", self.soaked()),
            "overload": lasting.taken("overload", self.loaded())}
        made = lasting.blocks(content, lambda about: about["date"])
        for name in judge.FLAT:
            self.assertIn(f"| {lasting.NAMES[name]} |", made["soak"])
        self.assertIn("| updates | 900 | 90 | 5 req |", made["overload"])
        drawn = dict(lasting.plots(content))
        self.assertEqual(set(drawn), set(lasting.PLOTS))
        for name, text in drawn.items():
            self.assertEqual(text.count("<polyline"), len(lasting.PLOTS[name][2]))
            self.assertIn(f"performance/{name}.svg", made["soak"])

    def test_have_even_axes_from_zero(self):
        axis = plot.Even([7, 30], 0, 104)
        self.assertEqual(axis.steps(), [0, 5, 10, 15, 20, 25, 30])
        self.assertAlmostEqual(axis.at(30), 100)
        self.assertEqual(axis.at(0), 0)


class Run(unittest.TestCase):
    def run_script(self, name, *arguments):
        # Told to end, it ends what it has started; killed, it could not.
        done = subprocess.run(["timeout", "--foreground", "240", sys.executable,
            os.path.join(OVERLOAD, name), "--brief", *arguments], capture_output=True, text=True,
            timeout=300, check=False)
        self.assertEqual(done.returncode, 0, done.stdout[-6000:] + done.stderr[-3000:])
        self.assertIn("1 passed, 0 failed", done.stdout)
        return done.stdout

    def test_workers_that_want_to_send_ten_times_as_much_lose_nothing(self):
        said = self.run_script("run", "--seconds", "8", "--workers", "200", "--series", "5")
        self.assertIn("all together", said)
        self.assertRegex(said, r"refused 0, folded (\d+), as wanted \1; 1,0\d\d totals compared")

    def test_churn_leaves_nothing_behind(self):
        self.assertRegex(self.run_script("soak", "--minutes", "0.13", "--warm", "3"),
            r"[\d,]{3,} workers came and went, \d\d+ connections misbehaved, [1-9]\d* reloads")


if __name__ == "__main__":
    unittest.main()
