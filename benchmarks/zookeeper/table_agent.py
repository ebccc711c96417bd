"""TableAgent: as much of an agent as shares tables: a lane, its journal, its store driver.

On the lane are the state tables actor and a probe, which stands where a device's actor would: it
owns rows and is told of effective ones.
"""

import queue
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from actors.edge.steady_clock import SteadyClock
from actors.edge.store_driver import StoreDriver
from actors.host import HostSettings
from actors.lane import Lane
from actors.lane_actor import LaneActor
from actors.messages.stored import Input, Output
from actors.messages.tables import OwnRow, Row, RowsChanged, SubscribeTable, TableChanged
from actors.state.journal import JournalSettings, JournalWriter, Run
from actors.state.state_tables import StateTables
from actors.state.store.interface import EntryPut
from actors.state.store.open import open_store
from actors.values import ActorName, HostId, Nanoseconds
from supervisor import share_interpreter

PROBE, STATE_TABLES = ActorName("probe"), ActorName("state-tables")
LEASE = 10.0
PATIENCE = 120.0

Entries = tuple[tuple[bytes, bytes, str, int], ...]
"""Key, value, owner and number of all entries of a table, in order."""


class _Own(Input, frozen=True, tag="benchmark-own.1"):
    """Publish rows."""

    at: Nanoseconds
    table: str
    rows: tuple[tuple[bytes, bytes], ...]


class _Tell(Input, frozen=True, tag="benchmark-tell.1"):
    """Say what a table holds as this host knows it."""

    at: Nanoseconds
    table: str


class _Probe(LaneActor):
    State = msgspec.Struct

    def __init__(self, name: ActorName, lane: Lane, agent: "TableAgent") -> None:
        super().__init__(name, lane)
        self._agent = agent

    def boot(self) -> None:
        for table in self._agent.tables:
            self.send(STATE_TABLES, SubscribeTable(self.name, table))

    def on_receive(self, message: _Own | _Tell | RowsChanged) -> None:
        match message:
            case _Own():
                for key, value in message.rows:
                    self.send(STATE_TABLES, OwnRow(message.table, key, value))
            case RowsChanged():
                self._agent.rows_changed(message.rows)
            case _Tell():
                tables = self.lane.actor(STATE_TABLES)
                assert isinstance(tables, StateTables)
                view = tables.state.tables[message.table]
                entries = (e for by_seq in view.entries.values() for e in by_seq.values())
                told = sorted((e.key, e.value, e.owner, e.seq) for e in entries)
                self._agent.told.put(tuple(told))


class TableAgent:
    """See the module. Keeps when each value was first told to the probe (time.monotonic)."""

    def __init__(self, url: str, name: str, tables: tuple[str, ...]) -> None:
        self.tables = tables
        self.arrived: dict[bytes, float] = {}
        self.heard: dict[str, int] = {}
        """Puts that the store told of, by table."""
        self.told: queue.SimpleQueue[Entries] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._clock = SteadyClock()
        self._host = HostSettings(HostId(name), name)
        self._folder = tempfile.TemporaryDirectory(prefix="ayatori-bench-")
        run = Run("0", name, self._clock(), 2048, msgspec.Raw(msgspec.msgpack.encode(self._host)))
        self._journal = JournalWriter(JournalSettings(Path(self._folder.name)), run)
        self._lane = Lane(name, self._create, self._journal, self)
        self._lane.observer = self._observe
        self._thread = threading.Thread(target=self._lane.run, daemon=True)
        self._driver = StoreDriver(
            self._lane, self._clock, lambda: open_store(url), self._host.host, LEASE
        )

    def __enter__(self) -> Self:
        share_interpreter()
        self._thread.start()
        self.own(self.tables[0], ())
        self._driver.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._driver.stop()
        self._lane.stop()
        self._thread.join(PATIENCE)
        self._lane.close()
        self._journal.close()
        self._folder.cleanup()

    def own(self, table: str, rows: tuple[tuple[bytes, bytes], ...]) -> None:
        """Let the probe own rows."""
        self._lane.submit(PROBE, _Own(self._clock(), table, rows))

    def entries(self, table: str) -> Entries:
        """Return what this agent knows of a table."""
        self._lane.submit(PROBE, _Tell(self._clock(), table))
        return self.told.get(timeout=PATIENCE)

    def replaced(self) -> int:
        """Return how many writes were replaced by later ones of the same row while they waited."""
        replaced = self._driver.status()["requests_replaced"]
        assert isinstance(replaced, int)
        return replaced

    def await_values(self, values: frozenset[bytes]) -> None:
        """Return when the probe knows them all. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: values <= self.arrived.keys(), PATIENCE):
                missing = len(values - self.arrived.keys())
                raise TimeoutError(f"{missing} of {len(values)} values did not come")

    def await_heard(self, table: str, puts: int, patience: float) -> int:
        """Wait for so many puts to be heard of; return how many were, in all."""
        with self._changed:
            self._changed.wait_for(lambda: self.heard.get(table, 0) >= puts, patience)
            return self.heard.get(table, 0)

    # --- on the lane --------------------------------------------------------------------------

    def rows_changed(self, rows: tuple[Row, ...]) -> None:
        """Take note of what came to the probe."""
        now = time.monotonic()
        with self._changed:
            for row in rows:
                if row.value is not None:
                    self.arrived.setdefault(row.value, now)
            self._changed.notify_all()

    def perform(self, output: Output) -> None:
        """Pass on what is for the store: the lane's only edge."""
        if not self._driver.perform(output):
            raise TypeError(type(output).__name__)

    def idle(self) -> None:
        """Nothing was gathered."""

    def _observe(self, _: ActorName, message: object) -> None:
        if isinstance(message, TableChanged):
            puts = sum(not entry.removed for entry in message.entries)
            with self._changed:
                self.heard[message.table] = self.heard.get(message.table, 0) + puts
                self._changed.notify_all()

    def _create(self, lane: Lane, name: ActorName) -> LaneActor | None:
        if name == PROBE:
            return _Probe.start_on(lane, name, agent=self)
        if name == STATE_TABLES:
            return StateTables.start_on(lane, name, host=self._host)
        return None


def entries_of(puts: tuple[EntryPut, ...]) -> Entries:
    """Return what a store says of a table, in the order in which agents say it."""
    return tuple(sorted((put.key, put.value, put.owner, put.seq) for put in puts))
