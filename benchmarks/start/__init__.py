"""How long an agent takes from its process's start to its first packet, over a big topology.

The topology is in the store already, and of its 10,000 ports four are this host's: only what those
need is to be read. Everything runs in a child process, in a network namespace of its own, and ends
with it: servers, agents and interfaces.
"""

import multiprocessing
import statistics

from benchmarks.measure import Figure
from benchmarks.start.scene import Timings, time_starts

WANTED_SECONDS = 2.0
STARTS = 5
PATIENCE = 300.0
"""Seconds for all of one store's."""


def figures() -> list[Figure]:
    """Measure with either store."""
    return [figure for store in ("ZooKeeper", "SQLite") for figure in _of(store)]


def _of(store: str) -> list[Figure]:
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe(duplex=False)
    process = context.Process(target=time_starts, args=(store == "ZooKeeper", STARTS, far))
    process.start()
    far.close()
    try:
        if not near.poll(PATIENCE):
            raise TimeoutError(f"no starts measured with {store} in {PATIENCE:.0f} s")
        timings: Timings = near.recv()
        process.join(PATIENCE)
    finally:
        process.kill()
        process.join()
    starts = timings.starts
    middle = statistics.median(starts)
    return [
        Figure(f"{store}: apply 10,000 ports, 1,000 bridges, 200 routers", timings.apply, "s"),
        Figure(
            f"{store}: agent's start to first routed packet",
            middle, "s", WANTED_SECONDS, min(starts), max(starts),
        ),
    ]  # fmt: skip
