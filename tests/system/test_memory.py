# SPDX-License-Identifier: Apache-2.0
"""What the objects of the build ask for memory, by their symbols."""
import glob
import os
import subprocess
import unittest

from harness import BUILD, SOURCE

# Every function of libc that hands out memory which the caller gives back.
ALLOCATORS = set("""malloc calloc realloc reallocarray strdup __strdup strndup __strndup
    asprintf vasprintf __asprintf_chk __vasprintf_chk aligned_alloc posix_memalign memalign
    valloc pvalloc wcsdup tempnam open_memstream open_wmemstream mmap mmap64 mremap sbrk
    pthread_create thrd_create fmemopen scandir get_current_dir_name""".split())


def asked_for(part):
    """The allocators that the objects of a part refer to."""
    found = set()
    objects = glob.glob(os.path.join(BUILD, part, "*.o"))
    for path in objects:
        names = subprocess.run(["nm", "--undefined-only", "--format=posix", path], check=True,
            capture_output=True, text=True).stdout
        found |= {line.split()[0].split("@")[0] for line in names.splitlines()} & ALLOCATORS
    return objects, found


def refusable():
    with open(os.path.join(SOURCE, "tests", "failing.syms"), encoding="ascii") as file:
        return {line.split()[0] for line in file}


class Memory(unittest.TestCase):
    def test_the_protocol_takes_none(self):
        objects, found = asked_for("proto")
        self.assertGreaterEqual(len(objects), 5)
        self.assertEqual(found, set())

    def test_what_the_other_parts_take_can_be_refused_by_a_test(self):
        for part in ("client", "daemon", "ctl"):
            with self.subTest(part):
                objects, found = asked_for(part)
                self.assertTrue(objects)
                self.assertTrue(found)
                self.assertEqual(found - refusable(), set())
