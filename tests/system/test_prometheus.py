# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus scrapes the daemon; promtool reads its page."""
import json
import math
import os
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request

import page
import rich
from harness import OWN, SystemTest, clean_environment, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
META = ("up", "scrape_duration_seconds", "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling", "scrape_series_added")
CONFIG = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: dynamo
    static_configs:
      - targets: ['127.0.0.1:{port}']
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Prometheus:
    def __init__(self, test, target_port, text=CONFIG):
        folder = test.folder()
        config = os.path.join(folder, "prometheus.yml")
        with open(config, "w", encoding="ascii") as file:
            file.write(text.format(port=target_port))
        self.port = free_port()
        self.log = open(os.path.join(folder, "log"), "wb")
        test.addCleanup(self.log.close)
        self.process = subprocess.Popen([shutil.which("prometheus"), "--config.file", config,
            "--storage.tsdb.path", os.path.join(folder, "data"), "--web.listen-address",
            f"127.0.0.1:{self.port}"], stdout=self.log, stderr=self.log,
            env=clean_environment(GOMAXPROCS="1"))
        test.addCleanup(self.stop)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def query(self, expression):
        """Labels -> value, or {} while it does not answer."""
        url = f"http://127.0.0.1:{self.port}/api/v1/query?" + urllib.parse.urlencode(
            {"query": expression})
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                result = json.load(answer)["data"]["result"]
        except OSError:
            return {}
        return {frozenset(one["metric"].items()): float(one["value"][1]) for one in result}

    def number(self, expression):
        values = list(self.query(expression).values())
        return values[0] if len(values) == 1 else None


class ARealPrometheus(SystemTest):
    def test_scrapes_keeps_and_answers_everything(self):
        scene = rich.fill(self.scene())
        scene.check()
        prometheus = Prometheus(self, scene.daemon.port)
        wait_for("the first scrape", lambda: prometheus.number("up") == 1, 60)
        samples = [s for f in page.parse(scene.daemon.page()) for s in f.samples]

        # The page grew by nothing since its own first scrape: the numbers must agree.
        wait_for("a scrape of the whole page", lambda: prometheus.number(
            "scrape_samples_scraped") == len(samples), 30)
        self.assertEqual(prometheus.number("scrape_samples_post_metric_relabeling"),
            len(samples))
        self.assertEqual(prometheus.number("up"), 1)

        kept = {}
        for labels, value in prometheus.query('{job="dynamo"}').items():
            labels = dict(labels)
            name = labels.pop("__name__")
            del labels["job"], labels["instance"]
            if name not in META:
                kept[(name, frozenset(labels.items()))] = value
        wanted = {(s.name, frozenset(s.labels)): s.value for s in samples}
        self.assertEqual(set(kept), set(wanted))
        for key, value in wanted.items():
            if not key[0].startswith(OWN) and not math.isnan(value):
                self.assertEqual(kept[key], value, key)
        self.check_quantiles(prometheus)

    def check_quantiles(self, prometheus):
        # 8 observations: 2 of 0.25, 1 of 1.5, 2 of 3, 2 of 3.5, 1 of 4: buckets 2 2 3 8 8.
        place = 'namespace="dynamo",component="backend",endpoint="generate"'
        for quantile, wanted in ((0.5, 2.4), (0.125, 0.25), (0.375, 2.0), (1, 4.0)):
            value = prometheus.number(
                f"histogram_quantile({quantile}, dynamo_seconds_bucket{{{place}}})")
            self.assertAlmostEqual(value, wanted, places=12)

    def test_sees_a_gauge_go_stale_with_its_worker(self):
        scene = self.scene()
        worker = scene.worker("a")
        scene.series(worker, "gauge", (), "depth").set(3)
        scene.series(worker, "counter", (), "jobs_total").add(5)
        scene.check()
        prometheus = Prometheus(self, scene.daemon.port)
        wait_for("the gauge", lambda: prometheus.number("dynamo_depth") == 3, 60)
        worker.kill()
        wait_for("the gauge to go stale", lambda: not prometheus.query("dynamo_depth"), 30)
        self.assertEqual(prometheus.number("dynamo_jobs_total"), 5)


class Promtool(SystemTest):
    """promtool remarks on names that do not follow the custom. The guide's own names earn
    some: promtool.expected is all that it may say."""

    def promtool(self, text):
        return subprocess.run([shutil.which("promtool"), "check", "metrics"], input=text,
            capture_output=True, encoding="utf-8", env=clean_environment())

    def guide(self, scene):
        """The metrics of the guide that users know, as they are named there."""
        worker = scene.worker("a")
        namespace, component = ("my_model",), ("my_model", "backend")
        endpoint = (*component, "generate")
        for kind, level, name, help, more in (
                ("counter", endpoint, "total_requests", "Total requests", {}),
                ("gauge", endpoint, "active_connections", "Number of connections", {}),
                ("counter", namespace, "model_requests", "Requests for this model", {}),
                ("histogram", namespace, "model_latency_seconds", "Model latency", {}),
                ("counter", component, "backend_requests", "Requests handled", {}),
                ("gauge", component, "gpu_memory_bytes", "GPU memory usage in bytes", {}),
                ("counter", endpoint, "generate_requests", "Generate requests", {}),
                ("histogram", endpoint, "generate_latency_seconds", "Latency", {}),
                ("counter", endpoint, "requests_by_model", "Requests by model type",
                    {"labels": (("model_type", "llama"), ("model_size", "7b"))}),
                ("gauge", component, "gpu_memory_bytes", "GPU memory usage by device",
                    {"labels": (("gpu_id", "0"), ("memory_type", "cached"))}),
                ("histogram", endpoint, "request_latency_seconds", "Request latency", {}),
                ("counter", endpoint, "my_counter", "My custom counter", {}),
                ("histogram", endpoint, "api_latency_seconds", "API latency", {}),
                ("counter", endpoint, "requests_total", "What promtool likes.", {})):
            scene.series(worker, kind, level, name, help, **more).many(0.5, 2, 1)
            worker.answer()
        return scene

    def test_says_what_the_guides_names_earn_and_no_more(self):
        scene = self.guide(self.scene())
        scene.check()
        scene.daemon.page()
        said = self.promtool(scene.daemon.page())
        with open(os.path.join(HERE, "promtool.expected"), encoding="utf-8") as file:
            expected = file.read()
        self.assertEqual(sorted((said.stdout + said.stderr).splitlines()),
            sorted(expected.splitlines()))
        self.assertEqual(said.returncode, 3)

    def test_is_seen_to_object_to_a_bad_page(self):
        self.assertEqual(self.promtool('a{x="y} 1\n').returncode, 1)
