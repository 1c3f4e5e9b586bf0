# SPDX-License-Identifier: Apache-2.0
"""An old and a new release of a worker side by side: the new one has other buckets. While the
old ones live it is refused in words; when they are gone it is taken, without a restart, with
all that it counted meanwhile."""
import json
import os

import harness

OLD, NEW = (0.25, 1.0), (0.5, 1.0, 2.0)
LEVEL = ("dynamo", "backend")
NAME = "dynamo_latency_seconds"
LEASE_MS = 900  # what is refused is asked again each third of it


class Releases(harness.SystemTest):
    limits = {}

    def setUp(self):
        config = os.path.join(self.folder(), "config.json")
        with open(config, "w", encoding="ascii") as file:
            json.dump({"ingest": {"lease_ms": LEASE_MS, "grace_ms": 100},
                "limits": self.limits}, file)
        self.running = self.daemon(arguments=["--config", config])

    def release(self, name, bounds):
        """A worker of a release: its histogram, and a counter that all releases have."""
        worker = self.worker(self.running, name)
        worker.latency = worker.metric("histogram", LEVEL, "latency_seconds", bounds=bounds)
        worker.requests = worker.metric("counter", LEVEL, "requests_total")
        worker.flush()
        return worker

    def observe(self, worker, *values):
        for value in values:
            worker.call("add", worker.latency, repr(value))
        worker.call("inc", worker.requests)
        worker.flush()

    def buckets(self):
        """What the page has of the histogram: bound -> count."""
        prefix = NAME + '_bucket{namespace="dynamo",component="backend",le="'
        lines = [line[len(prefix):] for line in self.running.page().split("\n")
            if line.startswith(prefix)]
        return {line.split('"')[0]: float(line.rsplit(" ", 1)[1]) for line in lines}

    def refused(self, reason):
        return self.running.value(
            f'dynamo_metricsd_refused_total{{reason="{reason}"}}') or 0

    def requests(self):
        return self.running.value(
            'dynamo_requests_total{namespace="dynamo",component="backend"}')

    def is_refused(self, worker):
        return worker.status()["refused"] > 0

    def wait_taken(self, worker):
        harness.wait_for("the new release to be taken", lambda: not self.is_refused(worker))

    def restart(self, between=lambda: None):
        self.running.kill()
        between()
        self.running.start().ready()


class SideBySide(Releases):
    def test_the_newer_is_refused_in_words_while_the_older_lives(self):
        old = self.release("old", OLD)
        self.observe(old, 0.2, 3.0)
        new = self.release("new", NEW)
        self.observe(new, 0.4)
        self.assertEqual(self.buckets(), {"0.25": 1, "1": 1, "+Inf": 2})
        self.assertEqual(self.requests(), 2, "the rest of the new release counts")
        sentence = "the histogram 'latency_seconds' exists already with other buckets"
        self.assertIn(f"the daemon refuses the metric 'latency_seconds': {sentence}", new.log())
        with self.assertRaises(harness.WorkerError) as told:
            new.call("error")
        self.assertIn(sentence, str(told.exception))
        self.assertEqual(self.refused("bounds"), 1)
        self.assertIn(f"refused (bounds) from pid {new.process.pid}, uid {os.getuid()}: "
            + sentence, self.running.log())
        self.assertEqual(new.status()["refused"], 1)

    def test_it_is_asked_again_but_told_once(self):
        old, new = self.release("old", OLD), self.release("new", NEW)
        new.log()
        harness.wait_for("a third refusal", lambda: self.refused("bounds") >= 3)
        self.observe(old, 0.2)
        self.assertEqual(self.buckets(), {"0.25": 1, "1": 1, "+Inf": 1})
        self.assertEqual(new.log(), "")
        self.assertEqual(new.status()["refused"], 1)

    def test_the_newer_is_taken_when_the_older_are_gone(self):
        for how in ("close", "kill"):
            with self.subTest(how):
                first, second = self.release("old", OLD), self.release("older", OLD)
                self.observe(first, 0.2)
                self.observe(second, 0.2)
                new = self.release("new", NEW)
                self.observe(new, 0.4, 1.5)
                getattr(first, how)()
                self.assertIn("0.25", self.buckets())
                before = self.running.value("dynamo_metricsd_families_replaced_total")
                getattr(second, how)()
                self.wait_taken(new)
                self.observe(new, 9.0)
                self.assertEqual(self.buckets(), {"0.5": 1, "1": 1, "2": 2, "+Inf": 3},
                    "all that was observed while it was refused, and nothing of the old")
                self.assertIn("the daemon takes the metric 'latency_seconds' now", new.log())
                self.assertEqual(
                    self.running.value("dynamo_metricsd_families_replaced_total"), before + 1)
                self.assertIn("histogram 'latency_seconds' with 1 kept series was dropped",
                    self.running.log())
                new.close()

    def test_the_old_ones_successor_is_then_refused(self):
        old, new = self.release("old", OLD), self.release("new", NEW)
        old.close()
        self.wait_taken(new)
        late = self.release("old", OLD)
        self.assertTrue(self.is_refused(late))
        self.assertIn("other buckets", late.log())
        self.assertEqual(list(self.buckets()), ["0.5", "1", "2", "+Inf"])

    def test_every_child_of_a_vector_is_taken(self):
        old = self.worker(self.running, "old")
        old.metric("histogram", LEVEL, "latency_seconds", bounds=OLD)
        old.flush()
        new = self.worker(self.running, "new")
        children = [new.metric("histogram", LEVEL, "latency_seconds", bounds=NEW,
            labels=[("model", str(i))]) for i in range(300)]
        for child in children:
            new.call("add", child, "0.75")
        new.flush()
        self.assertEqual(new.status()["refused"], 300)
        old.close()
        self.wait_taken(new)
        new.flush()
        lines = [line for line in self.running.page().split("\n")
            if line.startswith(NAME + "_count{")]
        self.assertEqual(len(lines), 300)
        self.assertEqual({line.rsplit(" ", 1)[1] for line in lines}, {"1"})

    def test_a_refused_child_that_is_removed_is_not_asked_again(self):
        self.release("old", OLD)
        new = self.worker(self.running, "new")
        child = dict(labels=[("model", "a")], bounds=NEW)
        new.metric("histogram", LEVEL, "latency_seconds", **child)
        new.flush()
        vec = next(number for key, number in new.known.items() if key[0] == "histogram_vec")
        new.call("remove", vec, "a")
        new.flush()
        self.assertEqual(new.status()["refused"], 0)
        self.assertEqual(new.status()["series"], 0)

    def test_another_kind_or_merge_waits_too(self):
        old = self.worker(self.running, "old")
        old.metric("counter", LEVEL, "things")
        old.metric("gauge", LEVEL, "depth", merge="min")
        old.metric("histogram", LEVEL, "size")
        old.flush()
        new = self.worker(self.running, "new")
        new.call("set", new.metric("gauge", LEVEL, "things"), 3)
        new.call("set", new.metric("gauge", LEVEL, "depth", merge="max"), 4)
        new.call("inc", new.metric("counter", LEVEL, "size_count"))
        new.flush()
        self.assertEqual(new.status()["refused"], 3)
        for reason in ("type", "merge", "collision"):
            self.assertEqual(self.refused(reason), 1, reason)
        old.close()
        self.wait_taken(new)
        new.flush()
        place = '{namespace="dynamo",component="backend"}'
        self.assertEqual([self.running.value(f"dynamo_{name}{place}")
            for name in ("things", "depth", "size_count")], [3, 4, 1])


class OverARestart(Releases):
    def test_taken_when_the_old_left_while_the_daemon_was_down(self):
        old, new = self.release("old", OLD), self.release("new", NEW)
        self.observe(old, 0.2)
        self.observe(new, 0.4)
        self.assertTrue(self.is_refused(new))
        self.restart(between=old.kill)
        self.wait_taken(new)
        self.observe(new, 0.4)
        self.assertEqual(self.buckets(), {"0.5": 2, "1": 2, "2": 2, "+Inf": 2})
        self.assertEqual(self.requests(), 3)

    def test_of_two_that_live_one_is_taken_and_the_other_told(self):
        workers = [self.release("old", OLD), self.release("new", NEW)]
        for worker in workers:
            self.observe(worker, 0.2)
            worker.log()
        self.restart()
        for worker in workers:
            worker.flush()
        refused = [worker for worker in workers if self.is_refused(worker)]
        self.assertEqual(len(refused), 1, "whoever is first wins")
        loser = refused[0]
        winner = workers[1 - workers.index(loser)]
        bounds = {workers[0]: OLD, workers[1]: NEW}
        self.assertEqual(len(self.buckets()), len(bounds[winner]) + 1)
        if loser is workers[0]:  # it had been taken before: to it this is news
            self.assertIn("other buckets", loser.log())
        self.observe(loser, 0.2)
        winner.close()
        self.wait_taken(loser)
        loser.flush()
        self.assertEqual(len(self.buckets()), len(bounds[loser]) + 1)
        self.assertEqual(self.buckets()["+Inf"], 2)


class Limits(Releases):
    limits = {"series": 3}

    def test_a_series_over_the_limit_is_taken_when_there_is_room(self):
        first, second = self.worker(self.running, "first"), self.worker(self.running, "second")
        for value in ("x", "y", "z"):
            first.metric("counter", LEVEL, "a_total", labels=[("i", value)])
        first.flush()
        second.call("inc", second.metric("counter", LEVEL, "b_total"))
        second.flush()
        self.assertTrue(self.is_refused(second))
        self.assertIn("limits.series", second.log())
        vec = next(number for key, number in first.known.items() if key[0] == "counter_vec")
        first.call("remove", vec, "y")
        first.flush()
        self.wait_taken(second)
        second.flush()
        self.assertEqual(
            self.running.value('dynamo_b_total{namespace="dynamo",component="backend"}'), 1)


del Releases
