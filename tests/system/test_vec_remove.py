# SPDX-License-Identifier: Apache-2.0
"""A worker takes children of its vecs away: what leaves with them, what stays of others, and
that the same child made again starts from nothing. Also over a restart of the daemon."""
from harness import SystemTest, wait_for


class Vec:
    """A vec of a worker: its children by value."""

    def __init__(self, worker, kind, name, merge="sum"):
        self.worker = worker
        more = {"counter": (), "gauge": (merge,), "histogram": ("1.0 2.0",)}[kind]
        self.number = worker.make(kind + "_vec", worker.scope(), name, "", *more, "i")
        self.set = "set" if kind == "gauge" else "add"

    def give(self, value, amount):
        """To a child, made now if it is not there."""
        self.worker.last_id += 1
        self.worker.call("with", self.worker.last_id, self.number, value)
        self.worker.call(self.set, self.worker.last_id, amount)
        return self

    def remove(self, value):
        self.worker.call("remove", self.number, value)
        return self

    def flush(self):
        self.worker.flush()
        return self


class Removing(SystemTest):
    def counter_vecs(self, daemon, n):
        return [Vec(self.worker(daemon, f"w{k}"), "counter", "v_total") for k in range(n)]

    def value(self, daemon, value="x"):
        return daemon.value(f'dynamo_v_total{{i="{value}"}}')

    def test_a_child_made_again_starts_at_0(self):
        daemon = self.daemon()
        vec, = self.counter_vecs(daemon, 1)
        vec.give("x", 5).give("y", 1).flush()
        self.assertEqual(self.value(daemon), 5)
        vec.remove("x").flush()
        self.assertIsNone(self.value(daemon))
        self.assertEqual(self.value(daemon, "y"), 1)
        vec.give("x", 2).flush()
        self.assertEqual(self.value(daemon), 2)
        for amount in range(1, 10):  # without a flush between
            vec.give("x", 100).remove("x").give("x", amount).flush()
            self.assertEqual(self.value(daemon), amount)

    def test_what_others_have_of_it_stays(self):
        daemon = self.daemon()
        one, other = self.counter_vecs(daemon, 2)
        one.give("x", 5).flush()
        other.give("x", 7).flush()
        self.assertEqual(self.value(daemon), 12)
        one.remove("x").flush()
        # what it counted is in the total as long as somebody has the series
        self.assertEqual(self.value(daemon), 12)
        one.give("x", 1).flush()
        self.assertEqual(self.value(daemon), 13)
        one.remove("x").flush()
        other.remove("x").flush()
        self.assertIsNone(self.value(daemon))
        other.give("x", 3).flush()
        self.assertEqual(self.value(daemon), 3)

    def test_what_the_dead_left_goes_when_the_last_one_removes_it(self):
        daemon = self.daemon()
        dead, one, other = self.counter_vecs(daemon, 3)
        for vec, amount in ((dead, 100), (one, 5), (other, 7)):
            vec.give("x", amount).flush()
        dead.worker.close()
        self.assertEqual(self.value(daemon), 112)
        one.remove("x").flush()
        self.assertIsNotNone(self.value(daemon))
        other.remove("x").flush()
        self.assertIsNone(self.value(daemon))
        one.give("x", 1).flush()
        self.assertEqual(self.value(daemon), 1)

    def test_a_child_removed_while_the_daemon_was_away_is_not_there_after_it(self):
        daemon = self.daemon()
        one, other = self.counter_vecs(daemon, 2)
        one.give("x", 5).give("y", 5).flush()
        other.give("x", 7).flush()
        daemon.kill()
        one.remove("x").remove("y").give("x", 1)
        daemon.start().ready()
        for vec in (one, other):
            vec.flush()
        wait_for("what was removed to leave", lambda: self.value(daemon, "y") is None)
        # the 5 stay in the total if the other one was back before they were taken away
        self.assertIn(self.value(daemon), (8, 13))
        other.remove("x").flush()
        one.remove("x").flush()
        self.assertIsNone(self.value(daemon))
        daemon.kill()
        daemon.start().ready()
        one.give("x", 4).flush()
        other.flush()
        self.assertEqual(self.value(daemon), 4)

    def test_gauges_leave_with_those_who_set_them(self):
        for merge, both, alone in (("sum", 12, 7), ("min", 5, 7), ("max", 7, 7),
                ("last", 7, 7)):
            with self.subTest(merge):
                daemon = self.daemon()
                one, other = [Vec(self.worker(daemon, f"w{k}"), "gauge", "g", merge)
                    for k in range(2)]
                one.give("x", 5).flush()
                other.give("x", 7).flush()
                self.assertEqual(daemon.value('dynamo_g{i="x"}'), both)
                one.remove("x").flush()
                self.assertEqual(daemon.value('dynamo_g{i="x"}'), alone)
                other.remove("x").flush()
                self.assertIsNone(daemon.value('dynamo_g{i="x"}'))
                daemon.stop()

    def test_a_gauge_of_each_worker_leaves_alone(self):
        daemon = self.daemon()
        one, other = [Vec(self.worker(daemon, f"w{k}"), "gauge", "g", "each")
            for k in range(2)]
        one.give("x", 5).flush()
        other.give("x", 7).flush()
        one.remove("x").flush()
        self.assertIsNone(daemon.value('dynamo_g{i="x",worker_id="w0"}'))
        self.assertEqual(daemon.value('dynamo_g{i="x",worker_id="w1"}'), 7)
        one.give("x", 6).flush()
        self.assertEqual(daemon.value('dynamo_g{i="x",worker_id="w0"}'), 6)

    def test_histograms_leave_whole_and_start_empty(self):
        daemon = self.daemon()
        vec = Vec(self.worker(daemon), "histogram", "h")
        vec.give("x", 0.5).give("x", 1.5).flush()
        self.assertEqual(daemon.value('dynamo_h_count{i="x"}'), 2)
        vec.remove("x").flush()
        self.assertNotIn("dynamo_h", daemon.workers_page())
        vec.give("x", 1.5).flush()
        self.assertEqual(daemon.value('dynamo_h_count{i="x"}'), 1)
        self.assertEqual(daemon.value('dynamo_h_bucket{i="x",le="1"}'), 0)
        self.assertEqual(daemon.value('dynamo_h_sum{i="x"}'), 1.5)

    def test_a_forked_child_has_what_its_parent_has_and_removes_its_own(self):
        daemon = self.daemon()
        vec, = self.counter_vecs(daemon, 1)
        vec.give("x", 5).give("y", 1).flush()
        vec.worker.call("fork")
        vec.give("x", 2).flush()
        self.assertEqual(self.value(daemon), 7)
        vec.remove("x").give("x", 1).flush()
        self.assertEqual(self.value(daemon), 8)
        vec.worker.tell("exit", 0)
        self.assertEqual(vec.worker.answer(), "0")
        vec.remove("x").flush()
        self.assertEqual(self.value(daemon, "y"), 1)
