"""Database: one SQLite connection, its lock, its transactions, and errors in the store's words.

Owns a connection and nothing of what the tables mean. A file has WAL and `synchronous=NORMAL`:
a crash of any process loses nothing, a power cut may lose the last commits but no consistency.
"""

import contextlib
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from os import mknod
from pathlib import Path
from urllib.parse import quote

from actors.state.store.interface import StoreError
from actors.state.store.sqlite import schema

BUSY_SECONDS = 10.0
"""How long a call waits for another process's transaction; each takes well under a millisecond."""

_WAL_RETRY_SECONDS = 0.01

_CAUSES = {
    sqlite3.SQLITE_BUSY: f"another process kept it locked for {BUSY_SECONDS:.0f} s",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database",
    sqlite3.SQLITE_PERM: "no permission to use the file",
    sqlite3.SQLITE_READONLY: "the file is read-only for this user",
}


class Database:
    """A connection that several threads may use, one transaction at a time."""

    def __init__(
        self, url: str, connection: sqlite3.Connection, guard: Callable[[], None] | None = None
    ) -> None:
        """Take over `connection`. `guard` raises StoreError when it is not to be used any more."""
        self._url = url
        self._connection = connection
        self._guard = guard
        self._lock = threading.Lock()
        self._closed = False

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give one consistent view of the store. Raises StoreError."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Commit what the block does, or nothing of it if it raises. Raises StoreError."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._lock, translated(self._url):
            if self._closed:
                raise StoreError(f"{self._url} is closed")
            if self._guard is not None:
                self._guard()
            connection = self._connection
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:  # the block or the commit failed
                    connection.execute("ROLLBACK")

    def close(self) -> None:
        """Release the connection; later use raises StoreError. May be called again."""
        with self._lock:
            self._closed = True
            self._connection.close()


@contextlib.contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn SQLite's errors into StoreError, one line that names the store."""
    try:
        yield
    except sqlite3.Error as error:
        # sqlite3 sets the code on errors of the library only, not on its own.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        cause = _CAUSES.get(code & 0xFF)  # the low byte is the primary code
        raise StoreError(f"{url}: {cause or error}") from error
    except UnicodeEncodeError as error:
        raise StoreError(f"{url}: a name is no valid Unicode text: {error.object!r}") from error


def open_memory(url: str) -> Database:
    """Open a new, empty store in memory. Raises StoreError."""
    with translated(url):
        connection = _connect(":memory:")
        with contextlib.ExitStack() as undo:
            undo.callback(connection.close)
            schema.prepare(url, connection)
            undo.pop_all()
    return Database(url, connection)


def create_file(url: str, path: Path) -> None:
    """Make an empty file, readable by its owner only, unless there is one. Raises StoreError."""
    try:
        # Not open(): closing any descriptor of a database file drops this process's locks on it.
        mknod(path, stat.S_IFREG | 0o600)
    except FileExistsError:
        if not path.is_file():
            raise StoreError(f"{url}: {path} is no file") from None
    except FileNotFoundError:
        raise StoreError(f"{url}: the folder {path.parent} does not exist") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StoreError(f"{url}: cannot create {path}: {reason}") from error


def open_file(url: str, path: Path) -> Database:
    """Open the store in `path`, which exists; an empty file becomes a store. Raises StoreError."""
    with translated(url):
        connection = _connect(f"file:{quote(str(path))}?mode=rw")
        with contextlib.ExitStack() as undo:
            undo.callback(connection.close)
            schema.check(url, connection)  # before anything of a foreign file is changed
            _use_wal(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            schema.prepare(url, connection)
            identity = _identity(url, path)
            undo.pop_all()

    def guard() -> None:
        if _identity(url, path) != identity:
            raise StoreError(f"{url}: the file was replaced while in use")

    return Database(url, connection, guard)


def _identity(url: str, path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise StoreError(f"{url}: the file is gone: {error.strerror}") from error
    return status.st_dev, status.st_ino


def _connect(address: str) -> sqlite3.Connection:
    return sqlite3.connect(
        address,
        timeout=BUSY_SECONDS,
        isolation_level=None,  # transactions are begun explicitly
        check_same_thread=False,  # Database's lock sees to it
        uri=address.startswith("file:"),
    )


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log, for which SQLite does not wait when another is at it."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(_WAL_RETRY_SECONDS)
        else:
            return
