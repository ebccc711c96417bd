"""What the store's events are as inputs of the lane. Pure."""

from actors.messages.tables import EntryState, TableChanged
from actors.messages.topology import ObjectState, TopologyChanged
from actors.state.store.interface import EntryPut, EntryRemoved, ObjectChanged, StoreEvent
from actors.values import Nanoseconds


def tables_changed(
    at: Nanoseconds, table: str, events: tuple[StoreEvent, ...], *, whole: bool
) -> TableChanged | None:
    """Return what became of a table, None if nothing did; `whole`: these are all its entries."""
    entries = tuple(
        EntryState(e.key, e.value, e.owner, e.seq, isinstance(e, EntryRemoved))
        for e in events
        if isinstance(e, EntryPut | EntryRemoved)
    )
    return TableChanged(at, table, entries, whole) if entries or whole else None


def topology_changed(
    at: Nanoseconds, events: tuple[StoreEvent, ...], whole: str
) -> TopologyChanged | None:
    """Return what became of objects, None if nothing did; `whole` is a kind that these are all of."""
    objects = tuple(
        ObjectState(e.key.kind, e.key.id, e.version, e.data)
        for e in events
        if isinstance(e, ObjectChanged)
    )
    return TopologyChanged(at, objects, whole) if objects or whole else None
