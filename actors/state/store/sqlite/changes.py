"""The change log: every change of the store in the order of commits, for watches to follow.

Writers append within their own transaction, so a revision is visible if and only if its change
is, and readers see no holes. The log is bounded: who falls behind the bounds reads afresh.
"""

import sqlite3
from itertools import groupby
from operator import itemgetter
from typing import Final

import msgspec
from msgspec import Struct

from actors.state.store.interface import (
    EntryPut,
    EntryRemoved,
    ObjectChanged,
    ObjectKey,
    StoreError,
)
from actors.state.store.sqlite.many_rows import Row, insert

Change = ObjectChanged | EntryPut | EntryRemoved

_OBJECT, _PUT, _REMOVED = range(1, 4)
_ROW_OVERHEAD = 64
"""Bytes counted for a change beside its data, so that many empty ones are bounded too."""


class LogBounds(Struct, frozen=True):
    """How much of the log is kept; it is trimmed when it has grown past it by a quarter."""

    changes: int = 20_000
    volume: int = 64 << 20
    """Bytes."""
    age: int = 600_000_000_000
    """Nanoseconds."""


class Batch(Struct, frozen=True):
    """The changes of one transaction, each with its revision."""

    changes: tuple[tuple[int, Change], ...]


class FellBehind(Struct, frozen=True):
    """Changes after the asked revision are trimmed already."""


class ChangeWriter:
    """Appends the changes of the transaction that is open on `connection`."""

    def __init__(self, connection: sqlite3.Connection, now: int, bounds: LogBounds) -> None:
        """`now` is the time in nanoseconds that the changes are logged with."""
        self._connection = connection
        self._now = now
        self._bounds = bounds
        self._first = self._next = last_revision(connection) + 1
        row = connection.execute(
            "SELECT volume FROM changes ORDER BY revision DESC LIMIT 1"
        ).fetchone()
        self._volume: int = row[0] if row else 0
        self._rows: list[Row] = []

    @property
    def next_revision(self) -> int:
        """The revision that the next change will have."""
        return self._next

    @property
    def wrote(self) -> bool:
        """Whether there was any change."""
        return self._next > self._first

    def append(self, change: Change) -> None:
        """Log one change under next_revision."""
        match change:
            case ObjectChanged(key, number, data):
                what, scope, name, owner = _OBJECT, key.kind, key.id.encode(), ""
            case EntryPut(scope, name, data, owner, number):
                what = _PUT
            case EntryRemoved(scope, name, data, owner, number):
                what = _REMOVED
        self._volume += _ROW_OVERHEAD + len(data or b"")
        row = (self._next, self._first, what, scope, name, owner, number, data)
        self._rows.append((*row, self._now, self._volume))
        self._next += 1

    def write(self) -> None:
        """Write the changes, at the end of their transaction; forget the oldest if there are too many."""
        insert(self._connection, "INSERT INTO changes", self._rows)
        self._rows.clear()
        self._trim()

    def _trim(self) -> None:
        """Forget the oldest changes if the log has outgrown its bounds; seldom, and many at once."""
        oldest = self._connection.execute(
            "SELECT revision, volume, at FROM changes ORDER BY revision LIMIT 1"
        ).fetchone()
        if oldest is None:
            return
        revision, volume, at = oldest
        bounds, last = self._bounds, self._next - 1
        if (
            last - revision <= bounds.changes * 5 // 4
            and self._volume - volume <= bounds.volume * 5 // 4
            and self._now - at <= bounds.age * 5 // 4
        ):
            return
        kept = self._connection.execute(
            "SELECT revision FROM changes WHERE revision > ? AND volume > ? AND at > ?"
            " ORDER BY revision LIMIT 1",
            (last - bounds.changes, self._volume - bounds.volume, self._now - bounds.age),
        ).fetchone()
        first_kept = kept[0] if kept else self._first  # what this transaction wrote stays
        self._connection.execute(
            "DELETE FROM changes WHERE revision < ?", (min(first_kept, self._first),)
        )


def last_revision(connection: sqlite3.Connection) -> int:
    """Return the revision of the last change ever made, 0 if there was none."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'changes'").fetchone()
    return int(row[0]) if row else 0


def changes_after(
    connection: sqlite3.Connection, revision: int, limit: int
) -> tuple[Batch, ...] | FellBehind:
    """Return the transactions after `revision`: about `limit` changes, each transaction whole."""
    last = last_revision(connection)
    if last <= revision:
        return ()
    oldest = connection.execute("SELECT min(revision) FROM changes").fetchone()[0]
    if oldest is None or oldest > revision + 1:
        return FellBehind()
    text = connection.execute(_CHANGES_AFTER, (revision, revision + limit)).fetchone()[0]
    try:
        rows = _decoder.decode(text)
        return tuple(
            Batch(tuple((row[0], _change(row)) for row in batch))
            for _, batch in groupby(rows, key=itemgetter(1))
        )
    except ValueError as error:  # msgspec's DecodeError, UnicodeDecodeError, odd hexadecimal digits
        raise StoreError(f"the change log is damaged behind revision {revision}") from error


def _change(row: "_Row") -> Change:
    _, _, what, scope_hex, key_hex, owner_hex, number, data_hex = row
    scope, key = bytes.fromhex(scope_hex).decode(), bytes.fromhex(key_hex)
    data = None if data_hex is None else bytes.fromhex(data_hex)
    if what == _OBJECT:
        return ObjectChanged(ObjectKey(scope, key.decode()), number, data)
    if data is None or what not in {_PUT, _REMOVED}:
        raise ValueError(f"no change of kind {what}")
    kind = EntryPut if what == _PUT else EntryRemoved
    return kind(scope, key, data, bytes.fromhex(owner_hex).decode(), number)


_Row = tuple[int, int, int, str, str, str, int, str | None]
_decoder: Final = msgspec.json.Decoder(list[_Row])
_CHANGES_AFTER: Final = """
    SELECT json_group_array(json_array(
        revision, batch, what, hex(scope), hex(key), hex(owner), number,
        CASE WHEN data IS NULL THEN NULL ELSE hex(data) END))
    FROM (SELECT * FROM changes WHERE revision > ? AND batch <= ? ORDER BY revision)"""
"""All of them as one value: each row would be a step (many_rows.py)."""
