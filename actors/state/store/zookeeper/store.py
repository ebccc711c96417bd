"""ZookeeperStore: the Store interface over a ZooKeeper ensemble.

One connection for calls and watches, with a thread that calls the listeners, and one for each
session, whose timeout is the session's lease. The classes around this one say how.
"""

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from typing import Final

from actors.state.store.holder import Holder, begin_lease
from actors.state.store.interface import (
    EntryPut,
    Listener,
    ObjectKey,
    Operation,
    StoredObject,
    StoreError,
    Watch,
)
from actors.state.store.zookeeper.address import Address
from actors.state.store.zookeeper.connection import Connection
from actors.state.store.zookeeper.delivery import Delivery, Report
from actors.state.store.zookeeper.entries import Tables
from actors.state.store.zookeeper.folders import Folders
from actors.state.store.zookeeper.layout import PERSISTENT, Layout
from actors.state.store.zookeeper.marks import set_mark
from actors.state.store.zookeeper.objects import Objects
from actors.state.store.zookeeper.session import ZookeeperSession

WATCH_TIMEOUT: Final = 6.0
"""Seconds of silence after which the connection of calls and watches is given up for another."""
_LONGEST_LEASE: Final = 86_400.0
_LEASE_BOUNDS: Final = 1.0, 30.0
"""Seconds that are asked of ZooKeeper for a lease; servers have bounds of their own."""


class ZookeeperStore:
    """See Store in the interface."""

    def __init__(self, address: Address, report: Report) -> None:
        """Connect, and make the root if there is none. Raises StoreError."""
        self._address = address
        self._report = report
        self._layout = Layout(address.root)
        self._delivery = Delivery(address.url, self._layout, report)
        self._connection = Connection(address, WATCH_TIMEOUT, tell=self._delivery.take)
        self._folders = Folders(address, self._connection, self._layout)
        parts = address.url, self._connection, self._layout, self._folders
        self._objects = Objects(*parts)
        self._tables = Tables(*parts)
        self._lock = threading.Lock()
        self._closed = False
        self._sessions: list[ZookeeperSession] = []
        with contextlib.ExitStack() as undo:
            self._connection.open()
            undo.callback(self._connection.close)
            self._folders.prepare()
            self._delivery.start(self._connection)
            undo.pop_all()

    @property
    def url(self) -> str:
        """The URL that open_store was given."""
        return self._address.url

    @property
    def down_since(self) -> float | None:
        """Since when (time.monotonic) no server is reached, by a session's connection too; or None."""
        times = [self._connection.down_since, *(each.down_since for each in self._sessions)]
        return min((time for time in times if time is not None), default=None)

    def read(self, key: ObjectKey) -> StoredObject | None:
        """Return the object, or None. Raises StoreError."""
        with self._names():
            return self._objects.read(key)

    def list(self, kind: str) -> tuple[StoredObject, ...]:
        """Return all objects of a kind in the order of their ids. Raises StoreError."""
        with self._names():
            return self._objects.list(kind, self._delivery.refuse)

    def transact(self, operations: tuple[Operation, ...]) -> None:
        """Apply all operations or none. Raises Conflict, StoreError."""
        with self._names():
            self._objects.transact(operations)

    def watch(self, watch: Watch, listener: Listener) -> Callable[[], None]:
        """Deliver what is there, then every change. Raises StoreError."""
        with self._names():
            return self._delivery.subscribe(watch, listener)

    def entries(self, table: str) -> tuple[EntryPut, ...]:
        """Return a table's entries in the order of seq. Raises StoreError."""
        with self._names():
            return self._tables.entries(table, self._delivery.refuse)

    def seed(self, table: str, key: bytes, value: bytes | None) -> None:
        """Set (or with None remove) a persistent entry. Raises StoreError."""
        with self._names():
            self._tables.seed(table, key, value)

    def open_session(
        self, owner: str, ttl: float, holder: Holder | None = None
    ) -> ZookeeperSession:
        """Open the session of `owner`, with a lease of `ttl` seconds. Raises OwnerTaken, StoreError.

        The server keeps the entries of a process that fell silent for `ttl`, within its own bounds
        (2 to 20 of its ticks).
        """
        if owner == PERSISTENT:
            raise StoreError(f"{self.url}: the owner of a session must have a name")
        if not (math.isfinite(ttl) and 0 < ttl <= _LONGEST_LEASE):
            raise StoreError(
                f"{self.url}: a lease lasts more than 0 and at most {_LONGEST_LEASE:.0f} seconds,"
                f" not {ttl}"
            )
        shortest, longest = _LEASE_BOUNDS
        with self._names(), contextlib.ExitStack() as undo:
            timeout = min(max(ttl, shortest), longest)
            connection = Connection(self._address, timeout, keep_session=True)
            connection.open()
            undo.callback(connection.close)
            lease = begin_lease(holder)
            marked = set_mark(self._address, self._layout, self._folders, connection, owner, lease)
            session = ZookeeperSession(
                self.url,
                owner,
                ttl,
                connection,
                self._layout,
                self._folders,
                marked,
                self._forget,
            )
            undo.callback(session.end)
            with self._lock:
                self._check_open()
                self._sessions.append(session)
            undo.pop_all()
        return session

    def close(self) -> None:
        """Stop delivering events, end sessions, release everything. May be called again."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.end()
        self._delivery.stop()
        self._connection.close()

    def _forget(self, session: ZookeeperSession) -> bool:
        with self._lock:
            if session not in self._sessions:
                return False
            self._sessions.remove(session)
        return True

    @contextlib.contextmanager
    def _names(self) -> Iterator[None]:
        """Refuse calls on a closed store, and names that are no text."""
        self._check_open()
        try:
            yield
        except UnicodeEncodeError as error:
            raise StoreError(f"{self.url}: no valid Unicode text: {error.object!r}") from error

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self.url} is closed")
