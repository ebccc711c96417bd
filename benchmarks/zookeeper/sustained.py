"""Ten agents that write a thousand rows a second for a minute, all into tables that all watch.

Nine writes of ten are of rows that only this agent has, as MACs learned at a host; each tenth is
of a row that all have in turn, as a machine that moves: the others take theirs back.
"""

import contextlib
import time
from multiprocessing.connection import Connection

from actors.state.store.open import open_store
from benchmarks.measure import Figure
from benchmarks.zookeeper.children import answer, child
from benchmarks.zookeeper.table_agent import TableAgent, entries_of

WRITERS = 10
SECONDS = 60
RATE = 100
"""Rows a second of each writer."""
KEYS = 500
"""Rows of each writer: one is written anew every five seconds, as a row that waits so long is
replaced by its successor, and rightly so."""
OWN, SHARED = "own", "shared"
LAG = 30.0
"""Seconds that a listener may need longer than the writers."""
WANTED_RATE = WRITERS * RATE
AGREE = 30.0
"""Seconds until all tables are the same, once nobody writes."""


def sustained(url: str) -> list[Figure]:
    """Measure the rate, what was missed, and whether the tables are the same in the end."""
    with contextlib.ExitStack() as stack:
        pipes = [stack.enter_context(child(_agent, url, str(n))) for n in range(WRITERS)]
        store = stack.enter_context(contextlib.closing(open_store(url)))
        for pipe in pipes:
            answer(pipe)
        for pipe in pipes:
            pipe.send("begin")
        own, total, seconds = 0, 0, 0.0
        for pipe in pipes:
            own_rows, rows, took = answer(pipe)
            own, total, seconds = own + own_rows, total + rows, max(seconds, took)
        for pipe in pipes:
            pipe.send(own)
        heard = []
        replaced = 0
        lag = 0.0
        for pipe in pipes:
            count, early, late = answer(pipe)
            heard.append(count)
            replaced += early
            lag = max(lag, late)
        different = _differences(pipes, store.entries)
        for pipe in pipes:
            pipe.send(None)
    return [
        Figure(f"{WRITERS} agents for {SECONDS} s: rows/s", total / seconds, "1/s"),
        Figure("replaced while they waited to be written", replaced, ""),
        Figure("updates missed, over all agents", sum(own - count for count in heard), "", 0.0),
        Figure("last update heard after the last write", lag, "s"),
        Figure("agents whose tables differ from the store's", different, "", 0.0),
    ]


def _differences(pipes: list[Connection], entries: object) -> int:
    """Return how many agents know anything else than the store, which comes to rest meanwhile."""
    assert callable(entries)
    until = time.monotonic() + AGREE
    while True:
        different = 0
        for pipe in pipes:
            pipe.send("tell")
        told = [answer(pipe) for pipe in pipes]
        truth = tuple(entries_of(entries(table)) for table in (OWN, SHARED))
        different = sum(tables != truth for tables in told)
        if not different or time.monotonic() > until:
            return different
        time.sleep(0.5)


def _agent(url: str, name: str, pipe: Connection) -> None:
    own = 0
    with TableAgent(url, name, (OWN, SHARED)) as agent:
        agent.own(OWN, ((name.encode(), b"here"),))
        agent.await_values(frozenset({b"here"}))
        agent.await_heard(OWN, WRITERS, LAG)
        pipe.send("ready")
        pipe.recv()
        begin = time.monotonic()
        for number in range(RATE * SECONDS):
            value = b"%s.%d" % (name.encode(), number)
            if number % 10:
                own += 1
                agent.own(OWN, ((b"%s.%d" % (name.encode(), number % KEYS), value),))
            else:
                agent.own(SHARED, ((b"%d" % (number % KEYS), value),))
            time.sleep(max(0.0, begin + (number + 1) / RATE - time.monotonic()))
        end = time.monotonic()
        pipe.send((own, RATE * SECONDS, end - begin))
        expected = pipe.recv() + WRITERS
        heard = agent.await_heard(OWN, expected, LAG) - WRITERS
        pipe.send((heard, agent.replaced(), time.monotonic() - end))
        while pipe.recv() is not None:
            pipe.send((agent.entries(OWN), agent.entries(SHARED)))
