"""Store: objects with versions and watches, transactions, and tables of owned entries.

Every backend passes the contract suite in tests/state/store_contract.py. All calls may block,
so the edge's store thread makes them, never a lane. Values are opaque bytes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from actors.state.store.holder import Holder


class StoreError(Exception):
    """The store cannot be used: unreachable, corrupt, closed. The message says which and where."""


class Conflict(StoreError):  # noqa: N818 - it names the state of the store, as HTTP 409 does
    """A transaction found another version than it expected; nothing of it was applied."""


class SessionLost(StoreError):  # noqa: N818
    """The session's lease ran out: its entries are gone and it can own no more."""


class ObjectKey(Struct, frozen=True, order=True):
    """Address of an object: its kind (`bridge`, `host`, …) and its id."""

    kind: str
    id: str


class StoredObject(Struct, frozen=True):
    """An object as read. `version` starts at 1 and grows by 1 with each update."""

    key: ObjectKey
    version: int
    data: bytes


class Create(Struct, frozen=True):
    """Create an object that must not exist yet."""

    key: ObjectKey
    data: bytes


class Update(Struct, frozen=True):
    """Replace an object's data if it still has `version`."""

    key: ObjectKey
    version: int
    data: bytes


class Delete(Struct, frozen=True):
    """Delete an object if it still has `version`."""

    key: ObjectKey
    version: int


Operation = Create | Update | Delete


class ObjectChanged(Struct, frozen=True):
    """The object now is so. `data` is None and `version` 0 when it does not exist (any more)."""

    key: ObjectKey
    version: int
    data: bytes | None


class EntryPut(Struct, frozen=True):
    """`owner` says that in `table`, `key` is `value`.

    `seq` orders all puts into the table: of several owners' entries for one key the one with the
    highest `seq` counts. Persistent entries (owner "") have seq 0 and rank lowest.
    """

    table: str
    key: bytes
    value: bytes
    owner: str
    seq: int


class EntryRemoved(Struct, frozen=True):
    """The entry of that `seq` is gone: removed, replaced by its owner, or its owner's session ended.

    When it was replaced, its removal comes right before the new put, in the same call.
    """

    table: str
    key: bytes
    value: bytes
    owner: str
    seq: int


class SnapshotComplete(Struct, frozen=True):
    """All that existed when the watch began has been delivered; updates follow."""

    watch: "Watch"


class ObjectWatch(Struct, frozen=True):
    """Watch one object. If it does not exist, the snapshot is an ObjectChanged that says so."""

    key: ObjectKey


class KindWatch(Struct, frozen=True):
    """Watch all objects of a kind."""

    kind: str


class TableWatch(Struct, frozen=True):
    """Watch all entries of a table."""

    table: str


Watch = ObjectWatch | KindWatch | TableWatch
StoreEvent = ObjectChanged | EntryPut | EntryRemoved | SnapshotComplete
Listener = Callable[[tuple[StoreEvent, ...]], None]
"""Called on the store's own thread with events in order; must not call back into the store."""


class Session(Protocol):
    """An owner's lease: its table entries live as long as it does."""

    @property
    def owner(self) -> str:
        """The name given to open_session."""
        ...

    def put(self, table: str, key: bytes, value: bytes) -> int:
        """Set this owner's entry for `key`, replacing its earlier one; return its seq.

        Raises SessionLost, StoreError.
        """
        ...

    def put_all(self, entries: tuple[tuple[str, bytes, bytes], ...]) -> None:
        """Set entries, each (table, key, value), in this order: as `put` does, and quicker.

        Where it raises, some of them may be set. Raises SessionLost, StoreError.
        """
        ...

    def remove(self, table: str, key: bytes, seq: int | None = None) -> bool:
        """Remove this owner's entry for `key` (only if it is the one of `seq`, when given).

        Returns whether one was there. Raises SessionLost, StoreError.
        """
        ...

    def keep_alive(self) -> None:
        """Renew the lease. Raises SessionLost if it ran out, StoreError."""
        ...

    def settle(self) -> None:
        """Say that all is put again that holds: what else an earlier session of the same holder put goes.

        Until then it stays, so that nobody does without it meanwhile. Raises SessionLost, StoreError.
        """
        ...

    def leave(self) -> None:
        """Give the session up as it is: its entries stay until its lease runs out.

        Or until another session of the same holder settles.
        """
        ...

    def close(self) -> None:
        """End the session; its entries go away at once."""
        ...


class Store(Protocol):
    """A topology store."""

    @property
    def url(self) -> str:
        """The URL that open_store was given, for messages to people."""
        ...

    @property
    def down_since(self) -> float | None:
        """Since when (time.monotonic) the store is out of reach, None if it is not; never blocks."""
        ...

    def read(self, key: ObjectKey) -> StoredObject | None:
        """Return the object, or None. Raises StoreError."""
        ...

    def list(self, kind: str) -> tuple[StoredObject, ...]:
        """Return all objects of a kind in the order of their ids. Raises StoreError."""
        ...

    def transact(self, operations: tuple[Operation, ...]) -> None:
        """Apply all operations or none. Raises Conflict, StoreError."""
        ...

    def watch(self, watch: Watch, listener: Listener) -> Callable[[], None]:
        """Deliver what is there, then SnapshotComplete, then every change in order, none missed.

        Changes of one transaction arrive in one call of `listener` per watch. A listener that
        falls behind (with SQLite: far behind) is told the difference instead of every change
        between: an object's last version for several, and a transaction in parts if changes rain
        without pause. Of a table's entries each put and removal is told while the connection
        lasts. Returns a function that ends the watch. Raises StoreError.
        """
        ...

    def entries(self, table: str) -> tuple[EntryPut, ...]:
        """Return a table's entries in the order of seq. Raises StoreError."""
        ...

    def seed(self, table: str, key: bytes, value: bytes | None) -> None:
        """Set (or with None remove) a persistent entry that no session owns. Raises StoreError."""
        ...

    def open_session(self, owner: str, ttl: float, holder: "Holder | None" = None) -> Session:
        """Open the session of `owner`, whose lease lasts `ttl` seconds after each keep_alive.

        `holder` is the process that holds it: this one, unless told. An earlier session of the
        same owner ends if its holder is the same, or is seen to be dead; it may find that out when
        it next renews its lease. Its entries stay until
        its lease runs out, or the new session settles (if the holder is the same): the new one puts
        most of them again, and nobody need do without them meanwhile. Raises OwnerTaken if another
        process holds it; it may when that one's lease has run out. Raises StoreError.
        """
        ...

    def close(self) -> None:
        """Stop delivering events, end the sessions that were not left, release everything."""
        ...
