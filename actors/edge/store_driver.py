"""StoreDriver: carries the lane's store requests out, and hands it what the store says.

Owns the store's connection and this host's session. The lane never waits for it: requests gather
(store_requests.py), answers are inputs. When the store fails, it is opened again; watches are set
again and tell what has changed meanwhile. While only the connection is lost, the session may outlive
that, so it is kept, and what could not be done waits. The lane hears of a new session only once it
has the tables as they are now, so that it can tell what of its own is still right to be written there.
What the session before has put stays until then, so that no other host does without it.

The session is the lease on the host's id. While another process on another machine holds it, this
waits for the lease to run out, for a while; who comes second is `refused`.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, assert_never

import structlog

from actors.edge.service import Service
from actors.edge.steady_clock import SteadyClock
from actors.edge.store_events import tables_changed, topology_changed
from actors.edge.store_requests import StoreOutput, StoreRequests
from actors.lane import Lane
from actors.messages.stored import Output
from actors.messages.tables import (
    PutEntry,
    RemoveEntry,
    SessionEnded,
    SessionOpened,
    SettleSession,
    UnwatchTable,
    WatchTable,
)
from actors.messages.topology import UnwatchObject, WatchKind, WatchObject
from actors.state.store.holder import OwnerTaken
from actors.state.store.interface import (
    KindWatch,
    Listener,
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

RETRY: Final = 0.5
_RENEWALS: Final = 4
"""How often the lease is renewed in the time that it lasts."""
_MOST_PUTS: Final = 500
"""Rows that are put together with one that came before them."""
_BURST: Final = 10
_GATHER: Final = 0.02
"""Seconds in which more rows may come after so many were put together. A transaction and its echo cost
as much as twenty rows in them, and take the lane's turn: a flood of new MACs is to have few of them."""
_PATIENCE: Final = 1.5
"""Leases to wait for another machine's to run out: its last renewal, and the store's slowness."""

log = structlog.get_logger("store")


class StoreDriver(Service):
    """See the module. `connect` opens the store, again after it failed; `ttl` is in seconds."""

    name = "store"

    def __init__(
        self,
        lane: Lane,
        clock: SteadyClock,
        connect: Callable[[], Store],
        host: HostId,
        ttl: float,
    ) -> None:
        super().__init__()
        self._lane = lane
        self._clock = clock
        self._connect = connect
        self._host = host
        self._ttl = ttl
        self._requests = StoreRequests()
        self._wanted: dict[Watch, None] = {}
        self._watches: dict[Watch, Callable[[], None]] = {}
        self._store: Store | None = None
        self._session: Session | None = None
        self._why = ""
        self._out_since = time.monotonic()
        self._failures = 0
        self._sessions = 0
        self._lock = threading.Lock()
        self._untold: set[Watch] = set()
        """Tables whose whole picture is to come before the lane hears of its session."""
        self._round = 0
        self.leave_session = False
        """Whether the session is left to its lease when this stops, not closed."""
        self.refused: OwnerTaken | None = None
        """Who has this host's id, once that is settled: the agent must stop."""

    @property
    def had_session(self) -> bool:
        """Whether this host's id was this process's at any time."""
        return self._sessions > 0

    def perform(self, output: Output) -> bool:
        """Take a request of the lane; return False if it is none for the store. Never blocks."""
        if isinstance(output, StoreOutput):
            self._requests.put(output)
            return True
        return False

    def status(self) -> dict[str, object]:
        """Return how it goes, for operators; `since` is when the store or the session was lost."""
        store = self._store
        down = None if store is None else store.down_since
        since: float | None = self._out_since
        if self.refused is not None:
            state = "host id taken"
        elif store is None or down is not None:
            state, since = "disconnected", self._out_since if down is None else down
        elif self._session is None:
            state = "session lost" if self._sessions else "waiting for the host id"
        else:
            state, since = "connected", None
        return {
            "state": state,
            "since": None if since is None else _utc(since),
            "why": "" if since is None else self._why,
            "sessions": self._sessions,
            "failures": self._failures,
            "requests_waiting": len(self._requests),
            "requests_replaced": self._requests.replaced,
            "requests_overflows": self._requests.overflows,
        }

    def interrupt(self) -> None:
        """Wake the thread, out of a call that waits for a server too."""
        self._requests.wake()
        store = self._store
        if store is not None and store.down_since is not None:
            store.close()

    # --- the store's thread -------------------------------------------------------------------

    def run(self) -> None:
        """Serve until stopped, opening the store again whenever it fails."""
        try:
            while not self.stopping.is_set():
                try:
                    self._serve()
                except OwnerTaken as error:
                    self._lost(str(error))
                    self.refused = error
                    self.stopping.wait()
                except StoreError as error:
                    if not self.stopping.is_set():
                        self._failed(str(error))
                        self._lost(str(error))
                        self._disconnect()
                        self.stopping.wait(RETRY)
        finally:
            self._disconnect(end_session=True)

    def _failed(self, why: str) -> None:
        self._failures += 1
        if why != self._why:  # said once, not with each attempt
            log.warning("store failed, trying again", error=why)
        self._out(why)

    def _out(self, why: str) -> None:
        if not self._why:
            down = None if self._store is None else self._store.down_since
            self._out_since = time.monotonic() if down is None else down
        self._why = why

    def _lost(self, why: str) -> None:
        """Give up the session, and let the lane know that it has none now."""
        self._out(why)
        had, self._session = self._session, None
        with self._lock:
            self._round += 1
        if had is not None:
            self._lane.submit(STATE_TABLES, SessionEnded(self._clock(), why))
            had.leave()

    def _serve(self) -> None:
        store = self._store = self._connect()
        if not self._begin_session(store, tuple(self._wanted)):
            return
        every = self._ttl / _RENEWALS
        renew_at = time.monotonic() + every
        while not self.stopping.is_set():
            request = self._requests.take(max(0.0, renew_at - time.monotonic()))
            try:
                self._refuse_overflow()
                if request is not None:
                    self._carry_out(store, request)
                if time.monotonic() >= renew_at:
                    if self._session is not None:
                        self._session.keep_alive()
                    renew_at = time.monotonic() + every
                if self._why and store.down_since is None:
                    self._in_reach_again()
            except SessionLost as error:
                log.warning("session lost", error=str(error))
                self._lost(str(error))
                tables = tuple(watch for watch in self._wanted if isinstance(watch, TableWatch))
                if not self._begin_session(store, tables):
                    return
            except StoreError as error:
                if self.stopping.is_set() or store.down_since is None:
                    raise
                self._failed(str(error))
                self._requests.give_back()
                self.stopping.wait(RETRY)

    def _in_reach_again(self) -> None:
        log.info("store in reach again", session=self._sessions)
        self._why = ""

    def _refuse_overflow(self) -> None:
        """Give up a session in which rows were left out: all are written into another one."""
        if self._requests.overflowed:
            raise SessionLost("more rows changed than the store could take")

    def _begin_session(self, store: Store, watches: tuple[Watch, ...]) -> bool:
        """Open a session, then set `watches` anew; return False if this is to stop."""
        session = self._acquire(store)
        if session is None:
            return False
        self._requests.begin_session()
        with self._lock:
            self._untold = {watch for watch in watches if isinstance(watch, TableWatch)}
            self._round += 1
            told = not self._untold
        self._session = session
        self._sessions += 1
        if self._why:
            self._in_reach_again()
        for watch in watches:
            self._watch(store, watch)
        if told:
            self._lane.submit(STATE_TABLES, SessionOpened(self._clock()))
        return True

    def _acquire(self, store: Store) -> Session | None:
        """Open this host's session, waiting for another machine's to end. Raises OwnerTaken."""
        until = time.monotonic() + self._ttl * _PATIENCE
        waiting = False
        while not self.stopping.is_set():
            try:
                return store.open_session(self._host, self._ttl)
            except OwnerTaken as error:
                here = error.lease.holder.life() == "alive"
                if self._sessions or here or time.monotonic() > until:
                    raise
                if not waiting:
                    waiting = True
                    self._why = str(error)
                    log.warning("waiting for the lease on the host's id", error=str(error))
            self.stopping.wait(RETRY)
        return None

    def _disconnect(self, *, end_session: bool = False) -> None:
        for end in self._watches.values():
            end()
        self._watches.clear()
        store, session = self._store, self._session
        self._store = self._session = None
        try:
            if end_session and session is not None:
                if self.leave_session:
                    with suppress(StoreError):
                        session.keep_alive()  # it lasts its whole time from now on
                    session.leave()
                else:
                    session.close()
            if store is not None:
                store.close()
        except StoreError as error:
            log.warning("store not closed", error=str(error))

    def _carry_out(self, store: Store, request: StoreOutput) -> None:
        match request:
            case PutEntry():
                if self._session is not None:
                    self._put(self._session, request)
            case RemoveEntry():
                if self._session is not None:
                    self._session.remove(request.table, request.key)
            case SettleSession():
                if self._session is not None:
                    self._session.settle()
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

    def _put(self, session: Session, first: PutEntry) -> None:
        """Put a row and those that wait behind it: one request takes no longer for many."""
        rest = self._requests.take_puts(_MOST_PUTS)
        if rest:
            session.put_all(tuple((row.table, row.key, row.value) for row in (first, *rest)))
            if len(rest) >= _BURST:
                self._requests.gather(_GATHER)
        else:
            session.put(first.table, first.key, first.value)

    def _watch(self, store: Store, watch: Watch) -> None:
        """Watch, anew if it is watched already: who asks wants all that there is."""
        self._wanted[watch] = None
        before = self._watches.pop(watch, None)
        if before is not None:
            before()
        self._watches[watch] = store.watch(watch, self._listener(watch, self._round))

    def _unwatch(self, watch: Watch) -> None:
        self._wanted.pop(watch, None)
        end = self._watches.pop(watch, None)
        if end is not None:
            end()
        self._told(watch, self._round)

    # --- what the store says, on the store's own threads --------------------------------------

    def _listener(self, watch: Watch, of_round: int) -> Listener:
        """Return the function that hands a watch's events to the lane.

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
                table = tables_changed(self._clock(), watch.table, events, whole=complete)
                if table is not None:
                    self._lane.submit(STATE_TABLES, table)
            else:
                whole = watch.kind if complete and isinstance(watch, KindWatch) else ""
                topology = topology_changed(self._clock(), events, whole)
                if topology is not None:
                    self._lane.submit(TOPOLOGY_WATCHER, topology)
            if complete:
                self._told(watch, of_round)

        return deliver

    def _told(self, watch: Watch, of_round: int) -> None:
        """Tell the lane of its session, if this was the last table that it had to know before."""
        with self._lock:
            if of_round != self._round or watch not in self._untold:
                return
            self._untold.discard(watch)
            if not self._untold:
                self._lane.submit(STATE_TABLES, SessionOpened(self._clock()))


def report_trouble(message: str, cause: Exception) -> None:
    """Log what a store reports from its own threads; it goes on by itself."""
    log.warning(message, cause=repr(cause))


def _utc(monotonic: float) -> str:
    at = datetime.now(UTC).timestamp() - (time.monotonic() - monotonic)
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
