# SPDX-License-Identifier: Apache-2.0
"""What a C worker is told when it asks for what cannot be: by the library itself, or by the
daemon; and that everything else goes on."""
from harness import SystemTest, WorkerError, wait_for

EINVAL, EEXIST, ELIMIT = 1, 2, 3
LONG = "x" * 1025
BAD_UTF8 = "\udcff"  # one byte, 0xff
LABELS_33 = tuple(f"l{i}" for i in range(33))
BOUNDS_129 = " ".join(str(i) for i in range(129))

# Commands of worker.c; {0} is the runtime's scope, {1} and {2} what is made before.
LOCAL = (
    # names
    ("an empty name", ("counter", "{new}", "{0}", "", ""), EINVAL, "metric name ''"),
    ("a name with a hyphen", ("counter", "{new}", "{0}", "a-b", ""), EINVAL, "'a-b'"),
    ("a name that begins with a digit", ("counter", "{new}", "{0}", "1a", ""), EINVAL,
        "'1a'"),
    ("a name with a line break", ("counter", "{new}", "{0}", "a\nb 1", ""), EINVAL,
        "[a-zA-Z_:]"),
    ("a long name", ("counter", "{new}", "{0}", "a" * 201, ""), ELIMIT, "limit is 200"),
    ("a name that is not UTF-8", ("counter", "{new}", "{0}", BAD_UTF8, ""), EINVAL, "UTF-8"),
    ("a long help", ("counter", "{new}", "{0}", "a", LONG), ELIMIT, "limit is 1024"),
    ("a help that is not UTF-8", ("counter", "{new}", "{0}", "a", BAD_UTF8), EINVAL, "UTF-8"),
    # places
    ("an empty namespace", ("level", "{new}", ""), EINVAL, "namespace has an empty name"),
    ("a long component", ("level", "{new}", "a", "b" * 129), ELIMIT, "limit is 128"),
    ("a namespace that is not UTF-8", ("level", "{new}", BAD_UTF8), EINVAL, "UTF-8"),
    # labels
    *((f"the reserved label {name}", ("label", "{new}", "{0}", name, "x"), EINVAL,
        f"Label '{name}' is automatically added by auto_label feature and cannot be "
        "manually set") for name in ("namespace", "component", "endpoint", "dynamo_namespace",
            "dynamo_component", "dynamo_endpoint")),
    ("a label of Prometheus' own", ("label", "{new}", "{0}", "__name__", "x"), EINVAL,
        "the label name '__name__' starts with __: such names are Prometheus' own"),
    ("a reserved label of a vec",
        ("counter_vec", "{new}", "{0}", "a", "", "endpoint"), EINVAL, "Label 'endpoint'"),
    ("le on a histogram", ("histogram_vec", "{new}", "{0}", "a", "", "", "le"), EINVAL,
        "Label 'le'"),
    ("worker_id on an each gauge",
        ("gauge_vec", "{new}", "{0}", "a", "", "each", "worker_id"), EINVAL,
        "Label 'worker_id'"),
    ("a label twice", ("counter_vec", "{new}", "{0}", "a", "", "l", "l"), EINVAL,
        "Duplicate label key 'l' found in labels"),
    ("a label of the scope again", ("counter_vec", "{new}", "{1}", "a", "", "gpu"), EINVAL,
        "Duplicate label key 'gpu' found in labels"),
    ("a label with a bad name", ("label", "{new}", "{0}", "a.b", "x"), EINVAL, "'a.b'"),
    ("a label with an empty name", ("label", "{new}", "{0}", "", "x"), EINVAL,
        "label name ''"),
    ("a label value that is not UTF-8", ("label", "{new}", "{0}", "a", BAD_UTF8), EINVAL,
        "UTF-8"),
    ("a long label value", ("label", "{new}", "{0}", "a", LONG), ELIMIT, "limit is 1024"),
    ("33 labels", ("counter_vec", "{new}", "{0}", "a", "", *LABELS_33), ELIMIT, "33 labels"),
    ("too few values", ("with", "{new}", "{2}", "1"), EINVAL, "has 2 labels, not 1"),
    ("too many values", ("with", "{new}", "{2}", "1", "2", "3"), EINVAL, "not 3"),
    ("a value that is not UTF-8", ("with", "{new}", "{2}", "1", BAD_UTF8), EINVAL, "UTF-8"),
    ("a long value", ("with", "{new}", "{2}", "1", LONG), ELIMIT, "limit is 1024"),
    # shapes
    ("bounds that are not sorted", ("histogram", "{new}", "{0}", "a", "", "2 1"), EINVAL,
        "finite and ascending"),
    ("a bound twice", ("histogram", "{new}", "{0}", "a", "", "1 1"), EINVAL, "ascending"),
    ("a bound that is no number", ("histogram", "{new}", "{0}", "a", "", "1 nan"), EINVAL,
        "finite"),
    ("an infinite bound", ("histogram", "{new}", "{0}", "a", "", "1 inf"), EINVAL, "finite"),
    ("129 bounds", ("histogram", "{new}", "{0}", "a", "", BOUNDS_129), ELIMIT,
        "limit is 128"),
    ("another kind", ("gauge", "{new}", "{0}", "v_total", "", "sum"), EEXIST,
        "exists as a counter, not a gauge"),
    ("another merge", ("gauge", "{new}", "{0}", "g", "", "max"), EEXIST,
        "exists with the merge 'sum', not 'max'"),
    ("other bounds", ("histogram", "{new}", "{0}", "h", "", "1 3"), EEXIST, "bound 2"),
)

# What the first worker has (kind, name, shape); what the second one asks for; the code and
# sentence it gets; the reason the daemon counts.
REMOTE = (
    ("another kind", ("counter", "a", {}), ("gauge", "a", {}), EEXIST,
        "is a counter", "type"),
    ("another merge", ("gauge", "a", {"merge": "min"}), ("gauge", "a", {"merge": "each"}),
        EEXIST, "merge", "merge"),
    ("other bounds", ("histogram", "a", {"bounds": (1.0, 2.0)}),
        ("histogram", "a", {"bounds": (1.0, 2.5)}), EEXIST, "other buckets", "bounds"),
    ("more bounds", ("histogram", "a", {"bounds": (1.0, 2.0)}),
        ("histogram", "a", {"bounds": (1.0, 2.0, 3.0)}), EEXIST, "other buckets", "bounds"),
    ("the name of a histogram's sum", ("histogram", "a", {"bounds": (1.0,)}),
        ("counter", "a_sum", {}), EEXIST, "a_sum", "collision"),
    ("a histogram over the name of another", ("counter", "a_count", {}),
        ("histogram", "a", {"bounds": (1.0,)}), EEXIST, "a_count", "collision"),
    ("a name of the daemon's own", None, ("gauge", "metricsd_workers", {}), EEXIST,
        "metricsd_workers", "collision"),
    ("more labels than this daemon takes", None,
        ("counter", "a", {"labels": (("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"))}),
        ELIMIT, "4 labels", "limit"),
    ("a longer label value", None, ("counter", "a", {"labels": (("a", "x" * 31),)}), ELIMIT,
        "limit is 30", "length"),
    ("a longer name", None, ("counter", "a" * 41, {}), ELIMIT, "limit is 40", "length"),
    ("a longer help", None, ("counter", "a", {"help": "h" * 51}), ELIMIT, "limit is 50",
        "length"),
    ("more buckets", None, ("histogram", "a", {"bounds": (1.0, 2.0, 3.0, 4.0)}), ELIMIT,
        "limit is 3", "limit"),
)
CONFIG = {"limits": {"labels": 3, "label_bytes": 30, "name_bytes": 40, "help_bytes": 50,
    "buckets": 3}}


class Told(SystemTest):
    def error(self, worker):
        """Code and sentence of the error that waits; 0 if none does."""
        try:
            worker.call("error")
        except WorkerError as error:
            return int(error.code), str(error)
        return 0, ""

    def refused(self, daemon):
        return [line for line in daemon.page().splitlines()
            if line.startswith("dynamo_metricsd_refused_total")]


class ByTheLibrary(Told):
    def test_each_mistake_has_its_sentence_and_harms_nothing(self):
        daemon = self.daemon()
        worker = self.worker(daemon)
        scope = worker.scope()
        labelled = worker.scope(constant=(("gpu", "0"),))
        vec = worker.make("counter_vec", scope, "v_total", "", "a", "b")
        worker.metric("gauge", (), "g")
        worker.metric("histogram", (), "h", bounds=(1.0, 2.0))
        counter = worker.metric("counter", (), "good_total")
        worker.flush()
        places = {"0": scope, "1": labelled, "2": vec}
        before = self.refused(daemon)
        for n, (what, command, code, sentence) in enumerate(LOCAL, 1):
            with self.subTest(what):
                worker.last_id += 1
                new = worker.last_id
                fields = [str({"{new}": new, "{0}": places["0"], "{1}": places["1"],
                    "{2}": places["2"]}.get(f, f)) for f in command]
                worker.call(*fields)
                found, text = self.error(worker)
                self.assertEqual(found, code, text)
                self.assertIn(sentence, text)
                self.assertEqual(worker.log().splitlines(), [text])
                # a null handle takes everything
                for update in (("inc", new), ("add", new, 1), ("remove", new, "x")):
                    worker.call(*update)
                self.assertEqual(self.error(worker), (0, ""))
                worker.call("inc", counter)
                worker.flush()
                self.assertEqual(daemon.value("dynamo_good_total"), n)
                self.assertEqual(worker.status()["refused"], 0)
        # none of it was ever sent
        self.assertEqual(self.refused(daemon), before)


class ByTheDaemon(Told):
    def make(self, worker, what):
        kind, name, shape = what
        number = worker.metric(kind, (), name, **shape)
        worker.call("add", number, 1)
        worker.flush()
        return number

    def test_each_refusal_has_its_sentence_and_harms_nothing(self):
        for what, first, second, code, sentence, reason in REMOTE:
            with self.subTest(what):
                daemon = self.daemon(config=CONFIG)
                holder, worker = self.worker(daemon), self.worker(daemon)
                counter = worker.metric("counter", (), "good_total")
                worker.flush()
                if first:
                    self.make(holder, first)
                page = daemon.workers_page()
                number = self.make(worker, second)
                self.assertEqual(daemon.workers_page(), page)
                found, text = self.error(worker)
                self.assertEqual(found, code, text)
                self.assertRegex(text, f"^the daemon refuses.*'{second[1]}'")
                self.assertIn(sentence, text)
                self.assertEqual(worker.log().splitlines(), [text])
                self.assertEqual(worker.status()["refused"], 1)
                self.assertGreaterEqual(daemon.value(
                    f'dynamo_metricsd_refused_total{{reason="{reason}"}}'), 1)
                # its handle stays harmless, and the others count on
                for _ in range(3):
                    worker.call("add", number, 1)
                    worker.call("inc", counter)
                    worker.flush()
                self.assertEqual(daemon.value("dynamo_good_total"), 3)
                self.assertEqual(self.error(worker), (0, ""))
                self.assertEqual(worker.log(), "")
                daemon.stop()

    def test_one_series_made_in_two_ways_counts_both(self):
        daemon = self.daemon()
        worker = self.worker(daemon)
        first = worker.metric("counter", (), "a_total", constant=(("l", "1"),))
        second = worker.metric("counter", (), "a_total", labels=(("l", "1"),))
        worker.call("add", first, 2)
        worker.call("add", second, 10)
        worker.flush()
        self.assertEqual(daemon.value('dynamo_a_total{l="1"}'), 12)
        self.assertEqual(self.error(worker), (0, ""))

    def test_a_gauge_for_each_worker_made_in_two_ways_is_the_first(self):
        daemon = self.daemon()
        worker = self.worker(daemon, "w")
        first = worker.metric("gauge", (), "a", constant=(("l", "1"),), merge="each")
        worker.call("set", first, 2)
        worker.flush()
        second = worker.metric("gauge", (), "a", labels=(("l", "1"),), merge="each")
        worker.call("set", second, 10)
        worker.flush()
        code, text = self.error(worker)
        self.assertEqual(code, EINVAL, text)
        self.assertIn("the daemon refuses the metric 'a': a series of 'a' is this worker's "
            "already", text)
        self.assertEqual(daemon.value('dynamo_a{l="1",worker_id="w"}'), 2)
        self.assertEqual(worker.status()["refused"], 1)

    def test_updates_that_are_no_numbers_are_dropped_told_once_and_counted(self):
        daemon = self.daemon()
        worker = self.worker(daemon)
        counter = worker.metric("counter", (), "a_total")
        histogram = worker.metric("histogram", (), "h", bounds=(1.0,))
        for value in ("nan", "inf", "-inf", "-1"):
            worker.call("add", counter, value)
            worker.call("add", histogram, value)
        worker.call("inc", counter)
        worker.flush()
        self.assertEqual(daemon.value("dynamo_a_total"), 1)
        self.assertEqual(daemon.value("dynamo_h_count"), 1)
        self.assertEqual(worker.status()["dropped"], 7)
        self.assertEqual(daemon.value("dynamo_metricsd_client_dropped_updates_total"), 7)
        self.assertEqual(len(worker.log().splitlines()), 2)
        self.assertEqual(self.error(worker), (0, ""))

    def test_a_worker_too_many_is_told_and_taken_when_there_is_room(self):
        daemon = self.daemon(config={"limits": {"workers": 1}})
        one = self.worker(daemon)
        one.call("add", one.metric("counter", (), "a_total"), 2)
        one.flush()
        other = self.worker(daemon)
        other.call("add", other.metric("counter", (), "a_total"), 2)
        log = wait_for("the other one to be refused", other.log)
        code, text = self.error(other)
        self.assertEqual(code, ELIMIT, text)
        self.assertIn("the daemon has its 1 workers (limits.workers)", text)
        self.assertGreaterEqual(
            daemon.value('dynamo_metricsd_refused_total{reason="limit"}'), 1)
        self.assertEqual(daemon.value("dynamo_a_total"), 2)
        one.close()
        other.flush()
        self.assertEqual(daemon.value("dynamo_a_total"), 4)
        self.assertEqual(self.error(other), (0, ""))
        self.assertEqual(len(log.splitlines()), 1)
        self.assertEqual(other.log(), "")
