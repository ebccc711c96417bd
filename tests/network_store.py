"""The store of the in-process network: objects and tables in memory, told of synchronously."""

from collections.abc import Callable

from actors.messages.stored import Input, Output
from actors.messages.tables import (
    EntryState,
    PutEntry,
    RemoveEntry,
    SessionEnded,
    SessionOpened,
    SettleSession,
    TableChanged,
    UnwatchTable,
    WatchTable,
)
from actors.messages.topology import (
    ObjectState,
    TopologyChanged,
    UnwatchObject,
    WatchKind,
    WatchObject,
)
from actors.state.document import compile_document, encode_object, object_key, parse_document
from actors.values import ActorName, HostId, Nanoseconds

Give = Callable[[ActorName, Input], None]
WATCHER, TABLES = ActorName("topology-watcher"), ActorName("state-tables")


class MemoryStore:
    """What all hosts share."""

    def __init__(self, clock: Callable[[], Nanoseconds]) -> None:
        self.clock = clock
        self.objects: dict[tuple[str, str], tuple[int, bytes]] = {}
        self.entries: dict[str, dict[tuple[bytes, str], EntryState]] = {}
        self.ends: list[StoreEnd] = []
        self._seq = 0

    def apply(self, text: str) -> None:
        """Make the objects those of a topology document."""
        wanted = {
            (object_key(each).kind, object_key(each).id): encode_object(each)
            for each in compile_document(parse_document(text, "test.yaml"))
        }
        for key in sorted({*self.objects, *wanted}):
            version, data = self.objects.get(key, (0, None))
            if key not in wanted:
                self.put_object(*key, None)
            elif wanted[key] != data:
                self.put_object(*key, wanted[key], version + 1)

    def put_object(self, kind: str, identity: str, data: bytes | None, version: int = 0) -> None:
        """Set, or delete, one object, whatever its bytes are."""
        if data is None:
            del self.objects[kind, identity]
        else:
            self.objects[kind, identity] = version, data
        state = ObjectState(kind, identity, version, data)
        for end in self.ends:
            end.object_changed(state)

    def put(self, table: str, key: bytes, value: bytes, owner: str) -> None:
        """Set an owner's entry."""
        rows = self.entries.setdefault(table, {})
        old = rows.pop((key, owner), None)
        self._seq += 1
        new = rows[key, owner] = EntryState(key, value, owner, self._seq, False)
        gone = () if old is None else (_removed(old),)
        self._tell(table, (*gone, new))

    def remove(self, table: str, key: bytes, owner: str) -> None:
        """Remove an owner's entry, if there is one."""
        old = self.entries.get(table, {}).pop((key, owner), None)
        if old is not None:
            self._tell(table, (_removed(old),))

    def end_session(self, owner: str, seqs: frozenset[int] | None = None) -> None:
        """Remove all entries of an owner, or those of some numbers."""
        for table, rows in self.entries.items():
            for (key, whose), entry in tuple(rows.items()):
                if whose == owner and (seqs is None or entry.seq in seqs):
                    self.remove(table, key, owner)

    def seqs(self, owner: str) -> frozenset[int]:
        """Return the numbers of an owner's entries."""
        return frozenset(
            entry.seq
            for rows in self.entries.values()
            for entry in rows.values()
            if entry.owner == owner
        )

    def rows(self, table: str) -> dict[bytes, tuple[bytes, str]]:
        """Return key -> (value, owner) of the entry that counts."""
        best: dict[bytes, EntryState] = {}
        for entry in self.entries.get(table, {}).values():
            if entry.key not in best or entry.seq > best[entry.key].seq:
                best[entry.key] = entry
        return {key: (entry.value, entry.owner) for key, entry in best.items()}

    def _tell(self, table: str, entries: tuple[EntryState, ...]) -> None:
        for end in self.ends:
            end.table_changed(table, entries)


class StoreEnd:
    """One host's connection: performs the lane's requests, gives it what changed."""

    def __init__(self, store: MemoryStore, owner: HostId, give: Give) -> None:
        self._store = store
        self._owner = owner
        self._give = give
        self._objects: set[tuple[str, str]] = set()
        self._kinds: set[str] = set()
        self._tables: set[str] = set()
        self.session = False
        self._earlier: frozenset[int] = frozenset()
        self.outputs: list[Output] = []
        store.ends.append(self)

    def open_session(self) -> None:
        self.session = True
        self._earlier = self._store.seqs(self._owner)
        self._give(TABLES, SessionOpened(self._store.clock()))

    def forget_watches(self) -> None:
        """Be the connection of an agent that was begun afresh."""
        self._objects.clear()
        self._kinds.clear()
        self._tables.clear()

    def lose_session(self) -> None:
        self.session = False
        self._store.end_session(self._owner)
        self._give(TABLES, SessionEnded(self._store.clock(), "lease ran out"))

    def perform(self, output: Output) -> bool:
        """Do what the output says; return False if it is none for the store."""
        match output:
            case WatchObject(kind, identity):
                self._objects.add((kind, identity))
                version, data = self._store.objects.get((kind, identity), (0, None))
                self.object_changed(ObjectState(kind, identity, version, data))
            case WatchKind(kind):
                self._kinds.add(kind)
                self._whole_kind(kind)
            case WatchTable(table):
                self._tables.add(table)
                entries = sorted(self._store.entries.get(table, {}).values(), key=lambda e: e.seq)
                self._give(TABLES, TableChanged(self._store.clock(), table, tuple(entries), True))
            case UnwatchObject(kind, identity):
                self._objects.discard((kind, identity))
            case UnwatchTable(table):
                self._tables.discard(table)
            case PutEntry(table, key, value):
                if self.session:
                    self._store.put(table, key, value, self._owner)
            case RemoveEntry(table, key):
                if self.session:
                    self._store.remove(table, key, self._owner)
            case SettleSession():
                if self.session:
                    self._store.end_session(self._owner, self._earlier)
            case _:
                return False
        self.outputs.append(output)
        return True

    def _whole_kind(self, kind: str) -> None:
        objects = tuple(
            ObjectState(kind, identity, version, data)
            for (of, identity), (version, data) in sorted(self._store.objects.items())
            if of == kind
        )
        self._give(WATCHER, TopologyChanged(self._store.clock(), objects, kind))

    def object_changed(self, state: ObjectState) -> None:
        if (state.kind, state.id) in self._objects or state.kind in self._kinds:
            self._give(WATCHER, TopologyChanged(self._store.clock(), (state,)))

    def table_changed(self, table: str, entries: tuple[EntryState, ...]) -> None:
        if table in self._tables:
            self._give(TABLES, TableChanged(self._store.clock(), table, entries, False))


def _removed(entry: EntryState) -> EntryState:
    return EntryState(entry.key, entry.value, entry.owner, entry.seq, True)
