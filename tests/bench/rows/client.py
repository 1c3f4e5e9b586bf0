# SPDX-License-Identifier: Apache-2.0
"""The library in a worker: what an update costs, what a flush costs, memory."""
from bench import QUICK, Row, peer, program


def hot(name):
    return program("client_hot", name)


def peers(name, *languages):
    names = {"go": "client_golang", "rust": "rust-prometheus", "cpp": "prometheus-cpp"}
    return {names[language]: peer(language, name) for language in languages or names}


def flush(change, threads, what="send"):
    return program("clientin_flush", what, change, threads)


ROWS = [
    Row(name="counter_inc", text="dynm_counter_inc, 1 thread; floor: an empty call",
        unit="ns", floor=hot("empty_call"), own=hot("counter_inc"), peers=peers("counter_inc"),
        most=3, against={"client_golang": 4}),
    Row(name="counter_inc_2", text="the same, 2 threads on one counter; floor: 1 thread",
        unit="ns", floor=hot("counter_inc"), own=hot("counter_inc_2"),
        peers=peers("counter_inc_2"), most=1.2),
    Row(name="gauge_set", text="dynm_gauge_set; floor: an empty call", unit="ns",
        floor=hot("empty_call_double"), own=hot("gauge_set"), peers=peers("gauge_set"),
        most=3, against={"prometheus-cpp": 3}),
    Row(name="gauge_add", text="dynm_gauge_add, only added to; floor: an empty call", unit="ns",
        floor=hot("empty_call_double"), own=hot("gauge_add"), peers=peers("gauge_add"),
        most=4, against={"prometheus-cpp": 3}),
    Row(name="gauge_add_after_set", text="the same after a set", unit="ns",
        floor=hot("empty_call_double"), own=hot("gauge_add_after_set"), printed=True),
    Row(name="observe_11", text="observe, 11 buckets; floor: its stores without the search",
        unit="ns", floor=hot("stores_11"), own=hot("observe_11"), peers=peers("observe_11"),
        most=1.6, against={"rust-prometheus": 5}),
    Row(name="observe_30", text="observe, 30 buckets; floor: its stores without the search",
        unit="ns", floor=hot("stores_30"), own=hot("observe_30"), peers=peers("observe_30"),
        most=1.6, against={"rust-prometheus": 5}),
    Row(name="observe_11_of_16", text="11 buckets, 16 histograms in turns; floor: the same",
        unit="ns", floor=hot("stores_11_of_16"), own=hot("observe_11_of_16"), most=3.5),
    Row(name="observe_30_of_16", text="30 buckets, 16 histograms in turns; floor: the same",
        unit="ns", floor=hot("stores_30_of_16"), own=hot("observe_30_of_16"), most=3.5),
    Row(name="observe_11_of_16_torn", unit="ns",
        text="the same; floor: without the stores that keep a reader from half of it",
        floor=hot("torn_11_of_16"), own=hot("observe_11_of_16"), printed=True),
    Row(name="observe_2", text="observe, 2 threads on one histogram; floor: 1 thread",
        unit="ns", floor=hot("observe_11"), own=hot("observe_2"), peers=peers("observe_2"),
        most=1.2),
    Row(name="lookup_100", text="dynm_with, 2 labels, 100 children, and inc; floor: hash, strlen",
        unit="ns", floor=hot("hash_100"), own=hot("lookup_100"), peers=peers("lookup_100"),
        most=2.5, against={"rust-prometheus": 1.6}),
    Row(name="lookup_10000", text="the same, 10,000 children", unit="ns",
        floor=hot("hash_10000"), own=hot("lookup_10000"), peers=peers("lookup_10000"),
        most=2.5, against={"rust-prometheus": 1.6}),
    Row(name="lookup_2", text="the same, 100 children, 2 threads", unit="ns",
        floor=hot("hash_100"), own=hot("lookup_2"), peers=peers("lookup_2"),
        most=2.5, against={"rust-prometheus": 1.6}),
    Row(name="lookup_10000_2", text="the same, 10,000 children, 2 threads", unit="ns",
        floor=hot("hash_10000"), own=hot("lookup_10000_2"), most=2.5),
    Row(name="flush_none", text="flush of 100,000 cells, none changed; floor: memcpy of them",
        unit="ns/cell", floor=flush("none", 1, "copy"), own=flush("none", 1), most=0.5),
    Row(name="flush_some", text="the same, 1 % changed", unit="ns/cell",
        floor=flush("some", 1, "copy"), own=flush("some", 1), most=3),
    Row(name="flush_all", text="the same, all changed", unit="ns/cell",
        floor=flush("all", 1, "copy"), own=flush("all", 1), most=4),
    Row(name="flush_all_acked", text="all changed: to take in the answers", unit="ns/cell",
        floor=flush("all", 1, "copy"), own=flush("all", 1, "ack"), printed=True),
    Row(name="flush_none_8", text="none changed, cells of 8 threads", unit="ns/cell",
        floor=flush("none", 8, "copy"), own=flush("none", 8), printed=True),
    Row(name="flush_some_8", text="1 % changed in each of 8 threads", unit="ns/cell",
        floor=flush("some", 8, "copy"), own=flush("some", 8), printed=True),
    Row(name="flush_all_8", text="all changed in each of 8 threads", unit="ns/cell",
        floor=flush("all", 8, "copy"), own=flush("all", 8), printed=True),
]
