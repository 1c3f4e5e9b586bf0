# SPDX-License-Identifier: Apache-2.0
"""The page read back by prometheus_client, a parser that is not ours, equals the model."""
import math
import unittest

from prometheus_client.parser import text_string_to_metric_families

import page
import rich
from harness import SystemTest


def as_read_by_prometheus_client(text):
    """kind and series: (name, labels) -> value."""
    kinds, series = {}, {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in series, f"twice: {key}"
            series[key] = sample.value
            kinds[sample.name] = family.type
    return kinds, series


def as_modelled(model):
    series = {}
    for family in page.parse(model.text()):
        for sample in family.samples:
            series[(sample.name, frozenset(sample.labels))] = sample.value
    return series


class TheParsedPage(SystemTest):
    def test_equals_the_model_series_by_series(self):
        scene = rich.fill(self.scene())
        scene.check()
        kinds, series = as_read_by_prometheus_client(scene.daemon.workers_page())
        wanted = as_modelled(scene.model)
        self.assertEqual(set(series), set(wanted))
        for key, value in wanted.items():
            if not math.isnan(value):
                self.assertEqual(series[key], value, key)
        self.assertEqual(kinds["dynamo_odd"], "gauge")
        values = {labels for name, labels in series if name == "dynamo_odd"}
        for text in rich.HARD:
            self.assertTrue(any(("odd", text) in labels for labels in values), repr(text))

    def test_has_helps_that_read_back(self):
        scene = rich.fill(self.scene())
        scene.check()
        helps = {family.name: family.documentation
            for family in text_string_to_metric_families(scene.daemon.workers_page())}
        # prometheus_client names a counter without its _total.
        self.assertEqual(helps["dynamo_requests"], rich.HARD_HELP)

    def test_with_the_daemons_own_metrics_is_read_whole(self):
        scene = rich.fill(self.scene())
        scene.check()
        scene.daemon.page()
        text = scene.daemon.page()
        _, series = as_read_by_prometheus_client(text)
        self.assertEqual(len(series), sum(len(f.samples) for f in page.parse(text)))


if __name__ == "__main__":
    unittest.main()
