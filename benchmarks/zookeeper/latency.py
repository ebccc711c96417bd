"""How long a row takes from one agent's lane to an actor of another's."""

import statistics
import time
from multiprocessing.connection import Connection

from benchmarks.measure import ROUNDS, Figure
from benchmarks.zookeeper.children import answer, child
from benchmarks.zookeeper.table_agent import TableAgent

TABLE = "table"
UPDATES = 100
"""Rows of one round."""
PAUSE = 0.002
WANTED_MS = 5.0


def latency(url: str, entries: int) -> list[Figure]:
    """Measure with so many entries in the table already."""
    medians = []
    with (
        child(_write_one_by_one, url, entries) as pipe,
        TableAgent(url, "reader", (TABLE,)) as reader,
    ):
        reader.await_values(frozenset(answer(pipe)))
        for number in range(ROUNDS):
            pipe.send(number)
            sent: dict[bytes, float] = answer(pipe)
            reader.await_values(frozenset(sent))
            took = [reader.arrived[value] - at for value, at in sent.items()]
            medians.append(1e3 * statistics.median(took))
        pipe.send(None)
    name = f"row owned at one agent to actor at another, {entries:,} entries"
    middle = statistics.median(medians)
    return [Figure(name, middle, "ms", WANTED_MS, min(medians), max(medians))]


def _write_one_by_one(url: str, entries: int, pipe: Connection) -> None:
    with TableAgent(url, "writer", (TABLE,)) as writer:
        first = {b"%d" % number: b"first %d" % number for number in range(entries)}
        writer.own(TABLE, tuple(first.items()))
        writer.await_heard(TABLE, entries, 120.0)
        pipe.send(tuple(first.values()))
        while (number := pipe.recv()) is not None:
            sent = {}
            for update in range(UPDATES):
                value = b"%d.%d" % (number, update)
                sent[value] = time.monotonic()
                writer.own(TABLE, ((b"%d" % update, value),))
                time.sleep(PAUSE)
            pipe.send(sent)
