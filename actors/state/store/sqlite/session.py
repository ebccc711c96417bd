"""SqliteSession: an owner's lease, a row that any process removes when it is overdue."""

import contextlib
from collections.abc import Callable, Iterator

from actors.state.store.interface import SessionLost
from actors.state.store.sqlite.entries import (
    end_overdue_sessions,
    end_session,
    put_entries,
    remove_entry,
    renew_session,
    session_lives,
)
from actors.state.store.sqlite.writer import Transaction, Writer


class SqliteSession:
    """See Session in the store's interface."""

    def __init__(
        self,
        writer: Writer,
        owner: str,
        session: int,
        unsettled: int | None,
        forget: Callable[["SqliteSession"], bool],
    ) -> None:
        """Have a session that was begun, the same holder's `unsettled` one before it.

        `forget` takes it off the store's list and tells if it was there.
        """
        self._writer = writer
        self._owner = owner
        self._session = session
        self._unsettled = unsettled
        self._forget = forget
        self._left = False

    @property
    def owner(self) -> str:
        """The name given to open_session."""
        return self._owner

    def put(self, table: str, key: bytes, value: bytes) -> int:
        """Set this owner's entry; return its seq. Raises SessionLost, StoreError."""
        return self._put(((table, key, value),))

    def put_all(self, entries: tuple[tuple[str, bytes, bytes], ...]) -> None:
        """Set entries in one transaction. Raises SessionLost, StoreError."""
        self._put(entries)

    def _put(self, entries: tuple[tuple[str, bytes, bytes], ...]) -> int:
        with self._lease() as transaction:
            connection, log = transaction.connection, transaction.log
            return put_entries(connection, log, entries, self._owner, self._session)

    def remove(self, table: str, key: bytes, seq: int | None = None) -> bool:
        """Remove this owner's entry; tell if it was there. Raises SessionLost, StoreError."""
        with self._lease() as transaction:
            return remove_entry(
                transaction.connection, transaction.log, table, key, self._owner, seq
            )

    def keep_alive(self) -> None:
        """Renew the lease. Raises SessionLost, StoreError."""
        with self._lease() as transaction:
            renew_session(transaction.connection, self._session, transaction.now)

    def settle(self) -> None:
        """End the same holder's session before this one. Raises SessionLost, StoreError."""
        with self._lease() as transaction:
            if self._unsettled is not None:
                end_session(transaction.connection, transaction.log, self._unsettled)
        self._unsettled = None

    def leave(self) -> None:
        """Leave the session and its entries to its lease."""
        self._left = True
        self._forget(self)

    def close(self) -> None:
        """End the session; do nothing if it ended already, or was left. Raises StoreError."""
        if self._forget(self):
            self.end()

    def end(self) -> None:
        """Remove the session and its entries, unless it lost the owner. Raises StoreError."""
        with self._writer.change() as transaction:
            connection, now = transaction.connection, transaction.now
            if session_lives(connection, self._session, self._owner, now):
                end_session(connection, transaction.log, self._session)

    @contextlib.contextmanager
    def _lease(self) -> Iterator[Transaction]:
        """Open a transaction in which the lease holds."""
        with self._writer.change() as transaction:
            connection, now = transaction.connection, transaction.now
            if not self._left and session_lives(connection, self._session, self._owner, now):
                yield transaction
                return
            # Committed, so that its entries are gone by the time that the owner knows.
            end_overdue_sessions(transaction.connection, transaction.log, transaction.now)
        raise SessionLost(
            f"the session of {self._owner} has ended: its lease ran out, or it was closed, left or"
            " replaced"
        )
