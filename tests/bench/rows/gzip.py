# SPDX-License-Identifier: Apache-2.0
"""The large page again, packed while it is rendered."""
import functools
import zlib

import pages
from bench import Row
from rows.page import many, peer_1m, running_mb, stalled_mb, total

GZIP = "Accept-Encoding: gzip"


@functools.lru_cache
def times_zlib(order):
    """The bytes of a packed page, of those that zlib -6 makes of the same text."""
    connection = pages.filled(order).connection()
    connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
    packed = connection.getresponse().read()
    connection.close()
    text = zlib.decompress(packed, 31)
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return len(packed) / (len(packer.compress(text)) + len(packer.flush()))


ROWS = [
    Row(name="gzip_page", text=f"/metrics of {many} series, gzip; floor: prepared, plain",
        unit="s", floor=total(pages.prepared), own=total(pages.filled, GZIP), most=2.5,
        peers={"client_golang": peer_1m("scrape_gzip_1m")}, against={"client_golang": 50}),
    Row(name="gzip_mixed", text="the same, its families made side by side", unit="s",
        floor=total(pages.prepared), own=total(lambda: pages.filled("mixed"), GZIP),
        printed=True),
    Row(name="gzip_size", text="its bytes, of those of zlib -6", unit="x",
        own=lambda: times_zlib("family"), own_most=1.05, rounds=1),
    Row(name="gzip_size_mixed", text="its families made side by side", unit="x",
        own=lambda: times_zlib("mixed"), own_most=1.05, rounds=1),
    Row(name="gzip_stalled_memory", text="a packed scrape whose client does not read",
        unit="MB", own=lambda: stalled_mb(GZIP), own_most=1, rounds=3),
    Row(name="gzip_running_memory", text="a packed scrape whose client does", unit="MB",
        own=lambda: running_mb(GZIP), own_most=1, rounds=3),
]
