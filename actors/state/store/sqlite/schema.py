"""The format of the database: its tables, how to recognise it, and what a reboot does to it.

Version 2; one of version 1, whose sessions had no holders, is changed to it. A database of another
application or version is refused, never changed.
"""

import sqlite3
from pathlib import Path

from actors.state.store.interface import StoreError

FORMAT = 2
_WITHOUT_HOLDERS = 1
_APPLICATION_ID = 0x41594154  # "AYAT"; `file` and SQLite's own tools show it

_TABLES = (
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # `revision` is that of the change that made the object so.
    """CREATE TABLE objects (
        kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,
        revision INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (kind, id))""",
    # Times are nanoseconds of CLOCK_MONOTONIC, which all processes of one boot share. `lease` says
    # in JSON who holds the session (holder.py).
    """CREATE TABLE sessions (
        id INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL UNIQUE,
        ttl INTEGER NOT NULL, deadline INTEGER NOT NULL, lease BLOB NOT NULL DEFAULT x'')""",
    # A persistent entry has owner '', seq 0 and no session.
    """CREATE TABLE entries (
        name TEXT NOT NULL, key BLOB NOT NULL, owner TEXT NOT NULL, value BLOB NOT NULL,
        seq INTEGER NOT NULL, session INTEGER, PRIMARY KEY (name, key, owner)) WITHOUT ROWID""",
    "CREATE INDEX entries_of_session ON entries (session) WHERE session IS NOT NULL",
    # The change log. `batch` is the revision of the transaction's first change, `number` an
    # object's version or an entry's seq, `volume` the bytes of data logged so far.
    """CREATE TABLE changes (
        revision INTEGER PRIMARY KEY AUTOINCREMENT, batch INTEGER NOT NULL,
        what INTEGER NOT NULL, scope TEXT NOT NULL, key BLOB NOT NULL, owner TEXT NOT NULL,
        number INTEGER NOT NULL, data BLOB, at INTEGER NOT NULL, volume INTEGER NOT NULL)""",
)


def check(url: str, connection: sqlite3.Connection) -> bool:
    """Tell whether it is a store already (an empty database is none yet).

    Raises StoreError for another application's database or another version's.
    """
    connection.execute("BEGIN")  # or another process might make the store between two questions
    try:
        return _is_store(url, connection)
    finally:
        connection.execute("ROLLBACK")


def _is_store(url: str, connection: sqlite3.Connection) -> bool:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = _version(connection)
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not application and not version and not tables:
        return False
    if application != _APPLICATION_ID:
        raise StoreError(f"{url}: the file is another application's database, not a store")
    if version not in {_WITHOUT_HOLDERS, FORMAT}:
        raise StoreError(
            f"{url}: the store has format {version}, and this version only reads format {FORMAT}"
        )
    return True


def prepare(url: str, connection: sqlite3.Connection) -> None:
    """Make the tables if they are missing, and end what a reboot ended. Raises StoreError."""
    boot = _boot_id(url)
    if (
        check(url, connection)
        and _version(connection) == FORMAT
        and _recorded_boot(connection) == boot
    ):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not _is_store(url, connection):  # another process may have been faster
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
        elif _version(connection) == _WITHOUT_HOLDERS:
            connection.execute("ALTER TABLE sessions ADD lease BLOB NOT NULL DEFAULT x''")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
        if _recorded_boot(connection) != boot:
            # The clock began anew, and nobody is left who could miss a change.
            connection.execute("DELETE FROM sessions")
            connection.execute("DELETE FROM entries WHERE session IS NOT NULL")
            connection.execute("DELETE FROM changes")
            connection.execute("INSERT OR REPLACE INTO facts VALUES ('boot', ?)", (boot,))
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _recorded_boot(connection: sqlite3.Connection) -> str | None:
    row = connection.execute("SELECT value FROM facts WHERE name = 'boot'").fetchone()
    return None if row is None else str(row[0])


def _boot_id(url: str) -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError as error:
        raise StoreError(f"{url}: cannot tell which boot this is: {error}") from error
