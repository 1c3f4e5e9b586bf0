# SPDX-License-Identifier: Apache-2.0
"""The second naming and constant labels: the same scenes against the model, and pages that
are written by hand."""
import json
import os
import random
import subprocess
import unittest

import harness
import page
import rich
import test_golden
from harness import SystemTest

LABELS = {"cluster": 'say "eu"\n', "Region": "\\1", "host": "é"}
COMPONENT = {"naming": "component"}


def ctl(daemon, *arguments, stdin=None):
    return subprocess.run([harness.CTL, *arguments], input=stdin, capture_output=True,
        encoding="utf-8", timeout=harness.DEADLINE_S,
        env=harness.clean_environment(DYN_METRICSD_ADDRESS=daemon.address))


class UnderTheComponentNaming(test_golden.EveryKindAndLevel):
    config = COMPONENT


class WithConstantLabels(test_golden.EveryKindAndLevel):
    config = {"labels": LABELS}


class UnderTheComponentNamingWithConstantLabels(test_golden.EveryKindAndLevel):
    config = {"naming": "component", "labels": LABELS}


class TheComponentNaming(SystemTest):
    config = COMPONENT

    def test_shows_the_guides_sample_as_todays_dynamo_does(self):
        scene = self.scene()
        scene.series(scene.worker(), "counter", test_golden.ENDPOINT, "my_counter",
            "My custom counter").add(42)
        self.assertEqual(scene.check(),
            "# HELP dynamo_component_my_counter My custom counter\n"
            "# TYPE dynamo_component_my_counter counter\n"
            'dynamo_component_my_counter{dynamo_component="backend",'
            'dynamo_endpoint="generate",dynamo_namespace="dynamo"} 42\n')

    def test_makes_places_fit_so_that_two_spellings_are_one(self):
        scene = self.scene()
        for name, level in (("a", ("my-model", "back end", "7b")),
                ("b", ("my_model", "back.end", "_7b")), ("c", ("__my:model", "éa", "---x"))):
            scene.series(scene.worker(name), "counter", level, "jobs_total").add(1)
        self.assertEqual(scene.check(),
            "# TYPE dynamo_component_jobs_total counter\n"
            'dynamo_component_jobs_total{dynamo_component="_a",dynamo_endpoint="__x",'
            'dynamo_namespace="my_model"} 1\n'
            'dynamo_component_jobs_total{dynamo_component="back_end",dynamo_endpoint="_7b",'
            'dynamo_namespace="my_model"} 2\n')

    def test_shows_a_level_the_same_in_all_ways_and_spellings(self):
        scene = self.scene()
        worker = scene.worker("a")
        for level in (("my-model",), ("my-model", "back end"), ("other",)):
            for merge in ("sum", "each"):
                scene.series(worker, "gauge", level, f"load_{merge}", "Load.",
                    merge=merge).set(len(level))
        scene.check()
        for level, query in ((("my-model",), "namespace=my_model"),
                (("my_model",), "namespace=my-model"),
                (("my-model", "back.end"), "namespace=my.model&component=back+end")):
            with self.subTest(level):
                wanted = scene.daemon.get("/metrics?" + query).text
                self.assertEqual(len(page.parse(wanted, "component")), 2)
                self.assertEqual(worker.call("expose", worker.scope(level), 5000), wanted)
                done = ctl(scene.daemon, "expose", "/".join(level))
                self.assertEqual((done.returncode, done.stdout), (0, wanted), done.stderr)
        self.assertEqual(scene.daemon.get("/metrics?namespace=%40%23").text, "")

    def test_picks_families_by_their_full_names(self):
        scene = self.scene()
        scene.series(scene.worker(), "counter", (), "jobs_total").add(1)
        scene.check()
        for name, found in (("dynamo_component_jobs_total", 1), ("dynamo_jobs_total", 0),
                ("jobs_total", 0), ("dynamo_metricsd_workers", 1)):
            text = scene.daemon.get("/metrics?name[]=" + name).text
            self.assertEqual(len(page.parse(text, "component")), found, name)

    def test_refuses_in_json_what_cannot_fit(self):
        daemon = self.daemon()
        for message, reason, words in (
                ({"metrics": [{"name": "@#$%", "type": "counter", "inc": 1}]}, "name", "@#$%"),
                ({"metrics": [{"name": "", "type": "counter", "inc": 1}]}, "name", "letter"),
                ({"namespace": "____",
                    "metrics": [{"name": "x", "type": "counter", "inc": 1}]}, "level", "____"),
                ({"namespace": "n", "component": "日本",
                    "metrics": [{"name": "x", "type": "counter", "inc": 1}]}, "level",
                    "component")):
            with self.subTest(message):
                done = ctl(daemon, "send", json.dumps(message))
                self.assertEqual(done.returncode, 1)
                self.assertIn(words, done.stdout + done.stderr)
                self.assertEqual(daemon.value(
                    f'dynamo_metricsd_refused_total{{reason="{reason}"}}') > 0, True)
        self.assertEqual(daemon.workers_page(), "")

    def test_takes_names_in_json_that_only_fit_here(self):
        daemon = self.daemon()
        message = {"namespace": "my-model", "metrics": [
            {"name": "test$name#123", "type": "counter", "inc": 2},
            {"name": "test_name.123", "type": "counter", "inc": 3},
            {"name": "123metric", "type": "gauge", "set": 1}]}
        self.assertEqual(ctl(daemon, "send", json.dumps(message)).returncode, 0)
        place = '{dynamo_namespace="my_model"}'
        self.assertEqual(daemon.workers_page(),
            "# TYPE dynamo_component__123metric gauge\n"
            f"dynamo_component__123metric{place} 1\n"
            "# TYPE dynamo_component_test_name_123 counter\n"
            f"dynamo_component_test_name_123{place} 5\n")

    def test_leaves_it_to_the_library_to_refuse_a_mistake_where_it_is_made(self):
        worker = self.worker(self.daemon())
        worker.call("counter", 50, worker.scope(), "my.counter", "")
        with self.assertRaisesRegex(harness.WorkerError, "'my.counter' is not .a-zA-Z_:."):
            worker.call("error")

    def test_waits_for_an_endpoint_by_any_spelling_of_it(self):
        daemon = self.daemon(health=("/health", 503),
            DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS='["gen-erate"]')
        worker = self.worker(daemon)
        worker.metric("counter", ("n", "c", "gen.erate"), "jobs_total")
        worker.flush()
        answer = daemon.get("/health")
        self.assertEqual((answer.status, json.loads(answer.text)["endpoints"]),
            (200, {"gen-erate": "ready"}))


class ConstantLabels(SystemTest):
    def test_are_on_every_line_of_a_rich_page_and_nothing_else_differs(self):
        for config in ({}, COMPONENT):
            with self.subTest(config):
                scene = rich.fill(self.scene(config={**config, "labels": LABELS}))
                scene.check(patience_s=5)
                self.assertIn('process_open_fds{Region="\\\\1",', scene.daemon.page())

    def test_of_a_worker_are_refused_with_the_name_of_the_key(self):
        scene = self.scene(config={"labels": {"cluster": "eu"}})
        worker = scene.worker()
        worker.call("add", worker.metric("counter", (), "x_total",
            labels=(("cluster", "us"),)), 1)
        worker.flush()
        with self.assertRaisesRegex(harness.WorkerError,
                "'cluster' is on every series already: the daemon's configuration"):
            worker.call("error")
        self.assertEqual(scene.daemon.value(
            'dynamo_metricsd_refused_total{cluster="eu",reason="reserved"}'), 1)
        self.assertEqual(scene.daemon.workers_page(), "")


class AUid(SystemTest):
    def test_makes_so_many_series_and_no_more_until_one_leaves(self):
        daemon = self.daemon(config={"limits": {"series_per_uid": 3}})
        worker = self.worker(daemon)
        vec = worker.make("counter_vec", worker.scope(), "jobs_total", "", "k")
        for value in "abcd":
            worker.call("add", worker.make("with", vec, value), 1)
        worker.flush()
        self.assertEqual(daemon.workers_page().count("dynamo_jobs_total{"), 3)
        with self.assertRaisesRegex(harness.WorkerError,
                f"the user {os.getuid()} has its 3 series .limits.series_per_uid."):
            worker.call("error")
        message = '{"metrics":[{"name":"x","type":"counter","inc":1}]}'
        self.assertEqual(ctl(daemon, "send", message).returncode, 1)
        worker.call("remove", vec, "a")
        worker.flush()
        self.assertEqual(ctl(daemon, "send", message).returncode, 0)


class AnythingAtAll(SystemTest):
    """Messages of JSON with names, labels and texts as nasty as can be: the page stays as
    promised, and the daemon alive."""

    PIECES = ("a", "b", "_sum", "_count", "_bucket", "le", "__", "9", ":", "-", ".", " ", "\n",
        "\r", "\t", '"', "\\", "\\n", "{", "}", ",", "=", "#", "# TYPE x counter\nx 1\n", "é",
        "日本", "🚀", "\u2028", "\u0001", "\u007f", "\u0085", "cluster", "namespace",
        "worker_id", "dynamo_endpoint", "system_uptime_seconds", "metricsd_workers")

    def nasty(self, most=4):
        more = ("\0",) if self.any.random() < 0.001 else ()
        return "".join((*more, *(self.any.choice(self.PIECES)
            for _ in range(self.any.randint(0, most)))))

    def name(self):
        return self.nasty() if self.any.random() < 0.3 else self.any.choice(
            ("a", "b", "a_sum", "b_count", "c", "d", "e_", "__f", "g-h", "g_h"))

    def metric(self):
        kind = self.any.choice(("counter", "gauge", "histogram"))
        metric = {"name": self.name(), "type": kind, "labels": {
            self.name(): self.nasty() for _ in range(self.any.randint(0, 3))}}
        if kind != "histogram":  # it may, but no page of ours has it otherwise
            metric["labels"].pop("le", None)
        if self.any.random() < 0.5:
            metric["help"] = self.nasty()
        if kind == "counter":
            metric["inc"] = self.any.choice((0, 1, 2.5, 1e21, 1e-9, 1e308))
        elif kind == "gauge":
            metric["set"] = self.any.choice((0, -1, 0.1, 1e300, -1e-300))
            metric["merge"] = self.any.choice(("sum", "min", "max", "last"))
        else:
            metric["observe"] = [self.any.choice((-1, 0, 0.5, 7, 1e300)) for _ in range(3)]
            metric["buckets"] = self.any.choice(([1], [0.5, 1, 2.5], [1e-9, 1e9], []))
        return metric

    def message(self):
        message = {"metrics": [self.metric() for _ in range(20)]}
        for key in ("namespace", "component", "endpoint")[:self.any.randint(0, 3)]:
            message[key] = self.nasty() if self.any.random() < 0.3 else "my-model"
        return json.dumps(message, ensure_ascii=self.any.random() < 0.5)

    def test_leaves_the_page_as_promised(self):
        for seed, config in enumerate(({}, COMPONENT, {**COMPONENT, "labels": LABELS})):
            self.any = random.Random(seed)
            daemon = self.daemon(config=config)
            for _ in range(25):
                done = ctl(daemon, "send", "-", stdin=self.message())
                self.assertIn(done.returncode, (0, 1), done.stderr)
                daemon.page()
            self.assertGreater(daemon.workers_page().count("# TYPE "), 7)
            daemon.stop()


if __name__ == "__main__":
    unittest.main()
