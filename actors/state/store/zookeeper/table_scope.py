"""TableScope: a watched table. Its events carry key and value in the path, so none costs a read."""

from collections.abc import Iterable

from kazoo.protocol import serialization as wire

from actors.state.store.interface import EntryPut, EntryRemoved, StoreEvent
from actors.state.store.zookeeper.layout import Undecodable, entry_of
from actors.state.store.zookeeper.persistent_watch import NodeEvent
from actors.state.store.zookeeper.scope import Post, Scope

Entries = dict[tuple[bytes, str], EntryPut]


def current_entries(table: str, names: Iterable[str]) -> tuple[Entries, tuple[str, ...]]:
    """Return the entries that names are of, by key and owner, and the names that are of none.

    Of an owner's entries for one key the newest counts; there is another only while an earlier
    session of the same owner has not ended.
    """
    entries: Entries = {}
    strange: list[str] = []
    for name in names:
        try:
            entry = entry_of(table, name)
        except Undecodable:
            strange.append(name)
            continue
        known = entries.get((entry.key, entry.owner))
        if known is None or _newer(entry, known):
            entries[entry.key, entry.owner] = entry
    return entries, tuple(strange)


def in_order(entries: Iterable[EntryPut]) -> tuple[EntryPut, ...]:
    """Return entries in the order of seq, persistent ones in the order of their keys."""
    return tuple(sorted(entries, key=lambda entry: (entry.seq, entry.key)))


def removal(entry: EntryPut) -> EntryRemoved:
    """Return what says that an entry is gone."""
    return EntryRemoved(entry.table, entry.key, entry.value, entry.owner, entry.seq)


def _newer(entry: EntryPut, known: EntryPut) -> bool:
    # Persistent entries have no number. There is one for a key; its successor comes before it goes.
    return entry.seq > known.seq or (entry.seq == 0 and known.seq == 0 and entry != known)


class TableScope(Scope):
    """One watched table."""

    def __init__(self, path: str, post: Post, table: str) -> None:
        super().__init__(path, post)
        self._table = table
        self._entries: Entries = {}

    def take_event(self, event: NodeEvent, path: str) -> None:
        """Take a put or a removal. An entry's successor comes before the entry goes."""
        if not self._live:
            return
        try:
            entry = entry_of(self._table, path.rpartition("/")[2])
        except Undecodable:
            if event is NodeEvent.CREATED:
                self._post.refuse(path)
            return
        address = entry.key, entry.owner
        known = self._entries.get(address)
        if event is NodeEvent.CREATED:
            if known is None:
                self._entries[address] = entry
                self._publish((entry,))
            elif _newer(entry, known):
                self._entries[address] = entry
                self._publish((removal(known), entry))
        elif event is NodeEvent.DELETED and known == entry:
            del self._entries[address]
            self._publish((removal(entry),))

    def _ask_first(self) -> None:
        self._ask(wire.GetChildren(self.path, None), "names")

    def _take_read(self, what: object, value: object) -> None:
        del what
        names = value if isinstance(value, list) else []
        told = self._entries
        self._entries, strange = current_entries(self._table, names)
        for name in strange:
            self._post.refuse(f"{self.path}/{name}")
        gone = tuple(
            removal(entry) for address, entry in told.items() if self._entries.get(address) != entry
        )
        new = (
            entry
            for entry in in_order(self._entries.values())
            if told.get((entry.key, entry.owner)) != entry
        )
        self._arrive((*gone, *new))

    def _everything(self) -> tuple[StoreEvent, ...]:
        return in_order(self._entries.values())
