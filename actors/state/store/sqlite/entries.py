"""Table entries and the sessions that own them, in SQLite.

Every function works inside the caller's transaction; times are nanoseconds of CLOCK_MONOTONIC.
"""

import sqlite3
from collections.abc import Sequence
from itertools import chain

import msgspec

from actors.state.store.holder import Lease
from actors.state.store.interface import EntryPut, EntryRemoved
from actors.state.store.sqlite.changes import ChangeWriter
from actors.state.store.sqlite.many_rows import Row, in_statements, insert, places

PERSISTENT = ""
"""The owner of entries that no session owns."""
_FORMERLY = "\n"
"""Stands behind the owner's name in a session that has lost it."""


def read_entries(connection: sqlite3.Connection, table: str) -> tuple[EntryPut, ...]:
    """Return a table's entries in the order of seq, persistent ones in the order of their keys."""
    rows = connection.execute(
        "SELECT name, key, value, owner, seq FROM entries WHERE name = ? ORDER BY seq, key",
        (table,),
    )
    return tuple(EntryPut(*row) for row in rows)


def put_entries(
    connection: sqlite3.Connection,
    log: ChangeWriter,
    entries: Sequence[tuple[str, bytes, bytes]],
    owner: str,
    session: int | None,
) -> int:
    """Put each (table, key, value) for `owner`, replacing its earlier one; return the last one's seq."""
    found = _current_entries(connection, entries, owner)
    rows: dict[tuple[str, bytes], Row] = {}
    seq = 0
    for table, key, value in entries:
        address = table, key
        before = found.get(address)
        if before is not None:
            log.append(EntryRemoved(table, key, before[0], owner, before[1]))
        seq = 0 if session is None else log.next_revision
        log.append(EntryPut(table, key, value, owner, seq))
        found[address] = value, seq
        rows[address] = table, key, owner, value, seq, session
    insert(connection, "INSERT OR REPLACE INTO entries", tuple(rows.values()))
    return seq


def _current_entries(
    connection: sqlite3.Connection, entries: Sequence[tuple[str, bytes, bytes]], owner: str
) -> dict[tuple[str, bytes], tuple[bytes, int]]:
    """Return value and seq of those of the entries that the owner has already."""
    found: dict[tuple[str, bytes], tuple[bytes, int]] = {}
    for piece in in_statements(entries):
        addresses = chain.from_iterable((table, key) for table, key, _ in piece)
        rows = connection.execute(
            # CROSS JOIN: SQLite is to look each address up, and not through the whole table.
            f"WITH wanted(name, key) AS (VALUES {places(len(piece), 2)})"  # noqa: S608 - no words
            " SELECT entries.name, entries.key, value, seq FROM wanted CROSS JOIN entries"
            " ON entries.name = wanted.name AND entries.key = wanted.key AND owner = ?",
            (*addresses, owner),
        )
        found.update(((table, key), (value, seq)) for table, key, value, seq in rows)
    return found


def remove_entry(
    connection: sqlite3.Connection,
    log: ChangeWriter,
    table: str,
    key: bytes,
    owner: str,
    seq: int | None = None,
) -> bool:
    """Remove the owner's entry (only if it is that of `seq`, when given); tell if there was one."""
    address = (table, key, owner)
    row = connection.execute(
        "SELECT value, seq FROM entries WHERE name = ? AND key = ? AND owner = ?", address
    ).fetchone()
    if row is None or (seq is not None and row[1] != seq):
        return False
    connection.execute("DELETE FROM entries WHERE name = ? AND key = ? AND owner = ?", address)
    log.append(EntryRemoved(table, key, row[0], owner, row[1]))
    return True


def session_lease(connection: sqlite3.Connection, owner: str, now: int) -> Lease | None:
    """Return who holds the owner's session; None if none lives, or its holder is not known."""
    row = connection.execute(
        "SELECT lease FROM sessions WHERE owner = ? AND deadline > ?", (owner, now)
    ).fetchone()
    try:
        return None if row is None else msgspec.json.decode(row[0], type=Lease)
    except msgspec.DecodeError:
        return None  # of an agent that is older than leases


def begin_session(
    connection: sqlite3.Connection,
    log: ChangeWriter,
    owner: str,
    lease: Lease,
    ttl: int,
    now: int,
) -> tuple[int, int | None]:
    """Begin a session of the owner; return its id and that of the one before.

    That one loses the owner. Its entries stay until it is ended, its lease runs out, or the new
    session puts others in their place.
    """
    row = connection.execute(
        "SELECT id, deadline FROM sessions WHERE owner = ?", (owner,)
    ).fetchone()
    before: int | None = None
    if row is not None and row[1] > now:
        before = row[0]
        connection.execute(
            "UPDATE sessions SET owner = ? WHERE id = ?", (f"{owner}{_FORMERLY}{before}", before)
        )
    elif row is not None:
        end_session(connection, log, row[0])
    cursor = connection.execute(
        "INSERT INTO sessions (owner, ttl, deadline, lease) VALUES (?, ?, ?, ?)",
        (owner, ttl, now + ttl, msgspec.json.encode(lease)),
    )
    if cursor.lastrowid is None:
        raise sqlite3.DatabaseError("no id for a new session")
    return cursor.lastrowid, before


def end_session(connection: sqlite3.Connection, log: ChangeWriter, session: int) -> None:
    """Remove a session, if it is there, and its entries."""
    rows = connection.execute(
        "SELECT name, key, value, owner, seq FROM entries WHERE session = ? ORDER BY seq",
        (session,),
    ).fetchall()
    connection.execute("DELETE FROM entries WHERE session = ?", (session,))
    connection.execute("DELETE FROM sessions WHERE id = ?", (session,))
    for row in rows:
        log.append(EntryRemoved(*row))


def session_lives(connection: sqlite3.Connection, session: int, owner: str, now: int) -> bool:
    """Tell whether the session exists, is the owner's, and its lease has not run out."""
    row = connection.execute(
        "SELECT deadline FROM sessions WHERE id = ? AND owner = ?", (session, owner)
    ).fetchone()
    return row is not None and row[0] > now


def renew_session(connection: sqlite3.Connection, session: int, now: int) -> None:
    """Start the session's lease anew."""
    connection.execute("UPDATE sessions SET deadline = ? + ttl WHERE id = ?", (now, session))


def next_deadline(connection: sqlite3.Connection) -> int | None:
    """Return when the next lease runs out unless renewed, None if there is no session."""
    deadline = connection.execute("SELECT min(deadline) FROM sessions").fetchone()[0]
    return None if deadline is None else int(deadline)


def end_overdue_sessions(connection: sqlite3.Connection, log: ChangeWriter, now: int) -> None:
    """End every session whose lease has run out."""
    rows = connection.execute(
        "SELECT id FROM sessions WHERE deadline <= ? ORDER BY deadline", (now,)
    ).fetchall()
    for (session,) in rows:
        end_session(connection, log, session)
