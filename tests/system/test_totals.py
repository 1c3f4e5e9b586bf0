# SPDX-License-Identifier: Apache-2.0
"""Eight worker processes of four threads count into shared families: totals are exact."""
from harness import SystemTest

ENDPOINT = ("dynamo", "backend", "generate")
WORKERS, THREADS, TIMES = 8, 4, 50000


class EightWorkersOfFourThreads(SystemTest):
    def test_lose_and_invent_nothing(self):
        scene = self.scene()
        workers = [scene.worker(f"w{i}", flush_ms=5) for i in range(WORKERS)]
        # Steps that add up exactly in binary.
        loads = [("counter", "whole_total", 1.0), ("counter", "fraction_total", 0.125),
            ("counter", "mixed_total", 2.5), ("histogram", "seconds", 0.25),
            ("histogram", "seconds", 4.0)]
        for kind, name, step in loads:
            for worker in workers:
                series = scene.series(worker, kind, ENDPOINT, name, "Shared.",
                    labels=(("model", "llama"),))
                series.many(step, TIMES, THREADS)
            for worker in workers:
                worker.answer()
        text = scene.check()
        total = WORKERS * THREADS * TIMES
        labels = 'namespace="dynamo",component="backend",endpoint="generate",model="llama"'
        self.assertIn(f"dynamo_whole_total{{{labels}}} {total}\n", text)
        self.assertIn(f"dynamo_fraction_total{{{labels}}} {total // 8}\n", text)
        self.assertIn(f"dynamo_seconds_count{{{labels}}} {2 * total}\n", text)
        self.assertIn(f"dynamo_seconds_sum{{{labels}}} {total * 17 // 4}\n", text)
        for worker in list(workers):
            scene.gone(worker)
        self.assertEqual(scene.check(), text)

    def test_are_never_seen_to_go_down(self):
        scene = self.scene()
        workers = [scene.worker(f"w{i}", flush_ms=5) for i in range(WORKERS)]
        series = [scene.series(worker, "counter", (), "fraction_total").many(0.1, TIMES, THREADS)
            for worker in workers]
        line, last = "dynamo_fraction_total", 0.0
        for one in series:
            now = scene.daemon.value(line) or 0.0
            self.assertGreaterEqual(now, last)
            last = now
            one.worker.answer()
        for worker in workers:
            worker.flush()
            worker.close()
            now = scene.daemon.value(line)
            self.assertGreaterEqual(now, last)
            last = now
        wanted = 0.1 * WORKERS * THREADS * TIMES
        self.assertAlmostEqual(last / wanted, 1, places=9)


class DroppedUpdates(SystemTest):
    def test_are_counted_by_the_daemon(self):
        daemon = self.daemon()
        worker = self.worker(daemon, flush_ms=5)
        counter = worker.metric("counter", (), "x_total")
        for value in (-1, float("nan"), float("inf"), 2):
            worker.call("add", counter, repr(float(value)))
        worker.flush()
        self.assertEqual(daemon.value("dynamo_x_total"), 2)
        self.assertEqual(daemon.value("dynamo_metricsd_client_dropped_updates_total"), 3)
        worker.close()
        self.assertEqual(daemon.value("dynamo_metricsd_client_dropped_updates_total"), 3)
