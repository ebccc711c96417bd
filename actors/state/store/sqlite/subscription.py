"""Subscription: one watch, what its listener knows already, and what to tell it next.

Pure but for the reads it is handed a connection for. What was told is remembered by identity,
so that a subscription that fell behind the change log can be told the difference.
"""

import sqlite3

from msgspec import Struct

from actors.state.store.interface import (
    EntryPut,
    EntryRemoved,
    KindWatch,
    Listener,
    ObjectChanged,
    ObjectKey,
    ObjectWatch,
    SnapshotComplete,
    StoreEvent,
    TableWatch,
    Watch,
)
from actors.state.store.sqlite.changes import Change, last_revision
from actors.state.store.sqlite.entries import read_entries
from actors.state.store.sqlite.objects import object_revisions


class Picture(Struct, frozen=True):
    """What a watch found at `revision`: objects with the revision that made them, or entries."""

    revision: int
    objects: tuple[tuple[int, ObjectChanged], ...] = ()
    entries: tuple[EntryPut, ...] = ()


class Subscription:
    """One call of Store.watch."""

    def __init__(self, watch: Watch, listener: Listener) -> None:
        self.watch = watch
        self.listener = listener
        self.active = True
        self._revision = 0  # all changes up to this one have been told
        self._objects: dict[ObjectKey, int] = {}  # told objects, with the revision that made them
        self._entries: dict[tuple[bytes, str], EntryPut] = {}

    @property
    def revision(self) -> int:
        """The last change that the listener has been told of, or that does not concern it."""
        return self._revision

    def look(self, connection: sqlite3.Connection) -> Picture:
        """Read what there is for this watch now."""
        revision = last_revision(connection)
        match self.watch:
            case ObjectWatch(key):
                return Picture(revision, objects=object_revisions(connection, key.kind, key.id))
            case KindWatch(kind):
                return Picture(revision, objects=object_revisions(connection, kind, None))
            case TableWatch(table):
                return Picture(revision, entries=read_entries(connection, table))

    def snapshot(self, picture: Picture) -> tuple[StoreEvent, ...]:
        """Return what to tell first: all that is there."""
        events = self.difference(picture)
        if isinstance(self.watch, ObjectWatch) and not events:
            events = (ObjectChanged(self.watch.key, 0, None),)
        return (*events, SnapshotComplete(self.watch))

    def difference(self, picture: Picture) -> tuple[StoreEvent, ...]:
        """Return what makes of all that was told all that is there now: first what is gone."""
        self._revision = picture.revision
        if isinstance(self.watch, TableWatch):
            return self._entry_difference(picture.entries)
        return self._object_difference(picture.objects)

    def news(self, revision: int, change: Change) -> bool:
        """Take note of a change that concerns this watch; tell if the listener lacks it."""
        if revision <= self._revision:
            return False
        self._revision = revision
        match change:
            case ObjectChanged(key, _, None):
                self._objects.pop(key, None)
            case ObjectChanged(key):
                self._objects[key] = revision
            case EntryPut(_, key, _, owner):
                self._entries[key, owner] = change
            case EntryRemoved(_, key, _, owner):
                self._entries.pop((key, owner), None)
        return True

    def _object_difference(
        self, found: tuple[tuple[int, ObjectChanged], ...]
    ) -> tuple[StoreEvent, ...]:
        told = self._objects
        self._objects = {change.key: revision for revision, change in found}
        gone = tuple(ObjectChanged(key, 0, None) for key in told if key not in self._objects)
        return gone + tuple(
            change for revision, change in found if told.get(change.key) != revision
        )

    def _entry_difference(self, found: tuple[EntryPut, ...]) -> tuple[StoreEvent, ...]:
        told = self._entries
        self._entries = {(entry.key, entry.owner): entry for entry in found}
        gone = tuple(
            EntryRemoved(entry.table, entry.key, entry.value, entry.owner, entry.seq)
            for address, entry in told.items()
            if self._entries.get(address) != entry
        )
        return gone + tuple(entry for entry in found if told.get((entry.key, entry.owner)) != entry)


def watches_of(change: Change) -> tuple[Watch, ...]:
    """Return the watches that a change concerns."""
    if isinstance(change, ObjectChanged):
        return ObjectWatch(change.key), KindWatch(change.key.kind)
    return (TableWatch(change.table),)
