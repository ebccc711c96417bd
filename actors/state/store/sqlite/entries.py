"""Table entries and the sessions that own them, in SQLite.

Every function works inside the caller's transaction; times are nanoseconds of CLOCK_MONOTONIC.
"""

import sqlite3

import msgspec

from actors.state.store.holder import Lease
from actors.state.store.interface import EntryPut, EntryRemoved
from actors.state.store.sqlite.changes import ChangeWriter

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


def put_entry(
    connection: sqlite3.Connection,
    log: ChangeWriter,
    entry: tuple[str, bytes, bytes],
    owner: str,
    session: int | None,
) -> int:
    """Put (table, key, value) for `owner`, replacing its earlier one; return its seq."""
    table, key, value = entry
    remove_entry(connection, log, table, key, owner)
    seq = 0 if session is None else log.next_revision
    connection.execute(
        "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", (table, key, owner, value, seq, session)
    )
    log.append(EntryPut(table, key, value, owner, seq))
    return seq


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
