# SPDX-License-Identifier: Apache-2.0
"""The table of powers of ten that the daemon prints doubles with, and the proof that it is
exact enough."""
import importlib.machinery
import importlib.util
import os
import random
import subprocess
import unittest

from harness import SOURCE, SystemTest

SCRIPT = os.path.join(SOURCE, "tests", "decimal_powers")


def script():
    loader = importlib.machinery.SourceFileLoader("decimal_powers", SCRIPT)
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("decimal_powers", loader))
    loader.exec_module(module)
    return module


class Decimal(SystemTest):
    def test_the_table_of_powers_is_what_its_script_writes(self):
        written = subprocess.run([SCRIPT], capture_output=True, encoding="utf-8", check=True)
        with open(os.path.join(SOURCE, "daemon", "decimal_powers.c"), encoding="utf-8") as file:
            self.assertEqual(written.stdout, file.read())

    def test_the_least_remainder_is_what_trying_all_finds(self):
        least_remainder, draw = script().least_remainder, random.Random(1)
        for _ in range(3000):
            m = draw.randint(2, 300)
            a, n = draw.randint(0, 2 * m), draw.randint(1, m + 20)
            self.assertEqual(least_remainder(a, m, n), min(a * j % m for j in range(1, n + 1)),
                (a, m, n))

    def test_with_fewer_bits_there_is_no_proof(self):
        module = script()
        module.BITS = 120
        self.assertRegex(module.prove(), "needs more bits")

    def test_the_exponents_that_the_daemon_computes_are_the_true_ones(self):
        """The constants of log2_of_power() and log10_of_power() in daemon/decimal.c."""
        module = script()
        for e in range(module.FIRST, module.LAST + 1):
            self.assertEqual(e * 14267572527 >> 32, module.floor_log2(*module.fraction(e)), e)
        for q in module.Q:
            for near in (0, 1):
                self.assertEqual((q * 1292913986 - near * 536607788) >> 32,
                    module.exponent(q, near), (q, near))


if __name__ == "__main__":
    unittest.main()
