"""StoreDriver: carries the lane's store requests out, and hands it what the store says.

Owns the store's connection and this host's session. The lane never waits for it: requests queue
here, answers are inputs. When the store fails, requests are kept by their owners on the lane and
written again into the next session; watches are set again and tell what has changed meanwhile.
"""

import queue
import time
from collections.abc import Callable
from typing import assert_never

import structlog

from actors.edge.service import Service
from actors.edge.steady_clock import SteadyClock
from actors.lane import Lane
from actors.messages.stored import Output
from actors.messages.tables import (
    EntryState,
    PutEntry,
    RemoveEntry,
    SessionEnded,
    SessionOpened,
    TableChanged,
    UnwatchTable,
    WatchTable,
)
from actors.messages.topology import (
    ObjectState,
    TopologyChanged,
    UnwatchObject,
    WatchKind,
    WatchObject,
)
from actors.state.store.interface import (
    EntryPut,
    EntryRemoved,
    KindWatch,
    Listener,
    ObjectChanged,
    ObjectKey,
    ObjectWatch,
    Session,
    SessionLost,
    SnapshotComplete,
    Store,
    StoreError,
    StoreEvent,
    TableWatch,
    Watch,
)
from actors.values import ActorName, HostId

TOPOLOGY_WATCHER = ActorName("topology-watcher")
STATE_TABLES = ActorName("state-tables")

SESSION_TTL = 6.0
"""Seconds that this host's entries outlive it."""
KEEP_ALIVE = 1.5
RETRY = 0.5

StoreOutput = (
    WatchObject | UnwatchObject | WatchKind | WatchTable | UnwatchTable | PutEntry | RemoveEntry
)

log = structlog.get_logger("store")


class StoreDriver(Service):
    """See the module. `connect` opens the store, again after it failed."""

    name = "store"

    def __init__(
        self, lane: Lane, clock: SteadyClock, connect: Callable[[], Store], host: HostId
    ) -> None:
        super().__init__()
        self._lane = lane
        self._clock = clock
        self._connect = connect
        self._host = host
        self._requests: queue.SimpleQueue[StoreOutput | None] = queue.SimpleQueue()
        self._wanted: dict[Watch, None] = {}
        self._watches: dict[Watch, Callable[[], None]] = {}
        self._store: Store | None = None
        self._session: Session | None = None

    def perform(self, output: Output) -> bool:
        """Queue a request of the lane; return False if it is none for the store."""
        if isinstance(output, StoreOutput):
            self._requests.put(output)
            return True
        return False

    def interrupt(self) -> None:
        """Wake the thread."""
        self._requests.put(None)

    def run(self) -> None:
        """Serve until stopped, opening the store again whenever it fails."""
        try:
            while not self.stopping.is_set():
                try:
                    self._serve()
                except StoreError as error:
                    log.warning("store failed", error=str(error))
                    self._lane.submit(STATE_TABLES, SessionEnded(self._clock(), str(error)))
                    self._disconnect()
                    self.stopping.wait(RETRY)
        finally:
            self._disconnect(close_session=True)

    def _serve(self) -> None:
        store = self._store = self._connect()
        for watch in self._wanted:
            self._watches[watch] = store.watch(watch, self._listener(watch))
        self._open_session(store)
        renew_at = time.monotonic() + KEEP_ALIVE
        while not self.stopping.is_set():
            try:
                request = self._requests.get(timeout=max(0.0, renew_at - time.monotonic()))
            except queue.Empty:
                request = None
            try:
                if request is not None:
                    self._carry_out(store, request)
                if time.monotonic() >= renew_at:
                    if self._session is not None:
                        self._session.keep_alive()
                    renew_at = time.monotonic() + KEEP_ALIVE
            except SessionLost as error:
                log.warning("session lost", error=str(error))
                self._lane.submit(STATE_TABLES, SessionEnded(self._clock(), str(error)))
                self._open_session(store)

    def _open_session(self, store: Store) -> None:
        self._session = store.open_session(self._host, SESSION_TTL)
        self._lane.submit(STATE_TABLES, SessionOpened(self._clock()))

    def _disconnect(self, *, close_session: bool = False) -> None:
        for end in self._watches.values():
            end()
        self._watches.clear()
        store, session = self._store, self._session
        self._store = self._session = None
        try:
            if close_session and session is not None:
                session.close()
            if store is not None:
                store.close()
        except StoreError as error:
            log.warning("store not closed", error=str(error))

    def _carry_out(self, store: Store, request: StoreOutput) -> None:
        match request:
            case PutEntry():
                if self._session is not None:
                    self._session.put(request.table, request.key, request.value)
            case RemoveEntry():
                if self._session is not None:
                    self._session.remove(request.table, request.key)
            case WatchObject():
                self._watch(store, ObjectWatch(ObjectKey(request.kind, request.id)))
            case WatchKind():
                self._watch(store, KindWatch(request.kind))
            case WatchTable():
                self._watch(store, TableWatch(request.table))
            case UnwatchObject():
                self._unwatch(ObjectWatch(ObjectKey(request.kind, request.id)))
            case UnwatchTable():
                self._unwatch(TableWatch(request.table))
            case _:
                assert_never(request)

    def _watch(self, store: Store, watch: Watch) -> None:
        self._wanted[watch] = None
        if watch not in self._watches:
            self._watches[watch] = store.watch(watch, self._listener(watch))

    def _unwatch(self, watch: Watch) -> None:
        self._wanted.pop(watch, None)
        end = self._watches.pop(watch, None)
        if end is not None:
            end()

    def _listener(self, watch: Watch) -> Listener:
        """Return the function that hands a watch's events to the lane, on the store's thread.

        What is there at first is gathered and handed in as one whole, so that the lane can tell
        what went away while nobody watched.
        """
        gathered: list[StoreEvent] | None = []

        def deliver(events: tuple[StoreEvent, ...]) -> None:
            nonlocal gathered
            complete = False
            if gathered is not None:
                gathered += events
                if not any(isinstance(event, SnapshotComplete) for event in events):
                    return
                events, gathered, complete = tuple(gathered), None, True
            if isinstance(watch, TableWatch):
                self._deliver_table(watch.table, events, complete=complete)
            else:
                self._deliver_objects(watch, events, complete=complete)

        return deliver

    def _deliver_objects(
        self, watch: ObjectWatch | KindWatch, events: tuple[StoreEvent, ...], *, complete: bool
    ) -> None:
        objects = tuple(
            ObjectState(event.key.kind, event.key.id, event.version, event.data)
            for event in events
            if isinstance(event, ObjectChanged)
        )
        whole = watch.kind if complete and isinstance(watch, KindWatch) else ""
        if objects or whole:
            self._lane.submit(TOPOLOGY_WATCHER, TopologyChanged(self._clock(), objects, whole))

    def _deliver_table(self, table: str, events: tuple[StoreEvent, ...], *, complete: bool) -> None:
        entries = tuple(
            EntryState(e.key, e.value, e.owner, e.seq, isinstance(e, EntryRemoved))
            for e in events
            if isinstance(e, EntryPut | EntryRemoved)
        )
        if entries or complete:
            self._lane.submit(STATE_TABLES, TableChanged(self._clock(), table, entries, complete))
