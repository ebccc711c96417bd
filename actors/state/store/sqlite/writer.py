"""Writer: transactions that change the store, log what they change, and wake who watches."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator

from msgspec import Struct

from actors.state.store.sqlite.changes import ChangeWriter, LogBounds
from actors.state.store.sqlite.database import Database
from actors.state.store.sqlite.entries import end_overdue_sessions, next_deadline

SECOND = 1_000_000_000


class Transaction(Struct, frozen=True):
    """An open transaction; `now` is nanoseconds of CLOCK_MONOTONIC, the same in all processes."""

    connection: sqlite3.Connection
    log: ChangeWriter
    now: int


class Writer:
    """Changes the store through one database connection."""

    def __init__(self, database: Database, announce: Callable[[], None], bounds: LogBounds) -> None:
        """`announce` wakes everyone's delivery thread after a commit."""
        self.database = database
        self._announce = announce
        self._bounds = bounds

    @contextlib.contextmanager
    def change(self) -> Iterator[Transaction]:
        """Commit what the block does, or nothing of it if it raises. Raises StoreError."""
        with self.database.writing() as connection:
            now = time.monotonic_ns()
            log = ChangeWriter(connection, now, self._bounds)
            yield Transaction(connection, log, now)
            if log.wrote:
                log.write()
        if log.wrote:
            self._announce()

    def end_overdue(self) -> float | None:
        """End the sessions whose lease ran out; return the seconds until the next one's end.

        None when there is no session. Raises StoreError.
        """
        with self.database.reading() as connection:
            deadline = next_deadline(connection)
        if deadline is not None and deadline <= time.monotonic_ns():
            with self.change() as transaction:
                connection = transaction.connection
                end_overdue_sessions(connection, transaction.log, transaction.now)
                deadline = next_deadline(connection)
        return None if deadline is None else max(0, deadline - time.monotonic_ns()) / SECOND
