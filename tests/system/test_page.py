# SPDX-License-Identifier: Apache-2.0
"""The page checker itself: it takes a good page, and is seen to fail on each bad one."""
import unittest

import page

GOOD = """\
# HELP a_total Counts \\\\ and \\n.
# TYPE a_total counter
a_total 3
a_total{namespace="n",component="c",endpoint="e"} 1
a_total{namespace="n",code="say \\"hi\\"\\\\\\n"} 0.5
# TYPE b gauge
b{x="ä"} NaN
b{x="y"} -1e+21
# HELP h Seconds.
# TYPE h histogram
h_bucket{le="0.1"} 0
h_bucket{le="1"} 2
h_bucket{le="+Inf"} 3
h_sum 3.5
h_count 3
h_bucket{k="v",le="0.1"} 0
h_bucket{k="v",le="1"} 0
h_bucket{k="v",le="+Inf"} 0
h_sum{k="v"} 0
h_count{k="v"} 0
"""

# What is replaced in the good page, by what, and the start of the sentence it must give.
BAD = {
    "no end of the last line": ("h_count{k=\"v\"} 0\n", 'h_count{k="v"} 0', "text"),
    "a blank line": ("# TYPE b gauge\n", "\n# TYPE b gauge\n", "text"),
    "a space at the end": ("a_total 3\n", "a_total 3 \n", "text"),
    "CRLF": ("a_total 3\n", "a_total 3\r\n", "text"),
    "NUL": ("a_total 3\n", "a_total\0 3\n", "text"),
    "a family in two pieces": ("h_count{k=\"v\"} 0\n",
        'h_count{k="v"} 0\n# TYPE a_total counter\na_total{z="1"} 1\n', "family"),
    "a family twice": ("# TYPE b gauge\n",
        '# TYPE a_total counter\na_total{z="1"} 1\n# TYPE b gauge\n', "family"),
    "families in the wrong order": ("b gauge\nb{x=\"ä\"} NaN\nb{", "Z gauge\nZ{x=\"ä\"} NaN\nZ{",
        "family"),
    "a family without samples": ("# TYPE b gauge\n", "# TYPE ab gauge\n# TYPE b gauge\n", "family"),
    "a sample of another family": ("b{x=\"y\"} -1e+21", 'c{x="y"} -1e+21', "sample"),
    "a sample before its type": ("# HELP a_total", "z 1\n# HELP a_total", "sample"),
    "two HELP lines": ("# TYPE a_total", "# HELP a_total Again.\n# TYPE a_total", "help"),
    "HELP after TYPE": ("# TYPE b gauge\n", "# TYPE b gauge\n# HELP b Late.\n", "sample"),
    "HELP at the end": ('h_count{k="v"} 0\n', 'h_count{k="v"} 0\n# HELP i Nothing.\n', "help"),
    "HELP of another family": ("# HELP h ", "# HELP g ", "help"),
    "HELP with a lone backslash": ("Counts \\\\ and", "Counts \\x and", "help"),
    "an empty HELP line": ("# HELP h Seconds.", "# HELP h ", "text"),
    "two TYPE lines": ("# TYPE b gauge\n", "# TYPE b gauge\n# TYPE b gauge\n", "family"),
    "an unknown type": ("# TYPE b gauge", "# TYPE b guage", "type"),
    "a summary": ("# TYPE b gauge", "# TYPE b summary", "type"),
    "a comment": ("# TYPE b gauge", "# hello\n# TYPE b gauge", "comment"),
    "a series twice": ('b{x="y"} -1e+21', 'b{x="ä"} 2', "series"),
    "a plain series twice": ("a_total 3\n", "a_total 3\na_total 4\n", "series"),
    "a raw quote in a value": ('say \\"hi', 'say "hi', "labels"),
    "a raw backslash in a value": ('hi\\"\\\\', 'hi\\"\\q', "labels"),
    "an unclosed value": ('b{x="y"}', 'b{x="y}', "labels"),
    "a bad label name": ("b{x=\"y\"}", 'b{1x="y"}', "labels"),
    "a trailing comma": ('b{x="y"}', 'b{x="y",}', "labels"),
    "empty braces": ('b{x="y"}', "b{}", "sample"),
    "an empty label": ('b{x="y"}', 'b{x=""}', "labels"),
    "a label twice": ('b{x="y"}', 'b{x="y",x="z"}', "labels"),
    "labels in the wrong order": ('namespace="n",code', 'code="1",namespace', "labels"),
    "the hierarchy in the wrong order": ('namespace="n",component="c"',
        'component="c",namespace="n"', "labels"),
    "a component without namespace": ('namespace="n",component', "component", "labels"),
    "le on a counter": ("a_total 3", 'a_total{le="1"} 3', "labels"),
    "a bad metric name": ("a_total 3", "a-total 3", "sample"),
    "a timestamp": ("a_total 3", "a_total 3 1700000000000", "sample"),
    "two spaces": ("a_total 3", "a_total  3", "sample"),
    "no value": ("a_total 3", "a_total", "sample"),
    "a decimal comma": ("0.5", "0,5", "value"),
    "an integer with a fraction": ("a_total 3", "a_total 3.0", "value"),
    "digits too many": ("0.5", "0.50000000000000003", "value"),
    "a plus sign": ("-1e+21", "+1e+21", "value"),
    "an exponent too early": ("a_total 3", "a_total 3e+00", "value"),
    "no exponent": ("-1e+21", "-1" + "0" * 21, "value"),
    "nan in lower case": ("NaN", "nan", "value"),
    "Inf without sign": ("NaN", "Inf", "value"),
    "a negative counter": ("a_total 3", "a_total -3", "value"),
    "a counter that is NaN": ("a_total 3", "a_total NaN", "value"),
    "buckets that go down": ('h_bucket{le="1"} 2', 'h_bucket{le="1"} 4', "histogram"),
    "+Inf that differs from the count": ("h_count 3", "h_count 4", "histogram"),
    "no +Inf bucket": ('h_bucket{le="+Inf"} 3\n', "", "histogram"),
    "bounds in the wrong order": ('le="0.1"} 0\nh_bucket{le="1"} 2',
        'le="1"} 0\nh_bucket{le="0.1"} 2', "histogram"),
    "a bound twice": ('h_bucket{le="1"} 2', 'h_bucket{le="0.1"} 2', "histogram"),
    "a bound badly written": ('h_bucket{le="1"} 2', 'h_bucket{le="1.0"} 2', "value"),
    "half an observation": ("h_count 3", "h_count 3.5", "histogram"),
    "count before sum": ("h_sum 3.5\nh_count 3\n", "h_count 3\nh_sum 3.5\n", "histogram"),
    "no sum": ("h_sum 3.5\n", "", "histogram"),
    "no count at the end": ('h_count{k="v"} 0\n', "", "histogram"),
    "a sum of another series": ('h_sum{k="v"}', 'h_sum{k="w"}', "histogram"),
    "a sum that is not finite": ("h_sum 3.5", "h_sum NaN", "histogram"),
    "le before another label": ('h_bucket{k="v",le="1"}', 'h_bucket{le="1",k="v"}', "labels"),
    "a bucket without le": ('h_bucket{le="1"} 2', "h_bucket 2", "histogram"),
    "a family with a generated name": ("b gauge\nb{x=\"ä\"} NaN\nb{x=\"y\"}",
        'h_sum gauge\nh_sum{x="ä"} NaN\nh_sum{x="y"}', "family"),
}


class ThePageChecker(unittest.TestCase):
    def test_takes_a_good_page(self):
        families = page.parse(GOOD)
        self.assertEqual([f.name for f in families], ["a_total", "b", "h"])
        self.assertEqual(families[0].help, "Counts \\ and \n.")
        self.assertEqual(families[0].samples[2].labels,
            (("namespace", "n"), ("code", 'say "hi"\\\n')))
        self.assertEqual(len(families[2].samples), 10)

    def test_takes_an_empty_page(self):
        self.assertEqual(page.parse(""), [])

    def test_refuses_each_bad_page_for_the_right_reason(self):
        for what, (old, new, reason) in BAD.items():
            with self.subTest(what):
                self.assertIn(old, GOOD)
                with self.assertRaises(page.PageError) as caught:
                    page.parse(GOOD.replace(old, new, 1))
                self.assertEqual(str(caught.exception).split(":")[0], reason,
                    str(caught.exception))

    def test_refuses_a_histogram_series_twice(self):
        lines = GOOD[GOOD.index("h_bucket{le=") : GOOD.index("h_bucket{k=")]
        with self.assertRaisesRegex(page.PageError, "^series: twice"):
            page.parse(GOOD + lines)

    def test_knows_the_order_of_labels_under_each_naming(self):
        for naming, good, bad in (
                ("seed", 'namespace="n",component="c",a="1"', 'component="c",namespace="n",a="1"'),
                ("seed", 'namespace="m",a="1"', 'a="1",namespace="m"'),
                ("component", 'a="1",dynamo_component="c",dynamo_namespace="n"',
                    'dynamo_namespace="n",dynamo_component="c"'),
                ("component", 'dynamo_namespace="n",z="1"', 'dynamo_component="c",z="1"')):
            text = "# TYPE x counter\nx{%s} 1\n"
            page.parse(text % good, naming)
            with self.assertRaisesRegex(page.PageError, "^labels: "):
                page.parse(text % bad, naming)

    def test_misses_a_constant_label(self):
        text = '# TYPE x counter\nx{a="1"} 1\nx{a="1",b="2"} 1\n'
        page.parse(text, "seed", (("a", "1"),))
        with self.assertRaisesRegex(page.PageError, "^labels: b should be on every series"):
            page.parse(text, "seed", (("b", "2"),))

    def test_refuses_bytes_that_are_not_utf8(self):
        with self.assertRaisesRegex(page.PageError, "^text: not UTF-8"):
            page.parse(GOOD.encode().replace("ä".encode(), b"\xff"))

    def test_refuses_a_wrong_content_type(self):
        page.check_content_type("text/plain; version=0.0.4; charset=utf-8")
        for bad in ("text/plain", "text/html; charset=ISO-8859-1", None, ""):
            with self.assertRaises(page.PageError):
                page.check_content_type(bad)

    def test_writes_numbers_as_promised(self):
        for value, text in ((0.0, "0"), (-0.0, "-0"), (42.0, "42"), (0.1, "0.1"), (1e20, "1" + "0" * 20),
                (1e21, "1e+21"), (1.5e300, "1.5e+300"), (0.0001, "0.0001"), (0.00001, "1e-05"),
                (2.0**53, "9007199254740992"), (5e-324, "5e-324"), (1 / 3, "0.3333333333333333"),
                (1e-100, "1e-100"), (123456.75, "123456.75"), (1.0000000000000002e22,
                "1.0000000000000002e+22")):
            self.assertEqual(page.show_value(value), text)
