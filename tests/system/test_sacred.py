# SPDX-License-Identifier: Apache-2.0
"""The worker is sacred: an application that uses the library notices nothing of it, in each of
the conditions of tests/sacred, here for a moment; `make sacred` takes longer and shows figures."""
import os
import re
import sys

import harness

sys.path.append(os.path.join(harness.SOURCE, "tests", "sacred"))

import conditions  # noqa: E402

SECONDS = 0.4


class AnApplication(harness.SystemTest):
    def notices_nothing(self, number):
        if conditions.why_not(number):
            self.skipTest(conditions.why_not(number))
        outcome = conditions.run(number, SECONDS)
        self.assertEqual(outcome.noticed, [], outcome.line())

    def test_meets_a_daemon_that_refuses_ever_more_seldom(self):
        wrong, line = conditions.back_off(conditions.BACK_OFF_S[0])
        self.assertEqual(wrong, [], line)


def add(number, name):
    words = re.sub(r"\W+", "_", name)
    setattr(AnApplication, f"test_notices_nothing_of_{number:02}_{words}",
        lambda self: self.notices_nothing(number))


for row in conditions.CONDITIONS:
    add(*row[:2])
