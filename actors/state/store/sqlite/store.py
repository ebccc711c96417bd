"""SqliteStore: the Store interface over a SQLite database that processes of a machine share.

Calls go through one connection; a thread with another follows the change log for the watches,
from the first watch or session on. The classes around this one say how.
"""

import contextlib
import math
import threading
from collections.abc import Callable

from actors.state.store.holder import Holder, begin_lease, check_free
from actors.state.store.interface import (
    EntryPut,
    KindWatch,
    Listener,
    ObjectKey,
    ObjectWatch,
    Operation,
    StoredObject,
    StoreError,
    TableWatch,
    Watch,
)
from actors.state.store.sqlite.changes import LogBounds
from actors.state.store.sqlite.delivery import Delivery, Report
from actors.state.store.sqlite.entries import (
    PERSISTENT,
    begin_session,
    put_entries,
    read_entries,
    remove_entry,
    session_lease,
)
from actors.state.store.sqlite.objects import apply_operation, list_objects, read_object
from actors.state.store.sqlite.place import Place
from actors.state.store.sqlite.session import SqliteSession
from actors.state.store.sqlite.writer import SECOND, Writer

_LONGEST_LEASE = 86_400.0
"""Seconds. Longer than any owner may be silent; it keeps deadlines within SQLite's integers."""


class SqliteStore:
    """See Store in the interface."""

    def __init__(self, url: str, place: Place, report: Report, bounds: LogBounds) -> None:
        """Use `place`, and leave it on close. Raises StoreError."""
        self._url = url
        self._place = place
        self._report = report
        self._bounds = bounds
        self._lock = threading.Lock()
        self._closed = False
        self._delivery: Delivery | None = None
        self._sessions: list[SqliteSession] = []
        with contextlib.ExitStack() as undo:
            undo.callback(place.leave)
            self._database = place.database()
            undo.pop_all()
        self._writer = Writer(self._database, place.announce, bounds)

    @property
    def url(self) -> str:
        """The URL that open_store was given."""
        return self._url

    @property
    def down_since(self) -> float | None:
        """Return None: a file is always in reach."""
        return None

    def read(self, key: ObjectKey) -> StoredObject | None:
        """Return the object, or None. Raises StoreError."""
        self._check_open()
        with self._database.reading() as connection:
            return read_object(connection, key)

    def list(self, kind: str) -> tuple[StoredObject, ...]:
        """Return all objects of a kind in the order of their ids. Raises StoreError."""
        self._check_open()
        with self._database.reading() as connection:
            return list_objects(connection, kind)

    def transact(self, operations: tuple[Operation, ...]) -> None:
        """Apply all operations or none. Raises Conflict, StoreError."""
        self._check_open()
        with self._writer.change() as transaction:
            for operation in operations:
                apply_operation(transaction.connection, transaction.log, operation)

    def watch(self, watch: Watch, listener: Listener) -> Callable[[], None]:
        """Deliver what is there, then every change. Raises StoreError."""
        match watch:
            case ObjectWatch(key):
                names: tuple[str, ...] = (key.kind, key.id)
            case KindWatch(kind):
                names = (kind,)
            case TableWatch(table):
                names = (table,)
        for name in names:
            if not _is_text(name):
                raise StoreError(f"{self._url}: no valid Unicode text to watch: {name!r}")
        return self._started_delivery().subscribe(watch, listener)

    def entries(self, table: str) -> tuple[EntryPut, ...]:
        """Return a table's entries in the order of seq. Raises StoreError."""
        self._check_open()
        self._writer.end_overdue()  # the dead may have left nobody to do it
        with self._database.reading() as connection:
            return read_entries(connection, table)

    def seed(self, table: str, key: bytes, value: bytes | None) -> None:
        """Set (or with None remove) a persistent entry. Raises StoreError."""
        self._check_open()
        with self._writer.change() as transaction:
            connection, log = transaction.connection, transaction.log
            if value is None:
                remove_entry(connection, log, table, key, PERSISTENT)
            else:
                put_entries(connection, log, ((table, key, value),), PERSISTENT, session=None)

    def open_session(self, owner: str, ttl: float, holder: Holder | None = None) -> SqliteSession:
        """Open the session of `owner`, with a lease of `ttl` seconds. Raises OwnerTaken, StoreError."""
        if owner == PERSISTENT:
            raise StoreError(f"{self._url}: the owner of a session must have a name")
        if not (math.isfinite(ttl) and 0 < ttl <= _LONGEST_LEASE):
            raise StoreError(
                f"{self._url}: a lease lasts more than 0 and at most {_LONGEST_LEASE:.0f} seconds,"
                f" not {ttl}"
            )
        delivery = self._started_delivery()
        wanted = begin_lease(holder)
        with self._writer.change() as transaction:
            connection, log, now = transaction.connection, transaction.log, transaction.now
            held = session_lease(connection, owner, now)
            same = held is not None and check_free(self._url, owner, held, wanted)
            id_, before = begin_session(connection, log, owner, wanted, int(ttl * SECOND), now)
        unsettled = before if same else None
        session = SqliteSession(self._writer, owner, id_, unsettled, self._forget)
        with self._lock:
            self._sessions.append(session)
        delivery.expect_session()
        return session

    def close(self) -> None:
        """Stop delivering events, end sessions, release everything. May be called again."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            sessions, self._sessions = self._sessions, []
        try:
            for session in sessions:
                session.end()
        except StoreError as error:
            self._report(f"{error} (its sessions end when their leases do)", error)
        finally:
            if self._delivery is not None:
                self._delivery.stop()
            self._place.leave()

    def _forget(self, session: SqliteSession) -> bool:
        with self._lock:
            if session not in self._sessions:
                return False
            self._sessions.remove(session)
        return True

    def _started_delivery(self) -> Delivery:
        with self._lock:
            self._check_open()
            if self._delivery is None:
                writer = Writer(self._place.database(), self._place.announce, self._bounds)
                self._delivery = Delivery(self._url, writer, self._place.waker(), self._report)
                self._delivery.start()
            return self._delivery

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self._url} is closed")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
