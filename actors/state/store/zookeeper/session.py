"""ZookeeperSession: an owner's lease, a session of ZooKeeper's with a connection of its own.

Its entries are ephemeral: the server removes them when it has not heard of this process for the
lease's time. kazoo keeps ZooKeeper's session alive by itself; a thread of this one's ends it when
the owner has not renewed the lease, so that a process whose owner hangs loses its entries, too.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from kazoo.exceptions import KazooException, NoNodeError
from kazoo.protocol import serialization as wire

from actors.state.store.interface import EntryPut, SessionLost, StoreError
from actors.state.store.zookeeper.connection import CALL_SECONDS, Connection, Ended, Unknown
from actors.state.store.zookeeper.entries import checked_entry_name
from actors.state.store.zookeeper.folders import Folders, barrier
from actors.state.store.zookeeper.layout import LAST_SEQ, Layout, entry_name, seq_of
from actors.state.store.zookeeper.marks import Marked, end_session
from actors.state.store.zookeeper.table_scope import current_entries

_EPHEMERAL_SEQUENTIAL: Final = 3  # CreateMode
_MOST_AT_ONCE: Final = 200_000
"""Bytes of the names of entries that are put in one request; servers refuse one of 1 MiB."""
_RENEWALS: Final = 3
"""How often a put makes folders or looks up its own entries anew before it gives up."""


class ZookeeperSession:
    """See Session in the store's interface."""

    def __init__(
        self,
        url: str,
        owner: str,
        ttl: float,
        connection: Connection,
        layout: Layout,
        folders: Folders,
        marked: Marked,
        forget: Callable[["ZookeeperSession"], bool],
    ) -> None:
        """Take over an open connection whose mark is set, and begin the lease.

        `forget` takes it off the store's list and tells if it was there.
        """
        self._url = url
        self._owner = owner
        self._ttl = ttl
        self._connection = connection
        self._layout = layout
        self._folders = folders
        self._number = marked.session
        self._inherits = marked.inherits
        self._earlier = marked.earlier
        self._forget = forget
        self._lock = threading.Lock()
        self._own: dict[tuple[str, bytes], EntryPut] = {}
        self._met: set[str] = set()
        """Tables in which this owner's entries are known since the session began."""
        self._doubtful: set[str] = set()
        """Tables in which a call may have changed more than is known."""
        self._wake = threading.Condition()
        self._ended = False
        self._left = False
        self._busy = 0
        self._deadline = time.monotonic() + ttl
        self._thread = threading.Thread(
            target=self._watch_lease, name=f"lease {owner}", daemon=True
        )
        connection.when_ended(self._lose)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether it has ended, by whatever cause."""
        return self._ended

    @property
    def owner(self) -> str:
        """The name given to open_session."""
        return self._owner

    @property
    def down_since(self) -> float | None:
        """Since when (time.monotonic) no server is reached, None if one is."""
        return self._connection.down_since

    def put(self, table: str, key: bytes, value: bytes) -> int:
        """Set this owner's entry; return its seq. Raises SessionLost, StoreError."""
        name = checked_entry_name(self._url, table, key, value, self._owner)
        folder = self._layout.table(table)
        with self._lease(), self._lock:
            self._meet((table,))
            before = self._own.get((table, key))
            for _ in range(_RENEWALS):
                if table in self._doubtful:
                    self._look_up(table)
                    found = self._own.get((table, key))
                    if found is not None and found != before and found.value == value:
                        return found.seq  # it was carried out, and only the answer was lost
                try:
                    seq = self._exchange(table, key, f"{folder}/{name}")
                except Unknown:
                    self._doubtful.add(table)
                    continue
                if seq is not None:
                    self._own[table, key] = EntryPut(table, key, value, self._owner, seq)
                    return seq
            raise StoreError(f"{self._url}: cannot put into table {table}: it keeps changing")

    def put_all(self, entries: tuple[tuple[str, bytes, bytes], ...]) -> None:
        """Set entries, in one step where that can be. Raises SessionLost, StoreError."""
        if not self._put_at_once(entries):
            for table, key, value in entries:
                self.put(table, key, value)  # finds out which of them was carried out already

    def _put_at_once(self, entries: tuple[tuple[str, bytes, bytes], ...]) -> bool:
        """Put entries in one request; return False if it is not known that all were."""
        rows = {(table, key) for table, key, _ in entries}
        names = [checked_entry_name(self._url, *entry, self._owner) for entry in entries]
        with self._lease(), self._lock:
            tables = {table: None for table, _, _ in entries}
            self._meet(tables)
            if (
                len(rows) < len(entries)
                or self._doubtful & tables.keys()
                or sum(map(len, names)) > _MOST_AT_ONCE
            ):
                return False
            requests: list[object] = []
            creations = []
            for (table, key, _), name in zip(entries, names, strict=True):
                path = f"{self._layout.table(table)}/{name}"
                creations.append(len(requests))
                requests.append(wire.Create(path, b"", self._folders.acl, _EPHEMERAL_SEQUENTIAL))
                known = self._own.get((table, key))
                if known is not None:
                    requests.append(wire.Delete(self._path(known), -1))
            try:
                self._folders.ensure(tuple(map(self._layout.table, tables)))
                results = self._connection.call(wire.Transaction(tuple(requests)), again=False)
            except Unknown:
                self._doubtful.update(tables)
                return False
            if any(isinstance(result, KazooException) for result in results):
                self._doubtful.update(tables)
                return False
            for (table, key, value), number in zip(entries, creations, strict=True):
                seq = seq_of(results[number])
                self._own[table, key] = EntryPut(table, key, value, self._owner, seq)
            for table, key, _ in entries:
                self._check_seq(table, self._own[table, key].seq)
            return True

    def remove(self, table: str, key: bytes, seq: int | None = None) -> bool:
        """Remove this owner's entry; tell if it was there. Raises SessionLost, StoreError."""
        with self._lease(), self._lock:
            self._meet((table,))
            if table in self._doubtful:
                self._look_up(table)
            known = self._own.get((table, key))
            if known is None or (seq is not None and known.seq != seq):
                return False
            try:
                # Sent again, it finds nothing of that seq: one number is given out once.
                self._connection.call(
                    wire.Delete(self._path(known), -1), again=True, expected=(NoNodeError,)
                )
            except NoNodeError:
                pass
            except Unknown:
                self._doubtful.add(table)
                raise
            del self._own[table, key]
            return True

    def keep_alive(self) -> None:
        """Renew the lease. Raises SessionLost, StoreError."""
        with self._lease():
            mark = self._layout.session(self._owner)
            found = self._connection.call(wire.Exists(mark, None), again=True)
            if found is None or found.ephemeralOwner != self._number:
                self._lose(leaving=True)  # the successor says what goes, and when
                raise self._loss()
            with self._wake:
                self._deadline = time.monotonic() + self._ttl

    def settle(self) -> None:
        """End the same holder's session before this one. Raises SessionLost, StoreError."""
        with self._lease():
            if self._earlier is not None:
                end_session(self._connection.address, self._earlier)
                self._earlier = None

    def leave(self) -> None:
        """Leave the session and its entries to its lease."""
        self._forget(self)
        self._finish(leaving=True)

    def close(self) -> None:
        """End the session; do nothing if it ended already, or was left."""
        if self._forget(self):
            self.end()

    def end(self) -> None:
        """Close the connection, with which the entries go."""
        self._finish(leaving=False)

    def _finish(self, *, leaving: bool) -> None:
        self._lose(leaving=leaving)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _exchange(self, table: str, key: bytes, path: str) -> int | None:
        """Create an entry and delete its predecessor in one step; None: try again.

        Created first, for a watcher's sake: the creation says what it replaces.
        """
        known = self._own.get((table, key))
        folder = self._layout.table(table)
        requests: list[object] = [wire.Create(path, b"", self._folders.acl, _EPHEMERAL_SEQUENTIAL)]
        if known is not None:
            requests.append(wire.Delete(self._path(known), -1))
        self._folders.ensure((folder,))
        results = self._connection.call(wire.Transaction(tuple(requests)), again=False)
        errors = [result for result in results if isinstance(result, KazooException)]
        if not errors:
            seq = seq_of(results[0])
            self._check_seq(table, seq)
            return seq
        if not any(isinstance(error, NoNodeError) for error in errors):
            raise StoreError(f"{self._url}: ZooKeeper refuses: {errors[0]!r}")
        # Somebody removed the folder, or the predecessor.
        self._folders.renew((folder,))
        self._doubtful.add(table)
        return None

    def _check_seq(self, table: str, seq: int) -> None:
        if seq > LAST_SEQ:
            raise StoreError(
                f"{self._url}: ZooKeeper has no numbers left for table {table}: remove"
                f" {self._layout.table(table)} while no agent uses it"
            )

    def _meet(self, tables: Iterable[str]) -> None:
        """Learn what the session before left in tables, before this one writes there."""
        for table in tables:
            if table not in self._met:
                if self._inherits:
                    self._look_up(table)
                self._met.add(table)

    def _look_up(self, table: str) -> None:
        """Learn what this owner's entries in a table are."""
        folder = self._layout.table(table)
        self._connection.call(barrier(folder), again=True)
        try:
            names = self._connection.call(
                wire.GetChildren(folder, None), again=True, expected=(NoNodeError,)
            )
        except NoNodeError:
            names = []
        found = current_entries(table, names)[0].values()
        self._own = {address: e for address, e in self._own.items() if address[0] != table}
        self._own |= {(table, e.key): e for e in found if e.owner == self._owner}
        self._doubtful.discard(table)

    def _path(self, entry: EntryPut) -> str:
        name = entry_name(entry.key, entry.value, entry.owner)
        return f"{self._layout.table(entry.table)}/{name}{entry.seq - 1:010d}"

    @contextmanager
    def _lease(self) -> Iterator[None]:
        """Have the lease last as long as the call does."""
        with self._wake:
            if self._ended:
                raise self._loss()
            self._busy += 1
        try:
            yield
        except Ended as error:
            raise self._loss() from error
        except SessionLost:
            raise
        except StoreError as error:
            if self.ended:
                raise self._loss() from error
            raise
        finally:
            with self._wake:
                self._busy -= 1
                self._wake.notify_all()

    def _loss(self) -> SessionLost:
        return SessionLost(
            f"the session of {self._owner} has ended: its lease ran out, or it was closed, left or"
            " replaced"
        )

    def _lose(self, *, leaving: bool = False) -> None:
        with self._wake:
            if not self._ended:
                self._ended, self._left = True, leaving
            self._wake.notify_all()

    def _watch_lease(self) -> None:
        """Wait for the end of the lease, then close the connection.

        While no server is reached, the owner cannot renew it: the server decides then, and once one
        is reached again there is a lease's time to renew it in.
        """
        with self._wake:
            while not self._ended:
                left = self._deadline - time.monotonic()
                if self._busy:
                    # A call that waits for the connection bounds itself.
                    self._wake.wait(CALL_SECONDS)
                elif left > 0:
                    self._wake.wait(left)
                elif self._connection.down_since is not None:
                    self._deadline += self._ttl
                else:
                    self._ended = True
        if self._left:
            self._connection.leave()
        else:
            self._connection.close()
