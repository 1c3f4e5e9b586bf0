# SPDX-License-Identifier: Apache-2.0
"""A strict reader of the Prometheus text format 0.0.4, as this project promises to write it.

parse(text) returns the families of a page or raises PageError with a sentence. It is much
narrower than the format: what any scraper would take but this daemon never writes (blank
lines, timestamps, families in two pieces, 1.0 for 1) is an error here.
"""
import math
import re
from collections import namedtuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Family = namedtuple("Family", "name kind help samples")
Sample = namedtuple("Sample", "name labels value line")

METRIC = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r"[a-zA-Z_][a-zA-Z0-9_]*"
SAMPLE_LINE = re.compile(rf"({METRIC})(?:\{{(.+)\}})? ([^ ]+)")
ONE_LABEL = re.compile(rf'({LABEL})="((?:[^"\\]|\\["\\n])*)"')
HELP_TEXT = re.compile(r"(?:[^\\]|\\[\\n])+")
HIERARCHY = {"seed": ("namespace", "component", "endpoint"),
    "component": ("dynamo_namespace", "dynamo_component", "dynamo_endpoint")}
GENERATED = ("_bucket", "_sum", "_count")
KINDS = ("counter", "gauge", "histogram")


class PageError(Exception):
    """Something on the page is not as promised."""


def show_value(value):
    """A number as the page has it: the shortest decimal that reads back equal, exponents
    from 1e+21 and below 1e-4."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    sign = "-" if math.copysign(1, value) < 0 else ""
    if value == 0:
        return sign + "0"
    for precision in range(17):
        digits, exponent = f"{abs(value):.{precision}e}".split("e")
        if float(f"{digits}e{exponent}") == abs(value):
            break
    exponent = int(exponent)
    digits = digits.replace(".", "").rstrip("0") or "0"
    if exponent < -4 or exponent >= 21:
        point = "." if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{point}{digits[1:]}e{exponent:+03d}"
    if exponent < 0:
        return sign + "0." + "0" * (-exponent - 1) + digits
    whole, fraction = digits[: exponent + 1], digits[exponent + 1 :]
    whole += "0" * (exponent + 1 - len(whole))
    return sign + whole + ("." + fraction if fraction else "")


def unescape(text, with_quote):
    def one(match):
        return {"n": "\n", "\\": "\\", '"': '"' if with_quote else '\\"'}[match.group(1)]

    return re.sub(r"\\(.)", one, text)


def read_value(text, line):
    words = {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf}
    if text in words:
        return words[text]
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?", text):
        raise PageError(f"value: '{text}' is no number: {line}")
    value = float(text)
    if show_value(value) != text:
        raise PageError(f"value: '{text}' should be written {show_value(value)}: {line}")
    return value


def label_rank(name, naming="seed"):
    """Where a label stands: the hierarchy in its order (under the seed's naming; by name like
    the others under the other), the others by name, le at the end."""
    if naming == "seed" and name in HIERARCHY["seed"]:
        return (0, HIERARCHY["seed"].index(name), "")
    return (2, 0, "") if name == "le" else (1, 0, name)


def read_labels(text, line, naming):
    labels, at = [], 0
    while True:
        match = ONE_LABEL.match(text, at)
        if not match:
            raise PageError(f"labels: cannot be read: {line}")
        name, value = match.group(1), unescape(match.group(2), True)
        if value == "":
            raise PageError(f"labels: {name} is empty and should be left out: {line}")
        labels.append((name, value))
        at = match.end()
        if at == len(text):
            break
        if text[at] != ",":
            raise PageError(f"labels: a comma is missing: {line}")
        at += 1
    names = [name for name, _ in labels]
    if len(set(names)) != len(names):
        raise PageError(f"labels: a name comes twice: {line}")
    if names != sorted(names, key=lambda name: label_rank(name, naming)):
        raise PageError(f"labels: wrong order: {line}")
    for above, below in zip(HIERARCHY[naming], HIERARCHY[naming][1:]):
        if below in names and above not in names:
            raise PageError(f"labels: {below} without {above}: {line}")
    return tuple(labels)


def read_sample(line, naming):
    match = SAMPLE_LINE.fullmatch(line)
    if not match:
        raise PageError(f"sample: cannot be read: {line}")
    labels = read_labels(match.group(2), line, naming) if match.group(2) is not None else ()
    return Sample(match.group(1), labels, read_value(match.group(3), line), line)


def check_single(family):
    for sample in family.samples:
        if sample.name != family.name:
            raise PageError(f"sample: not of the family {family.name}: {sample.line}")
        if any(name == "le" for name, _ in sample.labels):
            raise PageError(f"labels: le outside a histogram: {sample.line}")
        if family.kind == "counter" and not 0 <= sample.value < math.inf:
            raise PageError(f"value: a counter cannot be so: {sample.line}")


def check_child(name, buckets, total, count):
    """The lines of one histogram series."""
    line = count.line
    if total.name != name + "_sum" or count.name != name + "_count":
        raise PageError(f"histogram: buckets, _sum, _count expected in this order: {line}")
    if not buckets:
        raise PageError(f"histogram: no buckets: {line}")
    plain = buckets[0].labels[:-1]
    for bucket in buckets:
        if not bucket.labels or bucket.labels[-1][0] != "le":
            raise PageError(f"histogram: a bucket without le: {bucket.line}")
        if bucket.labels[:-1] != plain:
            raise PageError(f"histogram: buckets of two series mixed: {bucket.line}")
    if total.labels != plain or count.labels != plain:
        raise PageError(f"histogram: _sum or _count of another series: {line}")
    bounds = [read_value(bucket.labels[-1][1], bucket.line) for bucket in buckets]
    if bounds[-1] != math.inf:
        raise PageError(f"histogram: the last bucket is not +Inf: {buckets[-1].line}")
    if any(not low < high for low, high in zip(bounds, bounds[1:])):
        raise PageError(f"histogram: bounds do not ascend: {buckets[0].line}")
    values = [bucket.value for bucket in buckets]
    if any(value < 0 or value != int(value) for value in values):
        raise PageError(f"histogram: a count is no whole number: {line}")
    if any(low > high for low, high in zip(values, values[1:])):
        raise PageError(f"histogram: buckets are not cumulative: {buckets[0].line}")
    if values[-1] != count.value:
        raise PageError(f"histogram: +Inf differs from _count: {line}")
    if not math.isfinite(total.value):
        raise PageError(f"histogram: a sum cannot be so: {total.line}")


def check_histogram(family):
    at, samples = 0, family.samples
    while at < len(samples):
        first = at
        while at < len(samples) and samples[at].name == family.name + "_bucket":
            at += 1
        if at + 1 >= len(samples):
            raise PageError(f"histogram: _sum or _count is missing: {samples[first].line}")
        check_child(family.name, samples[first:at], samples[at], samples[at + 1])
        at += 2


def check_constant(sample, constant):
    for pair in constant:
        if pair not in sample.labels:
            raise PageError(f"labels: {pair[0]} should be on every series: {sample.line}")


def check_page(families):
    names = [family.name for family in families]
    for low, high in zip(names, names[1:]):
        if low == high:
            raise PageError(f"family: {low} comes twice")
        if low > high:
            raise PageError(f"family: {high} should come before {low}")
    seen, owner = set(), {}
    for family in families:
        if not family.samples:
            raise PageError(f"family: {family.name} has no samples")
        (check_histogram if family.kind == "histogram" else check_single)(family)
        taken = [family.name]
        if family.kind == "histogram":
            taken += [family.name + suffix for suffix in GENERATED]
        for name in taken:
            if owner.setdefault(name, family.name) != family.name:
                raise PageError(f"family: {name} belongs to {owner[name]} and {family.name}")
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels))
            if key in seen:
                raise PageError(f"series: twice: {sample.line}")
            seen.add(key)


def check_text(text):
    """What must hold for the text as such; returns its lines."""
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise PageError(f"text: not UTF-8: {error}") from None
    if text == "":
        return []
    if not text.endswith("\n"):
        raise PageError("text: the last line does not end")
    if "\0" in text or "\r\n" in text:
        raise PageError("text: NUL or CRLF")
    lines = text[:-1].split("\n")
    for number, line in enumerate(lines, 1):
        if line == "":
            raise PageError(f"text: line {number} is blank")
        if line != line.strip(" \t"):
            raise PageError(f"text: line {number} has space around it")
    return lines


def read_help(line, expected_blank):
    match = re.fullmatch(rf"# HELP ({METRIC}) (.+)", line, re.DOTALL)
    if not match or not HELP_TEXT.fullmatch(match.group(2)):
        raise PageError(f"help: cannot be read: {line}")
    if expected_blank is not None:
        raise PageError(f"help: twice, or not followed by TYPE: {line}")
    return match.group(1), unescape(match.group(2), False)


def parse(text, naming="seed", constant=()):
    """The families of a page, in order. constant: pairs that every series has."""
    families, waiting = [], None
    for line in check_text(text):
        if line.startswith("# HELP "):
            waiting = read_help(line, waiting)
        elif line.startswith("# TYPE "):
            match = re.fullmatch(rf"# TYPE ({METRIC}) ([a-z]+)", line)
            if not match or match.group(2) not in KINDS:
                raise PageError(f"type: cannot be read: {line}")
            if waiting and waiting[0] != match.group(1):
                raise PageError(f"help: of another family: {waiting[0]}")
            families.append(Family(match.group(1), match.group(2),
                waiting[1] if waiting else "", []))
            waiting = None
        elif line.startswith("#"):
            raise PageError(f"comment: not promised: {line}")
        elif waiting or not families:
            raise PageError(f"sample: before the TYPE of its family: {line}")
        else:
            families[-1].samples.append(read_sample(line, naming))
            check_constant(families[-1].samples[-1], constant)
    if waiting:
        raise PageError(f"help: twice, or not followed by TYPE: {waiting[0]}")
    check_page(families)
    return families


def check_content_type(value):
    if value != CONTENT_TYPE:
        raise PageError(f"content type: '{value}' is not '{CONTENT_TYPE}'")
