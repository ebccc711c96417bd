"""The ZooKeeper store against a real server on loopback: how long an update takes, how many fit.

Writers and listeners are in processes of their own, as agents are on hosts of their own; clocks of
one machine agree. What is timed goes through the whole store: put, server, event, listener.
"""

import contextlib
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from actors.state.store.interface import EntryPut, StoreEvent, TableWatch
from actors.state.store.open import open_store
from benchmarks.measure import ROUNDS, Figure
from cli.lab.zookeeper_server import ServerOptions, ZookeeperServer, ensemble_members

UPDATES = 100
"""Puts of one round."""
WRITERS = 10
SECONDS = 5
RATE = 100
"""Puts a second of each writer."""
KEYS = 50
WANTED_MS = 5.0
PATIENCE = 120.0
LEASE = 3600.0


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        server = ZookeeperServer(Path(folder), ensemble_members(1)[0], (), ServerOptions(heap=512))
        server.start()
        try:
            server.wait_ready()
            url = f"zookeeper://{server.address}/benchmark"
            return [
                _latency(f"{url}-{entries}", entries) for entries in (100, 10_000)
            ] + _sustained(url)
        finally:
            server.kill()


def _latency(url: str, entries: int) -> Figure:
    """Measure from before one process's put to the listener of another."""
    arrived: dict[bytes, float] = {}
    changed = threading.Condition()

    def listener(events: tuple[StoreEvent, ...]) -> None:
        now = time.monotonic()
        with changed:
            arrived.update({e.value: now for e in events if isinstance(e, EntryPut)})
            changed.notify_all()

    with (
        _child(_put_one_by_one, url, entries) as pipe,
        contextlib.closing(open_store(url)) as store,
    ):
        assert pipe.poll(PATIENCE)
        pipe.recv()
        store.watch(TableWatch("t"), listener)
        with changed:
            assert changed.wait_for(lambda: len(arrived) == entries, PATIENCE)
        medians = []
        for number in range(ROUNDS):
            pipe.send(number)
            assert pipe.poll(PATIENCE)
            sent: dict[bytes, float] = pipe.recv()
            with changed:
                assert changed.wait_for(partial(_all_arrived, sent, arrived), PATIENCE)
            medians.append(1e3 * statistics.median(arrived[v] - at for v, at in sent.items()))
        pipe.send(None)
    name = f"put at one agent to listener at another, {entries:,} entries"
    return Figure(name, statistics.median(medians), "ms", WANTED_MS, min(medians), max(medians))


def _all_arrived(sent: dict[bytes, float], arrived: dict[bytes, float]) -> bool:
    return sent.keys() <= arrived.keys()


def _put_one_by_one(url: str, entries: int, pipe: Connection) -> None:
    with contextlib.closing(open_store(url)) as store:
        session = store.open_session("writer", LEASE)
        for number in range(entries):
            session.put("t", b"%d" % number, b"first %d" % number)
        pipe.send("filled")
        while (number := pipe.recv()) is not None:
            sent = {}
            for update in range(UPDATES):
                value = b"%d.%d" % (number, update)
                sent[value] = time.monotonic()
                session.put("t", b"%d" % update, value)
                time.sleep(0.002)
            pipe.send(sent)


def _sustained(url: str) -> list[Figure]:
    """Ten agents, each writing at a rate into a table that all watch; count what is missing."""
    with contextlib.ExitStack() as stack:
        pipes = [stack.enter_context(_child(_agent, url, str(n))) for n in range(WRITERS)]
        for pipe in pipes:
            assert pipe.poll(PATIENCE)
            pipe.recv()
        for pipe in pipes:
            pipe.send("begin")
        written, seconds = 0, 0.0
        for pipe in pipes:
            assert pipe.poll(PATIENCE)
            count, took = pipe.recv()
            written, seconds = written + count, max(seconds, took)
        for pipe in pipes:
            pipe.send(written)
        heard = []
        tables = set()
        for pipe in pipes:
            assert pipe.poll(PATIENCE)
            count, table = pipe.recv()
            heard.append(count)
            tables.add(table)
        for pipe in pipes:
            pipe.send("end")
    lost = sum(written - count for count in heard)
    return [
        Figure(f"{WRITERS} agents at {RATE} puts/s: puts/s", written / seconds, "1/s"),
        Figure("updates that a listener of these missed", lost, "", 0.0),
        Figure("different tables at the end", len(tables) - 1, "", 0.0),
    ]


def _agent(url: str, name: str, pipe: Connection) -> None:
    heard = 0
    known: dict[tuple[bytes, str], bytes] = {}
    changed = threading.Condition()

    def listener(events: tuple[StoreEvent, ...]) -> None:
        nonlocal heard
        with changed:
            for event in events:
                if isinstance(event, EntryPut):
                    heard += 1
                    known[event.key, event.owner] = event.value
            changed.notify_all()

    with contextlib.closing(open_store(url)) as store:
        session = store.open_session(name, LEASE)
        store.watch(TableWatch("shared"), listener)
        pipe.send("ready")
        pipe.recv()
        begin = time.monotonic()
        for number in range(RATE * SECONDS):
            session.put("shared", b"%d" % (number % KEYS), b"%d" % number)
            time.sleep(max(0.0, begin + (number + 1) / RATE - time.monotonic()))
        pipe.send((RATE * SECONDS, time.monotonic() - begin))
        written = pipe.recv()
        with changed:
            changed.wait_for(lambda: heard >= written, 10.0)
            pipe.send((heard, tuple(sorted(known.items()))))
        pipe.recv()


@contextlib.contextmanager
def _child(function: object, *arguments: object) -> Iterator[Connection]:
    assert callable(function)
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    process = context.Process(target=function, args=(*arguments, far), daemon=True)
    process.start()
    try:
        yield near
        process.join(10.0)
    finally:
        process.kill()
        process.join()
