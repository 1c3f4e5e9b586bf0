# SPDX-License-Identifier: Apache-2.0
"""The page for every kind, level and merge: against the model, and against texts written
by hand from the guide that users know."""
import itertools
import math
import unittest

from harness import SystemTest, WorkerError

LEVELS = ((), ("dynamo",), ("dynamo", "backend"), ("dynamo", "backend", "generate"))
ENDPOINT = LEVELS[3]
MERGES = ("sum", "min", "max", "last", "each")


class TheGuidesSample(SystemTest):
    def test_is_there_byte_for_byte(self):
        scene = self.scene()
        worker = scene.worker()
        counter = scene.series(worker, "counter", ENDPOINT, "my_counter", "My custom counter")
        for _ in range(42):
            worker.call("inc", counter.number)
        worker.flush()
        self.assertEqual(scene.daemon.workers_page(),
            "# HELP dynamo_my_counter My custom counter\n"
            "# TYPE dynamo_my_counter counter\n"
            'dynamo_my_counter{namespace="dynamo",component="backend",endpoint="generate"} 42\n')

    def test_histogram_written_by_hand(self):
        scene = self.scene()
        worker = scene.worker()
        latency = scene.series(worker, "histogram", ENDPOINT, "request_latency_seconds",
            "Request latency distribution",
            bounds=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0))
        latency.observe(0.25, 0.125, 0.001, 7)
        worker.flush()
        labels = 'namespace="dynamo",component="backend",endpoint="generate"'
        self.assertEqual(scene.daemon.workers_page(),
            "# HELP dynamo_request_latency_seconds Request latency distribution\n"
            "# TYPE dynamo_request_latency_seconds histogram\n" + "".join(
                f'dynamo_request_latency_seconds_bucket{{{labels},le="{le}"}} {count}\n'
                for le, count in (("0.001", 1), ("0.005", 1), ("0.01", 1), ("0.05", 1),
                    ("0.1", 1), ("0.5", 3), ("1", 3), ("5", 3), ("+Inf", 4))) +
            f"dynamo_request_latency_seconds_sum{{{labels}}} 7.376\n"
            f"dynamo_request_latency_seconds_count{{{labels}}} 4\n")

    def test_vectors_beside_a_plain_gauge_written_by_hand(self):
        scene = self.scene()
        worker = scene.worker()
        component = ("dynamo", "backend")
        help = "GPU memory usage in bytes"
        scene.series(worker, "gauge", component, "gpu_memory_bytes", help).set(12288)
        for kind, value in (("allocated", 8192), ("cached", 4096)):
            scene.series(worker, "gauge", component, "gpu_memory_bytes", help,
                labels=(("gpu_id", "0"), ("memory_type", kind))).set(value)
        place = 'namespace="dynamo",component="backend"'
        self.assertEqual(scene.check(),
            "# HELP dynamo_gpu_memory_bytes GPU memory usage in bytes\n"
            "# TYPE dynamo_gpu_memory_bytes gauge\n"
            f'dynamo_gpu_memory_bytes{{{place},gpu_id="0",memory_type="allocated"}} 8192\n'
            f'dynamo_gpu_memory_bytes{{{place},gpu_id="0",memory_type="cached"}} 4096\n'
            f"dynamo_gpu_memory_bytes{{{place}}} 12288\n")


class EveryKindAndLevel(SystemTest):
    def test_counters(self):
        scene = self.scene()
        for worker in (scene.worker("a"), scene.worker("b")):
            for i, level in enumerate(LEVELS):
                scene.series(worker, "counter", level, "level_total", "By level.").add(i + 0.5)
                scene.series(worker, "counter", level, f"only_{i}_total").add(3)
                scene.series(worker, "counter", level, "untouched_total", "Zero.")
        scene.check()

    def test_gauges_of_every_merge(self):
        scene = self.scene()
        values = {"a": 2.25, "b": -7.0, "c": 5.5}
        for name, value in values.items():
            worker = scene.worker(name)
            for level, merge in itertools.product(LEVELS, MERGES):
                scene.series(worker, "gauge", level, f"gauge_{merge}", f"A {merge} gauge.",
                    merge=merge).set(value)
        scene.check()

    def test_histograms(self):
        scene = self.scene()
        for worker in (scene.worker("a"), scene.worker("b")):
            for level in LEVELS:
                own = scene.series(worker, "histogram", level, "own_seconds", "Own buckets.",
                    bounds=(0.001, 0.01, 0.1, 1.0, 10.0))
                own.observe(0.001, 0.0009765625, 0.5, 10.0, 1024.0, -1.0)
                default = scene.series(worker, "histogram", level, "default_seconds")
                default.observe(0.25, 2.5, 0.0, 64.0)
                scene.series(worker, "histogram", level, "untouched_seconds")
        scene.check()

    def test_vectors_of_every_kind(self):
        scene = self.scene()
        models = (("llama", "7b"), ("gpt", "13b"), ("llama", "70b"))
        for worker, level in itertools.product((scene.worker("a"), scene.worker("b")), LEVELS):
            for i, (model, size) in enumerate(models):
                labels = (("model_type", model), ("model_size", size))
                scene.series(worker, "counter", level, "requests_by_model", "Requests.",
                    labels=labels).add(i + 1)
                scene.series(worker, "histogram", level, "seconds_by_model", "Seconds.",
                    labels=labels, bounds=(1.0, 2.0)).observe(i + 0.5)
                for merge in MERGES:
                    scene.series(worker, "gauge", level, f"{merge}_by_model", labels=labels,
                        merge=merge).set(i)
        scene.check()

    def test_plain_beside_vectors_in_one_family(self):
        scene = self.scene()
        worker = scene.worker("a")
        for kind, change in (("counter", "add"), ("gauge", "set"), ("histogram", "observe")):
            for i, labels in enumerate(((), (("x", "1"),), (("x", "1"), ("y", "2")),
                    (("y", "2"),))):
                series = scene.series(worker, kind, ENDPOINT, f"mixed_{kind}", "Mixed.",
                    labels=labels)
                getattr(series, change)(i + 1)
        scene.check()

    def test_constant_labels(self):
        scene = self.scene()
        worker = scene.worker("a")
        for level in LEVELS:
            constant = (("zone", "eu"), ("model", "llama"))
            scene.series(worker, "counter", level, "constant_total", constant=constant).add(1)
            scene.series(worker, "gauge", level, "constant", merge="each",
                constant=constant, labels=(("gpu", "0"),)).set(2)
            scene.series(worker, "histogram", level, "constant_seconds", constant=constant[:1],
                labels=(("alpha", "x"),), bounds=(1.0,)).observe(0.5)
        scene.check()

    def test_families_of_three_levels_in_one(self):
        """total_requests at the namespace and at an endpoint, as the guide has it: the
        namespace's is not the sum of its endpoints'."""
        scene = self.scene()
        worker = scene.worker("a")
        help = "Total requests across all endpoints"
        scene.series(worker, "counter", ("dynamo",), "total_requests", help).add(2)
        scene.series(worker, "counter", ENDPOINT, "total_requests",
            "Total requests across all namespaces").add(5)
        scene.check()

    def test_the_first_help_stays_and_no_help_is_no_line(self):
        scene = self.scene()
        for name, help in (("a", "First."), ("b", "Second.")):
            scene.series(scene.worker(name), "counter", (), "helped_total", help).add(1)
            scene.workers[-1].flush()
        scene.series(scene.workers[0], "counter", (), "silent_total", "").add(1)
        text = scene.check()
        self.assertIn(f"# HELP {scene.model.prefix}helped_total First.\n", text)
        self.assertNotIn(f"# HELP {scene.model.prefix}silent_total", text)

    def test_numbers_of_every_size(self):
        scene = self.scene()
        worker = scene.worker("a")
        values = (0.0, -0.0, 1.0, 0.1, 1 / 3, 2.0**53, 2.0**64, 1e20, 1e21, -1e21, 1e-4, 1e-5,
            123456789.125, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan,
            2.2250738585072014e-308, 0.30000000000000004, 999999999999999900000.0)
        for i, value in enumerate(values):
            scene.series(worker, "gauge", (), f"number_{i}").set(value)
        scene.check()


class GaugesOfWorkersThatSetDifferentThings(SystemTest):
    def scene_with(self, merge):
        """One worker never set the gauge, one set 0, one set NaN and then 1."""
        scene = self.scene()
        made = {}
        for name in ("never", "zero", "nan"):
            made[name] = scene.series(scene.worker(name), "gauge", ENDPOINT, "depth",
                "Queue depth.", merge=merge)
        made["zero"].set(0)
        made["nan"].set(math.nan)
        for worker in scene.workers:
            worker.flush()
        made["nan"].set(1)
        return scene

    def expect(self, merge, *lines):
        scene = self.scene_with(merge)
        place = 'namespace="dynamo",component="backend",endpoint="generate"'
        self.assertEqual(scene.check(),
            "# HELP dynamo_depth Queue depth.\n# TYPE dynamo_depth gauge\n" +
            "".join(f"dynamo_depth{{{place}{more}}} {value}\n" for more, value in lines))

    def test_sum(self):
        self.expect("sum", ("", 1))

    def test_min(self):
        self.expect("min", ("", 0))

    def test_max(self):
        self.expect("max", ("", 1))

    def test_last(self):
        self.expect("last", ("", 1))

    def test_each(self):
        self.expect("each", (',worker_id="nan"', 1), (',worker_id="zero"', 0))

    def test_nobody_set_it_and_it_is_not_there(self):
        for merge in MERGES:
            with self.subTest(merge):
                scene = self.scene()
                scene.series(scene.worker("never"), "gauge", ENDPOINT, "depth", merge=merge)
                self.assertEqual(scene.check(), "")


class WorkersThatGo(SystemTest):
    def fill(self, scene):
        for name, value in (("a", 1), ("b", 2), ("c", 4)):
            worker = scene.worker(name)
            scene.series(worker, "counter", ENDPOINT, "jobs_total", "Jobs.").add(value)
            scene.series(worker, "histogram", ENDPOINT, "job_seconds", bounds=(1.0, 3.0)).observe(
                value)
            for merge in MERGES:
                scene.series(worker, "gauge", ENDPOINT, f"load_{merge}", merge=merge).set(value)

    def test_gauges_leave_and_counters_stay_after_close(self):
        scene = self.scene()
        self.fill(scene)
        scene.check()
        for _ in range(3):
            scene.gone(scene.workers[-1])
            scene.check()
        self.assertNotIn("gauge", scene.check())

    def test_gauges_leave_and_counters_stay_after_a_kill(self):
        scene = self.scene()
        self.fill(scene)
        scene.check()
        for _ in range(3):
            scene.gone(scene.workers[-1], "kill")
            scene.check(patience_s=5)

    def test_the_next_latest_shows_when_the_latest_setter_goes(self):
        scene = self.scene()
        for name in ("a", "b"):
            scene.series(scene.worker(name), "gauge", (), "turn", merge="last").set(
                {"a": 10, "b": 20}[name])
        self.assertIn("dynamo_turn 20\n", scene.check())
        scene.gone(scene.workers[1])
        self.assertIn("dynamo_turn 10\n", scene.check())

    def test_setting_the_same_value_again_counts_as_a_set(self):
        scene = self.scene()
        a, b = (scene.series(scene.worker(name), "gauge", (), "turn", merge="last")
            for name in ("a", "b"))
        a.set(10)
        b.set(20)
        self.assertIn("dynamo_turn 20\n", scene.check())
        a.set(10)
        self.assertIn("dynamo_turn 10\n", scene.check())


class AWorker(SystemTest):
    def test_counts_up_over_many_flushes(self):
        scene = self.scene()
        worker = scene.worker("a")
        counter = scene.series(worker, "counter", ENDPOINT, "jobs_total")
        histogram = scene.series(worker, "histogram", ENDPOINT, "job_seconds")
        gauge = scene.series(worker, "gauge", ENDPOINT, "depth")
        for i in range(10):
            counter.add(i / 4)
            histogram.observe(i / 4)
            gauge.set(i)
            scene.check()

    def test_drops_what_cannot_be_counted_and_says_so(self):
        scene = self.scene()
        worker = scene.worker("a")
        counter = scene.series(worker, "counter", (), "jobs_total").add(2)
        histogram = scene.series(worker, "histogram", (), "job_seconds", bounds=(1.0,))
        for bad in ("nan", "inf", "-1"):
            worker.call("add", counter.number, bad)
        for bad in ("nan", "inf", "-inf"):
            worker.call("add", histogram.number, bad)
        scene.check()
        self.assertEqual(worker.status()["dropped"], 6)

    def test_adds_to_gauges(self):
        scene = self.scene()
        gauge = scene.series(scene.worker("a"), "gauge", (), "depth")
        gauge.add(5).add(-2)
        self.assertIn("dynamo_depth 3\n", scene.check())
        gauge.set(10).add(0.5)
        self.assertIn("dynamo_depth 10.5\n", scene.check())

    def test_takes_a_child_away_and_makes_it_again(self):
        scene = self.scene()
        worker = scene.worker("a")
        scope = worker.scope(ENDPOINT)
        vec = worker.make("counter_vec", scope, "jobs_total", "", "model")
        first = worker.make("with", vec, "llama")
        worker.call("add", first, 3)
        worker.flush()
        line = ('dynamo_jobs_total{namespace="dynamo",component="backend",'
            'endpoint="generate",model="llama"} %s\n')
        self.assertIn(line % 3, scene.daemon.workers_page())
        worker.call("remove", vec, "llama")
        worker.flush()
        self.assertEqual(scene.daemon.workers_page(), "")
        worker.call("add", first, 5)  # its handle does nothing now
        again = worker.call("with", 99, vec, "llama") or 99
        worker.call("add", again, 1)
        worker.flush()
        self.assertIn(line % 1, scene.daemon.workers_page())

    def test_shows_a_level_and_what_is_below_it(self):
        scene = self.scene()
        worker = scene.worker("a")
        for level in (*LEVELS, ("other",)):
            scene.series(worker, "counter", level, "jobs_total", "Jobs.").add(len(level) + 1)
        page = scene.check()
        for level in (*LEVELS[1:], ("other",)):
            text = worker.call("expose", worker.scope(level), 5000)
            names = ("namespace", "component", "endpoint")
            inside = "".join(f'{n}="{v}"' + "," for n, v in zip(names, level))[:-1]
            wanted = [line for line in page.splitlines()
                if line.startswith("# ") or "{" + inside in line]
            self.assertEqual(sorted(text.splitlines()), sorted(wanted))

    def test_reads_gauges_when_it_flushes(self):
        scene = self.scene()
        worker = scene.worker("a")
        gauge = worker.metric("gauge", (), "flushes")
        worker.call("on_flush", gauge)
        for _ in range(3):
            worker.flush()
        self.assertGreaterEqual(scene.daemon.value("dynamo_flushes"), 1)

    def test_that_forks_is_two_workers(self):
        scene = self.scene()
        worker = scene.worker("a")
        counter = worker.metric("counter", (), "jobs_total")
        gauge = worker.metric("gauge", (), "load", merge="each")
        worker.call("add", counter, 5)
        worker.call("set", gauge, 1)
        worker.flush()
        worker.call("fork")
        worker.call("add", counter, 2)  # from here on it is the child
        worker.call("set", gauge, 7)
        worker.flush()
        text = scene.daemon.workers_page()
        self.assertIn("dynamo_jobs_total 7\n", text)
        self.assertIn('dynamo_load{worker_id="a"} 1\n', text)
        self.assertIn('dynamo_load{worker_id="a-2"} 7\n', text)
        worker.tell("exit", 0)
        self.assertEqual(worker.answer(), "0")
        worker.call("add", counter, 1)
        worker.flush()
        self.assertIn("dynamo_jobs_total 8\n", scene.daemon.workers_page())


class Conflicts(SystemTest):
    def test_a_name_with_another_shape_is_refused_with_a_sentence(self):
        scene = self.scene()
        first = scene.worker("a")
        scene.series(first, "counter", ENDPOINT, "thing", "A thing.").add(1)
        first.flush()
        for kind in ("gauge", "histogram"):
            second = scene.worker(f"with a {kind}")
            second.call("add", second.metric(kind, ENDPOINT, "thing"), 5)
            second.flush()
            with self.assertRaisesRegex(WorkerError, "thing"):
                second.call("error")
            self.assertEqual(second.status()["refused"], 1)
        scene.check()
        self.assertGreaterEqual(
            scene.daemon.value('dynamo_metricsd_refused_total{reason="type"}') or 0, 2)


if __name__ == "__main__":
    unittest.main()
