"""Persistent recursive watches: ZooKeeper's addWatch (3.6), which kazoo 2.11 cannot ask for.

A watch stays until it is removed or the connection ends, and tells of every node at or under its
path by the node's full path. kazoo drops events of paths that it set no watch of its own on, so
its reader of events is replaced; whoever does that uses none of kazoo's watches on that client.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import ClassVar, Final

from kazoo.client import KazooClient
from kazoo.protocol.serialization import Watch, int_struct, write_string
from msgspec import Struct

_PERSISTENT_RECURSIVE: Final = 1  # ZooDefs.AddWatchModes
_ANY: Final = 3  # Watcher.WatcherType


class NodeEvent(IntEnum):
    """What happened to a node (Watcher.Event.EventType)."""

    CREATED = 1
    DELETED = 2
    CHANGED = 3


EventReader = Callable[[NodeEvent, str], None]


class AddWatch(Struct, frozen=True):
    """Watch a path and all under it; the path need not exist."""

    type: ClassVar[int] = 106  # ZooDefs.OpCode.addWatch

    path: str

    def serialize(self) -> bytes:
        """Return the request's body."""
        return b"".join((write_string(self.path), int_struct.pack(_PERSISTENT_RECURSIVE)))

    @staticmethod
    def deserialize(_buffer: bytes, _offset: int) -> None:
        """Read nothing: the answer is the error code of its header."""


class RemoveWatch(Struct, frozen=True):
    """End the watch of a path."""

    type: ClassVar[int] = 18  # ZooDefs.OpCode.removeWatches

    path: str

    def serialize(self) -> bytes:
        """Return the request's body."""
        return b"".join((write_string(self.path), int_struct.pack(_ANY)))

    @staticmethod
    def deserialize(_buffer: bytes, _offset: int) -> None:
        """Read nothing: the answer is the error code of its header."""


def read_events(client: KazooClient, tell: EventReader) -> None:
    """Have `tell` called with every event, on kazoo's thread, in order with the answers."""
    kinds = {kind.value: kind for kind in NodeEvent}

    def read_watch_event(buffer: bytes, offset: int) -> None:
        event, _ = Watch.deserialize(buffer, offset)
        # Others are of kinds that these watches do not have (3.8.0 sends some, ZOOKEEPER-4475).
        kind = kinds.get(event.type)
        if kind is not None:
            tell(kind, event.path)

    client._connection._read_watch_event = read_watch_event  # noqa: SLF001 - kazoo has no hook
