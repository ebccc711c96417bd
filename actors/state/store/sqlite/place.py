"""Places: where a store's database is, a file or a name in this process, and who shares it."""

import threading
from pathlib import Path
from typing import Protocol

from actors.state.store.interface import StoreError
from actors.state.store.sqlite.database import Database, create_file, open_file, open_memory
from actors.state.store.sqlite.waker import Waker, touch


class Place(Protocol):
    """What an open store holds of its database."""

    def database(self) -> Database:
        """Return a connection for one more thread. Raises StoreError."""
        ...

    def waker(self) -> Waker:
        """Return a waker that each announce wakes."""
        ...

    def announce(self) -> None:
        """Wake all wakers of all who share the place. Raises StoreError."""
        ...

    def leave(self) -> None:
        """Release the connections."""
        ...


class FilePlace:
    """A database file, made if it is missing. Readable by its owner only: it holds the network."""

    def __init__(self, url: str, path: Path) -> None:
        """Make the place ready. Raises StoreError."""
        self._url = url
        self._path = path
        self._databases: list[Database] = []
        create_file(url, path)

    def database(self) -> Database:
        """See Place."""
        database = open_file(self._url, self._path)
        self._databases.append(database)
        return database

    def waker(self) -> Waker:
        """See Place."""
        return Waker(self._path)

    def announce(self) -> None:
        """See Place."""
        try:
            touch(self._path)
        except OSError as error:
            raise StoreError(f"{self._url}: the file is gone: {error.strerror}") from error

    def leave(self) -> None:
        """See Place."""
        for database in self._databases:
            database.close()


class _Memory:
    """A database in memory, which lasts as long as someone has it open."""

    def __init__(self, url: str) -> None:
        self.database = open_memory(url)
        self.wakers: tuple[Waker, ...] = ()
        self.users = 0


_memories: dict[str, _Memory] = {}
_memories_lock = threading.Lock()


class MemoryPlace:
    """A database in this process's memory, shared by name."""

    def __init__(self, url: str, name: str) -> None:
        """Make the place ready. Raises StoreError."""
        self._name = name
        self._waker: Waker | None = None
        with _memories_lock:
            if name not in _memories:
                _memories[name] = _Memory(url)
            self._memory = _memories[name]
            self._memory.users += 1

    def database(self) -> Database:
        """Return the one connection, which all who share the store take turns with."""
        return self._memory.database

    def waker(self) -> Waker:
        """See Place."""
        self._waker = Waker(None)
        with _memories_lock:
            self._memory.wakers = (*self._memory.wakers, self._waker)
        return self._waker

    def announce(self) -> None:
        """See Place."""
        for waker in self._memory.wakers:
            waker.wake()

    def leave(self) -> None:
        """See Place."""
        with _memories_lock:
            self._memory.wakers = tuple(w for w in self._memory.wakers if w is not self._waker)
            self._memory.users -= 1
            if not self._memory.users:
                del _memories[self._name]
                self._memory.database.close()
