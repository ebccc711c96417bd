"""From what the store holds to what a document wants: a pure diff, as the store's operations.

Every change also touches one object, the revision: two applies that read the same state thus
cannot both succeed, also when one of them only adds or removes objects.
"""

import msgspec
from msgspec import Struct

from actors.state.document.objects import encode_object, object_key
from actors.state.store.interface import Create, Delete, ObjectKey, Operation, StoredObject, Update
from actors.state.topology import TopologyObject

REVISION_KEY = ObjectKey("document", "revision")
"""The object that every apply updates."""


class StoredTopology(Struct, frozen=True):
    """What the store held at one moment: the topology's objects and the revision's."""

    revision: StoredObject | None
    objects: tuple[StoredObject, ...]


class Revision(Struct, frozen=True, tag_field="object", tag="document.1"):
    """The data of the revision object: how many applies changed something."""

    number: int


def plan(stored: StoredTopology, wanted: tuple[TopologyObject, ...]) -> tuple[Operation, ...]:
    """Return the operations, in the order of their keys, that make the store hold `wanted` only.

    None if it does already. Else the last one is that of the revision.
    """
    held = {each.key: each for each in stored.objects}
    data = {object_key(thing): encode_object(thing) for thing in wanted}
    operations: list[Operation] = []
    for key in sorted({*held, *data}):
        if key not in held:
            operations.append(Create(key, data[key]))
        elif key not in data:
            operations.append(Delete(key, held[key].version))
        elif held[key].data != data[key]:
            operations.append(Update(key, held[key].version, data[key]))
    if operations:
        operations.append(_next_revision(stored.revision))
    return tuple(operations)


def _next_revision(revision: StoredObject | None) -> Operation:
    version = revision.version if revision is not None else 0
    data = msgspec.msgpack.encode(Revision(version + 1))
    if revision is None:
        return Create(REVISION_KEY, data)
    return Update(REVISION_KEY, version, data)
