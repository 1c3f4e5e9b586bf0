# SPDX-License-Identifier: Apache-2.0
"""Doubles as text: the shortest decimal that reads back equal."""
from bench import Row, program

KINDS = (
    ("counts", "whole numbers below 1,000,000"),
    ("thousandths", "three decimals"),
    ("sums", "sums of durations, 16 or 17 digits"),
    ("any", "any double, random bits"),
)

ROWS = [Row(name=f"decimal_{kind}", text=f"text of a double: {text}", unit="ns",
    floor=program("daemon_decimal", kind, "nobody"),
    own=program("daemon_decimal", kind),
    peers={"std::to_chars": program("cxx_decimal", kind),
        "printf %.17g": program("daemon_decimal", kind, "printf")},
    against={"std::to_chars": 1.0}) for kind, text in KINDS]
