"""Recorder: a listener that remembers what it was told, and checks that it makes sense."""

import threading
from collections.abc import Callable

from actors.state.store.interface import (
    EntryPut,
    EntryRemoved,
    ObjectChanged,
    ObjectKey,
    SnapshotComplete,
    StoredObject,
    StoreEvent,
)

PATIENCE = 30.0
"""Seconds until a test gives up on something that comes within milliseconds if it comes."""


class Recorder:
    def __init__(self) -> None:
        self.calls: list[tuple[StoreEvent, ...]] = []
        self.faults: list[str] = []
        self._objects: dict[ObjectKey, ObjectChanged] = {}
        self._entries: dict[tuple[bytes, str], EntryPut] = {}
        self._last_seq = 0
        self._complete = False
        self._changed = threading.Condition()

    def __call__(self, events: tuple[StoreEvent, ...]) -> None:
        with self._changed:
            self.calls.append(events)
            for event in events:
                self._take(event)
            self._changed.notify_all()

    @property
    def complete(self) -> bool:
        return self._complete

    @property
    def events(self) -> list[StoreEvent]:
        with self._changed:
            return [event for call in self.calls for event in call]

    @property
    def updates(self) -> list[StoreEvent]:
        """What came after the snapshot."""
        events = self.events
        return events[[isinstance(event, SnapshotComplete) for event in events].index(True) + 1 :]

    @property
    def objects(self) -> tuple[StoredObject, ...]:
        """The objects that there are, if what was told is true."""
        with self._changed:
            return tuple(
                StoredObject(key, change.version, change.data)
                for key, change in sorted(self._objects.items())
                if change.data is not None
            )

    @property
    def entries(self) -> tuple[EntryPut, ...]:
        """The entries that there are, if what was told is true."""
        with self._changed:
            return tuple(sorted(self._entries.values(), key=lambda entry: (entry.seq, entry.key)))

    def wait(self, condition: Callable[["Recorder"], bool]) -> None:
        with self._changed:
            # The condition looks through the properties, whose lock is this one (it is re-entrant).
            assert self._changed.wait_for(lambda: condition(self), PATIENCE), self.calls[-5:]
            assert self.faults == []

    def wait_for(self, event: StoreEvent) -> None:
        self.wait(lambda recorder: any(event in call for call in recorder.calls))

    def wait_complete(self) -> None:
        self.wait(lambda recorder: recorder.complete)

    def _take(self, event: StoreEvent) -> None:
        match event:
            case SnapshotComplete():
                if self._complete:
                    self.faults.append("a second SnapshotComplete")
                self._complete = True
            case ObjectChanged(key):
                self._take_object(event)
                self._objects[key] = event
            case EntryPut(_, key, _, owner, seq):
                if (key, owner) in self._entries:
                    self.faults.append(f"not preceded by a removal: {event}")
                if 0 < seq <= self._last_seq:
                    self.faults.append(f"out of order after {self._last_seq}: {event}")
                self._last_seq = max(self._last_seq, seq)
                self._entries[key, owner] = event
            case EntryRemoved(table, key, value, owner, seq):
                if self._entries.pop((key, owner), None) != EntryPut(table, key, value, owner, seq):
                    self.faults.append(f"removal of what was not there: {event}")

    def _take_object(self, event: ObjectChanged) -> None:
        if self._objects.get(event.key) == event:
            self.faults.append(f"told twice: {event}")
        if (event.data is None) != (event.version == 0):
            self.faults.append(f"neither there nor gone: {event}")
